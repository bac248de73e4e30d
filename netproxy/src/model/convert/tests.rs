//! What the conversions keep, drop and default.

mod bad_input;
mod endpoint_slice;
mod never_panics;
mod node;
mod pod;
mod service;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// `base` with the fields of `patch` put over it (null removes), as an object of the API.
fn object<T: DeserializeOwned>(mut base: Value, patch: Value) -> T {
    merge(&mut base, patch);
    serde_json::from_value(base).unwrap()
}

fn merge(base: &mut Value, patch: Value) {
    match (base, patch) {
        (Value::Object(base), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    base.remove(&key);
                } else {
                    merge(base.entry(key).or_insert(json!(null)), value);
                }
            }
        }
        (base, patch) => *base = patch,
    }
}
