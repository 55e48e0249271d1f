//! The cells of one record as text, and how a row that cannot be read says why.
//!
//! A file is UTF-8 or Windows-1252, never both: a cell that fits only the other
//! one is refused, because a customer key with the wrong letters is another
//! customer's. Nothing here knows what a column means.

use std::borrow::Cow;

use encoding_rs::WINDOWS_1252;

use super::lines::Span;
use crate::provider::Unreadable;
use crate::provider::checks;

/// No more than [`checks::plain_id`] takes.
const ID_CHARS: usize = 255;

/// No more than [`checks::clue`] takes.
const CLUE_CHARS: usize = 500;

/// Why a row cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The column at fault, counted from 0.
    pub column: Option<usize>,
    /// The reason; it quotes nothing that may be personal.
    pub why: Cow<'static, str>,
}

impl Fault {
    /// The cell of `column` is at fault.
    pub fn at(column: Option<usize>, why: impl Into<Cow<'static, str>>) -> Fault {
        Fault {
            column,
            why: why.into(),
        }
    }

    /// The row as a whole is at fault.
    pub fn row(why: impl Into<Cow<'static, str>>) -> Fault {
        Fault::at(None, why)
    }
}

/// How the bytes of a file stand for text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Encoding {
    /// Nothing but ASCII so far.
    #[default]
    Ascii,
    /// UTF-8.
    Utf8,
    /// Windows-1252, which older versions of Excel write.
    Windows1252,
}

impl Encoding {
    /// The encoding that `bytes` speak for: UTF-8 where most of what is not
    /// ASCII is UTF-8, because single bytes can be damaged.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Encoding {
        let (mut whole, mut wrong) = (0_usize, 0_usize);
        for chunk in bytes.utf8_chunks() {
            whole += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
            wrong += usize::from(!chunk.invalid().is_empty());
        }
        // The last character may be cut off by the end of the buffer.
        match (whole, wrong) {
            (0, 0) => Encoding::Ascii,
            (whole, wrong) if whole >= wrong => Encoding::Utf8,
            _ => Encoding::Windows1252,
        }
    }

    /// Its name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Encoding::Ascii | Encoding::Utf8 => "UTF-8",
            Encoding::Windows1252 => "Windows-1252",
        }
    }

    /// `bytes` as text.
    fn text(self, bytes: &[u8]) -> Result<Cow<'_, str>, &'static str> {
        let utf8 = std::str::from_utf8(bytes);
        match (self, utf8) {
            (Encoding::Windows1252, Ok(text)) if !text.is_ascii() => {
                Err("is UTF-8 in a file that began as Windows-1252; save the file in one encoding")
            }
            (_, Ok(text)) => Ok(Cow::Borrowed(text)),
            (Encoding::Windows1252, Err(_)) => {
                Ok(WINDOWS_1252.decode_without_bom_handling(bytes).0)
            }
            (_, Err(_)) => Err("is not UTF-8, and the rest of the file is"),
        }
    }
}

/// One record.
#[derive(Clone, Copy)]
pub struct Cells<'r> {
    bytes: &'r [u8],
    /// All of it, where it is UTF-8 as it should be: one look instead of many.
    whole: Option<&'r str>,
    spans: &'r [Span],
    encoding: Encoding,
}

