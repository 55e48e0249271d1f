//! Times as files write them, and the zones they may need.
//!
//! A time that names no zone means nothing without one, so it is refused where
//! nobody said which. Where clocks were set back, the earlier of two moments is
//! taken unless the text tells them apart. Source of the forms: RFC 3339 and the
//! exports of Stripe and Recurly.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::day::Zone;
use crate::time::{SECOND_MS, Time};

/// 1990-01-01 in milliseconds. A smaller number of milliseconds is one of
/// seconds, or no time at all.
const EARLIEST_MS: i64 = 631_152_000_000;

const NO_TIME: &str =
    "is not a time; write 2026-06-01T00:00:00Z, 2026-06-01 00:00:00 or milliseconds since 1970";
const NO_ZONE: &str = "names no time zone; say which one with --zone";
const OTHER_ZONE: &str = "names another time zone than --zone";
const IN_SECONDS: &str = "is no number of milliseconds since 1970; seconds are not taken";

/// The zone called `name`: `UTC`, `+02:00` or a name like `Europe/Stockholm`.
///
/// # Errors
/// What to write instead.
pub fn zone(name: &str) -> Result<TimeZone, String> {
    let zone = Zone::parse(name).map_err(|error| error.to_string())?;
    Ok(zone.rules().clone())
}

/// Reads a time: RFC 3339, a date with or without a time of day in `zone`, or
/// milliseconds.
///
/// # Errors
/// Why it is none.
pub fn read(text: &str, zone: Option<&TimeZone>) -> Result<Time, &'static str> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let ms = text.parse().map_err(|_| NO_TIME)?;
        return match ms {
            EARLIEST_MS.. => known(ms),
            _ => Err(IN_SECONDS),
        };
    }
    if let Some(at) = plain_utc(text) {
        return known(at.as_millisecond());
    }
    if let Ok(stamp) = text.parse::<jiff::Timestamp>() {
        return known(stamp.as_millisecond());
    }
    let local = local(text)?;
    in_zone(local, zone.ok_or(NO_ZONE)?)
}

/// The form that programs write most, `2026-06-01T00:00:00Z`, without the
/// general parser, which takes a fifth of the time that a row does. Whether
/// there is such a day is jiff's to say.
fn plain_utc(text: &str) -> Option<jiff::Timestamp> {
    let [
        y,
        e,
        a,
        r,
        b'-',
        m,
        n,
        b'-',
        d,
        f,
        b'T',
        h,
        i,
        b':',
        j,
        k,
        b':',
        s,
        t,
        b'Z',
    ] = *text.as_bytes()
    else {
        return None;
    };
    let pair = |tens: u8, ones: u8| {
        let digits = tens.is_ascii_digit() && ones.is_ascii_digit();
        digits.then(|| i8::try_from((tens - b'0') * 10 + (ones - b'0')).ok())?
    };
    let year = i16::from(pair(y, e)?) * 100 + i16::from(pair(a, r)?);
    let date = jiff::civil::Date::new(year, pair(m, n)?, pair(d, f)?).ok()?;
    let time = jiff::civil::Time::new(pair(h, i)?, pair(j, k)?, pair(s, t)?, 0).ok()?;
    TimeZone::UTC.to_timestamp(date.to_datetime(time)).ok()
}

/// Reads a time that may have the abbreviation of a zone behind it
/// (`2026-06-05 11:16:41 PDT`).
///
/// # Errors
/// Why it is none; where the abbreviation is not the one that `zone` had then.
pub fn read_abbreviated(text: &str, zone: &TimeZone) -> Result<Time, &'static str> {
    let letters = |word: &str| word.bytes().all(|byte| byte.is_ascii_alphabetic());
    let Some((stamp, name)) = text.rsplit_once(' ').filter(|(_, name)| letters(name)) else {
        return read(text, Some(zone));
    };
    let local = local(stamp)?;
    if ["UTC", "GMT", "Z"].contains(&name) {
        return in_zone(local, &TimeZone::UTC);
    }
    let ambiguous = zone.to_ambiguous_zoned(local);
    for zoned in [ambiguous.clone().earlier(), ambiguous.later()] {
        let zoned = zoned.map_err(|_| NO_TIME)?;
        let info = zone.to_offset_info(zoned.timestamp());
        if zoned.datetime() == local && info.abbreviation() == name {
            return known(zoned.timestamp().as_millisecond());
        }
    }
    Err(OTHER_ZONE)
}

fn local(text: &str) -> Result<DateTime, &'static str> {
    // jiff also takes forms without separators, which no export writes.
    match text.as_bytes().get(4) {
        Some(b'-') => text.parse().map_err(|_| NO_TIME),
        _ => Err(NO_TIME),
    }
}

fn in_zone(local: DateTime, zone: &TimeZone) -> Result<Time, &'static str> {
    let zoned = zone.to_zoned(local).map_err(|_| NO_TIME)?;
    known(zoned.timestamp().as_millisecond())
}

