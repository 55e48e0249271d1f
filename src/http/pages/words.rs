//! How pages write money, numbers, times and names. It decides nothing.

use crate::config::Role;
use crate::day::{Day, Month};
use crate::money::{Currency, Minor, decimal};
use crate::time::{DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS};

/// Digits that are read together.
const GROUP: usize = 3;

/// An amount without its currency, as people read it: `12,345.60`.
pub(super) fn amount(currency: Currency, minor: Minor) -> String {
    let text = decimal(minor, currency.exponent());
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("\u{2212}", digits),
        None => ("", text.as_str()),
    };
    let (whole, places) = digits.split_once('.').unwrap_or((digits, ""));
    let point = if places.is_empty() { "" } else { "." };
    format!("{sign}{}{point}{places}", grouped(whole))
}

/// An amount with its currency.
pub(super) fn money(currency: Currency, minor: Minor) -> String {
    format!("{}\u{a0}{}", amount(currency, minor), currency.code())
}

/// An amount that may not be known.
pub(super) fn maybe(currency: Option<Currency>, minor: Option<Minor>) -> String {
    match (currency, minor) {
        (Some(currency), Some(minor)) => money(currency, minor),
        _ => "\u{2013}".to_owned(),
    }
}

/// An amount in as few characters as an axis has room for: `12k`, `1.5M`. Only
/// there: it is cut, not exact.
pub(super) fn short(currency: Currency, minor: Minor) -> String {
    let unit = 10_i64.pow(currency.exponent());
    let whole = minor / unit;
    let cut = |by: i64, mark: &str| {
        let tenths = whole / (by / 10);
        match tenths % 10 {
            0 => format!("{}{mark}", tenths / 10),
            rest => format!("{}.{}{mark}", tenths / 10, rest.abs()),
        }
    };
    match whole.abs() {
        0 if minor != 0 => amount(currency, minor),
        0..1_000 => whole.to_string(),
        1_000..1_000_000 => cut(1_000, "k"),
        1_000_000..1_000_000_000 => cut(1_000_000, "M"),
        _ => cut(1_000_000_000, "bn"),
    }
}

/// A number as people read it: `12,345`.
pub(super) fn count(number: i64) -> String {
    let sign = if number < 0 { "\u{2212}" } else { "" };
    format!("{sign}{}", grouped(&number.unsigned_abs().to_string()))
}

fn grouped(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() + digits.len() / GROUP);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(GROUP) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number with its noun, of which there may be one.
pub(super) fn counted(number: i64, one: &str, many: &str) -> String {
    let noun = if number == 1 { one } else { many };
    format!("{} {noun}", count(number))
}

/// A change from which on it only says that there was next to nothing before.
const PERCENT_MOST: i128 = 1_000;

/// How far a number is from what it was, in percent and in words; `None` where
/// that says nothing.
pub(super) fn change(before: Minor, now: Minor) -> Option<String> {
    if before <= 0 {
        return None;
    }
    let percent = i128::from(now - before) * 100 / i128::from(before);
    Some(match percent {
        PERCENT_MOST.. => return None,
        0 => "as before".to_owned(),
        1.. => format!("+{percent}\u{a0}%"),
        _ => format!("\u{2212}{}\u{a0}%", -percent),
    })
}

/// A share in percent, cut.
pub(super) fn share(part: Minor, of: Minor) -> String {
    match of {
        0 => "0\u{a0}%".to_owned(),
        _ => {
            let tenths = i128::from(part) * 1_000 / i128::from(of);
            format!("{}.{}\u{a0}%", tenths / 10, (tenths % 10).abs())
        }
    }
}

/// How long something took or lasts, by its largest unit.
pub(super) fn lasting(ms: i64) -> String {
    let ms = ms.max(0);
    match ms {
        0..MINUTE_MS => format!("{} s", ms / SECOND_MS),
        MINUTE_MS..HOUR_MS => format!("{} min", ms / MINUTE_MS),
        HOUR_MS..DAY_MS => format!("{} h", ms / HOUR_MS),
        _ => format!("{} d", ms / DAY_MS),
    }
}

/// A moment as a page shows it: `2026-06-01 12:30:00`, in UTC.
pub(super) fn moment(text: &str) -> String {
    let plain = text.split_once('.').map_or(text, |(seconds, _)| seconds);
    plain.trim_end_matches('Z').replace('T', " ")
}

/// The months as an axis has room for.
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// A day as an axis has room for: `1 Jun`.
pub(super) fn day(day: Day) -> String {
    let number = day.number();
    format!("{} {}", number % 100, name(number / 100))
}

/// A month: `Jun 2026`.
pub(super) fn month(month: Month) -> String {
    let Month(number) = month;
    format!("{} {}", name(number), number / 100)
}

fn name(month: i64) -> &'static str {
    let at = usize::try_from(month % 100 - 1).unwrap_or(0);
    MONTHS.get(at).copied().unwrap_or("?")
}

/// A role, for a person.
pub(super) fn role(role: Role) -> &'static str {
    match role {
        Role::Operator => "operator",
        Role::Viewer => "viewer",
        Role::Linker => "linker",
    }
}

/// A text as a part of a URL.
pub(super) fn part(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_written_as_people_read_it() {
        let of = |code: &str, minor| amount(code.parse().unwrap(), minor);
        assert_eq!(of("USD", 123_456_789), "1,234,567.89");
        assert_eq!(of("USD", -5), "\u{2212}0.05");
        assert_eq!(of("JPY", 1_000), "1,000");
        assert_eq!(of("KWD", 999), "0.999");
        let axis = |minor| short("USD".parse().unwrap(), minor);
        assert_eq!(axis(0), "0");
        assert_eq!(axis(50), "0.50");
        assert_eq!(axis(99_900), "999");
        assert_eq!(axis(150_000), "1.5k");
        assert_eq!(axis(-200_000), "-2k");
        assert_eq!(axis(123_400_000), "1.2M");
    }

    #[test]
    fn numbers_and_times_are_words() {
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(counted(1, "payment", "payments"), "1 payment");
        assert_eq!(change(0, 5), None);
        assert_eq!(change(200, 150).unwrap(), "\u{2212}25\u{a0}%");
        assert_eq!(change(1, 5_000), None);
        assert_eq!(change(100, 120).unwrap(), "+20\u{a0}%");
        assert_eq!(share(1, 3), "33.3\u{a0}%");
        assert_eq!(lasting(2 * HOUR_MS + 5), "2 h");
        assert_eq!(moment("2026-06-01T12:30:00.250Z"), "2026-06-01 12:30:00");
        assert_eq!(part("a/b c"), "a%2Fb%20c");
    }
}
