//! Money: whole minor units beside a currency, never a fraction.
//!
//! There is no conversion between currencies here, and nothing that rounds
//! silently: a text that does not fit the currency's minor unit is refused.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An amount in minor units of some currency (cents for USD, yen for JPY).
pub type Minor = i64;

/// The largest amount a provider can state: twelve digits, which is what Stripe
/// allows, with room to spare. Beyond it sums could leave `i64`.
pub const LARGEST_MINOR: Minor = 99_999_999_999_999;

/// A three-letter ISO 4217 code, upper case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency([u8; 3]);

/// A text that is no currency code.
#[derive(Debug, thiserror::Error)]
#[error("\"{0}\" is not a three-letter currency code")]
pub struct CurrencyError(String);

impl Currency {
    /// The code, upper case.
    #[must_use]
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("???")
    }

    /// How many decimal places the minor unit has by ISO 4217. Codes that are
    /// not listed here have two.
    #[must_use]
    pub fn exponent(&self) -> u32 {
        match self.code() {
            "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF"
            | "UGX" | "UYI" | "VND" | "VUV" | "XAF" | "XOF" | "XPF" => 0,
            "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
            "CLF" | "UYW" => 4,
            _ => 2,
        }
    }

    /// Writes `minor` as people write it: `49.99 USD`, `-500 JPY`.
    #[must_use]
    pub fn show(&self, minor: Minor) -> String {
        format!("{} {}", decimal(minor, self.exponent()), self.code())
    }
}

/// Reads a decimal text in major units (`49.99`, `-3`, `1000`) as minor units of
/// a currency with `exponent` places. Zeros beyond the currency's places are
/// allowed; any other digit there is refused, because nothing is rounded.
///
/// # Errors
/// Where it is no plain decimal, says more than the currency can, or is too large.
pub fn minor_from_decimal(text: &str, exponent: u32) -> Result<Minor, DecimalError> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, places) = match digits.split_once('.') {
        Some((_, "")) => return Err(DecimalError),
        Some((whole, places)) => (whole, places),
        None => (digits, ""),
    };
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    // Before anything is cut: a cut inside a character would panic.
    if whole.is_empty() || !plain(whole) || !plain(places) {
        return Err(DecimalError);
    }
    let width = exponent as usize;
    let (kept, beyond) = places.split_at(places.len().min(width));
    if beyond.bytes().any(|byte| byte != b'0') {
        return Err(DecimalError);
    }
    let all = format!("{whole}{kept:0<width$}");
    let minor: Minor = all.parse().map_err(|_| DecimalError)?;
    match minor <= LARGEST_MINOR {
        true if negative => Ok(-minor),
        true => Ok(minor),
        false => Err(DecimalError),
    }
}

/// A text that is no amount of its currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no amount of its currency")]
pub struct DecimalError;

/// `minor` with a decimal point `exponent` digits from the right.
#[must_use]
pub fn decimal(minor: Minor, exponent: u32) -> String {
    let sign = if minor < 0 { "-" } else { "" };
    let unit = 10_u64.pow(exponent);
    let (whole, rest) = (minor.unsigned_abs() / unit, minor.unsigned_abs() % unit);
    match exponent {
        0 => format!("{sign}{whole}"),
        places => format!("{sign}{whole}.{rest:0width$}", width = places as usize),
    }
}

impl FromStr for Currency {
    type Err = CurrencyError;

    fn from_str(text: &str) -> Result<Currency, CurrencyError> {
        match text.as_bytes() {
            [a, b, c] if text.bytes().all(|byte| byte.is_ascii_alphabetic()) => {
                Ok(Currency([a, b, c].map(u8::to_ascii_uppercase)))
            }
            _ => Err(CurrencyError(text.chars().take(12).collect())),
        }
    }
}

impl TryFrom<String> for Currency {
    type Error = CurrencyError;
    fn try_from(text: String) -> Result<Currency, CurrencyError> {
        text.parse()
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> String {
        currency.code().to_owned()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_amounts_by_the_currency() {
        let show = |code: &str, minor| code.parse::<Currency>().unwrap().show(minor);
        assert_eq!(show("usd", 4999), "49.99 USD");
        assert_eq!(show("USD", -5), "-0.05 USD");
        assert_eq!(show("jpy", -500), "-500 JPY");
        assert_eq!(show("KWD", 10_120), "10.120 KWD");
        assert_eq!(show("USD", i64::MIN), "-92233720368547758.08 USD");
    }

    #[test]
    fn refuses_what_is_no_code() {
        for text in ["", "us", "usdx", "u$d", "ééé", "12 "] {
            assert!(text.parse::<Currency>().is_err(), "{text}");
        }
    }

    #[test]
    fn reads_decimals_without_rounding() {
        for (text, exponent, minor) in [
            ("49.99", 2, 4999),
            ("49.9", 2, 4990),
            ("-3", 2, -300),
            ("1000", 0, 1000),
            ("1000.00", 0, 1000),
            ("9.990", 2, 999),
            ("10.123", 3, 10_123),
            ("0.00", 2, 0),
        ] {
            assert_eq!(minor_from_decimal(text, exponent), Ok(minor), "{text}");
        }
        for text in [
            "",
            ".",
            "1.",
            ".5",
            "+1",
            "1e2",
            "1,5",
            "1 000",
            "0.001",
            "--1",
            "99999999999999999999",
            "NaN",
            "1.9\u{bf}",
        ] {
            assert_eq!(minor_from_decimal(text, 2), Err(DecimalError), "{text}");
        }
    }
}
