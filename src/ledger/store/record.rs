//! Recording a delivery: the delivery, its facts, clues, aliases and links, and
//! the payments they touch, in one transaction.
//!
//! The order of arrival decides nothing here: facts and clues compare versions,
//! and every payment touched is folded again from all that is known of it. Most
//! deliveries are no concern of any other, and go a shorter way to the same rows
//! (`together`).

use std::collections::BTreeSet;

use crate::ledger::sql::{params, unexpected};

use super::arrival::{Arrival, DELIVERIES};
use super::insert::kinds::{Int, Text};
use super::insert::{Insert, Values, values};
use super::links::part_of;
use super::tx::{Tx, word_of};
use super::values::News;
use super::{LedgerError, Store};
use crate::ledger::book::State;
use crate::ledger::{Delivery, Recorded, Taken};
use crate::lookup::Rule;
use crate::movement::{Clue, Fact, Movement, Reading, Scope, Subject};
use crate::time::Time;

impl Store {
    /// As [`crate::ledger::Ledger::record_all`].
    pub(in crate::ledger) async fn record(
        &self,
        deliveries: Vec<Delivery>,
    ) -> Vec<Result<Recorded, LedgerError>> {
        let arrivals = deliveries.into_iter().map(Arrival::of).collect();
        self.writer.record(arrivals).await
    }
}

/// And facts.
pub(super) const FACTS: Insert = Insert {
    one: "INSERT INTO facts (payment, delivery, said_by, said_at, class, fact_id, basis, rank,
              version, authority, amount, currency, at, partial_capture, product_key,
              category_key, ref_kind, ref_id)
          VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
    kinds: &[
        Int, Int, Text, Int, Text, Text, Text, Int, Int, Text, Int, Text, Int, Int, Text, Text,
        Text, Text,
    ],
};

/// The latest value of a field counts.
const SET_CLUE: &str = "INSERT INTO clues (payment, field, value, version) VALUES (?1, ?2, ?3, ?4)
     ON CONFLICT (payment, field) DO UPDATE SET value = excluded.value, version = excluded.version
     WHERE (excluded.version, excluded.value) > (clues.version, clues.value)";

/// Where a fact comes from.
#[derive(Clone, Copy)]
pub(super) struct Origin<'a> {
    /// The delivery that states it.
    pub delivery: Option<i64>,
    /// Who states it, where no delivery does.
    pub said_by: Option<&'a str>,
    /// When it was said.
    pub said_at: Time,
}

