//! Output of the viewing commands: a table without borders for people, a JSON array for programs.
//!
//! Where stdout is no terminal, a line is a row, for grep and awk.

use std::fmt::Display;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use serde::{Serialize, Serializer};

/// What could not be done when printing fails.
const STDOUT: &str = "stdout: cannot be written";

/// What every viewing command takes.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct OutputArgs {
    /// How to print: for people, or for programs
    #[arg(short, long, value_enum, default_value_t)]
    pub(super) output: Format,
}

/// How a viewing command prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Aligned columns
    #[default]
    Table,
    /// JSON objects, whose fields `--help` names: an array, or, of what goes on, one on each line
    Json,
}

/// One row; serialized, it is one object of the JSON array.
pub(super) trait Row: Serialize {
    /// The columns' names; empty: no head.
    const HEAD: &'static [&'static str];

    /// Whether the cells are prose, which may be broken to fit a terminal. Names and addresses
    /// may not: they would not survive being copied.
    const IS_PROSE: bool = false;

    /// What stands in the columns.
    fn cells(&self) -> Vec<Cell>;
}

/// What stands in one column of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    /// A text.
    Text(String),
    /// Several, on a terminal below each other.
    List(Vec<String>),
}

impl Cell {
    /// `yes` or `no`.
    pub(super) fn yes_or_no(is_so: bool) -> Self {
        Self::from(if is_so { "yes" } else { "no" })
    }

    pub(super) fn into_text(self, separator: &str) -> String {
        match self {
            Self::Text(text) => text,
            Self::List(texts) => texts.join(separator),
        }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// Where rows are printed.
pub(super) struct Listing<'a> {
    out: &'a mut dyn Write,
    width: Option<u16>,
}

impl<'a> Listing<'a> {
    /// Prints to `out`, a terminal if its `width` is known.
    pub(super) fn new(out: &'a mut dyn Write, width: Option<u16>) -> Self {
        Self { out, width }
    }

    /// Prints the rows; instead of an empty table, `empty`.
    pub(super) fn rows<R: Row>(
        &mut self,
        format: Format,
        rows: &[R],
        empty: &str,
    ) -> anyhow::Result<()> {
        match format {
            Format::Json => self.json(rows),
            Format::Table if rows.is_empty() => writeln!(self.out, "{empty}"),
            Format::Table => self.table(rows),
        }
        .context(STDOUT)
    }

    /// Prints a line for people.
    pub(super) fn line(&mut self, text: &str) -> anyhow::Result<()> {
        writeln!(self.out, "{text}").context(STDOUT)
    }

    /// Prints what is neither for people nor for programs that read tables.
    pub(super) fn raw(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.out.write_all(bytes).context(STDOUT)
    }

    /// Writes out what is buffered, as more comes only later.
    pub(super) fn flush(&mut self) -> anyhow::Result<()> {
        self.out.flush().context(STDOUT)
    }

    /// Writes out what is buffered.
    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        self.flush()
    }

