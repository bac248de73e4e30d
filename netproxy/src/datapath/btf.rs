//! The type information of the compiled programs (`Documentation/bpf/btf.rst` of the kernel), as far as maps need it.
//!
//! aya keeps its own reader to itself. The kernel shows that of a map to `CAP_SYS_ADMIN` alone
//! (`BPF_BTF_GET_FD_BY_ID`), which the agent does without.

use std::ops::Range;

use object::{Object as _, ObjectSection as _};

/// `BTF_MAGIC` of uapi/linux/btf.h, as the first of the header's 32-bit words has it, with the version.
const MAGIC_AND_VERSION: u32 = 0x0001_eb9f;

/// The types, by number from one.
#[derive(Debug)]
pub(super) struct TypeInfo {
    words: Vec<u32>,
    strings: Vec<u8>,
    types: Vec<Record>,
}

/// `struct btf_type`, and where the words behind it are.
#[derive(Clone, Debug)]
struct Record {
    name: u32,
    kind: u32,
    /// The size of scalars and structures, the type of what refers to one.
    size_or_type: u32,
    more: Range<usize>,
}

/// A type, as far as values of maps have it.
#[derive(Debug)]
pub(super) enum Type<'a> {
    /// An integer or enumeration of so many bytes.
    Scalar(u32),
    /// So many of a type.
    Array(u32, u32),
    /// So many bytes, with these members.
    Structure(u32, Vec<Member<'a>>),
    /// The type that a pointer, a variable, or another name refers to.
    Reference(u32),
    /// Anything else.
    Other,
}

/// A member of a structure.
#[derive(Debug)]
pub(super) struct Member<'a> {
    pub(super) name: &'a str,
    pub(super) kind: u32,
    pub(super) offset: u32,
}

/// The kinds of uapi/linux/btf.h.
mod kind {
    pub(super) const INT: u32 = 1;
    pub(super) const PTR: u32 = 2;
    pub(super) const ARRAY: u32 = 3;
    pub(super) const STRUCT: u32 = 4;
    pub(super) const UNION: u32 = 5;
    pub(super) const ENUM: u32 = 6;
    pub(super) const TYPEDEF: u32 = 8;
    pub(super) const VOLATILE: u32 = 9;
    pub(super) const CONST: u32 = 10;
    pub(super) const FUNC_PROTO: u32 = 13;
    pub(super) const VAR: u32 = 14;
    pub(super) const DATASEC: u32 = 15;
    pub(super) const DECL_TAG: u32 = 17;
    pub(super) const ENUM64: u32 = 19;
}

impl TypeInfo {
    /// Of an object file for the eBPF target, little endian; None: it has none, or it is damaged.
    pub(super) fn of_object(file: &[u8]) -> Option<Self> {
        let file = object::File::parse(file).ok()?;
        Self::parse(file.section_by_name(".BTF")?.data().ok()?)
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let header: Vec<u32> = words(bytes.get(..24)?);
        let [
            magic,
            length,
            types_at,
            types_length,
            strings_at,
            strings_length,
        ] = header[..]
        else {
            return None;
        };
        if magic & 0x00ff_ffff != MAGIC_AND_VERSION {
            return None;
        }
        let section = |at: u32, section_length: u32| {
            let begin = length.checked_add(at)? as usize;
            bytes.get(begin..begin.checked_add(section_length as usize)?)
        };
        let words = words(section(types_at, types_length)?);
        let mut types = Vec::new();
        let mut at = 0;
        while at < words.len() {
            let [name, info, size_or_type] = *words.get(at..at + 3)? else {
                return None;
            };
            let (kind, count) = ((info >> 24) & 0x1f, (info & 0xffff) as usize);
            let more = match kind {
                kind::INT | kind::VAR | kind::DECL_TAG => 1,
                kind::ARRAY => 3,
                kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => 3 * count,
                kind::ENUM | kind::FUNC_PROTO => 2 * count,
                _ => 0,
            };
            at += 3;
            words.get(at..at + more)?;
            types.push(Record {
                name,
                kind,
                size_or_type,
                more: at..at + more,
            });
            at += more;
        }
        Some(Self {
            words,
            strings: section(strings_at, strings_length)?.to_vec(),
            types,
        })
    }

    /// The type of this number.
    pub(super) fn get(&self, number: u32) -> Option<Type<'_>> {
        let record = self
            .types
            .get(usize::try_from(number).ok()?.checked_sub(1)?)?;
        let more = &self.words[record.more.clone()];
        Some(match record.kind {
            kind::INT | kind::ENUM | kind::ENUM64 => Type::Scalar(record.size_or_type),
            kind::ARRAY => Type::Array(more[0], more[2]),
            kind::STRUCT => {
                let member = |member: &[u32]| {
                    Some(Member {
                        name: self.string(member[0])?,
                        kind: member[1],
                        // Bits; no field here begins in the middle of a byte.
                        offset: member[2] / 8,
                    })
                };
                let members = more.chunks_exact(3).map(member).collect::<Option<_>>()?;
                Type::Structure(record.size_or_type, members)
            }
            kind::PTR | kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::VAR => {
                Type::Reference(record.size_or_type)
            }
            _ => Type::Other,
        })
    }

    /// The type of the variable of this name.
    pub(super) fn variable(&self, name: &str) -> Option<Type<'_>> {
        let mut variables = self.types.iter().filter(|record| record.kind == kind::VAR);
        let found = variables.find(|record| self.string(record.name) == Some(name))?;
        self.get(found.size_or_type)
    }

    fn string(&self, offset: u32) -> Option<&str> {
        let bytes = self.strings.get(offset as usize..)?;
        let end = bytes.iter().position(|byte| *byte == 0)?;
        str::from_utf8(&bytes[..end]).ok()
    }
}

fn words(bytes: &[u8]) -> Vec<u32> {
    let (words, _) = bytes.as_chunks();
    words.iter().map(|word| u32::from_le_bytes(*word)).collect()
}
