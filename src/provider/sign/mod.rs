//! The one place that looks inside a secret and compares it.
//!
//! Every comparison takes the same time whether it fits or not, every secret is
//! tried against every proof sent, and an empty secret never fits. This is not
//! a parser of headers: providers bring the bytes. Public keys are in `public`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::Hmac;
use http::header::AsHeaderName;
use http::{HeaderMap, HeaderValue};
use secrecy::ExposeSecret;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Genuine, NotGenuine, Request, Secret};
use keyed::fits;

pub mod keyed;
pub mod public;

/// The length of a SHA-256 tag in bytes.
const TAG_BYTES: usize = 32;

/// A SHA-256 message authentication code that a request carries.
pub type Tag = [u8; TAG_BYTES];

/// A header that carries a proof, if it is sent. Honest senders send it once;
/// which of two counts, nobody can say.
///
/// # Errors
/// [`NotGenuine::Malformed`] where it was sent more than once.
pub fn sent_once(
    headers: &HeaderMap,
    name: impl AsHeaderName,
) -> Result<Option<&HeaderValue>, NotGenuine> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (only, None) => Ok(only),
        (_, Some(_)) => Err(NotGenuine::Malformed),
    }
}

/// The same as text.
///
/// # Errors
/// [`NotGenuine::Malformed`] also where it is no text.
pub fn text_sent_once(
    headers: &HeaderMap,
    name: impl AsHeaderName,
) -> Result<Option<&str>, NotGenuine> {
    let sent = sent_once(headers, name)?.map(HeaderValue::to_str);
    sent.transpose().map_err(|_| NotGenuine::Malformed)
}

/// Reads a tag written as lower-case hexadecimal digits. Upper case is refused:
/// the official SDKs compare the text itself, and two spellings of one proof
/// help nobody but a forger.
#[must_use]
pub fn tag_from_hex(text: &str) -> Option<Tag> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    let mut tag = [0; TAG_BYTES];
    hex::decode_to_slice(text, &mut tag).ok()?;
    Some(tag)
}

/// Reads a tag written in Base64, the alphabet with `+` and `/`, padded.
#[must_use]
pub fn tag_from_base64(text: &str) -> Option<Tag> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

/// What the bytes of a key are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyEncoding {
    /// Either of the others: for providers that do not say which.
    #[default]
    Auto,
    /// The secret's text as configured.
    Utf8,
    /// What the secret's text is the Base64 of.
    Base64,
}

/// Whether some secret gives one of `tags` as HMAC-SHA256 over the `parts` in
/// order. The key is the secret's text as configured.
///
/// # Errors
/// [`NotGenuine::NoSecret`] without a usable secret, else
/// [`NotGenuine::Mismatch`].
pub fn hmac_sha256(
    parts: &[&[u8]],
    tags: &[Tag],
    secrets: &[Secret],
) -> Result<Genuine, NotGenuine> {
    first_match(secrets, |key| fits::<Hmac<Sha256>, _>(key, parts, tags))
}

/// As [`hmac_sha256`], where the key is what `encoding` makes of a secret.
///
/// # Errors
/// As [`hmac_sha256`].
pub fn hmac_sha256_keyed(
    encoding: KeyEncoding,
    parts: &[&[u8]],
    tags: &[Tag],
    secrets: &[Secret],
) -> Result<Genuine, NotGenuine> {
    first_match(secrets, |text| {
        let decoded = STANDARD.decode(text.trim_ascii()).unwrap_or_default();
        let by_text = encoding != KeyEncoding::Base64 && fits::<Hmac<Sha256>, _>(text, parts, tags);
        // No key is the Base64 of nothing: an empty one would fit anybody's tag.
        let by_bytes = encoding != KeyEncoding::Utf8
            && !decoded.is_empty()
            && fits::<Hmac<Sha256>, _>(&decoded, parts, tags);
        by_text | by_bytes
    })
}

/// Whether some secret is what the request sent as it stands: a password or a
/// token. Digests are compared, so that the time does not tell the length.
///
/// # Errors
/// As [`hmac_sha256`].
pub fn same(sent: &[u8], secrets: &[Secret]) -> Result<Genuine, NotGenuine> {
    let sent = Sha256::digest(sent);
    first_match(secrets, |key| Sha256::digest(key).ct_eq(&sent).into())
}

/// Whether a secret is what the request carries without a signature: the
/// credentials of HTTP Basic (`user:password`, or the password alone where the
/// secret has no colon), the `key` of the query, or the token in the path. For
/// providers that sign nothing; use them over HTTPS only.
///
/// # Errors
/// [`NotGenuine::Missing`] where the request carries none of them, else as
/// [`hmac_sha256`].
pub fn carried(request: &Request<'_>, secrets: &[Secret]) -> Result<Genuine, NotGenuine> {
    let mut proofs: Vec<Vec<u8>> = Vec::new();
    let mut headers = request.headers.get_all(http::header::AUTHORIZATION).iter();
    if let (Some(header), None) = (headers.next(), headers.next()) {
        let credentials = basic(header.as_bytes()).ok_or(NotGenuine::Malformed)?;
        // The first colon splits: a password may hold more of them.
        let colon = credentials.iter().position(|byte| *byte == b':');
        let password = colon
            .and_then(|at| credentials.get(at + 1..))
            .unwrap_or_default();
        proofs.push(password.to_vec());
        proofs.push(credentials);
    }
    let query = request.query.unwrap_or_default().as_bytes();
    let keys = form_urlencoded::parse(query).filter(|(name, _)| name == "key");
    proofs.extend(keys.map(|(_, key)| key.into_owned().into_bytes()));
    proofs.extend(request.path_token.map(|token| token.as_bytes().to_vec()));
    let mut answer = Err(NotGenuine::Missing);
    for proof in proofs
        .iter()
        .filter(|proof| !proof.is_empty())
        .take(PROOFS_MOST)
    {
        let fits = same(proof, secrets);
        if answer.is_err() {
            answer = fits;
        }
    }
    answer
}

