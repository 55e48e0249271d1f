//! How a sender proves itself, as the configuration describes it.
//!
//! This finds the proofs in the request and puts the signed text together;
//! `sign` compares. Source of the preset: the Standard Webhooks specification.

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

use super::value::moment;
use crate::config::number;
use crate::provider::sign;
use crate::provider::sign::keyed::{Hash, KeyForm, Keyed};
use crate::provider::sign::public::Algorithm;
use crate::provider::{Genuine, NotGenuine, Request, Secret, SettingsError};
use crate::time::{SECOND_MS, Time};

/// Signatures that are compared in one request; an honest one carries one for
/// each secret that its sender holds.
const SIGNATURES_MAX: usize = 16;

/// How old a signature may be where nothing else is configured, in seconds.
const TOLERANCE_DEFAULT_SECONDS: u32 = 300;

/// The longest tolerance: a day. Beyond it a replay is not stopped at all.
const TOLERANCE_MAX_SECONDS: u32 = 86_400;

/// Whether the proof is a signature, and by what, or a secret as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Scheme {
    Hmac,
    StandardWebhooks,
    PublicKey,
    Basic,
    Token,
}

/// How the bytes of a signature are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
enum Output {
    #[default]
    Hex,
    Base64,
}

/// The names in a header of `name=value` pairs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    signature: String,
    timestamp: Option<String>,
}

/// The settings `signature.*`; `config.example.toml` describes each.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    scheme: Option<Scheme>,
    header: Option<String>,
    separator: Option<String>,
    prefix: Option<String>,
    fields: Option<Fields>,
    hash: Option<Hash>,
    key: Option<KeyForm>,
    key_prefix: Option<String>,
    algorithm: Option<Algorithm>,
    output: Option<Output>,
    template: Option<String>,
    id_header: Option<String>,
    timestamp_header: Option<String>,
    url: Option<String>,
    tolerance_seconds: Option<Tolerance>,
}

/// A tolerance within its limits.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(transparent)]
struct Tolerance(#[serde(deserialize_with = "number::<_, 1, TOLERANCE_MAX_SECONDS>")] u32);

/// What proves a request.
#[derive(Clone, Debug)]
pub enum Proof {
    /// No scheme is configured: nothing does.
    Nothing,
    /// User and password of HTTP Basic.
    Basic,
    /// The secret in the path or behind `?key=`.
    Address,
    /// The secret as the value of a header.
    Header(HeaderName),
    /// A signature.
    Signed(Box<Signed>),
}

/// A signature over a text that is put together from the request.
#[derive(Clone, Debug)]
pub struct Signed {
    header: HeaderName,
    separator: Option<String>,
    prefix: String,
    fields: Option<Fields>,
    output: Output,
    by: By,
    template: Vec<Piece>,
    timestamp: Option<Stamp>,
    tolerance_ms: i64,
}

/// What a signature is made with.
#[derive(Clone, Debug)]
enum By {
    /// The secret that we share.
    Secret(Keyed),
    /// A key of which we hold the public half; the secrets are such keys.
    PublicKey(Algorithm),
}

/// A piece of the signed text.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Body,
    Timestamp,
    Header(HeaderName),
}

/// Where the time stands.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stamp {
    Header(HeaderName),
    Field(String),
}

fn wrong(key: &str, why: &str) -> SettingsError {
    SettingsError::new(&format!("signature.{key}"), why)
}

