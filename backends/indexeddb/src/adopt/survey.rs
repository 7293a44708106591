//! [`Survey`]: what the objects of a store have, all of them looked at.

use std::collections::HashMap;

use js_sys::{Array, Object};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{IdbKeyRange, IdbObjectStore};

use super::kinds::Kinds;
use crate::json;
use crate::raw::{DomError, Request};
use crate::value::describe;

/// So many objects are in memory at a time.
const PAGE: u32 = 500;
/// With more properties than this, objects are tables of their own rather than rows.
const MOST_PROPERTIES: usize = 1000;

/// What the objects of a store have.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) objects: u64,
    /// Properties, in the order in which they were first seen.
    pub(super) properties: Vec<(String, Kinds)>,
    positions: HashMap<String, usize>,
    /// The keys of the store.
    pub(super) keys: Kinds,
}

impl Survey {
    /// Looks at all objects; the inner error is the reason why they cannot be a collection.
    pub(super) async fn of(objects: &IdbObjectStore) -> Result<Result<Self, String>, DomError> {
        let mut survey = Self::default();
        let mut range = JsValue::UNDEFINED;
        loop {
            let page = Request::of(objects.get_all_with_key_and_limit(&range, PAGE))?;
            let keys = Request::of(objects.get_all_keys_with_key_and_limit(&range, PAGE))?;
            let (page, keys): (Array, Array) =
                (page.await?.unchecked_into(), keys.await?.unchecked_into());
            for (object, key) in page.iter().zip(keys.iter()) {
                if let Err(reason) = survey.see(&object, &key) {
                    return Ok(Err(reason));
                }
            }
            if page.length() < PAGE {
                return Ok(Ok(survey));
            }
            range = IdbKeyRange::lower_bound_with_open(&keys.get(keys.length() - 1), true)?.into();
        }
    }

    fn see(&mut self, object: &JsValue, key: &JsValue) -> Result<(), String> {
        if !json::is_plain(object) {
            return Err(format!(
                "its values are not all plain objects: one is {}",
                describe(object)
            ));
        }
        self.objects += 1;
        self.keys.see(key);
        for entry in Object::entries(object.unchecked_ref()).iter() {
            let entry: Array = entry.unchecked_into();
            // Half a surrogate pair becomes U+FFFD, under which nothing is found later: such a property stays unknown.
            let name = entry.get(0).as_string().unwrap_or_default();
            self.property(&name)?.see(&entry.get(1));
        }
        Ok(())
    }

    /// What is known of a property; it need not have been seen.
    pub(super) fn property(&mut self, name: &str) -> Result<&mut Kinds, String> {
        let next = self.properties.len();
        let at = match self.positions.get(name) {
            Some(at) => *at,
            None if next >= MOST_PROPERTIES => {
                return Err(format!(
                    "its objects have more than {MOST_PROPERTIES} different properties"
                ));
            }
            None => {
                self.positions.insert(name.to_owned(), next);
                self.properties.push((name.to_owned(), Kinds::default()));
                next
            }
        };
        Ok(&mut self.properties[at].1)
    }
}
