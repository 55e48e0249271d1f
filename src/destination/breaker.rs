//! When a destination may be called at all: a pure state machine.
//!
//! It protects the destination from a client that keeps knocking, and payments
//! from spending their attempts on an outage. It is not needed for correctness:
//! without it nothing would be paid twice, there would only be more unknowns.
//! It is not kept on disk either: after a restart the first calls find out.

use super::Outcome;
use crate::time::{DAY_MS, MINUTE_MS, SECOND_MS, Time};

/// How many failures in a row open the breaker: fewer would trip over one bad
/// connection pool, more would turn an outage into a pile of read-backs.
const FAILURES: u32 = 5;
/// The wait before the first probe of an outage, in milliseconds: most
/// deployments are over by then.
const FIRST_PROBE_MS: i64 = 5 * SECOND_MS;
/// The wait before the first probe of wrong credentials or a wrong address, in
/// milliseconds: a person has to act, which takes longer than a deployment.
const FIRST_STOPPED_PROBE_MS: i64 = 30 * SECOND_MS;
/// The longest wait between probes, in milliseconds: nobody waits longer than
/// this for the flow to resume after the cause is gone.
const LONGEST_PROBE_MS: i64 = 5 * MINUTE_MS;
/// The first pause after a 429 that names no time, in milliseconds. No such
/// header is documented for PartnerStack, so this is the usual case.
const FIRST_PAUSE_MS: i64 = 2 * SECOND_MS;
/// The longest pause asked of us that is believed, in milliseconds: beyond a
/// day it is a unit error, and a person should see the backlog.
const LONGEST_PAUSE_MS: i64 = DAY_MS;

/// What the caller may do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Call away.
    Pass,
    /// Make one cheap GET ([`Destination::who`](super::Destination::who)),
    /// report its outcome, and nothing else. Never a POST.
    Probe,
    /// Ask again at this time.
    Wait(Time),
}

/// Why calls are held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Calls pass. A crash or restart begins here.
    Closed,
    /// Five failures in a row; ends with any real answer.
    Open { wait_ms: i64, probe_at: Time },
    /// The credentials or the address are wrong; ends with any real answer,
    /// in practice after a person corrected the configuration or the account.
    Stopped { wait_ms: i64, probe_at: Time },
}

/// The breaker of one destination.
#[derive(Clone, Debug)]
pub struct Breaker {
    state: State,
    failures: u32,
    throttled: u32,
    paused_until: Option<Time>,
}

impl Default for Breaker {
    fn default() -> Breaker {
        Breaker::new()
    }
}

impl Breaker {
    /// A breaker that lets everything pass.
    #[must_use]
    pub fn new() -> Breaker {
        Breaker {
            state: State::Closed,
            failures: 0,
            throttled: 0,
            paused_until: None,
        }
    }

    /// Learns from the outcome of a call. For a read that succeeded, call
    /// [`Breaker::answered`] instead.
    pub fn observe(&mut self, outcome: &Outcome, now: Time) {
        match outcome {
            Outcome::Unknown { .. } | Outcome::NotSent { .. } => self.failed(now),
            Outcome::WrongCredentials { .. } | Outcome::Misdirected { .. } => self.stop(now),
            Outcome::Later {
                retry_after,
                status,
            } => self.later(*retry_after, *status, now),
            Outcome::Accepted
            | Outcome::Mismatch { .. }
            | Outcome::Refused { .. }
            | Outcome::CustomerUnknown
            | Outcome::Repeated
            | Outcome::Gone => self.answered(),
        }
    }

    /// A real answer came: calls pass again. A pause that the destination asked
    /// for stays, as it was asked for.
    pub fn answered(&mut self) {
        self.state = State::Closed;
        self.failures = 0;
        self.throttled = 0;
    }

