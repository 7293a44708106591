use storex_core::Collection;

#[derive(Collection)]
#[storex(nam = "note")]
struct Note {
    id: String,
    #[storex(indx)]
    title: String,
    #[storex(type = "Strnig")]
    body: String,
    #[storex(key(uuid))]
    other: String,
    #[storex(child_of = "user", on_delete = "nothing")]
    author: String,
}

fn main() {}
