//! Bodies of deliveries as they are kept: packed, where that makes them shorter.
//!
//! Webhooks of a provider are much alike and each is short, so they are packed by zstd
//! with a dictionary of what they have in common. A dictionary never changes and stands
//! in the ledger under its number, so that a ledger can be read by itself. There is
//! nothing of anybody's in it: it is made of the invented requests in `fixtures`, and the
//! second one by `fixtures/dictionary/make.py` of invented documents with all fields as well.

use std::cell::RefCell;
use std::io::Read as _;
use std::sync::LazyLock;

use zstd::bulk::Compressor;
use zstd::dict::EncoderDictionary;

use super::LedgerError;
use super::sql::unexpected;

/// All dictionaries by their numbers. One that was ever in use stays as it is.
pub(in crate::ledger) const DICTIONARIES: [(i64, &[u8]); 2] = [
    (1, include_bytes!("sql/dictionary-1.txt")),
    (NEWEST, include_bytes!("sql/dictionary-2.zstd")),
];

/// The one that bodies are packed with.
const NEWEST: i64 = 2;

/// How hard is tried: by this dictionary level 3 makes 555 bytes of a Stripe charge in 5 µs,
/// 5 makes 484 in 12, and 6 makes 472 in 18. A page takes six deliveries of the second kind,
/// and five of the first.
const LEVEL: i32 = 5;

/// The longest body that is unpacked, in bytes: more than a listener takes.
const BODY_MOST_BYTES: u64 = 16 * 1024 * 1024;

static PREPARED: LazyLock<EncoderDictionary<'static>> = LazyLock::new(|| {
    let [.., (_, newest)] = DICTIONARIES;
    EncoderDictionary::copy(newest, LEVEL)
});

thread_local! {
    static PACKER: RefCell<Option<Compressor<'static>>> =
        RefCell::new(Compressor::with_prepared_dictionary(&PREPARED).ok());
}

/// A body made shorter, with the number of its dictionary; `None` where it stays as it is.
pub(in crate::ledger) fn packed(body: &[u8]) -> Option<(Vec<u8>, i64)> {
    let packed = PACKER.with_borrow_mut(|packer| packer.as_mut()?.compress(body).ok())?;
    (packed.len() < body.len()).then_some((packed, NEWEST))
}

/// The body that was packed.
pub(in crate::ledger) fn unpacked(
    packed: &[u8],
    dictionary: &[u8],
) -> Result<Vec<u8>, LedgerError> {
    let broken = |error: std::io::Error| unexpected(&format!("a body: {error}"));
    let unpacker = zstd::Decoder::with_dictionary(packed, dictionary).map_err(broken)?;
    let mut body = Vec::new();
    let read = unpacker.take(BODY_MOST_BYTES).read_to_end(&mut body);
    read.map_err(broken)?;
    Ok(body)
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;

    #[test]
    fn what_an_earlier_dictionary_packed_is_read() {
        for (_, dictionary) in DICTIONARIES {
            let packed = Compressor::with_dictionary(LEVEL, dictionary)
                .and_then(|mut packer| packer.compress(b"{\"object\": \"event\"}"));
            let body = unpacked(&packed.unwrap(), dictionary).unwrap();
            assert_eq!(body, b"{\"object\": \"event\"}");
        }
    }

    #[test]
    fn what_is_packed_comes_out_as_it_was() {
        let charge = include_bytes!("../../fixtures/stripe/charge-succeeded-metadata.http");
        let long = vec![b'a'; 3 * 1024 * 1024];
        for body in [&charge[..], b"{\"id\": \"evt_1\"}", &long, b"", b"\xff\x00"] {
            let Some((packed, number)) = packed(body) else {
                assert!(body.len() < 20, "{} bytes", body.len());
                continue;
            };
            let found = DICTIONARIES.iter().find(|(known, _)| *known == number);
            assert_eq!(unpacked(&packed, found.unwrap().1).unwrap(), body);
        }
        let (short, _) = packed(charge).unwrap();
        assert!(short.len() * 3 < charge.len(), "{}", short.len());
        assert!(unpacked(&short, b"another").is_err());
        assert!(unpacked(b"no frame", DICTIONARIES[0].1).is_err());
    }

    /// Bodies of ledgers that are there could not be read any more.
    #[test]
    fn a_dictionary_stays_as_it_is() {
        let digests = DICTIONARIES.map(|(_, bytes)| hex::encode(Sha256::digest(bytes)));
        assert_eq!(
            digests,
            [
                "cc40335967a902194de34f48592e8b0322351bb140bd3bce01a9a8eb5e2eabcb",
                "8c209c516bbf482682b1c25567ea26713a52a7f8df142ddab654ce9a2478ef46"
            ]
        );
    }
}
