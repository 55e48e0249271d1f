//! Reading back transactions whose outcome is unknown.
//!
//! "Could not tell" is never "it is missing": only a complete listing that was
//! begun long enough after the call could last have been sent is believed when
//! it does not show a row.

use crate::destination;
use crate::ledger::sql::{params, unexpected};

use super::payment::PaymentRow;
use super::settle::FIRST_READ_BACK_MS;
use super::stand::{CALL, READ_BACK};
use super::tx::{Tx, from_word};
use super::{LedgerError, Store};
use crate::ledger::{Claim, ReadBack, Seen, Settled, Unknown};
use crate::money::{Currency, Minor};
use crate::plan::{Customer, CustomerBy, RowState};
use crate::time::{MINUTE_MS, SECOND_MS, Time};

/// How long a claimed read-back may take; a sweep of many pages at a slow rate
/// needs minutes.
const READ_BACK_LEASE_MS: i64 = 10 * MINUTE_MS;

/// The waits between read-backs that showed nothing yet, before the moment in
/// which "not found" is believed.
const READ_BACKS_MS: [i64; 5] = [
    FIRST_READ_BACK_MS,
    10 * SECOND_MS,
    MINUTE_MS,
    5 * MINUTE_MS,
    15 * MINUTE_MS,
];

/// The waits after a listing that could not be completed.
const FAILED_LISTS_MS: [i64; 5] = [
    2 * SECOND_MS,
    5 * SECOND_MS,
    15 * SECOND_MS,
    MINUTE_MS,
    5 * MINUTE_MS,
];

/// The read-backs of a lane that are due, the longest due first. Both lanes in one
/// statement would sort all that is due.
pub(super) const DUE_READ_BACKS: &str = "SELECT due_at, payment FROM payments
    WHERE destination = ?1 AND turn = ?2 AND turn > 0 AND lane = ?3 AND due_at <= ?4
    ORDER BY due_at LIMIT ?5";

/// A transaction under read-back.
struct Asked {
    seq: u32,
    state: RowState,
    amount: Minor,
    currency: Currency,
    customer: Customer,
}

impl Store {
    /// As [`crate::ledger::Ledger::unknowns`].
    pub(in crate::ledger) async fn unknowns(
        &self,
        destination: &str,
        limit: usize,
    ) -> Result<Vec<Unknown>, LedgerError> {
        let destination = destination.to_owned();
        self.write(move |tx| tx.unknowns(&destination, limit)).await
    }

    /// As [`crate::ledger::Ledger::settle_read_back`].
    pub(in crate::ledger) async fn settle_read_back(
        &self,
        seen: Vec<(Claim, ReadBack)>,
    ) -> Result<Vec<Settled>, LedgerError> {
        self.write(move |tx| {
            seen.iter()
                .map(|(claim, read)| tx.settle_read_back(*claim, read))
                .collect()
        })
        .await
    }
}

