//! Amounts as people and programs write them in files.
//!
//! A text is split into groups of digits and the marks between them; what the
//! marks mean is decided only where there is one meaning. `1,234` could be a
//! thousand or a bit more than one: it is read by what the rest of its column
//! says, and refused where that says nothing. Nothing is rounded.

use super::row::Decimal;
use crate::money::{LARGEST_MINOR, Minor, minor_from_decimal};

/// How many groups of digits an amount may have; the largest has five.
const GROUPS_MOST: usize = 8;

/// Bytes of the longest amount, with room for zeros that say nothing.
const AMOUNT_MOST_BYTES: usize = 48;

/// Digits between two marks for thousands.
const GROUP_DIGITS: usize = 3;

const NO_AMOUNT: &str = "is no amount";
const SYMBOL: &str =
    "holds more than digits and separators; the currency belongs in its own column";
const GROUPING: &str = "has its digits grouped otherwise than by three";
const AMBIGUOUS: &str =
    "could mean a thousand or a fraction; set decimal to point or comma for the source's imports";
const OTHER_POINT: &str = "has a decimal comma, and the file's decimals are written with a point";
const OTHER_COMMA: &str = "has a decimal point, and the file's decimals are written with a comma";
const PLACES: &str = "has more decimal places than its currency, or is larger than any payment";

/// What stands between two groups of digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Point,
    Comma,
    /// A space, or an apostrophe as in Switzerland: never before decimals.
    Gap(char),
}

/// What the amounts of one column have shown of how decimals are written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Convention {
    said: Decimal,
    points: bool,
    commas: bool,
}

/// Digits and marks of one amount.
struct Written<'t> {
    negative: bool,
    groups: [&'t str; GROUPS_MOST],
    marks: [Option<Mark>; GROUPS_MOST],
    count: usize,
}

/// What the marks of an amount say about decimals.
enum Decimals {
    /// None, and so do the marks.
    Whole,
    /// The last group is the decimals.
    Behind(Mark),
    /// None, and this mark stands between thousands.
    Thousands(Mark),
    /// One mark before three digits.
    Ambiguous(Mark),
}

impl Convention {
    /// What a person said about the file.
    #[must_use]
    pub fn new(said: Decimal) -> Convention {
        Convention {
            said,
            points: false,
            commas: false,
        }
    }

    /// Takes note of an amount of the column, before any is read.
    pub fn see(&mut self, text: &str) {
        let Ok(written) = split(text) else {
            return;
        };
        match decimals(&written) {
            Ok(Decimals::Behind(Mark::Point) | Decimals::Thousands(Mark::Comma)) => {
                self.points = true;
            }
            Ok(Decimals::Behind(Mark::Comma) | Decimals::Thousands(Mark::Point)) => {
                self.commas = true;
            }
            _ => {}
        }
    }

    /// The mark before decimals, where it is known.
    fn mark(self) -> Option<Mark> {
        match (self.said, self.points, self.commas) {
            (Decimal::Point, _, _) | (Decimal::Auto, true, false) => Some(Mark::Point),
            (Decimal::Comma, _, _) | (Decimal::Auto, false, true) => Some(Mark::Comma),
            _ => None,
        }
    }

    /// `text` in minor units of a currency with `exponent` places; of either sign.
    ///
    /// # Errors
    /// Why it is no amount, or not clearly one.
    pub fn read(&mut self, text: &str, exponent: u32) -> Result<Minor, &'static str> {
        // Most amounts are what a program wrote.
        if self.mark() == Some(Mark::Point)
            && let Ok(minor) = minor_from_decimal(text, exponent)
        {
            return Ok(minor);
        }
        let written = split(text)?;
        let decimals = decimals(&written)?;
        let places = match (decimals, self.mark()) {
            (Decimals::Ambiguous(mark), Some(known)) if mark == known => true,
            (Decimals::Ambiguous(_), Some(_)) => false,
            // Nobody writes a thousandth of a currency that has no cents.
            (Decimals::Ambiguous(_), None) if exponent == 0 => false,
            (Decimals::Ambiguous(_), None) => return Err(AMBIGUOUS),
            (Decimals::Behind(mark), _) => {
                self.agrees(mark)?;
                true
            }
            (Decimals::Thousands(mark), _) => {
                self.agrees(if mark == Mark::Point {
                    Mark::Comma
                } else {
                    Mark::Point
                })?;
                false
            }
            (Decimals::Whole, _) => false,
        };
        self.see(text);
        value(&written, places, exponent)
    }

    /// Whether decimals behind `mark` go with what a person said.
    fn agrees(self, mark: Mark) -> Result<(), &'static str> {
        match (self.said, mark) {
            (Decimal::Point, Mark::Comma) => Err(OTHER_POINT),
            (Decimal::Comma, Mark::Point) => Err(OTHER_COMMA),
            _ => Ok(()),
        }
    }
}

