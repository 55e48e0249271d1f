//! The ways this server can fail on request, how they are written as text, and
//! the dice that decide which call meets which. It does not carry a fault out:
//! `gate` does that.
//!
//! A fault is written `KIND[:ARGUMENT][@METHOD]=RATE`.
//!
//! | KIND | argument | what the caller sees |
//! |---|---|---|
//! | `latency` | `MIN-MAX` ms, default `20-200` | an answer that takes longer |
//! | `slow` | ms, default 30000 | nothing for that long, then the call is carried out, even when the caller has left |
//! | `slow-after` | ms, default 30000 | the call is carried out at once, the answer comes that much later |
//! | `429` | `SECONDS`, `date:SECONDS` or `none`; default `1` | 429 with `Retry-After` in seconds, as an HTTP date, or without it |
//! | `500-before`, `500-after` | | 500, without or with the call carried out |
//! | `drop-before`, `drop-after` | | the TCP connection is cut without an answer, without or with the call carried out |
//! | `html`, `html-after` | | 200 with an HTML page, without or with the call carried out |
//! | `empty` | | 200 with no body; the call was carried out |
//! | `unauthorized` | | 401, whatever the key pair |
//! | `lag` | ms, default 5000 | a row made by the call shows in lists only after that long |
//!
//! RATE is a share of calls, `0.1` or `10%`, no finer than one in a thousand, or
//! `next:3`: the next three calls and no more. `@METHOD` limits a fault to calls
//! with that method, as in `drop-after@POST=next:1`.

use std::fmt;
use std::str::FromStr;

use http::Method;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// A rate is counted in thousandths, so that no float is needed.
const PERMILLE: u32 = 1_000;
/// Digits after the point of a share: one thousandth is the finest.
const SHARE_DIGITS: usize = 3;
/// Digits after the point of a percentage, for the same reason.
const PERCENT_DIGITS: usize = 1;
/// Latency without an argument, ms: what a distant API takes on an ordinary day.
const LATENCY_MS: (u64, u64) = (20, 200);
/// A hang without an argument, ms: longer than the time-outs of usual clients.
const SLOW_MS: u64 = 30_000;
/// List lag without an argument, ms: long enough to lose a hasty read-back.
const LAG_MS: u64 = 5_000;
/// `Retry-After` without an argument, seconds: the shortest that can be said.
const RETRY_AFTER_S: u32 = 1;
/// No pause is longer, ms: an hour is past every time-out worth testing.
const PAUSE_MAX_MS: u64 = 3_600_000;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The answer takes between `min_ms` and `max_ms` longer. Meets other faults.
    Latency {
        /// Shortest extra time, ms.
        min_ms: u64,
        /// Longest extra time, ms.
        max_ms: u64,
    },
    /// The call hangs for `ms` and is then carried out. Meets other faults.
    Slow {
        /// Length of the hang, ms.
        ms: u64,
    },
    /// The call is carried out and the answer hangs. Meets other faults.
    SlowAfter {
        /// Length of the hang, ms.
        ms: u64,
    },
    /// 429; nothing is carried out.
    TooMany(RetryAfter),
    /// 500; nothing is carried out.
    ErrorBefore,
    /// 500, although the call was carried out.
    ErrorAfter,
    /// The connection is cut; nothing is carried out.
    DropBefore,
    /// The connection is cut, although the call was carried out.
    DropAfter,
    /// 200 with an HTML page; nothing is carried out.
    Html,
    /// 200 with an HTML page, although the call was carried out.
    HtmlAfter,
    /// 200 with no body; the call was carried out.
    Empty,
    /// 401 before the key pair is looked at.
    Unauthorized,
    /// A row made by the call is missing from lists for `ms`.
    Lag {
        /// How long the row stays out of lists, ms.
        ms: u64,
    },
}

/// The `Retry-After` header of a 429.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// A number of seconds.
    Seconds(u32),
    /// An HTTP date that many seconds from now.
    Date(u32),
    /// No header: nothing documents that there is one.
    Absent,
}

/// How often a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// This many calls in a thousand.
    Permille(u32),
    /// The next calls, this many, then never again.
    Next(u32),
}

/// One fault: what, for which method, how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What goes wrong.
    pub kind: Kind,
    /// Only calls with this method; `None` is every call.
    pub method: Option<Method>,
    /// How often.
    pub rate: Rate,
}

/// Text that is not a fault; says which part and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FaultError(String);

