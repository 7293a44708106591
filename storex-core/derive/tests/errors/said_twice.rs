use storex_core::Collection;

#[derive(Collection)]
#[storex(name = "note", name = "notes")]
struct Note {
    id: String,
    #[storex(text, json)]
    title: String,
    #[storex(index)]
    #[storex(index)]
    slug: String,
    #[storex(default = 1, default_now)]
    stars: i64,
}

fn main() {}