/// The decoded credentials of an `Authorization: Basic` header.
fn basic(header: &[u8]) -> Option<Vec<u8>> {
    let (scheme, encoded) = header.split_at_checked(BASIC.len())?;
    match scheme.eq_ignore_ascii_case(BASIC) {
        true => STANDARD.decode(encoded.trim_ascii()).ok(),
        false => None,
    }
}

const BASIC: &[u8] = b"Basic ";

/// Proofs compared in one request; an honest one carries one or two.
const PROOFS_MOST: usize = 8;

/// The first secret that `fits`; the rest are tried as well.
fn first_match(secrets: &[Secret], fits: impl Fn(&[u8]) -> bool) -> Result<Genuine, NotGenuine> {
    let mut answer = Err(NotGenuine::NoSecret);
    for (secret, text) in secrets.iter().enumerate() {
        let key = text.expose_secret().as_bytes();
        if key.is_empty() {
            continue;
        }
        answer = match (answer, fits(key)) {
            (Ok(earlier), _) => Ok(earlier),
            (Err(_), true) => Ok(Genuine { secret }),
            (Err(_), false) => Err(NotGenuine::Mismatch),
        };
    }
    answer
}

#[cfg(test)]
mod tests {
    use hmac::{KeyInit, Mac};

    use super::*;

    fn secrets(texts: &[&str]) -> Vec<Secret> {
        texts.iter().map(|text| Secret::from(*text)).collect()
    }

    /// RFC 4231, test case 2.
    const JEFE: &str = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";

    #[test]
    fn tries_every_secret_against_every_tag() {
        let parts: [&[u8]; 2] = [b"what do ya ", b"want for nothing?"];
        let tags = [[7; TAG_BYTES], tag_from_hex(JEFE).unwrap()];
        let check = |texts: &[&str]| hmac_sha256(&parts, &tags, &secrets(texts));
        assert_eq!(check(&["Jefe"]), Ok(Genuine { secret: 0 }));
        assert_eq!(check(&["", "other", "Jefe"]), Ok(Genuine { secret: 2 }));
        assert_eq!(check(&["jefe"]), Err(NotGenuine::Mismatch));
        assert_eq!(check(&[]), Err(NotGenuine::NoSecret));
        assert_eq!(
            hmac_sha256(&parts, &[], &secrets(&["Jefe"])),
            Err(NotGenuine::Mismatch)
        );
    }

    #[test]
    fn an_empty_secret_never_fits() {
        let mac = Hmac::<Sha256>::new_from_slice(b"").unwrap();
        let tag: Tag = mac.finalize().into_bytes().into();
        assert_eq!(
            hmac_sha256(&[b""], &[tag], &secrets(&[""])),
            Err(NotGenuine::NoSecret)
        );
        assert_eq!(same(b"", &secrets(&["", ""])), Err(NotGenuine::NoSecret));
    }

    #[test]
    fn compares_tokens_as_they_stand() {
        let held = secrets(&["alpha", "beta"]);
        assert_eq!(same(b"beta", &held), Ok(Genuine { secret: 1 }));
        for sent in [&b"bet"[..], b"betaa", b"", b"BETA"] {
            assert_eq!(same(sent, &held), Err(NotGenuine::Mismatch));
        }
    }

    #[test]
    fn a_tag_is_64_lower_case_digits() {
        assert!(tag_from_hex(JEFE).is_some());
        for text in [
            "",
            "5b",
            &JEFE.to_uppercase(),
            &JEFE[1..],
            &format!("{JEFE}00"),
        ] {
            assert!(tag_from_hex(text).is_none(), "{text}");
        }
    }

    #[test]
    fn what_is_carried_must_be_a_secret() {
        let check = |authorization: Option<&str>, query: Option<&str>, token: Option<&str>| {
            let mut headers = http::HeaderMap::new();
            if let Some(value) = authorization {
                headers.insert(http::header::AUTHORIZATION, value.parse().unwrap());
            }
            let request = Request {
                headers: &headers,
                body: b"",
                path_token: token,
                path_rest: None,
                query,
            };
            carried(&request, &secrets(&["user:pa:ss", "token", ""]))
        };
        // user:pa:ss, token with any user, and things that are neither.
        assert_eq!(
            check(Some("Basic dXNlcjpwYTpzcw=="), None, None),
            Ok(Genuine { secret: 0 })
        );
        assert_eq!(
            check(Some("Basic eDp0b2tlbg=="), None, None),
            Ok(Genuine { secret: 1 })
        );
        assert_eq!(
            check(Some("Basic dXNlcjpwYQ=="), None, None),
            Err(NotGenuine::Mismatch)
        );
        assert_eq!(
            check(Some("Basic eDpwYTpzcw=="), None, None),
            Err(NotGenuine::Mismatch)
        );
        assert_eq!(
            check(Some("Bearer token"), None, None),
            Err(NotGenuine::Malformed)
        );
        assert_eq!(
            check(None, Some("a=b&key=token"), None),
            Ok(Genuine { secret: 1 })
        );
        assert_eq!(check(None, Some("key="), None), Err(NotGenuine::Missing));
        assert_eq!(check(None, None, Some("token")), Ok(Genuine { secret: 1 }));
        assert_eq!(check(None, None, Some("tokem")), Err(NotGenuine::Mismatch));
        assert_eq!(check(None, None, None), Err(NotGenuine::Missing));
    }
}
