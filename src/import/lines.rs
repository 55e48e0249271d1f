//! Bytes to records: where each row of a file begins and ends, and its cells.
//!
//! The form is that of RFC 4180 with any of four delimiters and any line end.
//! It is stricter than the `csv` crate on purpose, which takes a stray quote for
//! text and an unclosed one for the rest of the file: here a record that is not
//! well-formed costs one line and no other, so that no row is lost unsaid.
//! Memory is bounded by [`RECORD_MOST_BYTES`]. What a cell means is not known here.

use std::io::{ErrorKind, Read};

/// The longest record in bytes. Fifty metadata values of 500 characters fit many
/// times over; what is longer is a quote that was never closed.
pub const RECORD_MOST_BYTES: usize = 256 * 1024;

/// How much is read at once: a record of any size, and the rows around it.
const BUFFER_BYTES: usize = 2 * RECORD_MOST_BYTES;

/// The most columns. Stripe's widest export has about 80 and one for each name
/// in metadata.
const COLUMNS_MOST: usize = 4_096;

const QUOTE: u8 = b'"';

/// Where one cell stands in its record, without its quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its first byte.
    pub from: u32,
    /// The byte behind it.
    pub to: u32,
    /// True where doubled quotes in it stand for single ones.
    pub doubled: bool,
}

/// Why a record is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The cell, counted from 0.
    pub cell: usize,
    /// The reason.
    pub why: &'static str,
}

const UNCLOSED: &str = "a quote is opened here and never closed";
const STRAY: &str = "a quote stands in the middle of a cell that does not begin with one";
const BEHIND: &str = "text stands behind the closing quote";
const TOO_LONG: &str = "the row is longer than 256 KiB";
const CUT: &str = "the file could not be read to the end of this row";
const TOO_WIDE: &str = "the row has more than 4096 cells";

/// What came next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// A record; its bytes and cells are those of [`Lines::record`].
    Record {
        /// The line it begins on, from 1.
        line: u64,
        /// How many lines it has.
        lines: u64,
    },
    /// A line that is no record.
    Malformed {
        /// The line, from 1.
        line: u64,
        /// Why.
        fault: Malformed,
    },
    /// Nothing is left.
    End,
}

/// The records of a file, one after the other.
pub struct Lines<R> {
    file: R,
    delimiter: u8,
    ends: Ends,
    buffer: Vec<u8>,
    /// The first byte that was not handed out.
    at: usize,
    /// Where the present record begins.
    begin: usize,
    /// The line that `begin` stands on, from 1.
    begin_line: u64,
    /// The line that `at` stands on, from 1.
    line: u64,
    ended: bool,
    /// Bytes before the buffer's first.
    before: u64,
    broken: Option<String>,
    cells: Vec<Span>,
    any_quoted: bool,
}

/// The bytes that end a cell without quotes, one look for each byte.
struct Ends([bool; 256]);

impl Ends {
    fn new(delimiter: u8) -> Ends {
        let mut ends = [false; 256];
        for byte in [delimiter, b'\n', b'\r', QUOTE] {
            if let Some(slot) = ends.get_mut(usize::from(byte)) {
                *slot = true;
            }
        }
        Ends(ends)
    }

    fn contains(&self, byte: u8) -> bool {
        self.0.get(usize::from(byte)).copied().unwrap_or_default()
    }
}

/// How the scan of one record ended.
enum Scan {
    /// The record ends before this byte, and the next begins at the other one.
    Whole {
        next: usize,
    },
    /// The buffer ends first.
    More {
        cell: usize,
        quoted: bool,
    },
    Bad(Malformed),
}

impl<R: Read> Lines<R> {
    /// The records of `file`. Call [`Lines::fill`] before anything else.
    pub fn new(file: R) -> Lines<R> {
        Lines {
            file,
            delimiter: b',',
            ends: Ends::new(b','),
            buffer: Vec::new(),
            at: 0,
            begin: 0,
            begin_line: 1,
            line: 1,
            ended: false,
            before: 0,
            broken: None,
            cells: Vec::new(),
            any_quoted: false,
        }
    }

    /// From now on cells end at `delimiter`.
    pub fn delimited_by(&mut self, delimiter: u8) {
        self.delimiter = delimiter;
        self.ends = Ends::new(delimiter);
    }

    /// The bytes read and not handed out yet.
    pub fn ahead(&self) -> &[u8] {
        self.buffer.get(self.at..).unwrap_or_default()
    }

    /// Skips bytes that belong to no row: a byte order mark.
    pub fn skip(&mut self, bytes: usize) {
        self.at = (self.at + bytes).min(self.buffer.len());
    }

