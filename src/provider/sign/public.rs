//! Signatures by public keys: keys as merchants paste them, and whether one of
//! them made a signature.
//!
//! The algorithm belongs to the key and never to the request, so that nobody can
//! choose a weaker one. A key is a PEM public key (RFC 7468), a PEM certificate
//! of which only the key counts, a JWK or a set of them (RFC 7517). This is not
//! a check of certificates: what the configuration holds is trusted as it
//! stands. The arithmetic is `ring`'s.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use ring::signature as with;
use rustls::pki_types::pem::{self, SectionKind};
use secrecy::ExposeSecret;
use serde::Deserialize;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::referenced::OwnedToRef as _;
use x509_cert::spki::SubjectPublicKeyInfoRef;

use crate::provider::{Genuine, NotGenuine, Secret};

/// How a key signs. The words are those of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Algorithm {
    /// Ed25519 (RFC 8032).
    #[serde(rename = "ed25519")]
    Ed25519,
    /// ECDSA on P-256 with SHA-256; the signature in DER or as 64 bytes.
    #[serde(rename = "ecdsa-p256-sha256")]
    EcdsaP256Sha256,
    /// RSASSA-PKCS1-v1_5 with SHA-256, keys of 2048 to 8192 bits.
    #[serde(rename = "rsa-pkcs1-sha256")]
    RsaPkcs1Sha256,
    /// RSASSA-PSS with SHA-256 and a salt of 32 bytes, keys of 2048 to 8192 bits.
    #[serde(rename = "rsa-pss-sha256")]
    RsaPssSha256,
    /// RSASSA-PKCS1-v1_5 with SHA-1, keys of 1024 to 8192 bits: broken against
    /// whoever may choose what is signed, and all that some providers offer.
    #[serde(rename = "rsa-pkcs1-sha1")]
    RsaPkcs1Sha1,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Algorithm; 5] = [
        Algorithm::Ed25519,
        Algorithm::EcdsaP256Sha256,
        Algorithm::RsaPkcs1Sha256,
        Algorithm::RsaPssSha256,
        Algorithm::RsaPkcs1Sha1,
    ];

    /// The word of the configuration.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Algorithm::Ed25519 => "ed25519",
            Algorithm::EcdsaP256Sha256 => "ecdsa-p256-sha256",
            Algorithm::RsaPkcs1Sha256 => "rsa-pkcs1-sha256",
            Algorithm::RsaPssSha256 => "rsa-pss-sha256",
            Algorithm::RsaPkcs1Sha1 => "rsa-pkcs1-sha1",
        }
    }

    fn named(word: &str) -> Option<Algorithm> {
        Algorithm::ALL.into_iter().find(|one| one.word() == word)
    }

    /// From the `alg` of a JWK.
    fn of_jwk(alg: &str) -> Option<Algorithm> {
        match alg {
            "EdDSA" | "Ed25519" => Some(Algorithm::Ed25519),
            "ES256" => Some(Algorithm::EcdsaP256Sha256),
            "RS256" => Some(Algorithm::RsaPkcs1Sha256),
            "PS256" => Some(Algorithm::RsaPssSha256),
            "RS1" => Some(Algorithm::RsaPkcs1Sha1),
            _ => None,
        }
    }

    /// The parameters for RSA keys, for the algorithms that are RSA's.
    fn rsa(self) -> Option<&'static with::RsaParameters> {
        match self {
            Algorithm::RsaPkcs1Sha256 => Some(&with::RSA_PKCS1_2048_8192_SHA256),
            Algorithm::RsaPssSha256 => Some(&with::RSA_PSS_2048_8192_SHA256),
            Algorithm::RsaPkcs1Sha1 => Some(&with::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY),
            Algorithm::Ed25519 | Algorithm::EcdsaP256Sha256 => None,
        }
    }
}

/// Keys of one set that are tried; providers publish a handful.
const KEYS_MOST: usize = 32;

