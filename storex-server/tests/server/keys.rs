//! `/v1/keys`: sealed keys, written once.

use serde_json::json;
use storex_sync::SEALED_KEY_LIMIT;

use crate::support::{ADA, BOB, Site};

#[tokio::test]
async fn a_sealed_key_is_written_once_and_is_its_users() {
    let site = Site::start().await;
    let path = |digit: &str| format!("/v1/keys/{}", digit.repeat(32));
    let put =
        |digit: &str, bytes: &[u8]| site.ask("PUT", &path(digit)).token(ADA).body(bytes).send();
    assert_eq!(site.get(ADA, "/v1/keys").await.json(), json!([]));
    for _ in 0..2 {
        assert_eq!(put("b", b"sealed").await.status, 204);
    }
    assert_eq!(put("a", b"another").await.status, 204);
    let exists = put("b", b"something else").await;
    assert_eq!((exists.status, exists.code().as_str()), (409, "exists"));
    assert_eq!(site.get(ADA, &path("b")).await.body, b"sealed");
    assert_eq!(site.get(ADA, "/v1/keys").await.json(), json!(["a".repeat(32), "b".repeat(32)]));
    // Nobody else's.
    assert_eq!(site.get(BOB, &path("b")).await.code(), "not_found");
    assert_eq!(site.get(BOB, "/v1/keys").await.json(), json!([]));
}

#[tokio::test]
async fn a_sealed_key_has_a_name_of_one_spelling_and_a_limit() {
    let site = Site::start().await;
    let path = format!("/v1/keys/{}", "a".repeat(32));
    let put = |path: &str, bytes: Vec<u8>| site.ask("PUT", path).token(ADA).body(bytes).send();
    assert_eq!(put(&path, vec![1; SEALED_KEY_LIMIT]).await.status, 204);
    let large = put(&path.replace('a', "b"), vec![1; SEALED_KEY_LIMIT + 1]).await;
    assert_eq!((large.code().as_str(), &large.json()["limit"]), ("body_too_large", &json!(65536)));
    for name in ["A", "x", "..%2f", &"a".repeat(33), &"A".repeat(32)] {
        let path = format!("/v1/keys/{name}");
        assert_eq!(put(&path, vec![1]).await.code(), "malformed", "{name}");
        assert_eq!(site.get(ADA, &path).await.code(), "malformed", "{name}");
    }
}