impl Tx<'_> {
    fn unknowns(&self, destination: &str, limit: usize) -> Result<Vec<Unknown>, LedgerError> {
        if self.is_copy(destination)? {
            return Ok(Vec::new());
        }
        let most = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut due = Vec::new();
        for lane in [0, 1] {
            due.extend(self.all(
                DUE_READ_BACKS,
                params![destination, READ_BACK, lane, self.now.ms(), most],
                |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)),
            )?);
        }
        // The longest due first, whichever lane it is in.
        due.sort_unstable();
        due.truncate(limit);
        let mut unknowns = Vec::with_capacity(due.len());
        for (_, payment) in due {
            match self.claim_read_back(payment)? {
                Some(unknown) => unknowns.push(unknown),
                None => {
                    self.fold(payment)?;
                }
            }
        }
        Ok(unknowns)
    }

    fn claim_read_back(&self, payment: i64) -> Result<Option<Unknown>, LedgerError> {
        let found = self.one(
            "SELECT seq, key, created_at, amount FROM transactions
             WHERE payment = ?1 AND state IN ('post_unknown', 'delete_unknown') LIMIT 1",
            [payment],
            |row| {
                Ok((
                    row.get::<_, u32>(0)?,
                    row.get::<_, String>(1)?,
                    row.get(2)?,
                    row.get::<_, Minor>(3)?,
                ))
            },
        )?;
        let Some((seq, key, created_at, amount)) = found else {
            return Ok(None);
        };
        // A row that was adopted has no call of ours: it is found by its own time.
        let posted = self.posted(payment, seq)?;
        let (posted_at, posted_by) = posted.unwrap_or((Time(created_at), Time(created_at)));
        let attempt = self.insert(
            "INSERT INTO attempts (payment, seq, call, amount, begun_at, deadline)
             VALUES (?1, ?2, 'confirm', ?3, ?4, ?5)",
            "attempt",
            params![
                payment,
                seq,
                amount,
                self.now.ms(),
                self.now.plus(READ_BACK_LEASE_MS).ms()
            ],
        )?;
        self.queue(
            "UPDATE payments SET claim = ?2, due_at = ?3 WHERE payment = ?1",
            params![payment, attempt, self.now.plus(READ_BACK_LEASE_MS).ms()],
        )?;
        Ok(Some(Unknown {
            claim: Claim { payment, attempt },
            key,
            created_at: Time(created_at),
            posted_at,
            posted_by,
        }))
    }

    /// When the last post of a row was begun, and until when it could be sent.
    pub(super) fn posted(
        &self,
        payment: i64,
        seq: u32,
    ) -> Result<Option<(Time, Time)>, LedgerError> {
        self.one(
            "SELECT begun_at, deadline FROM attempts
             WHERE payment = ?1 AND seq = ?2 AND call = 'post' ORDER BY attempt DESC LIMIT 1",
            params![payment, seq],
            |row| Ok((Time(row.get(0)?), Time(row.get(1)?))),
        )
    }

    /// Until when the call that left a row unknown could be sent.
    fn sent_by(&self, payment: i64, seq: u32) -> Result<Time, LedgerError> {
        let found: Option<i64> = self.one(
            "SELECT max(deadline) FROM attempts
             WHERE payment = ?1 AND seq = ?2 AND call IN ('post', 'delete')",
            params![payment, seq],
            |row| row.get(0),
        )?;
        Ok(Time(found.unwrap_or(self.now.ms())))
    }

    fn settle_read_back(&self, claim: Claim, read: &ReadBack) -> Result<Settled, LedgerError> {
        let before = self.payment(claim.payment)?;
        let ours = before.claim == Some(claim.attempt);
        let asked = self.asked(claim)?;
        let verdict = match (&asked, ours) {
            (Some(asked), true) => self.verdict(&before, asked, read)?,
            _ => None,
        };
        let (word, detail) = describe(read, verdict.as_ref());
        self.queue(
            "UPDATE attempts SET ended_at = ?2, outcome = ?3, detail = ?4
             WHERE attempt = ?1 AND ended_at IS NULL",
            params![claim.attempt, self.now.ms(), word, detail],
        )?;
        if !ours {
            return self.settled(claim.payment, false);
        }
        if self.adopt_presumed(&before, asked.as_ref(), verdict.as_ref(), read)? {
            // What the lost ledger posted stands as the destination shows it.
        } else if let (Some(asked), Some(verdict)) = (&asked, &verdict) {
            self.set_row(
                claim.payment,
                asked.seq,
                verdict.state,
                verdict.note.as_deref(),
            )?;
            self.queue(
                "UPDATE transactions SET seen_amount = ?3 WHERE payment = ?1 AND seq = ?2",
                params![claim.payment, asked.seq, verdict.seen],
            )?;
            if asked.state == RowState::PostUnknown && verdict.state == RowState::Live {
                self.customer_is_known(claim.payment, asked.seq, &before)?;
            }
        }
        let (turn, due_at, tries) = match (&verdict, &asked) {
            (None, Some(asked)) => (
                READ_BACK,
                self.next_read_back(&before, asked, read)?,
                before.tries.saturating_add(u32::from(read.reached)),
            ),
            _ => (CALL, self.now, 0),
        };
        self.queue(
            "UPDATE payments SET claim = NULL, turn = ?2, due_at = ?3, tries = ?4 WHERE payment = ?1",
            params![claim.payment, turn, due_at.ms(), tries],
        )?;
        self.fold(claim.payment)?;
        self.settled(claim.payment, true)
    }

    /// A row that only a lost ledger can have posted, and with other contents than
    /// this one would have, is taken in like the rest of its rows.
    fn adopt_presumed(
        &self,
        before: &PaymentRow,
        asked: Option<&Asked>,
        verdict: Option<&Verdict>,
        read: &ReadBack,
    ) -> Result<bool, LedgerError> {
        let differs = verdict.is_some_and(|verdict| verdict.state == RowState::Suspect);
        let Some(asked) = asked.filter(|_| differs) else {
            return Ok(false);
        };
        let found = read.found.iter().flatten();
        let live: Vec<&Seen> = found.filter(|seen| !seen.archived).collect();
        let [one] = live.as_slice() else {
            return Ok(false);
        };
        let place = (before.payment, asked.seq);
        if !self.is_presumed(place)? {
            return Ok(false);
        }
        self.take_in_late(&before.destination, place, one)?;
        Ok(true)
    }

    fn asked(&self, claim: Claim) -> Result<Option<Asked>, LedgerError> {
        self.one(
            "SELECT seq, state, transactions.amount, currency, customer, customer_by
             FROM attempts JOIN transactions USING (payment, seq)
             WHERE attempt = ?1 AND state IN ('post_unknown', 'delete_unknown')",
            [claim.attempt],
            |row| {
                Ok(Asked {
                    seq: row.get(0)?,
                    state: from_word(row.get(1)?)?,
                    amount: row.get(2)?,
                    currency: from_word(row.get(3)?)?,
                    customer: super::tx::read_customer(row, 4)?
                        .ok_or_else(|| unexpected("a word"))?,
                })
            },
        )
    }

    /// What a read-back proves; `None` where it proves nothing yet.
    fn verdict(
        &self,
        before: &PaymentRow,
        asked: &Asked,
        read: &ReadBack,
    ) -> Result<Option<Verdict>, LedgerError> {
        let Some(found) = &read.found else {
            return Ok(None);
        };
        let terms = self.terms(&before.source)?;
        let believed_from = self
            .sent_by(before.payment, asked.seq)?
            .plus(terms.confirm_after_ms);
        let believed = read.begun_at >= believed_from;
        let live: Vec<&Seen> = found.iter().filter(|seen| !seen.archived).collect();
        let archived = live.len() < found.len();
        Ok(match (asked.state, live.as_slice()) {
            (_, [_, _, ..]) => Some(several(asked, &live)),
            (RowState::PostUnknown, [one]) => Some(compare(asked, one)),
            (RowState::PostUnknown, []) if archived => {
                Some(Verdict::noted(RowState::Missing, "it was deleted there"))
            }
            // To post it again would be answered like this for ever.
            (RowState::PostUnknown, []) if believed && self.was_repeated(before, asked)? => {
                Some(Verdict::noted(
                    RowState::Missing,
                    "the destination says that it has a transaction of this key and lists none",
                ))
            }
            (RowState::PostUnknown, []) => believed.then(|| Verdict::plain(RowState::Absent)),
            // A delete that is seen not to have landed may still land later.
            (_, [_]) => believed.then(|| Verdict::plain(RowState::Live)),
            (_, []) if archived => Some(Verdict::plain(RowState::Gone)),
            (_, []) => believed.then(|| Verdict::plain(RowState::Gone)),
        })
    }

    /// Whether the last post of a row was answered by its key being there already.
    fn was_repeated(&self, before: &PaymentRow, asked: &Asked) -> Result<bool, LedgerError> {
        let last = self.last_post((before.payment, asked.seq))?;
        Ok(last.as_deref() == Some(destination::Outcome::Repeated.name()))
    }

    /// How the last post of a row ended, if it did.
    pub(super) fn last_post(
        &self,
        (payment, seq): (i64, u32),
    ) -> Result<Option<String>, LedgerError> {
        let last: Option<Option<String>> = self.one(
            "SELECT outcome FROM attempts WHERE payment = ?1 AND seq = ?2 AND call = 'post'
             ORDER BY attempt DESC LIMIT 1",
            params![payment, seq],
            |row| row.get(0),
        )?;
        Ok(last.flatten())
    }

    /// The next read-back: soon at first, and surely at the moment from which
    /// "not found" is believed. A listing that failed is tried again sooner.
    fn next_read_back(
        &self,
        before: &PaymentRow,
        asked: &Asked,
        read: &ReadBack,
    ) -> Result<Time, LedgerError> {
        let terms = self.terms(&before.source)?;
        let believed_from = self
            .sent_by(before.payment, asked.seq)?
            .plus(terms.confirm_after_ms);
        let waits = match read.found {
            Some(_) => &READ_BACKS_MS,
            None => &FAILED_LISTS_MS,
        };
        let place = match read.reached {
            true => usize::try_from(before.tries).unwrap_or(usize::MAX),
            false => 0,
        };
        let next = self.now.plus(waits[place.min(waits.len() - 1)]);
        match believed_from > self.now {
            true => Ok(next.min(believed_from)),
            false => Ok(next),
        }
    }
}

