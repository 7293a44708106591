use std::time::Duration;

use storex_core::Collection;

struct Address;

#[derive(Collection)]
struct User {
    id: String,
    address: Address,
    tags: Vec<String>,
    waits: Option<Duration>,
    #[storex(json)]
    known: Vec<String>,
    letter: char,
}

fn main() {}
