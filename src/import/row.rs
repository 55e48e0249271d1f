//! The rows of a file, one after the other: what each states, or why it cannot
//! be read.
//!
//! [`open`] looks at the header and refuses what cannot be right; after that no
//! row stops another. Nothing is remembered between rows but how the decimals
//! of a column are written, so memory does not grow with the file, and the same
//! file read again says the same.

use std::collections::BTreeMap;
use std::io::Read;
use std::str::FromStr;

use super::cells::{Cells, Encoding, Fault};
use super::header::{self, Header};
use super::lines::{Lines, Malformed, Next};
use super::own::Own;
use super::partnerstack::PartnerStack;
use super::recurly::Recurly;
use super::stripe::Stripe;
use crate::money::Currency;
use crate::movement::{Reading, Scope};

pub use super::moment::zone;

/// One row of a file that could be read: what its webhook would have stated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The line it begins on, from 1.
    pub line: u64,
    /// What it states. A row of which nothing is counted is `ignored` with the
    /// reason, as a webhook would be.
    pub reading: Reading,
}

/// One row that could not be read; it never stops the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The line it begins on, from 1.
    pub line: u64,
    /// The name of the column at fault, or its number where it has no name.
    pub column: Option<String>,
    /// Why, for a person.
    pub reason: String,
}

/// Why the file is refused before its first row; it says what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// Whose columns a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Format {
    /// What the header says.
    #[default]
    Auto,
    /// Our own columns.
    Tributary,
    /// The field names of PartnerStack's transactions API.
    PartnerStack,
    /// Stripe's export of payments, with `Created date (UTC)`.
    Stripe,
    /// The same from Stripe's older dashboard, with `Created (UTC)`.
    StripeOld,
    /// Recurly's export of transactions.
    Recurly,
    /// Any other, with a mapping of its columns to our fields.
    Mapped,
}

/// The formats by the names that people type.
const FORMATS: [(&str, Format); 7] = [
    ("auto", Format::Auto),
    ("tributary", Format::Tributary),
    ("partnerstack", Format::PartnerStack),
    ("stripe", Format::Stripe),
    ("stripe-old", Format::StripeOld),
    ("recurly", Format::Recurly),
    ("mapped", Format::Mapped),
];

impl Format {
    /// The name that people type.
    #[must_use]
    pub fn word(self) -> &'static str {
        let found = FORMATS.iter().find(|(_, format)| *format == self);
        found.map_or("auto", |(word, _)| word)
    }
}

impl FromStr for Format {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Format, Refused> {
        let found = FORMATS.iter().find(|(word, _)| *word == text);
        found.map(|(_, format)| *format).ok_or_else(|| {
            let words: Vec<&str> = FORMATS.iter().map(|(word, _)| *word).collect();
            Refused(format!(
                "there is no such format; there are {}",
                words.join(", ")
            ))
        })
    }
}

/// How decimals are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Decimal {
    /// As the amounts of each column show.
    #[default]
    Auto,
    /// `1,234.56`
    Point,
    /// `1.234,56`
    Comma,
}

impl FromStr for Decimal {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Decimal, Refused> {
        match text {
            "auto" => Ok(Decimal::Auto),
            "point" => Ok(Decimal::Point),
            "comma" => Ok(Decimal::Comma),
            _ => Err(Refused("decimals are auto, point or comma".to_owned())),
        }
    }
}

/// What the person said about the file.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The source's name.
    pub source: String,
    /// The source's provider, in one word.
    pub provider: &'static str,
    /// Whose columns the file has.
    pub format: Format,
    /// A mapping, column to field; with one, only mapped columns are read.
    pub map: BTreeMap<String, String>,
    /// The zone of times that name none.
    pub zone: Option<jiff::tz::TimeZone>,
    /// What stands between cells; `None`: what the header line shows.
    pub delimiter: Option<u8>,
    /// How decimals are written.
    pub decimal: Decimal,
    /// The currency of rows that name none.
    pub currency: Option<String>,
    /// Where the ids live, for rows that do not say.
    pub scope: Scope,
}

/// What every format is told when it reads its header.
pub struct Told<'o> {
    /// What the person said.
    pub options: &'o Options,
    /// The currency of rows that name none.
    pub currency: Option<Currency>,
}

/// The rows of a file.
pub struct Rows<R> {
    lines: Lines<R>,
    header: Header,
    layout: Layout,
    format: Format,
    encoding: Encoding,
    delimiter: u8,
    ended: bool,
}

