//! HMAC for signatures that the configuration describes: one of three hashes,
//! and a key that the secret may spell out in one of three forms.
//!
//! This reads no header and builds no signed text; it only compares.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use super::first_match;
use crate::provider::{Genuine, NotGenuine, Secret};

/// The hash under the HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Hash {
    /// For old senders; as the hash of an HMAC it still stands.
    Sha1,
    /// What nearly everybody uses.
    #[default]
    Sha256,
    /// The longest.
    Sha512,
}

/// How a secret's text spells the bytes of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum KeyForm {
    /// The text's own bytes.
    #[default]
    Utf8,
    /// Hexadecimal digits.
    Hex,
    /// Base64, with or without its padding.
    Base64,
}

/// An HMAC by a hash, with keys of a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyed {
    /// The hash.
    pub hash: Hash,
    /// The form of the key.
    pub form: KeyForm,
    /// What may stand before the key in the secret and is no part of it.
    pub prefix: String,
}

/// Senders differ in whether they pad the key that they show.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl Keyed {
    /// Whether some secret gives one of `tags` over the `parts` in order. A
    /// secret that is not of the form fits nothing.
    ///
    /// # Errors
    /// [`NotGenuine::NoSecret`] without a usable secret, else
    /// [`NotGenuine::Mismatch`].
    pub fn check(
        &self,
        parts: &[&[u8]],
        tags: &[Vec<u8>],
        secrets: &[Secret],
    ) -> Result<Genuine, NotGenuine> {
        first_match(secrets, |secret| match self.key(secret) {
            None => false,
            Some(key) => match self.hash {
                Hash::Sha1 => fits::<Hmac<Sha1>, _>(&key, parts, tags),
                Hash::Sha256 => fits::<Hmac<Sha256>, _>(&key, parts, tags),
                Hash::Sha512 => fits::<Hmac<Sha512>, _>(&key, parts, tags),
            },
        })
    }

    /// The bytes of the key. An empty one is none: anybody could sign with it.
    fn key(&self, secret: &[u8]) -> Option<Vec<u8>> {
        let text = secret
            .strip_prefix(self.prefix.as_bytes())
            .unwrap_or(secret);
        let key = match self.form {
            KeyForm::Utf8 => text.to_vec(),
            KeyForm::Hex => hex::decode(text).ok()?,
            KeyForm::Base64 => BASE64.decode(text).ok()?,
        };
        (!key.is_empty()).then_some(key)
    }
}

/// A tag of any length in lower-case hexadecimal digits; see
/// [`super::tag_from_hex`] for why upper case is refused.
#[must_use]
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    match text.is_empty() || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => None,
        false => hex::decode(text).ok(),
    }
}

/// A tag of any length in Base64 with its padding.
#[must_use]
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok().filter(|tag| !tag.is_empty())
}

/// Whether `key` gives one of `tags` over the `parts` in order. Every tag is compared, whole and in constant time.
pub(super) fn fits<M, T>(key: &[u8], parts: &[&[u8]], tags: &[T]) -> bool
where
    M: Mac + KeyInit + Clone,
    T: AsRef<[u8]>,
{
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(key) else {
        return false;
    };
    for part in parts {
        mac.update(part);
    }
    let mut fits = false;
    for tag in tags {
        fits |= mac.clone().verify_slice(tag.as_ref()).is_ok();
    }
    fits
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: [&[u8]; 2] = [b"what do ya ", b"want for nothing?"];

    fn check(hash: Hash, form: KeyForm, prefix: &str, secret: &str, tag: &str) -> bool {
        let keyed = Keyed {
            hash,
            form,
            prefix: prefix.to_owned(),
        };
        let tags = [hex::decode(tag).unwrap()];
        keyed.check(&TEXT, &tags, &[Secret::from(secret)]).is_ok()
    }

    /// RFC 2202 and RFC 4231, test case 2 of each.
    const SHA1: &str = "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79";
    const SHA256: &str = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    const SHA512: &str = "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737";

    #[test]
    fn three_hashes_and_three_forms_of_a_key() {
        assert!(check(Hash::Sha1, KeyForm::Utf8, "", "Jefe", SHA1));
        assert!(check(Hash::Sha256, KeyForm::Hex, "", "4a656665", SHA256));
        assert!(check(Hash::Sha512, KeyForm::Base64, "", "SmVmZQ==", SHA512));
        assert!(check(
            Hash::Sha256,
            KeyForm::Base64,
            "whsec_",
            "whsec_SmVmZQ",
            SHA256
        ));
        assert!(!check(Hash::Sha512, KeyForm::Utf8, "", "Jefe", SHA256));
        assert!(!check(
            Hash::Sha256,
            KeyForm::Utf8,
            "",
            "Jefe",
            &SHA256[..62]
        ));
        assert!(!check(Hash::Sha256, KeyForm::Hex, "", "Jefe", SHA256));
    }

    #[test]
    fn a_secret_that_is_only_its_prefix_fits_nothing() {
        let mac = <Hmac<Sha256> as KeyInit>::new_from_slice(b"").unwrap();
        let forged = hex::encode(mac.finalize().into_bytes());
        let tag = |text: &str| {
            let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(b"").unwrap();
            mac.update(text.as_bytes());
            hex::encode(mac.finalize().into_bytes())
        };
        for tag in [forged, tag("what do ya want for nothing?")] {
            assert!(!check(
                Hash::Sha256,
                KeyForm::Base64,
                "whsec_",
                "whsec_",
                &tag
            ));
        }
    }
}
