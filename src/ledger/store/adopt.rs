//! Reading the destination's rows back into a ledger that was restored or is new.
//!
//! A row that the ledger does not know was posted by the ledger that was lost. It
//! is taken in as it stands there, and its payment is settled only when what the
//! ledger knows explains it: the difference is never posted. What the lost ledger
//! posted last may not be listed yet; `presume.rs` sees to that. Nothing in this
//! file calls anybody.

use std::collections::{BTreeMap, BTreeSet};

use crate::ledger::sql::params;

use super::record::Place;
use super::stand::Folded;
use super::tx::{Tx, by_word, from_word, word_of};
use super::{LedgerError, Store, schema};
use crate::destination::{self, Row as Listed};
use crate::ledger::{Comparison, Difference, Differs, Seen};
use crate::plan::{Customer, CustomerBy, RowState};
use crate::time::Time;

/// Who decides in an adoption, for a person who reads the story.
const WHO: &str = "reconcile --adopt";

/// Payments folded in one command, so that intake waits no longer than for that.
const FOLDED_AT_ONCE: usize = 200;

/// Payments whose ids stand in keys as digests, by source and digest.
type Digests = BTreeMap<(String, String), i64>;

/// The row of the lost ledger's, by the name of its payment in keys.
struct Found<'a> {
    source: &'a str,
    name: &'a str,
    seq: u32,
}

impl Store {
    /// As [`crate::ledger::Ledger::begin_adoption`].
    pub(in crate::ledger) async fn begin_adoption(
        &self,
        destination: &str,
    ) -> Result<(), LedgerError> {
        let destination = destination.to_owned();
        // Who serves on a copy took over from the lost ledger when it began;
        // otherwise the lost one may have been at work until now.
        let locked = |path| schema::lock(path).is_err();
        // Of a server nobody can tell: then it counts as at work until now.
        let served = self._lock.is_some() || self.home.file().is_some_and(locked);
        self.write(move |tx| tx.begin_adoption(&destination, served))
            .await
    }

    /// As [`crate::ledger::Ledger::adopt`].
    pub(in crate::ledger) async fn adopt(
        &self,
        comparison: Comparison,
        rows: Vec<Listed>,
    ) -> Result<Vec<Difference>, LedgerError> {
        self.write(move |tx| tx.adopt(&comparison, &rows)).await
    }

    /// As [`crate::ledger::Ledger::adopt_unlisted`].
    pub(in crate::ledger) async fn adopt_unlisted(
        &self,
        comparison: Comparison,
        differences: Vec<Difference>,
    ) -> Result<(), LedgerError> {
        self.write(move |tx| tx.adopt_unlisted(&comparison, &differences))
            .await
    }

    /// As [`crate::ledger::Ledger::end_adoption`].
    pub(in crate::ledger) async fn end_adoption(
        &self,
        comparison: Comparison,
    ) -> Result<(), LedgerError> {
        let destination = comparison.destination.clone();
        self.write(move |tx| {
            tx.queue(
                "UPDATE destinations SET adopted_at = ?2 WHERE name = ?1",
                params![comparison.destination, comparison.began_at.ms()],
            )
        })
        .await?;
        // What was told while the destination was closed was folded without this.
        let quiet = self
            .read(move |tx| tx.may_be_listed_late(&destination))
            .await?;
        for some in quiet.chunks(FOLDED_AT_ONCE) {
            let some: BTreeSet<i64> = some.iter().copied().collect();
            self.write(move |tx| tx.fold_all(&some)).await?;
        }
        Ok(())
    }
}

