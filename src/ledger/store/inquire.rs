//! Inquiries: raised by a document or by a payment that cannot go on, handed
//! out one at a time, and settled by an answer that is recorded like a delivery.
//!
//! Asking is harmless, so nothing guards against asking twice: a question that
//! was cut off by a crash comes round again when its time is over.

use std::collections::BTreeSet;

use crate::ledger::sql::{Row as SqlRow, params};

use super::arrival::Arrival;
use super::payment::PaymentRow;
use super::record::{Origin, Place};
use super::stand::Folded;
use super::tx::Tx;
use super::{LedgerError, Store};
use crate::ledger::book::{SourceTerms, State};
use crate::ledger::texts::keepable;
use crate::ledger::{Answer, Asking, Recorded};
use crate::lookup::{CameTo, Tried};
use crate::movement::{Authority, Inquiry, Scope, Subject};
use crate::position::Doubt;
use crate::provider::Asked;
use crate::time::{HOUR_MS, MINUTE_MS, SECOND_MS, Time};

/// How long a question that was handed out is left alone: longer than any
/// answer may take.
const ASKING_MS: i64 = 2 * MINUTE_MS;

/// How long a customer that no link names is waited for before the provider is
/// asked: the webhook that tells of it mostly comes within seconds.
const LINK_PATIENCE_MS: i64 = 30 * SECOND_MS;

/// The first pause after a question without an answer, and the longest.
const AGAIN_FIRST_MS: i64 = 15 * SECOND_MS;
const AGAIN_MOST_MS: i64 = 6 * HOUR_MS;

/// How often "there is no such thing" is not believed: a provider may tell of a
/// thing before its API shows it. With the pauses this is about three hours.
const MISSING_TRIES: u32 = 6;

/// The kind that lists the refunds of a payment one by one.
const REFUNDS: &str = "refunds";

/// The question about a payment that says most of how it stands with it.
pub(super) const ASKED: &str = "SELECT state, kind, id, tries, outcome, due_at FROM inquiries
    WHERE payment = ?1
    ORDER BY state = 'open' DESC, state = 'failed' DESC, inquiry LIMIT 1";

impl Store {
    /// As [`crate::ledger::Ledger::ask`].
    pub(in crate::ledger) async fn ask(&self, source: &str) -> Result<Option<Asking>, LedgerError> {
        // A look first: most of the time there is nothing to write.
        let name = source.to_owned();
        let due = self.read(move |tx| tx.due_inquiry(&name)).await?;
        if due.is_none() {
            return Ok(None);
        }
        let name = source.to_owned();
        self.write(move |tx| tx.ask(&name)).await
    }

    /// As [`crate::ledger::Ledger::answer`].
    pub(in crate::ledger) async fn answer(
        &self,
        asking: Asking,
        mut answer: Answer,
    ) -> Result<bool, LedgerError> {
        if let Answer::Told(delivery) = &mut answer {
            let reading = std::mem::replace(&mut delivery.reading, Err(String::new()));
            delivery.reading = keepable(reading);
        }
        self.write(move |tx| tx.answer(&asking, &answer)).await
    }
}

