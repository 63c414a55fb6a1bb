//! Output: tables and lines on stdout, progress and errors on stderr. Colours appear only on a
//! terminal, and not if `NO_COLOR` is set (anstream handles both).

use std::borrow::Cow;
use std::io::{ErrorKind, Write};
use std::sync::{Mutex, PoisonError};

use anstyle::{AnsiColor, Style};
use indicatif::ProgressBar;
use wgpu_bottleneck::tensor::Comparison;

use super::error::CliError;

const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();
const HEADING: Style = Style::new().bold();

/// Writes text to stdout as it is.
pub fn print(text: &str) -> Result<(), CliError> {
    let written = above_bar(|| {
        let mut stdout = anstream::stdout().lock();
        stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
    });
    written.map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => CliError::OutputClosed,
        _ => CliError::io("standard output", error),
    })
}

/// A heading, with an empty line above.
pub fn heading(text: &str) -> Result<(), CliError> {
    print(&format!("\n{HEADING}{text}{HEADING:#}\n"))
}

/// A value as JSON.
pub fn json(value: &serde_json::Value) -> Result<(), CliError> {
    print(&format!("{value:#}\n"))
}

/// A line on stderr. A failed write is ignored.
pub fn progress(text: &str) {
    let _ = above_bar(|| writeln!(anstream::stderr(), "{text}"));
}

/// The progress bar at the bottom of the terminal.
static BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// From now on, all output is written above this bar.
pub fn keep_above(bar: Option<ProgressBar>) {
    *BAR.lock().unwrap_or_else(PoisonError::into_inner) = bar;
}

/// Hides the bar during a write.
fn above_bar<T>(write: impl FnOnce() -> T) -> T {
    let bar = BAR.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match bar {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}

/// The destination of the log: stderr, unchanged.
pub fn log() -> impl Write {
    Log
}

struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        above_bar(|| std::io::stderr().write(bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

/// `error: ...` on stderr.
pub fn error(text: &str) {
    progress(&format!("{BAD}error:{BAD:#} {text}"));
}

/// Text from a file, made safe for a terminal: one line, no escape sequences.
pub fn shown(text: &str) -> Cow<'_, str> {
    if text.contains(char::is_control) {
        text.escape_debug().to_string().into()
    } else {
        text.into()
    }
}

/// `1 dispatch`, `3 dispatches`.
pub fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// A field of a table.
#[derive(Debug, Clone)]
pub struct Cell {
    text: String,
    style: Style,
}

impl<T: ToString> From<T> for Cell {
    fn from(value: T) -> Self {
        Self { text: value.to_string(), style: Style::new() }
    }
}

impl Cell {
    fn styled(&self) -> String {
        let Self { text, style } = self;
        format!("{style}{text}{style:#}")
    }

    /// Something that went wrong.
    pub fn bad(text: &str) -> Self {
        Self { text: text.to_owned(), style: BAD }
    }

    /// The result of a check.
    pub fn verdict(comparison: &Comparison) -> Self {
        match comparison.passed() {
            true => Self { text: "ok".to_owned(), style: GOOD },
            false => Self { text: "WRONG".to_owned(), style: BAD },
        }
    }
}

/// The alignment of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A table with a heading per column.
#[derive(Debug)]
pub struct Table {
    columns: Vec<(&'static str, Align)>,
    /// The minimum width of each column.
    least: Vec<usize>,
    rows: Vec<Vec<Cell>>,
    /// Whether [`Table::take`] has already returned the headings.
    has_begun: bool,
}

impl Table {
    /// A table without rows. A heading that begins with `>` makes a column of numbers.
    pub fn new(headings: &[&'static str]) -> Self {
        let column = |heading: &&'static str| match heading.strip_prefix('>') {
            Some(heading) => (heading, Align::Right),
            None => (*heading, Align::Left),
        };
        let columns: Vec<_> = headings.iter().map(column).collect();
        Self { least: vec![0; columns.len()], columns, rows: Vec::new(), has_begun: false }
    }

    /// Makes the columns at least this wide, in characters.
    pub fn widened<const N: usize>(mut self, least: [usize; N]) -> Self {
        self.least[..N].copy_from_slice(&least);
        self
    }

    /// Appends a row, one cell per column.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Returns the rows added since the last call as text, the first time with the headings. Use
    /// [`Table::widened`] to align rows from several calls.
    pub fn take(&mut self) -> String {
        let text = self.lines(!self.has_begun);
        self.has_begun = true;
        self.rows.clear();
        text
    }

    /// The whole table as text, indented by two. Empty columns take no room.
    pub fn render(&self) -> String {
        self.lines(true)
    }

    fn lines(&self, with_headings: bool) -> String {
        let headings = self
            .columns
            .iter()
            .map(|(heading, _)| Cell { text: (*heading).to_owned(), style: HEADING });
        let headings: Vec<Cell> = headings.collect();
        let rows = || std::iter::once(&headings).chain(&self.rows);
        let width = |column: usize| {
            let cells = rows().filter_map(|row| row.get(column));
            cells.map(|cell| cell.text.chars().count()).fold(self.least[column], usize::max)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let mut text = String::new();
        for row in rows().skip(if with_headings { 0 } else { 1 }) {
            let mut line = String::new();
            // Spaces are added before the next text only, so that no line ends with spaces.
            let mut owed = 0;
            for ((cell, (_, align)), &width) in row.iter().zip(&self.columns).zip(&widths) {
                let padding = width.saturating_sub(cell.text.chars().count());
                let (before, after) =
                    if *align == Align::Right { (padding, 0) } else { (0, padding) };
                owed += if width == 0 { 0 } else { 2 + before };
                if !cell.text.is_empty() {
                    line.push_str(&" ".repeat(std::mem::take(&mut owed)));
                    line.push_str(&cell.styled());
                }
                owed += after;
            }
            text.push_str(&line);
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_their_headings() {
        let mut table = Table::new(&["block", ">ms"]);
        table.row(["layer1.1".into(), 7.into()]);
        table.row(["".into(), 10.into()]);
        table.row(["x".into(), "".into()]);
        let plain = anstream::adapter::strip_str(&table.render()).to_string();
        assert_eq!(plain, "  block     ms\n  layer1.1   7\n            10\n  x\n");
        let mut table = Table::new(&["block", "", ">ms"]);
        table.row(["x".into(), "".into(), 7.into()]);
        let plain = anstream::adapter::strip_str(&table.render()).to_string();
        assert_eq!(plain, "  block  ms\n  x       7\n");
    }

    #[test]
    fn rows_are_taken_one_after_another() {
        let mut table = Table::new(&["image", ">ms", "class"]).widened([7, 3]);
        let mut taken = String::new();
        for row in [["a", "1", "cat"], ["b.jpeg", "100", "dog, or so"], ["c", "2", ""]] {
            table.row(row.map(Cell::from));
            taken += &table.take();
        }
        let plain = anstream::adapter::strip_str(&taken).to_string();
        let expected = [
            "  image     ms  class",
            "  a          1  cat",
            "  b.jpeg   100  dog, or so",
            "  c          2",
        ];
        assert_eq!(plain.lines().collect::<Vec<_>>(), expected);
        assert_eq!(table.take(), "");
    }
}
