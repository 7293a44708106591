use storex_core::Collection;

#[derive(Collection)]
struct Counter {
    id: u64,
    count: usize,
    #[storex(type = "Int")]
    accepted: u64,
    huge: Option<i128>,
}

fn main() {}
