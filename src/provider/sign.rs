//! Comparing secrets: the only place where it is done, in constant time.
//!
//! Every configured secret is tried against every signature sent, and the time
//! taken tells neither how near a guess was nor which secret it was. No secret,
//! or an empty one, means no.

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use super::{Genuine, NotGenuine};

/// Signatures looked at in one request; a provider sends one per active secret.
pub const SIGNATURES_MOST: usize = 16;

/// Whether any of `signatures` (raw bytes) is the HMAC-SHA256 of the `message`
/// parts in order, under any of `secrets`.
///
/// # Errors
/// [`NotGenuine::Forged`] where none is.
pub fn hmac_sha256(
    secrets: &[SecretString],
    message: &[&[u8]],
    signatures: &[Vec<u8>],
) -> Result<Genuine, NotGenuine> {
    let mut matched = None;
    for (place, secret) in secrets.iter().enumerate() {
        let key = secret.expose_secret().as_bytes();
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
            continue;
        };
        for part in message {
            mac.update(part);
        }
        for signature in signatures.iter().take(SIGNATURES_MOST) {
            let same = mac.clone().verify_slice(signature).is_ok();
            if same && !key.is_empty() && matched.is_none() {
                matched = Some(Genuine { secret: place });
            }
        }
    }
    matched.ok_or(NotGenuine::Forged)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sign(secret: &str, message: &[u8]) -> Vec<u8> {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(message);
        mac.finalize().into_bytes().to_vec()
    }

    #[test]
    fn any_signature_under_any_secret_and_nothing_else() {
        let secrets = ["one", "two", ""].map(SecretString::from);
        let check = |signatures: &[Vec<u8>]| hmac_sha256(&secrets, &[b"a", b"b"], signatures);
        let wrong = sign("three", b"ab");
        assert_eq!(
            check(&[wrong.clone(), sign("two", b"ab")]),
            Ok(Genuine { secret: 1 })
        );
        assert_eq!(check(&[wrong]), Err(NotGenuine::Forged));
        assert_eq!(check(&[]), Err(NotGenuine::Forged));
        assert_eq!(check(&[sign("", b"ab")]), Err(NotGenuine::Forged));
        assert_eq!(
            check(&[sign("two", b"ab")[..31].to_vec()]),
            Err(NotGenuine::Forged)
        );
        assert_eq!(
            hmac_sha256(&[], &[b"ab"], &[sign("one", b"ab")]),
            Err(NotGenuine::Forged)
        );
    }
}
