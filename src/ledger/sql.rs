//! Statements, their values and their rows, as the verbs see them: the same for
//! either store.
//!
//! Money is never anything but an integer here: a column is a 64-bit integer, a
//! text, bytes or nothing, and a value that does not fit is an error. This builds no
//! SQL and knows no table.

use rusqlite::types::{ToSqlOutput, ValueRef};

use super::LedgerError;

/// What a statement is given, or a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// Nothing.
    Null,
    /// Nothing, where a value of this kind might have been: what an empty parameter
    /// is, so that a statement means the same whichever of its values is empty first.
    Absent(Kind),
    /// Also a truth: 0 or 1.
    Int(i64),
    /// Text.
    Text(&'a str),
    /// Bytes.
    Blob(&'a [u8]),
}

/// What a value is, where it is something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An integer or a truth.
    Int,
    /// Text.
    Text,
    /// Bytes.
    Blob,
}

/// What a type's values are.
pub(super) trait Kinded {
    /// Which kind.
    const KIND: Kind;
}

impl<T: Kinded + ?Sized> Kinded for &T {
    const KIND: Kind = T::KIND;
}

/// A value that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owned {
    /// Nothing.
    Null,
    /// An integer or a truth.
    Int(i64),
    /// Text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

impl Value<'_> {
    /// The same, kept.
    pub(super) fn kept(self) -> Owned {
        match self {
            Value::Null | Value::Absent(_) => Owned::Null,
            Value::Int(number) => Owned::Int(number),
            Value::Text(text) => Owned::Text(text.to_owned()),
            Value::Blob(bytes) => Owned::Blob(bytes.to_vec()),
        }
    }
}

/// Why a column is not what was asked for: the ledger holds something unexpected.
pub(super) fn unexpected(what: &str) -> LedgerError {
    LedgerError::Unusable(format!("the ledger holds something unexpected: {what}"))
}

/// What may be handed to a statement.
pub(super) trait ToValue {
    /// The value; an integer that does not fit is an error.
    fn to_value(&self) -> Result<Value<'_>, LedgerError>;
}

/// What a column is read as.
pub(super) trait FromValue: Sized {
    /// Reads it.
    fn from_value(value: Value<'_>) -> Result<Self, LedgerError>;
}

macro_rules! integers {
    ($($kind:ty),*) => {$(
        impl Kinded for $kind {
            const KIND: Kind = Kind::Int;
        }

        impl ToValue for $kind {
            fn to_value(&self) -> Result<Value<'_>, LedgerError> {
                let fits = i64::try_from(*self);
                fits.map(Value::Int).map_err(|_| unexpected("a number that is too large"))
            }
        }

        impl FromValue for $kind {
            fn from_value(value: Value<'_>) -> Result<Self, LedgerError> {
                match value {
                    Value::Int(number) => <$kind>::try_from(number)
                        .map_err(|_| unexpected("a number out of its bounds")),
                    other => Err(not_a("number", other)),
                }
            }
        }
    )*};
}
integers!(i64, i32, u8, u16, u32, u64, usize);

impl Kinded for bool {
    const KIND: Kind = Kind::Int;
}

impl ToValue for bool {
    fn to_value(&self) -> Result<Value<'_>, LedgerError> {
        Ok(Value::Int(i64::from(*self)))
    }
}

impl FromValue for bool {
    fn from_value(value: Value<'_>) -> Result<Self, LedgerError> {
        match value {
            Value::Int(number) => Ok(number != 0),
            other => Err(not_a("truth", other)),
        }
    }
}

impl Kinded for str {
    const KIND: Kind = Kind::Text;
}

impl ToValue for str {
    fn to_value(&self) -> Result<Value<'_>, LedgerError> {
        Ok(Value::Text(self))
    }
}

impl Kinded for String {
    const KIND: Kind = Kind::Text;
}

impl ToValue for String {
    fn to_value(&self) -> Result<Value<'_>, LedgerError> {
        Ok(Value::Text(self))
    }
}

impl FromValue for String {
    fn from_value(value: Value<'_>) -> Result<Self, LedgerError> {
        match value {
            Value::Text(text) => Ok(text.to_owned()),
            other => Err(not_a("text", other)),
        }
    }
}

impl Kinded for [u8] {
    const KIND: Kind = Kind::Blob;
}

impl ToValue for [u8] {
    fn to_value(&self) -> Result<Value<'_>, LedgerError> {
        Ok(Value::Blob(self))
    }
}

impl Kinded for Vec<u8> {
    const KIND: Kind = Kind::Blob;
}

impl ToValue for Vec<u8> {
    fn to_value(&self) -> Result<Value<'_>, LedgerError> {
        Ok(Value::Blob(self))
    }
}

impl FromValue for Vec<u8> {
    fn from_value(value: Value<'_>) -> Result<Self, LedgerError> {
        match value {
            Value::Blob(bytes) => Ok(bytes.to_vec()),
            other => Err(not_a("string of bytes", other)),
        }
    }
}

impl<T: ToValue + ?Sized> ToValue for &T {
    fn to_value(&self) -> Result<Value<'_>, LedgerError> {
        (**self).to_value()
    }
}