    /// What the caller may do at `now`. Hands out [`Gate::Probe`] once per wait,
    /// so that of many callers only one probes; a probe whose outcome is never
    /// reported is simply followed by the next.
    pub fn gate(&mut self, now: Time) -> Gate {
        if let Some(until) = self.paused_until {
            if is_ahead(until, now, LONGEST_PAUSE_MS) {
                return Gate::Wait(until);
            }
            self.paused_until = None;
        }
        match &mut self.state {
            State::Closed => Gate::Pass,
            State::Open { wait_ms, probe_at } | State::Stopped { wait_ms, probe_at } => {
                if is_ahead(*probe_at, now, LONGEST_PROBE_MS) {
                    return Gate::Wait(*probe_at);
                }
                *wait_ms = wait_ms.saturating_mul(2).min(LONGEST_PROBE_MS);
                *probe_at = now.plus(*wait_ms);
                Gate::Probe
            }
        }
    }

    /// Whether wrong credentials or a wrong address hold the destination, which
    /// a person must put right.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        matches!(self.state, State::Stopped { .. })
    }

    /// Whether failures in a row hold the destination.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// Until when the destination asked to be left alone, as far as it told this one.
    #[must_use]
    pub fn paused_until(&self) -> Option<Time> {
        self.paused_until
    }

    fn failed(&mut self, now: Time) {
        self.failures = self.failures.saturating_add(1);
        if self.state == State::Closed && self.failures >= FAILURES {
            self.state = State::Open {
                wait_ms: FIRST_PROBE_MS,
                probe_at: now.plus(FIRST_PROBE_MS),
            };
        }
    }

    fn stop(&mut self, now: Time) {
        self.failures = 0;
        if !self.is_stopped() {
            self.state = State::Stopped {
                wait_ms: FIRST_STOPPED_PROBE_MS,
                probe_at: now.plus(FIRST_STOPPED_PROBE_MS),
            };
        }
    }

    /// "Later" is an answer, so an outage is over; but it may come from a
    /// gateway that looked at no credentials, so a stop stays.
    fn later(&mut self, retry_after: Option<Time>, status: u16, now: Time) {
        self.failures = 0;
        if self.is_open() {
            self.state = State::Closed;
        }
        let until = match retry_after {
            Some(at) => at.min(now.plus(LONGEST_PAUSE_MS)),
            None if status == 429 => {
                let doublings = self.throttled.min(16);
                self.throttled = self.throttled.saturating_add(1);
                now.plus((FIRST_PAUSE_MS << doublings).min(LONGEST_PROBE_MS))
            }
            None => return,
        };
        self.paused_until = self.paused_until.max(Some(until));
    }
}

