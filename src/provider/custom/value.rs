//! Where the configuration says that a value stands, and the value as text.
//!
//! A body is never made a tree: a pointer opens only the levels that it names,
//! each member staying the text that was sent. So numbers keep their digits and
//! nesting that nobody asked for costs no stack. This decides nothing about
//! what a value means.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::money::Currency;
use crate::provider::checks;
use crate::time::{SECOND_MS, Time};

/// Levels that a pointer may open; real bodies have some six.
const LEVELS_MAX: usize = 16;

/// Bytes of one pointer or text of the configuration.
const TEXT_BYTES_MAX: usize = 512;

/// Alternatives in one setting.
const ALTERNATIVES_MAX: usize = 8;

/// A JSON pointer (RFC 6901): empty for the whole, else `/a/0/b`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Pointer(Vec<String>);

impl TryFrom<String> for Pointer {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Pointer, Self::Error> {
        if text.len() > TEXT_BYTES_MAX {
            return Err("is longer than 512 bytes");
        }
        if text.is_empty() {
            return Ok(Pointer(Vec::new()));
        }
        let levels = text
            .strip_prefix('/')
            .ok_or("must be a JSON pointer: /name/name")?;
        let levels: Vec<String> = levels
            .split('/')
            .map(|level| level.replace("~1", "/").replace("~0", "~"))
            .collect();
        match levels.len() <= LEVELS_MAX {
            true => Ok(Pointer(levels)),
            false => Err("opens more than 16 levels"),
        }
    }
}

impl Pointer {
    /// What stands there; `None` where nothing does.
    pub fn at<'a>(&self, whole: &'a RawValue) -> Option<&'a RawValue> {
        self.0
            .iter()
            .try_fold(whole, |raw, level| child(raw, level))
    }
}

/// The member of an object or of a list.
fn child<'a>(raw: &'a RawValue, level: &str) -> Option<&'a RawValue> {
    match raw.get().as_bytes().first() {
        Some(b'{') => {
            let mut members: BTreeMap<String, &RawValue> = serde_json::from_str(raw.get()).ok()?;
            members.remove(level)
        }
        Some(b'[') => {
            let index: usize = level.parse().ok()?;
            members(raw)?.get(index).copied()
        }
        _ => None,
    }
}

/// The members of a list; `None` where it is none.
pub fn members(raw: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(raw.get()).ok()
}

/// One text, or several.
#[derive(Deserialize)]
#[serde(untagged, expecting = "must be a text or a list of texts")]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn all<T>(
        self,
        read: impl Fn(String) -> Result<T, &'static str>,
    ) -> Result<Vec<T>, &'static str> {
        let texts = match self {
            OneOrMany::One(text) => vec![text],
            OneOrMany::Many(texts) => texts,
        };
        match texts.len() {
            1..=ALTERNATIVES_MAX => texts.into_iter().map(read).collect(),
            _ => Err("must name one to eight places"),
        }
    }
}

/// A pointer, or several of which the first counts where something stands.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "OneOrMany")]
pub struct Pointers(Vec<Pointer>);

impl TryFrom<OneOrMany> for Pointers {
    type Error = &'static str;

    fn try_from(texts: OneOrMany) -> Result<Pointers, Self::Error> {
        texts.all(Pointer::try_from).map(Pointers)
    }
}

impl Pointers {
    /// The first text that is there, is a single value and is not empty.
    pub fn text(&self, whole: &RawValue) -> Option<String> {
        self.0.iter().find_map(|pointer| said(pointer, whole))
    }
}

/// A single value that says something.
fn said(pointer: &Pointer, whole: &RawValue) -> Option<String> {
    checks::scalar(pointer.at(whole)?).filter(|text| !text.is_empty())
}

/// A piece of a text that the configuration puts together.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    At(Pointer),
}

/// A text out of a body: a pointer, or words with pointers in braces
/// (`invoice-{/data/id}`); or several of these, of which the first counts that
/// can be put together.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "OneOrMany")]
pub struct Words(Vec<Vec<Piece>>);

impl TryFrom<OneOrMany> for Words {
    type Error = &'static str;

    fn try_from(texts: OneOrMany) -> Result<Words, Self::Error> {
        texts.all(pieces).map(Words)
    }
}

fn pieces(text: String) -> Result<Vec<Piece>, &'static str> {
    if text.starts_with('/') {
        return Ok(vec![Piece::At(Pointer::try_from(text)?)]);
    }
    if text.is_empty() || text.len() > TEXT_BYTES_MAX {
        return Err("must have 1 to 512 bytes");
    }
    let mut pieces = Vec::new();
    let mut rest = text.as_str();
    while let Some((before, behind)) = rest.split_once('{') {
        let (pointer, behind) = behind.split_once('}').ok_or("a brace is not closed")?;
        pieces.push(Piece::Text(before.to_owned()));
        pieces.push(Piece::At(Pointer::try_from(pointer.to_owned())?));
        rest = behind;
    }
    pieces.push(Piece::Text(rest.to_owned()));
    Ok(pieces)
}

impl Words {
    /// The first of the texts whose every pointer finds something.
    pub fn text(&self, whole: &RawValue) -> Option<String> {
        self.0.iter().find_map(|pieces| {
            let said = |piece: &Piece| match piece {
                Piece::Text(text) => Some(text.clone()),
                Piece::At(pointer) => said(pointer, whole),
            };
            pieces.iter().map(said).collect()
        })
    }
}

/// A currency: a code, or where one stands.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "OneOrMany")]
pub enum CurrencyFrom {
    /// The same for every document.
    Fixed(Currency),
    /// The document's own.
    At(Pointers),
}

