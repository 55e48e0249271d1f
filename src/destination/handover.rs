//! The at-most-once guard around the body of a post.
//!
//! A [`Letter`] is a request body that decides at its first poll, directly
//! before the bytes go into the connection's buffer, whether they may still
//! leave; a [`Receipt`] tells the caller afterwards whether they did. What it is
//! not: it cannot stop a machine that freezes inside the write itself.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::Deadline;
use crate::time::Clock;

/// Nothing has happened to the body yet.
const WAITING: u8 = 0;
/// The body was given to the connection: it may have arrived.
const HANDED_OVER: u8 = 1;
/// The body was refused or given up: it will never leave.
const SEALED: u8 = 2;

/// Why a body refused to leave.
#[derive(Debug, thiserror::Error)]
#[error("the body was not handed over: its deadline had passed or its caller had given up")]
pub(super) struct Kept;

/// A request body that leaves at most once and never after its deadline.
pub(super) struct Letter {
    bytes: Option<Bytes>,
    length: u64,
    state: Arc<AtomicU8>,
    deadline: Deadline,
    clock: Clock,
}

/// The caller's side of a [`Letter`]. Dropping it seals the letter, so a call
/// whose future was dropped cannot send afterwards.
pub(super) struct Receipt(Arc<AtomicU8>);

impl Letter {
    /// A letter with `bytes`, which may leave until `deadline` by `clock`.
    pub(super) fn new(bytes: Vec<u8>, deadline: Deadline, clock: Clock) -> (Letter, Receipt) {
        let state = Arc::new(AtomicU8::new(WAITING));
        let letter = Letter {
            length: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            bytes: Some(Bytes::from(bytes)),
            state: Arc::clone(&state),
            deadline,
            clock,
        };
        (letter, Receipt(state))
    }

    /// Whether the bytes may leave now. A body without a change of state from
    /// waiting to handed over leaves nothing behind.
    fn leave(&self) -> bool {
        if self.deadline.passed(self.clock.read()) {
            self.state.fetch_max(SEALED, Ordering::SeqCst);
            return false;
        }
        self.state
            .compare_exchange(WAITING, HANDED_OVER, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }
}

impl Receipt {
    /// Seals the letter unless it has left, and says whether it can have left.
    /// One atomic step: a letter that reads as kept can no longer leave in
    /// another thread between the question and the answer.
    pub(super) fn seal(&self) -> bool {
        let sealed = self
            .0
            .compare_exchange(WAITING, SEALED, Ordering::SeqCst, Ordering::SeqCst);
        sealed == Err(HANDED_OVER)
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        self.seal();
    }
}

impl Body for Letter {
    type Data = Bytes;
    type Error = Kept;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Kept>>> {
        let Some(bytes) = self.bytes.take() else {
            return Poll::Ready(None);
        };
        if self.leave() {
            Poll::Ready(Some(Ok(Frame::data(bytes))))
        } else {
            Poll::Ready(Some(Err(Kept)))
        }
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    /// Exact, so that the request carries Content-Length and a body cut short
    /// can never be taken for a whole one.
    fn size_hint(&self) -> SizeHint {
        match self.bytes {
            Some(_) => SizeHint::with_exact(self.length),
            None => SizeHint::with_exact(0),
        }
    }
}
