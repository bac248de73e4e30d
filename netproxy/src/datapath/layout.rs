//! What a map is made of: its type, its size, and the fields of its keys and values by name.
//!
//! The description is pinned beside the maps (`record.rs`), so that a build with other layouts knows what it finds.

use std::collections::BTreeMap;

use aya::maps::MapType;
use serde::{Deserialize, Serialize};

use super::btf::{Type, TypeInfo};

/// Descriptions, by the names of the maps.
pub(super) type Layouts = BTreeMap<String, Layout>;

/// The description of a map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Layout {
    /// Its type, by the kernel's number.
    pub(super) kind: u32,
    /// `map_flags` of uapi/linux/bpf.h.
    pub(super) flags: u32,
    /// Its size; zero: it has none.
    pub(super) entries: u32,
    /// Its keys.
    pub(super) key: Shape,
    /// Its values.
    pub(super) value: Shape,
}

/// The shape of a key or value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Shape {
    /// Its size.
    pub(super) bytes: u32,
    /// Its fields, in the order of their offsets.
    pub(super) fields: Vec<Field>,
}

/// A number, or an array of numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Field {
    /// Its path, like `pairs[0].endpoint.octets`; empty for a key or value that is a number.
    pub(super) name: String,
    /// Bytes before it.
    pub(super) offset: u32,
    /// Bytes of one number.
    pub(super) width: u32,
    /// How many numbers.
    pub(super) count: u32,
}

impl Layout {
    /// Of the map of this name, as the compiled programs declare it; None: they do not, or in a way that nobody
    /// foresaw.
    pub(super) fn of_map(btf: &TypeInfo, name: &str) -> Option<Self> {
        let Type::Structure(_, members) = btf.variable(name)? else {
            return None;
        };
        // Each member of the declaration points to what it says: a type, or an array of as many elements.
        let behind = |name: &str| {
            let member = members.iter().find(|member| member.name == name)?;
            match btf.get(member.kind)? {
                Type::Reference(number) => Some(number),
                _ => None,
            }
        };
        let number = |name: &str| match behind(name).and_then(|number| btf.get(number)) {
            Some(Type::Array(_, count)) => count,
            _ => 0,
        };
        let shape = |name: &str| {
            behind(name).map_or_else(|| Some(Shape::default()), |it| Shape::of_type(btf, it))
        };
        let mut layout = Self {
            kind: number("type"),
            flags: number("map_flags"),
            entries: number("max_entries"),
            key: Shape::default(),
            value: shape("value")?,
        };
        if layout.is(MapType::RingBuf) {
            // The kernel knows of neither; its reader does.
            layout.value.bytes = 0;
        } else {
            layout.key = shape("key")?;
        }
        Some(layout)
    }

    /// Whether maps of the two are read and written alike, whatever their sizes.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        Self {
            entries: other.entries,
            ..self.clone()
        } == *other
    }

    /// Whether it is of this type.
    pub(super) fn is(&self, kind: MapType) -> bool {
        self.kind == kind as u32
    }

    /// Whether it has values of its own for each CPU.
    pub(super) fn is_per_cpu(&self) -> bool {
        self.is(MapType::PerCpuArray)
    }

    /// Whether every index below its size is there.
    pub(super) fn is_array(&self) -> bool {
        self.is(MapType::Array) || self.is_per_cpu()
    }

    /// Whether entries come and go by their keys.
    pub(super) fn has_keys(&self) -> bool {
        self.is(MapType::Hash) || self.is(MapType::LruHash) || self.is(MapType::LpmTrie)
    }
}

impl Shape {
    fn of_type(btf: &TypeInfo, number: u32) -> Option<Self> {
        let mut fields = Vec::new();
        let bytes = flatten(btf, number, "", 0, &mut fields)?;
        Some(Self { bytes, fields })
    }
}

/// Adds the fields of a type; yields its size.
fn flatten(
    btf: &TypeInfo,
    number: u32,
    path: &str,
    offset: u32,
    fields: &mut Vec<Field>,
) -> Option<u32> {
    let field = |width, count| Field {
        name: path.to_owned(),
        offset,
        width,
        count,
    };
    match btf.get(number)? {
        Type::Scalar(width) => {
            fields.push(field(width, 1));
            Some(width)
        }
        Type::Array(element, count) => {
            if let Some(Type::Scalar(width)) = btf.get(element) {
                fields.push(field(width, count));
                return Some(width * count);
            }
            let mut bytes = 0;
            for index in 0..count {
                let path = format!("{path}[{index}]");
                bytes += flatten(btf, element, &path, offset + bytes, fields)?;
            }
            Some(bytes)
        }
        Type::Structure(bytes, members) => {
            for member in members {
                let path = match path {
                    "" => member.name.to_owned(),
                    _ => format!("{path}.{}", member.name),
                };
                flatten(btf, member.kind, &path, offset + member.offset, fields)?;
            }
            Some(bytes)
        }
        Type::Reference(number) => flatten(btf, number, path, offset, fields),
        Type::Other => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::datapath::load::compiled_layouts;

    use super::*;

    fn fields(shape: &Shape) -> Vec<(&str, u32, u32, u32)> {
        let field = |field: &'_ Field| (field.offset, field.width, field.count);
        let fields = shape.fields.iter();
        fields
            .map(|it| (it.name.as_str(), field(it)))
            .map(|(name, (offset, width, count))| (name, offset, width, count))
            .collect()
    }

    #[test]
    fn a_value_is_told_field_by_field() {
        let layouts = compiled_layouts().unwrap();
        let endpoints = &layouts["ENDPOINTS_V6"];

        assert!(endpoints.is(MapType::Array));
        assert_eq!((endpoints.entries, endpoints.value.bytes), (524_288, 20));
        assert_eq!(fields(&endpoints.key), [("", 0, 4, 1)]);
        assert_eq!(
            fields(&endpoints.value),
            [
                ("address.octets", 0, 1, 16),
                ("port.bytes", 16, 1, 2),
                ("flags", 18, 2, 1)
            ]
        );
    }

    #[test]
    fn structures_in_arrays_are_told_one_by_one() {
        let layouts = compiled_layouts().unwrap();
        let talks = fields(&layouts["TALKS"].value);

        assert_eq!(talks.len(), 8 * 6 + 1);
        assert_eq!(talks[0], ("pairs[0].endpoint.octets", 0, 1, 16));
        assert_eq!(talks[46], ("pairs[7].service", 7 * 44 + 36, 4, 1));
        assert_eq!(talks[48], ("is_left", 8 * 44, 4, 1));
    }

    #[test]
    fn the_record_is_read_as_it_was_written() {
        let layouts = compiled_layouts().unwrap();

        let text = serde_json::to_string(layouts).unwrap();

        assert_eq!(&serde_json::from_str::<Layouts>(&text).unwrap(), layouts);
    }
}