/// A whole number of minor units, of either sign.
///
/// # Errors
/// Where it is none, or larger than any payment.
pub fn minor(text: &str) -> Result<Minor, &'static str> {
    let text = text.strip_prefix('\'').unwrap_or(text);
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(
            "is not a whole number of minor units (cents); amounts like 49.99 go into amount_decimal",
        );
    }
    match text.parse::<Minor>() {
        Ok(minor) if minor.unsigned_abs() <= LARGEST_MINOR.unsigned_abs() => Ok(minor),
        _ => Err("is larger than any payment"),
    }
}

/// The sign, the digits and the marks of an amount.
fn split(text: &str) -> Result<Written<'_>, &'static str> {
    let text = text.strip_prefix('\'').unwrap_or(text).trim();
    if text.len() > AMOUNT_MOST_BYTES {
        return Err(NO_AMOUNT);
    }
    let inner = |open, close| text.strip_prefix(open)?.strip_suffix(close);
    let (negative, digits) = match (inner('(', ')'), text.strip_prefix(['-', '\u{2212}'])) {
        // In bookkeeping brackets are a minus.
        (Some(inner), _) => (true, inner),
        (None, Some(rest)) => (true, rest),
        (None, None) => (false, text),
    };
    let mut written = Written {
        negative,
        groups: [""; GROUPS_MOST],
        marks: [None; GROUPS_MOST],
        count: 0,
    };
    let mut rest = digits;
    loop {
        let end = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (group, behind) = rest.split_at(end);
        let mut behind = behind.chars();
        let next = behind.next();
        let mark = next.map(|c| mark(c).ok_or(SYMBOL)).transpose()?;
        let slot = written
            .groups
            .get_mut(written.count)
            .zip(written.marks.get_mut(written.count));
        let (place, then) = slot.ok_or(NO_AMOUNT)?;
        (*place, *then) = (group, mark);
        written.count += 1;
        if group.is_empty() {
            return Err(NO_AMOUNT);
        }
        if mark.is_none() {
            return Ok(written);
        }
        rest = behind.as_str();
    }
}

fn mark(c: char) -> Option<Mark> {
    match c {
        '.' => Some(Mark::Point),
        ',' => Some(Mark::Comma),
        ' ' | '\u{a0}' | '\u{2009}' | '\u{202f}' => Some(Mark::Gap(' ')),
        '\'' | '\u{2019}' => Some(Mark::Gap('\'')),
        _ => None,
    }
}