/// Whether `at` is still to come, and by no more than was ever asked for: a wall
/// clock that was wrong and then set back must not hold a destination for years.
fn is_ahead(at: Time, now: Time, longest_ms: i64) -> bool {
    (1..=longest_ms).contains(&at.since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_000_000);

    fn unknown() -> Outcome {
        Outcome::Unknown { why: "test" }
    }

    fn opened() -> Breaker {
        let mut breaker = Breaker::new();
        for _ in 0..5 {
            assert_eq!(breaker.gate(NOW), Gate::Pass);
            breaker.observe(&unknown(), NOW);
        }
        breaker
    }

    #[test]
    fn opens_after_five_in_a_row_and_not_before() {
        let mut breaker = Breaker::new();
        for round in 0..20 {
            let outcome = match round % 5 {
                4 => Outcome::Gone,
                1 => Outcome::NotSent { why: "test" },
                _ => unknown(),
            };
            breaker.observe(&outcome, NOW);
            assert_eq!(breaker.gate(NOW), Gate::Pass);
        }
        assert!(opened().is_open());
        assert_eq!(opened().gate(NOW), Gate::Wait(NOW.plus(5_000)));
    }

    #[test]
    fn probes_once_per_wait_and_doubles_to_five_minutes() {
        let mut breaker = opened();
        let mut at = NOW.plus(5_000);
        for wait in [10, 20, 40, 80, 160, 300, 300] {
            assert_eq!(breaker.gate(at.plus(-1)), Gate::Wait(at));
            assert_eq!(breaker.gate(at), Gate::Probe);
            assert_eq!(breaker.gate(at), Gate::Wait(at.plus(wait * 1_000)));
            breaker.observe(&unknown(), at);
            at = at.plus(wait * 1_000);
        }
        breaker.answered();
        assert_eq!(breaker.gate(at), Gate::Pass);
        breaker.observe(&unknown(), at);
        assert_eq!(breaker.gate(at), Gate::Pass, "the count starts afresh");
    }

    #[test]
    fn any_real_answer_closes_it() {
        for outcome in [
            Outcome::Accepted,
            Outcome::Gone,
            Outcome::CustomerUnknown,
            Outcome::Mismatch {
                detail: String::new(),
            },
            Outcome::Refused {
                status: 400,
                message: String::new(),
            },
            Outcome::Later {
                retry_after: None,
                status: 404,
            },
        ] {
            let mut breaker = opened();
            breaker.observe(&outcome, NOW);
            assert_eq!(breaker.gate(NOW), Gate::Pass, "{outcome:?}");
        }
    }

    #[test]
    fn wrong_credentials_stop_it_until_a_real_answer() {
        for outcome in [
            Outcome::WrongCredentials { status: 401 },
            Outcome::Misdirected { status: 302 },
        ] {
            let mut breaker = opened();
            breaker.observe(&outcome, NOW);
            assert!(breaker.is_stopped());
            let first = NOW.plus(30_000);
            assert_eq!(breaker.gate(NOW), Gate::Wait(first));
            assert_eq!(breaker.gate(first), Gate::Probe);
            assert_eq!(breaker.gate(first), Gate::Wait(first.plus(60_000)));
            breaker.observe(&outcome, first);
            breaker.observe(&unknown(), first);
            breaker.observe(
                &Outcome::Later {
                    retry_after: None,
                    status: 425,
                },
                first,
            );
            assert_eq!(breaker.gate(first), Gate::Wait(first.plus(60_000)));
            breaker.observe(&Outcome::Accepted, first);
            assert_eq!(breaker.gate(first), Gate::Pass);
        }
    }

    #[test]
    fn the_greatest_pause_wins_and_an_answer_does_not_end_it() {
        let later = |at| Outcome::Later {
            retry_after: Some(at),
            status: 429,
        };
        let mut breaker = Breaker::new();
        breaker.observe(&later(NOW.plus(60_000)), NOW);
        breaker.observe(&later(NOW.plus(5_000)), NOW);
        breaker.observe(&Outcome::Accepted, NOW);
        assert_eq!(breaker.gate(NOW), Gate::Wait(NOW.plus(60_000)));
        assert_eq!(breaker.gate(NOW.plus(60_000)), Gate::Pass);
        breaker.observe(&later(Time(i64::MAX)), NOW);
        assert_eq!(breaker.gate(NOW), Gate::Wait(NOW.plus(DAY_MS)));
    }

    #[test]
    fn a_429_without_a_time_pauses_longer_each_time() {
        let mut breaker = Breaker::new();
        let bare = Outcome::Later {
            retry_after: None,
            status: 429,
        };
        for seconds in [2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            breaker.observe(&bare, NOW);
            assert_eq!(breaker.gate(NOW), Gate::Wait(NOW.plus(seconds * 1_000)));
        }
        breaker.observe(&Outcome::Accepted, NOW);
        let after = NOW.plus(300_000);
        assert_eq!(breaker.gate(after), Gate::Pass);
        breaker.observe(&bare, after);
        assert_eq!(breaker.gate(after), Gate::Wait(after.plus(2_000)));
    }

    #[test]
    fn a_clock_set_back_does_not_hold_it_for_years() {
        let mut breaker = opened();
        assert_eq!(breaker.gate(Time(0)), Gate::Probe);
        let mut breaker = Breaker::new();
        let ahead = NOW.plus(9 * DAY_MS);
        let later = Outcome::Later {
            retry_after: Some(ahead.plus(1)),
            status: 429,
        };
        breaker.observe(&later, ahead);
        assert_eq!(breaker.gate(NOW), Gate::Pass);
    }
}
