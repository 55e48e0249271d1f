//! Values as PostgreSQL's binary protocol carries them, both ways. No number here is
//! anything but whole: what is not, or does not fit, is an error.
//!
//! The formats are those of the server's own `*send` and `*recv` functions; that of
//! NUMERIC is described in its source, `src/backend/utils/adt/numeric.c`
//! (`numeric_send`).

use std::error::Error;
use std::fmt;

use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, Kind, ToSql, Type};

use crate::ledger::LedgerError;
use crate::ledger::sql::Value;

/// A NUMERIC's digits are of this base.
const NUMERIC_BASE: i128 = 10_000;
/// The words of a NUMERIC's head: how many digits, the weight of the first, the sign
/// and how many decimals are shown.
const NUMERIC_HEAD: usize = 4;
/// The sign of what is below zero; above it there are only NaN and infinities.
const NUMERIC_BELOW_ZERO: u16 = 0x4000;
/// More digits before the point do not fit into 64 bits.
const NUMERIC_WEIGHT_MOST: usize = 5;

/// A value that is ready to be sent, or many of one kind. It does not print what it holds.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum Bound {
    One(Option<Vec<u8>>),
    Many(Vec<Bound>),
}

impl fmt::Debug for Bound {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a value")
    }
}

/// The value as a parameter of the type `wanted`.
pub(super) fn bound(value: Value<'_>, wanted: &Type) -> Result<Bound, LedgerError> {
    let bytes = match value {
        Value::Null | Value::Absent(_) => return Ok(Bound::One(None)),
        Value::Int(number) => integer(number, wanted)?,
        Value::Text(text) if is_text(wanted) => {
            if text.contains('\0') {
                return Err(LedgerError::Refused(
                    "a text with the character U+0000 cannot be kept in PostgreSQL".to_owned(),
                ));
            }
            text.as_bytes().to_vec()
        }
        Value::Blob(bytes) if *wanted == Type::BYTEA => bytes.to_vec(),
        Value::Text(_) => return Err(unfit("a text", wanted)),
        Value::Blob(_) => return Err(unfit("bytes", wanted)),
    };
    Ok(Bound::One(Some(bytes)))
}

/// The values as one parameter of the type `wanted`, which is one of many.
pub(super) fn bound_together(values: &[Value<'_>], wanted: &Type) -> Result<Bound, LedgerError> {
    let Kind::Array(member) = wanted.kind() else {
        return Err(unfit("many values", wanted));
    };
    let each: Result<_, LedgerError> = values.iter().map(|it| bound(*it, member)).collect();
    Ok(Bound::Many(each?))
}

fn unfit(what: &str, wanted: &Type) -> LedgerError {
    LedgerError::Unusable(format!(
        "the ledger refused a statement: {what} where it takes {wanted}"
    ))
}

fn integer(number: i64, wanted: &Type) -> Result<Vec<u8>, LedgerError> {
    let too_large = || unfit("a number that is too large", wanted);
    Ok(match *wanted {
        Type::INT8 => number.to_be_bytes().to_vec(),
        Type::INT4 => i32::try_from(number)
            .map_err(|_| too_large())?
            .to_be_bytes()
            .to_vec(),
        Type::INT2 => i16::try_from(number)
            .map_err(|_| too_large())?
            .to_be_bytes()
            .to_vec(),
        Type::BOOL => match number {
            0 | 1 => vec![u8::from(number == 1)],
            _ => return Err(too_large()),
        },
        Type::NUMERIC => numeric(number),
        _ => return Err(unfit("a number", wanted)),
    })
}

/// A whole number as a NUMERIC.
fn numeric(number: i64) -> Vec<u8> {
    let mut digits: Vec<u16> = Vec::new();
    let mut left = i128::from(number).unsigned_abs();
    while left > 0 {
        let base = NUMERIC_BASE.unsigned_abs();
        digits.push(u16::try_from(left % base).unwrap_or(0));
        left /= base;
    }
    digits.reverse();
    let many = u16::try_from(digits.len()).unwrap_or(0);
    let sign = if number < 0 { NUMERIC_BELOW_ZERO } else { 0 };
    let head = [many, many.saturating_sub(1), sign, 0];
    let words = head.into_iter().chain(digits);
    words.flat_map(u16::to_be_bytes).collect()
}

fn is_text(wanted: &Type) -> bool {
    [
        Type::TEXT,
        Type::VARCHAR,
        Type::BPCHAR,
        Type::NAME,
        Type::UNKNOWN,
    ]
    .contains(wanted)
}

impl ToSql for Bound {
    fn to_sql(
        &self,
        wanted: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Bound::One(None) => Ok(IsNull::Yes),
            Bound::One(Some(bytes)) => {
                out.extend_from_slice(bytes);
                Ok(IsNull::No)
            }
            Bound::Many(each) => each.to_sql(wanted, out),
        }
    }

    // The type was looked at when the value was bound.
    fn accepts(_: &Type) -> bool {
        true
    }

    tokio_postgres::types::to_sql_checked!();
}

