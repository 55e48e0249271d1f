//! The forwarder's verbs: begin a call, settle it, read back what is unknown.
//!
//! [`Tx::begin`] plans on the facts as they are in its own transaction and
//! leaves the intent on disk; [`Tx::settle`] folds again in its own, so a refund
//! that was recorded during a call is never overlooked.

use rusqlite::params;

use super::stand::{CALL, Folded, READ_BACK};
use super::tx::{Tx, by_word, word_of};
use super::{LedgerError, Store};
use crate::destination::{self, NewTransaction, Outcome};
use crate::ledger::book::{self, State};
use crate::ledger::{Begun, Binding, Bound, Claim, Note, Outgoing, Settled, Turn};
use crate::money::Minor;
use crate::plan::{Call, Customer, CustomerBy, RowState, Step};
use crate::time::{DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, Time};

/// Payments looked at in one turn that turned out to need no call; beyond it the
/// turn ends, so that a command of the writer stays short.
const LOOKS_MOST: u8 = 64;

/// After a call's deadline its holder still has this long to report before the
/// transaction is read back.
const REPORT_MS: i64 = 30 * SECOND_MS;

/// The first read-back after an outcome that is unknown; what was committed is
/// usually listed by then.
pub(super) const FIRST_READ_BACK_MS: i64 = 2 * SECOND_MS;

/// How long an unknown customer is left alone: after a first, a second and a
/// third 404, then daily. New customers take minutes to become visible.
const PROBES_MS: [i64; 4] = [5 * MINUTE_MS, 15 * MINUTE_MS, HOUR_MS, DAY_MS];

/// How long a binding that could not be written waits.
const BIND_AGAIN_MS: i64 = 10 * MINUTE_MS;

/// Scheduling slack that patience does not count.
const SLACK_MS: i64 = MINUTE_MS;

impl Store {
    /// As [`crate::ledger::Ledger::begin`].
    pub(in crate::ledger) async fn begin(
        &self,
        destination: &str,
        backfill_first: bool,
    ) -> Result<Turn, LedgerError> {
        let destination = destination.to_owned();
        self.write(move |tx| {
            Ok(Turn {
                begun: tx.begin(&destination, backfill_first)?,
                read_backs: tx.read_backs_due(&destination)?,
            })
        })
        .await
    }

    /// As [`crate::ledger::Ledger::settle`].
    pub(in crate::ledger) async fn settle(
        &self,
        claim: Claim,
        outcome: Outcome,
        dice: u64,
    ) -> Result<Settled, LedgerError> {
        self.write(move |tx| tx.settle(claim, &outcome, dice)).await
    }

    /// As [`crate::ledger::Ledger::binding`].
    pub(in crate::ledger) async fn binding(
        &self,
        destination: &str,
    ) -> Result<Option<Binding>, LedgerError> {
        let destination = destination.to_owned();
        self.read(move |tx| {
            tx.one(
                "SELECT customer, bind FROM customers
                 WHERE destination = ?1 AND bind_state = 'due' AND bind_at <= ?2
                 ORDER BY bind_at LIMIT 1",
                params![destination, tx.now.ms()],
                |row| {
                    Ok(Binding {
                        customer_key: row.get(0)?,
                        provider_key: row.get(1)?,
                    })
                },
            )
        })
        .await
    }

    /// As [`crate::ledger::Ledger::bound`].
    pub(in crate::ledger) async fn bound(
        &self,
        destination: &str,
        binding: Binding,
        bound: Bound,
    ) -> Result<(), LedgerError> {
        let destination = destination.to_owned();
        self.write(move |tx| {
            let (word, at) = match bound {
                Bound::Done => ("done", None),
                Bound::Kept => ("kept", None),
                Bound::Refused => ("refused", None),
                Bound::Later => ("due", Some(tx.now.plus(BIND_AGAIN_MS).ms())),
            };
            tx.run(
                "UPDATE customers SET bind_state = ?4, bind_at = ?5
                 WHERE destination = ?1 AND customer = ?2 AND customer_by = 'key' AND bind = ?3",
                params![
                    destination,
                    binding.customer_key,
                    binding.provider_key,
                    word,
                    at
                ],
            )?;
            Ok(())
        })
        .await
    }

    /// As [`crate::ledger::Ledger::note`].
    pub(in crate::ledger) async fn note(&self, note: Note) -> Result<Time, LedgerError> {
        self.write(move |tx| {
            tx.run(
                "INSERT INTO destinations (name, status) VALUES (?1, ?2)
                 ON CONFLICT (name) DO UPDATE SET status = excluded.status",
                params![note.destination, note.status],
            )?;
            tx.paused_until(&note.destination)
        })
        .await
    }
}

