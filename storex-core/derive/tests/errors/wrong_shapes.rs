use storex_core::Collection;

#[derive(Collection)]
enum Color {
    Red,
}

#[derive(Collection)]
struct Pair(String, String);

#[derive(Collection)]
struct Page<T> {
    id: String,
    content: T,
}

#[derive(Collection)]
struct Borrowed<'a> {
    id: &'a str,
}

fn main() {}
