//! Rows that are printed as they come: columns that widen where they must for people, a JSON object on each
//! line for programs.

use serde::Serialize;

use super::table::{Format, Row};

/// Between columns.
const GAP: &str = "  ";

/// What has been printed so far tells how wide the columns are.
#[derive(Debug)]
pub(super) struct Stream {
    format: Format,
    widths: Vec<usize>,
}

impl Stream {
    /// Columns are as wide as these at least.
    pub(super) fn new(format: Format, widths: &[usize]) -> Self {
        Self {
            format,
            widths: widths.to_vec(),
        }
    }

    /// The columns' names, where people read.
    pub(super) fn head<R: Row>(&mut self) -> String {
        match self.format {
            Format::Json => String::new(),
            Format::Table => self.columns(R::HEAD.iter().map(|name| (*name).to_owned())),
        }
    }

    /// A row's line.
    pub(super) fn row<R: Row>(&mut self, row: &R) -> anyhow::Result<String> {
        match self.format {
            Format::Json => Self::object(row),
            Format::Table => {
                let cells = row.cells().into_iter().map(|cell| cell.into_text(", "));
                Ok(self.columns(cells))
            }
        }
    }

    /// A line of JSON.
    pub(super) fn object(object: &impl Serialize) -> anyhow::Result<String> {
        let mut line = serde_json::to_string(object)?;
        line.push('\n');
        Ok(line)
    }

    fn columns(&mut self, cells: impl Iterator<Item = String>) -> String {
        let mut line = String::new();
        for (column, cell) in cells.enumerate() {
            let length = cell.chars().count();
            if self.widths.len() <= column {
                self.widths.push(0);
            }
            let width = self.widths[column].max(length);
            self.widths[column] = width;
            line.push_str(&cell);
            line.extend(std::iter::repeat_n(' ', width - length));
            line.push_str(GAP);
        }
        let mut line = line.trim_end().to_owned();
        line.push('\n');
        line
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::Cell;
    use super::*;

    #[derive(Serialize)]
    struct Sighting {
        bird: &'static str,
        count: u32,
    }

    impl Row for Sighting {
        const HEAD: &'static [&'static str] = &["BIRD", "COUNT"];

        fn cells(&self) -> Vec<Cell> {
            vec![self.bird.into(), self.count.to_string().into()]
        }
    }

    const JAY: Sighting = Sighting {
        bird: "jay",
        count: 2,
    };
    const HERON: Sighting = Sighting {
        bird: "grey heron",
        count: 1,
    };

    #[test]
    fn a_column_widens_with_what_stands_in_it_and_stays_wide() {
        let mut stream = Stream::new(Format::Table, &[5]);

        let text = [
            stream.head::<Sighting>(),
            stream.row(&JAY).unwrap(),
            stream.row(&HERON).unwrap(),
            stream.row(&JAY).unwrap(),
        ]
        .concat();

        assert_eq!(
            text,
            "BIRD   COUNT\n\
             jay    2\n\
             grey heron  1\n\
             jay         2\n"
        );
    }

    #[test]
    fn a_line_of_json_is_one_object() {
        let mut stream = Stream::new(Format::Json, &[]);

        assert_eq!(stream.head::<Sighting>(), "");
        assert_eq!(
            stream.row(&JAY).unwrap(),
            "{\"bird\":\"jay\",\"count\":2}\n"
        );
    }
}
