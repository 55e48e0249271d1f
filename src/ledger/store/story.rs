//! Telling one payment's story from the rows.
//!
//! Events are told in the order of time; the position beside each is folded
//! from the facts that were known then.

use std::collections::BTreeSet;

use crate::ledger::sql::params;
use crate::ledger::texts::holds_nul;
use crate::provider::Kept;

use super::stand::{Folded, read_fact};
use super::tx::Tx;
use super::{LedgerError, Store};
use crate::ledger::LinkView;
use crate::ledger::story::{
    AliasView, Event, Story, TransactionView, fact_sentence, position_sentence, summary,
};
use crate::money::Currency;
use crate::movement::Fact;
use crate::position::position;
use crate::time::Time;

/// Facts told in one story; a payment with more is shown with its newest.
const FACTS_TOLD_MOST: i64 = 2_000;

/// What one delivery or one person said about a payment.
struct Told {
    at: Time,
    kind: &'static str,
    text: String,
    facts: Vec<Fact>,
}

impl Store {
    /// As [`crate::ledger::Ledger::story`].
    pub(in crate::ledger) async fn story(
        &self,
        source: &str,
        id: &str,
    ) -> Result<Story, LedgerError> {
        let (source, id) = askable(source, id)?;
        self.read(move |tx| tx.story(&source, &id)).await
    }
}

/// A source and an id that either store can be asked for.
pub(super) fn askable(source: &str, id: &str) -> Result<(String, String), LedgerError> {
    match holds_nul(source) || holds_nul(id) {
        true => Err(LedgerError::NotFound("there is no such id".to_owned())),
        false => Ok((source.to_owned(), id.to_owned())),
    }
}

/// A delivery, and what became of it.
pub(super) struct Named {
    pub row: i64,
    at: i64,
    event: String,
    status: String,
    reason: Option<String>,
}