impl Kind {
    /// The word before `=` that names this kind.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Latency { .. } => "latency",
            Self::Slow { .. } => "slow",
            Self::SlowAfter { .. } => "slow-after",
            Self::TooMany(_) => "429",
            Self::ErrorBefore => "500-before",
            Self::ErrorAfter => "500-after",
            Self::DropBefore => "drop-before",
            Self::DropAfter => "drop-after",
            Self::Html => "html",
            Self::HtmlAfter => "html-after",
            Self::Empty => "empty",
            Self::Unauthorized => "unauthorized",
            Self::Lag { .. } => "lag",
        }
    }

    fn parse(name: &str, argument: Option<&str>) -> Result<Self, FaultError> {
        let kind = match name {
            "latency" => return latency(argument),
            "slow" => return pause(argument, SLOW_MS).map(|ms| Self::Slow { ms }),
            "slow-after" => return pause(argument, SLOW_MS).map(|ms| Self::SlowAfter { ms }),
            "lag" => return pause(argument, LAG_MS).map(|ms| Self::Lag { ms }),
            "429" => return retry_after(argument).map(Self::TooMany),
            "500-before" => Self::ErrorBefore,
            "500-after" => Self::ErrorAfter,
            "drop-before" => Self::DropBefore,
            "drop-after" => Self::DropAfter,
            "html" => Self::Html,
            "html-after" => Self::HtmlAfter,
            "empty" => Self::Empty,
            "unauthorized" => Self::Unauthorized,
            _ => {
                return Err(FaultError(format!(
                    "no fault is called {name:?}; there are latency, slow, slow-after, 429, \
                     500-before, 500-after, drop-before, drop-after, html, html-after, empty, \
                     unauthorized and lag"
                )));
            }
        };
        match argument {
            None => Ok(kind),
            Some(_) => Err(FaultError(format!("{name} takes no argument"))),
        }
    }
}

fn milliseconds(text: &str) -> Result<u64, FaultError> {
    text.parse::<u64>()
        .ok()
        .filter(|ms| *ms <= PAUSE_MAX_MS)
        .ok_or_else(|| {
            FaultError(format!(
                "{text:?} is not a number of milliseconds up to {PAUSE_MAX_MS}"
            ))
        })
}

fn pause(argument: Option<&str>, usual_ms: u64) -> Result<u64, FaultError> {
    argument.map_or(Ok(usual_ms), milliseconds)
}

fn latency(argument: Option<&str>) -> Result<Kind, FaultError> {
    let (min_ms, max_ms) = match argument {
        None => LATENCY_MS,
        Some(text) => match text.split_once('-') {
            Some((min, max)) => (milliseconds(min)?, milliseconds(max)?),
            None => (milliseconds(text)?, milliseconds(text)?),
        },
    };
    if min_ms > max_ms {
        return Err(FaultError(format!(
            "latency:{min_ms}-{max_ms}: the shortest time is longer than the longest"
        )));
    }
    Ok(Kind::Latency { min_ms, max_ms })
}

fn retry_after(argument: Option<&str>) -> Result<RetryAfter, FaultError> {
    let seconds = |text: &str| {
        text.parse::<u32>()
            .map_err(|_| FaultError(format!("429: {text:?} is not a number of seconds")))
    };
    match argument {
        None => Ok(RetryAfter::Seconds(RETRY_AFTER_S)),
        Some("none") => Ok(RetryAfter::Absent),
        Some("date") => Ok(RetryAfter::Date(RETRY_AFTER_S)),
        Some(text) => match text.strip_prefix("date:") {
            Some(rest) => seconds(rest).map(RetryAfter::Date),
            None => seconds(text).map(RetryAfter::Seconds),
        },
    }
}

impl FromStr for Rate {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let wrong = || {
            FaultError(format!(
                "{text:?} is not a rate; write 0.1, 10% or next:3, no finer than 0.001"
            ))
        };
        if let Some(count) = text.strip_prefix("next:") {
            return count.parse().map(Self::Next).map_err(|_| wrong());
        }
        let (number, digits) = match text.strip_suffix('%') {
            Some(number) => (number, PERCENT_DIGITS),
            None => (text, SHARE_DIGITS),
        };
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || part.len() > digits || !all_digits(whole) || !all_digits(part) {
            return Err(wrong());
        }
        let permille: u32 = format!("{whole}{part:0<digits$}")
            .parse()
            .map_err(|_| wrong())?;
        if permille > PERMILLE {
            return Err(wrong());
        }
        Ok(Self::Permille(permille))
    }
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let (head, rate) = text.split_once('=').ok_or_else(|| {
            FaultError(format!(
                "{text:?} is not a fault; write KIND=RATE, as in 500-after=10%"
            ))
        })?;
        let (head, method) = match head.split_once('@') {
            None => (head, None),
            Some((head, method)) => (head, Some(known_method(method)?)),
        };
        let (name, argument) = match head.split_once(':') {
            None => (head, None),
            Some((name, argument)) => (name, Some(argument)),
        };
        Ok(Self {
            kind: Kind::parse(name, argument)?,
            method,
            rate: rate.parse()?,
        })
    }
}

