//! Chargify's signature: a header of its own, or a parameter of the URL where
//! the merchant wrote it into the endpoint's address.
//!
//! Source: Chargify's documentation, "Webhooks", verifying by HMAC-SHA256 with
//! the site's shared key. The older MD5 signature (`X-Chargify-Webhook-Signature`,
//! `signature`) is never looked at: taking it would be a downgrade. Nothing in
//! the proof tells a time, so a replay is only stopped by the delivery's id.

use std::borrow::Cow;

use crate::provider::sign;
use crate::provider::{Genuine, NotGenuine, Request, Secret};

const HEADER: &str = "x-chargify-webhook-signature-hmac-sha-256";

/// The parameter in the URL. It is only looked at where the header is missing.
const PARAMETER: &str = "signature_hmac_sha_256";

/// Verifies the raw body.
pub fn verify(request: &Request<'_>, secrets: &[Secret]) -> Result<Genuine, NotGenuine> {
    let text = read(request)?;
    let tag = sign::tag_from_hex(&text).ok_or(NotGenuine::Malformed)?;
    sign::hmac_sha256(&[request.body], &[tag], secrets)
}

/// The signature as sent. Two of them are one too many: Chargify sends one.
fn read<'a>(request: &Request<'a>) -> Result<Cow<'a, str>, NotGenuine> {
    if let Some(text) = sign::text_sent_once(request.headers, HEADER)? {
        return Ok(Cow::Borrowed(text));
    }
    let query = request.query.unwrap_or_default().as_bytes();
    let mut values = form_urlencoded::parse(query)
        .filter(|(name, _)| name == PARAMETER)
        .map(|(_, value)| value);
    let text = values.next().ok_or(NotGenuine::Missing)?;
    match values.next() {
        None => Ok(text),
        Some(_) => Err(NotGenuine::Malformed),
    }
}