/// A column, whatever its type is.
pub(super) struct Raw<'a>(pub Value<'a>);

/// A column that holds what no ledger has.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unexpected(String);

fn unexpected(what: &str) -> Box<dyn Error + Sync + Send> {
    Box::new(Unexpected(what.to_owned()))
}

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(held: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        let value = match *held {
            Type::INT8 => Value::Int(i64::from_be_bytes(raw.try_into()?)),
            Type::INT4 => Value::Int(i32::from_be_bytes(raw.try_into()?).into()),
            Type::INT2 => Value::Int(i16::from_be_bytes(raw.try_into()?).into()),
            Type::BOOL => match raw {
                [0] => Value::Int(0),
                [1] => Value::Int(1),
                _ => return Err(unexpected("a broken truth")),
            },
            Type::NUMERIC => Value::Int(of_numeric(raw)?),
            Type::BYTEA => Value::Blob(raw),
            _ if is_text(held) => Value::Text(std::str::from_utf8(raw)?),
            _ => return Err(unexpected(&format!("a value of the type {held}"))),
        };
        Ok(Raw(value))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Raw(Value::Null))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// The whole number that a NUMERIC is, as `sum()` answers it.
fn of_numeric(raw: &[u8]) -> Result<i64, Box<dyn Error + Sync + Send>> {
    let words: Vec<u16> = raw
        .chunks_exact(2)
        .map(|two| u16::from_be_bytes([two[0], two[1]]))
        .collect();
    let [many, weight, sign, _] = *words
        .first_chunk::<NUMERIC_HEAD>()
        .ok_or_else(|| unexpected("a broken number"))?;
    if sign != 0 && sign != NUMERIC_BELOW_ZERO {
        return Err(unexpected("a number that is none"));
    }
    let digits = &words[NUMERIC_HEAD..];
    if digits.len() != usize::from(many) {
        return Err(unexpected("a broken number"));
    }
    if digits.is_empty() {
        return Ok(0);
    }
    let too_large = || unexpected("a number that is too large");
    // How many digits stand before the point; the rest of them are zero or decimals.
    let whole = match i16::from_be_bytes(weight.to_be_bytes()) {
        weight if weight < 0 => 0,
        weight => usize::try_from(weight)? + 1,
    };
    if whole > NUMERIC_WEIGHT_MOST {
        return Err(too_large());
    }
    if digits.iter().skip(whole).any(|digit| *digit != 0) {
        return Err(unexpected("a number that is not whole"));
    }
    let mut sum = 0_i128;
    for at in 0..whole {
        let digit = digits.get(at).copied().unwrap_or(0);
        sum = sum * NUMERIC_BASE + i128::from(digit);
    }
    let signed = if sign == 0 { sum } else { -sum };
    i64::try_from(signed).map_err(|_| too_large())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_whole_number_comes_back_as_it_went(number: i64) {
            prop_assert_eq!(of_numeric(&numeric(number)).unwrap(), number);
        }
    }

    #[test]
    fn the_ends_of_what_fits_are_numbers_and_what_is_beyond_is_not() {
        for number in [i64::MIN, -10_000, -1, 0, 1, 9_999, 10_000, i64::MAX] {
            assert_eq!(of_numeric(&numeric(number)).unwrap(), number);
        }
        let words = |words: &[u16]| -> Vec<u8> {
            words.iter().flat_map(|word| word.to_be_bytes()).collect()
        };
        // 9 223 372 036 854 775 808, one more than fits.
        let beyond = words(&[5, 4, 0, 0, 922, 3372, 368, 5477, 5808]);
        assert!(of_numeric(&beyond).is_err());
        // A half, and NaN.
        assert!(of_numeric(&words(&[1, u16::MAX, 0, 1, 5000])).is_err());
        assert!(of_numeric(&words(&[0, 0, 0xC000, 0])).is_err());
        // 3.00, as a NUMERIC with decimals is sent, and 30 000 in one digit.
        assert_eq!(of_numeric(&words(&[1, 0, 0, 2, 3])).unwrap(), 3);
        assert_eq!(of_numeric(&words(&[1, 1, 0, 0, 3])).unwrap(), 30_000);
        assert!(of_numeric(&[0, 1]).is_err());
    }
}
