//! The body of a webhook: a form whose names are paths in brackets.
//!
//! Source: Chargify's documentation, "Webhooks" (form-encoded POST). A name such
//! as `payload[transaction][id]` is kept as it reads once it is decoded, so no
//! tree is built and no depth has to be limited. The checks here name a field
//! and never its value; what a value means is not decided here.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use percent_encoding::percent_decode;

use crate::money::{Currency, LARGEST_MINOR, Minor};
use crate::provider::Unreadable;
use crate::time::{SECOND_MS, Time};

/// Fields in one body. A payment has about 150; a settled statement with many
/// lines has some thousands.
const FIELDS_MAX: usize = 5_000;

/// Characters in an id. Chargify's are numbers; gateways write longer ones.
const ID_CHARS_MAX: usize = 255;

/// Characters in a customer's reference, an address or a handle. A longer one
/// is left out, because half a key could be another customer's.
const TEXT_CHARS_MAX: usize = 500;

/// A form, decoded.
pub struct Form<'b> {
    fields: BTreeMap<Cow<'b, str>, Field<'b>>,
}

/// What a form says under one name.
enum Field<'b> {
    Once(Cow<'b, str>),
    /// Said again with another value. Chargify does that with lists, none of
    /// which is read.
    Differently,
}

impl<'b> Form<'b> {
    /// Decodes a body.
    pub fn read(body: &'b [u8]) -> Result<Form<'b>, Unreadable> {
        let mut fields = BTreeMap::new();
        let pairs = body
            .split(|byte| *byte == b'&')
            .filter(|pair| !pair.is_empty());
        for (index, pair) in pairs.enumerate() {
            if index >= FIELDS_MAX {
                return Err(Unreadable::because("the form has more than 5000 fields"));
            }
            let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &b""[..]),
            };
            let value = decode(value)?;
            match fields.entry(decode(name)?) {
                Entry::Vacant(slot) => {
                    slot.insert(Field::Once(value));
                }
                Entry::Occupied(mut slot) => {
                    if !matches!(slot.get(), Field::Once(before) if *before == value) {
                        slot.insert(Field::Differently);
                    }
                }
            }
        }
        Ok(Form { fields })
    }

    /// The text of a field without outer white space; `None` where it was not
    /// sent. An empty one was sent.
    pub fn sent(&self, field: &str) -> Result<Option<&str>, Unreadable> {
        match self.fields.get(field) {
            None => Ok(None),
            Some(Field::Once(text)) => Ok(Some(text.trim())),
            Some(Field::Differently) => Err(Unreadable::field(
                field,
                "is said twice with different values",
            )),
        }
    }

    /// The text of a field; an empty one counts as missing.
    pub fn text(&self, field: &str) -> Result<Option<&str>, Unreadable> {
        Ok(self.sent(field)?.filter(|text| !text.is_empty()))
    }

    /// The text of a field that a ledger can hold, for keys and lookup rules.
    pub fn clue(&self, field: &str) -> Result<Option<&str>, Unreadable> {
        let usable = |text: &&str| {
            text.chars().count() <= TEXT_CHARS_MAX && !text.chars().any(char::is_control)
        };
        Ok(self.text(field)?.filter(usable))
    }

    /// An id, if there is one. It stays text, however much it looks a number.
    pub fn id(&self, field: &str) -> Result<Option<&str>, Unreadable> {
        let id = self.text(field)?;
        if id.is_some_and(|id| id.chars().count() > ID_CHARS_MAX) {
            return Err(Unreadable::field(field, "is longer than 255 characters"));
        }
        if id.is_some_and(|id| id.chars().any(char::is_control)) {
            return Err(Unreadable::field(field, "holds a control character"));
        }
        Ok(id)
    }

    /// Cents, if the field was sent.
    pub fn cents(&self, field: &str) -> Result<Option<Minor>, Unreadable> {
        let Some(text) = self.text(field)? else {
            return Ok(None);
        };
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Unreadable::field(field, "is not a whole number of cents"));
        }
        if negative {
            return Err(Unreadable::field(field, "is negative"));
        }
        match digits.parse() {
            Ok(cents) if cents <= LARGEST_MINOR => Ok(Some(cents)),
            _ => Err(Unreadable::field(field, "is larger than any payment")),
        }
    }

    /// A moment, if the field was sent: RFC 3339, or a date, a time of day and
    /// an offset or `UTC` with spaces between them.
    pub fn time(&self, field: &str) -> Result<Option<Time>, Unreadable> {
        let Some(text) = self.text(field)? else {
            return Ok(None);
        };
        let parts: Vec<&str> = text.split(' ').collect();
        let standard = match parts.as_slice() {
            [date, clock, "UTC"] => format!("{date}T{clock}Z"),
            [date, clock, offset] => format!("{date}T{clock}{offset}"),
            _ => text.to_owned(),
        };
        let whole = standard.contains('T');
        let at = Time::parse(&standard).ok().filter(|_| whole);
        match at.filter(|at| Time::from_seconds(at.ms().div_euclid(SECOND_MS)).is_some()) {
            None => Err(Unreadable::field(
                field,
                "is not a time as Chargify writes it",
            )),
            at => Ok(at),
        }
    }

    /// A currency, if the field was sent.
    pub fn currency(&self, field: &str) -> Result<Option<Currency>, Unreadable> {
        let Some(text) = self.text(field)? else {
            return Ok(None);
        };
        text.parse()
            .map(Some)
            .map_err(|_| Unreadable::field(field, "is not a three-letter currency code"))
    }
}

