//! Payments that nobody told of before: folded in memory from all that a delivery or a
//! file says of them, by the same code, and written once as they stand.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::ledger::sql::{ToValue, params};

use super::LedgerError;
use super::days;
use super::record::{Origin, Place, parts_of};
use super::rows::{Desk, Group};
use super::rows_told::Recorded;
use super::stand::{Folded, NOBODY};
use super::tx::{NAMED, PaymentRow, Tx};
use crate::ledger::book::{Book, SourceTerms, State};
use crate::ledger::rows::StatedRow;
use crate::movement::{Alias, Clue, Fact, Reading, Scope, Subject};
use crate::position::Doubt;
use crate::time::Time;

/// Whether anything in the ledger might concern a payment with this alias:
/// another payment with the same money, or a reversal that waits for the id.
const CONCERNS_OTHERS: &str = "SELECT
    (?5 = 1 AND EXISTS (SELECT 1 FROM aliases WHERE id = ?1 AND kind = ?2 AND provider = ?3
                        AND scope = ?4 AND money = 1))
    OR (?5 = 1 AND EXISTS (SELECT 1 FROM aliases INDEXED BY aliases_gateway
                           WHERE id = ?3 || ':' || ?1 AND kind = 'gateway' AND money = 1))
    OR EXISTS (SELECT 1 FROM facts WHERE ref_id = ?1 AND ref_kind = ?2)
    OR EXISTS (SELECT 1 FROM payments INDEXED BY payments_stand_ins
               WHERE source = ?6 AND payment_id = ?2 || ':' || ?1 AND reference = 1)";

/// The kind of alias by which a billing system names another provider's money.
pub(super) const GATEWAY: &str = "gateway";

/// What the new payments of a batch leave for its end.
#[derive(Default)]
pub(super) struct Newcomers<'r> {
    /// Their ids of money: a second payment with one of them is no newcomer.
    money: HashSet<(&'r str, &'r str, &'r Scope)>,
    /// Their aliases, to be written in the order of their key.
    aliases: Vec<(&'r Alias, &'r Scope, i64)>,
    /// What they bring into the roll-ups.
    days: days::Changes,
}

impl<'r> Newcomers<'r> {
    /// True where one of them is the same money.
    pub(super) fn concern<'a>(
        &self,
        scope: &'a Scope,
        mut aliases: impl Iterator<Item = &'a Alias>,
    ) -> bool
    where
        'r: 'a,
    {
        let money: &HashSet<(&'a str, &'a str, &'a Scope)> = &self.money;
        aliases.any(|it| money.contains(&(it.id.as_str(), it.kind.as_str(), scope)))
    }

    fn add(&mut self, payment: i64, alias: &'r Alias, scope: &'r Scope) {
        if alias.money {
            self.money.insert((&alias.id, &alias.kind, scope));
        }
        self.aliases.push((alias, scope, payment));
    }
}

