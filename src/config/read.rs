//! From TOML to typed sections: lenient about how a value is written, strict
//! about what it is, and silent about values in every error.
//!
//! It does not know the sections; those say which reader each key uses.

use std::fmt;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::path::Path;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{DeserializeOwned, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use toml::{Table, Value};

use super::ConfigError;

/// The file as a table. The parser's own report would print the line, which
/// may hold a secret; so only its place and its key are told.
pub(super) fn parse(file: &Path, text: &str) -> Result<Table, ConfigError> {
    text.parse::<Table>().map_err(|error| {
        let start = error.span().map_or(0, |span| span.start).min(text.len());
        let before = text.as_bytes().get(..start).unwrap_or_default();
        let line = before.iter().filter(|b| **b == b'\n').count();
        let row = text.lines().nth(line).unwrap_or_default();
        let key = row
            .split_once('=')
            .map(|(key, _)| key.trim())
            .filter(|key| is_plain_key(key))
            .map_or(String::new(), |key| format!(", key {key}"));
        ConfigError::at(
            format!("{}:{}{key}", file.display(), line + 1),
            one_line(error.message()),
        )
    })
}

/// Small letters only: a line of a secret that runs over several lines must
/// not pass for a key.
fn is_plain_key(key: &str) -> bool {
    (1..=64).contains(&key.len())
        && key
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
}

/// One section, with errors that name the key inside it.
///
/// # Errors
/// The first key that is unknown, missing or wrong.
pub(super) fn section<T: DeserializeOwned>(key: &str, value: Value) -> Result<T, ConfigError> {
    if !value.is_table() {
        return Err(ConfigError::at(key, "must be a table"));
    }
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let inside = match path.as_str() {
            "." => key.to_owned(),
            path => format!("{key}.{path}"),
        };
        explain(inside, error.inner().message())
    })
}

/// Serde's sentences, without the values that some of them quote.
fn explain(key: String, message: &str) -> ConfigError {
    if let Some(field) = message
        .strip_prefix("missing field `")
        .and_then(|rest| rest.split('`').next())
    {
        return ConfigError::at(format!("{key}.{field}"), "is required");
    }
    let expected = message.rsplit_once(", expected ").map(|(_, after)| after);
    if message.starts_with("unknown field ") {
        let known = expected.unwrap_or("no keys").trim_start_matches("one of ");
        return ConfigError::at(key, format!("is no key here; the keys are {known}"));
    }
    if message.starts_with("invalid ") || message.starts_with("unknown variant ") {
        let what = expected.unwrap_or("something else");
        return ConfigError::at(key, format!("expected {what}"));
    }
    ConfigError::at(key, one_line(message))
}

fn one_line(message: &str) -> String {
    message
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect::<Vec<_>>()
        .join("; ")
}

/// A whole number from `LOW` to `HIGH`, written as a number or as a text, for
/// serde's `deserialize_with`.
///
/// # Errors
/// The range, without the value.
pub fn number<'de, D, const LOW: u32, const HIGH: u32>(d: D) -> Result<u32, D::Error>
where
    D: Deserializer<'de>,
{
    let read = match Value::deserialize(d)? {
        Value::Integer(n) => u32::try_from(n).ok(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    read.filter(|n| (LOW..=HIGH).contains(n))
        .ok_or_else(|| D::Error::custom(format!("must be a whole number from {LOW} to {HIGH}")))
}

/// `true` or `false`, bare or as a text, for serde's `deserialize_with`.
///
/// # Errors
/// The two words, without the value.
pub fn flag<'de, D: Deserializer<'de>>(d: D) -> Result<bool, D::Error> {
    match Value::deserialize(d)? {
        Value::Boolean(b) => Ok(b),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(D::Error::custom("must be true or false")),
    }
}

/// A time as a text or as TOML's own date.
pub(crate) fn time<'de, D: Deserializer<'de>>(d: D) -> Result<Option<crate::time::Time>, D::Error> {
    let text = match Value::deserialize(d)? {
        Value::String(text) => text,
        Value::Datetime(at) => at.to_string(),
        _ => String::new(),
    };
    crate::time::Time::parse(&text).map(Some).map_err(|_| {
        D::Error::custom(
            "must be a time: RFC 3339 (2026-06-01T00:00:00Z) or a date (2026-06-01), in UTC",
        )
    })
}

/// An address to listen on.
pub(crate) fn address<'de, D: Deserializer<'de>>(d: D) -> Result<SocketAddr, D::Error> {
    let value = Value::deserialize(d)?;
    value
        .as_str()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| {
            D::Error::custom(
                "must be an IP address and a port, such as \"127.0.0.1:8080\" or \"[::1]:8080\"",
            )
        })
}

/// An array whose elements keep their index in an error; a lone text is
/// refused without being quoted.
pub(crate) fn list<'de, D, T>(d: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct List<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
        type Value = Vec<T>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array: [ … ]")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Vec<T>, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(seq))
        }
        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Vec<T>, A::Error> {
            // One table where an array belongs: say so, whatever is in it.
            let _ = serde::de::IgnoredAny::deserialize(MapAccessDeserializer::new(map));
            Err(A::Error::custom("must be an array: [ … ]"))
        }
        fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<Vec<T>, E> {
            Err(E::custom("must be an array: [ … ]"))
        }
    }
    d.deserialize_any(List(PhantomData))
}

/// The keys a section knows, asked of its reader so that no second list can
/// fall behind.
pub(super) fn keys_of<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    struct Ask<'a>(&'a mut &'static [&'static str]);
    impl<'de> Deserializer<'de> for Ask<'_> {
        type Error = serde::de::value::Error;
        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
            Err(Self::Error::custom("only asked for the keys"))
        }
        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            keys: &'static [&'static str],
            visitor: V,
        ) -> Result<V::Value, Self::Error> {
            *self.0 = keys;
            self.deserialize_any(visitor)
        }
        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
            option unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier
            ignored_any
        }
    }
    let mut keys: &'static [&'static str] = &[];
    // The answer is in `keys`; the call itself always fails.
    let _ = T::deserialize(Ask(&mut keys));
    keys
}