impl Settings {
    /// What proves a request by these settings.
    ///
    /// # Errors
    /// Names the key at fault.
    pub fn proof(self) -> Result<Proof, SettingsError> {
        let written = self.names_a_signature();
        match self.scheme {
            None if written || self.header.is_some() => Err(wrong(
                "scheme",
                "is missing: say how the sender proves itself",
            )),
            None => Ok(Proof::Nothing),
            Some(Scheme::Basic | Scheme::Token) if written => Err(wrong(
                "scheme",
                "is no signature, so nothing of a signature may be set beside it",
            )),
            Some(Scheme::Basic) if self.header.is_some() => {
                Err(wrong("header", "is always Authorization for basic"))
            }
            Some(Scheme::Basic) => Ok(Proof::Basic),
            Some(Scheme::Token) => match &self.header {
                Some(name) => Ok(Proof::Header(header("header", name)?)),
                None => Ok(Proof::Address),
            },
            Some(Scheme::Hmac) => self.by_secret(),
            Some(Scheme::StandardWebhooks) => self.standard().by_secret(),
            Some(Scheme::PublicKey) => self.by_public_key(),
        }
    }

    /// Whether anything is set that only a signature has.
    fn names_a_signature(&self) -> bool {
        let texts = [
            &self.separator,
            &self.prefix,
            &self.key_prefix,
            &self.template,
            &self.id_header,
            &self.timestamp_header,
            &self.url,
        ];
        texts.into_iter().any(Option::is_some)
            || self.fields.is_some()
            || self.hash.is_some()
            || self.key.is_some()
            || self.algorithm.is_some()
            || self.output.is_some()
            || self.tolerance_seconds.is_some()
    }

    /// What Standard Webhooks prescribes, where nothing else is set. A key that
    /// is not Base64 is the whole secret.
    fn standard(self) -> Settings {
        let text = |own: Option<String>, standard: &str| own.or(Some(standard.to_owned()));
        let key = self.key.unwrap_or(KeyForm::Base64);
        let key_prefix = match key {
            KeyForm::Base64 => text(self.key_prefix, "whsec_"),
            _ => self.key_prefix,
        };
        Settings {
            header: text(self.header, "webhook-signature"),
            separator: text(self.separator, " "),
            prefix: text(self.prefix, "v1,"),
            key: Some(key),
            key_prefix,
            output: self.output.or(Some(Output::Base64)),
            template: text(self.template, "{id}.{timestamp}.{body}"),
            id_header: text(self.id_header, "webhook-id"),
            timestamp_header: text(self.timestamp_header, "webhook-timestamp"),
            ..self
        }
    }

    fn by_secret(self) -> Result<Proof, SettingsError> {
        if self.algorithm.is_some() {
            return Err(wrong(
                "algorithm",
                "belongs to scheme = \"public-key\" only",
            ));
        }
        let keyed = Keyed {
            hash: self.hash.unwrap_or_default(),
            form: self.key.unwrap_or_default(),
            prefix: self.key_prefix.clone().unwrap_or_default(),
        };
        self.signed(By::Secret(keyed))
    }

    /// The algorithm is never the sender's choice.
    fn by_public_key(self) -> Result<Proof, SettingsError> {
        if self.hash.is_some() || self.key.is_some() || self.key_prefix.is_some() {
            return Err(wrong(
                "hash",
                "and key and key_prefix are of an HMAC; a public key has an algorithm",
            ));
        }
        match self.algorithm {
            None => Err(wrong("algorithm", "is missing")),
            Some(algorithm) => self.signed(By::PublicKey(algorithm)),
        }
    }

    fn signed(self, by: By) -> Result<Proof, SettingsError> {
        let name = self.header.as_deref().unwrap_or_default();
        let signed_header = header("header", name)?;
        if self.separator.as_ref().is_some_and(String::is_empty) {
            return Err(wrong("separator", "is empty"));
        }
        let template = self.pieces()?;
        let timestamp = self.timestamp()?;
        match (template.contains(&Piece::Timestamp), &timestamp) {
            (true, None) => {
                return Err(wrong(
                    "template",
                    "signs a {timestamp}: set timestamp_header or fields.timestamp",
                ));
            }
            (false, Some(_)) => {
                return Err(wrong(
                    "template",
                    "does not sign the {timestamp}, which proves nothing then",
                ));
            }
            (false, None) if self.tolerance_seconds.is_some() => {
                return Err(wrong(
                    "tolerance_seconds",
                    "needs a {timestamp} that is signed",
                ));
            }
            _ => {}
        }
        let Tolerance(tolerance) = self
            .tolerance_seconds
            .unwrap_or(Tolerance(TOLERANCE_DEFAULT_SECONDS));
        let comma = self.fields.as_ref().map(|_| ",".to_owned());
        Ok(Proof::Signed(Box::new(Signed {
            header: signed_header,
            separator: self.separator.or(comma),
            prefix: self.prefix.unwrap_or_default(),
            fields: self.fields,
            output: self.output.unwrap_or_default(),
            by,
            template,
            timestamp,
            tolerance_ms: i64::from(tolerance) * SECOND_MS,
        })))
    }