enum Layout {
    Own(Box<Own>),
    PartnerStack(Box<PartnerStack>),
    Stripe(Box<Stripe>),
    Recurly(Box<Recurly>),
}

impl Layout {
    fn read(&mut self, cells: Cells<'_>) -> Result<Reading, Fault> {
        match self {
            Layout::Own(own) => own.read(cells),
            Layout::PartnerStack(partnerstack) => partnerstack.read(cells),
            Layout::Stripe(stripe) => stripe.read(cells),
            Layout::Recurly(recurly) => recurly.read(cells),
        }
    }

    /// Takes note of how the decimals of a row are written.
    fn see(&mut self, cells: Cells<'_>) {
        let columns = match self {
            Layout::Own(own) => own.decimals(),
            Layout::Stripe(stripe) => stripe.decimals(),
            Layout::Recurly(recurly) => recurly.decimals(),
            Layout::PartnerStack(_) => return,
        };
        for (column, convention) in columns {
            if let Ok(Some(text)) = cells.text(column) {
                convention.see(&text);
            }
        }
    }
}

/// The byte order mark of UTF-8.
const UTF8_MARK: &[u8] = b"\xef\xbb\xbf";

/// How files begin that are no text we read, and what to do about them.
const NOT_CSV: [(&[u8], &str); 4] = [
    (
        b"\xff\xfe",
        "the file is UTF-16; save it as \"CSV UTF-8\" and import that",
    ),
    (
        b"\xfe\xff",
        "the file is UTF-16; save it as \"CSV UTF-8\" and import that",
    ),
    (
        b"PK\x03\x04",
        "the file is a workbook or a zip archive; save or unpack it as CSV",
    ),
    (b"\x1f\x8b", "the file is compressed; unpack it first"),
];

/// Rows that are looked at before the first is read, to see how their decimals
/// are written. They are in the buffer already.
const LOOKED_AHEAD_ROWS: usize = 2_000;

/// Opens a file and reads its header.
///
/// # Errors
/// Why no row of it can be read.
pub fn open<R: Read>(file: R, options: &Options) -> Result<Rows<R>, Refused> {
    let mut lines = Lines::new(file);
    lines.fill();
    if let (Some(why), true) = (lines.broken(), lines.ahead().is_empty()) {
        return Err(Refused(format!("the file cannot be read: {why}")));
    }
    let encoding = encoding(&mut lines)?;
    let delimiter = options.delimiter;
    let delimiter = delimiter.unwrap_or_else(|| header::delimiter(lines.ahead()));
    lines.delimited_by(delimiter);
    let header = Header::read(&mut lines, encoding)?;
    let format = format(options, &header)?;
    let currency = options.currency.as_deref().map(str::parse::<Currency>);
    let told = Told {
        options,
        currency: currency
            .transpose()
            .map_err(|error| Refused(error.to_string()))?,
    };
    let header = match format {
        Format::Mapped => header.mapped(&options.map)?,
        _ => header,
    };
    let mut layout = match format {
        Format::Auto | Format::Tributary => Layout::Own(Box::new(Own::new(&header, &told, false)?)),
        Format::Mapped => Layout::Own(Box::new(Own::new(&header, &told, true)?)),
        Format::PartnerStack => Layout::PartnerStack(Box::new(PartnerStack::new(&header, &told)?)),
        Format::Stripe | Format::StripeOld => {
            Layout::Stripe(Box::new(Stripe::new(&header, &told)?))
        }
        Format::Recurly => Layout::Recurly(Box::new(Recurly::new(&header, &told)?)),
    };
    lines.look_ahead(LOOKED_AHEAD_ROWS, |bytes, spans| {
        layout.see(Cells::new(bytes, spans, encoding));
    });
    Ok(Rows {
        lines,
        header,
        layout,
        format,
        encoding,
        delimiter,
        ended: false,
    })
}

/// The encoding that the beginning of the file speaks for; its mark is skipped.
fn encoding<R: Read>(lines: &mut Lines<R>) -> Result<Encoding, Refused> {
    let ahead = lines.ahead();
    if let Some((_, why)) = NOT_CSV.iter().find(|(mark, _)| ahead.starts_with(mark)) {
        return Err(Refused((*why).to_owned()));
    }
    if ahead.starts_with(UTF8_MARK) {
        lines.skip(UTF8_MARK.len());
        return Ok(Encoding::Utf8);
    }
    let first = ahead.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
    let first = ahead.get(..first.unwrap_or(ahead.len()));
    if first.is_some_and(|line| line.contains(&0)) {
        let why = "the file is UTF-16, or no text at all; save it as \"CSV UTF-8\" and import that";
        return Err(Refused(why.to_owned()));
    }
    Ok(Encoding::of(ahead))
}