/// Whether a key among `secrets` made `signature` over the `parts` in order.
/// Every secret's text is a key or a set of keys. Only the `allowed` algorithms
/// count; an RSA key that does not say which it is for takes the first of them
/// that is RSA's. Where the request names a key (`kid`), a key of another name
/// is not tried, and one without a name is.
///
/// # Errors
/// [`NotGenuine::NoSecret`] without a secret, [`NotGenuine::UnknownKey`] where no
/// key has the name that the request gives and none without a name fits, else
/// [`NotGenuine::Mismatch`].
pub fn signed_by(
    parts: &[&[u8]],
    signature: &[u8],
    kid: Option<&str>,
    allowed: &[Algorithm],
    secrets: &[Secret],
) -> Result<Genuine, NotGenuine> {
    let message = parts.concat();
    let (mut any, mut named) = (false, false);
    for (secret, text) in secrets.iter().enumerate() {
        let text = text.expose_secret();
        if text.is_empty() {
            continue;
        }
        any = true;
        for key in keys(text, allowed) {
            match (kid, key.kid.as_deref()) {
                (Some(asked), Some(own)) if asked != own => continue,
                (Some(_), Some(_)) => named = true,
                _ => {}
            }
            if allowed.contains(&key.algorithm) && key.made(&message, signature) {
                return Ok(Genuine { secret });
            }
        }
    }
    Err(match (any, kid) {
        (false, _) => NotGenuine::NoSecret,
        (true, Some(_)) if !named => NotGenuine::UnknownKey,
        (true, _) => NotGenuine::Mismatch,
    })
}

/// The bytes that a signature's text may stand for: hexadecimal digits, Base64 or
/// base64url, with or without padding. Some texts are two of them.
#[must_use]
pub fn spellings(text: &str) -> Vec<Vec<u8>> {
    let bare = text.trim().trim_end_matches('=');
    let all = [
        hex::decode(bare).ok(),
        STANDARD_NO_PAD.decode(bare).ok(),
        URL_SAFE_NO_PAD.decode(bare).ok(),
    ];
    let mut found: Vec<Vec<u8>> = all.into_iter().flatten().collect();
    found.retain(|bytes| !bytes.is_empty());
    found.dedup();
    found
}

/// A key that can be used.
struct Key {
    kid: Option<String>,
    algorithm: Algorithm,
    material: Material,
}

/// The numbers of a key, as `ring` takes them.
enum Material {
    /// The bits of a `SubjectPublicKeyInfo`: a point, or an RSA key in DER.
    Bits(Vec<u8>),
    /// The modulus and the exponent of an RSA key, without leading zeros.
    Rsa { n: Vec<u8>, e: Vec<u8> },
}

impl Key {
    fn made(&self, message: &[u8], signature: &[u8]) -> bool {
        let by = |algorithm: &'static dyn with::VerificationAlgorithm| match &self.material {
            Material::Bits(bits) => with::UnparsedPublicKey::new(algorithm, bits)
                .verify(message, signature)
                .is_ok(),
            Material::Rsa { .. } => false,
        };
        match (self.algorithm, &self.material) {
            (Algorithm::Ed25519, _) => by(&with::ED25519),
            (Algorithm::EcdsaP256Sha256, _) => {
                by(&with::ECDSA_P256_SHA256_FIXED) || by(&with::ECDSA_P256_SHA256_ASN1)
            }
            (algorithm, Material::Bits(_)) => algorithm.rsa().is_some_and(|rsa| by(rsa)),
            (algorithm, Material::Rsa { n, e }) => algorithm.rsa().is_some_and(|rsa| {
                let key = with::RsaPublicKeyComponents { n, e };
                key.verify(rsa, message, signature).is_ok()
            }),
        }
    }
}

/// The keys that a secret's text holds; none where it cannot be read.
fn keys(text: &str, allowed: &[Algorithm]) -> Vec<Key> {
    if !text.trim_start().starts_with('{') {
        return from_pem(text, allowed).into_iter().collect();
    }
    let jwks = match serde_json::from_str::<JwkSet>(text) {
        Ok(set) => set.keys,
        Err(_) => serde_json::from_str::<serde_json::Value>(text)
            .into_iter()
            .collect(),
    };
    jwks.into_iter()
        .take(KEYS_MOST)
        .filter_map(|jwk| from_jwk(serde_json::from_value(jwk).ok()?, allowed))
        .collect()
}

const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");

/// The line that opens the part of a PEM text that is no explanation.
const BEGIN: &str = "-----BEGIN ";

