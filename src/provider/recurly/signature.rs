//! Whether a notification comes from Recurly.
//!
//! Source: Recurly's documentation, "Webhooks", and the official client
//! libraries. JSON notifications are signed by the header `recurly-signature`;
//! XML notifications are not signed at all and carry a password or a token.
//! This reads the header; `sign` compares.

use http::HeaderMap;

use super::is_json;
use crate::provider::sign::{self, Tag};
use crate::provider::{Genuine, NotGenuine, Request, Secret};
use crate::time::{SECOND_MS, Time};

const HEADER: &str = "recurly-signature";

/// Signatures in one header. Recurly sends one for each valid secret, which is
/// two for a day after a new one was made; more than this is somebody buying
/// our time.
const SIGNATURES_MAX: usize = 16;

/// Digits of the time: milliseconds until the year 5138.
const TIME_DIGITS_MAX: usize = 14;

/// A smaller value counts as seconds. Recurly's text says milliseconds and its
/// example shows seconds; as milliseconds this is the spring of 1973.
const MILLISECONDS_FROM: i64 = 100_000_000_000;

/// What the header says.
struct Header<'a> {
    /// The time as it stands, because these bytes are signed.
    time: &'a str,
    at: Time,
    tags: Vec<Tag>,
}

/// Verifies the request. A signature that was sent must be right, whatever
/// else proves the request, and JSON needs one.
pub fn verify(
    request: &Request<'_>,
    secrets: &[Secret],
    now: Time,
    tolerance_ms: i64,
) -> Result<Genuine, NotGenuine> {
    let Some(header) = read(request.headers)? else {
        return match is_json(request.body) {
            true => unsigned_json(secrets),
            false => sign::carried(request, secrets),
        };
    };
    let parts: [&[u8]; 3] = [header.time.as_bytes(), b".", request.body];
    let genuine = sign::hmac_sha256(&parts, &header.tags, secrets)?;
    // As the stricter of the official clients: neither too old nor too new.
    if now.since(header.at).saturating_abs() > tolerance_ms {
        return Err(NotGenuine::Stale);
    }
    Ok(genuine)
}

/// JSON without a signature: a source without a secret says so all the same.
fn unsigned_json(secrets: &[Secret]) -> Result<Genuine, NotGenuine> {
    match sign::same(b"", secrets) {
        Err(NotGenuine::NoSecret) => Err(NotGenuine::NoSecret),
        _ => Err(NotGenuine::Missing),
    }
}

fn read(headers: &HeaderMap) -> Result<Option<Header<'_>>, NotGenuine> {
    let Some(text) = sign::text_sent_once(headers, HEADER)? else {
        return Ok(None);
    };
    let (time, signatures) = text.split_once(',').ok_or(NotGenuine::Malformed)?;
    let at = moment(time).ok_or(NotGenuine::Malformed)?;
    if signatures.split(',').count() > SIGNATURES_MAX {
        return Err(NotGenuine::Malformed);
    }
    let tags = signatures.split(',').filter_map(sign::tag_from_hex);
    Ok(Some(Header {
        time,
        at,
        tags: tags.collect(),
    }))
}

/// Plain digits only: no sign, no space, no fraction.
fn moment(text: &str) -> Option<Time> {
    let plain = text.len() <= TIME_DIGITS_MAX && text.bytes().all(|byte| byte.is_ascii_digit());
    let value: i64 = plain.then(|| text.parse().ok())??;
    match value < MILLISECONDS_FROM {
        true => Some(Time(value.saturating_mul(SECOND_MS))),
        false => Some(Time(value)),
    }
}
