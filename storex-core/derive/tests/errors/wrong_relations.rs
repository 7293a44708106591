use storex_core::Collection;

#[derive(Collection)]
struct Email {
    id: String,
    #[storex(child_of = "user", json)]
    user: String,
    #[storex(child_of = "account", default = "a")]
    account: String,
    #[storex(child_of = "list", on_delete = "set_null")]
    list: String,
    #[storex(reverse = "emails")]
    owner: String,
    #[storex(on_delete = "cascade")]
    sender: String,
    #[storex(child_of = "a", connects = "b")]
    both: String,
}

fn main() {}