/// The key of a PEM text. Lines `kid: NAME` and `alg: WORD` may stand above it,
/// where RFC 7468 allows explanatory text.
fn from_pem(text: &str, allowed: &[Algorithm]) -> Option<Key> {
    let said = text.split(BEGIN).next().unwrap_or_default();
    let line = |name: &str| {
        said.lines().find_map(|line| {
            let (label, value) = line.split_once(':')?;
            (label.trim() == name).then(|| value.trim())
        })
    };
    let own = match line("alg") {
        Some(word) => Some(Algorithm::named(word)?),
        None => None,
    };
    let (kind, der) = pem::from_buf(&mut text.as_bytes()).ok()??;
    let (algorithm, bits) = match kind {
        SectionKind::PublicKey => {
            from_spki(&SubjectPublicKeyInfoRef::from_der(&der).ok()?, own, allowed)?
        }
        SectionKind::Certificate => {
            let certificate = Certificate::from_der(&der).ok()?;
            let spki = &certificate.tbs_certificate.subject_public_key_info;
            from_spki(&spki.owned_to_ref(), own, allowed)?
        }
        _ => return None,
    };
    Some(Key {
        kid: line("kid").map(str::to_owned),
        algorithm,
        material: Material::Bits(bits),
    })
}

fn from_spki(
    spki: &SubjectPublicKeyInfoRef<'_>,
    own: Option<Algorithm>,
    allowed: &[Algorithm],
) -> Option<(Algorithm, Vec<u8>)> {
    let curve = || spki.algorithm.parameters_oid().ok();
    let algorithm = match spki.algorithm.oid {
        ED25519 => only(Algorithm::Ed25519, own)?,
        EC if curve() == Some(P256) => only(Algorithm::EcdsaP256Sha256, own)?,
        RSA_PSS => only(Algorithm::RsaPssSha256, own)?,
        RSA => rsa(own, allowed)?,
        _ => return None,
    };
    let bits = spki.subject_public_key.as_bytes()?;
    Some((algorithm, bits.to_vec()))
}

/// The one algorithm of a type of key, unless the key says that it is another.
fn only(algorithm: Algorithm, own: Option<Algorithm>) -> Option<Algorithm> {
    own.is_none_or(|own| own == algorithm).then_some(algorithm)
}

/// The algorithm of an RSA key: its own, else the first of the source's.
fn rsa(own: Option<Algorithm>, allowed: &[Algorithm]) -> Option<Algorithm> {
    let first = || allowed.iter().copied().find(|one| one.rsa().is_some());
    own.or_else(first).filter(|one| one.rsa().is_some())
}

/// A set of keys, each read by itself: one of an unknown kind spoils no other.
#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<serde_json::Value>,
}

/// A key as RFC 7517 writes it.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    used_for: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

/// Bytes of a coordinate on P-256, and of an Ed25519 key.
const COORDINATE_BYTES: usize = 32;

fn from_jwk(jwk: Jwk, allowed: &[Algorithm]) -> Option<Key> {
    if jwk.used_for.is_some_and(|use_| use_ != "sig") {
        return None;
    }
    let own = match jwk.alg.as_deref() {
        Some(alg) => Some(Algorithm::of_jwk(alg)?),
        None => None,
    };
    let bytes = |text: Option<String>| URL_SAFE_NO_PAD.decode(text?.trim_end_matches('=')).ok();
    let coordinate = |text| bytes(text).filter(|bytes| bytes.len() == COORDINATE_BYTES);
    let number = |text| {
        let digits = bytes(text)?;
        let first = digits.iter().position(|digit| *digit != 0)?;
        Some(digits[first..].to_vec())
    };
    let (algorithm, material) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("OKP", Some("Ed25519")) => (
            only(Algorithm::Ed25519, own)?,
            Material::Bits(coordinate(jwk.x)?),
        ),
        ("EC", Some("P-256")) => {
            // A point that is not compressed, as SEC 1 writes it.
            let point = [vec![4], coordinate(jwk.x)?, coordinate(jwk.y)?].concat();
            (
                only(Algorithm::EcdsaP256Sha256, own)?,
                Material::Bits(point),
            )
        }
        ("RSA", _) => {
            let (n, e) = (number(jwk.n)?, number(jwk.e)?);
            (rsa(own, allowed)?, Material::Rsa { n, e })
        }
        _ => return None,
    };
    Some(Key {
        kid: jwk.kid,
        algorithm,
        material,
    })
}

#[cfg(test)]
#[path = "public_tests.rs"]
mod tests;