/// What a read-back proved about a transaction.
struct Verdict {
    state: RowState,
    note: Option<String>,
    /// What the destination holds under the key, where it differs in the
    /// amount or the customer only.
    seen: Option<Minor>,
}

impl Verdict {
    fn plain(state: RowState) -> Verdict {
        Verdict {
            state,
            note: None,
            seen: None,
        }
    }

    fn noted(state: RowState, note: impl Into<String>) -> Verdict {
        Verdict {
            note: Some(note.into()),
            ..Verdict::plain(state)
        }
    }
}

/// The currency is ours as far as the list says.
fn same_currency(asked: &Asked, seen: &Seen) -> bool {
    seen.currency
        .is_none_or(|currency| currency == asked.currency)
}

fn several(asked: &Asked, live: &[&Seen]) -> Verdict {
    let amounts: Option<Vec<Minor>> = live.iter().map(|seen| seen.amount).collect();
    let sum = amounts.map(|amounts| amounts.into_iter().fold(0, Minor::saturating_add));
    Verdict {
        seen: sum.filter(|_| live.iter().all(|seen| same_currency(asked, seen))),
        ..Verdict::noted(
            RowState::Suspect,
            format!("{} transactions with one key", live.len()),
        )
    }
}

/// The row that stands under our key against what we posted.
fn compare(asked: &Asked, seen: &Seen) -> Verdict {
    let amount = seen.amount.unwrap_or(asked.amount);
    let other_customer = asked.customer.by == CustomerBy::Key
        && seen
            .customer
            .as_ref()
            .is_some_and(|customer| *customer != asked.customer.value);
    if amount != asked.amount || !same_currency(asked, seen) {
        let note = format!(
            "{} instead of {}",
            seen.currency.unwrap_or(asked.currency).show(amount),
            asked.currency.show(asked.amount)
        );
        return Verdict {
            seen: same_currency(asked, seen).then_some(amount),
            ..Verdict::noted(RowState::Suspect, note)
        };
    }
    match other_customer {
        false => Verdict::plain(RowState::Live),
        true => Verdict {
            seen: Some(amount),
            ..Verdict::noted(RowState::Suspect, "it stands under another customer")
        },
    }
}

fn describe(read: &ReadBack, verdict: Option<&Verdict>) -> (&'static str, Option<String>) {
    match (verdict.map(|verdict| verdict.state), &read.found) {
        (Some(RowState::Live), _) => ("found", None),
        (Some(RowState::Absent), _) => ("absent", None),
        (Some(RowState::Gone), _) => ("gone", None),
        (Some(_), _) => ("differs", verdict.and_then(|verdict| verdict.note.clone())),
        (None, Some(_)) => ("not_believed", Some("too early to be believed".to_owned())),
        (None, None) => (
            "could_not_tell",
            Some("the listing was not complete".to_owned()),
        ),
    }
}
