//! Reading the bytes of a delivery as they came. Nothing is read from them here.

use sha2::{Digest as _, Sha256};

use super::story::askable;
use super::tx::Tx;
use super::{LedgerError, Store};
use crate::ledger::packing::unpacked;
use crate::ledger::sql::unexpected;

impl Store {
    /// As [`crate::ledger::Ledger::body`].
    pub(in crate::ledger) async fn body(
        &self,
        source: &str,
        id: &str,
    ) -> Result<Option<Vec<u8>>, LedgerError> {
        let (source, id) = askable(source, id)?;
        self.read(move |tx| {
            let missing = || LedgerError::NotFound(format!("{source} has no delivery {id}"));
            let found = tx.delivery_named(tx.source_row(&source)?, &id)?;
            tx.body(found.ok_or_else(missing)?.row)
        })
        .await
    }
}

impl Tx<'_> {
    /// The bytes of a delivery as they came, where they are still kept.
    fn body(&self, delivery: i64) -> Result<Option<Vec<u8>>, LedgerError> {
        let kept = self.one(
            "SELECT body, packed, bytes, body_digest
             FROM deliveries LEFT JOIN dictionaries ON dictionary = packed
             WHERE delivery = ?1",
            [delivery],
            |row| {
                let kept: Option<Vec<u8>> = row.get(0)?;
                let (packed, dictionary): (Option<i64>, Option<Vec<u8>>) =
                    (row.get(1)?, row.get(2)?);
                let body = match (kept, packed) {
                    (Some(kept), Some(_)) => {
                        Some(unpacked(&kept, &dictionary.unwrap_or_default())?)
                    }
                    (kept, _) => kept,
                };
                Ok((body, row.get::<_, Vec<u8>>(3)?))
            },
        )?;
        let Some((Some(body), digest)) = kept else {
            return Ok(None);
        };
        match digest == Sha256::digest(&body).as_slice() {
            true => Ok(Some(body)),
            false => Err(unexpected("a body that is not what came")),
        }
    }
}
