//! Payments that nobody told of before: folded in memory from all that deliveries or a
//! file say of them, by the same code, and written once as they stand, many together.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::ledger::sql::{ToValue, params};

use super::LedgerError;
use super::days;
use super::insert::kinds::{Int, Text};
use super::insert::{Insert, enough, values};
use super::payment::{NAMED, PaymentRow};
use super::record::{FACTS, Origin, Place, fact_values, parts_of};
use super::stand::{Folded, NOBODY, STANDINGS};
use super::tx::Tx;
use crate::ledger::book::{Book, SourceTerms, State};
use crate::movement::{Alias, Clue, Fact, Reading, Scope, Subject};
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

/// A payment that nobody told of before, as what is said of it makes it stand.
pub(super) struct Newcomer<'r> {
    place: Place<'r>,
    told: Told<'r>,
    pub folded: Folded,
}

/// The ids of money of new payments: a second payment with one of them is no newcomer.
#[derive(Default)]
pub(super) struct Money<'r>(HashSet<(&'r str, &'r str, &'r Scope)>);

impl<'r> Money<'r> {
    /// True where one of the aliases is of this money.
    pub(super) fn has<'a>(
        &self,
        scope: &'a Scope,
        mut aliases: impl Iterator<Item = &'a Alias>,
    ) -> bool
    where
        'r: 'a,
    {
        let money: &HashSet<(&'a str, &'a str, &'a Scope)> = &self.0;
        aliases.any(|it| money.contains(&(it.id.as_str(), it.kind.as_str(), scope)))
    }

    pub(super) fn add(&mut self, newcomer: &Newcomer<'r>) {
        let scope = newcomer.place.scope;
        let aliases = newcomer.told.aliases.iter().filter(|it| it.money);
        let money = aliases.map(|it| (it.id.as_str(), it.kind.as_str(), scope));
        self.0.extend(money);
    }
}

/// What the new payments of a batch leave for its end.
#[derive(Default)]
pub(super) struct Newcomers<'r> {
    /// Of those that are written.
    pub money: Money<'r>,
    /// Their aliases, to be written in the order of their key.
    aliases: Vec<(&'r Alias, Place<'r>, i64)>,
    /// What they bring into the roll-ups.
    days: days::Changes,
}

/// How clues get into their table; and aliases, where another source may have told of
/// the same.
const CLUES: Insert = Insert {
    one: "INSERT INTO clues (payment, field, value, version) VALUES (?1, ?2, ?3, ?4)",
    kinds: &[Int, Text, Text, Int],
};
const ALIASES: Insert = Insert {
    one: "INSERT INTO aliases (provider, scope, kind, id, payment, money)
          VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
    kinds: &[Text, Text, Text, Text, Int, Int],
};

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
            && self.adopted_as(place, payment_id)?.is_none()
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

    /// What documents say of a payment that nobody told of before, and where it stands by
    /// them; for each of them whether it is news.
    pub(super) fn newcomer<'r>(
        &self,
        place: Place<'r>,
        payment_id: &str,
        said: impl Iterator<Item = Said<'r>>,
        history: bool,
    ) -> Result<(Newcomer<'r>, Vec<bool>), LedgerError> {
        let terms = self.terms(place.source)?;
        let mut told = Told::default();
        let news = said.map(|it| told.add(terms, it)).collect();
        let folded = self.stood_new(place, payment_id, &told, history)?;
        let newcomer = Newcomer {
            place,
            told,
            folded,
        };
        Ok((newcomer, news))
    }

    /// Writes new payments under these numbers, and leaves the rest for
    /// [`Tx::finish`]. `origin` is that of a document about the newcomer at a place, both
    /// from 0 on.
    pub(super) fn write_newcomers<'r, 'o>(
        &self,
        fresh: &[Newcomer<'r>],
        numbers: &[i64],
        origin: impl Fn(usize, usize) -> Origin<'o>,
        left: &mut Newcomers<'r>,
    ) -> Result<(), LedgerError> {
        let (mut payments, mut facts, mut clues) = (Vec::new(), Vec::new(), Vec::new());
        let numbers = enough(numbers, fresh.len())?;
        for (at, (newcomer, payment)) in fresh.iter().zip(numbers).enumerate() {
            let Newcomer {
                place,
                told,
                folded,
            } = newcomer;
            let booked = self.book_new(folded, &mut left.days)?;
            payments.push(self.standing_values(*payment, folded, place.lane, booked.as_deref())?);
            for (fact, document) in &told.facts {
                facts.push(fact_values(*payment, fact, origin(at, *document), None)?);
            }
            for (field, (version, value)) in &told.clues {
                clues.push(values(params![payment, field, value, version])?);
            }
            let aliases = told.aliases.iter().map(|it| (*it, *place, *payment));
            left.aliases.extend(aliases);
            left.money.add(newcomer);
        }
        self.insert_all(&STANDINGS, &payments)?;
        self.insert_all(&CLUES, &clues)?;
        self.insert_all(&FACTS, &facts)?;
        self.put_many_values_in(numbers)
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

    /// Writes what the new payments of a batch left for its end.
    pub(super) fn finish(&self, mut left: Newcomers<'_>) -> Result<(), LedgerError> {
        left.aliases
            .sort_by(|(a, ..), (b, ..)| (&a.id, &a.kind).cmp(&(&b.id, &b.kind)));
        let rows = left.aliases.iter().map(|(alias, place, payment)| {
            values(params![
                self.terms(place.source)?.provider,
                place.scope.word(),
                alias.kind,
                alias.id,
                payment,
                alias.money
            ])
        });
        let rows: Result<Vec<_>, LedgerError> = rows.collect();
        self.insert_all(&ALIASES, &rows?)?;
        self.change(&left.days)
    }
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

/// A document that says something of a new payment.
#[derive(Clone, Copy)]
pub(super) struct Said<'r> {
    pub reading: &'r Reading,
    pub at: Time,
}

/// All that is said of a new payment, each thing once.
#[derive(Default)]
struct Told<'r> {
    /// Facts, each with the document that stated it first, from 0 on.
    facts: Vec<(Fact, usize)>,
    /// How many documents said something.
    documents: usize,
    clues: BTreeMap<String, (i64, String)>,
    aliases: BTreeSet<&'r Alias>,
}

impl<'r> Told<'r> {
    /// True where this says something that what came before it did not.
    fn add(&mut self, terms: &SourceTerms, said: Said<'r>) -> bool {
        let Said { reading, at } = said;
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
            fact.at = fact.at.known_or(at);
            if !self.facts.iter().any(|(known, _)| *known == fact) {
                self.facts.push((fact, self.documents));
                news = true;
            }
        }
        self.documents += 1;
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
