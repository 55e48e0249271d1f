//! Recording the rows of a file: many in one transaction, each told.
//!
//! A row states what its webhook would have stated, and every payment it touches
//! is folded by the same code. What is there already is found out and not stored
//! again, so the same file twice changes nothing. A payment that nobody told of
//! before is folded in memory and written once, because that is most of a first
//! import; where anything else in the ledger might concern it, it takes the way
//! of every delivery.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use rusqlite::params;
use sha2::{Digest, Sha256};

use super::record::{BACKFILL, Origin, Place, parts_of};
use super::stand::{Folded, NOBODY};
use super::tx::{PaymentRow, Tx, word_of};
use super::{LedgerError, Store, lock, schema};
use crate::ledger::book::{Book, SourceTerms, State};
use crate::ledger::rows::{
    self, Changes, Fate, Feed, RowTold, RowsFrom, RowsTaken, Standing, StatedRow, Sums,
};
use crate::money::LARGEST_MINOR;
use crate::movement::{Alias, Clue, Fact, Reading, Subject};
use crate::position::Doubt;
use crate::time::Clock;

/// How long one transaction takes rows while a service of another process takes
/// deliveries on the same file, in milliseconds: its own wait is a second.
const BESIDE_SERVE_MS: i64 = 200;
/// The same inside the process that serves: deliveries wait in its own queue.
const WITHIN_SERVE_MS: i64 = 100;
/// The same where nobody serves; a command waits five seconds for its turn.
const ALONE_MS: i64 = 2_000;
/// How long the file is left to others between two transactions, in
/// milliseconds: who waits for a lock looks every 100 ms at the latest.
const LEFT_TO_OTHERS_MS: u64 = 110;

/// Rows in one transaction at most, and what is told of them in bytes, so that
/// memory does not grow with the file.
const ROWS_MOST: usize = 200_000;
const TOLD_MOST_BYTES: usize = 4 * 1024 * 1024;

/// Pages that the importing connection keeps, in KiB: enough for the upper
/// levels of every index of millions of payments.
const CACHE_KIB: i64 = 24 * 1024;
/// Pages in the log before they are brought home, while rows are recorded: a
/// page that many rows touch is then written there once.
const CHECKPOINT_PAGES: i64 = 8_000;

/// Whether a fact is there already, whoever stated it in the same words.
const FACT_KNOWN: &str = "SELECT 1 FROM facts
    WHERE payment = ?1 AND class = ?2 AND fact_id = ?3 AND basis = ?4 AND rank = ?5
      AND version = ?6 AND authority = ?7 AND amount = ?8 AND currency = ?9
      AND (at = ?10 OR ?10 = 0) AND partial_capture = ?11
      AND product_key IS ?12 AND category_key IS ?13 LIMIT 1";

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

impl Store {
    /// As [`crate::ledger::Ledger::record_rows`].
    pub(in crate::ledger) async fn record_rows(
        &self,
        from: Arc<RowsFrom>,
        feed: Feed,
    ) -> Result<RowsTaken, LedgerError> {
        let longest_ms = match (self.shared.serving, schema::is_locked(&self.path)) {
            (true, _) => WITHIN_SERVE_MS,
            (false, true) => BESIDE_SERVE_MS,
            (false, false) => ALONE_MS,
        };
        let clock = self.shared.clock.clone();
        let until_ms = move |clock: &Clock| clock.read().boot_ms.saturating_add(longest_ms);
        let taken = self
            .write_alone(move |tx| tx.record_rows(&from, &feed, (&clock, until_ms(&clock))))
            .await?;
        if !self.shared.serving {
            tokio::time::sleep(std::time::Duration::from_millis(LEFT_TO_OTHERS_MS)).await;
        }
        Ok(taken)
    }

    /// As [`crate::ledger::Ledger::prepare_for_rows`].
    pub(in crate::ledger) async fn prepare_for_rows(&self) -> Result<(), LedgerError> {
        if self.shared.serving {
            return Ok(());
        }
        self.write(|tx| {
            tx.conn.pragma_update(None, "cache_size", -CACHE_KIB)?;
            let wal = "wal_autocheckpoint";
            tx.conn.pragma_update(None, wal, CHECKPOINT_PAGES)?;
            Ok(())
        })
        .await
    }
}

