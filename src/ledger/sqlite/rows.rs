//! Recording the rows of a file: many in one transaction, each told.
//!
//! A row states what its webhook would have stated, and every payment it touches
//! is folded by the same code. What is there already is found out and not stored
//! again, so the same file twice changes nothing. A payment that nobody told of
//! before is folded in memory and written once, because that is most of a first
//! import; where anything else in the ledger might concern it, it takes the way
//! of every delivery.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use rusqlite::params;
use sha2::{Digest, Sha256};

use super::record::{BACKFILL, Origin, Place, parts_of};
use super::rows_told::{Recorded, Way, known_again};
use super::tx::{Tx, word_of};
use super::{LedgerError, Store, lock, schema};
use crate::ledger::book::SourceTerms;
use crate::ledger::rows::{self, Feed, RowsFrom, RowsTaken, StatedRow};
use crate::money::LARGEST_MINOR;
use crate::movement::{Clue, Fact, Reading, Scope, Subject};
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

/// What the rows of one file share.
pub(super) struct Desk<'a> {
    pub from: &'a RowsFrom,
    pub source_row: i64,
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

    pub(super) fn said_by(&self, line: u64) -> String {
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
        let mut group_of: HashMap<(&str, &Scope), usize> = HashMap::new();
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
    pub(super) fn record_history(
        &self,
        payment: i64,
        desk: &Desk<'_>,
    ) -> Result<bool, LedgerError> {
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
