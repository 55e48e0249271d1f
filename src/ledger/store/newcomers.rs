//! Payments of a file that nobody told of before: folded in memory from all that
//! the file says of them, by the same code, and written once as they stand.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::ledger::sql::params;

use super::LedgerError;
use super::days;
use super::record::{BACKFILL, Origin, parts_of};
use super::rows::{Desk, Group};
use super::rows_told::Recorded;
use super::stand::NOBODY;
use super::tx::{PaymentRow, Tx};
use crate::ledger::book::{Book, State};
use crate::ledger::rows::StatedRow;
use crate::movement::{Alias, Clue, Fact, Reading, Scope};
use crate::position::Doubt;

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
    /// True where a payment with these aliases could be somebody else's concern.
    pub(super) fn concerns_others<'r>(
        &self,
        desk: &Desk<'_>,
        scope: &Scope,
        aliases: impl Iterator<Item = &'r Alias>,
    ) -> Result<bool, LedgerError> {
        let provider = &self.terms(&desk.from.source)?.provider;
        let scope = scope.word();
        for alias in aliases {
            let found = self.one(
                CONCERNS_OTHERS,
                params![
                    alias.id,
                    alias.kind,
                    provider,
                    scope,
                    alias.money,
                    desk.source_row
                ],
                |row| row.get::<_, bool>(0),
            )?;
            if alias.kind == GATEWAY || found.unwrap_or(true) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A payment that nobody told of before: all that is known of it stands in
    /// these rows, so it is folded from them and written as it stands.
    pub(super) fn new_payment<'r>(
        &self,
        desk: &Desk<'_>,
        (group, rows): (&Group<'_>, &[&'r StatedRow]),
        newcomers: &mut Newcomers<'r>,
        batch: &mut Recorded,
    ) -> Result<(), LedgerError> {
        let mut told = Told::default();
        for index in &group.rows {
            let (line, reading) = rows[*index];
            batch.ways[*index].news = told.add(self, desk, *line, reading)?;
        }
        let (_, first) = rows[group.rows[0]];
        let scope = &first.scope;
        let payment_id = group.payment_id;
        let terms = self.terms(&desk.from.source)?;
        let row = PaymentRow {
            payment: 0,
            source: desk.from.source.clone(),
            source_row: desk.source_row,
            payment_id: payment_id.to_owned(),
            reference: false,
            scope: scope.word(),
            live: scope.live,
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
            live: scope.live,
            facts: told.facts.iter().map(|(fact, _)| fact.clone()).collect(),
            clues: told.clues(),
            ..Book::default()
        };
        book.ruling.history = desk.from.no_forward;
        let folded = self.stood(row, book)?;
        let booked = self.book_new(&folded, &mut newcomers.days)?;
        let payment = self.insert_standing(&folded, BACKFILL, booked.as_deref())?;
        self.insert_told(payment, &told, desk)?;
        for alias in &told.aliases {
            newcomers.add(payment, alias, scope);
        }
        for index in &group.rows {
            batch.ways[*index].payment = Some(payment);
        }
        let standing = &folded.standing;
        let doubtful = standing.position.doubt == Some(Doubt::Unlisted);
        let unfinished = doubtful || standing.state == State::Unattributed;
        let asks = unfinished && !terms.asks.is_empty();
        match asks || standing.state == State::Settled {
            // What only a fold does: it asks the provider, and looks for what a lost
            // ledger may have posted of money that went back.
            true => {
                batch.fresh.insert(payment);
                batch.touched.insert(payment);
            }
            false => batch.count(payment, None, &folded),
        }
        Ok(())
    }

    fn insert_told(
        &self,
        payment: i64,
        told: &Told<'_>,
        desk: &Desk<'_>,
    ) -> Result<(), LedgerError> {
        for (fact, line) in &told.facts {
            let said_by = desk.said_by(*line);
            let origin = Origin {
                delivery: None,
                said_by: Some(&said_by),
                said_at: self.now,
            };
            self.add_fact(payment, fact, origin, None)?;
        }
        for (field, (version, value)) in &told.clues {
            self.run(
                "INSERT INTO clues (payment, field, value, version) VALUES (?1, ?2, ?3, ?4)",
                params![payment, field, value, version],
            )?;
        }
        if desk.from.no_forward {
            self.record_history(payment, desk)?;
        }
        Ok(())
    }
    /// Writes what the new payments of a batch left for its end.
    pub(super) fn finish(
        &self,
        desk: &Desk<'_>,
        mut newcomers: Newcomers<'_>,
    ) -> Result<(), LedgerError> {
        let provider = &self.terms(&desk.from.source)?.provider;
        newcomers
            .aliases
            .sort_by(|(a, ..), (b, ..)| (&a.id, &a.kind).cmp(&(&b.id, &b.kind)));
        for (alias, scope, payment) in newcomers.aliases {
            self.run(
                "INSERT INTO aliases (provider, scope, kind, id, payment, money)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
                params![
                    provider,
                    scope.word(),
                    alias.kind,
                    alias.id,
                    payment,
                    alias.money
                ],
            )?;
        }
        self.change(&newcomers.days)
    }
}

/// All that the rows of a new payment say, each thing once.
#[derive(Default)]
struct Told<'r> {
    /// Facts, each with the line that stated it first.
    facts: Vec<(Fact, u64)>,
    clues: BTreeMap<String, (i64, String)>,
    aliases: BTreeSet<&'r Alias>,
}

impl<'r> Told<'r> {
    /// True where the row says something that those before it did not.
    fn add(
        &mut self,
        tx: &Tx<'_>,
        desk: &Desk<'_>,
        line: u64,
        reading: &'r Reading,
    ) -> Result<bool, LedgerError> {
        let rules = &tx.terms(&desk.from.source)?.rules;
        let mut news = false;
        for alias in &reading.aliases {
            news |= self.aliases.insert(alias);
        }
        for clue in &reading.clues {
            news |= self.clue(clue.field.clone(), &clue.value, clue);
            for (field, part) in parts_of(rules, clue) {
                news |= self.clue(field, &part, clue);
            }
        }
        for movement in &reading.movements {
            let mut fact = movement.fact.clone();
            fact.at = fact.at.known_or(tx.now);
            if !self.facts.iter().any(|(known, _)| *known == fact) {
                self.facts.push((fact, line));
                news = true;
            }
        }
        Ok(news)
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
