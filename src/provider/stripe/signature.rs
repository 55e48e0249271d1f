//! The `Stripe-Signature` header.
//!
//! `t=SECONDS,v1=HEX[,v1=HEX…]`: HMAC-SHA256 under the whole secret, prefix
//! included, of `t` as it stands, a dot and the raw body. Other schemes are not
//! looked at: counting one would let a weaker scheme in. Source: Stripe's
//! documentation of webhook signatures.

use http::HeaderName;
use secrecy::SecretString;

use crate::provider::{Genuine, NotGenuine, Request, sign};
use crate::time::{SECOND_MS, Time};

const HEADER: HeaderName = HeaderName::from_static("stripe-signature");

/// The longest header read, in bytes: sixteen signatures and the time.
const HEADER_MOST_BYTES: usize = 2_048;

struct Signed<'a> {
    t: &'a str,
    seconds: i64,
    signatures: Vec<Vec<u8>>,
}

pub(super) fn verify(
    request: &Request<'_>,
    secrets: &[SecretString],
    now: Time,
    tolerance_s: i64,
) -> Result<Genuine, NotGenuine> {
    let signed = read(request).ok_or(NotGenuine::Malformed)?;
    let message = [signed.t.as_bytes(), b".", request.body];
    let genuine = sign::hmac_sha256(secrets, &message, &signed.signatures)?;
    // Only too old is refused: a sender's clock may run ahead, and a resend is
    // signed anew.
    let oldest = now.ms().div_euclid(SECOND_MS).saturating_sub(tolerance_s);
    match signed.seconds >= oldest {
        true => Ok(genuine),
        false => Err(NotGenuine::Stale),
    }
}

fn read<'a>(request: &Request<'a>) -> Option<Signed<'a>> {
    let mut headers = request.headers.get_all(HEADER).iter();
    let header = headers.next()?.to_str().ok()?;
    if headers.next().is_some() || header.len() > HEADER_MOST_BYTES {
        return None;
    }
    let mut times = Vec::new();
    let mut signatures = Vec::new();
    for item in header.split(',') {
        let (scheme, value) = item.trim().split_once('=')?;
        match scheme {
            "t" => times.push(value),
            "v1" => signatures.extend(lower_hex(value)),
            _ => {}
        }
    }
    let [t] = times.as_slice() else {
        return None;
    };
    if signatures.is_empty() || t.is_empty() || !t.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(Signed {
        t,
        seconds: t.parse().ok()?,
        signatures,
    })
}

/// Stripe writes lower case, and its own libraries compare the texts.
fn lower_hex(text: &str) -> Option<Vec<u8>> {
    let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    lower.then(|| hex::decode(text).ok()).flatten()
}
