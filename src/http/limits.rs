//! How much of a request is read before anybody has vouched for it.
//!
//! The bytes come out as they went in: nothing is decompressed, since a small
//! compressed body can be a huge one and signatures are made over what was
//! sent. What may be kept is the ledger's business.

use std::error::Error;
use std::sync::Arc;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::listen::BodyTooSlow;
use super::problem::Problem;

/// The largest webhook body, in bytes: some forty times the largest seen.
pub const WEBHOOK_MAX_BYTES: usize = 2 * 1024 * 1024;
/// The most bytes of all bodies together that nobody has vouched for yet, in
/// KiB: 64 MiB, so that strangers cannot fill the memory.
pub const UNVERIFIED_MAX_KIB: usize = 64 * 1024;
/// What a caller is told to wait when that is full, in seconds: bodies are
/// verified within milliseconds.
const FULL_RETRY_AFTER_S: u32 = 1;
/// The unit in which the room is counted, in bytes.
const KIB: usize = 1024;

/// The room for bodies that nobody has vouched for yet; one per listener.
#[derive(Clone, Debug)]
pub struct Room(Arc<Semaphore>);

impl Default for Room {
    fn default() -> Room {
        Room::of_kib(UNVERIFIED_MAX_KIB)
    }
}

impl Room {
    /// A room of this size, in KiB.
    #[must_use]
    pub fn of_kib(kib: usize) -> Room {
        Room(Arc::new(Semaphore::new(kib.min(Semaphore::MAX_PERMITS))))
    }
}

/// A whole body that nobody has vouched for; it takes its room until it is
/// dropped or trusted.
#[derive(Debug)]
pub struct Unverified {
    bytes: Bytes,
    place: Option<OwnedSemaphorePermit>,
}

impl Unverified {
    /// The bytes as received.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The bytes, verified now; their room is free for others.
    #[must_use]
    pub fn trust(self) -> Bytes {
        self.bytes
    }
}

/// Reads a body of at most `max_bytes`. Room is taken for what has arrived and
/// not for what `Content-Length` announces, so that announcing costs others
/// nothing.
///
/// # Errors
/// 413 too large, before reading where `Content-Length` tells; 408 too slow;
/// 503 no room; 400 broken off.
pub async fn read_body(
    mut body: Body,
    max_bytes: usize,
    room: &Room,
) -> Result<Unverified, Problem> {
    let announced = body.size_hint().lower();
    if usize::try_from(announced).map_or(true, |n| n > max_bytes) {
        return Err(Problem::too_large(max_bytes));
    }
    let mut read = Unverified {
        bytes: Bytes::new(),
        place: None,
    };
    let mut joined = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.map_err(|e| broken(&e))?.into_data() else {
            continue; // Trailers say nothing about money.
        };
        let total = read.bytes.len() + joined.len() + piece.len();
        if total > max_bytes {
            return Err(Problem::too_large(max_bytes));
        }
        take_room(&mut read.place, total.div_ceil(KIB), room)?;
        // Most bodies come in one piece, which then needs no copy.
        if joined.is_empty() && read.bytes.is_empty() {
            read.bytes = piece;
            continue;
        }
        if joined.is_empty() {
            joined.extend_from_slice(&std::mem::take(&mut read.bytes));
        }
        joined.extend_from_slice(&piece);
    }
    if !joined.is_empty() {
        read.bytes = joined.freeze();
    }
    Ok(read)
}

fn take_room(
    place: &mut Option<OwnedSemaphorePermit>,
    kib: usize,
    room: &Room,
) -> Result<(), Problem> {
    let held = place.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
    let more = u32::try_from(kib.saturating_sub(held)).unwrap_or(u32::MAX);
    if more == 0 {
        return Ok(());
    }
    let permit = Arc::clone(&room.0)
        .try_acquire_many_owned(more)
        .map_err(|_| Problem::unavailable("too many bodies at once", FULL_RETRY_AFTER_S))?;
    match place {
        Some(place) => place.merge(permit),
        None => *place = Some(permit),
    }
    Ok(())
}

pub(super) fn broken(error: &axum::Error) -> Problem {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(inner) = cause {
        if inner.is::<BodyTooSlow>() {
            return Problem::request_timeout("the body did not arrive in time");
        }
        cause = inner.source();
    }
    Problem::bad_request("the body broke off")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;

    #[tokio::test]
    async fn room_is_taken_until_trusted() {
        let room = Room::of_kib(3);
        let body = |n: usize| Body::from(vec![7_u8; n]);
        let first = read_body(body(2_000), 4_096, &room).await.unwrap();
        let refused = read_body(body(2_000), 4_096, &room).await.unwrap_err();
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        let empty = read_body(Body::empty(), 4_096, &room).await.unwrap();
        assert!(empty.bytes().is_empty());
        assert_eq!(first.trust().len(), 2_000);
        drop(read_body(body(3_000), 4_096, &room).await.unwrap());
        assert_eq!(room.0.available_permits(), 3);
        let large = read_body(body(4_097), 4_096, &room).await.unwrap_err();
        assert_eq!(large.status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(room.0.available_permits(), 3);
    }
}