impl Tx<'_> {
    /// Whether nobody told of a payment before, and nothing else that anybody told of
    /// might concern it.
    pub(super) fn is_newcomer(
        &self,
        place: Place<'_>,
        payment_id: &str,
        aliases: &[&Alias],
    ) -> Result<bool, LedgerError> {
        self.ahead(NAMED, params![place.source_row, payment_id])?;
        self.for_each_concern(place, aliases, |asked| {
            self.ahead(CONCERNS_OTHERS, asked).map(|()| true)
        })?;
        let named = self.payment_named(place.source_row, payment_id)?;
        Ok(named.is_none()
            && self.adopted_payment(place, payment_id)?.is_none()
            && !self.concerns_others(place, aliases)?)
    }

    /// True where a payment with these aliases could be somebody else's concern.
    fn concerns_others(&self, place: Place<'_>, aliases: &[&Alias]) -> Result<bool, LedgerError> {
        let mut concerned = aliases.iter().any(|alias| alias.kind == GATEWAY);
        self.for_each_concern(place, aliases, |asked| {
            let found = self.one(CONCERNS_OTHERS, asked, |row| row.get::<_, bool>(0))?;
            concerned |= found.unwrap_or(true);
            Ok(!concerned)
        })?;
        Ok(concerned)
    }

    /// Hands out what [`CONCERNS_OTHERS`] is asked with for each alias, until it is
    /// answered that this is enough.
    fn for_each_concern(
        &self,
        place: Place<'_>,
        aliases: &[&Alias],
        mut ask: impl FnMut(&[&dyn ToValue]) -> Result<bool, LedgerError>,
    ) -> Result<(), LedgerError> {
        let (provider, scope) = (&self.terms(place.source)?.provider, place.scope.word());
        for alias in aliases {
            let (id, kind, source) = (&alias.id, &alias.kind, place.source_row);
            if !ask(params![id, kind, provider, scope, alias.money, source])? {
                break;
            }
        }
        Ok(())
    }

    /// Records a document about one payment that nobody told of before. True where it
    /// became due.
    pub(super) fn record_newcomer(
        &self,
        place: Place<'_>,
        payment_id: &str,
        reading: &Reading,
        origin: Origin<'_>,
    ) -> Result<bool, LedgerError> {
        let terms = self.terms(place.source)?;
        let mut told = Told::default();
        told.add(terms, origin.said_at, 0, reading);
        let folded = self.stood_new(place, payment_id, &told, false)?;
        let mut days = days::Changes::default();
        let payment = self.insert_new(place, (&folded, &told), &mut days)?;
        for (fact, _) in &told.facts {
            self.add_fact(payment, fact, origin, None)?;
        }
        for alias in &told.aliases {
            self.insert_alias(place.source, (alias, place.scope, payment))?;
        }
        self.change(&days)?;
        match wants_more(&folded, terms) {
            true => Ok(self.fold(payment)?.standing.state == State::Due),
            false => Ok(folded.standing.state == State::Due),
        }
    }

    /// A payment of a file that nobody told of before: all that is known of it stands
    /// in these rows.
    pub(super) fn new_payment<'r>(
        &self,
        desk: &Desk<'_>,
        (group, rows): (&Group<'_>, &[&'r StatedRow]),
        newcomers: &mut Newcomers<'r>,
        batch: &mut Recorded,
    ) -> Result<(), LedgerError> {
        let terms = self.terms(&desk.from.source)?;
        let mut told = Told::default();
        for index in &group.rows {
            let (line, reading) = rows[*index];
            batch.ways[*index].news = told.add(terms, self.now, *line, reading);
        }
        let (_, first) = rows[group.rows[0]];
        let place = desk.place(first);
        let history = desk.from.no_forward;
        let folded = self.stood_new(place, group.payment_id, &told, history)?;
        let payment = self.insert_new(place, (&folded, &told), &mut newcomers.days)?;
        for (fact, line) in &told.facts {
            let said_by = desk.said_by(*line);
            let origin = Origin {
                delivery: None,
                said_by: Some(&said_by),
                said_at: self.now,
            };
            self.add_fact(payment, fact, origin, None)?;
        }
        if history {
            self.record_history(payment, desk)?;
        }
        for alias in &told.aliases {
            newcomers.add(payment, alias, &first.scope);
        }
        for index in &group.rows {
            batch.ways[*index].payment = Some(payment);
        }
        match wants_more(&folded, terms) {
            true => {
                batch.fresh.insert(payment);
                batch.touched.insert(payment);
            }
            false => batch.count(payment, None, &folded),
        }
        Ok(())
    }

    /// Where a payment stands of which nothing is known but this.
    fn stood_new(
        &self,
        place: Place<'_>,
        payment_id: &str,
        told: &Told<'_>,
        history: bool,
    ) -> Result<Folded, LedgerError> {
        let terms = self.terms(place.source)?;
        let row = PaymentRow {
            payment: 0,
            source: place.source.to_owned(),
            source_row: place.source_row,
            payment_id: payment_id.to_owned(),
            reference: false,
            scope: place.scope.word(),
            live: place.scope.live,
            destination: terms.destination.clone(),
            customer: None,
            occurred_at: self.now,
            state: State::Waiting,
            turn: NOBODY,
            due_at: None,
            claim: None,
            tries: 0,
            patience_used: 0,
            last_try_at: None,
            failed_step: None,
            failed_why: None,
            booked: None,
        };
        let mut book = Book {
            payment_id: payment_id.to_owned(),
            live: place.scope.live,
            facts: told.facts.iter().map(|(fact, _)| fact.clone()).collect(),
            clues: told.clues(),
            ..Book::default()
        };
        book.ruling.history = history;
        self.stood(row, book)
    }

    /// Makes its row and those of its clues; answers its number.
    fn insert_new(
        &self,
        place: Place<'_>,
        (folded, told): (&Folded, &Told<'_>),
        days: &mut days::Changes,
    ) -> Result<i64, LedgerError> {
        let booked = self.book_new(folded, days)?;
        let payment = self.insert_standing(folded, place.lane, booked.as_deref())?;
        for (field, (version, value)) in &told.clues {
            self.queue(
                "INSERT INTO clues (payment, field, value, version) VALUES (?1, ?2, ?3, ?4)",
                params![payment, field, value, version],
            )?;
        }
        Ok(payment)
    }

    fn insert_alias(
        &self,
        source: &str,
        (alias, scope, payment): (&Alias, &Scope, i64),
    ) -> Result<(), LedgerError> {
        self.queue(
            "INSERT INTO aliases (provider, scope, kind, id, payment, money)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
            params![
                self.terms(source)?.provider,
                scope.word(),
                alias.kind,
                alias.id,
                payment,
                alias.money
            ],
        )
    }

    /// Writes what the new payments of a batch left for its end.
    pub(super) fn finish(
        &self,
        desk: &Desk<'_>,
        mut newcomers: Newcomers<'_>,
    ) -> Result<(), LedgerError> {
        newcomers
            .aliases
            .sort_by(|(a, ..), (b, ..)| (&a.id, &a.kind).cmp(&(&b.id, &b.kind)));
        for alias in newcomers.aliases {
            self.insert_alias(&desk.from.source, alias)?;
        }
        self.change(&newcomers.days)
    }
}