/// The format of the file, where the person and the header leave no doubt.
fn format(options: &Options, header: &Header) -> Result<Format, Refused> {
    let format = match (options.format, options.map.is_empty()) {
        (Format::Auto | Format::Mapped, false) => Format::Mapped,
        (Format::Mapped, true) => {
            let why = "say which column is which field: --map \"Transaction ID=payment_id\"";
            return Err(header.refused(why));
        }
        (Format::Auto, true) => header.format().ok_or_else(|| {
            header.refused(
                "the columns are of no known format; name them as the README's \"CSV columns\" \
                 does, or say which is which with --map column=field",
            )
        })?,
        (said, true) => said,
        (said, false) => {
            let why = format!("a mapping does not go with the format {}", said.word());
            return Err(Refused(why));
        }
    };
    let of = match format {
        Format::Stripe | Format::StripeOld => "stripe",
        Format::Recurly => "recurly",
        _ => return Ok(format),
    };
    if options.provider != of {
        return Err(Refused(format!(
            "this is an export of {of}, and the source \"{}\" is of {}; its ids would be taken for other payments",
            options.source, options.provider
        )));
    }
    Ok(format)
}

impl<R: Read> Rows<R> {
    /// Whose columns the file has.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Bytes of the file that were read as rows so far.
    pub fn bytes_read(&self) -> u64 {
        self.lines.bytes_read()
    }

    /// What ended the rows before the file did.
    pub fn broken(&self) -> Option<&str> {
        self.lines.broken()
    }

    /// The encoding of the text, by name, as far as the file has shown.
    pub fn encoding(&self) -> &'static str {
        self.encoding.name()
    }

    /// What stands between two cells.
    pub fn delimiter(&self) -> u8 {
        self.delimiter
    }

    fn rejected(&self, line: u64, column: Option<usize>, reason: impl Into<String>) -> Rejected {
        let name = |column: usize| match self.header.written(column) {
            Some(name) => name.to_owned(),
            None => format!("{}", column + 1),
        };
        Rejected {
            line,
            column: column.map(name),
            reason: reason.into(),
        }
    }

    /// What the present record says; `None` where all its cells are empty.
    fn record(&mut self, line: u64, several_lines: bool) -> Option<Result<Row, Rejected>> {
        let (bytes, spans) = self.lines.record();
        if self.encoding == Encoding::Ascii && !bytes.is_ascii() {
            self.encoding = Encoding::of(self.lines.ahead_from_record());
        }
        let cells = Cells::new(bytes, spans, self.encoding);
        let (has, width) = (cells.len(), self.header.width());
        // Some programs end each row with a delimiter.
        let beyond = (width..has).any(|column| !cells.raw(column).is_empty());
        if has < width || beyond {
            if cells.is_empty() {
                return None;
            }
            let reason = format!("the row has {has} cells, and the header {width}");
            if several_lines {
                let why = "";
                self.lines.give_back(Malformed { cell: 0, why });
            }
            return Some(Err(self.rejected(line, None, reason)));
        }
        match self.layout.read(cells) {
            Ok(reading) => Some(Ok(Row { line, reading })),
            Err(_) if cells.is_empty() => None,
            Err(fault) => Some(Err(self.rejected(line, fault.column, fault.why))),
        }
    }

    /// The last word on a file that could not be read to its end.
    fn end(&mut self) -> Option<Result<Row, Rejected>> {
        self.ended = true;
        let why = self.lines.broken()?;
        let reason = format!("the file could not be read beyond this line: {why}");
        Some(Err(self.rejected(self.lines.line(), None, reason)))
    }
}

impl<R: Read> Iterator for Rows<R> {
    type Item = Result<Row, Rejected>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            let (line, several) = match self.lines.advance() {
                Next::Record { line, lines } => (line, lines > 1),
                Next::Malformed { line, fault } => {
                    return Some(Err(self.rejected(line, Some(fault.cell), fault.why)));
                }
                Next::End => return self.end(),
            };
            if let Some(row) = self.record(line, several) {
                return Some(row);
            }
        }
        None
    }
}
