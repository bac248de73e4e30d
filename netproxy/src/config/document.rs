//! Settings as they were given, by path; and where each of them came from.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::error::FieldError;
use super::field::{Field, Kind};
use super::fields::KUBE_PROXY_FIELDS;

/// A document that is made of known fields of the right kind, and of nothing else.
#[derive(Clone, Debug, Default)]
pub(super) struct Document {
    values: Map<String, Value>,
    /// The flags of those that were given on the command line, by path.
    flags: BTreeMap<&'static str, &'static str>,
    /// Whether it is the command line's, so that people know its fields by their flags.
    is_command_line: bool,
}

/// What did not make it into a document.
#[derive(Clone, Debug, Default)]
pub(super) struct Leftovers {
    /// Fields with values of the wrong kind.
    pub(super) errors: Vec<FieldError>,
    /// Paths that no field has.
    pub(super) unknown: Vec<String>,
}

impl Document {
    /// What of `values` belongs to `fields`. Null is as if it were absent, as in Go.
    pub(super) fn new(mut values: Map<String, Value>, fields: &[Field]) -> (Self, Leftovers) {
        let mut leftovers = Leftovers::default();
        keep_known("", &mut values, fields, &mut leftovers);
        let document = Self {
            values,
            ..Self::default()
        };
        (document, leftovers)
    }

    /// A document that only flags will fill.
    pub(super) fn of_command_line() -> Self {
        Self {
            is_command_line: true,
            ..Self::default()
        }
    }

    /// Takes what was given on the command line. Lists and mappings that are given several times
    /// are joined.
    pub(super) fn set_flag(&mut self, field: &Field, flag: &'static str, value: Value) {
        let is_first = self.flags.insert(field.path, flag).is_none();
        let place = place_mut(&mut self.values, field.path);
        match (place, value) {
            (Value::Array(list), Value::Array(more)) if !is_first => list.extend(more),
            (Value::Object(map), Value::Object(more)) if !is_first => map.extend(more),
            (place, value) => *place = value,
        }
    }

    /// What stands at `path`.
    pub(super) fn get(&self, path: &str) -> Option<&Value> {
        let mut parts = path.split('.');
        let first = self.values.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.get(part))
    }

    /// The flag that `path` was set by.
    pub(super) fn flag(&self, path: &str) -> Option<&'static str> {
        self.flags.get(path).copied()
    }

    /// What people know `path` by: itself, or the flag that it was set by or could have been.
    pub(super) fn name(&self, path: &str) -> String {
        let base = path.split('[').next().unwrap_or(path);
        let known = KUBE_PROXY_FIELDS.iter().find(|field| field.path == base);
        let possible = known.filter(|_| self.is_command_line);
        match self.flag(base).or_else(|| possible?.flag) {
            Some("v") => "-v".to_owned(),
            Some(flag) => format!("--{flag}{}", &path[base.len()..]),
            None => path.to_owned(),
        }
    }

    /// The document as `T`, whose fields have the kinds of the table.
    pub(super) fn typed<T: DeserializeOwned>(&self) -> Result<T, FieldError> {
        serde_json::from_value(Value::Object(self.values.clone())).map_err(|error| FieldError {
            field: "document".to_owned(),
            value: None,
            reason: format!("{error}; this is a bug in netproxy, please report it"),
        })
    }
}

/// Removes from `map`, which stands at `prefix`, what is no field or of the wrong kind.
fn keep_known(
    prefix: &str,
    map: &mut Map<String, Value>,
    fields: &[Field],
    leftovers: &mut Leftovers,
) {
    map.retain(|key, value| {
        let path = if prefix.is_empty() {
            key.clone()
        } else {
            format!("{prefix}.{key}")
        };
        let is_section = || {
            fields.iter().any(|field| {
                let rest = field.path.strip_prefix(path.as_str());
                rest.is_some_and(|rest| rest.starts_with('.'))
            })
        };
        if value.is_null() {
            return false;
        }
        if let Some(field) = fields.iter().find(|field| field.path == path) {
            if field.kind != Kind::Any {
                drop_nulls(value);
            }
            let refusal = field.kind.refusal(value);
            leftovers.refuse(path, value, refusal)
        } else if !is_section() {
            leftovers.unknown.push(path);
            false
        } else if let Value::Object(section) = value {
            keep_known(&path, section, fields, leftovers);
            true
        } else {
            leftovers.refuse(path, value, Some("must be a mapping"))
        }
    });
}

/// Names without a value, as in `featureGates: {A: null}`.
fn drop_nulls(value: &mut Value) {
    if let Value::Object(map) = value {
        map.retain(|_, value| !value.is_null());
    }
}

impl Leftovers {
    /// Whether the value may stay.
    fn refuse(&mut self, path: String, value: &Value, refusal: Option<&str>) -> bool {
        self.errors.extend(refusal.map(|reason| FieldError {
            field: path,
            value: Some(value.clone()),
            reason: reason.to_owned(),
        }));
        refusal.is_none()
    }
}

/// The place at `path`, made if it is not there.
fn place_mut<'a>(map: &'a mut Map<String, Value>, path: &str) -> &'a mut Value {
    match path.split_once('.') {
        None => map.entry(path).or_insert(Value::Null),
        Some((section, rest)) => {
            let section = map.entry(section).or_insert(Value::Null);
            if !section.is_object() {
                *section = Value::Object(Map::new());
            }
            match section {
                Value::Object(map) => place_mut(map, rest),
                // It was made an object right above.
                other => other,
            }
        }
    }
}