fn known_method(text: &str) -> Result<Method, FaultError> {
    match text {
        "GET" => Ok(Method::GET),
        "POST" => Ok(Method::POST),
        "PATCH" => Ok(Method::PATCH),
        "DELETE" => Ok(Method::DELETE),
        _ => Err(FaultError(format!(
            "{text:?} is not a method here; write GET, POST, PATCH or DELETE"
        ))),
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Permille(n) => write!(f, "{}.{:03}", n / PERMILLE, n % PERMILLE),
            Self::Next(n) => write!(f, "next:{n}"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        match self.kind {
            Kind::Latency { min_ms, max_ms } => write!(f, ":{min_ms}-{max_ms}")?,
            Kind::Slow { ms } | Kind::SlowAfter { ms } | Kind::Lag { ms } => write!(f, ":{ms}")?,
            Kind::TooMany(RetryAfter::Seconds(s)) => write!(f, ":{s}")?,
            Kind::TooMany(RetryAfter::Date(s)) => write!(f, ":date:{s}")?,
            Kind::TooMany(RetryAfter::Absent) => f.write_str(":none")?,
            _ => {}
        }
        if let Some(method) = &self.method {
            write!(f, "@{method}")?;
        }
        write!(f, "={}", self.rate)
    }
}

/// The faults that are switched on, and the dice.
pub(super) struct Dice {
    faults: Vec<Fault>,
    rng: StdRng,
}

/// What one call meets: pauses, which add up, and at most one `end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Drawn {
    /// Pause before the call is carried out, ms.
    pub before_ms: u64,
    /// Pause between carrying it out and answering, ms.
    pub after_ms: u64,
    /// How long a row it makes stays out of lists, ms.
    pub lag_ms: u64,
    /// What is done instead of the plain answer.
    pub end: Option<Kind>,
}

impl Dice {
    pub(super) fn new(faults: Vec<Fault>, seed: u64) -> Self {
        Self {
            faults,
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// Replaces the faults; the dice roll on from where they are.
    pub(super) fn set(&mut self, faults: Vec<Fault>) {
        self.faults = faults;
    }

    /// The faults as they stand: a `next:` rate shows what is left of it.
    pub(super) fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Decides what a call with this method meets. Faults are asked in the order
    /// they were given; after the first that ends the call, later ends are not
    /// asked, so a `next:` is never used up unseen.
    pub(super) fn draw(&mut self, method: &Method) -> Drawn {
        let Self { faults, rng } = self;
        let mut drawn = Drawn::default();
        for fault in faults.iter_mut() {
            let elsewhere = fault.method.as_ref().is_some_and(|only| only != method);
            let pauses = matches!(
                fault.kind,
                Kind::Latency { .. }
                    | Kind::Slow { .. }
                    | Kind::SlowAfter { .. }
                    | Kind::Lag { .. }
            );
            // A row can only be made by a POST; on other calls lag would be used up unseen.
            let idle = matches!(fault.kind, Kind::Lag { .. }) && method != Method::POST;
            if elsewhere
                || idle
                || (!pauses && drawn.end.is_some())
                || !strikes(&mut fault.rate, rng)
            {
                continue;
            }
            match fault.kind {
                Kind::Latency { min_ms, max_ms } => {
                    drawn.before_ms += rng.random_range(min_ms..=max_ms);
                }
                Kind::Slow { ms } => drawn.before_ms += ms,
                Kind::SlowAfter { ms } => drawn.after_ms += ms,
                Kind::Lag { ms } => drawn.lag_ms += ms,
                end => drawn.end = Some(end),
            }
        }
        drawn
    }
}

fn strikes(rate: &mut Rate, rng: &mut StdRng) -> bool {
    match rate {
        Rate::Permille(permille) => rng.random_range(0..PERMILLE) < *permille,
        Rate::Next(0) => false,
        Rate::Next(left) => {
            *left -= 1;
            true
        }
    }
}