impl Tx<'_> {
    fn story(&self, source: &str, id: &str) -> Result<Story, LedgerError> {
        let source_row = self.source_row(source)?;
        if let Some(payment) = self.payment_named(source_row, id)? {
            return self.story_of(payment);
        }
        let by_alias: Option<i64> = self.one(
            "SELECT payment FROM aliases JOIN payments USING (payment)
             WHERE id = ?1 AND source = ?2 LIMIT 1",
            params![id, source_row],
            |row| row.get(0),
        )?;
        match by_alias {
            Some(payment) => self.story_of(payment),
            None => self.story_of_delivery(source, source_row, id),
        }
    }

    /// The delivery that is asked for by this id.
    pub(super) fn delivery_named(
        &self,
        source_row: i64,
        id: &str,
    ) -> Result<Option<Named>, LedgerError> {
        // What came under a known id with other contents is named by id~digest.
        let (plain, digest) = id.rsplit_once('~').unwrap_or((id, ""));
        let found = self.all(
            "SELECT delivery, received_at, event, status, reason, delivery_id, statement
             FROM deliveries
             WHERE source = ?1 AND (delivery_id = ?2 OR (delivery_id = ?3 AND differs = 1))
             ORDER BY delivery",
            params![source_row, id, plain],
            |row| {
                let (named, statement): (String, Vec<u8>) = (row.get(5)?, row.get(6)?);
                let by_digest = !digest.is_empty() && hex::encode(statement).starts_with(digest);
                if named != id && !by_digest {
                    return Ok(None);
                }
                let told = Named {
                    row: row.get(0)?,
                    at: row.get(1)?,
                    event: row.get(2)?,
                    status: row.get(3)?,
                    reason: row.get(4)?,
                };
                Ok(Some((named != id, told)))
            },
        )?;
        let found = found
            .into_iter()
            .flatten()
            .min_by_key(|(other, told)| (*other, told.row));
        Ok(found.map(|(_, told)| told))
    }

    /// A delivery's story is that of the payment it is about, or what became of
    /// the delivery itself.
    fn story_of_delivery(
        &self,
        source: &str,
        source_row: i64,
        id: &str,
    ) -> Result<Story, LedgerError> {
        let Some(named) = self.delivery_named(source_row, id)? else {
            return Err(LedgerError::NotFound(format!(
                "{source} has no payment and no delivery {id}"
            )));
        };
        let Named {
            row: delivery,
            at,
            event,
            status,
            reason,
        } = named;
        let payment: Option<i64> = self.one(
            "SELECT payment FROM facts WHERE delivery = ?1 LIMIT 1",
            [delivery],
            |row| row.get(0),
        )?;
        if let Some(payment) = payment {
            return self.story_of(payment);
        }
        let why = reason.map_or(String::new(), |why| format!(": {why}"));
        let named = if event.is_empty() {
            "a delivery"
        } else {
            event.as_str()
        };
        Ok(Story {
            payment: None,
            summary: format!(
                "{source} {id} is a delivery ({named}) that concerns no payment; it was {status}{why}."
            ),
            events: vec![Event {
                at: Time(at).to_string(),
                kind: "delivery",
                text: format!("{named} arrived and was {status}"),
                position: None,
            }],
            lookup: Vec::new(),
            links: Vec::new(),
            facts: Vec::new(),
            transactions: Vec::new(),
            aliases: Vec::new(),
        })
    }

    fn story_of(&self, payment: i64) -> Result<Story, LedgerError> {
        let folded = self.look(payment)?;
        let view = self.view(payment)?;
        let mut told = self.deliveries_about(payment)?;
        told.extend(self.statements_about(payment)?);
        told.extend(self.decisions_about(payment)?);
        let currency = folded
            .standing
            .position
            .capture
            .as_ref()
            .map(|capture| capture.currency);
        told.extend(self.calls_about(payment, currency)?);
        let inquiries = self.inquiries_about(&folded.row)?;
        told.extend(inquiries.into_iter().map(|(at, text)| Told {
            at,
            kind: "inquiry",
            text,
            facts: Vec::new(),
        }));
        told.sort_by_key(|told| told.at);
        let mut known = Vec::new();
        let events = told.into_iter().map(|told| {
            let moved = !told.facts.is_empty();
            known.extend(told.facts);
            Event {
                at: told.at.to_string(),
                kind: told.kind,
                text: told.text,
                position: moved.then(|| position_sentence(&position(&known))),
            }
        });
        let copied_at = self.copied_at(&folded.row.destination)?;
        let closed = copied_at.map_or(String::new(), |at| {
            format!(" Meanwhile {}.", crate::ledger::copied_sentence(at))
        });
        Ok(Story {
            events: events.collect(),
            summary: summary(&view, &folded.standing.position) + &closed,
            links: self.links_for(&folded)?,
            transactions: self.transactions(&folded)?,
            aliases: self.all(
                "SELECT kind, id FROM aliases WHERE payment = ?1 ORDER BY kind, id",
                [payment],
                |row| {
                    Ok(AliasView {
                        kind: row.get(0)?,
                        id: row.get(1)?,
                    })
                },
            )?,
            lookup: folded.standing.finding.tried,
            facts: folded.book.facts,
            payment: Some(view),
        })
    }

    fn deliveries_about(&self, payment: i64) -> Result<Vec<Told>, LedgerError> {
        let deliveries = self.all(
            "SELECT delivery, received_at, event, delivery_id, secret, differs, resends,
                    kept, reason
             FROM deliveries WHERE delivery IN
                  (SELECT delivery FROM facts WHERE payment = ?1
                   UNION SELECT delivery FROM unpriced WHERE payment = ?1
                   UNION SELECT delivery FROM inquiries WHERE payment = ?1)
             ORDER BY delivery DESC LIMIT ?2",
            params![payment, FACTS_TOLD_MOST],
            |row| {
                let (at, event): (i64, String) = (row.get(1)?, row.get(2)?);
                let (id, secret): (String, i64) = (row.get(3)?, row.get(4)?);
                let (differs, resends): (bool, i64) = (row.get(5)?, row.get(6)?);
                let asked = asked_about(row.get(7)?);
                let again = match resends {
                    0 => String::new(),
                    times => format!(" It came {times} more times, which changed nothing."),
                };
                let other = match differs {
                    true => " The same id came before with other contents.",
                    false => "",
                };
                let whence = match asked {
                    Some(asked) => format!("the provider's API answered about {asked}"),
                    None => format!("{event} ({id}, signed with secret {})", secret + 1),
                };
                let partly = row
                    .get::<_, Option<String>>(8)?
                    .map_or(String::new(), |why| {
                        format!(" Other parts of it were left out: {why}.")
                    });
                let after = format!("{again}{other}{partly}");
                Ok((row.get::<_, i64>(0)?, Time(at), whence, after))
            },
        )?;
        let mut all = Vec::with_capacity(deliveries.len());
        for (delivery, at, whence, after) in deliveries {
            let facts = self.all(
                "SELECT class, fact_id, basis, rank, version, authority, amount, currency, at,
                        partial_capture, product_key, category_key
                 FROM facts WHERE delivery = ?1 AND payment = ?2 ORDER BY fact",
                params![delivery, payment],
                read_fact,
            )?;
            let said: Vec<String> = facts.iter().map(fact_sentence).collect();
            let said = match said.is_empty() {
                true => "it names this payment and says no amount".to_owned(),
                false => said.join("; "),
            };
            all.push(Told {
                at,
                kind: "delivery",
                text: format!("{whence}: {said}.{after}"),
                facts,
            });
        }
        Ok(all)
    }

    fn statements_about(&self, payment: i64) -> Result<Vec<Told>, LedgerError> {
        self.all(
            "SELECT class, fact_id, basis, rank, version, authority, amount, currency, at,
                    partial_capture, product_key, category_key, said_by, said_at
             FROM facts WHERE payment = ?1 AND delivery IS NULL ORDER BY fact",
            [payment],
            |row| {
                let fact = read_fact(row)?;
                let (who, at): (String, i64) = (row.get(12)?, row.get(13)?);
                Ok(Told {
                    at: Time(at),
                    kind: "statement",
                    text: format!("{who} stated: {}.", fact_sentence(&fact)),
                    facts: vec![fact],
                })
            },
        )
    }

    fn decisions_about(&self, payment: i64) -> Result<Vec<Told>, LedgerError> {
        self.all(
            "SELECT kind, detail, who, why, at FROM decisions WHERE payment = ?1 ORDER BY decision",
            [payment],
            |row| {
                let (kind, detail): (String, String) = (row.get(0)?, row.get(1)?);
                let (who, why): (String, String) = (row.get(2)?, row.get(3)?);
                let what = match kind.as_str() {
                    "retry" => "decided to try again".to_owned(),
                    "skip" => "decided to forward nothing".to_owned(),
                    "accept" => "decided to go on in spite of the reason".to_owned(),
                    "policy" => format!("decided to go on by the policy \"{detail}\""),
                    "customer" => format!("decided that it belongs to the customer {detail}"),
                    "move" => format!("decided to move it to the customer {detail}"),
                    "history" => "recorded it as history only".to_owned(),
                    "adopt" => "read its transactions back from the destination, because this \
                                ledger was restored or is new"
                        .to_owned(),
                    "explained" => {
                        "found that what the ledger knows explains what was read back".to_owned()
                    }
                    "attach" => format!("decided that the reversal {detail} belongs here"),
                    other => other.to_owned(),
                };
                let because = if why.is_empty() {
                    String::new()
                } else {
                    format!(": {why}")
                };
                Ok(Told {
                    at: Time(row.get(4)?),
                    kind: "decision",
                    text: format!("{who} {what}{because}."),
                    facts: Vec::new(),
                })
            },
        )
    }

    fn calls_about(
        &self,
        payment: i64,
        currency: Option<Currency>,
    ) -> Result<Vec<Told>, LedgerError> {
        self.all(
            "SELECT call, attempts.amount, begun_at, outcome, detail, key
             FROM attempts JOIN transactions USING (payment, seq)
             WHERE payment = ?1 ORDER BY attempt DESC LIMIT ?2",
            params![payment, FACTS_TOLD_MOST],
            |row| {
                let (call, amount): (String, i64) = (row.get(0)?, row.get(1)?);
                let (outcome, detail): (Option<String>, Option<String>) =
                    (row.get(3)?, row.get(4)?);
                let key: String = row.get(5)?;
                let money = currency.map_or(amount.to_string(), |currency| currency.show(amount));
                let what = match call.as_str() {
                    "post" => format!("posted {money} as {key}"),
                    "delete" => format!("deleted {key} ({money})"),
                    _ => format!("read {key} back"),
                };
                let answer = outcome_sentence(outcome.as_deref());
                let more = detail.map_or(String::new(), |detail| format!(" ({detail})"));
                Ok(Told {
                    at: Time(row.get(2)?),
                    kind: if call == "confirm" {
                        "read-back"
                    } else {
                        "call"
                    },
                    text: format!("{what}: {answer}{more}."),
                    facts: Vec::new(),
                })
            },
        )
    }

    /// The links that this payment's rules could use.
    fn links_for(&self, folded: &Folded) -> Result<Vec<LinkView>, LedgerError> {
        let mut links = Vec::new();
        let mut seen = BTreeSet::new();
        for rule in &self.terms(&folded.row.source)?.rules {
            let clue = folded
                .book
                .clues
                .iter()
                .find(|(field, _)| field == rule.field());
            if let Some((kind, id)) = clue.and_then(|(_, value)| rule.asks_link(value))
                && seen.insert((kind.to_owned(), id.clone()))
            {
                links.extend(self.links(&folded.row.source, kind, &id)?);
            }
        }
        Ok(links)
    }

    fn transactions(&self, folded: &Folded) -> Result<Vec<TransactionView>, LedgerError> {
        let named = self.all(
            "SELECT key, destination, created_at, reversal_of FROM transactions
             WHERE payment = ?1 ORDER BY seq",
            [folded.row.payment],
            |row| {
                let at: i64 = row.get(2)?;
                Ok((row.get(0)?, row.get(1)?, Time(at).to_string(), row.get(3)?))
            },
        )?;
        let views = named.into_iter().zip(&folded.book.rows).map(
            |((key, destination, created_at, reversal_of), row)| TransactionView {
                key,
                destination,
                created_at,
                reversal_of,
                row: row.clone(),
            },
        );
        Ok(views.collect())
    }
}