/// Whether only a fold does what is left to do: it asks the provider, and looks for what
/// a lost ledger may have posted of money that went back.
fn wants_more(folded: &Folded, terms: &SourceTerms) -> bool {
    let standing = &folded.standing;
    let doubtful = standing.position.doubt == Some(Doubt::Unlisted);
    let unfinished = doubtful || standing.state == State::Unattributed;
    let asks = unfinished && !terms.asks.is_empty();
    asks || standing.state == State::Settled
}

/// The payment that a document is about, where it is about one and about nothing else
/// that others could wait for.
pub(super) fn about_one(reading: &Reading) -> Option<&str> {
    if !reading.links.is_empty() || !reading.unpriced.is_empty() || !reading.inquiries.is_empty() {
        return None;
    }
    let mut named = reading
        .movements
        .iter()
        .map(|movement| match &movement.about {
            Subject::Payment(id) => Some(id.as_str()),
            Subject::Reference { .. } => None,
        })
        .chain(reading.clues.iter().map(|it| Some(it.payment_id.as_str())))
        .chain(
            reading
                .aliases
                .iter()
                .map(|it| Some(it.payment_id.as_str())),
        );
    let first = named.next()??;
    named.all(|id| id == Some(first)).then_some(first)
}

/// All that is said of a new payment, each thing once.
#[derive(Default)]
struct Told<'r> {
    /// Facts, each with the line of the file that stated it first.
    facts: Vec<(Fact, u64)>,
    clues: BTreeMap<String, (i64, String)>,
    aliases: BTreeSet<&'r Alias>,
}

impl<'r> Told<'r> {
    /// True where this says something that what came before it did not.
    fn add(&mut self, terms: &SourceTerms, said_at: Time, line: u64, reading: &'r Reading) -> bool {
        let mut news = false;
        for alias in &reading.aliases {
            news |= self.aliases.insert(alias);
        }
        for clue in &reading.clues {
            news |= self.clue(clue.field.clone(), &clue.value, clue);
            for (field, part) in parts_of(&terms.rules, clue) {
                news |= self.clue(field, &part, clue);
            }
        }
        for movement in &reading.movements {
            let mut fact = movement.fact.clone();
            fact.at = fact.at.known_or(said_at);
            if !self.facts.iter().any(|(known, _)| *known == fact) {
                self.facts.push((fact, line));
                news = true;
            }
        }
        news
    }

    fn clue(&mut self, field: String, value: &str, clue: &Clue) -> bool {
        let said = (clue.version, value.to_owned());
        match self.clues.get(&field) {
            Some(known) if *known >= said => false,
            _ => {
                self.clues.insert(field, said);
                true
            }
        }
    }

    fn clues(&self) -> Vec<(String, String)> {
        let clues = self.clues.iter();
        clues
            .map(|(field, (_, value))| (field.clone(), value.clone()))
            .collect()
    }
}