impl Tx<'_> {
    /// Writes down that a document raises an inquiry. Where it was answered
    /// before, it is asked again: the thing has changed since.
    pub(super) fn raise(
        &self,
        place: Place<'_>,
        inquiry: &Inquiry,
        origin: Origin<'_>,
        touched: &mut BTreeSet<i64>,
    ) -> Result<(), LedgerError> {
        let payment = match &inquiry.about {
            Some(about) => Some(self.subject(place, about)?),
            None => None,
        };
        touched.extend(payment);
        self.open_inquiry(
            (place.source_row, &place.scope.word()),
            (&inquiry.kind, &inquiry.id),
            payment,
            (origin.delivery, ""),
            self.now,
        )
    }

    /// The row of a payment or of the reversals that wait for one.
    fn subject(&self, place: Place<'_>, about: &Subject) -> Result<i64, LedgerError> {
        match about {
            Subject::Payment(id) => self.ensure_payment(place, id, false, self.now),
            Subject::Reference { kind, id } => self.subject_of_reference(place, kind, id),
        }
    }

    fn open_inquiry(
        &self,
        (source_row, scope): (i64, &str),
        (kind, id): (&str, &str),
        payment: Option<i64>,
        (delivery, raised_for): (Option<i64>, &str),
        due_at: Time,
    ) -> Result<(), LedgerError> {
        self.queue(
            "INSERT INTO inquiries (source, scope, kind, id, payment, delivery, raised_for,
                 raised_at, state, due_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'open', ?9)
             ON CONFLICT (source, kind, id, scope) DO UPDATE
             SET raised = inquiries.raised + 1, raised_for = excluded.raised_for, state = 'open',
                 payment = coalesce(excluded.payment, inquiries.payment),
                 delivery = coalesce(inquiries.delivery, excluded.delivery), tries = 0,
                 raised_at = excluded.raised_at,
                 due_at = CASE WHEN inquiries.due_at < excluded.due_at THEN inquiries.due_at
                               ELSE excluded.due_at END",
            params![
                source_row,
                scope,
                kind,
                id,
                payment,
                delivery,
                raised_for,
                self.now.ms(),
                due_at.ms()
            ],
        )
    }

    /// Raises what a folded payment cannot go on without, where its provider can
    /// be asked for it. True where something was raised.
    pub(super) fn raise_for(&self, folded: &Folded) -> Result<bool, LedgerError> {
        let terms = self.terms(&folded.row.source)?;
        if terms.asks.is_empty() || folded.row.reference {
            return Ok(false);
        }
        let position = &folded.standing.position;
        if position.doubt == Some(Doubt::Unlisted) && terms.asks.iter().any(|it| it == REFUNDS) {
            // Asked once for what is known now: the same answer to the same
            // facts would change nothing.
            let told = folded.book.facts.iter();
            let told = told.filter(|fact| fact.authority != Authority::Api);
            let known = told.count().to_string();
            return self.raise_once(folded, (REFUNDS, &folded.row.payment_id), &known);
        }
        if folded.standing.state != State::Unattributed {
            return Ok(false);
        }
        let mut raised = false;
        for (kind, id) in unlinked(terms, &folded.standing.finding.tried) {
            raised |= self.raise_once(folded, (kind, &id), "")?;
        }
        Ok(raised)
    }

    fn raise_once(
        &self,
        folded: &Folded,
        (kind, id): (&str, &str),
        known: &str,
    ) -> Result<bool, LedgerError> {
        let row = &folded.row;
        let before: Option<String> = self.one(
            "SELECT raised_for FROM inquiries
             WHERE source = ?1 AND kind = ?2 AND id = ?3 AND scope = ?4",
            params![row.source_row, kind, id, row.scope],
            |row| row.get(0),
        )?;
        if before.as_deref() == Some(known) {
            return Ok(false);
        }
        let (payment, due_at) = match kind {
            REFUNDS => (Some(row.payment), self.now),
            // A link may concern many payments, and its webhook may be under way.
            _ => (None, self.now.plus(LINK_PATIENCE_MS)),
        };
        let place = (row.source_row, row.scope.as_str());
        self.open_inquiry(place, (kind, id), payment, (None, known), due_at)?;
        Ok(true)
    }

    /// A link that arrived needs no question any more.
    pub(super) fn link_arrived(
        &self,
        source_row: i64,
        kind: &str,
        id: &str,
    ) -> Result<(), LedgerError> {
        self.queue(
            "UPDATE inquiries SET state = 'answered', due_at = NULL, outcome = 'it was linked meanwhile'
             WHERE source = ?1 AND kind = ?2 AND id = ?3 AND state = 'open' AND payment IS NULL",
            params![source_row, kind, id],
        )
    }

    fn due_inquiry(&self, source: &str) -> Result<Option<i64>, LedgerError> {
        self.one(
            "SELECT inquiry FROM inquiries
             WHERE source = ?1 AND due_at <= ?2 ORDER BY due_at LIMIT 1",
            params![self.source_row(source)?, self.now.ms()],
            |row| row.get(0),
        )
    }

    fn ask(&self, source: &str) -> Result<Option<Asking>, LedgerError> {
        let Some(inquiry) = self.due_inquiry(source)? else {
            return Ok(None);
        };
        self.queue(
            "UPDATE inquiries SET due_at = ?2 WHERE inquiry = ?1",
            params![inquiry, self.now.plus(ASKING_MS).ms()],
        )?;
        self.one(
            "SELECT raised, kind, id, scope, tries FROM inquiries WHERE inquiry = ?1",
            [inquiry],
            |row| {
                let scope: String = row.get(3)?;
                Ok(Asking {
                    inquiry,
                    raised: row.get(0)?,
                    source: source.to_owned(),
                    asked: Asked {
                        kind: row.get(1)?,
                        id: row.get(2)?,
                        scope: Scope::from_word(&scope),
                        // Whoever asks says when.
                        at: Time(0),
                    },
                    tries: row.get(4)?,
                })
            },
        )
    }

    fn answer(&self, asking: &Asking, answer: &Answer) -> Result<bool, LedgerError> {
        let mut woke = false;
        match answer {
            Answer::Told(delivery) => {
                let arrival = Arrival::of(delivery.as_ref().clone());
                let recorded: Recorded = self.record(&arrival)?;
                woke |= recorded.woke;
                let (state, outcome) = match &delivery.reading {
                    Err(why) => ("failed", format!("its answer could not be read: {why}")),
                    Ok(reading) => {
                        let said = reading.ignored.clone();
                        ("answered", said.unwrap_or_else(|| "it answered".to_owned()))
                    }
                };
                self.end_inquiry(asking, state, &outcome)?;
            }
            Answer::Never(why) => self.end_inquiry(asking, "failed", why)?,
            Answer::Missing(why) if asking.tries + 1 >= MISSING_TRIES => {
                self.end_inquiry(asking, "failed", why)?;
            }
            Answer::Missing(why) => self.ask_later(asking, why, None)?,
            Answer::Later { why, not_before } => {
                let raised_at: i64 = self
                    .one(
                        "SELECT raised_at FROM inquiries WHERE inquiry = ?1",
                        [asking.inquiry],
                        |row| row.get(0),
                    )?
                    .unwrap_or_default();
                let patience = self.terms(&asking.source)?.retry_for_ms;
                match self.now.since(Time(raised_at)) > patience {
                    true => self.end_inquiry(asking, "failed", why)?,
                    false => self.ask_later(asking, why, *not_before)?,
                }
            }
        }
        Ok(self.fold_who_waits(asking.inquiry)? || woke)
    }

    /// Whoever waited for the answer is folded again; a stand-in that nothing
    /// points to any more goes.
    fn fold_who_waits(&self, inquiry: i64) -> Result<bool, LedgerError> {
        let (payment, kind, id, source_row, state) = self
            .one(
                "SELECT payment, kind, id, source, state FROM inquiries WHERE inquiry = ?1",
                [inquiry],
                |row| {
                    Ok((
                        row.get::<_, Option<i64>>(0)?,
                        row.get::<_, String>(1)?,
                        row.get::<_, String>(2)?,
                        row.get::<_, i64>(3)?,
                        row.get::<_, String>(4)?,
                    ))
                },
            )?
            .ok_or_else(|| LedgerError::NotFound("the inquiry is gone".to_owned()))?;
        let mut touched = BTreeSet::new();
        match payment {
            Some(payment) if state == "answered" && self.drop_answered(payment)? => {}
            Some(payment) => touched.extend([payment]),
            // A question about a customer: its payments say what came of it.
            None => {
                self.release_waiting(source_row, &kind, &id, &mut touched)?;
            }
        }
        self.fold_all(&touched)
    }

    /// A stand-in whose question is answered and that holds nothing else.
    fn drop_answered(&self, payment: i64) -> Result<bool, LedgerError> {
        let empty: Option<i64> = self.one(
            "SELECT payment FROM payments WHERE payment = ?1 AND reference = 1
               AND NOT EXISTS (SELECT 1 FROM facts WHERE facts.payment = payments.payment)
               AND NOT EXISTS (SELECT 1 FROM inquiries
                               WHERE inquiries.payment = payments.payment AND state <> 'answered')",
            [payment],
            |row| row.get(0),
        )?;
        match empty {
            None => Ok(false),
            Some(_) => {
                self.queue(
                    "UPDATE inquiries SET payment = NULL WHERE payment = ?1",
                    [payment],
                )?;
                self.drop_empty_stand_in(payment)
            }
        }
    }

    /// Nothing that was raised meanwhile is settled by the answer.
    fn end_inquiry(&self, asking: &Asking, state: &str, outcome: &str) -> Result<(), LedgerError> {
        self.queue(
            "UPDATE inquiries
             SET state = CASE WHEN raised = ?2 THEN ?3 ELSE 'open' END,
                 due_at = CASE WHEN raised = ?2 THEN NULL ELSE ?5 END,
                 outcome = ?4, last_at = ?5, tries = tries + 1
             WHERE inquiry = ?1",
            params![asking.inquiry, asking.raised, state, outcome, self.now.ms()],
        )
    }

    fn ask_later(
        &self,
        asking: &Asking,
        why: &str,
        not_before: Option<Time>,
    ) -> Result<(), LedgerError> {
        let doubled = AGAIN_FIRST_MS.saturating_mul(1 << asking.tries.saturating_mul(2).min(20));
        let pause = self.now.plus(doubled.min(AGAIN_MOST_MS));
        let due_at = not_before.map_or(pause, |floor| floor.max(pause));
        self.queue(
            "UPDATE inquiries SET due_at = ?2, outcome = ?3, last_at = ?4, tries = tries + 1
             WHERE inquiry = ?1 AND state = 'open'",
            params![asking.inquiry, due_at.ms(), why, self.now.ms()],
        )
    }

    /// Asks again at once what got no answer: a person said "retry".
    pub(super) fn ask_again(&self, folded: &Folded) -> Result<(), LedgerError> {
        let again = "UPDATE inquiries SET state = 'open', due_at = ?1, tries = 0, raised_at = ?1";
        let row = &folded.row;
        self.queue(
            &format!("{again} WHERE payment = ?2"),
            params![self.now.ms(), row.payment],
        )?;
        for (kind, id) in unlinked(self.terms(&row.source)?, &folded.standing.finding.tried) {
            self.queue(
                &format!("{again} WHERE source = ?2 AND kind = ?3 AND id = ?4 AND scope = ?5"),
                params![self.now.ms(), row.source_row, kind, id, row.scope],
            )?;
        }
        Ok(())
    }

    /// What is asked about a payment, as a sentence; an open question first.
    pub(super) fn asked_about(
        &self,
        source: &str,
        payment: i64,
    ) -> Result<Option<(bool, String)>, LedgerError> {
        let found = self.one(ASKED, [payment], read_told)?;
        let terms = self.terms(source)?;
        Ok(found.map(|told| (told.state == "open", told.sentence(terms))))
    }

    /// Every question about a payment with its last turn, for its story.
    pub(super) fn inquiries_about(
        &self,
        row: &PaymentRow,
    ) -> Result<Vec<(Time, String)>, LedgerError> {
        let terms = self.terms(&row.source)?;
        self.all(
            "SELECT state, kind, id, tries, outcome, due_at, coalesce(last_at, raised_at)
             FROM inquiries WHERE payment = ?1 ORDER BY inquiry",
            [row.payment],
            |row| {
                let known = read_told(row)?;
                Ok((Time(row.get(6)?), format!("{}.", known.sentence(terms))))
            },
        )
    }

    /// What is asked about an id that no link names, as a sentence.
    pub(super) fn asked_for_link(
        &self,
        source: &str,
        (source_row, scope): (i64, &str),
        (kind, id): (&str, &str),
    ) -> Result<Option<String>, LedgerError> {
        let found = self.one(
            "SELECT state, kind, id, tries, outcome, due_at FROM inquiries
             WHERE source = ?1 AND kind = ?2 AND id = ?3 AND scope = ?4",
            params![source_row, kind, id, scope],
            read_told,
        )?;
        let terms = self.terms(source)?;
        Ok(found.map(|told| told.sentence(terms)))
    }
}

