//! `kind: List`: each item is read as what its own head says.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Spanned, with_deserializer_from_str_with_options};

use super::{Head, Kind, Read, options};
use crate::source::Interest;

/// The heads of a List's items.
#[derive(Debug, Deserialize)]
struct Heads {
    #[serde(default)]
    items: Vec<Spanned<Head>>,
}

/// Reads a List of items of these kinds.
struct Items<'k>(&'k [Kind]);

/// Reads the items.
struct Elements<'k>(&'k [Kind]);

impl<'de> DeserializeSeed<'de> for Kind {
    type Value = Read;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Read, D::Error> {
        self.read(from)
    }
}

impl<'de> DeserializeSeed<'de> for Elements<'_> {
    type Value = Vec<Read>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Elements<'_> {
    type Value = Vec<Read>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::with_capacity(self.0.len());
        for kind in self.0 {
            let item = from.next_element_seed(*kind)?;
            items.push(item.ok_or_else(|| A::Error::custom("items are missing"))?);
        }
        // Reads the end of the sequence.
        while from.next_element::<IgnoredAny>()?.is_some() {}
        Ok(items)
    }
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = Vec<Read>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a List")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(key) = from.next_key::<String>()? {
            if key == "items" {
                items = from.next_value_seed(Elements(self.0))?;
            } else {
                from.next_value::<IgnoredAny>()?;
            }
        }
        Ok(items)
    }
}

/// The items of the List `document`, each with its line in it.
pub(super) fn read(
    document: &str,
    interest: &Interest,
) -> Result<Vec<(usize, Read)>, serde_saphyr::Error> {
    let heads: Heads = serde_saphyr::from_str_with_options(document, options())?;
    let kinds = heads
        .items
        .iter()
        .map(|head| Kind::of(&head.value, interest));
    let kinds = kinds.collect::<Result<Vec<_>, _>>()?;
    let items = with_deserializer_from_str_with_options(document, options(), |from| {
        from.deserialize_map(Items(&kinds))
    })?;
    let lines = heads.items.iter().map(|head| head.referenced.line());
    let lines = lines.map(|line| usize::try_from(line).unwrap_or(1));
    Ok(lines.zip(items).collect())
}
