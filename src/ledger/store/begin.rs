//! Beginning a call: the intent is on disk before anything is sent.
//!
//! [`Tx::begin`] plans on the facts as they are in its own transaction. The row
//! it leaves behind is unknown, and an unknown row allows nothing but a
//! read-back: that is the claim, and what keeps a payment safe.

use crate::ledger::sql::params;

use super::customers::CUSTOMER_DUE;
use super::record::{BACKFILL, LIVE};
use super::stand::{CALL, Folded, READ_BACK};
use super::tx::{Tx, by_word, word_of};
use super::{LedgerError, Store};
use crate::destination::NewTransaction;
use crate::ledger::book;
use crate::ledger::{Ask, BACKFILL_EVERY, Begun, Claim, Note, Outgoing, Turn};
use crate::money::Minor;
use crate::plan::{Call, Step};
use crate::time::{SECOND_MS, Time};

/// Payments looked at for one ask that turned out to need no call; beyond it nothing more
/// is begun, so that a command of the writer stays short.
pub(super) const LOOKS_MOST: u8 = 64;

/// After a call's deadline its holder still has this long to report before the
/// transaction is read back.
pub(super) const REPORT_MS: i64 = 30 * SECOND_MS;

/// The next payment of a lane that is due: one seek at any backlog.
pub(super) const NEXT_DUE: &str = "SELECT payment FROM payments
    WHERE destination = ?1 AND turn = ?2 AND turn > 0 AND lane = ?3 AND due_at <= ?4
    ORDER BY due_at LIMIT 1";

/// Whether a read-back is due in either lane.
pub(super) const READ_BACK_DUE: &str = "SELECT payment FROM payments
    WHERE destination = ?1 AND turn = ?2 AND turn > 0 AND lane IN (0, 1) AND due_at <= ?3
    LIMIT 1";

/// Whether it is time to ask for an unknown customer again.
pub(super) const PROBE_DUE: &str = "SELECT 1 FROM customers
    WHERE destination = ?1 AND next_probe_at <= ?2 LIMIT 1";

/// Until when a destination asked to be left alone.
pub(super) const PAUSED_UNTIL: &str = "SELECT paused_until FROM destinations WHERE name = ?1";

impl Store {
    /// As [`crate::ledger::Ledger::begin`].
    pub(in crate::ledger) async fn begin(
        &self,
        destination: &str,
        ask: Ask,
    ) -> Result<Turn, LedgerError> {
        let destination = destination.to_owned();
        // An idle forwarder only looks; in trouble its looks are also what finds
        // out that writing works again.
        let look = destination.clone();
        let looks = !ask.sure && self.health().is_ok();
        if looks && !self.read(move |tx| tx.anything_due(&look)).await? {
            return Ok(Turn::default());
        }
        self.write(move |tx| {
            tx.turn_ahead(&destination, lanes(ask.turns.start))?;
            tx.ahead(CUSTOMER_DUE, params![destination, tx.now.ms()])?;
            tx.ahead(PAUSED_UNTIL, [&destination])?;
            let paused_until = tx.paused_until(&destination)?;
            if paused_until.is_some() || tx.is_copy(&destination)? {
                return Ok(Turn {
                    paused_until,
                    ..Turn::default()
                });
            }
            let (mut begun, mut looks) = (Vec::new(), LOOKS_MOST);
            for turn in ask.turns {
                match tx.begin(&destination, turn, &mut looks)? {
                    Some(one) => begun.push(one),
                    None => break,
                }
            }
            Ok(Turn {
                begun,
                read_backs: tx.read_backs_due(&destination)?,
                paused_until,
            })
        })
        .await
    }

    /// As [`crate::ledger::Ledger::has_work`].
    pub(in crate::ledger) async fn has_work(&self, destination: &str) -> Result<bool, LedgerError> {
        let destination = destination.to_owned();
        self.read(move |tx| tx.anything_due(&destination)).await
    }