    fn timestamp(&self) -> Result<Option<Stamp>, SettingsError> {
        let field = self.fields.as_ref().and_then(|it| it.timestamp.clone());
        match (&self.timestamp_header, field) {
            (Some(_), Some(_)) => Err(wrong(
                "timestamp_header",
                "stands beside fields.timestamp: there can be one time only",
            )),
            (Some(name), None) => Ok(Some(Stamp::Header(header("timestamp_header", name)?))),
            (None, field) => Ok(field.map(Stamp::Field)),
        }
    }

    /// The template in pieces. A text without the body would sign no money.
    fn pieces(&self) -> Result<Vec<Piece>, SettingsError> {
        let mut pieces = Vec::new();
        let mut rest = self.template.as_deref().unwrap_or("{body}");
        while let Some((before, behind)) = rest.split_once('{') {
            let (name, behind) = behind
                .split_once('}')
                .ok_or_else(|| wrong("template", "a brace is not closed"))?;
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(self.piece(name)?);
            rest = behind;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        match pieces.contains(&Piece::Body) {
            true => Ok(pieces),
            false => Err(wrong("template", "does not sign the {body}")),
        }
    }

    fn piece(&self, name: &str) -> Result<Piece, SettingsError> {
        match (name, name.strip_prefix("header:")) {
            ("body", _) => Ok(Piece::Body),
            ("timestamp", _) => Ok(Piece::Timestamp),
            ("id", _) => match &self.id_header {
                Some(name) => Ok(Piece::Header(header("id_header", name)?)),
                None => Err(wrong("id_header", "is missing: the template signs an {id}")),
            },
            ("url", _) => match &self.url {
                Some(url) if !url.is_empty() => Ok(Piece::Text(url.clone())),
                _ => Err(wrong("url", "is missing: the template signs a {url}")),
            },
            (_, Some(name)) => Ok(Piece::Header(header("template", name)?)),
            _ => Err(wrong(
                "template",
                "may hold {body}, {timestamp}, {id}, {url} and {header:NAME} only",
            )),
        }
    }
}

fn header(key: &str, name: &str) -> Result<HeaderName, SettingsError> {
    name.parse()
        .map_err(|_| wrong(key, "must be the name of a header"))
}

impl Proof {
    /// Whether the request proves itself.
    pub fn verify(
        &self,
        request: &Request<'_>,
        secrets: &[Secret],
        now: Time,
    ) -> Result<Genuine, NotGenuine> {
        match self {
            Proof::Nothing => Err(NotGenuine::NoSecret),
            Proof::Basic => {
                let alone = Request {
                    path_token: None,
                    query: None,
                    ..*request
                };
                sign::carried(&alone, secrets)
            }
            Proof::Address => {
                let none = HeaderMap::new();
                let alone = Request {
                    headers: &none,
                    ..*request
                };
                sign::carried(&alone, secrets)
            }
            Proof::Header(name) => sign::same(only(request.headers, name)?, secrets),
            Proof::Signed(signed) => signed.verify(request, secrets, now),
        }
    }
}

/// The value of a header that must be there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a [u8], NotGenuine> {
    let sent = sign::sent_once(headers, name)?.map(HeaderValue::as_bytes);
    sent.filter(|value| !value.is_empty())
        .ok_or(NotGenuine::Missing)
}