    /// Bytes handed out so far.
    pub fn bytes_read(&self) -> u64 {
        self.before.saturating_add(self.at as u64)
    }

    /// Why reading ended before the file did.
    pub fn broken(&self) -> Option<&str> {
        self.broken.as_deref()
    }

    /// The line that comes next, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// The present record and its cells.
    pub fn record(&self) -> (&[u8], &[Span]) {
        let bytes = self.buffer.get(self.begin..self.at);
        (bytes.unwrap_or_default(), &self.cells)
    }

    /// The bytes from the beginning of the present record on.
    pub fn ahead_from_record(&self) -> &[u8] {
        self.buffer.get(self.begin..).unwrap_or_default()
    }

    /// Reads on until the buffer is full or the file ends. What was handed out
    /// leaves the buffer.
    pub fn fill(&mut self) {
        self.buffer.drain(..self.at);
        self.before = self.before.saturating_add(self.at as u64);
        (self.at, self.begin) = (0, 0);
        let mut used = self.buffer.len();
        self.buffer.resize(BUFFER_BYTES.max(used), 0);
        while !self.ended && used < self.buffer.len() {
            match self
                .file
                .read(self.buffer.get_mut(used..).unwrap_or_default())
            {
                Ok(0) => self.ended = true,
                Ok(bytes) => used += bytes,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.ended = true;
                    self.broken = Some(error.to_string());
                }
            }
        }
        self.buffer.truncate(used);
    }

    /// The next record, blank lines left out.
    pub fn advance(&mut self) -> Next {
        loop {
            self.skip_blank_lines();
            if self.at == self.buffer.len() {
                if self.ended {
                    return Next::End;
                }
                self.fill();
                continue;
            }
            (self.begin, self.begin_line) = (self.at, self.line);
            let fault = match self.scan() {
                Scan::Whole { next } => return self.hand_out(next),
                Scan::Bad(fault) => fault,
                Scan::More { cell, quoted } => match self.ended {
                    false if self.buffer.len() - self.begin <= RECORD_MOST_BYTES => {
                        self.fill();
                        continue;
                    }
                    ended => Malformed {
                        cell,
                        why: if ended || quoted { UNCLOSED } else { TOO_LONG },
                    },
                },
            };
            return self.give_back(fault);
        }
    }

    /// Takes back the record that was handed out last, but for its first line:
    /// it does not fit the file, so its further lines may be rows themselves.
    pub fn give_back(&mut self, fault: Malformed) -> Next {
        let line = self.begin_line;
        self.at = self.begin;
        self.drop_line();
        self.line = line + 1;
        Next::Malformed { line, fault }
    }

    /// Shows the records that are in the buffer already, and hands none out.
    pub fn look_ahead(&mut self, most: usize, mut see: impl FnMut(&[u8], &[Span])) {
        let at = self.at;
        for _ in 0..most {
            self.begin = self.at;
            if self.begin == self.buffer.len() {
                break;
            }
            match self.scan() {
                Scan::Whole { next } => {
                    let bytes = self.buffer.get(self.begin..next).unwrap_or_default();
                    see(bytes, &self.cells);
                    self.at = next;
                }
                Scan::Bad(_) => match self.ahead().iter().position(is_line_end) {
                    Some(end) => self.at = after_line_end(&self.buffer, self.at + end),
                    None => break,
                },
                Scan::More { .. } => break,
            }
        }
        (self.at, self.begin) = (at, at);
    }

    /// Leaves out what is left of the line, however long it is.
    fn drop_line(&mut self) {
        loop {
            if let Some(end) = self.ahead().iter().position(is_line_end) {
                self.at += end;
                // The line feed of a pair may not be read yet.
                if self.ahead().len() < 2 && !self.ended {
                    self.fill();
                }
                self.at = after_line_end(&self.buffer, self.at);
                return;
            }
            self.at = self.buffer.len();
            if self.ended {
                return;
            }
            self.fill();
        }
    }

    fn hand_out(&mut self, next: usize) -> Next {
        let line = self.begin_line;
        self.at = next;
        // Only a quoted cell can hold a line end.
        let lines = match self.any_quoted {
            true => lines_of(self.buffer.get(self.begin..next).unwrap_or_default()),
            false => 1,
        };
        self.line = line + lines;
        Next::Record { line, lines }
    }

    fn skip_blank_lines(&mut self) {
        loop {
            let ahead = self.ahead();
            let blank = |byte: &u8| matches!(byte, b' ' | b'\t') && *byte != self.delimiter;
            let spaces = ahead.iter().take_while(|byte| blank(byte)).count();
            match ahead.get(spaces) {
                Some(b'\n' | b'\r') => {
                    // The line feed of a pair may not be read yet.
                    if spaces + 1 == ahead.len() && !self.ended {
                        self.fill();
                        continue;
                    }
                    self.at = after_line_end(&self.buffer, self.at + spaces);
                    self.line += 1;
                }
                None if self.ended => {
                    self.at = self.buffer.len();
                    return;
                }
                _ => return,
            }
        }
    }

    /// Finds the cells of the record that begins at `begin`.
    fn scan(&mut self) -> Scan {
        self.cells.clear();
        self.any_quoted = false;
        let bytes = self.buffer.get(self.begin..).unwrap_or_default();
        let limit = bytes.len().min(RECORD_MOST_BYTES);
        let mut at = 0;
        loop {
            let cell = self.cells.len();
            if cell == COLUMNS_MOST {
                return Scan::Bad(Malformed {
                    cell,
                    why: TOO_WIDE,
                });
            }
            let quoted = bytes.get(at) == Some(&QUOTE);
            let span = match quoted {
                true => quoted_cell(bytes, at + 1, limit),
                false => plain_cell(bytes, at, limit, &self.ends),
            };
            let span = match span {
                Ok(Some(span)) => span,
                Ok(None) => return Scan::More { cell, quoted },
                Err(why) => return Scan::Bad(Malformed { cell, why }),
            };
            let end = span.to as usize + usize::from(quoted);
            self.cells.push(span);
            self.any_quoted |= quoted;
            match bytes.get(end) {
                Some(byte) if *byte == self.delimiter => at = end + 1,
                // Whether a line feed follows may not be known yet.
                Some(b'\r') if end + 1 == bytes.len() && !self.ended => {
                    return Scan::More {
                        cell,
                        quoted: false,
                    };
                }
                Some(b'\n' | b'\r') => {
                    let next = after_line_end(bytes, end);
                    return Scan::Whole {
                        next: self.begin + next,
                    };
                }
                Some(_) => return Scan::Bad(Malformed { cell, why: BEHIND }),
                // Half an amount is another amount.
                None if self.broken.is_some() => return Scan::Bad(Malformed { cell, why: CUT }),
                None if self.ended => {
                    return Scan::Whole {
                        next: self.begin + end,
                    };
                }
                None => {
                    return Scan::More {
                        cell,
                        quoted: false,
                    };
                }
            }
        }
    }
}

