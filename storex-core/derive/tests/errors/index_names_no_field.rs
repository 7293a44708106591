use serde::{Deserialize, Serialize};
use storex_core::Collection;

#[derive(Serialize, Deserialize, Collection)]
#[storex(index(author, titel), unique(cached), index())]
struct Note {
    id: String,
    title: String,
    author: String,
    #[serde(skip)]
    cached: String,
}

#[derive(Serialize, Deserialize, Collection)]
#[storex(index(author, titel), unique(cached))]
struct Other {
    id: String,
    title: String,
    author: String,
    #[serde(skip)]
    cached: String,
}

fn main() {}