/// What the marks say, where they are well-formed.
fn decimals(written: &Written<'_>) -> Result<Decimals, &'static str> {
    let groups = written.groups.get(..written.count).unwrap_or_default();
    let marks = written.marks.get(..written.count.saturating_sub(1));
    let marks: &[Option<Mark>] = marks.unwrap_or_default();
    let Some((Some(last), before)) = marks.split_last() else {
        return Ok(Decimals::Whole);
    };
    let last = *last;
    let same = before.iter().all(|mark| *mark == Some(last));
    let grouped = |groups: &[&str]| match groups.split_first() {
        Some((first, rest)) if !rest.is_empty() => {
            let fits =
                first.len() <= GROUP_DIGITS && rest.iter().all(|it| it.len() == GROUP_DIGITS);
            if fits { Ok(()) } else { Err(GROUPING) }
        }
        _ => Ok(()),
    };
    let (whole, places) = groups.split_at(groups.len().saturating_sub(1));
    match last {
        Mark::Gap(_) if same => grouped(groups).map(|()| Decimals::Whole),
        Mark::Gap(_) => Err(GROUPING),
        mark if before.is_empty() => {
            let first = whole.first().copied().unwrap_or_default();
            let three = places.first().is_some_and(|it| it.len() == GROUP_DIGITS);
            match three && first.len() <= GROUP_DIGITS && !first.starts_with('0') {
                true => Ok(Decimals::Ambiguous(mark)),
                false => Ok(Decimals::Behind(mark)),
            }
        }
        mark if same => grouped(groups).map(|()| Decimals::Thousands(mark)),
        mark => {
            let first = before.first().copied().flatten();
            match before.iter().all(|it| *it == first) && first != Some(mark) {
                true => grouped(whole).map(|()| Decimals::Behind(mark)),
                false => Err(GROUPING),
            }
        }
    }
}

/// The amount; `places`: the last group is the decimals.
fn value(written: &Written<'_>, places: bool, exponent: u32) -> Result<Minor, &'static str> {
    let groups = written.groups.get(..written.count).unwrap_or_default();
    let whole = groups.len() - usize::from(places);
    let mut plain = String::with_capacity(AMOUNT_MOST_BYTES);
    if written.negative {
        plain.push('-');
    }
    for (index, group) in groups.iter().enumerate() {
        if index == whole {
            plain.push('.');
        }
        plain.push_str(group);
    }
    minor_from_decimal(&plain, exponent).map_err(|_| PLACES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, exponent: u32) -> Result<Minor, &'static str> {
        Convention::default().read(text, exponent)
    }

    #[test]
    fn what_has_one_meaning_is_read() {
        for (text, exponent, minor) in [
            ("49.99", 2, 4_999),
            ("49,99", 2, 4_999),
            ("1,234.56", 2, 123_456),
            ("1.234,56", 2, 123_456),
            ("1 234,56", 2, 123_456),
            ("1\u{a0}234\u{a0}567,89", 2, 123_456_789),
            ("1'234'567.89", 2, 123_456_789),
            ("1\u{2019}234.50", 2, 123_450),
            ("1,234,567", 2, 123_456_700),
            ("1.234.567", 2, 123_456_700),
            ("1 000", 2, 100_000),
            ("0,25", 2, 25),
            ("0.250", 3, 250),
            ("1234.567", 3, 1_234_567),
            ("-12.5", 2, -1_250),
            ("'-12.5", 2, -1_250),
            ("\u{2212}3", 0, -3),
            ("(1,234.56)", 2, -123_456),
            ("1,234", 0, 1_234),
            ("1000.00", 0, 1_000),
            ("7", 2, 700),
        ] {
            assert_eq!(read(text, exponent), Ok(minor), "{text}");
        }
    }

    #[test]
    fn what_has_two_meanings_is_read_by_its_column() {
        assert_eq!(read("1,234", 2), Err(AMBIGUOUS));
        assert_eq!(read("1.234", 3), Err(AMBIGUOUS));
        let mut points = Convention::default();
        assert_eq!(points.read("0.10", 2), Ok(10));
        assert_eq!(points.read("1,234", 2), Ok(123_400));
        assert_eq!(points.read("1.234", 3), Ok(1_234));
        let mut commas = Convention::default();
        commas.see("1.234,50");
        assert_eq!(commas.read("1.234", 2), Ok(123_400));
        assert_eq!(commas.read("1,234", 3), Ok(1_234));
        commas.see("0.5");
        assert_eq!(commas.read("1.234", 2), Err(AMBIGUOUS));
        let mut said = Convention::new(Decimal::Comma);
        assert_eq!(said.read("1.234", 2), Ok(123_400));
        assert_eq!(said.read("12.34", 2), Err(OTHER_COMMA));
        assert_eq!(said.read("1,234,567", 2), Err(OTHER_COMMA));
        assert_eq!(
            Convention::new(Decimal::Point).read("0,25", 2),
            Err(OTHER_POINT)
        );
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in [
            "",
            "-",
            "()",
            "$5",
            "5 USD",
            "€1,00",
            "1e3",
            "1,2,3",
            "1,23,456.00",
            "12.",
            ".5",
            "1..2",
            "1.2.3,4",
            "1,234.567,89",
            "--1",
            "+1",
            "1 23",
            "1234,567,890",
            "NaN",
            "1\u{0}",
            "99999999999999999999",
            "0.001",
            "1 2 3 4 5 6 7 8 9",
        ] {
            assert!(read(text, 2).is_err(), "{text}");
        }
        assert!(read("5.5", 0).is_err());
    }

    #[test]
    fn minor_units_are_whole() {
        assert_eq!(minor("4999"), Ok(4_999));
        assert_eq!(minor("'-500"), Ok(-500));
        for text in [
            "",
            "-",
            "49.99",
            "1,000",
            "+5",
            "9223372036854775807",
            "0x1",
        ] {
            assert!(minor(text).is_err(), "{text}");
        }
    }
}