impl<T: ToValue + Kinded> ToValue for Option<T> {
    fn to_value(&self) -> Result<Value<'_>, LedgerError> {
        let absent = || Ok(Value::Absent(T::KIND));
        self.as_ref().map_or_else(absent, T::to_value)
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: Value<'_>) -> Result<Self, LedgerError> {
        match value {
            Value::Null | Value::Absent(_) => Ok(None),
            value => T::from_value(value).map(Some),
        }
    }
}

impl ToValue for Value<'_> {
    fn to_value(&self) -> Result<Value<'_>, LedgerError> {
        Ok(*self)
    }
}

impl ToValue for Owned {
    fn to_value(&self) -> Result<Value<'_>, LedgerError> {
        Ok(match self {
            Owned::Null => Value::Null,
            Owned::Int(number) => Value::Int(*number),
            Owned::Text(text) => Value::Text(text),
            Owned::Blob(bytes) => Value::Blob(bytes),
        })
    }
}

impl From<i64> for Owned {
    fn from(number: i64) -> Owned {
        Owned::Int(number)
    }
}

impl From<bool> for Owned {
    fn from(truth: bool) -> Owned {
        Owned::Int(i64::from(truth))
    }
}

impl From<String> for Owned {
    fn from(text: String) -> Owned {
        Owned::Text(text)
    }
}

fn not_a(what: &str, value: Value<'_>) -> LedgerError {
    let found = match value {
        Value::Null | Value::Absent(_) => "nothing",
        Value::Int(_) => "a number",
        Value::Text(_) => "a text",
        Value::Blob(_) => "bytes",
    };
    unexpected(&format!("{found} where a {what} should be"))
}

/// The values of a statement, `?1` first.
pub(super) trait Params {
    /// How many there are.
    fn count(&self) -> usize;

    /// The one at `at`, from 0 on.
    fn at(&self, at: usize) -> Result<Value<'_>, LedgerError>;
}

impl Params for &[&dyn ToValue] {
    fn count(&self) -> usize {
        self.len()
    }

    fn at(&self, at: usize) -> Result<Value<'_>, LedgerError> {
        self.get(at)
            .map_or(Ok(Value::Null), |value| value.to_value())
    }
}

impl Params for &[Value<'_>] {
    fn count(&self) -> usize {
        self.len()
    }

    fn at(&self, at: usize) -> Result<Value<'_>, LedgerError> {
        Ok(self.get(at).copied().unwrap_or(Value::Null))
    }
}

impl Params for &[Owned] {
    fn count(&self) -> usize {
        self.len()
    }

    fn at(&self, at: usize) -> Result<Value<'_>, LedgerError> {
        self.get(at)
            .map_or(Ok(Value::Null), |value| value.to_value())
    }
}

/// No values.
impl Params for [&dyn ToValue; 0] {
    fn count(&self) -> usize {
        0
    }

    fn at(&self, _: usize) -> Result<Value<'_>, LedgerError> {
        Ok(Value::Null)
    }
}

macro_rules! arrays {
    ($($count:literal),*) => {$(
        impl<T: ToValue> Params for [T; $count] {
            fn count(&self) -> usize {
                $count
            }

            fn at(&self, at: usize) -> Result<Value<'_>, LedgerError> {
                self.get(at).map_or(Ok(Value::Null), |value| value.to_value())
            }
        }
    )*};
}
arrays!(1, 2, 3, 4);

/// The values of a statement, each of its own kind.
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        &[$(&$value as &dyn $crate::ledger::sql::ToValue),*] as &[&dyn $crate::ledger::sql::ToValue]
    };
}
pub(super) use params;

/// A row that was found.
pub(super) enum Row<'a> {
    /// Of SQLite.
    Sqlite(&'a rusqlite::Row<'a>),
    /// Of PostgreSQL.
    Postgres(&'a super::postgres::Row),
}

/// How a column is named: by its number, from 0 on.
pub(super) trait At {
    fn number(self) -> usize;
}

impl At for usize {
    fn number(self) -> usize {
        self
    }
}

impl Row<'_> {
    /// One column.
    pub(super) fn get<A: At, T: FromValue>(&self, at: A) -> Result<T, LedgerError> {
        T::from_value(self.value(at.number())?)
    }

    /// A text where it lies.
    pub(super) fn text(&self, at: usize) -> Result<&str, LedgerError> {
        match self.value(at)? {
            Value::Text(text) => Ok(text),
            other => Err(not_a("text", other)),
        }
    }

    /// Bytes where they lie.
    pub(super) fn blob(&self, at: usize) -> Result<&[u8], LedgerError> {
        match self.value(at)? {
            Value::Blob(bytes) => Ok(bytes),
            other => Err(not_a("string of bytes", other)),
        }
    }

    /// A column as it is.
    pub(super) fn value(&self, at: usize) -> Result<Value<'_>, LedgerError> {
        match self {
            Row::Sqlite(row) => Ok(match row.get_ref(at)? {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(number) => Value::Int(number),
                ValueRef::Text(text) => {
                    Value::Text(std::str::from_utf8(text).map_err(|_| unexpected("a broken text"))?)
                }
                ValueRef::Blob(bytes) => Value::Blob(bytes),
                ValueRef::Real(_) => return Err(unexpected("a number that is not whole")),
            }),
            Row::Postgres(row) => row.value(at),
        }
    }
}

impl rusqlite::ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null | Value::Absent(_) => ValueRef::Null,
            Value::Int(number) => ValueRef::Integer(*number),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}
