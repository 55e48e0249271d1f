//! The log of received calls, for tests and for the state page. It never holds
//! a body or an Authorization header.

use std::collections::VecDeque;

use http::Method;

/// Calls kept; the oldest go first. A day's demo stays under it, and it bounds
/// the memory of a sandbox that is left running.
const CALLS_MAX: usize = 100_000;

/// One call under `/api` or `/v1`, as it was received and answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// When the call arrived, epoch ms by the sandbox's clock.
    pub at_ms: i64,
    /// Method.
    pub method: Method,
    /// Path without the query, percent-encoded as received.
    pub path: String,
    /// Query without the question mark.
    pub query: Option<String>,
    /// Status answered. `None`: not answered yet, or the connection was cut.
    pub status: Option<u16>,
    /// Whether the call changed what the sandbox holds.
    pub committed: bool,
    /// The name of the fault drawn for the call; pauses and lag are not named.
    pub fault: Option<&'static str>,
}

/// The calls and how many went before the first one kept.
#[derive(Default)]
pub(super) struct Calls {
    kept: VecDeque<Call>,
    dropped: u64,
}

impl Calls {
    /// Notes an arrival and returns its number, by which `close` finds it.
    pub(super) fn open(&mut self, call: Call) -> u64 {
        if self.kept.len() == CALLS_MAX {
            self.kept.pop_front();
            self.dropped += 1;
        }
        self.kept.push_back(call);
        self.received() - 1
    }

    /// Notes how a call ended; does nothing when the call is no longer kept.
    pub(super) fn close(
        &mut self,
        number: u64,
        status: Option<u16>,
        committed: bool,
        fault: Option<&'static str>,
    ) {
        let place = number.checked_sub(self.dropped);
        let place = place.and_then(|place| usize::try_from(place).ok());
        if let Some(call) = place.and_then(|place| self.kept.get_mut(place)) {
            call.status = status;
            call.committed = committed;
            call.fault = fault;
        }
    }

    /// Forgets the calls but goes on counting, so that a call still open cannot
    /// close a later one.
    pub(super) fn clear(&mut self) {
        self.dropped = self.received();
        self.kept.clear();
    }

    pub(super) fn kept(&self) -> impl Iterator<Item = &Call> {
        self.kept.iter()
    }

    fn received(&self) -> u64 {
        self.dropped + u64::try_from(self.kept.len()).unwrap_or(u64::MAX)
    }
}