/// How a call ended, for a person.
fn outcome_sentence(outcome: Option<&str>) -> &'static str {
    match outcome {
        None => "under way, or cut off before the answer",
        Some("presumed") => {
            "the ledger that was lost may have done it; it is read back before anything is sent"
        }
        Some("accepted") => "accepted",
        Some("refused") => "refused",
        Some("customer_unknown") => "the destination does not know the customer",
        Some("gone") => "it is not there",
        Some("wrong_credentials") => "the destination refused our credentials",
        Some("misdirected") => "the address answered with a redirect",
        Some("later") => "the destination asked to come later",
        Some("unknown") => "no clear answer; it must be read back before anything is sent again",
        Some("not_sent") => "it could not be sent",
        Some("mismatch") => "the destination holds something else under this key",
        Some("found") => "it is there",
        Some("absent") => "it is not there, and now that is believed",
        Some("not_believed") => "it is not listed, which is not believed yet",
        Some("could_not_tell") => "the list could not be read to its end",
        Some("differs") => "the destination holds something else",
        Some(_) => "ended",
    }
}

/// What the provider's API was asked about, where a delivery is its answer.
fn asked_about(kept: Option<String>) -> Option<String> {
    let kept: Kept = serde_json::from_str(&kept?).ok()?;
    let asked = kept.asked?;
    Some(format!("{} {}", asked.kind, asked.id))
}