impl Tx<'_> {
    /// Records a delivery by the way on which every document can go.
    pub(super) fn record(&self, arrival: &Arrival) -> Result<Recorded, LedgerError> {
        let delivery = &arrival.delivery;
        let source_row = self.source_row(&delivery.source)?;
        self.note_delivery(source_row, delivery.received_at)?;
        let known = self.all(
            "SELECT delivery, statement = ?3, differs FROM deliveries
             WHERE source = ?1 AND delivery_id = ?2",
            params![source_row, arrival.id, arrival.statement.as_slice()],
            |row| {
                Ok((
                    row.get::<_, i64>(0)?,
                    row.get::<_, bool>(1)?,
                    row.get::<_, bool>(2)?,
                ))
            },
        )?;
        if let Some((row, _, differs)) = known.iter().find(|(_, same, _)| *same) {
            return self.resent(*row, arrival, *differs);
        }
        let differs = !known.is_empty();
        let numbers = self.numbers("deliveries", "delivery", 1)?;
        let row = *numbers.first().ok_or_else(|| unexpected("no number"))?;
        self.insert_all(&DELIVERIES, &[arrival.values(row, source_row, differs)?])?;
        let origin = Origin {
            delivery: Some(row),
            said_by: None,
            said_at: delivery.received_at,
        };
        let woke = match &delivery.reading {
            Ok(reading) => self.apply(delivery, source_row, reading, origin)?,
            Err(_) => false,
        };
        Ok(arrival.recorded(differs, woke))
    }

    /// When a source was last told anything.
    pub(super) fn note_delivery(&self, source_row: i64, at: Time) -> Result<(), LedgerError> {
        self.queue(
            "UPDATE sources SET last_delivery = ?2 WHERE source = ?1",
            params![source_row, at.ms()],
        )
    }

    /// The same delivery once more: counted, and nothing else.
    pub(super) fn resent(
        &self,
        row: i64,
        arrival: &Arrival,
        differs: bool,
    ) -> Result<Recorded, LedgerError> {
        self.queue(
            "UPDATE deliveries SET resends = resends + 1, last_resend = ?2 WHERE delivery = ?1",
            params![row, arrival.delivery.received_at.ms()],
        )?;
        Ok(Recorded {
            status: Taken::Duplicate,
            delivery: arrival.name(differs),
            woke: false,
        })
    }

    /// Applies what a document states. True where something became due.
    fn apply(
        &self,
        delivery: &Delivery,
        source_row: i64,
        reading: &Reading,
        origin: Origin<'_>,
    ) -> Result<bool, LedgerError> {
        let place = Place {
            source: &delivery.source,
            source_row,
            scope: &reading.scope,
            lane: LIVE,
        };
        let mut touched = BTreeSet::new();
        for alias in &reading.aliases {
            self.add_alias(place, alias, &mut touched)?;
        }
        for clue in &reading.clues {
            self.add_clue(place, clue, &mut touched)?;
        }
        for movement in &reading.movements {
            self.add_movement(place, movement, origin, &mut touched)?;
        }
        for unpriced in &reading.unpriced {
            self.add_unpriced(place, unpriced, origin, &mut touched)?;
        }
        for inquiry in &reading.inquiries {
            self.raise(place, inquiry, origin, &mut touched)?;
        }
        for link in &reading.links {
            self.add_feed_link(place, link, origin, &mut touched)?;
        }
        // An answer of the provider's API is as old as what was asked.
        if delivery.kept.asked.is_none() {
            for payment in &touched {
                self.let_go_first(*payment)?;
            }
        }
        self.fold_all(&touched)
    }

    /// Folds payments in the order of their rows. True where one became due.
    pub(super) fn fold_all(&self, touched: &BTreeSet<i64>) -> Result<bool, LedgerError> {
        let mut woke = false;
        for payment in touched {
            let folded = self.fold(*payment)?;
            woke |= folded.standing.state == State::Due;
        }
        Ok(woke)
    }

    /// The row of a payment, made where there is none yet.
    pub(super) fn ensure_payment(
        &self,
        place: Place<'_>,
        payment_id: &str,
        reference: bool,
        at: Time,
    ) -> Result<i64, LedgerError> {
        let adopted = |tx: &Self| tx.adopted_payment(place, payment_id);
        let named = self.payment_named(place.source_row, payment_id)?;
        if let Some(found) = named.map_or_else(|| adopted(self), |found| Ok(Some(found)))? {
            self.note_scope(place, found)?;
            return Ok(found);
        }
        let terms = self.terms(place.source)?;
        self.insert(
            "INSERT INTO payments (source, payment_id, reference, scope, live, destination,
                 occurred_at, first_seen, changed_at, state, reason, lane)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, 'waiting', 'just recorded', ?9)",
            "payment",
            params![
                place.source_row,
                payment_id,
                reference,
                place.scope.word(),
                place.scope.live,
                terms.destination,
                at.ms(),
                self.now.ms(),
                place.lane,
            ],
        )
    }

    /// Whoever says first whether it is live or a test is heard, in any order. What was
    /// read back from the destination has no scope yet.
    fn note_scope(&self, place: Place<'_>, payment: i64) -> Result<(), LedgerError> {
        self.queue(
            "UPDATE payments SET live = coalesce(live, ?2),
                 scope = CASE scope WHEN '' THEN ?3 ELSE scope END
             WHERE payment = ?1 AND ((live IS NULL AND ?2 IS NOT NULL) OR scope = '')",
            params![payment, place.scope.live, place.scope.word()],
        )
    }

    /// What a delivery says of a payment that is known, and of nothing else; its facts
    /// and values are put with those of others. An answer of the provider's API is as old
    /// as what was asked.
    pub(super) fn add_to_known(
        &self,
        place: Place<'_>,
        payment: i64,
        (delivery, reading): (&Delivery, &Reading),
        origin: Origin<'_>,
        (facts, news): (&mut Vec<Values>, &mut Vec<News>),
    ) -> Result<(), LedgerError> {
        self.note_scope(place, payment)?;
        for clue in &reading.clues {
            let parts = parts_of(&self.terms(place.source)?.rules, clue);
            let whole = (clue.field.clone(), clue.value.clone());
            for (field, value) in std::iter::once(whole).chain(parts) {
                self.queue(SET_CLUE, params![payment, field, value, clue.version])?;
                news.push(News {
                    payment,
                    field,
                    value,
                });
            }
        }
        for movement in &reading.movements {
            facts.push(fact_values(payment, &movement.fact, origin, None)?);
        }
        if delivery.kept.asked.is_none() {
            self.let_go_first(payment)?;
        }
        Ok(())
    }

    /// A payment that is told of as it moves goes before those of the past.
    fn let_go_first(&self, payment: i64) -> Result<(), LedgerError> {
        self.queue(
            "UPDATE payments SET lane = 0 WHERE payment = ?1 AND lane = 1",
            [payment],
        )
    }

    /// Adds a value that rules may use. True where it changed anything.
    pub(super) fn add_clue(
        &self,
        place: Place<'_>,
        clue: &Clue,
        touched: &mut BTreeSet<i64>,
    ) -> Result<bool, LedgerError> {
        let payment = self.ensure_payment(place, &clue.payment_id, false, self.now)?;
        touched.insert(payment);
        let mut changed = self.set_clue(payment, &clue.field, &clue.value, clue.version)?;
        for (field, part) in parts_of(&self.terms(place.source)?.rules, clue) {
            changed |= self.set_clue(payment, &field, &part, clue.version)?;
        }
        Ok(changed)
    }

    pub(super) fn set_clue(
        &self,
        payment: i64,
        field: &str,
        value: &str,
        version: i64,
    ) -> Result<bool, LedgerError> {
        let changed = self.run(SET_CLUE, params![payment, field, value, version])? > 0;
        if changed {
            self.put_news_in(&[News {
                payment,
                field: field.to_owned(),
                value: value.to_owned(),
            }])?;
        }
        Ok(changed)
    }

    fn add_movement(
        &self,
        place: Place<'_>,
        movement: &Movement,
        origin: Origin<'_>,
        touched: &mut BTreeSet<i64>,
    ) -> Result<(), LedgerError> {
        let (payment, reference) = self.subject_of(place, movement, origin)?;
        touched.insert(payment);
        self.add_fact(payment, &movement.fact, origin, reference)
    }

    /// The payment that a movement is about, made where there is none yet, and
    /// the reference by which it was named.
    pub(super) fn subject_of<'m>(
        &self,
        place: Place<'_>,
        movement: &'m Movement,
        origin: Origin<'_>,
    ) -> Result<(i64, Named<'m>), LedgerError> {
        let fact = &movement.fact;
        Ok(match &movement.about {
            Subject::Payment(id) => {
                let at = fact.at.known_or(origin.said_at);
                (self.ensure_payment(place, id, false, at)?, None)
            }
            Subject::Reference { kind, id } => match self.attached_to(place, &fact.id)? {
                Some(payment) => (payment, None),
                None => (
                    self.subject_of_reference(place, kind, id)?,
                    Some((kind, id)),
                ),
            },
        })
    }

    /// The payment to which a person attached this reversal.
    fn attached_to(&self, place: Place<'_>, reversal_id: &str) -> Result<Option<i64>, LedgerError> {
        self.one(
            "SELECT payment FROM decisions JOIN payments USING (payment)
             WHERE kind = 'attach' AND detail = ?1 AND source = ?2
             ORDER BY decision DESC LIMIT 1",
            params![reversal_id, place.source_row],
            |row| row.get(0),
        )
    }

    pub(super) fn add_fact(
        &self,
        payment: i64,
        fact: &Fact,
        origin: Origin<'_>,
        reference: Named<'_>,
    ) -> Result<(), LedgerError> {
        self.insert_all(&FACTS, &[fact_values(payment, fact, origin, reference)?])
    }
}

