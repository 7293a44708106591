//! What the browser promises about the data of this site. With a user who says yes and no: tests/browser, `quota`.
#![cfg(target_family = "wasm")]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use storex_core::ErrorKind;
use storex_indexeddb::{estimate, is_persisted, persist};
use support::is_fake;
use support::js::js;
use wasm_bindgen_test::wasm_bindgen_test;

#[wasm_bindgen_test]
async fn only_a_page_may_ask_for_a_promise() {
    let in_page = js(&[], "return typeof document !== 'undefined'").await.is_truthy();
    match persist().await {
        Ok(promised) => assert!(in_page && promised == is_persisted().await.unwrap()),
        Err(error) => {
            assert!(!in_page, "{error}");
            assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unsupported, false));
        }
    }
}

#[wasm_bindgen_test]
async fn the_space_is_told_where_there_is_a_browser() {
    match estimate().await {
        Ok(space) => {
            assert!(!is_fake() && space.quota > space.usage && space.usage >= 0.0, "{space:?}")
        }
        Err(error) => {
            assert!(is_fake(), "{error}");
            assert_eq!(error.kind(), ErrorKind::Unsupported);
        }
    }
}