impl<'r> Cells<'r> {
    /// The record of these bytes.
    #[must_use]
    pub fn new(bytes: &'r [u8], spans: &'r [Span], encoding: Encoding) -> Cells<'r> {
        let utf8 = encoding != Encoding::Windows1252 || bytes.is_ascii();
        Cells {
            bytes,
            whole: std::str::from_utf8(bytes).ok().filter(|_| utf8),
            spans,
            encoding,
        }
    }

    /// How many cells there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// True where every cell is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        (0..self.len()).all(|column| self.raw(column).is_empty())
    }

    /// The bytes of a cell without outer white space; none beyond the last.
    #[must_use]
    pub fn raw(&self, column: usize) -> &'r [u8] {
        let cell = self.spans.get(column);
        let bytes = cell.and_then(|cell| self.bytes.get(cell.from as usize..cell.to as usize));
        bytes.unwrap_or_default().trim_ascii()
    }

    /// The text of a cell, outer white space removed; `None` where there is no
    /// such column or nothing in it.
    ///
    /// # Errors
    /// Where it is in another encoding than the file.
    pub fn text(&self, column: Option<usize>) -> Result<Option<Cow<'r, str>>, Fault> {
        let Some(cell) = column.and_then(|column| self.spans.get(column)) else {
            return Ok(None);
        };
        let range = cell.from as usize..cell.to as usize;
        let text = match self.whole.and_then(|whole| whole.get(range.clone())) {
            Some(text) => Cow::Borrowed(text.trim_ascii()),
            None => {
                let bytes = self.bytes.get(range).unwrap_or_default();
                let text = self.encoding.text(bytes.trim_ascii());
                text.map_err(|why| Fault::at(column, why))?
            }
        };
        Ok(match cell.doubled {
            _ if text.is_empty() => None,
            true => Some(Cow::Owned(text.replace("\"\"", "\""))),
            false => Some(text),
        })
    }

    /// A reference (an id, a key, an email): its guard against formulas removed.
    ///
    /// # Errors
    /// As [`Cells::text`].
    pub fn reference(&self, column: Option<usize>) -> Result<Option<Cow<'r, str>>, Fault> {
        Ok(self.text(column)?.map(super::guard::unguarded))
    }

    /// An id, if there is one.
    ///
    /// # Errors
    /// Where it cannot be one.
    pub fn id(&self, column: Option<usize>) -> Result<Option<Cow<'r, str>>, Fault> {
        let id = self.reference(column)?;
        if let Some(id) = id.as_deref().filter(|id| !is_printable(id, ID_CHARS)) {
            checks::plain_id("", id).map_err(|error| fault(column, &error))?;
        }
        Ok(id)
    }

    /// A value that a lookup rule may use, if there is one.
    ///
    /// # Errors
    /// Where it cannot be one. A webhook's would be left out; a person can mend
    /// a file.
    pub fn clue(&self, column: Option<usize>) -> Result<Option<Cow<'r, str>>, Fault> {
        let clue = self.reference(column)?;
        let Some(value) = clue.as_deref().filter(|it| !is_printable(it, CLUE_CHARS)) else {
            return Ok(clue);
        };
        let why = "holds a control character or is longer than 500 characters";
        match checks::clue(value) {
            Some(_) => Ok(clue),
            None => Err(Fault::at(column, why)),
        }
    }

    /// `true` or `false`, if the cell says either.
    ///
    /// # Errors
    /// Where it says something else.
    pub fn flag(&self, column: Option<usize>) -> Result<Option<bool>, Fault> {
        let Some(text) = self.text(column)? else {
            return Ok(None);
        };
        let is = |words: [&str; 4]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
        if is(["true", "yes", "1", "t"]) {
            Ok(Some(true))
        } else if is(["false", "no", "0", "f"]) {
            Ok(Some(false))
        } else {
            Err(Fault::at(column, "is neither true nor false"))
        }
    }
}

/// Whether a text is printable ASCII of so many characters at most: then it
/// passes the check whose limit that is, and need not be looked at by character.
fn is_printable(text: &str, most: usize) -> bool {
    let printable = |byte: &u8| byte.wrapping_sub(b' ') <= b'~' - b' ';
    text.len() <= most
        && text
            .as_bytes()
            .iter()
            .fold(true, |all, it| all & printable(it))
}

/// What a check found, for the cell that it was made on.
#[must_use]
pub fn fault(column: Option<usize>, error: &Unreadable) -> Fault {
    let why = error.reason.trim_start_matches([':', ' ']);
    Fault::at(column, why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_what_most_of_it_is() {
        assert_eq!(Encoding::of(b"plain"), Encoding::Ascii);
        assert_eq!(Encoding::of("Malmö".as_bytes()), Encoding::Utf8);
        assert_eq!(Encoding::of(b"Malm\xf6"), Encoding::Windows1252);
        assert_eq!(Encoding::of(b"Malm\xc3\xb6 \xff \xc3\xb6"), Encoding::Utf8);
        assert_eq!(Encoding::of(b"Malm\xc3\xb6 \xc3"), Encoding::Utf8);
    }

    #[test]
    fn the_short_way_takes_nothing_that_the_long_way_refuses() {
        let odd = ["a\u{7f}b", "a\nb", "a\0", "é"];
        for text in odd {
            assert!(!is_printable(text, ID_CHARS), "{text:?}");
        }
        for (most, long) in [(ID_CHARS, 255), (CLUE_CHARS, 500)] {
            let text = "~".repeat(long);
            assert!(is_printable(&text, most) && !is_printable(&format!(" {text}"), most));
            assert!(checks::clue(&text).is_some());
        }
        assert!(checks::plain_id("", &"~".repeat(ID_CHARS)).is_ok());
        assert!(checks::plain_id("", &"~".repeat(ID_CHARS + 1)).is_err());
        assert!(checks::clue(&"~".repeat(CLUE_CHARS + 1)).is_none());
    }

    #[test]
    fn a_cell_of_the_other_encoding_is_refused() {
        let text = |encoding: Encoding, bytes: &[u8]| {
            let text = encoding.text(bytes);
            text.map(Cow::into_owned).ok()
        };
        let (utf8, old) = (Encoding::Utf8, Encoding::Windows1252);
        assert_eq!(text(utf8, "é".as_bytes()).as_deref(), Some("é"));
        assert_eq!(text(old, b"\xe9\x80").as_deref(), Some("é€"));
        assert_eq!(text(utf8, b"\xe9"), None);
        assert_eq!(text(old, "é".as_bytes()), None);
        assert_eq!(text(old, b"plain").as_deref(), Some("plain"));
    }
}
