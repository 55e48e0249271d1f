//! The key under which the destination holds a transaction.
//!
//! It is the name by which a payment is found again after an unknown answer, so
//! it follows from the source, the payment and the sequence alone: the same
//! over retries, crashes, replays and imports. It is not a guard against
//! duplicates: what the destination does with a repeated key is not documented.

use sha2::{Digest, Sha256};

/// The shortest key we send plainly, in characters. PartnerStack's reference of
/// `POST /v2/transactions` gives 4 to 255 for `key`.
const SHORTEST: usize = 4;
/// The longest key without its suffix, in characters: 255, less the eleven of
/// the longest suffix (`:4294967295`), with a little to spare.
const LONGEST: usize = 240;
/// How many hex digits of the digest are kept: 128 bits, so two payments of one
/// source never meet.
const DIGEST_HEX: usize = 32;

/// The key of the `seq`-th transaction of a payment: `{source}:{payment_id}`
/// for the first, then `:2`, `:3` and so on.
///
/// A payment id with anything outside `[A-Za-z0-9._-]`, or one that would take
/// the key out of 4 to 240 characters, stands as `~` and the first 32 hex
/// digits of its SHA-256. That is decided on the key *without* its suffix, so
/// that all transactions of a payment share one stem whatever their sequence;
/// the suffix has its own room below the destination's 255. As neither `:` nor
/// `~` can be part of a plain payment id, no two payments of a source meet.
#[must_use]
pub fn transaction_key(source: &str, payment_id: &str, seq: u32) -> String {
    let stem = stem(source, payment_id);
    match seq {
        0 | 1 => stem,
        later => format!("{stem}:{later}"),
    }
}

fn stem(source: &str, payment_id: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let length = source.chars().count() + 1 + payment_id.len();
    if payment_id.bytes().all(plain) && (SHORTEST..=LONGEST).contains(&length) {
        return format!("{source}:{payment_id}");
    }
    let digest: String = hex::encode(Sha256::digest(payment_id.as_bytes()))
        .chars()
        .take(DIGEST_HEX)
        .collect();
    format!("{source}:~{digest}")
}

/// Source, payment and sequence of a key that [`transaction_key`] made. The
/// payment is named by its id, or by `~` and the digest of an id that cannot
/// stand in a key. `None` for any other key.
#[must_use]
pub fn read_key(key: &str) -> Option<(&str, &str, u32)> {
    let (source, rest) = key.split_once(':')?;
    let (payment, seq) = match rest.split_once(':') {
        None => (rest, 1),
        Some((payment, seq)) => (payment, seq.parse().ok().filter(|seq| *seq > 1)?),
    };
    let again = match payment.strip_prefix('~') {
        Some(digest) => is_digest(digest).then(|| match seq {
            1 => format!("{source}:~{digest}"),
            later => format!("{source}:~{digest}:{later}"),
        })?,
        None => transaction_key(source, payment, seq),
    };
    (again == key).then_some((source, payment, seq))
}

fn is_digest(text: &str) -> bool {
    let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == DIGEST_HEX && text.bytes().all(hex)
}

/// The name under which a payment stands in its keys: its id, or `~` and a digest.
#[must_use]
pub fn name_in_key(source: &str, payment_id: &str) -> String {
    stem(source, payment_id).split_off(source.len() + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_ids_stay_readable() {
        assert_eq!(transaction_key("stripe", "ch_3Nabc", 1), "stripe:ch_3Nabc");
        assert_eq!(
            transaction_key("stripe", "ch_3Nabc", 2),
            "stripe:ch_3Nabc:2"
        );
        assert_eq!(
            transaction_key("stripe", "ch_3Nabc", u32::MAX),
            "stripe:ch_3Nabc:4294967295"
        );
        assert_eq!(transaction_key("ab", "1", 1), "ab:1");
    }

    #[test]
    fn odd_ids_become_a_digest_that_keeps_its_suffix() {
        let empty = "ab:~e3b0c44298fc1c149afbf4c8996fb924";
        assert_eq!(transaction_key("ab", "", 1), empty);
        assert_eq!(transaction_key("ab", "", 3), format!("{empty}:3"));
        for odd in ["a b", "a:2", "~a", "é", "a/b", "a%2F", "a\n"] {
            assert!(transaction_key("ab", odd, 1).starts_with("ab:~"), "{odd}");
        }
    }

    #[test]
    fn the_digest_does_not_depend_on_the_sequence() {
        let longest = "x".repeat(237);
        assert_eq!(transaction_key("ab", &longest, 1).len(), 240);
        assert_eq!(
            transaction_key("ab", &longest, 2),
            format!("ab:{longest}:2")
        );
        let over = "x".repeat(238);
        assert_eq!(transaction_key("ab", &over, 1).len(), "ab:~".len() + 32);
    }

    #[test]
    fn keys_of_somebody_else_are_not_read() {
        for key in [
            "",
            "stripe",
            "by-hand",
            "stripe:ch_1:1",
            "stripe:ch_1:0",
            "stripe:ch_1:02",
            "stripe:ch_1:x",
            "stripe:a b",
            "stripe:~abc",
            "stripe:ch_1:2:3",
            "stripe:ch_1:",
            "stripe:~E3B0C44298FC1C149AFBF4C8996FB924",
            "stripe:ch_1:+2",
            "stripe:ch_1:4294967296",
        ] {
            assert_eq!(read_key(key), None, "{key}");
        }
    }

    proptest! {
        #[test]
        fn what_was_made_is_read_again(id: String, seq in 1_u32..) {
            let key = transaction_key("source", &id, seq);
            let name = name_in_key("source", &id);
            prop_assert_eq!(read_key(&key), Some(("source", name.as_str(), seq)));
        }

        #[test]
        fn fits_and_tells_payments_apart(one: String, two: String, seq in 1_u32.., other in 1_u32..) {
            let key = transaction_key("source", &one, seq);
            prop_assert!((4..=255).contains(&key.len()));
            if (&one, seq) != (&two, other) {
                prop_assert_ne!(key, transaction_key("source", &two, other));
            }
        }
    }
}
