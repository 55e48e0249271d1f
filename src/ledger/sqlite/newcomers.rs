//! Payments of a file that nobody told of before: folded in memory from all that
//! the file says of them, by the same code, and written once as they stand.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::params;

use super::LedgerError;
use super::record::{BACKFILL, Origin, parts_of};
use super::rows::Desk;
use super::rows_told::Recorded;
use super::stand::{Folded, NOBODY};
use super::tx::{PaymentRow, Tx};
use crate::ledger::book::{Book, State};
use crate::ledger::rows::StatedRow;
use crate::movement::{Alias, Clue, Fact, Reading};
use crate::position::Doubt;

/// Whether anything in the ledger might concern a payment with this alias:
/// another payment with the same money, or a reversal that waits for the id.
const CONCERNS_OTHERS: &str = "SELECT
    (?5 = 1 AND EXISTS (SELECT 1 FROM aliases WHERE id = ?1 AND kind = ?2 AND provider = ?3
                        AND scope = ?4 AND money = 1))
    OR (?5 = 1 AND EXISTS (SELECT 1 FROM aliases WHERE id = ?3 || ':' || ?1
                           AND kind = 'gateway' AND money = 1))
    OR EXISTS (SELECT 1 FROM facts WHERE ref_id = ?1 AND ref_kind = ?2)
    OR EXISTS (SELECT 1 FROM payments WHERE source = ?6 AND payment_id = ?2 || ':' || ?1)";

/// The kind of alias by which a billing system names another provider's money.
const GATEWAY: &str = "gateway";

impl Tx<'_> {
    /// True where a payment with these aliases could be somebody else's concern.
    pub(super) fn concerns_others<'r>(
        &self,
        desk: &Desk<'_>,
        first: &Reading,
        rows: impl Iterator<Item = &'r StatedRow>,
    ) -> Result<bool, LedgerError> {
        let provider = &self.terms(&desk.from.source)?.provider;
        let scope = first.scope.word();
        for alias in rows.flat_map(|(_, reading)| &reading.aliases) {
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
    pub(super) fn new_payment(
        &self,
        desk: &Desk<'_>,
        payment_id: &str,
        rows: &[StatedRow],
        group: &[usize],
        chunk: &mut Recorded,
    ) -> Result<(), LedgerError> {
        let mut told = Told::default();
        for index in group {
            let (line, reading) = &rows[*index];
            chunk.ways[*index].news = told.add(self, desk, *line, reading)?;
        }
        let scope = &rows[group[0]].1.scope;
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
        let payment = self.insert_standing(&folded, BACKFILL)?;
        self.insert_told(payment, &told, &folded, desk)?;
        for index in group {
            chunk.ways[*index].payment = Some(payment);
        }
        let standing = &folded.standing;
        let doubtful = standing.position.doubt == Some(Doubt::Unlisted);
        let unfinished = doubtful || standing.state == State::Unattributed;
        let asks = unfinished && !terms.asks.is_empty();
        match asks || standing.state == State::Settled {
            // What only a fold does: it asks the provider, and looks for what a lost
            // ledger may have posted of money that went back.
            true => {
                chunk.fresh.insert(payment);
                chunk.touched.insert(payment);
            }
            false => chunk.count(payment, None, &folded),
        }
        Ok(())
    }

    fn insert_told(
        &self,
        payment: i64,
        told: &Told<'_>,
        folded: &Folded,
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
            self.insert(
                "INSERT INTO clues (payment, field, value, version) VALUES (?1, ?2, ?3, ?4)",
                params![payment, field, value, version],
            )?;
        }
        let provider = &self.terms(&desk.from.source)?.provider;
        for alias in &told.aliases {
            self.insert(
                "INSERT INTO aliases (provider, scope, kind, id, payment, money)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
                params![
                    provider,
                    folded.row.scope,
                    alias.kind,
                    alias.id,
                    payment,
                    alias.money
                ],
            )?;
        }
        if desk.from.no_forward {
            self.record_history(payment, desk)?;
        }
        Ok(())
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
