//! What a value of a JSON document must be before it may enter the books.
//!
//! Each check names the field and never its value. This decides nothing about
//! what a value means.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Unreadable;
use crate::money::{Currency, LARGEST_MINOR, Minor, minor_from_decimal};
use crate::time::Time;

/// A text, borrowed where the body has no escapes in it.
#[derive(Deserialize, Default)]
pub struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

/// Characters in an id. Providers' own are some dozens long, Stripe promises no
/// more than 255; those that a merchant may choose are free text, and a ledger
/// has to hold them.
const ID_CHARS_MAX: usize = 255;

/// Characters in a field that may be a customer key; a longer one is left out,
/// because half a key could be another customer's.
const CLUE_CHARS_MAX: usize = 500;

/// The id in `text`, if there is one.
pub fn id<'t>(field: &str, text: Option<&'t Text<'_>>) -> Result<Option<&'t str>, Unreadable> {
    text.map(|Text(id)| plain_id(field, id)).transpose()
}

/// The id that must be there.
pub fn needed_id<'t>(field: &str, text: Option<&'t Text<'_>>) -> Result<&'t str, Unreadable> {
    needed(field, id(field, text)?)
}

/// `id`, if it can be one.
pub fn plain_id<'t>(field: &str, id: &'t str) -> Result<&'t str, Unreadable> {
    if id.is_empty() {
        return Err(Unreadable::field(field, "is empty"));
    }
    if id.len() > ID_CHARS_MAX && id.chars().count() > ID_CHARS_MAX {
        return Err(Unreadable::field(field, "is longer than 255 characters"));
    }
    if id.chars().any(char::is_control) {
        return Err(Unreadable::field(field, "holds a control character"));
    }
    Ok(id)
}

/// A value as lookup rules and links may use it: without outer white space,
/// `None` where it is empty, too long or not plain text.
#[must_use]
pub fn clue(text: &str) -> Option<&str> {
    let text = text.trim();
    let usable = !text.is_empty()
        && text.chars().count() <= CLUE_CHARS_MAX
        && !text.chars().any(char::is_control);
    usable.then_some(text)
}

/// The text of a raw JSON value that is a string, or a number, `true` or `false`
/// as it was written; `None` for `null`, lists and objects.
#[must_use]
pub fn scalar(raw: &RawValue) -> Option<String> {
    let raw = raw.get();
    match raw.as_bytes() {
        [b'"', ..] => serde_json::from_str(raw).ok(),
        [b'0'..=b'9' | b'-' | b't' | b'f', ..] => Some(raw.to_owned()),
        _ => None,
    }
}

/// The value of a field that must be there.
pub fn needed<T>(field: &str, value: Option<T>) -> Result<T, Unreadable> {
    value.ok_or_else(|| Unreadable::field(field, "is missing"))
}

/// An amount in minor units that is not negative, if there is one.
pub fn amount(field: &str, value: Option<i64>) -> Result<Option<Minor>, Unreadable> {
    match value {
        Some(minor) if minor < 0 => Err(Unreadable::field(field, "is negative")),
        _ => signed(field, value),
    }
}

/// An amount in minor units of either sign, if there is one.
pub fn signed(field: &str, value: Option<i64>) -> Result<Option<Minor>, Unreadable> {
    match value {
        Some(minor) if minor.unsigned_abs() > LARGEST_MINOR.unsigned_abs() => {
            Err(Unreadable::field(field, "is larger than any payment"))
        }
        _ => Ok(value),
    }
}

/// An amount in major units, as a JSON number or a text, in minor units of
/// `currency`; of either sign. The digits are read as they are written.
pub fn decimal(
    field: &str,
    raw: Option<&RawValue>,
    currency: Currency,
) -> Result<Option<Minor>, Unreadable> {
    let Some(raw) = raw.filter(|raw| raw.get() != "null") else {
        return Ok(None);
    };
    let text = scalar(raw).unwrap_or_default();
    minor_from_decimal(text.trim(), currency.exponent())
        .map(Some)
        .map_err(|_| Unreadable::field(field, "is no amount of its currency"))
}

/// The currency that must be there.
pub fn currency(field: &str, text: Option<&Text<'_>>) -> Result<Currency, Unreadable> {
    let Text(code) = needed(field, text)?;
    code.parse()
        .map_err(|_| Unreadable::field(field, "is not a three-letter currency code"))
}

/// A time in seconds, if there is one.
pub fn time(field: &str, seconds: Option<i64>) -> Result<Option<Time>, Unreadable> {
    let Some(seconds) = seconds else {
        return Ok(None);
    };
    match Time::from_seconds(seconds) {
        None => Err(Unreadable::field(field, "is not a time in seconds")),
        at => Ok(at),
    }
}

/// Reads the JSON object that stands at `at`.
pub fn object<'a, T: Deserialize<'a>>(at: &str, text: &'a str) -> Result<T, Unreadable> {
    // The derived readers also take an array for an object, member by member.
    if !text.trim_start().starts_with('{') {
        return Err(Unreadable::field(&path(at, ""), "is not a JSON object"));
    }
    decode(at, text)
}

/// Reads the JSON that stands at `at`. The second, slower pass runs only to name
/// the field at fault; no name in `T` may come from the document.
pub fn decode<'a, T: Deserialize<'a>>(at: &str, text: &'a str) -> Result<T, Unreadable> {
    let error = match serde_json::from_str(text) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    match error.classify() {
        serde_json::error::Category::Eof => Err(Unreadable::because("the JSON ends too early")),
        serde_json::error::Category::Data => Err(Unreadable::field(
            &path(at, &fault::<T>(text)),
            "is not of the type that is documented",
        )),
        _ => Err(Unreadable::because("the body is not JSON")),
    }
}

fn fault<'a, T: Deserialize<'a>>(text: &'a str) -> String {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
        Ok(_) => String::new(),
        Err(error) => error.path().to_string(),
    }
}

fn path(at: &str, within: &str) -> String {
    match (at, within) {
        ("", "" | ".") => "the body".to_owned(),
        (at, "" | ".") => at.to_owned(),
        ("", within) => within.to_owned(),
        (at, within) => format!("{at}.{within}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_read_as_they_are_written() {
        let read = |raw: &str, code: &str| {
            let raw: Box<RawValue> = serde_json::from_str(raw).unwrap();
            decimal("amount", Some(&raw), code.parse().unwrap())
        };
        assert_eq!(read("49.99", "USD"), Ok(Some(4_999)));
        assert_eq!(read("\"49.9\"", "USD"), Ok(Some(4_990)));
        assert_eq!(read("-3", "JPY"), Ok(Some(-3)));
        assert_eq!(read("null", "USD"), Ok(None));
        for wrong in ["1e2", "true", "[]", "0.001", "\"\""] {
            assert!(read(wrong, "USD").is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_clue_is_plain_text() {
        assert_eq!(clue("  acme "), Some("acme"));
        assert_eq!(clue(""), None);
        assert_eq!(clue("a\nb"), None);
        assert_eq!(clue(&"x".repeat(501)), None);
    }
}
