//! How Pyng's webhooks prove themselves: a shared secret over the body, or a
//! signature by Pyng's key over a text that a template describes.
//!
//! The draft says neither what is signed nor how it is written: the template is
//! a setting, and the signature may be Base64, base64url or hexadecimal digits.

use crate::provider::sign::public::{Algorithm, signed_by, spellings};
use crate::provider::{Genuine, NotGenuine, Request, Secret, sign};
use crate::time::Time;

const SIGNATURE_HEADER: &str = "x-pyng-signature";
const KID_HEADER: &str = "x-pyng-signature-kid";
const TIMESTAMP_HEADER: &str = "x-pyng-timestamp";

/// The algorithms of a key; one that does not say which takes the first of its
/// type.
const ALGORITHMS: [Algorithm; 4] = [
    Algorithm::Ed25519,
    Algorithm::EcdsaP256Sha256,
    Algorithm::RsaPkcs1Sha256,
    Algorithm::RsaPssSha256,
];

/// A number from here on counts milliseconds: as seconds it would be the year
/// 5138.
const FIRST_MS: i64 = 100_000_000_000;

/// What is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Timestamp,
    Kid,
    Body,
}

impl Template {
    /// Reads a template such as `{timestamp}.{body}`. One without the time
    /// proves no time, so it has to be allowed.
    pub fn read(text: &str, untimed: bool) -> Result<Template, &'static str> {
        let mut parts = Vec::new();
        let mut left = text;
        while let Some((before, after)) = left.split_once('{') {
            let (name, behind) = after
                .split_once('}')
                .ok_or("has a brace that is not closed")?;
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(match name {
                "timestamp" => Part::Timestamp,
                "kid" => Part::Kid,
                "body" => Part::Body,
                _ => return Err("knows {timestamp}, {kid} and {body} only"),
            });
            left = behind;
        }
        if !left.is_empty() {
            parts.push(Part::Text(left.to_owned()));
        }
        if !parts.contains(&Part::Body) {
            return Err("must hold {body}");
        }
        if !parts.contains(&Part::Timestamp) && !untimed {
            return Err("must hold {timestamp}, or `allow_untimed` must be true");
        }
        Ok(Template(parts))
    }

    fn is_timed(&self) -> bool {
        self.0.contains(&Part::Timestamp)
    }
}

/// A header that is sent once, if it is sent.
fn header<'a>(request: &Request<'a>, name: &str) -> Result<Option<&'a str>, NotGenuine> {
    Ok(sign::text_sent_once(request.headers, name)?.map(str::trim))
}

/// Verifies a pushed status: Base64 of HMAC-SHA256 over the body.
pub(super) fn push(request: &Request<'_>, secrets: &[Secret]) -> Result<Genuine, NotGenuine> {
    let text = header(request, SIGNATURE_HEADER)?.ok_or(NotGenuine::Missing)?;
    let tag = sign::tag_from_base64(text).ok_or(NotGenuine::Malformed)?;
    sign::hmac_sha256(&[request.body], &[tag], secrets)
}

/// Verifies a session's completion, signed not longer ago or ahead than the
/// tolerance.
pub(super) fn session(
    request: &Request<'_>,
    secrets: &[Secret],
    signed: &Template,
    (now, tolerance_ms): (Time, i64),
) -> Result<Genuine, NotGenuine> {
    let text = header(request, SIGNATURE_HEADER)?.ok_or(NotGenuine::Missing)?;
    let kid = header(request, KID_HEADER)?.filter(|kid| !kid.is_empty());
    let stamp = header(request, TIMESTAMP_HEADER)?;
    if signed.is_timed() {
        let at = moment(stamp.ok_or(NotGenuine::Missing)?).ok_or(NotGenuine::Malformed)?;
        if now.since(at).saturating_abs() > tolerance_ms {
            return Err(NotGenuine::Stale);
        }
    }
    let parts: Vec<&[u8]> = signed
        .0
        .iter()
        .map(|part| match part {
            Part::Text(text) => text.as_bytes(),
            Part::Timestamp => stamp.unwrap_or_default().as_bytes(),
            Part::Kid => kid.unwrap_or_default().as_bytes(),
            Part::Body => request.body,
        })
        .collect();
    let mut answer = Err(NotGenuine::Malformed);
    for signature in spellings(text) {
        answer = signed_by(&parts, &signature, kid, &ALGORITHMS, secrets);
        if answer.is_ok() {
            break;
        }
    }
    answer
}

/// A time in seconds, in milliseconds or in RFC 3339.
fn moment(text: &str) -> Option<Time> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text
            .parse::<jiff::Timestamp>()
            .ok()
            .map(|stamp| Time(stamp.as_millisecond()));
    }
    let number: i64 = text.parse().ok()?;
    match number < FIRST_MS {
        true => Time::from_seconds(number),
        false => Some(Time(number)),
    }
}