/// A row's way through its chunk.
struct Way {
    line: u64,
    /// The payment whose state it is told with.
    payment: Option<i64>,
    news: bool,
}

/// What the rows of a chunk came to.
#[derive(Default)]
struct Recorded {
    ways: Vec<Way>,
    /// To be folded at its end.
    touched: BTreeSet<i64>,
    /// Rows that could not be recorded, and why.
    rejected: HashMap<usize, String>,
    /// Rows of which nothing is counted, and why.
    ignored: HashMap<usize, String>,
    /// How the payments stand, where one was folded.
    stands: HashMap<i64, (State, Option<String>)>,
    changes: Changes,
    due: i64,
}

/// What the rows of one file share.
struct Desk<'a> {
    from: &'a RowsFrom,
    source_row: i64,
    /// What else decides what a row comes to.
    circumstances: Vec<u8>,
}

impl Desk<'_> {
    fn place<'r>(&'r self, reading: &'r Reading) -> Place<'r> {
        Place {
            source: &self.from.source,
            source_row: self.source_row,
            scope: &reading.scope,
            lane: BACKFILL,
        }
    }

    fn digest(&self, of_rows: &[u8]) -> [u8; 32] {
        let hasher = Sha256::new().chain_update(&self.circumstances);
        hasher.chain_update(of_rows).finalize().into()
    }

    fn said_by(&self, line: u64) -> String {
        format!("import {} line {line}", self.from.file)
    }
}