impl Tx<'_> {
    /// Until when a destination asked to be left alone.
    fn paused_until(&self, destination: &str) -> Result<Time, LedgerError> {
        let found = self.one(
            "SELECT paused_until FROM destinations WHERE name = ?1",
            [destination],
            |row| row.get(0),
        )?;
        Ok(Time(found.unwrap_or(0)))
    }

    fn begin(&self, destination: &str, backfill_first: bool) -> Result<Option<Begun>, LedgerError> {
        if self.paused_until(destination)? > self.now {
            return Ok(None);
        }
        if let Some(begun) = self.begin_probe(destination)? {
            return Ok(Some(begun));
        }
        for _ in 0..LOOKS_MOST {
            let Some(payment) = self.next_due(destination, backfill_first)? else {
                return Ok(None);
            };
            let folded = self.fold(payment)?;
            if let Some(begun) = self.begin_call(&folded)? {
                return Ok(Some(begun));
            }
        }
        Ok(None)
    }

    fn read_backs_due(&self, destination: &str) -> Result<bool, LedgerError> {
        let found: Option<i64> = self.one(
            "SELECT payment FROM payments
             WHERE destination = ?1 AND turn = ?2 AND turn > 0 AND lane IN (0, 1) AND due_at <= ?3
             LIMIT 1",
            params![destination, READ_BACK, self.now.ms()],
            |row| row.get(0),
        )?;
        Ok(found.is_some())
    }

    fn next_due(
        &self,
        destination: &str,
        backfill_first: bool,
    ) -> Result<Option<i64>, LedgerError> {
        let lanes = if backfill_first { [1, 0] } else { [0, 1] };
        for lane in lanes {
            let found = self.one(
                "SELECT payment FROM payments
                 WHERE destination = ?1 AND turn = ?2 AND turn > 0 AND lane = ?3 AND due_at <= ?4
                 ORDER BY due_at LIMIT 1",
                params![destination, CALL, lane, self.now.ms()],
                |row| row.get(0),
            )?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// One payment of a customer whom the destination did not know, once it is
    /// time to ask again: its post is the probe for all of them.
    fn begin_probe(&self, destination: &str) -> Result<Option<Begun>, LedgerError> {
        let due = self.one(
            "SELECT customer, customer_by FROM customers
             WHERE destination = ?1 AND next_probe_at <= ?2 ORDER BY next_probe_at LIMIT 1",
            params![destination, self.now.ms()],
            |row| super::tx::read_customer(row, 0),
        )?;
        let Some(customer) = due.flatten() else {
            return Ok(None);
        };
        // Unknown no more until the probe says so again; the count stays.
        self.run(
            "UPDATE customers SET unknown_since = NULL, next_probe_at = NULL
             WHERE destination = ?1 AND customer = ?2 AND customer_by = ?3",
            params![destination, customer.value, by_word(customer.by)],
        )?;
        let waiting = self.all(
            "SELECT payment FROM payments
             WHERE destination = ?1 AND customer = ?2 AND customer_by = ?3 AND state = 'unattributed'
             ORDER BY payment LIMIT ?4",
            params![destination, customer.value, by_word(customer.by), LOOKS_MOST],
            |row| row.get(0),
        )?;
        for payment in waiting {
            let folded = self.fold(payment)?;
            if let Some(begun) = self.begin_call(&folded)? {
                // The others wait for the probe, not for one call each.
                self.block(
                    destination,
                    &customer,
                    self.now.plus(begun.deadline.since(self.now) + REPORT_MS),
                )?;
                return Ok(Some(begun));
            }
        }
        Ok(None)
    }

    /// Writes that a customer is unknown until somebody asks again at `again`.
    fn block(
        &self,
        destination: &str,
        customer: &Customer,
        again: Time,
    ) -> Result<(), LedgerError> {
        self.run(
            "INSERT INTO customers (destination, customer, customer_by, unknown_since, next_probe_at)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (destination, customer, customer_by) DO UPDATE
             SET unknown_since = coalesce(unknown_since, excluded.unknown_since),
                 next_probe_at = excluded.next_probe_at",
            params![destination, customer.value, by_word(customer.by), self.now.ms(), again.ms()],
        )?;
        Ok(())
    }

    /// Puts the intent on disk; `None` where the payment needs no call now.
    fn begin_call(&self, folded: &Folded) -> Result<Option<Begun>, LedgerError> {
        let (row, standing) = (&folded.row, &folded.standing);
        let source = self.terms(&row.source)?;
        let deadline = self.now.plus(source.timeout_ms);
        let (call, seq, kind, amount) = match &standing.step {
            Step::Post { seq, .. } => {
                let Some(transaction) = book::transaction(&folded.book, source, standing) else {
                    return Ok(None);
                };
                let amount = transaction.amount;
                self.write_intent(folded, *seq, &transaction)?;
                (Outgoing::Post(transaction), *seq, Call::Post, amount)
            }
            Step::Delete { seq } => {
                self.run(
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
        self.run(
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

    fn write_intent(
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

    fn settle(&self, claim: Claim, outcome: &Outcome, dice: u64) -> Result<Settled, LedgerError> {
        self.end_attempt(claim.attempt, outcome)?;
        let before = self.payment(claim.payment)?;
        if before.claim != Some(claim.attempt) {
            // A read-back has taken over: it sees what this call did.
            return self.settled(claim.payment, false);
        }
        let (seq, call): (u32, String) = self
            .one(
                "SELECT seq, call FROM attempts WHERE attempt = ?1",
                [claim.attempt],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )?
            .ok_or_else(|| LedgerError::Unusable("an attempt without a row".to_owned()))?;
        let posted = call == "post";
        self.apply_outcome(&before, seq, posted, outcome)?;
        self.answered(&before.destination, outcome)?;
        let again_at = self.again_at(&before, outcome, dice)?;
        self.run(
            "UPDATE payments SET claim = NULL, turn = ?2, due_at = ?3, last_try_at = ?4,
                 tries = CASE WHEN ?5 THEN 0 ELSE tries + 1 END,
                 patience_used = CASE WHEN ?5 THEN 0 ELSE patience_used END
             WHERE payment = ?1",
            params![
                claim.payment,
                if outcome.leaves_doubt() {
                    READ_BACK
                } else {
                    CALL
                },
                again_at.ms(),
                self.now.ms(),
                matches!(outcome, Outcome::Accepted | Outcome::Gone),
            ],
        )?;
        self.fold(claim.payment)?;
        self.settled(claim.payment, true)
    }

    pub(super) fn settled(&self, payment: i64, ours: bool) -> Result<Settled, LedgerError> {
        let found = self.one(
            "SELECT state, reason, due_at FROM payments WHERE payment = ?1",
            [payment],
            |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get(1)?,
                    row.get::<_, Option<i64>>(2)?,
                ))
            },
        )?;
        let (state, reason, due_at) =
            found.ok_or_else(|| LedgerError::NotFound("no such payment".to_owned()))?;
        Ok(Settled {
            ours,
            state: State::from_word(&state).unwrap_or(State::Held),
            reason,
            due_at: due_at.map(Time),
        })
    }

    fn end_attempt(&self, attempt: i64, outcome: &Outcome) -> Result<(), LedgerError> {
        self.run(
            "UPDATE attempts SET ended_at = ?2, outcome = ?3, detail = ?4
             WHERE attempt = ?1 AND ended_at IS NULL",
            params![attempt, self.now.ms(), outcome.name(), detail_of(outcome)],
        )?;
        Ok(())
    }

    /// What an outcome says about the transaction it was about.
    fn apply_outcome(
        &self,
        before: &super::tx::PaymentRow,
        seq: u32,
        posted: bool,
        outcome: &Outcome,
    ) -> Result<(), LedgerError> {
        let payment = before.payment;
        // Where the call surely changed nothing the row is what it was before.
        let unchanged = if posted {
            RowState::Absent
        } else {
            RowState::Live
        };
        match outcome {
            Outcome::Accepted if posted => {
                self.set_row(payment, seq, RowState::Live, None)?;
                self.customer_is_known(payment, seq, before)
            }
            Outcome::Accepted => self.set_row(payment, seq, RowState::Gone, None),
            Outcome::Gone => self.gone(payment, seq),
            Outcome::Mismatch { detail } => {
                self.set_row(payment, seq, RowState::Suspect, Some(detail))
            }
            Outcome::Unknown { .. } | Outcome::Misdirected { .. } => {
                self.delete_may_have_landed(payment, seq, posted)
            }
            Outcome::Refused { status, message } => {
                self.set_row(payment, seq, unchanged, None)?;
                match posted {
                    true => self.refuse(
                        payment,
                        &format!("the destination refused it ({status}): {message}"),
                    ),
                    false => self.undeletable(payment, seq),
                }
            }
            Outcome::CustomerUnknown => {
                self.set_row(payment, seq, unchanged, None)?;
                self.customer_is_unknown(payment, seq, before)
            }
            Outcome::WrongCredentials { .. } | Outcome::Later { .. } | Outcome::NotSent { .. } => {
                self.set_row(payment, seq, unchanged, None)
            }
        }
    }

    fn delete_may_have_landed(
        &self,
        payment: i64,
        seq: u32,
        posted: bool,
    ) -> Result<(), LedgerError> {
        if !posted {
            self.run(
                "UPDATE transactions SET delete_was_unknown = 1 WHERE payment = ?1 AND seq = ?2",
                params![payment, seq],
            )?;
        }
        Ok(())
    }

    /// 404 on a delete: ours may have landed before; otherwise somebody else did it.
    fn gone(&self, payment: i64, seq: u32) -> Result<(), LedgerError> {
        let ours: Option<bool> = self.one(
            "SELECT delete_was_unknown FROM transactions WHERE payment = ?1 AND seq = ?2",
            params![payment, seq],
            |row| row.get(0),
        )?;
        match ours {
            Some(true) => self.set_row(payment, seq, RowState::Gone, None),
            _ => self.set_row(
                payment,
                seq,
                RowState::Missing,
                Some("it was not there to delete"),
            ),
        }
    }

    fn undeletable(&self, payment: i64, seq: u32) -> Result<(), LedgerError> {
        self.run(
            "UPDATE transactions SET undeletable = 1 WHERE payment = ?1 AND seq = ?2",
            params![payment, seq],
        )?;
        Ok(())
    }

    /// The step that was refused fails until it is another one.
    fn refuse(&self, payment: i64, why: &str) -> Result<(), LedgerError> {
        let folded = self.look(payment)?;
        self.run(
            "UPDATE payments SET failed_step = ?2, failed_why = ?3 WHERE payment = ?1",
            params![payment, book::word(&folded.standing.step), why],
        )?;
        Ok(())
    }

    fn row_customer(&self, payment: i64, seq: u32) -> Result<Option<Customer>, LedgerError> {
        let found = self.one(
            "SELECT customer, customer_by FROM transactions WHERE payment = ?1 AND seq = ?2",
            params![payment, seq],
            |row| super::tx::read_customer(row, 0),
        )?;
        Ok(found.flatten())
    }

    fn customer_is_unknown(
        &self,
        payment: i64,
        seq: u32,
        before: &super::tx::PaymentRow,
    ) -> Result<(), LedgerError> {
        let Some(customer) = self.row_customer(payment, seq)? else {
            return Ok(());
        };
        let probes: Option<i64> = self.one(
            "SELECT probes FROM customers WHERE destination = ?1 AND customer = ?2 AND customer_by = ?3",
            params![before.destination, customer.value, by_word(customer.by)],
            |row| row.get(0),
        )?;
        let done = usize::try_from(probes.unwrap_or(0)).unwrap_or(0);
        let wait = PROBES_MS[done.min(PROBES_MS.len() - 1)];
        self.block(&before.destination, &customer, self.now.plus(wait))?;
        self.run(
            "UPDATE customers SET probes = probes + 1
             WHERE destination = ?1 AND customer = ?2 AND customer_by = ?3",
            params![before.destination, customer.value, by_word(customer.by)],
        )?;
        Ok(())
    }

    /// A post was taken: whoever waited for this customer goes on, and the
    /// provider's id of the customer may be written to the destination.
    pub(super) fn customer_is_known(
        &self,
        payment: i64,
        seq: u32,
        before: &super::tx::PaymentRow,
    ) -> Result<(), LedgerError> {
        let Some(customer) = self.row_customer(payment, seq)? else {
            return Ok(());
        };
        self.unblock(&before.destination, &customer)?;
        let source = self.terms(&before.source)?;
        if !source.bind_provider_key || customer.by != CustomerBy::Key {
            return Ok(());
        }
        let provider_key: Option<String> = self.one(
            "SELECT value FROM clues WHERE payment = ?1 AND field = 'customer'",
            [payment],
            |row| row.get(0),
        )?;
        if let Some(provider_key) = provider_key {
            // The first id wins: two of them must not flip it for ever.
            self.run(
                "INSERT INTO customers (destination, customer, customer_by, bind, bind_state, bind_at)
                 VALUES (?1, ?2, 'key', ?3, 'due', ?4)
                 ON CONFLICT (destination, customer, customer_by) DO UPDATE
                 SET bind = excluded.bind, bind_state = 'due', bind_at = excluded.bind_at
                 WHERE customers.bind IS NULL",
                params![before.destination, customer.value, provider_key, self.now.ms()],
            )?;
        }
        Ok(())
    }

    /// Everybody who waited for a customer is due.
    pub(super) fn unblock(
        &self,
        destination: &str,
        customer: &Customer,
    ) -> Result<(), LedgerError> {
        let was = self.run(
            "UPDATE customers SET unknown_since = NULL, next_probe_at = NULL, probes = 0
             WHERE destination = ?1 AND customer = ?2 AND customer_by = ?3
                   AND (unknown_since IS NOT NULL OR probes > 0)",
            params![destination, customer.value, by_word(customer.by)],
        )?;
        if was > 0 {
            // Each is folded again before it is called, so a plain update will do.
            self.run(
                "UPDATE payments SET state = 'due', turn = ?4, due_at = ?5, reason = NULL
                 WHERE destination = ?1 AND customer = ?2 AND customer_by = ?3
                       AND state = 'unattributed'",
                params![
                    destination,
                    customer.value,
                    by_word(customer.by),
                    CALL,
                    self.now.ms()
                ],
            )?;
        }
        Ok(())
    }

    /// What an outcome says about the destination as a whole.
    pub(super) fn answered(&self, destination: &str, outcome: &Outcome) -> Result<(), LedgerError> {
        let (answered, pause) = match outcome {
            Outcome::Later { retry_after, .. } => (false, retry_after.map_or(0, Time::ms)),
            Outcome::Unknown { .. }
            | Outcome::NotSent { .. }
            | Outcome::WrongCredentials { .. }
            | Outcome::Misdirected { .. } => (false, 0),
            _ => (true, 0),
        };
        if answered || pause > 0 {
            self.run(
                "INSERT INTO destinations (name, answered_at, paused_until) VALUES (?1, ?2, ?3)
                 ON CONFLICT (name) DO UPDATE
                 SET answered_at = max(answered_at, excluded.answered_at),
                     paused_until = max(paused_until, excluded.paused_until)",
                params![destination, if answered { self.now.ms() } else { 0 }, pause],
            )?;
        }
        Ok(())
    }

    /// When the payment's next turn comes, and whether its patience is over.
    fn again_at(
        &self,
        before: &super::tx::PaymentRow,
        outcome: &Outcome,
        dice: u64,
    ) -> Result<Time, LedgerError> {
        let floor = match outcome {
            _ if outcome.leaves_doubt() => return Ok(self.now.plus(FIRST_READ_BACK_MS)),
            Outcome::Later { retry_after, .. } => retry_after.map(|at| at.since(self.now)),
            Outcome::NotSent { .. } => None,
            _ => return Ok(self.now),
        };
        self.use_patience(before, outcome)?;
        Ok(self.now.plus(destination::delay_ms(
            before.tries.saturating_add(1),
            floor,
            dice,
        )))
    }

    /// Patience counts only time in which the destination answered others and
    /// this payment had its turn; a backlog must not fail by age.
    fn use_patience(
        &self,
        before: &super::tx::PaymentRow,
        outcome: &Outcome,
    ) -> Result<(), LedgerError> {
        let Some(last) = before.last_try_at else {
            return Ok(());
        };
        let answered: Option<i64> = self.one(
            "SELECT answered_at FROM destinations WHERE name = ?1",
            [&before.destination],
            |row| row.get(0),
        )?;
        if answered.unwrap_or(0) < last.ms() {
            return Ok(());
        }
        let planned = destination::delay_ms(before.tries, None, u64::MAX);
        let used = self
            .now
            .since(last)
            .clamp(0, planned.saturating_add(SLACK_MS));
        let patience = before.patience_used.saturating_add(used);
        self.run(
            "UPDATE payments SET patience_used = ?2 WHERE payment = ?1",
            params![before.payment, patience],
        )?;
        let limit = self.terms(&before.source)?.retry_for_ms;
        match patience > limit {
            true => self.refuse(
                before.payment,
                &format!(
                    "the destination did not take it in {} hours of trying; the last answer: {}",
                    limit / HOUR_MS,
                    detail_of(outcome).unwrap_or_else(|| outcome.name().to_owned())
                ),
            ),
            false => Ok(()),
        }
    }
}

/// The part of an outcome that a person may want to read.
fn detail_of(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Mismatch { detail } => Some(detail.clone()),
        Outcome::Refused { status, message } => Some(format!("{status}: {message}")),
        Outcome::Unknown { why } | Outcome::NotSent { why } => Some((*why).to_owned()),
        Outcome::Later {
            retry_after: Some(at),
            status,
        } => Some(format!("{status}: not before {at}")),
        Outcome::Later { status, .. }
        | Outcome::WrongCredentials { status }
        | Outcome::Misdirected { status } => Some(status.to_string()),
        Outcome::Accepted | Outcome::CustomerUnknown | Outcome::Gone => None,
    }
}
