use storex_core::{Collection, Value};

fn is_fine(_: &Value) -> bool {
    true
}

#[derive(Collection)]
struct Note {
    id: String,
    #[storex(min_length = 1)]
    stars: i64,
    #[storex(json, max = 5)]
    tags: Vec<String>,
    #[storex(min = false)]
    done: bool,
    #[storex(child_of = "user", max_length = 5, check(is_fine, "fine"))]
    author: String,
}

#[derive(Collection)]
#[storex(check(is_fine))]
struct Unsaid {
    id: String,
    #[storex(min_length = -1)]
    a: String,
    #[storex(max = 1, max = 2)]
    b: i64,
    #[storex(one_of())]
    c: String,
    #[storex(check("fine"))]
    d: String,
    #[storex(check = "is_fine")]
    e: String,
    #[storex(check(is_fine, "fine", 1))]
    f: String,
}

#[derive(Collection)]
#[storex(max = 5)]
struct Elsewhere {
    id: String,
}

fn main() {}
