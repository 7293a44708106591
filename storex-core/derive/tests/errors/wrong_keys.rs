use storex_core::Collection;

struct UserId(String);

#[derive(Collection)]
struct Unknown {
    id: UserId,
}

#[derive(Collection)]
struct Vote {
    #[storex(key)]
    user: Option<String>,
    #[storex(key(int))]
    poll: i64,
    #[storex(key, json)]
    tags: Vec<String>,
    #[storex(key, default = 1)]
    n: i64,
}

fn main() {}
