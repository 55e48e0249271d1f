//! Points in time and the one place that reads a clock.
//!
//! Everything else takes `now` as an argument, so that a simulation can hold
//! the time in its hand. This is not a calendar: days and zones belong to the
//! reports.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use serde::{Deserialize, Serialize};

/// A point in time: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(pub i64);

/// One second, in milliseconds.
pub const SECOND_MS: i64 = 1_000;
/// One minute, in milliseconds.
pub const MINUTE_MS: i64 = 60 * SECOND_MS;
/// One hour, in milliseconds.
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
/// One day, in milliseconds.
pub const DAY_MS: i64 = 24 * HOUR_MS;

/// The year 2200, in milliseconds: a time beyond it is a unit error, not a date.
const LATEST_MS: i64 = 7_258_118_400_000;

impl Time {
    /// No time is known: the provider says none. The ledger writes the time of
    /// arrival instead, because no payment is from 1970.
    pub const UNKNOWN: Time = Time(0);

    /// This time, or `other` where none is known.
    #[must_use]
    pub fn known_or(self, other: Time) -> Time {
        match self {
            Time::UNKNOWN => other,
            known => known,
        }
    }

    /// From whole seconds since the epoch, as Stripe writes its times.
    /// `None` outside 1970 to 2200, which no payment can be.
    #[must_use]
    pub fn from_seconds(seconds: i64) -> Option<Time> {
        let ms = seconds.checked_mul(SECOND_MS)?;
        (0..=LATEST_MS).contains(&ms).then_some(Time(ms))
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub fn ms(self) -> i64 {
        self.0
    }

    /// This time moved by `ms` milliseconds; saturates at the ends of `i64`.
    #[must_use]
    pub fn plus(self, ms: i64) -> Time {
        Time(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this time; negative where it is later.
    #[must_use]
    pub fn since(self, earlier: Time) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Reads RFC 3339 (`2026-06-01T00:00:00Z`) or a plain date, which means its
    /// first moment in UTC.
    ///
    /// # Errors
    /// The text, quoted, with the two accepted forms.
    pub fn parse(text: &str) -> Result<Time, TimeError> {
        if let Ok(stamp) = text.parse::<jiff::Timestamp>() {
            return Ok(Time(stamp.as_millisecond()));
        }
        let date: jiff::civil::Date = text.parse().map_err(|_| TimeError(text.to_owned()))?;
        let zoned = date
            .to_zoned(jiff::tz::TimeZone::UTC)
            .map_err(|_| TimeError(text.to_owned()))?;
        Ok(Time(zoned.timestamp().as_millisecond()))
    }
}

/// A text that is no time.
#[derive(Debug, thiserror::Error)]
#[error("\"{0}\" is not a time: write RFC 3339 (2026-06-01T00:00:00Z) or a date (2026-06-01)")]
pub struct TimeError(String);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(stamp) if self.0 % SECOND_MS == 0 => write!(f, "{stamp:.0}"),
            Ok(stamp) => write!(f, "{stamp:.3}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a clock said: the wall time, which people read, and the boot time,
/// which also counts while the machine sleeps and never jumps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Wall time.
    pub wall: Time,
    /// Milliseconds since boot, suspended time included.
    pub boot_ms: i64,
}

/// The clock of a running program: the machine's, or one that a test moves.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The machine's clocks.
    #[default]
    Machine,
    /// A clock that stands until somebody moves it.
    Held(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that stands at `at`.
    #[must_use]
    pub fn held(at: Time) -> Clock {
        Clock::Held(Arc::new(AtomicI64::new(at.0)))
    }

    /// The wall time now.
    #[must_use]
    pub fn now(&self) -> Time {
        self.read().wall
    }

    /// Both clocks now.
    #[must_use]
    pub fn read(&self) -> Reading {
        match self {
            Clock::Machine => Reading {
                wall: wall(),
                boot_ms: boot_ms(),
            },
            Clock::Held(at) => {
                let ms = at.load(Ordering::SeqCst);
                Reading {
                    wall: Time(ms),
                    boot_ms: ms,
                }
            }
        }
    }

    /// Moves a held clock forward; the machine's clock stays as it is.
    pub fn advance(&self, ms: i64) {
        if let Clock::Held(at) = self {
            at.fetch_add(ms, Ordering::SeqCst);
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the wall clock"
)]
fn wall() -> Time {
    Time(jiff::Timestamp::now().as_millisecond())
}

fn boot_ms() -> i64 {
    let at = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    at.tv_sec
        .saturating_mul(SECOND_MS)
        .saturating_add(at.tv_nsec / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_the_same_times() {
        let at = Time::parse("2026-06-01T00:00:00Z").unwrap();
        assert_eq!(at, Time::parse("2026-06-01").unwrap());
        assert_eq!(at.to_string(), "2026-06-01T00:00:00Z");
        assert_eq!(at.plus(7).to_string(), "2026-06-01T00:00:00.007Z");
        assert!(Time::parse("yesterday").is_err());
        assert_eq!(Time::from_seconds(1_767_225_600_000), None);
    }

    #[test]
    fn a_held_clock_moves_only_when_told() {
        let clock = Clock::held(Time(5));
        assert_eq!(clock.now(), Time(5));
        clock.advance(10);
        assert_eq!(clock.read().boot_ms, 15);
    }
}
