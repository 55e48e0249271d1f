//! What a lost ledger may have posted last: calls that no list showed when the
//! destination's rows were adopted, because they were on their way or listed late.
//!
//! Such a post is written down as an unknown one of our own, so that it is read
//! back like any other before anything else is done for its payment; so is the delete
//! of a row that was posted too short before for a list to be believed. Where the
//! list was read long enough after the loss, nothing is presumed.

use crate::ledger::sql::params;

use super::LedgerError;
use super::stand::Folded;
use super::tx::Tx;
use crate::destination::NewTransaction;
use crate::ledger::book::{self, Standing, State};
use crate::plan::{self, Row, RowState, Step};
use crate::time::Time;

impl Tx<'_> {
    /// True where the lost ledger may have posted this very row: it is read back
    /// first then, as after a call of our own.
    pub(super) fn presume(&self, folded: &Folded, seq: u32) -> Result<bool, LedgerError> {
        let source = self.terms(&folded.row.source)?;
        let Some(lost_at) = self.lost_after_capture(folded, seq)? else {
            return Ok(false);
        };
        let Some(transaction) = book::transaction(&folded.book, source, &folded.standing) else {
            return Ok(false);
        };
        self.write_presumed(folded, seq, &transaction, lost_at)?;
        self.fold(folded.row.payment)?;
        Ok(true)
    }

    /// The same for a payment of which nothing is to be posted any more, because
    /// all of it went back: the lost ledger may have posted it before.
    pub(super) fn presume_settled(&self, folded: &Folded) -> Result<bool, LedgerError> {
        let (standing, rows) = (&folded.standing, &folded.book.rows);
        let source = self.terms(&folded.row.source)?;
        let policy = book::effective_policy(standing, source, &folded.book);
        let none = plan::target(&standing.position, policy) == Some(0);
        if standing.state != State::Settled || !none || rows.iter().any(Row::freezes) {
            return Ok(false);
        }
        let (Some(lost_at), Some(capture)) = (
            self.lost_after_capture(folded, 1)?,
            &standing.position.capture,
        ) else {
            return Ok(false);
        };
        let whole = Standing {
            step: Step::Post {
                seq: 1,
                amount: capture.gross,
                at: capture.at,
                reversal_of: None,
            },
            ..standing.clone()
        };
        // Without a customer nobody can have posted it, and zero is never posted.
        let posted = book::transaction(&folded.book, source, &whole);
        let Some(transaction) = posted.filter(|it| it.amount != 0) else {
            return Ok(false);
        };
        self.write_presumed(folded, 1, &transaction, lost_at)?;
        Ok(true)
    }

    /// When the ledger was lost, where its last calls may not have been listed
    /// when the list was adopted and one of them may have posted this row or one behind
    /// it: what is presumed of an earlier row, which was under way in the copy, says
    /// nothing of those that followed, nor does reading it back. A ledger may be lost more
    /// than once.
    fn lost_after_capture(&self, folded: &Folded, seq: u32) -> Result<Option<Time>, LedgerError> {
        let row = &folded.row;
        let confirm_after_ms = self.terms(&row.source)?.confirm_after_ms;
        let lost_at: Option<Time> = self.one(
            "SELECT lost_at FROM destinations WHERE name = ?1 AND adopted_at < lost_at + ?2
               AND NOT EXISTS (SELECT 1 FROM attempts WHERE payment = ?3
                   AND ((outcome = 'presumed' AND deadline >= lost_at AND seq >= ?4)
                        OR (call <> 'confirm' AND begun_at > lost_at)))",
            params![row.destination, confirm_after_ms, row.payment, seq],
            |row| Ok(Time(row.get(0)?)),
        )?;
        let capture = folded.standing.position.capture.as_ref();
        Ok(lost_at.filter(|at| capture.is_some_and(|it| it.at <= *at)))
    }

    fn write_presumed(
        &self,
        folded: &Folded,
        seq: u32,
        transaction: &NewTransaction,
        lost_at: Time,
    ) -> Result<(), LedgerError> {
        let confirm_after_ms = self.terms(&folded.row.source)?.confirm_after_ms;
        self.write_intent(folded, seq, transaction)?;
        self.queue(
            "INSERT INTO attempts (payment, seq, call, amount, begun_at, deadline, ended_at, outcome)
             VALUES (?1, ?2, 'post', ?3, ?4, ?5, ?6, 'presumed')",
            params![
                folded.row.payment,
                seq,
                transaction.amount,
                lost_at.plus(-confirm_after_ms).ms(),
                lost_at.ms(),
                self.now.ms()
            ],
        )
    }

    /// Writes down that the lost ledger may have deleted a row, which is read back then
    /// like one that we deleted ourselves and had no answer for.
    pub(super) fn presume_deleted(
        &self,
        destination: &str,
        (payment, seq): (i64, u32),
    ) -> Result<(), LedgerError> {
        self.set_row(payment, seq, RowState::DeleteUnknown, None)?;
        self.queue(
            "INSERT INTO attempts (payment, seq, call, amount, begun_at, deadline, ended_at, outcome)
             SELECT payment, seq, 'delete', amount, lost_at, lost_at, ?4, 'presumed'
             FROM transactions JOIN destinations ON destinations.name = ?3
             WHERE payment = ?1 AND seq = ?2",
            params![payment, seq, destination, self.now.ms()],
        )
    }

    /// True where the last call that may have posted a row was a lost ledger's.
    pub(super) fn is_presumed(&self, place: (i64, u32)) -> Result<bool, LedgerError> {
        Ok(self.last_post(place)?.as_deref() == Some("presumed"))
    }

    /// The payments of a destination of which nothing is to be posted and nothing
    /// was, and that were looked at since the ledger was lost.
    pub(super) fn may_be_listed_late(&self, destination: &str) -> Result<Vec<i64>, LedgerError> {
        self.all(
            "SELECT payment FROM payments
             WHERE destination = ?1 AND turn = 0 AND gross > 0
               AND changed_at >= (SELECT lost_at FROM destinations WHERE name = ?1)
               AND NOT EXISTS (SELECT 1 FROM transactions
                               WHERE transactions.payment = payments.payment)",
            [destination],
            |row| row.get(0),
        )
    }
}