/// The cell that begins at `from` without a quote; `None` where the buffer ends
/// first.
fn plain_cell(
    bytes: &[u8],
    from: usize,
    limit: usize,
    ends: &Ends,
) -> Result<Option<Span>, &'static str> {
    let rest = bytes.get(from..limit).unwrap_or_default();
    match rest.iter().position(|byte| ends.contains(*byte)) {
        Some(end) if rest.get(end) == Some(&QUOTE) => Err(STRAY),
        Some(end) => Ok(span(from, from + end, false)),
        None if limit < bytes.len() => Err(TOO_LONG),
        // At the end of the file this is a whole cell; the caller knows.
        None => Ok(span(from, limit, false)),
    }
}

/// The cell whose opening quote stands before `from`.
fn quoted_cell(bytes: &[u8], from: usize, limit: usize) -> Result<Option<Span>, &'static str> {
    let (mut at, mut doubled) = (from, false);
    loop {
        let rest = bytes.get(at..limit).unwrap_or_default();
        let Some(end) = memchr::memchr(QUOTE, rest) else {
            return match limit < bytes.len() {
                true => Err(UNCLOSED),
                false => Ok(None),
            };
        };
        match bytes.get(at + end + 1) {
            Some(&QUOTE) => {
                doubled = true;
                at += end + 2;
            }
            _ => return Ok(span(from, at + end, doubled)),
        }
    }
}

fn span(from: usize, to: usize, doubled: bool) -> Option<Span> {
    Some(Span {
        from: u32::try_from(from).ok()?,
        to: u32::try_from(to).ok()?,
        doubled,
    })
}

/// The byte behind the line end that stands at `at`.
fn after_line_end(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at..) {
        Some([b'\r', b'\n', ..]) => at + 2,
        Some([]) | None => at,
        _ => at + 1,
    }
}

fn is_line_end(byte: &u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// The lines of a record; a carriage return and its line feed end one.
fn lines_of(bytes: &[u8]) -> u64 {
    let ends = memchr::memchr2_iter(b'\n', b'\r', bytes);
    let single = ends.filter(|at| bytes.get(*at..at + 2) != Some(b"\r\n"));
    let closed = bytes.last().is_some_and(is_line_end);
    single.count() as u64 + u64::from(!closed)
}