/// The ids that no link names and that the provider can be asked for.
fn unlinked<'t>(terms: &'t SourceTerms, tried: &'t [Tried]) -> Vec<(&'t str, String)> {
    let asked = |kind: &str| terms.asks.iter().any(|it| it == kind);
    let rules = terms.rules.iter().zip(tried);
    let missing = rules.filter(|(_, tried)| tried.came_to == CameTo::NotLinked);
    missing
        .filter_map(|(rule, tried)| rule.asks_link(tried.saw.as_deref()?))
        .filter(|(kind, _)| asked(kind))
        .collect()
}

/// What is known of an inquiry, for a reason.
struct Known {
    state: String,
    kind: String,
    id: String,
    tries: u32,
    outcome: Option<String>,
    due_at: Option<Time>,
}

fn read_told(row: &SqlRow<'_>) -> Result<Known, LedgerError> {
    Ok(Known {
        state: row.get(0)?,
        kind: row.get(1)?,
        id: row.get(2)?,
        tries: row.get(3)?,
        outcome: row.get(4)?,
        due_at: row.get::<_, Option<i64>>(5)?.map(Time),
    })
}

impl Known {
    fn sentence(&self, terms: &SourceTerms) -> String {
        let what = format!("{} {}", self.kind.replace('_', " "), self.id);
        let outcome = self.outcome.as_deref().unwrap_or_default();
        match (self.state.as_str(), self.tries, &terms.api_missing) {
            ("open", _, Some(key)) => {
                format!("the provider's API has to be asked for the {what}, and {key} is not set")
            }
            ("open", 0, None) => format!("the provider's API is asked for the {what}"),
            ("open", tries, None) => {
                let again = self
                    .due_at
                    .map_or(String::new(), |at| format!("; again at {at}"));
                let often = if tries == 1 {
                    "once".to_owned()
                } else {
                    format!("{tries} times")
                };
                format!("the provider's API was asked {often} for the {what}: {outcome}{again}")
            }
            ("failed", ..) => {
                format!(
                    "the provider's API gave nothing about the {what}: {outcome}; retry asks again"
                )
            }
            _ => format!("the provider's API was asked for the {what}: {outcome}"),
        }
    }
}
