//! The order of keys, and which rows an index holds.

use js_sys::Uint8Array;
use wasm_bindgen_test::wasm_bindgen_test;
use web_sys::IdbKeyRange;

use super::*;
use crate::raw::unwatched;

/// All keys of a store, as JSON, in their order.
async fn all_keys(transaction: &Transaction, store: &str) -> Vec<JsValue> {
    let keys = transaction.store(store).unwrap().get_all_keys();
    let keys: Array = Request::of(keys).unwrap().await.unwrap().unchecked_into();
    keys.iter().collect()
}

async fn found(transaction: &Transaction, index: &str, range: &JsValue) -> Vec<String> {
    let index = transaction.store("docs").unwrap().index(index).unwrap();
    let keys = Request::of(index.get_all_keys_with_key(range)).unwrap().await.unwrap();
    keys.unchecked_into::<Array>().iter().filter_map(|key| key.as_string()).collect()
}

fn put_keys(transaction: &Transaction, keys: &[JsValue]) {
    let store = transaction.store("kv").unwrap();
    for key in keys {
        unwatched(store.put_with_key(&"value".into(), key)).unwrap();
    }
}

fn put_docs(transaction: &Transaction, docs: &[&str]) {
    let store = transaction.store("docs").unwrap();
    for (id, doc) in docs.iter().enumerate() {
        let doc = json(doc);
        Reflect::set(&doc, &"id".into(), &id.to_string().into()).unwrap();
        unwatched(store.put(&doc)).unwrap();
    }
}

#[wasm_bindgen_test]
async fn number_then_date_then_string_then_binary_then_array() {
    let connection = open_stores(&unique("kinds")).await;
    let transaction = write(&connection);
    let date = Date::new(&0.0.into());
    let binary = Uint8Array::from([0].as_slice());
    put_keys(
        &transaction,
        &[
            Array::of1(&0.into()).into(),
            binary.into(),
            "".into(),
            date.into(),
            f64::INFINITY.into(),
            f64::NEG_INFINITY.into(),
        ],
    );
    let keys = all_keys(&transaction, "kv").await;
    assert_eq!(keys[0].as_f64(), Some(f64::NEG_INFINITY));
    assert_eq!(keys[1].as_f64(), Some(f64::INFINITY));
    assert!(keys[2].is_instance_of::<Date>());
    assert!(keys[3].is_string());
    assert!(keys[4].is_instance_of::<js_sys::ArrayBuffer>());
    assert!(keys[5].is_instance_of::<Array>());
}

#[wasm_bindgen_test]
async fn strings_go_by_utf_16_and_bytes_by_bytes() {
    let connection = open_stores(&unique("utf16")).await;
    let transaction = write(&connection);
    let (emoji, replacement) = ("\u{1F600}", "\u{FFFD}");
    assert!(replacement < emoji, "Rust goes by UTF-8");
    put_keys(&transaction, &[replacement.into(), emoji.into()]);
    let keys = all_keys(&transaction, "kv").await;
    assert_eq!(keys, [JsValue::from(emoji), JsValue::from(replacement)]);

    transaction.store("kv").unwrap().clear().unwrap();
    let bytes = |bytes: &[u8]| JsValue::from(Uint8Array::from(bytes));
    put_keys(&transaction, &[bytes(&[1, 255]), bytes(&[2]), bytes(&[1, 0, 7]), bytes(&[1])]);
    let keys = all_keys(&transaction, "kv").await;
    let keys: Vec<_> = keys.iter().map(|key| Uint8Array::new(key).to_vec()).collect();
    assert_eq!(keys, [vec![1], vec![1, 0, 7], vec![1, 255], vec![2]]);

    let prefix =
        IdbKeyRange::bound_with_lower_open_and_upper_open(&bytes(&[1]), &bytes(&[2]), false, true)
            .unwrap();
    let within = transaction.store("kv").unwrap().count_with_key(&prefix);
    assert_eq!(Request::of(within).unwrap().await.unwrap(), 3);
}

#[wasm_bindgen_test]
async fn a_compound_index_leaves_out_rows_with_a_part_that_is_no_key() {
    let connection = open_stores(&unique("compound")).await;
    let transaction = write(&connection);
    put_docs(
        &transaction,
        &[
            r#"{"a": 1, "b": 1}"#,
            r#"{"a": 1, "b": null}"#,
            r#"{"a": 1}"#,
            r#"{"a": 1, "b": true}"#,
            r#"{"a": 1, "b": [1, 2]}"#,
            r#"{"a": 1, "b": "z"}"#,
            r#"{"a": 2, "b": 0}"#,
        ],
    );
    assert_eq!(found(&transaction, "a_b", &JsValue::UNDEFINED).await, ["0", "5", "4", "6"]);
    // All rows whose first part is 1: an array sorts after every other key.
    let one = Array::of1(&1.into());
    let prefix = IdbKeyRange::bound(&one, &Array::of2(&1.into(), &Array::new())).unwrap();
    assert_eq!(found(&transaction, "a_b", &prefix).await, ["0", "5"]);
    let prefix = IdbKeyRange::bound_with_lower_open_and_upper_open(
        &one,
        &Array::of1(&2.into()),
        false,
        true,
    );
    assert_eq!(found(&transaction, "a_b", &prefix.unwrap()).await, ["0", "5", "4"]);
}

#[wasm_bindgen_test]
async fn a_multi_entry_index_takes_each_valid_member_once() {
    let connection = open_stores(&unique("multi")).await;
    let transaction = write(&connection);
    put_docs(
        &transaction,
        &[
            r#"{"tags": ["x", "y", "x"]}"#,
            r#"{"tags": []}"#,
            r#"{"tags": "x"}"#,
            r#"{"tags": ["x", null, {"o": 1}, true]}"#,
        ],
    );
    assert_eq!(found(&transaction, "tags", &"x".into()).await, ["0", "2", "3"]);
    assert_eq!(found(&transaction, "tags", &JsValue::UNDEFINED).await, ["0", "2", "3", "0"]);
}

#[wasm_bindgen_test]
async fn no_index_is_multi_entry_and_compound() {
    let opened = open(
        &unique("both"),
        version(1),
        never,
        async |database: IdbDatabase, _: IdbTransaction, _| -> Result<(), DomError> {
            let both = IdbIndexParameters::new();
            both.set_multi_entry(true);
            let paths = Array::of2(&"a".into(), &"tags".into());
            let store = database.create_object_store("s")?;
            store.create_index_with_str_sequence_and_optional_parameters("i", &paths, &both)?;
            Ok(())
        },
    )
    .await;
    assert!(
        matches!(&opened, Err(OpenError::Upgrade(error)) if error.is("InvalidAccessError")),
        "{opened:?}"
    );
}