impl TryFrom<OneOrMany> for CurrencyFrom {
    type Error = &'static str;

    fn try_from(texts: OneOrMany) -> Result<CurrencyFrom, Self::Error> {
        match &texts {
            OneOrMany::One(code) if !code.starts_with('/') => code
                .parse()
                .map(CurrencyFrom::Fixed)
                .map_err(|_| "must be a three-letter code or a JSON pointer"),
            _ => Pointers::try_from(texts).map(CurrencyFrom::At),
        }
    }
}

/// A single value as the configuration writes it.
#[derive(Deserialize)]
#[serde(untagged, expecting = "must be a text, a whole number, true or false")]
enum Plain {
    Text(String),
    Whole(i64),
    Flag(bool),
}

impl Plain {
    fn text(self) -> String {
        match self {
            Plain::Text(text) => text,
            Plain::Whole(number) => number.to_string(),
            Plain::Flag(flag) => flag.to_string(),
        }
    }
}

/// One value, or a list of which any will do.
#[derive(Deserialize)]
#[serde(untagged, expecting = "must be a value or a list of values")]
enum PlainOrMany {
    One(Plain),
    Many(Vec<Plain>),
}

/// What a value has to be: one of these.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "PlainOrMany")]
pub struct OneOf(Vec<String>);

impl From<PlainOrMany> for OneOf {
    fn from(values: PlainOrMany) -> OneOf {
        OneOf(match values {
            PlainOrMany::One(value) => vec![value.text()],
            PlainOrMany::Many(values) => values.into_iter().map(Plain::text).collect(),
        })
    }
}

impl OneOf {
    /// Whether the value at `pointer` is one of them.
    pub fn holds(&self, pointer: &Pointer, whole: &RawValue) -> bool {
        let found = pointer.at(whole).and_then(checks::scalar);
        found.is_some_and(|found| self.0.contains(&found))
    }
}

/// Digits of a number of seconds or milliseconds: until the year 5138.
const TIME_DIGITS_MAX: usize = 14;

/// Bytes of a time that is written out, with room for nanoseconds and a zone.
const TIME_BYTES_MAX: usize = 64;

/// A smaller number counts as seconds; as milliseconds it is the spring of 1973.
const MILLISECONDS_FROM: i64 = 100_000_000_000;

/// A time: RFC 3339, a date, or plain digits that count seconds or
/// milliseconds. Nothing before 1970 or after 2200.
pub fn moment(text: &str) -> Option<Time> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let at = match digits {
        true if text.len() <= TIME_DIGITS_MAX => {
            let number: i64 = text.parse().ok()?;
            match number < MILLISECONDS_FROM {
                true => Time(number.saturating_mul(SECOND_MS)),
                false => Time(number),
            }
        }
        false if text.len() <= TIME_BYTES_MAX => Time::parse(text).ok()?,
        _ => return None,
    };
    Time::from_seconds(at.ms().div_euclid(SECOND_MS)).map(|_| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointer(text: &str) -> Pointer {
        Pointer::try_from(text.to_owned()).unwrap()
    }

    fn raw(text: &str) -> &RawValue {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_pointer_finds_what_was_written() {
        let whole = raw(r#"{"a":{"b/c":[10, 49.990, "x"]},"":{"m~n":true},"deep":[[[1]]]}"#);
        for (text, found) in [
            ("/a/b~1c/1", Some("49.990")),
            ("/a/b~1c/2", Some("\"x\"")),
            ("//m~0n", Some("true")),
            ("/deep/0/0", Some("[1]")),
            ("/a/b~1c/3", None),
            ("/a/b~1c/x", None),
            ("/a/b~1c/1/0", None),
            ("/z", None),
        ] {
            assert_eq!(pointer(text).at(whole).map(RawValue::get), found, "{text}");
        }
        assert_eq!(pointer("").at(whole).map(RawValue::get), Some(whole.get()));
        for text in [
            "a",
            "a/b",
            &"/a".repeat(17),
            &format!("/{}", "a".repeat(600)),
        ] {
            assert!(Pointer::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn words_are_put_together_or_not_at_all() {
        let whole = raw(r#"{"id":7,"empty":"","none":null}"#);
        let words = |texts: &[&str]| {
            let texts = texts.iter().map(|text| (*text).to_owned()).collect();
            Words::try_from(OneOrMany::Many(texts)).unwrap().text(whole)
        };
        assert_eq!(words(&["/id"]).as_deref(), Some("7"));
        assert_eq!(words(&["invoice-{/id}."]).as_deref(), Some("invoice-7."));
        assert_eq!(words(&["plain"]).as_deref(), Some("plain"));
        assert_eq!(words(&["/empty", "/none", "/id"]).as_deref(), Some("7"));
        assert_eq!(words(&["a-{/empty}", "b-{/absent}"]), None);
        for wrong in ["", "a{/id", "a{id}"] {
            assert!(pieces(wrong.to_owned()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_are_read_in_four_forms() {
        for (text, ms) in [
            ("1780311600", Some(1_780_311_600_000)),
            ("1780311600123", Some(1_780_311_600_123)),
            ("2026-06-01T11:00:00.5Z", Some(1_780_311_600_500)),
            ("2026-06-01", Some(1_780_272_000_000)),
            ("", None),
            ("-5", None),
            ("1.5", None),
            ("99999999999999", None),
            ("2500-01-01", None),
            ("yesterday", None),
        ] {
            assert_eq!(moment(text).map(Time::ms), ms, "{text}");
        }
    }
}