impl Tx<'_> {
    fn begin_adoption(&self, destination: &str, served: bool) -> Result<(), LedgerError> {
        self.mark_as_copy()?;
        let served_at = self.served_at()?.filter(|_| served);
        let lost_at = served_at.unwrap_or(self.now);
        self.queue(
            "INSERT INTO destinations (name, lost_at) VALUES (?1, ?2)
             ON CONFLICT (name) DO UPDATE SET lost_at = excluded.lost_at, adopted_at = NULL",
            params![destination, lost_at.ms()],
        )?;
        // What was under way when the copy was made may have been tried again
        // and again by the lost ledger, under the same key.
        self.queue(
            "INSERT INTO attempts (payment, seq, call, amount, begun_at, deadline, ended_at, outcome)
             SELECT payment, seq, CASE state WHEN 'post_unknown' THEN 'post' ELSE 'delete' END,
                    amount, coalesce((SELECT CASE WHEN max(begun_at) < ?2 THEN max(begun_at)
                                                  ELSE ?2 END FROM attempts AS earlier
                        WHERE earlier.payment = transactions.payment
                              AND earlier.seq = transactions.seq AND call <> 'confirm'), ?2),
                    ?2, ?3, 'presumed'
             FROM transactions
             WHERE destination = ?1 AND state IN ('post_unknown', 'delete_unknown')",
            params![destination, lost_at.ms(), self.now.ms()],
        )
    }

    fn adopt(
        &self,
        comparison: &Comparison,
        rows: &[Listed],
    ) -> Result<Vec<Difference>, LedgerError> {
        let digests = self.digests(rows)?;
        let mut differences = Vec::new();
        let mut touched = BTreeSet::new();
        for listed in rows {
            let found = match listed.archived {
                true => self.adopt_deleted(comparison, listed, &digests, &mut touched)?,
                false => self.adopt_row(comparison, listed, &digests, &mut touched)?,
            };
            differences.extend(found);
        }
        for payment in touched {
            self.owe_explanation(payment)?;
            self.fold(payment)?;
        }
        Ok(differences)
    }

    /// Takes one listed row in, where the ledger believes something else.
    fn adopt_row(
        &self,
        comparison: &Comparison,
        listed: &Listed,
        digests: &Digests,
        touched: &mut BTreeSet<i64>,
    ) -> Result<Option<Difference>, LedgerError> {
        let known: Option<(i64, u32, RowState)> = self.one(
            "SELECT payment, seq, state FROM transactions WHERE destination = ?1 AND key = ?2",
            params![comparison.destination, listed.key],
            |row| Ok((row.get(0)?, row.get(1)?, from_word(row.get(2)?)?)),
        )?;
        let difference = self.compare_row(comparison, listed)?;
        match (known, &difference) {
            (Some((payment, seq, state)), found) => {
                let sent_again = state == RowState::PostUnknown;
                let differs = found.as_ref().map(|found| found.differs);
                if sent_again || (differs == Some(Differs::Extra) && state != RowState::Suspect) {
                    self.take_in(comparison, listed, (payment, seq))?;
                    touched.insert(payment);
                } else if let Some(found) = found {
                    self.correct(found)?;
                }
            }
            (None, Some(found)) if found.differs == Differs::Unknown => {
                if let Some(row) = self.row_for(comparison, listed, digests)? {
                    self.take_in(comparison, listed, row)?;
                    touched.insert(row.0);
                }
            }
            (None, _) => {}
        }
        Ok(difference)
    }

    /// A row that the lost ledger posted and deleted: its key is never used again,
    /// and why it was deleted is to be explained.
    fn adopt_deleted(
        &self,
        comparison: &Comparison,
        listed: &Listed,
        digests: &Digests,
        touched: &mut BTreeSet<i64>,
    ) -> Result<Option<Difference>, LedgerError> {
        let known: Option<i64> = self.one(
            "SELECT payment FROM transactions WHERE destination = ?1 AND key = ?2",
            params![comparison.destination, listed.key],
            |row| row.get(0),
        )?;
        let difference = self.not_ours(listed, 0);
        if known.is_some() || difference.differs != Differs::Unknown {
            return Ok(None);
        }
        let Some(row) = self.row_for(comparison, listed, digests)? else {
            return Ok(None);
        };
        self.take_in(comparison, listed, row)?;
        touched.insert(row.0);
        Ok(Some(difference))
    }

    /// The payment and sequence of a row that the ledger does not know; the
    /// payment is made where there is none yet. `None` for a key that only looks
    /// like one of ours, and for one that two destinations hold.
    fn row_for(
        &self,
        comparison: &Comparison,
        listed: &Listed,
        digests: &Digests,
    ) -> Result<Option<(i64, u32)>, LedgerError> {
        let Some(found) = found(&listed.key) else {
            return Ok(None);
        };
        let digest = (found.source.to_owned(), found.name.to_owned());
        let payment = match digests.get(&digest) {
            Some(payment) => *payment,
            None => self.payment_to_adopt(comparison, listed, &found)?,
        };
        let elsewhere: Option<String> = self.one(
            "SELECT destination FROM transactions WHERE payment = ?1 AND seq = ?2",
            params![payment, found.seq],
            |row| row.get(0),
        )?;
        let Some(elsewhere) = elsewhere else {
            return Ok(Some((payment, found.seq)));
        };
        let note = format!(
            "the destinations \"{elsewhere}\" and \"{}\" both hold it",
            comparison.destination
        );
        self.set_row(payment, found.seq, RowState::Suspect, Some(&note))?;
        self.fold(payment)?;
        Ok(None)
    }

    fn payment_to_adopt(
        &self,
        comparison: &Comparison,
        listed: &Listed,
        found: &Found<'_>,
    ) -> Result<i64, LedgerError> {
        let source_row = self.source_row(found.source)?;
        // Our own metadata says the id in full, unless it was cut there.
        let said = listed.payment_id.as_deref();
        let id = said
            .filter(|id| destination::name_in_key(found.source, id) == found.name)
            .unwrap_or(found.name);
        if let Some(known) = self.payment_named(source_row, id)? {
            return Ok(known);
        }
        // No scope: whoever first tells of it says whether it is live and whose.
        self.insert(
            "INSERT INTO payments (source, payment_id, scope, destination, occurred_at, first_seen,
                 changed_at, state, reason)
             VALUES (?1, ?2, '', ?3, ?4, ?5, ?5, 'waiting', 'just read back')",
            "payment",
            params![
                source_row,
                id,
                comparison.destination,
                listed.created_at.unwrap_or(self.now).ms(),
                self.now.ms()
            ],
        )
    }

    /// A row as the destination lists it: live, or deleted.
    fn take_in(
        &self,
        comparison: &Comparison,
        listed: &Listed,
        (payment, seq): (i64, u32),
    ) -> Result<(), LedgerError> {
        let amount = listed.amount.filter(|amount| *amount != 0);
        let (Some(amount), Some(currency)) = (amount, listed.currency) else {
            return Err(LedgerError::Refused(format!(
                "the destination lists {} without an amount or a currency; until it says them \
                 nothing can be forwarded",
                listed.key
            )));
        };
        let state = match listed.archived {
            true => RowState::Gone,
            false => RowState::Live,
        };
        let customer = customer_of(listed);
        let at = listed.created_at.unwrap_or(self.now);
        self.queue(
            "INSERT INTO transactions (payment, seq, destination, key, customer, customer_by,
                 currency, amount, created_at, state, note, listed_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?12, ?10, ?11)
             ON CONFLICT (payment, seq) DO UPDATE
             SET customer = excluded.customer, customer_by = excluded.customer_by,
                 currency = excluded.currency, amount = excluded.amount,
                 created_at = excluded.created_at, state = excluded.state, note = excluded.note,
                 seen_amount = NULL, listed_at = excluded.listed_at",
            params![
                payment,
                seq,
                comparison.destination,
                listed.key,
                customer.value,
                by_word(customer.by),
                currency.code(),
                amount,
                at.ms(),
                "read back into a restored ledger",
                comparison.began_at.ms(),
                word_of(&state)?,
            ],
        )?;
        self.queue(
            "UPDATE attempts SET ended_at = ?3, outcome = 'found'
             WHERE payment = ?1 AND seq = ?2 AND ended_at IS NULL",
            params![payment, seq, self.now.ms()],
        )?;
        // Whose it is there is whose it is: the newest row says so.
        self.queue(
            "UPDATE payments SET customer = ?3, customer_by = ?4, destination = ?5
             WHERE payment = ?1 AND NOT EXISTS (SELECT 1 FROM transactions
                 WHERE transactions.payment = ?1 AND seq > ?2 AND transactions.state = 'live')",
            params![
                payment,
                seq,
                customer.value,
                by_word(customer.by),
                comparison.destination
            ],
        )
    }

    /// A row that was listed after the adoption, as a read-back saw it.
    pub(super) fn take_in_late(
        &self,
        destination: &str,
        (payment, seq): (i64, u32),
        seen: &Seen,
    ) -> Result<(), LedgerError> {
        let sent: Option<(String, i64)> = self.one(
            "SELECT key, created_at FROM transactions WHERE payment = ?1 AND seq = ?2",
            params![payment, seq],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let (key, created_at) = sent.unwrap_or_default();
        let listed = Listed {
            key,
            amount: seen.amount,
            currency: seen.currency,
            customer_external_key: seen.customer.clone(),
            customer_email: None,
            customer_key: None,
            payment_id: None,
            created_at: Some(seen.created_at.unwrap_or(Time(created_at))),
            archived: false,
        };
        let comparison = Comparison {
            destination: destination.to_owned(),
            since: Time(0),
            began_at: self.now,
        };
        self.take_in(&comparison, &listed, (payment, seq))?;
        self.owe_explanation(payment)
    }

    /// Rows that a complete list did not show: the lost ledger deleted them. One that
    /// was posted just before may not be listed yet: it is read back first.
    fn adopt_unlisted(
        &self,
        comparison: &Comparison,
        differences: &[Difference],
    ) -> Result<(), LedgerError> {
        for difference in differences {
            let Some((payment, seq)) = difference.row else {
                continue;
            };
            let source = self.payment(payment)?.source;
            let confirm_after_ms = self.terms(&source)?.confirm_after_ms;
            let posted = self.posted(payment, seq)?;
            let too_early = posted
                .is_some_and(|(_, sent_by)| comparison.began_at < sent_by.plus(confirm_after_ms));
            if too_early {
                // While it still counts as live, so that its time is the newest.
                self.owe_explanation(payment)?;
                self.presume_deleted(&comparison.destination, (payment, seq))?;
            } else {
                let note = "not at the destination any more when this ledger was restored";
                self.set_row(payment, seq, RowState::Gone, Some(note))?;
                self.owe_explanation(payment)?;
            }
            self.fold(payment)?;
        }
        Ok(())
    }

    /// Stores that what stands at the destination is to be explained, up to the
    /// time of the newest row there.
    fn owe_explanation(&self, payment: i64) -> Result<(), LedgerError> {
        let until: Option<i64> = self
            .one(
                "SELECT max(created_at) FROM transactions WHERE payment = ?1 AND state = 'live'",
                [payment],
                |row| row.get(0),
            )?
            .flatten();
        let until = until.unwrap_or_default().to_string();
        let last: Option<(i64, String)> = self.one(
            "SELECT decision, kind FROM decisions
             WHERE payment = ?1 AND kind IN ('adopt', 'explained') ORDER BY decision DESC LIMIT 1",
            [payment],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        match last {
            Some((decision, kind)) if kind == "adopt" => self.queue(
                "UPDATE decisions SET detail = ?2 WHERE decision = ?1",
                params![decision, until],
            ),
            _ => self.note(payment, "adopt", &until, ""),
        }
    }

    /// What the ledger knows explains what was read back: from here on the plan
    /// goes on as ever.
    pub(super) fn note_explained(&self, folded: &Folded) -> Result<(), LedgerError> {
        let made_for = folded.standing.position.fingerprint();
        self.note(folded.row.payment, "explained", "", &made_for)
    }

    fn note(
        &self,
        payment: i64,
        kind: &str,
        detail: &str,
        made_for: &str,
    ) -> Result<(), LedgerError> {
        self.queue(
            "INSERT INTO decisions (payment, kind, detail, who, why, at, made_for)
             VALUES (?1, ?2, ?3, ?4, '', ?5, ?6)",
            params![payment, kind, detail, WHO, self.now.ms(), made_for],
        )
    }

    /// The payments here whose ids stand in the keys of `rows` as digests.
    /// Two sources may have payments of one id, and so of one digest.
    fn digests(&self, rows: &[Listed]) -> Result<Digests, LedgerError> {
        let mut wanted: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for found in rows.iter().filter_map(|listed| found(&listed.key)) {
            if found.name.starts_with('~') && self.all_terms().contains_key(found.source) {
                wanted.entry(found.source).or_default().insert(found.name);
            }
        }
        let mut here = BTreeMap::new();
        for (source, names) in wanted {
            let odd = self.holds_other_than("payment_id", "A-Za-z0-9._-");
            let odd = format!(
                "SELECT payment, payment_id FROM payments WHERE source = ?1 AND reference = 0
                   AND ({odd} OR length(payment_id) NOT BETWEEN 1 AND 200)"
            );
            let odd = self.all(&odd, [self.source_row(source)?], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
            })?;
            for (payment, id) in odd {
                let name = destination::name_in_key(source, &id);
                if names.contains(name.as_str()) {
                    here.insert((source.to_owned(), name), payment);
                }
            }
        }
        Ok(here)
    }

    /// The payment that was read back under the digest of this id. It gets the id.
    pub(super) fn adopted_payment(
        &self,
        place: Place<'_>,
        payment_id: &str,
    ) -> Result<Option<i64>, LedgerError> {
        let found = self.adopted_as(place, payment_id)?;
        if let Some(payment) = found {
            self.queue(
                "UPDATE payments SET payment_id = ?2 WHERE payment = ?1",
                params![payment, payment_id],
            )?;
        }
        Ok(found)
    }

    /// The same payment, which keeps the name that it has.
    pub(super) fn adopted_as(
        &self,
        place: Place<'_>,
        payment_id: &str,
    ) -> Result<Option<i64>, LedgerError> {
        let name = destination::name_in_key(place.source, payment_id);
        match name == payment_id {
            true => Ok(None),
            false => self.payment_named(place.source_row, &name),
        }
    }
}

fn found(key: &str) -> Option<Found<'_>> {
    let (source, name, seq) = destination::read_key(key)?;
    Some(Found { source, name, seq })
}

/// Whom a listed row stands under, in the terms in which we post.
fn customer_of(listed: &Listed) -> Customer {
    let by_key = |key: &String| Customer::key(key.clone());
    let by_email = |email: &String| Customer {
        by: CustomerBy::Email,
        value: email.clone(),
    };
    (listed.customer_external_key.as_ref().map(by_key))
        .or_else(|| listed.customer_email.as_ref().map(by_email))
        .or_else(|| listed.customer_key.as_ref().map(by_key))
        .unwrap_or_else(|| Customer::key(""))
}