    /// As [`crate::ledger::Ledger::note`].
    pub(in crate::ledger) async fn note(&self, note: Note) -> Result<(), LedgerError> {
        self.write(move |tx| {
            tx.queue(
                "INSERT INTO destinations (name, status) VALUES (?1, ?2)
                 ON CONFLICT (name) DO UPDATE SET status = excluded.status",
                params![note.destination, note.status],
            )
        })
        .await
    }

    /// As [`crate::ledger::Ledger::pause`].
    pub(in crate::ledger) async fn pause(
        &self,
        destination: &str,
        until: Time,
    ) -> Result<(), LedgerError> {
        let destination = destination.to_owned();
        self.write(move |tx| tx.heard(&destination, Time(0), until))
            .await
    }

    /// As [`crate::ledger::Ledger::paused_until`].
    pub(in crate::ledger) async fn paused_until(
        &self,
        destination: &str,
    ) -> Result<Option<Time>, LedgerError> {
        let destination = destination.to_owned();
        self.read(move |tx| tx.paused_until(&destination)).await
    }
}

impl Tx<'_> {
    /// Until when a destination asked to be left alone, where that is not over.
    fn paused_until(&self, destination: &str) -> Result<Option<Time>, LedgerError> {
        let found = self.one(PAUSED_UNTIL, [destination], |row| row.get(0))?;
        Ok(found.map(Time).filter(|until| *until > self.now))
    }

    /// Says that the next turn will be asked for.
    fn turn_ahead(&self, destination: &str, lanes: [i64; 2]) -> Result<(), LedgerError> {
        self.is_copy_ahead()?;
        for lane in lanes {
            self.ahead(NEXT_DUE, params![destination, CALL, lane, self.now.ms()])?;
        }
        Ok(())
    }

    fn begin(
        &self,
        destination: &str,
        turn: u64,
        looks: &mut u8,
    ) -> Result<Option<Begun>, LedgerError> {
        if let Some(begun) = self.begin_probe(destination)? {
            return Ok(Some(begun));
        }
        while let Some(left) = looks.checked_sub(1)
            && let Some(payment) = self.next_due(destination, turn)?
        {
            let folded = self.fold(payment)?;
            if let Some(begun) = self.begin_call(&folded)? {
                return Ok(Some(begun));
            }
            *looks = left;
        }
        Ok(None)
    }

    /// Whether a turn could do anything at all: five index seeks at most.
    fn anything_due(&self, destination: &str) -> Result<bool, LedgerError> {
        self.turn_ahead(destination, lanes(LIVE_FIRST))?;
        self.ahead(PROBE_DUE, params![destination, self.now.ms()])?;
        self.ahead(
            READ_BACK_DUE,
            params![destination, READ_BACK, self.now.ms()],
        )?;
        if self.is_copy(destination)? {
            return Ok(false);
        }
        let probe: Option<i64> =
            self.one(PROBE_DUE, params![destination, self.now.ms()], |row| {
                row.get(0)
            })?;
        Ok(probe.is_some()
            || self.next_due(destination, LIVE_FIRST)?.is_some()
            || self.read_backs_due(destination)?)
    }

    fn read_backs_due(&self, destination: &str) -> Result<bool, LedgerError> {
        let found: Option<i64> = self.one(
            READ_BACK_DUE,
            params![destination, READ_BACK, self.now.ms()],
            |row| row.get(0),
        )?;
        Ok(found.is_some())
    }

    fn next_due(&self, destination: &str, turn: u64) -> Result<Option<i64>, LedgerError> {
        for lane in lanes(turn) {
            let found = self.one(
                NEXT_DUE,
                params![destination, CALL, lane, self.now.ms()],
                |row| row.get(0),
            )?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Puts the intent on disk; `None` where the payment needs no call now.
    pub(super) fn begin_call(&self, folded: &Folded) -> Result<Option<Begun>, LedgerError> {
        let (row, standing) = (&folded.row, &folded.standing);
        let source = self.terms(&row.source)?;
        let deadline = self.now.plus(source.timeout_ms);
        let (call, seq, kind, amount) = match &standing.step {
            Step::Post { seq, .. } if self.presume(folded, *seq)? => return Ok(None),
            Step::Post { seq, .. } => {
                let Some(transaction) = book::transaction(&folded.book, source, standing) else {
                    return Ok(None);
                };
                let amount = transaction.amount;
                self.write_intent(folded, *seq, &transaction)?;
                (Outgoing::Post(transaction), *seq, Call::Post, amount)
            }
            Step::Delete { seq } => {
                self.queue(
                    "UPDATE transactions SET state = 'delete_unknown' WHERE payment = ?1 AND seq = ?2",
                    params![row.payment, seq],
                )?;
                let (key, amount) = self.key_of(row.payment, *seq)?;
                (Outgoing::Delete { key }, *seq, Call::Delete, amount)
            }
            Step::Confirm { .. } | Step::Hold(_) | Step::Nothing => return Ok(None),
        };
        let attempt = self.insert(
            "INSERT INTO attempts (payment, seq, call, amount, begun_at, deadline)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            "attempt",
            params![
                row.payment,
                seq,
                word_of(&kind)?,
                amount,
                self.now.ms(),
                deadline.ms()
            ],
        )?;
        // Unknown from here on: fold gives the read-back the turn, should
        // nobody come back to settle.
        self.queue(
            "UPDATE payments SET turn = ?2, due_at = ?3, claim = ?4 WHERE payment = ?1",
            params![
                row.payment,
                READ_BACK,
                deadline.plus(REPORT_MS).ms(),
                attempt
            ],
        )?;
        self.fold(row.payment)?;
        Ok(Some(Begun {
            claim: Claim {
                payment: row.payment,
                attempt,
            },
            source: row.source.clone(),
            payment_id: row.payment_id.clone(),
            deadline,
            call,
        }))
    }

    fn key_of(&self, payment: i64, seq: u32) -> Result<(String, Minor), LedgerError> {
        let found = self.one(
            "SELECT key, amount FROM transactions WHERE payment = ?1 AND seq = ?2",
            params![payment, seq],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        found.ok_or_else(|| LedgerError::Unusable("a planned transaction has no row".to_owned()))
    }

    pub(super) fn write_intent(
        &self,
        folded: &Folded,
        seq: u32,
        transaction: &NewTransaction,
    ) -> Result<(), LedgerError> {
        let row = &folded.row;
        let reversal_of = transaction
            .metadata
            .iter()
            .find(|(name, _)| name == "reversal_of");
        let written = self.run(
            "INSERT INTO transactions (payment, seq, destination, key, customer, customer_by,
                 currency, amount, created_at, reversal_of, state)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 'post_unknown')
             ON CONFLICT (payment, seq) DO UPDATE
             SET destination = excluded.destination, key = excluded.key,
                 customer = excluded.customer, customer_by = excluded.customer_by,
                 currency = excluded.currency, amount = excluded.amount,
                 created_at = excluded.created_at, reversal_of = excluded.reversal_of,
                 state = excluded.state, note = NULL
             WHERE transactions.state = 'absent'",
            params![
                row.payment,
                seq,
                row.destination,
                transaction.key,
                transaction.customer.value,
                by_word(transaction.customer.by),
                transaction.currency.code(),
                transaction.amount,
                transaction.created_at.ms(),
                reversal_of.map(|(_, key)| key),
            ],
        )?;
        match written {
            1 => Ok(()),
            _ => Err(LedgerError::Unusable(
                "a transaction would be posted that is not known to be absent".to_owned(),
            )),
        }
    }
}

/// A turn that is no turn of the backfill.
const LIVE_FIRST: u64 = 1;

/// The order in which the lanes are looked at.
fn lanes(turn: u64) -> [i64; 2] {
    match turn.is_multiple_of(BACKFILL_EVERY) {
        true => [BACKFILL, LIVE],
        false => [LIVE, BACKFILL],
    }
}

#[cfg(test)]
#[path = "begin_tests.rs"]
mod tests;
