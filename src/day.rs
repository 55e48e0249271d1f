//! Days, months and the zones in which they begin and end.
//!
//! Days exist for the reports alone: nothing that is forwarded depends on one.
//! The zones are those of the IANA database, the system's where it has one, else
//! the one that is built in.

use std::fmt;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::{Serialize, Serializer};

use crate::time::Time;

/// One day of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(Date);

/// The first day that a ledger can keep: before it, the digits of a day would
/// not sort as days do. No payment is as old.
const EARLIEST: Date = Date::constant(1, 1, 1);

/// What a day's number is made of: 20260601 is the first of June 2026, so that
/// numbers sort as days do and a person can read a table of them.
const YEARS: i64 = 10_000;
const MONTHS: i64 = 100;

impl Day {
    /// The day as a number, for example 20260601.
    #[must_use]
    pub fn number(self) -> i64 {
        i64::from(self.0.year()) * YEARS
            + i64::from(self.0.month()) * MONTHS
            + i64::from(self.0.day())
    }

    /// The day with this number; `None` where there is none.
    #[must_use]
    pub fn from_number(number: i64) -> Option<Day> {
        let year = i16::try_from(number / YEARS).ok()?;
        let month = i8::try_from(number / MONTHS % MONTHS).ok()?;
        let day = i8::try_from(number % MONTHS).ok()?;
        Date::new(year, month, day).ok().map(Day)
    }

    /// Reads a date as people write it: `2026-06-01`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Day> {
        // A time of day would be dropped in silence.
        let plain = text.len() == "2026-06-01".len();
        let date = plain.then(|| text.parse::<Date>().ok()).flatten()?;
        (date >= EARLIEST).then_some(Day(date))
    }

    /// The day `days` later; earlier where that is negative. The ends of the
    /// calendar stay.
    #[must_use]
    pub fn plus(self, days: i64) -> Day {
        let days = days.clamp(-DAYS_MOST, DAYS_MOST);
        Day(self.0.saturating_add(Span::new().days(days)).max(EARLIEST))
    }

    /// The month that it lies in.
    #[must_use]
    pub fn month(self) -> Month {
        Month(self.number() / MONTHS)
    }
}

/// The longest way from one day to another that is asked for, in days: more than
/// the calendar has.
const DAYS_MOST: i64 = 7_000_000;

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// One month of the calendar, as the number of its days without the last two
/// digits: 202606.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month(pub i64);

impl Month {
    /// Reads a month as people write it: `2026-06`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Month> {
        Day::parse(&format!("{text}-01")).map(Day::month)
    }

    /// Its first day and its last.
    #[must_use]
    pub fn days(self) -> Option<(Day, Day)> {
        let first = Day::from_number(self.0 * MONTHS + 1)?;
        Some((first, Day(first.0.last_of_month())))
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0 / MONTHS, self.0 % MONTHS)
    }
}

impl Serialize for Month {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// Where days begin and end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    name: String,
    rules: TimeZone,
}

/// A text that is no zone.
#[derive(Debug, thiserror::Error)]
#[error("\"{0}\" is no time zone; write UTC, +02:00 or a name like Europe/Stockholm")]
pub struct ZoneError(String);

/// No place is further from UTC than 14 hours (Kiribati).
const OFFSET_MOST_SECONDS: i32 = 14 * 3_600;

impl Zone {
    /// The zone in which nobody lives and everybody counts.
    #[must_use]
    pub fn utc() -> Zone {
        Zone {
            name: "UTC".to_owned(),
            rules: TimeZone::UTC,
        }
    }

