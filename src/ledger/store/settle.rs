//! Settling a call: what its outcome proves, and when the next turn comes.
//!
//! Every settle ends in a fold of its own, so a refund that was recorded during
//! the call is never overlooked.

use crate::ledger::sql::params;

use super::payment::{PaymentRow, payment_by_row};
use super::stand::{CALL, READ_BACK};
use super::tx::Tx;
use super::{LedgerError, Store};
use crate::destination::{self, Outcome};
use crate::ledger::book::{self, State};
use crate::ledger::{Claim, Settled};
use crate::plan::RowState;
use crate::time::{HOUR_MS, MINUTE_MS, SECOND_MS, Time};

/// The first read-back after an outcome that is unknown; what was committed is
/// usually listed by then.
pub(super) const FIRST_READ_BACK_MS: i64 = 2 * SECOND_MS;

/// What stands beside a post that was answered like this.
const REPEATED: &str = "the destination says that it has a transaction of this key";

/// Which transaction an attempt is about, and by which call.
const ATTEMPT: &str = "SELECT seq, call FROM attempts WHERE attempt = ?1";

/// Scheduling slack that patience does not count.
const SLACK_MS: i64 = MINUTE_MS;

impl Store {
    /// As [`crate::ledger::Ledger::settle`].
    pub(in crate::ledger) async fn settle(
        &self,
        claim: Claim,
        outcome: Outcome,
        dice: u64,
    ) -> Result<Settled, LedgerError> {
        self.write(move |tx| tx.settle(claim, &outcome, dice)).await
    }
}

impl Tx<'_> {
    fn settle(&self, claim: Claim, outcome: &Outcome, dice: u64) -> Result<Settled, LedgerError> {
        self.end_attempt(claim.attempt, outcome)?;
        self.ahead(&payment_by_row(), [claim.payment])?;
        self.ahead(ATTEMPT, [claim.attempt])?;
        let before = self.payment(claim.payment)?;
        if before.claim != Some(claim.attempt) {
            // A read-back has taken over: it sees what this call did.
            return self.settled(claim.payment, false);
        }
        let (seq, call): (u32, String) = self
            .one(ATTEMPT, [claim.attempt], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?
            .ok_or_else(|| LedgerError::Unusable("an attempt without a row".to_owned()))?;
        let posted = call == "post";
        self.apply_outcome(&before, seq, posted, outcome)?;
        self.answered(&before.destination, outcome)?;
        let again_at = self.again_at(&before, outcome, dice)?;
        self.queue(
            "UPDATE payments SET claim = NULL, turn = ?2, due_at = ?3, last_try_at = ?4,
                 tries = CASE WHEN ?5 = 1 THEN 0 ELSE tries + 1 END,
                 patience_used = CASE WHEN ?5 = 1 THEN 0 ELSE patience_used END
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
        self.queue(
            "UPDATE attempts SET ended_at = ?2, outcome = ?3, detail = ?4
             WHERE attempt = ?1 AND ended_at IS NULL",
            params![attempt, self.now.ms(), outcome.name(), detail_of(outcome)],
        )
    }

    /// What an outcome says about the transaction it was about.
    fn apply_outcome(
        &self,
        before: &PaymentRow,
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
                self.set_row(payment, seq, RowState::Suspect, Some(detail))?;
                self.customer_was_heard(payment, seq, before)
            }
            Outcome::Unknown { .. } | Outcome::Misdirected { .. } | Outcome::Repeated => {
                self.delete_may_have_landed(payment, seq, posted)
            }
            Outcome::Refused { status, message } => {
                self.set_row(payment, seq, unchanged, None)?;
                if !posted {
                    return self.undeletable(payment, seq);
                }
                // Before the refusal is written down: while the customer waits for
                // this very call there is no step that could be remembered.
                self.customer_was_heard(payment, seq, before)?;
                let why = format!("the destination refused it ({status}): {message}");
                self.refuse(payment, &why)
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
            self.queue(
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
        self.queue(
            "UPDATE transactions SET undeletable = 1 WHERE payment = ?1 AND seq = ?2",
            params![payment, seq],
        )
    }

    /// The step that was refused fails until it is another one.
    fn refuse(&self, payment: i64, why: &str) -> Result<(), LedgerError> {
        let folded = self.look(payment)?;
        self.queue(
            "UPDATE payments SET failed_step = ?2, failed_why = ?3 WHERE payment = ?1",
            params![payment, book::word(&folded.standing.step), why],
        )
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
            let at = if answered { self.now } else { Time(0) };
            self.heard(destination, at, Time(pause))?;
        }
        Ok(())
    }

    /// When a destination answered last and until when it asked to be left alone; what
    /// is known already and later stays.
    pub(super) fn heard(
        &self,
        destination: &str,
        answered_at: Time,
        paused_until: Time,
    ) -> Result<(), LedgerError> {
        self.queue(
            "INSERT INTO destinations (name, answered_at, paused_until) VALUES (?1, ?2, ?3)
             ON CONFLICT (name) DO UPDATE
             SET answered_at = CASE WHEN excluded.answered_at > destinations.answered_at
                     THEN excluded.answered_at ELSE destinations.answered_at END,
                 paused_until = CASE WHEN excluded.paused_until > destinations.paused_until
                     THEN excluded.paused_until ELSE destinations.paused_until END",
            params![destination, answered_at.ms(), paused_until.ms()],
        )
    }

    /// When the payment's next turn comes, and whether its patience is over.
    fn again_at(
        &self,
        before: &PaymentRow,
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
    fn use_patience(&self, before: &PaymentRow, outcome: &Outcome) -> Result<(), LedgerError> {
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
        self.queue(
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
        Outcome::Repeated => Some(REPEATED.to_owned()),
        Outcome::Accepted | Outcome::CustomerUnknown | Outcome::Gone => None,
    }
}
