//! One HTTP call to somebody else's API, by whoever makes it: the client, the
//! limits on an answer, and when it asks to be asked again.
//!
//! Nothing here knows what is asked or decides what an answer means.

use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;
use jiff::fmt::rfc2822::DateTimeParser;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::time::{DAY_MS, SECOND_MS, Time};

/// The longest time to wait for a connection, in milliseconds: a host that does
/// not answer a handshake within five seconds is down, and "not sent" is the
/// cheapest outcome there is.
const CONNECT_MS: i64 = 5 * SECOND_MS;
/// How long an idle connection is kept, in milliseconds: less than the shortest
/// keep-alive in common use (five seconds), so that a post is not written into
/// a connection the other side is closing, which would leave an unknown.
const IDLE_MS: i64 = 2 * SECOND_MS;
/// The latest time an answer can name, in milliseconds from now. Beyond a day it
/// is a unit error; the cap means that we may ask earlier than told.
const LATEST_RETRY_MS: i64 = DAY_MS;
/// From this number on, `X-RateLimit-Reset` is seconds since the epoch (this one
/// is in 2001) and not seconds from now; no convention says which.
const EPOCH_SECONDS_FROM: i64 = 1_000_000_000;

/// What may stand in a path segment or a query value as it is: RFC 3986's
/// unreserved characters.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// `text` as one segment of a path; `None` for one that a URL parser would
/// resolve or drop.
#[must_use]
pub fn segment(text: &str) -> Option<String> {
    let plain = !matches!(text, "" | "." | "..");
    plain.then(|| encoded(text))
}

/// `text` as the value of a query.
#[must_use]
pub fn encoded(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string()
}

/// A client that calls exactly the host it was told, exactly once.
///
/// # Errors
/// Where TLS cannot be set up.
pub fn client(timeout_ms: i64, loopback: bool) -> Result<reqwest::Client, reqwest::Error> {
    // An error only says that another part of the program was first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let ms = |ms: i64| Duration::from_millis(ms.unsigned_abs());
    reqwest::Client::builder()
        .user_agent(concat!("tributary/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .referer(false)
        .https_only(!loopback)
        .connect_timeout(ms(CONNECT_MS.min(timeout_ms)))
        .timeout(ms(timeout_ms))
        .pool_idle_timeout(ms(IDLE_MS))
        .build()
}

/// What was read of a body.
pub enum Content {
    /// All of it.
    Whole(Vec<u8>),
    /// It broke off.
    Cut,
    /// It was longer than its cap.
    TooLong,
}

/// Reads a body to its end or to `cap` bytes, chunk by chunk.
pub async fn read(mut response: reqwest::Response, cap: usize) -> Content {
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if bytes.len().saturating_add(chunk.len()) > cap => {
                return Content::TooLong;
            }
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => return Content::Whole(bytes),
            Err(_) => return Content::Cut,
        }
    }
}

/// When an answer asks to be asked again: `Retry-After` in whole seconds or as an
/// HTTP date (RFC 9110, section 10.2.3), or else `X-RateLimit-Reset` in whole
/// seconds, from now or since the epoch. Capped at 24 hours from `now`; a time
/// that is not in the future says nothing. PartnerStack documents none of them.
#[must_use]
pub fn retry_after(headers: &HeaderMap, now: Time) -> Option<Time> {
    let header = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let asked = header(RETRY_AFTER.as_str())
        .and_then(|value| seconds_from(value, now).or_else(|| date(value)));
    let reset = || {
        let value = header("x-ratelimit-reset")?;
        match value.parse::<i64>().ok()? {
            epoch if epoch >= EPOCH_SECONDS_FROM => Some(Time(epoch.saturating_mul(SECOND_MS))),
            _ => seconds_from(value, now),
        }
    };
    asked
        .or_else(reset)
        .filter(|at| *at > now)
        .map(|at| at.min(now.plus(LATEST_RETRY_MS)))
}

fn seconds_from(value: &str, now: Time) -> Option<Time> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = digits.then(|| value.parse::<i64>().unwrap_or(i64::MAX))?;
    Some(now.plus(seconds.saturating_mul(SECOND_MS)))
}

fn date(value: &str) -> Option<Time> {
    let stamp = DateTimeParser::new().parse_timestamp(value).ok()?;
    Some(Time(stamp.as_millisecond()))
}
