//! A delivery on its way into its table: what it is known by, how its body is kept, and
//! what it is answered with.
//!
//! Digests and packing are done before the ledger's turn, in the thread that took the
//! request.

use sha2::{Digest, Sha256};

use super::LedgerError;
use super::insert::kinds::{Blob, Int, Text};
use super::insert::{Insert, Values, values};
use crate::ledger::packing::packed;
use crate::ledger::sql::params;
use crate::ledger::texts::keepable;
use crate::ledger::{Delivery, Recorded, Taken};
use crate::movement::Reading;

/// Hex digits that tell two deliveries of one id apart when people name them.
const DIFFERS_DIGITS: usize = 8;
/// And those of the id of a delivery that names none.
const BODY_DIGITS: usize = 32;

/// A delivery with what it is known by.
pub(super) struct Arrival {
    pub delivery: Delivery,
    /// Its id, or one made of its bytes where it names none.
    pub id: String,
    body_digest: [u8; 32],
    /// The digest of what it states.
    pub statement: [u8; 32],
    /// The body as it is kept, and with which dictionary, where that is shorter.
    packed: Option<(Vec<u8>, i64)>,
}

impl Arrival {
    pub(super) fn of(mut delivery: Delivery) -> Arrival {
        delivery.reading = keepable(delivery.reading);
        let body_digest = Sha256::digest(&delivery.body);
        let (id, statement) = match &delivery.reading {
            Ok(reading) => (
                reading.delivery_id.clone(),
                Sha256::digest(reading.statement()),
            ),
            Err(_) => (None, body_digest),
        };
        let of_bytes = || format!("body-{}", &hex::encode(body_digest)[..BODY_DIGITS]);
        Arrival {
            id: id.unwrap_or_else(of_bytes),
            body_digest: body_digest.into(),
            packed: packed(&delivery.body),
            statement: statement.into(),
            delivery,
        }
    }

    /// What it is asked for by: its id, and where the same id came before with other
    /// contents, those as well.
    pub(super) fn name(&self, differs: bool) -> String {
        match differs {
            true => {
                let statement = hex::encode(self.statement);
                format!("{}~{}", self.id, &statement[..DIFFERS_DIGITS])
            }
            false => self.id.clone(),
        }
    }

    /// Its row, for [`DELIVERIES`].
    pub(super) fn values(
        &self,
        row: i64,
        source_row: i64,
        differs: bool,
    ) -> Result<Values, LedgerError> {
        let delivery = &self.delivery;
        let (status, event, reason) = verdict(&delivery.reading);
        let packed = self.packed.as_ref();
        let body = packed.map_or(delivery.body.as_ref(), |(body, _)| body);
        values(params![
            row,
            source_row,
            self.id,
            self.statement.as_slice(),
            body,
            self.body_digest.as_slice(),
            delivery.received_at.ms(),
            event,
            status.word(),
            reason,
            i64::try_from(delivery.secret).unwrap_or(i64::MAX),
            differs,
            kept_json(delivery),
            packed.map(|(_, dictionary)| *dictionary),
        ])
    }

    /// What its recording is answered with.
    pub(super) fn recorded(&self, differs: bool, woke: bool) -> Recorded {
        Recorded {
            status: verdict(&self.delivery.reading).0,
            delivery: self.name(differs),
            woke,
        }
    }
}

/// How deliveries get into their table.
pub(super) const DELIVERIES: Insert = Insert {
    one: "INSERT INTO deliveries (delivery, source, delivery_id, statement, body, body_digest,
              received_at, event, status, reason, secret, differs, kept,
              packed)
          VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    kinds: &[
        Int, Int, Text, Blob, Blob, Blob, Int, Text, Text, Text, Int, Int, Text, Int,
    ],
};

/// What was kept beside the body, where anything was.
fn kept_json(delivery: &Delivery) -> Option<String> {
    match delivery.kept.is_empty() {
        true => None,
        false => serde_json::to_string(&delivery.kept).ok(),
    }
}

/// How a delivery is taken, the event's name, and why nothing comes of it.
fn verdict(reading: &Result<Reading, String>) -> (Taken, &str, Option<&str>) {
    match reading {
        Ok(reading) => match &reading.ignored {
            Some(why) => (Taken::Ignored, &reading.event, Some(why)),
            None => (Taken::Recorded, &reading.event, reading.partly.as_deref()),
        },
        Err(why) => (Taken::Unreadable, "", Some(why)),
    }
}
