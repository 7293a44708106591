use storex_core::Collection;

#[derive(Collection)]
struct Note {
    id: String,
    #[storex(nullable)]
    title: String,
    #[storex(nullable, default = 1)]
    stars: Option<i64>,
    #[storex(multi_entry)]
    tag: String,
}

fn main() {}
