#![allow(unreachable_patterns)] // of serde, for two fields of one name

use serde::{Deserialize, Serialize};
use storex_core::Collection;

#[derive(Serialize, Deserialize, Collection)]
struct Note {
    id: String,
    #[serde(rename(serialize = "a", deserialize = "b"))]
    two: String,
    #[serde(flatten)]
    rest: Vec<u8>,
}

#[derive(Serialize, Deserialize, Collection)]
#[serde(tag = "kind")]
struct Tagged {
    id: String,
}

#[derive(Serialize, Deserialize, Collection)]
#[allow(non_snake_case)]
struct Constants {
    id: String,
    created_at: i64,
    createdAt: i64,
}

#[derive(Serialize, Deserialize, Collection)]
struct Names {
    id: String,
    #[serde(rename = "id")]
    other: String,
}

fn main() {}
