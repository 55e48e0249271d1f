//! How long a payment waits before its next attempt: a pure function.
//!
//! It neither sleeps nor rolls dice nor counts attempts; the caller stores the
//! due time it computes. It is not the pause of a whole destination, which is
//! the [`Breaker`](super::Breaker)'s.

use crate::time::{HOUR_MS, SECOND_MS};

/// The wait after the first attempt, in milliseconds: long enough that a
/// restart behind a load balancer is over, short enough that nobody notices.
const FIRST_MS: i64 = 2 * SECOND_MS;
/// The longest wait before jitter, in milliseconds: an hour keeps a long outage
/// cheap, and still finds its end within the working day.
const LONGEST_MS: i64 = HOUR_MS;
/// The largest jitter, in percent of the wait: a quarter spreads the payments
/// that failed together without moving anyone's expectation.
const JITTER_PERCENT: i64 = 25;

/// Milliseconds to wait after the `attempt`-th attempt, counted from 1.
///
/// Doubles from two seconds to an hour. Jitter only ever adds (up to a
/// quarter of the doubled wait, chosen by `dice`), so the answer is never below
/// `floor`, which is what the destination asked for, and two payments with the
/// same floor do not come back in the same instant.
#[must_use]
pub fn delay_ms(attempt: u32, floor: Option<i64>, dice: u64) -> i64 {
    let doublings = attempt.saturating_sub(1).min(i64::BITS - 1);
    let factor = 1_i64.checked_shl(doublings).filter(|factor| *factor > 0);
    let wait = factor
        .and_then(|factor| FIRST_MS.checked_mul(factor))
        .map_or(LONGEST_MS, |wait| wait.min(LONGEST_MS));
    let widest = wait.saturating_mul(JITTER_PERCENT) / 100;
    let sides = widest.unsigned_abs().saturating_add(1);
    let jitter = i64::try_from(dice % sides).unwrap_or(0);
    wait.max(floor.unwrap_or(0)).saturating_add(jitter)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn doubles_from_two_seconds_to_an_hour() {
        let plain = |attempt| delay_ms(attempt, None, 0);
        assert_eq!(plain(0), 2_000);
        assert_eq!(plain(1), 2_000);
        assert_eq!(plain(2), 4_000);
        assert_eq!(plain(11), 2_048_000);
        assert_eq!(plain(12), HOUR_MS);
        assert_eq!(plain(u32::MAX), HOUR_MS);
        assert_eq!(delay_ms(1, None, 500), 2_500);
        assert_eq!(delay_ms(1, None, 501), 2_000);
        assert_eq!(delay_ms(1, Some(90_000), 7), 90_007);
        assert_eq!(delay_ms(1, Some(i64::MAX), 7), i64::MAX);
    }

    proptest! {
        #[test]
        fn stays_between_its_bounds(attempt: u32, floor in proptest::option::of(any::<i64>()), dice: u64) {
            let wait = delay_ms(attempt, floor, dice);
            prop_assert!(wait >= FIRST_MS);
            prop_assert!(wait >= floor.unwrap_or(0));
            prop_assert!(wait <= LONGEST_MS.max(floor.unwrap_or(0)).saturating_add(LONGEST_MS / 4));
        }

        #[test]
        fn never_shrinks_with_attempts(attempt in 0_u32..80, dice: u64) {
            let plain = |attempt| delay_ms(attempt, None, 0);
            prop_assert!(plain(attempt + 1) >= plain(attempt));
            prop_assert!(delay_ms(attempt, None, dice) <= plain(attempt) + plain(attempt) / 4);
        }
    }
}
