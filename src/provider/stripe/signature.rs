//! Stripe's signature: the header `Stripe-Signature`.
//!
//! Source: Stripe documentation, "Webhooks", verifying signatures manually, and
//! the official SDKs. This reads the header; `sign` compares.

use http::HeaderMap;

use crate::provider::sign::{self, Tag};
use crate::provider::{Genuine, NotGenuine, Request, Secret};
use crate::time::{SECOND_MS, Time};

const HEADER: &str = "stripe-signature";

/// The only scheme that counts. `v0` exists in test mode and taking it would be
/// a downgrade.
const SCHEME: &str = "v1";

/// Signatures in one header. Stripe sends one for each active secret, which is
/// two while a secret is rolled; more than this is somebody buying our time.
const SIGNATURES_MAX: usize = 16;

/// Digits of `t`: seconds until the year 5138.
const TIME_DIGITS_MAX: usize = 11;

/// What the header says.
struct Header<'a> {
    /// `t` as it stands, because these bytes are signed.
    time: &'a str,
    seconds: i64,
    tags: Vec<Tag>,
}

/// Verifies the request. A time in the future is taken, as the official SDKs
/// take it: whoever can sign needs no old signature, and a fast clock at Stripe
/// or a slow one here must not lose money.
pub fn verify(
    request: &Request<'_>,
    secrets: &[Secret],
    now: Time,
    tolerance_ms: i64,
) -> Result<Genuine, NotGenuine> {
    let header = read(request.headers)?;
    let parts: [&[u8]; 3] = [header.time.as_bytes(), b".", request.body];
    let genuine = sign::hmac_sha256(&parts, &header.tags, secrets)?;
    if header.seconds.saturating_mul(SECOND_MS) < now.plus(-tolerance_ms).ms() {
        return Err(NotGenuine::Stale);
    }
    Ok(genuine)
}

fn read(headers: &HeaderMap) -> Result<Header<'_>, NotGenuine> {
    let text = sign::text_sent_once(headers, HEADER)?.ok_or(NotGenuine::Missing)?;
    let (mut time, mut tags, mut sent) = (None, Vec::new(), 0);
    for item in text.split(',') {
        match item.split_once('=') {
            Some(("t", value)) if time.is_none() => time = Some(value),
            Some(("t", _)) => return Err(NotGenuine::Malformed),
            Some((SCHEME, value)) => {
                sent += 1;
                tags.extend(sign::tag_from_hex(value));
            }
            _ => {}
        }
    }
    if sent == 0 || sent > SIGNATURES_MAX {
        return Err(NotGenuine::Malformed);
    }
    let time = time.ok_or(NotGenuine::Malformed)?;
    let seconds = seconds(time).ok_or(NotGenuine::Malformed)?;
    Ok(Header {
        time,
        seconds,
        tags,
    })
}

/// Plain digits only: no sign, no space, no fraction.
fn seconds(text: &str) -> Option<i64> {
    let plain = text.len() <= TIME_DIGITS_MAX && text.bytes().all(|byte| byte.is_ascii_digit());
    match plain {
        true => text.parse().ok(),
        false => None,
    }
}
