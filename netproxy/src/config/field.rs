//! What there is to know about a field: its path, its flag, what may stand in it, and what it
//! means here. Checking, the command line, the warning and the documentation all follow from it.

use serde_json::{Map, Value};

use super::GoDuration;
use super::kube_proxy::KubeProxyConfiguration;

/// One field of a configuration document.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Where it stands, for example `iptables.syncPeriod`.
    pub path: &'static str,
    /// kube-proxy's flag for it, without the dashes.
    pub flag: Option<&'static str>,
    /// What may stand in it.
    pub kind: Kind,
    /// Whether it does something.
    pub role: Role,
    /// What it means here; or why it means nothing.
    pub help: &'static str,
}

/// What may stand in a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// True or false.
    Bool,
    /// A whole number of 32 bits.
    Integer,
    /// A number.
    Number,
    /// A text.
    Text,
    /// A list of texts.
    List,
    /// A Go duration.
    Duration,
    /// A mapping to true or false.
    Gates,
    /// A mapping to whole numbers.
    Sizes,
    /// Anything; nothing looks into it.
    Any,
}

/// Whether a field does something.
#[derive(Clone, Copy, Debug)]
pub enum Role {
    /// It does, always or in the modes that its help tells.
    Acts,
    /// It does not, and nobody needs to know.
    Quiet,
    /// It does not, which is said if it is set to something.
    Nothing,
    /// It does if this holds, else it is as `Nothing`.
    If(fn(&KubeProxyConfiguration) -> bool),
}

impl Kind {
    /// Why `value` may not stand here.
    pub(super) fn refusal(self, value: &Value) -> Option<&'static str> {
        let (is_right, reason) = match self {
            Self::Bool => (value.is_boolean(), "must be true or false"),
            Self::Integer => (is_integer(value), "must be a whole number of 32 bits"),
            Self::Number => (value.is_number(), "must be a number"),
            Self::Text => (value.is_string(), "must be a text; put it in quotes"),
            Self::List => (
                value
                    .as_array()
                    .is_some_and(|list| list.iter().all(Value::is_string)),
                "must be a list of texts",
            ),
            Self::Duration => (
                duration(value).is_some(),
                "must be a duration like 30s, 1h30m or 250ms",
            ),
            Self::Gates => (
                all_values(value, Value::is_boolean),
                "must be a mapping of names to true or false",
            ),
            Self::Sizes => (
                all_values(value, Value::is_u64),
                "must be a mapping of names to whole numbers",
            ),
            Self::Any => (true, ""),
        };
        (!is_right).then_some(reason)
    }

    /// What `text`, given on the command line, is in a document.
    ///
    /// # Errors
    /// Why it cannot stand there.
    pub fn parse(self, text: &str) -> Result<Value, String> {
        let wrong = |reason: &str| reason.to_owned();
        Ok(match self {
            // What Go's strconv.ParseBool reads.
            Self::Bool => match text {
                "1" | "t" | "T" | "true" | "TRUE" | "True" => true.into(),
                "0" | "f" | "F" | "false" | "FALSE" | "False" => false.into(),
                _ => return Err(wrong("must be true or false")),
            },
            Self::Integer => text
                .parse::<i32>()
                .map_err(|_| wrong("must be a whole number of 32 bits"))?
                .into(),
            Self::Number => text
                .parse::<f64>()
                .ok()
                .and_then(serde_json::Number::from_f64)
                .ok_or_else(|| wrong("must be a number"))?
                .into(),
            Self::Duration => {
                text.parse::<GoDuration>().map_err(|e| e.to_string())?;
                text.into()
            }
            Self::Text | Self::Any => text.into(),
            Self::List => entries(text).map(Value::from).collect(),
            Self::Gates => entries(text)
                .map(|entry| {
                    let (name, value) = entry.split_once('=').ok_or("must be NAME=true|false")?;
                    Ok((name.trim().to_owned(), Self::Bool.parse(value.trim())?))
                })
                .collect::<Result<Map<_, _>, String>>()?
                .into(),
            Self::Sizes => return Err(wrong("cannot be given here")),
        })
    }

    /// Whether `value` says the same as `other`, or nothing at all.
    pub(super) fn is_same_or_zero(self, value: &Value, other: &Value) -> bool {
        let is_same = match self {
            Self::Duration => duration(value) == duration(other),
            Self::Number => value.as_f64() == other.as_f64(),
            _ => value == other,
        };
        is_same || (self != Self::Bool && is_zero(value))
    }
}

/// The parts of a list on the command line.
fn entries(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

fn is_integer(value: &Value) -> bool {
    value
        .as_i64()
        .is_some_and(|number| i32::try_from(number).is_ok())
}

fn duration(value: &Value) -> Option<GoDuration> {
    value.as_str()?.parse().ok()
}

fn all_values(value: &Value, is_right: impl Fn(&Value) -> bool) -> bool {
    value
        .as_object()
        .is_some_and(|map| map.values().all(is_right))
}

/// Whether a value is what Go writes for nothing.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty() || text.parse() == Ok(GoDuration::default()),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.values().all(is_zero),
    }
}
