use storex_core::Collection;

#[derive(Collection)]
struct Note {
    title: String,
}

fn main() {}
