//! From one shape of keys or values to another, field by field by name. Pure.
//!
//! What only the new shape has is zero, and what only the old one has is dropped. Numbers are little endian, as the
//! programs are compiled for; those in network byte order are arrays of bytes, whose width never changes.

use std::collections::HashMap;

use super::layout::{Field, Shape};

/// How to turn one shape into another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Conversion {
    steps: Vec<Step>,
    /// The size of what comes out.
    bytes: usize,
}

/// One field, or several that lie beside each other in both shapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Bytes as they are.
    Copy {
        from: usize,
        to: usize,
        bytes: usize,
    },
    /// Number by number.
    Numbers { from: Numbers, to: Numbers },
}

/// Numbers in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Numbers {
    offset: usize,
    width: usize,
    count: usize,
}

impl From<&Field> for Numbers {
    fn from(field: &Field) -> Self {
        Self {
            offset: field.offset as usize,
            width: field.width as usize,
            count: field.count as usize,
        }
    }
}

impl Conversion {
    /// From one shape to another.
    pub(super) fn new(from: &Shape, to: &Shape) -> Self {
        let known: HashMap<&str, &Field> = from
            .fields
            .iter()
            .map(|field| (field.name.as_str(), field))
            .collect();
        let mut steps = Vec::new();
        for field in &to.fields {
            let Some(old) = known.get(field.name.as_str()).copied() else {
                continue;
            };
            let (from, to) = (Numbers::from(old), Numbers::from(field));
            if (from.width, from.count) == (to.width, to.count) {
                copy(&mut steps, from.offset, to.offset, to.width * to.count);
            } else {
                steps.push(Step::Numbers { from, to });
            }
        }
        Self {
            steps,
            bytes: to.bytes as usize,
        }
    }

    /// Appends what `old` becomes to `new`; false, and nothing is appended: a number is too large for the new
    /// shape.
    #[must_use]
    pub(super) fn convert(&self, old: &[u8], new: &mut Vec<u8>) -> bool {
        let begin = new.len();
        new.resize(begin + self.bytes, 0);
        let fits = self.fill(old, &mut new[begin..]).is_some();
        if !fits {
            new.truncate(begin);
        }
        fits
    }

    fn fill(&self, old: &[u8], new: &mut [u8]) -> Option<()> {
        for step in &self.steps {
            match *step {
                Step::Copy { from, to, bytes } => new
                    .get_mut(to..to + bytes)?
                    .copy_from_slice(old.get(from..from + bytes)?),
                Step::Numbers { from, to } => {
                    for index in 0..from.count {
                        let begin = from.offset + index * from.width;
                        let number = old.get(begin..begin + from.width)?;
                        let width = if index < to.count { to.width } else { 0 };
                        let (low, high) = number.split_at(from.width.min(width));
                        if high.iter().any(|byte| *byte != 0) {
                            return None;
                        }
                        let begin = to.offset + index * to.width;
                        if !low.is_empty() {
                            new.get_mut(begin..begin + low.len())?.copy_from_slice(low);
                        }
                    }
                }
            }
        }
        Some(())
    }
}

/// Adds bytes to be copied, to the last step where they lie behind its own in both shapes.
fn copy(steps: &mut Vec<Step>, from: usize, to: usize, bytes: usize) {
    if let Some(Step::Copy {
        from: last_from,
        to: last_to,
        bytes: last,
    }) = steps.last_mut()
        && (*last_from + *last, *last_to + *last) == (from, to)
    {
        *last += bytes;
        return;
    }
    steps.push(Step::Copy { from, to, bytes });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shape of fields without gaps: name, width, count.
    fn shape(fields: &[(&str, u32, u32)]) -> Shape {
        let mut shape = Shape::default();
        for (name, width, count) in fields {
            shape.fields.push(Field {
                name: (*name).to_owned(),
                offset: shape.bytes,
                width: *width,
                count: *count,
            });
            shape.bytes += width * count;
        }
        shape
    }

    fn convert(from: &Shape, to: &Shape, old: &[u8]) -> Option<Vec<u8>> {
        let mut new = vec![9];
        let fits = Conversion::new(from, to).convert(old, &mut new);
        assert_eq!(new.remove(0), 9);
        fits.then_some(new)
    }

    #[test]
    fn fields_are_found_by_name_wherever_they_are() {
        let from = shape(&[
            ("address.octets", 1, 4),
            ("port.bytes", 1, 2),
            ("flags", 2, 1),
        ]);
        let to = shape(&[
            ("flags", 2, 1),
            ("port.bytes", 1, 2),
            ("address.octets", 1, 4),
        ]);

        let new = convert(&from, &to, &[10, 0, 0, 1, 0, 80, 1, 0]);

        assert_eq!(new, Some(vec![1, 0, 0, 80, 10, 0, 0, 1]));
    }

    #[test]
    fn a_new_field_is_zero_and_a_removed_one_is_dropped() {
        let from = shape(&[("kind", 1, 1), ("old", 1, 3), ("service", 4, 1)]);
        let to = shape(&[("kind", 1, 1), ("new", 2, 2), ("service", 4, 1)]);

        let new = convert(&from, &to, &[7, 1, 2, 3, 5, 6, 0, 0]);

        assert_eq!(new, Some(vec![7, 0, 0, 0, 0, 5, 6, 0, 0]));
    }

    #[test]
    fn a_number_may_become_wider_and_narrower_if_it_fits() {
        let (narrow, wide) = (shape(&[("n", 2, 1)]), shape(&[("n", 4, 1)]));

        assert_eq!(convert(&narrow, &wide, &[1, 2]), Some(vec![1, 2, 0, 0]));
        assert_eq!(convert(&wide, &narrow, &[1, 2, 0, 0]), Some(vec![1, 2]));
        assert_eq!(convert(&wide, &narrow, &[1, 2, 3, 0]), None);
    }

    #[test]
    fn an_array_may_become_longer_and_shorter_where_its_end_is_zero() {
        let (short, long) = (shape(&[("n", 2, 2)]), shape(&[("n", 4, 3)]));

        let longer = convert(&short, &long, &[1, 0, 2, 0]);
        let shorter = convert(&long, &short, &[1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
        let cut = convert(&long, &short, &[1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0]);

        assert_eq!(longer, Some(vec![1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]));
        assert_eq!((shorter, cut), (Some(vec![1, 0, 2, 0]), None));
    }

    #[test]
    fn fields_that_lie_beside_each_other_are_copied_at_once() {
        let from = shape(&[("a", 4, 1), ("b", 2, 1), ("c", 1, 4), ("d", 8, 1)]);
        let to = shape(&[
            ("a", 4, 1),
            ("b", 2, 1),
            ("c", 1, 4),
            ("new", 1, 1),
            ("d", 8, 1),
        ]);

        let steps = Conversion::new(&from, &to).steps;

        assert_eq!(
            steps,
            [
                Step::Copy {
                    from: 0,
                    to: 0,
                    bytes: 10
                },
                Step::Copy {
                    from: 10,
                    to: 11,
                    bytes: 8
                }
            ]
        );
    }
}