/// The value of a field that must be there.
pub fn needed<T>(field: &str, value: Option<T>) -> Result<T, Unreadable> {
    value.ok_or_else(|| Unreadable::field(field, "is missing"))
}

/// A name or a value without its encoding.
fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, Unreadable> {
    let why = |_| Unreadable::because("the form is not UTF-8");
    if !bytes.contains(&b'+') {
        return percent_decode(bytes).decode_utf8().map_err(why);
    }
    let spaced: Vec<u8> = bytes
        .iter()
        .map(|byte| if *byte == b'+' { b' ' } else { *byte })
        .collect();
    let text = percent_decode(&spaced).decode_utf8().map_err(why)?;
    Ok(Cow::Owned(text.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_alike_however_they_are_encoded() {
        for body in [
            "payload[a][b]=x+y%20z",
            "payload%5Ba%5D%5Bb%5D=x%20y+z",
            "&payload[a]%5bb]=x y z&",
            "payload[a][b]=x+y+z&payload[a][b]=x%20y%20z",
        ] {
            let form = Form::read(body.as_bytes()).unwrap();
            assert_eq!(form.text("payload[a][b]"), Ok(Some("x y z")), "{body}");
        }
    }

    #[test]
    fn a_field_said_differently_is_only_at_fault_where_it_is_read() {
        let form = Form::read(b"a=1&a=2&a=1&b=3&c").unwrap();
        assert!(form.text("a").is_err());
        assert_eq!(form.text("b"), Ok(Some("3")));
        assert_eq!((form.sent("c"), form.text("c")), (Ok(Some("")), Ok(None)));
    }

    #[test]
    fn a_form_has_an_end() {
        assert!(Form::read("a=1&".repeat(FIELDS_MAX).as_bytes()).is_ok());
        assert!(Form::read("a=1&".repeat(FIELDS_MAX + 1).as_bytes()).is_err());
    }

    #[test]
    fn reads_the_times_that_are_written() {
        let time = |text: &str| {
            let body = format!("t={}", text.replace('+', "%2B"));
            let form = Form::read(body.as_bytes()).unwrap();
            form.time("t").map(|at| at.map(Time::ms))
        };
        for text in [
            "2016-11-08 16:22:20 -0500",
            "2016-11-08 21:22:20 UTC",
            "2016-11-08T21:22:20Z",
            "2016-11-08T22:22:20+01:00",
            "2016-11-08 22:22:20 +0100",
        ] {
            assert_eq!(time(text), Ok(Some(1_478_640_140_000)), "{text}");
        }
        assert_eq!(time(""), Ok(None));
        for text in [
            "2016-11-08",
            "2016-11-08 16:22:20",
            "2016-11-08 16:22:20 EST",
            "1478640140",
            "1969-12-31T23:59:59Z",
            "2999-01-01T00:00:00Z",
            "2016-13-08 16:22:20 UTC",
        ] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
