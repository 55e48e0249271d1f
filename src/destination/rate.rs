//! How many calls a destination gets: by this process alone, or by all who share a
//! ledger. A shared budget is asked for one slot at a time, so that nothing is divided
//! between replicas, and one that dies takes no more with it than the slot it waited for.

use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use crate::time::Time;

/// The wait before it is said that the destination asked for a pause, so that who asks
/// again at once, by a clock that is ahead, does not ask all the time.
const PAUSED: Duration = Duration::from_millis(250);
/// How long a budget that cannot be asked is left alone: without it nobody calls.
const AGAIN: Duration = Duration::from_secs(1);

/// A rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Calls per second, on average.
    pub per_second: NonZeroU32,
    /// Calls that may be made at once after a pause.
    pub burst: NonZeroU32,
}

/// When one more call may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// After this long from now on.
    After(Duration),
    /// Not before the destination's pause is over, which any replica may have been
    /// asked for; nothing was taken.
    Paused(Time),
}

/// What a budget answers; the error is a sentence.
pub type Asked<'a> = Pin<Box<dyn Future<Output = Result<Slot, String>> + Send + 'a>>;

/// The calls that all replicas together may make.
pub trait Budget: Send + Sync {
    /// Takes the next slot of a destination.
    fn slot<'a>(&'a self, destination: &'a str, rate: Rate) -> Asked<'a>;
}

/// Where permits come from.
pub(super) struct Pace {
    rate: Rate,
    from: From,
}

enum From {
    Own(DefaultDirectRateLimiter),
    All(Arc<dyn Budget>),
}

impl Pace {
    /// For one process.
    pub(super) fn own(rate: Rate) -> Pace {
        let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
        Pace {
            rate,
            from: From::Own(RateLimiter::direct(quota)),
        }
    }

    /// For all who ask this budget.
    pub(super) fn shared(self, budget: Arc<dyn Budget>) -> Pace {
        Pace {
            from: From::All(budget),
            ..self
        }
    }

    pub(super) fn is_shared(&self) -> bool {
        matches!(self.from, From::All(_))
    }

    /// A permit that need not be waited for; none of a rate that others share, which is
    /// asked for one at a time.
    pub(super) fn permit_at_once(&self) -> bool {
        match &self.from {
            From::Own(limiter) => limiter.check().is_ok(),
            From::All(_) => false,
        }
    }

    /// Waits until one more call keeps the rate; the error is until when there is to
    /// be none.
    pub(super) async fn permit(&self, destination: &str) -> Result<(), Time> {
        let budget = match &self.from {
            From::Own(limiter) => {
                limiter.until_ready().await;
                return Ok(());
            }
            From::All(budget) => budget,
        };
        loop {
            match budget.slot(destination, self.rate).await {
                Ok(Slot::After(wait)) => {
                    tokio::time::sleep(wait).await;
                    return Ok(());
                }
                Ok(Slot::Paused(until)) => {
                    tokio::time::sleep(PAUSED).await;
                    return Err(until);
                }
                Err(why) => tracing::warn!(
                    destination,
                    why,
                    "no call is made: the rate that all share cannot be asked for"
                ),
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}