    /// The zone called `name`: `UTC`, `+02:00` or a name of the IANA database.
    ///
    /// # Errors
    /// The text, quoted, with what to write.
    pub fn parse(name: &str) -> Result<Zone, ZoneError> {
        let unknown = || ZoneError(name.chars().take(40).collect());
        if name.eq_ignore_ascii_case("utc") || name == "Z" {
            return Ok(Zone::utc());
        }
        let rules = if name.starts_with(['+', '-']) {
            // The library reads offsets as a part of a time.
            let stamp = format!("2000-01-01T00:00:00{name}");
            let pieces = jiff::fmt::temporal::Pieces::parse(stamp.as_str());
            let offset = pieces.ok().and_then(|pieces| pieces.to_numeric_offset());
            let offset = offset.filter(|it| it.seconds().abs() <= OFFSET_MOST_SECONDS);
            TimeZone::fixed(offset.ok_or_else(unknown)?)
        } else {
            TimeZone::get(name).map_err(|_| unknown())?
        };
        // As the database spells it, so that one zone has one name.
        let name = rules.iana_name().unwrap_or(name).to_owned();
        Ok(Zone { name, rules })
    }

    /// Its rules.
    #[must_use]
    pub fn rules(&self) -> &TimeZone {
        &self.rules
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The day on which `at` lies here. What no calendar holds counts for the
    /// nearest day that it does.
    #[must_use]
    pub fn day_of(&self, at: Time) -> Day {
        let nearest = match at.ms() < 0 {
            true => Timestamp::MIN,
            false => Timestamp::MAX,
        };
        let stamp = Timestamp::from_millisecond(at.ms()).unwrap_or(nearest);
        Day(self.rules.to_datetime(stamp).date().max(EARLIEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day_in(zone: &str, at: &str) -> String {
        let at = Time::parse(at).unwrap();
        Zone::parse(zone).unwrap().day_of(at).to_string()
    }

    #[test]
    fn a_day_begins_where_people_live() {
        for (zone, at, day) in [
            ("UTC", "2026-06-01T23:59:59Z", "2026-06-01"),
            ("utc", "2026-06-02T00:00:00Z", "2026-06-02"),
            ("Europe/Stockholm", "2026-06-01T22:00:00Z", "2026-06-02"),
            ("Europe/Stockholm", "2026-01-01T22:59:59Z", "2026-01-01"),
            ("America/Los_Angeles", "2026-06-02T06:59:59Z", "2026-06-01"),
            ("Pacific/Kiritimati", "2026-06-01T10:00:00Z", "2026-06-02"),
            ("+02:00", "2026-06-01T22:00:00Z", "2026-06-02"),
            ("-11:30", "2026-06-01T11:29:00Z", "2026-05-31"),
        ] {
            assert_eq!(day_in(zone, at), day, "{zone} {at}");
        }
        for text in ["", "Mars/Olympus", "+2", "02:00", "+99:00", "EUR"] {
            assert!(Zone::parse(text).is_err(), "{text}");
        }
        let spelled = Zone::parse("europe/stockholm").unwrap();
        assert_eq!(spelled.name(), "Europe/Stockholm");
    }

    #[test]
    fn the_ends_of_time_have_a_day() {
        let zone = Zone::utc();
        assert_eq!(zone.day_of(Time(i64::MIN)).number(), 10_101);
        assert_eq!(zone.day_of(Time(i64::MAX)).to_string(), "9999-12-30");
        let first = zone.day_of(Time(i64::MIN));
        assert_eq!(first.plus(-1), first);
    }

    #[test]
    fn days_are_numbers_and_texts() {
        let day = Day::parse("2026-02-28").unwrap();
        assert_eq!(day.number(), 20_260_228);
        assert_eq!(Day::from_number(20_260_228), Some(day));
        assert_eq!(day.plus(1).to_string(), "2026-03-01");
        assert_eq!(day.plus(-28).to_string(), "2026-01-31");
        assert_eq!(Day::from_number(20_260_230), None);
        for text in ["2026-02-30", "2026-6-1", "2026-06-01T00:00", "1", ""] {
            assert_eq!(Day::parse(text), None, "{text}");
        }
        let month = Month::parse("2026-02").unwrap();
        assert_eq!(
            (day.month(), month.to_string().as_str()),
            (month, "2026-02")
        );
        let (first, last) = month.days().unwrap();
        assert_eq!(first.to_string(), "2026-02-01");
        assert_eq!(last, day);
        assert_eq!(Month::parse("2026-13"), None);
    }
}