impl Tx<'_> {
    fn record_rows(
        &self,
        from: &RowsFrom,
        feed: &Feed,
        (clock, until_ms): (&Clock, i64),
    ) -> Result<RowsTaken, LedgerError> {
        let desk = Desk {
            from,
            source_row: self.source_row(&from.source)?,
            circumstances: circumstances(self.terms(&from.source)?, from),
        };
        let mut taken = RowsTaken::default();
        let mut told_bytes = 0;
        while clock.read().boot_ms < until_ms
            && taken.told.len() < ROWS_MOST
            && told_bytes < TOLD_MOST_BYTES
        {
            let Some(chunk) = (lock(feed))() else {
                break;
            };
            let before = taken.told.len();
            self.chunk_once(&desk, &chunk, &mut taken)?;
            let reasons = taken.told[before..].iter();
            told_bytes += reasons
                .map(|told| told.reason.as_ref().map_or(0, String::len))
                .sum::<usize>();
        }
        Ok(taken)
    }

    /// A chunk whose every statement was recorded before under the same rules is
    /// known by its digest; nothing that was stated ever leaves the ledger.
    fn chunk_once(
        &self,
        desk: &Desk<'_>,
        chunk: &rows::Chunk,
        taken: &mut RowsTaken,
    ) -> Result<(), LedgerError> {
        let digest = desk.digest(&chunk.digest);
        let known: Option<i64> = self.one(
            "SELECT 1 FROM recorded_chunks WHERE digest = ?1",
            [digest.as_slice()],
            |row| row.get(0),
        )?;
        if known.is_some() {
            taken.told.extend(chunk.rows.iter().map(known_again));
            return Ok(());
        }
        let recorded = self.chunk(desk, &chunk.rows)?;
        if recorded.rejected.is_empty() {
            self.insert(
                "INSERT INTO recorded_chunks (digest) VALUES (?1)",
                [digest.as_slice()],
            )?;
        }
        recorded.tell(taken);
        Ok(())
    }

    fn chunk(&self, desk: &Desk<'_>, rows: &[StatedRow]) -> Result<Recorded, LedgerError> {
        let mut chunk = Recorded::default();
        // The rows of one payment, by the first of them.
        let mut groups: Vec<Vec<usize>> = Vec::with_capacity(rows.len());
        let mut group_of: HashMap<(&str, &crate::movement::Scope), usize> = HashMap::new();
        for (index, (_, reading)) in rows.iter().enumerate() {
            chunk
                .ignored
                .extend(reading.ignored.as_ref().map(|why| (index, why.clone())));
            chunk.ways.push(Way {
                line: rows[index].0,
                payment: None,
                news: false,
            });
            if let Err(why) = recordable(reading) {
                chunk.rejected.insert(index, why.to_owned());
                continue;
            }
            match about_one(reading) {
                Some(payment_id) => {
                    let next = groups.len();
                    let group = *group_of.entry((payment_id, &reading.scope)).or_insert(next);
                    match groups.get_mut(group) {
                        Some(group) => group.push(index),
                        None => groups.push(vec![index]),
                    }
                }
                None => self.row_as_told(desk, &rows[index], index, &mut chunk)?,
            }
        }
        for group in &groups {
            self.group(desk, rows, group, &mut chunk)?;
        }
        let touched = std::mem::take(&mut chunk.touched);
        for payment in &touched {
            self.fold_counted(*payment, &mut chunk)?;
        }
        Ok(chunk)
    }

    /// The rows of one payment.
    fn group(
        &self,
        desk: &Desk<'_>,
        rows: &[StatedRow],
        group: &[usize],
        chunk: &mut Recorded,
    ) -> Result<(), LedgerError> {
        let (_, first) = &rows[group[0]];
        let Some(payment_id) = about_one(first) else {
            return Ok(());
        };
        let known = self.payment_named(desk.source_row, payment_id)?;
        let place = desk.place(first);
        if known.is_none() && self.adopted_payment(place, payment_id)?.is_none() {
            let members = || group.iter().map(|index| &rows[*index]);
            if !self.concerns_others(desk, first, members())? {
                return self.new_payment(desk, payment_id, rows, group, chunk);
            }
        }
        for index in group {
            let (_, reading) = &rows[*index];
            let place = desk.place(reading);
            let told = known.map(|payment| self.is_told(place, payment, reading));
            match (known, told.transpose()?) {
                (Some(payment), Some(true)) if !desk.from.no_forward => {
                    chunk.ways[*index].payment = Some(payment);
                }
                _ => self.row_as_told(desk, &rows[*index], *index, chunk)?,
            }
        }
        Ok(())
    }

    /// True where all that a row says of its payment is there already; one look
    /// for each thing, and nothing written.
    fn is_told(
        &self,
        place: Place<'_>,
        payment: i64,
        reading: &Reading,
    ) -> Result<bool, LedgerError> {
        for movement in &reading.movements {
            if !self.is_known(payment, &movement.fact)? {
                return Ok(false);
            }
        }
        let terms = self.terms(place.source)?;
        let parted = |clue: &Clue| parts_of(&terms.rules, clue).next().is_some();
        for clue in &reading.clues {
            let known: Option<i64> = self.one(
                "SELECT 1 FROM clues WHERE payment = ?1 AND field = ?2
                   AND (version, value) >= (?3, ?4)",
                params![payment, clue.field, clue.version, clue.value],
                |row| row.get(0),
            )?;
            if known.is_none() || parted(clue) {
                return Ok(false);
            }
        }
        let scope = place.scope.word();
        for alias in &reading.aliases {
            let known: Option<i64> = self.one(
                "SELECT 1 FROM aliases
                 WHERE id = ?1 AND kind = ?2 AND provider = ?3 AND scope = ?4 AND payment = ?5",
                params![alias.id, alias.kind, terms.provider, scope, payment],
                |row| row.get(0),
            )?;
            if known.is_none() {
                return Ok(false);
            }
        }
        // Whether it is live may be news.
        let unsaid: Option<i64> = match place.scope.live {
            None => None,
            Some(_) => self.one(
                "SELECT 1 FROM payments WHERE payment = ?1 AND (live IS NULL OR scope = '')",
                [payment],
                |row| row.get(0),
            )?,
        };
        Ok(unsaid.is_none())
    }

    /// True where a payment with these aliases could be somebody else's concern.
    fn concerns_others<'r>(
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
    fn new_payment(
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
        let doubtful = folded.standing.position.doubt == Some(Doubt::Unlisted);
        let unfinished = doubtful || folded.standing.state == State::Unattributed;
        match unfinished && !terms.asks.is_empty() {
            // The provider may have to be asked.
            true => chunk.touched.extend([payment]),
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

    /// A row by the way that every delivery takes.
    fn row_as_told(
        &self,
        desk: &Desk<'_>,
        (line, reading): &StatedRow,
        index: usize,
        chunk: &mut Recorded,
    ) -> Result<(), LedgerError> {
        let place = desk.place(reading);
        let said_by = desk.said_by(*line);
        let origin = Origin {
            delivery: None,
            said_by: Some(&said_by),
            said_at: self.now,
        };
        let (mut touched, mut news, mut about) = (BTreeSet::new(), false, None);
        for alias in &reading.aliases {
            news |= self.add_alias(place, alias, &mut touched)?;
        }
        for clue in &reading.clues {
            news |= self.add_clue(place, clue, &mut touched)?;
        }
        for movement in &reading.movements {
            let (payment, reference) = self.subject_of(place, movement, origin)?;
            about.get_or_insert(payment);
            if !self.is_known(payment, &movement.fact)? {
                self.add_fact(payment, &movement.fact, origin, reference)?;
                touched.insert(payment);
                news = true;
            }
        }
        for link in &reading.links {
            news |= self.add_feed_link(place, link, origin, &mut touched)?;
        }
        let about = about.or_else(|| touched.first().copied());
        if desk.from.no_forward
            && let Some(payment) = about
            && self.record_history(payment, desk)?
        {
            touched.insert(payment);
            news = true;
        }
        if news {
            chunk.touched.extend(touched);
        }
        chunk.ways[index].payment = about;
        chunk.ways[index].news = news;
        Ok(())
    }

    fn is_known(&self, payment: i64, fact: &Fact) -> Result<bool, LedgerError> {
        let found: Option<i64> = self.one(
            FACT_KNOWN,
            params![
                payment,
                word_of(&fact.class)?,
                fact.id,
                word_of(&fact.basis)?,
                fact.rank,
                fact.version,
                word_of(&fact.authority)?,
                fact.amount,
                fact.currency.code(),
                fact.at.ms(),
                fact.partial_capture,
                fact.product_key,
                fact.category_key,
            ],
            |row| row.get(0),
        )?;
        Ok(found.is_some())
    }

    /// Writes down that a payment is history only: one that only files told of,
    /// that was never forwarded, and about which nobody said so before.
    fn record_history(&self, payment: i64, desk: &Desk<'_>) -> Result<bool, LedgerError> {
        let word = &desk.from.word;
        let added = self.run(
            "INSERT INTO decisions (payment, kind, detail, who, why, at, made_for)
             SELECT payment, 'history', '', ?2, ?3, ?4, '' FROM payments
             WHERE payment = ?1 AND lane = 1 AND reference = 0
               AND NOT EXISTS (SELECT 1 FROM transactions WHERE transactions.payment = ?1)
               AND NOT EXISTS (SELECT 1 FROM decisions
                               WHERE decisions.payment = ?1 AND kind = 'history')",
            params![payment, word.who, word.why, word.at.ms()],
        )?;
        Ok(added > 0)
    }

    /// Folds a payment and counts how its money changed. One that is gone was a
    /// stand-in whose reversals found their payment.
    fn fold_counted(&self, payment: i64, chunk: &mut Recorded) -> Result<(), LedgerError> {
        let Some(before) = self.standing_now(payment)? else {
            return Ok(());
        };
        let folded = self.fold(payment)?;
        chunk.count(payment, before, &folded);
        Ok(())
    }

    /// How a payment stood until now; `None` inside for one that was never folded.
    fn standing_now(&self, payment: i64) -> Result<Option<Option<(Standing, Sums)>>, LedgerError> {
        self.one(
            "SELECT state, customer, currency, gross, reversed, tried IS NULL FROM payments
             WHERE payment = ?1",
            [payment],
            |row| {
                if row.get(5)? {
                    return Ok(None);
                }
                let state: String = row.get(0)?;
                let currency: Option<String> = row.get(2)?;
                let at = Standing {
                    state: State::from_word(&state).ok_or(rusqlite::Error::InvalidQuery)?,
                    customer: row.get(1)?,
                    currency: currency.and_then(|code| code.parse().ok()),
                };
                let sums = Sums {
                    payments: 1,
                    gross: row.get::<_, Option<i64>>(3)?.unwrap_or_default(),
                    reversed: row.get::<_, Option<i64>>(4)?.unwrap_or_default(),
                };
                Ok(Some((at, sums)))
            },
        )
    }
}

impl Recorded {
    fn count(&mut self, payment: i64, before: Option<(Standing, Sums)>, folded: &Folded) {
        let standing = &folded.standing;
        let capture = standing.position.capture.as_ref();
        let was_due = matches!(&before, Some((was, _)) if was.state == State::Due);
        self.due += i64::from(standing.state == State::Due) - i64::from(was_due);
        self.stands
            .insert(payment, (standing.state, standing.reason.clone()));
        // A stand-in is no payment: what it holds moves on to one.
        if folded.row.reference {
            return;
        }
        if let Some((was, sums)) = before {
            let gone = Sums {
                payments: -sums.payments,
                gross: -sums.gross,
                reversed: -sums.reversed,
            };
            self.changes.add(was, gone);
        }
        let at = Standing {
            state: standing.state,
            customer: standing.customer.as_ref().map(|it| it.value.clone()),
            currency: capture.map(|capture| capture.currency),
        };
        let sums = Sums {
            payments: 1,
            gross: standing.position.gross().unwrap_or_default(),
            reversed: standing.position.reversed().unwrap_or_default(),
        };
        self.changes.add(at, sums);
    }

    fn tell(self, taken: &mut RowsTaken) {
        for (index, way) in self.ways.into_iter().enumerate() {
            let stands = way.payment.and_then(|payment| self.stands.get(&payment));
            let (outcome, reason) = match (way.news, stands) {
                _ if self.rejected.contains_key(&index) => {
                    (Fate::Rejected, self.rejected.get(&index).cloned())
                }
                (false, _) if self.ignored.contains_key(&index) => {
                    (Fate::Ignored, self.ignored.get(&index).cloned())
                }
                (false, _) => (Fate::Known, None),
                (true, Some((State::Unattributed, reason))) => (Fate::Unattributed, reason.clone()),
                (true, Some((State::Due | State::Settled, _)) | None) => (Fate::Imported, None),
                (true, Some((_, reason))) => (Fate::Imported, reason.clone()),
            };
            taken.told.push(RowTold {
                line: way.line,
                outcome,
                reason,
            });
        }
        taken.changes.merge(self.changes);
        taken.due += self.due;
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

/// A row of a chunk that was recorded before.
fn known_again((line, reading): &StatedRow) -> RowTold {
    RowTold {
        line: *line,
        outcome: match reading.ignored {
            None => Fate::Known,
            Some(_) => Fate::Ignored,
        },
        reason: reading.ignored.clone(),
    }
}

/// What else than its rows decides what a chunk comes to: the source, the rules,
/// and whether it is history only.
fn circumstances(terms: &SourceTerms, from: &RowsFrom) -> Vec<u8> {
    let rules: Vec<String> = terms.rules.iter().map(ToString::to_string).collect();
    let said = (&from.source, &terms.provider, rules, from.no_forward);
    serde_json::to_vec(&said).unwrap_or_default()
}

/// Refuses what no row may say.
fn recordable(reading: &Reading) -> Result<(), &'static str> {
    if !reading.unpriced.is_empty() {
        return Err("it says no amount, and a row has nothing that could say one later");
    }
    let money = reading.movements.iter().map(|it| it.fact.amount);
    match { money }.all(|amount| (0..=LARGEST_MINOR).contains(&amount)) {
        true => Ok(()),
        false => Err("the amount is negative or too large"),
    }
}

/// The payment that a row is about, where it is about one and about nothing
/// else that others could wait for.
fn about_one(reading: &Reading) -> Option<&str> {
    if !reading.links.is_empty() || !reading.unpriced.is_empty() {
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
