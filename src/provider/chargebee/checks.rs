//! What a value of Chargebee's must be before it may enter the books.
//!
//! Each check names the field and never its value. This decides nothing about
//! what a value means.

use crate::money::{Currency, LARGEST_MINOR, Minor};
use crate::provider::Unreadable;
use crate::time::Time;

use super::objects::Text;

/// Characters in an id. Chargebee's own are some dozens long; those that a
/// merchant may choose are free text, and a ledger has to hold them.
const ID_CHARS_MAX: usize = 255;

/// The id in `text`, if there is one.
pub fn id<'t>(field: &str, text: Option<&'t Text<'_>>) -> Result<Option<&'t str>, Unreadable> {
    let Some(Text(id)) = text else {
        return Ok(None);
    };
    if id.is_empty() {
        return Err(Unreadable::field(field, "is empty"));
    }
    if id.len() > ID_CHARS_MAX && id.chars().count() > ID_CHARS_MAX {
        return Err(Unreadable::field(field, "is longer than 255 characters"));
    }
    if id.chars().any(char::is_control) {
        return Err(Unreadable::field(field, "holds a control character"));
    }
    Ok(Some(id))
}

/// The value of a field that must be there.
pub fn needed<T>(field: &str, value: Option<T>) -> Result<T, Unreadable> {
    value.ok_or_else(|| Unreadable::field(field, "is missing"))
}

/// An amount that is not negative, if there is one.
pub fn amount(field: &str, value: Option<i64>) -> Result<Option<Minor>, Unreadable> {
    match value {
        Some(minor) if minor < 0 => Err(Unreadable::field(field, "is negative")),
        Some(minor) if minor > LARGEST_MINOR => {
            Err(Unreadable::field(field, "is larger than any payment"))
        }
        _ => Ok(value),
    }
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