    fn json<R: Row>(&mut self, rows: &[R]) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut self.out, rows)?;
        writeln!(self.out)
    }

    fn table<R: Row>(&mut self, rows: &[R]) -> io::Result<()> {
        let mut table = Table::new();
        table.load_style(NOTHING).force_no_tty();
        let separator = match self.width {
            Some(width) => {
                table.set_width(width);
                "\n"
            }
            None => ", ",
        };
        table.set_content_arrangement(if R::IS_PROSE {
            ContentArrangement::Dynamic
        } else {
            ContentArrangement::Disabled
        });
        if !R::HEAD.is_empty() {
            table.set_header(R::HEAD.to_vec());
        }
        for row in rows {
            let cells = row.cells().into_iter();
            table.add_row(cells.map(|cell| cell.into_text(separator)));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        for line in table.lines() {
            writeln!(self.out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// The width of the terminal, if stdout is one.
pub(super) fn terminal_width() -> Option<u16> {
    Table::new().width()
}

/// An address and port in JSON.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Socket {
    address: IpAddr,
    port: u16,
}

impl From<SocketAddr> for Socket {
    fn from(socket: SocketAddr) -> Self {
        Self {
            address: socket.ip(),
            port: socket.port(),
        }
    }
}

impl Display for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        SocketAddr::new(self.address, self.port).fmt(f)
    }
}

/// Serializes a value as it is displayed.
pub(super) fn as_text<T: Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

/// Seconds in the two largest units that fit: `45s`, `2m`, `23h59m`.
pub(super) fn duration(seconds: u32) -> String {
    let ((large, large_name), (small, small_name)) = match seconds {
        0..60 => return format!("{seconds}s"),
        60..3600 => ((60, "m"), (1, "s")),
        3600..86_400 => ((3600, "h"), (60, "m")),
        86_400.. => ((86_400, "d"), (3600, "h")),
    };
    match (seconds / large, seconds % large / small) {
        (count, 0) => format!("{count}{large_name}"),
        (count, rest) => format!("{count}{large_name}{rest}{small_name}"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The texts of cells as they stand in a file.
    pub(in crate::cli) fn texts(cells: Vec<Cell>) -> Vec<String> {
        cells.into_iter().map(|cell| cell.into_text(", ")).collect()
    }

    #[derive(Serialize)]
    struct Ship {
        name: &'static str,
        guns: u32,
        masts: [&'static str; 2],
    }

    impl Row for Ship {
        const HEAD: &'static [&'static str] = &["NAME", "GUNS", "MASTS"];

        fn cells(&self) -> Vec<Cell> {
            vec![
                self.name.into(),
                self.guns.to_string().into(),
                Cell::List(self.masts.map(str::to_owned).to_vec()),
            ]
        }
    }

    #[derive(Serialize)]
    struct Story;

    impl Row for Story {
        const HEAD: &'static [&'static str] = &[];
        const IS_PROSE: bool = true;

        fn cells(&self) -> Vec<Cell> {
            vec!["It was a dark and stormy night".into()]
        }
    }

    const SHIPS: [Ship; 2] = [
        Ship {
            name: "Victory",
            guns: 104,
            masts: ["fore", "main"],
        },
        Ship {
            name: "a name with words",
            guns: 8,
            masts: ["main", "mizzen"],
        },
    ];

    fn printed<R: Row>(rows: &[R], format: Format, width: Option<u16>) -> String {
        let mut out = Vec::new();
        Listing::new(&mut out, width)
            .rows(format, rows, "no ships")
            .unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_are_aligned_and_lines_end_without_blanks() {
        assert_eq!(
            printed(&SHIPS, Format::Table, None),
            "NAME               GUNS  MASTS\n\
             Victory            104   fore, main\n\
             a name with words  8     main, mizzen\n"
        );
    }

    #[test]
    fn on_a_terminal_a_list_stands_below_each_other_and_names_stay_whole() {
        assert_eq!(
            printed(&SHIPS, Format::Table, Some(18)),
            "NAME               GUNS  MASTS\n\
             Victory            104   fore\n\
             \x20                        main\n\
             a name with words  8     main\n\
             \x20                        mizzen\n"
        );
    }

    #[test]
    fn only_prose_is_broken_and_only_to_fit_a_terminal() {
        let lines = |width| printed(&[Story], Format::Table, width).lines().count();

        assert_eq!((lines(None), lines(Some(20))), (1, 2));
    }

    #[test]
    fn an_empty_table_says_so_and_an_empty_array_is_one() {
        assert_eq!(printed::<Ship>(&[], Format::Table, None), "no ships\n");
        assert_eq!(printed::<Ship>(&[], Format::Json, None), "[]\n");
    }

    #[test]
    fn numbers_stay_numbers_in_json() {
        let ships: serde_json::Value =
            serde_json::from_str(&printed(&SHIPS, Format::Json, None)).unwrap();

        assert_eq!(ships[0]["guns"], 104);
    }

    #[test]
    fn durations_have_at_most_two_units() {
        let shown = [0, 45, 60, 119, 3600, 86_399, 86_400, 90_061].map(duration);

        assert_eq!(
            shown,
            ["0s", "45s", "1m", "1m59s", "1h", "23h59m", "1d", "1d1h"]
        );
    }
}