/// A moment that a payment can have.
fn known(ms: i64) -> Result<Time, &'static str> {
    match Time::from_seconds(ms.div_euclid(SECOND_MS)) {
        Some(_) => Ok(Time(ms)),
        None => Err(NO_TIME),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> Result<String, &'static str> {
        read(text, Some(&TimeZone::UTC)).map(|at| at.to_string())
    }

    #[test]
    fn every_form_is_the_same_moment() {
        for text in [
            "2026-06-05T20:38:00Z",
            "2026-06-05T22:38:00+02:00",
            "2026-06-05 20:38:00Z",
            "2026-06-05 20:38:00",
            "2026-06-05 20:38",
            "1780691880000",
        ] {
            assert_eq!(utc(text).as_deref(), Ok("2026-06-05T20:38:00Z"), "{text}");
        }
        assert_eq!(utc("2026-06-05").as_deref(), Ok("2026-06-05T00:00:00Z"));
        assert_eq!(
            utc("2026-06-05T20:38:00.007Z").as_deref(),
            Ok("2026-06-05T20:38:00.007Z")
        );
    }

    #[test]
    fn the_short_way_reads_what_the_long_way_reads() {
        for text in [
            "2026-06-05T20:38:07Z",
            "2024-02-29T23:59:59Z",
            "1999-12-31T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-06-31T00:00:00Z",
            "2026-06-05T24:00:00Z",
            "2026-06-05T20:60:00Z",
            "2026-0a-05T20:38:07Z",
        ] {
            let long = text.parse::<jiff::Timestamp>().ok();
            assert_eq!(plain_utc(text), long, "{text}");
        }
        // A leap second is the second before it to the long way.
        assert_eq!(plain_utc("2016-12-31T23:59:60Z"), None);
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "yesterday",
            "5/6/2026",
            "1780691880",
            "20260605",
            "2026-13-01",
            "2026-06-05T25:00:00Z",
            "99999999999999999",
            "2300-01-01T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "20260605T203800",
        ] {
            assert!(utc(text).is_err(), "{text}");
        }
        assert_eq!(read("2026-06-05 20:38", None), Err(NO_ZONE));
        assert_eq!(read("2026-06-05", None), Err(NO_ZONE));
    }

    #[test]
    fn zones_are_known_by_name_and_by_offset() {
        let at = |name: &str, text: &str| {
            let zone = zone(name).unwrap();
            read(text, Some(&zone)).unwrap().to_string()
        };
        assert_eq!(
            at("Europe/Stockholm", "2026-06-05 22:38"),
            "2026-06-05T20:38:00Z"
        );
        assert_eq!(
            at("Europe/Stockholm", "2026-01-05 21:38"),
            "2026-01-05T20:38:00Z"
        );
        assert_eq!(at("-05:00", "2026-06-05 15:38"), "2026-06-05T20:38:00Z");
        assert_eq!(at("UTC", "2026-06-05 20:38"), "2026-06-05T20:38:00Z");
        for name in ["", "Mars/Olympus", "+25:00", "+", "PST9"] {
            assert!(zone(name).is_err(), "{name}");
        }
    }

    #[test]
    fn an_abbreviation_has_to_be_the_zones_own() {
        let pacific = zone("America/Los_Angeles").unwrap();
        let at = |text: &str| read_abbreviated(text, &pacific).map(|at| at.to_string());
        assert_eq!(
            at("2026-06-05 11:16:41 PDT").as_deref(),
            Ok("2026-06-05T18:16:41Z")
        );
        assert_eq!(
            at("2026-01-19 11:16:41 PST").as_deref(),
            Ok("2026-01-19T19:16:41Z")
        );
        assert_eq!(
            at("2026-01-19 11:16:41").as_deref(),
            Ok("2026-01-19T19:16:41Z")
        );
        assert_eq!(
            at("2026-01-19 11:16:41 UTC").as_deref(),
            Ok("2026-01-19T11:16:41Z")
        );
        assert_eq!(
            at("2026-01-19T11:16:41Z").as_deref(),
            Ok("2026-01-19T11:16:41Z")
        );
        // An hour that there was twice.
        assert_eq!(
            at("2026-11-01 01:30:00 PDT").as_deref(),
            Ok("2026-11-01T08:30:00Z")
        );
        assert_eq!(
            at("2026-11-01 01:30:00 PST").as_deref(),
            Ok("2026-11-01T09:30:00Z")
        );
        assert_eq!(
            at("2026-11-01 01:30:00").as_deref(),
            Ok("2026-11-01T08:30:00Z")
        );
        assert_eq!(at("2026-01-19 11:16:41 PDT"), Err(OTHER_ZONE));
        assert_eq!(at("2026-01-19 11:16:41 CET"), Err(OTHER_ZONE));
    }
}