/// Signatures, and the time where it stands among them.
type Found<'a> = (Vec<Vec<u8>>, Option<&'a str>);

impl Signed {
    fn verify(
        &self,
        request: &Request<'_>,
        secrets: &[Secret],
        now: Time,
    ) -> Result<Genuine, NotGenuine> {
        let text = std::str::from_utf8(only(request.headers, &self.header)?);
        let (tags, field) = self.read(text.map_err(|_| NotGenuine::Malformed)?)?;
        let stamp = match &self.timestamp {
            None => "",
            Some(Stamp::Field(_)) => field.ok_or(NotGenuine::Malformed)?,
            Some(Stamp::Header(name)) => std::str::from_utf8(only(request.headers, name)?)
                .map_err(|_| NotGenuine::Malformed)?,
        };
        let mut parts: Vec<&[u8]> = Vec::with_capacity(self.template.len());
        for piece in &self.template {
            parts.push(match piece {
                Piece::Text(text) => text.as_bytes(),
                Piece::Body => request.body,
                Piece::Timestamp => stamp.as_bytes(),
                Piece::Header(name) => only(request.headers, name)?,
            });
        }
        let at = match self.timestamp {
            None => None,
            Some(_) => Some(moment(stamp).ok_or(NotGenuine::Malformed)?),
        };
        let genuine = self.by.check(&parts, &tags, secrets)?;
        // Neither too old nor too new, as Standard Webhooks prescribes.
        match at {
            Some(at) if now.since(at).saturating_abs() > self.tolerance_ms => {
                Err(NotGenuine::Stale)
            }
            _ => Ok(genuine),
        }
    }

    /// The signatures in the header, and the time where it holds that as well.
    fn read<'a>(&self, text: &'a str) -> Result<Found<'a>, NotGenuine> {
        let (mut tags, mut time, mut sent) = (Vec::new(), None, 0);
        let separator = self.separator.as_deref();
        let whole = separator.is_none().then_some(text);
        let split = separator.map(|separator| text.split(separator));
        for part in whole.into_iter().chain(split.into_iter().flatten()) {
            let part = part.trim();
            let value = match &self.fields {
                None => Some(part),
                Some(fields) => match part.split_once('=') {
                    Some((name, value)) if name == fields.signature => Some(value),
                    Some((name, value)) if Some(name) == fields.timestamp.as_deref() => {
                        // Two times: which one was signed cannot be said.
                        if time.replace(value).is_some() {
                            return Err(NotGenuine::Malformed);
                        }
                        None
                    }
                    _ => None,
                },
            };
            let Some(value) = value.and_then(|value| value.strip_prefix(self.prefix.as_str()))
            else {
                continue;
            };
            sent += 1;
            tags.extend(self.output.bytes(value));
        }
        match tags.is_empty() || sent > SIGNATURES_MAX {
            true => Err(NotGenuine::Malformed),
            false => Ok((tags, time)),
        }
    }
}

impl By {
    fn check(
        &self,
        parts: &[&[u8]],
        tags: &[Vec<u8>],
        secrets: &[Secret],
    ) -> Result<Genuine, NotGenuine> {
        match self {
            By::Secret(keyed) => keyed.check(parts, tags, secrets),
            By::PublicKey(algorithm) => {
                let mut answer = Err(NotGenuine::Mismatch);
                for tag in tags {
                    answer = sign::public::signed_by(parts, tag, None, &[*algorithm], secrets);
                    if answer.is_ok() {
                        break;
                    }
                }
                answer
            }
        }
    }
}

impl Output {
    /// The bytes; upper-case digits are refused, as everywhere.
    fn bytes(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Output::Hex => sign::keyed::from_hex(text),
            Output::Base64 => sign::keyed::from_base64(text),
        }
    }
}