/// A fact's row, for [`FACTS`].
pub(super) fn fact_values(
    payment: i64,
    fact: &Fact,
    origin: Origin<'_>,
    reference: Named<'_>,
) -> Result<Values, LedgerError> {
    values(params![
        payment,
        origin.delivery,
        origin.said_by,
        origin.said_at.ms(),
        word_of(&fact.class)?,
        fact.id,
        word_of(&fact.basis)?,
        fact.rank,
        fact.version,
        word_of(&fact.authority)?,
        fact.amount,
        fact.currency.code(),
        fact.at.known_or(origin.said_at).ms(),
        fact.partial_capture,
        fact.product_key,
        fact.category_key,
        reference.map(|(kind, _)| kind),
        reference.map(|(_, id)| id),
    ])
}

/// Where a rule takes a part of the value, it asks for a link by that part, and
/// where it asks the mirror it may ask in small letters: the fields and values that
/// stand beside the clue.
pub(super) fn parts_of<'r>(
    rules: &'r [Rule],
    clue: &'r Clue,
) -> impl Iterator<Item = (String, String)> + 'r {
    let asking = rules.iter().filter(|rule| rule.field() == clue.field);
    let sought = asking.clone().filter_map(|rule| {
        let (field, value) = rule.asks_mirror(&clue.value)?;
        Some((format!("{}mirror", part_of(field)), value))
    });
    asking
        .filter_map(|rule| rule.asks_link(&clue.value))
        .map(|(kind, id)| (part_of(kind), id))
        .chain(sought)
        .filter(|(_, id)| *id != clue.value)
}

/// The kind and the id of the reference by which a payment was named, if it was.
pub(super) type Named<'m> = Option<(&'m String, &'m String)>;

/// Where a document speaks from.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub source: &'a str,
    pub source_row: i64,
    pub scope: &'a Scope,
    /// Which of the two queues a payment is made for.
    pub lane: i64,
}

/// Money that is told as it moves goes before an import's.
pub(super) const LIVE: i64 = 0;
/// Money of the past.
pub(super) const BACKFILL: i64 = 1;
