//! Recording the rows of a file: what each is about, and which way it takes.
//!
//! A row states what its webhook would have stated, and every payment it touches
//! is folded by the same code. What is there already is found out and not stored
//! again, so the same file twice changes nothing. A payment that nobody told of
//! before is folded in memory and written once, because that is most of a first
//! import; where anything else in the ledger might concern it, it takes the way
//! of every delivery.

use std::collections::BTreeSet;

use crate::ledger::sql::params;
use sha2::{Digest, Sha256};

use super::LedgerError;
use super::newcomers::{Money, Newcomer, Newcomers, Said, about_one};
use super::record::{BACKFILL, Origin, Place, parts_of};
use super::rows_told::{Recorded, Way};
use super::strangers::{Acquaintance, Ids, Known};
use super::tx::{Tx, word_of};
use crate::ledger::book::SourceTerms;
use crate::ledger::rows::{RowsFrom, StatedRow};
use crate::ledger::texts::unkeepable;
use crate::movement::{Alias, Clue, Fact, Reading, Scope};

/// Whether a fact is there already, whoever stated it in the same words.
const FACT_KNOWN: &str = "SELECT 1 FROM facts
    WHERE payment = ?1 AND class = ?2 AND fact_id = ?3 AND basis = ?4 AND rank = ?5
      AND version = ?6 AND authority = ?7 AND amount = ?8 AND currency = ?9
      AND (at = ?10 OR ?10 = 0) AND partial_capture = ?11
      AND product_key IS NOT DISTINCT FROM ?12
      AND category_key IS NOT DISTINCT FROM ?13 LIMIT 1";

/// Writes down that a payment of a file is history only, where nobody said so before.
const HISTORY: &str = "INSERT INTO decisions (payment, kind, detail, who, why, at, made_for)
    SELECT payment, 'history', '', ?2, ?3, ?4, '' FROM payments
    WHERE payment = ?1 AND lane = 1 AND reference = 0
      AND NOT EXISTS (SELECT 1 FROM transactions WHERE transactions.payment = ?1)
      AND NOT EXISTS (SELECT 1 FROM decisions
                      WHERE decisions.payment = ?1 AND kind = 'history')";

/// Payments that are folded before any of them is written: each takes one to two KiB.
const FOLDED_AT_ONCE: usize = 256;

/// What the rows of one file share.
pub(super) struct Desk<'a> {
    pub from: &'a RowsFrom,
    pub source_row: i64,
    /// What else decides what a row comes to.
    circumstances: Vec<u8>,
}

impl Desk<'_> {
    fn place<'r>(&'r self, scope: &'r Scope) -> Place<'r> {
        Place {
            source: &self.from.source,
            source_row: self.source_row,
            scope,
            lane: BACKFILL,
        }
    }

    pub(super) fn digest(&self, of_rows: &[u8]) -> [u8; 32] {
        let hasher = Sha256::new().chain_update(&self.circumstances);
        hasher.chain_update(of_rows).finalize().into()
    }

    fn said_by(&self, line: u64) -> String {
        format!("import {} line {line}", self.from.file)
    }
}

/// The rows of a batch that are about one payment and about nothing else.
struct Group<'r> {
    payment_id: &'r str,
    scope: &'r Scope,
    /// Whether it is the first of its payment: of several scopes with one id only that
    /// one can be a newcomer.
    first: bool,
    /// The rows in the order of the file.
    rows: Vec<usize>,
}

/// What groups are, and where those stand of which nobody told before.
#[derive(Default)]
struct Looked<'r> {
    fresh: Vec<Newcomer<'r>>,
    /// The groups of these, and which of their rows are news.
    groups: Vec<(&'r Group<'r>, Vec<bool>)>,
    numbers: Vec<i64>,
    rest: Vec<&'r Group<'r>>,
}

impl Group<'_> {
    fn aliases<'r>(&self, rows: &[&'r StatedRow]) -> impl Iterator<Item = &'r Alias> {
        let members = self.rows.iter().filter_map(|row| rows.get(*row));
        members.flat_map(|(_, reading)| &reading.aliases)
    }
}

/// Groups in the order of their ids, because neighbours stand on the same pages of
/// every index that begins with an id; and the rows that are about several things.
fn sorted<'r>(rows: &[&'r StatedRow], batch: &mut Recorded) -> (Vec<Group<'r>>, Vec<usize>) {
    let (mut about, mut others) = (Vec::with_capacity(rows.len()), Vec::new());
    for (index, (line, reading)) in rows.iter().enumerate() {
        batch
            .ignored
            .extend(reading.ignored.as_ref().map(|why| (index, why.clone())));
        batch.ways.push(Way {
            line: *line,
            payment: None,
            news: false,
        });
        match (recordable(reading), about_one(reading)) {
            (Err(why), _) => drop(batch.rejected.insert(index, why)),
            (Ok(()), Some(payment_id)) => about.push((payment_id, &reading.scope, index)),
            (Ok(()), None) => others.push(index),
        }
    }
    about.sort_unstable();
    let mut groups: Vec<Group<'r>> = Vec::with_capacity(about.len());
    for (payment_id, scope, row) in about {
        match groups.last_mut() {
            Some(last) if (last.payment_id, last.scope) == (payment_id, scope) => {
                last.rows.push(row);
            }
            last => {
                let first = last.is_none_or(|last| last.payment_id != payment_id);
                groups.push(Group {
                    payment_id,
                    scope,
                    first,
                    rows: vec![row],
                });
            }
        }
    }
    (groups, others)
}

impl Tx<'_> {
    pub(super) fn desk<'a>(&self, from: &'a RowsFrom) -> Result<Desk<'a>, LedgerError> {
        Ok(Desk {
            from,
            source_row: self.source_row(&from.source)?,
            circumstances: circumstances(self.terms(&from.source)?, from),
        })
    }

    /// Records rows that are new to the ledger, or may be. First those of payments
    /// that nobody told of before, because they are no concern of any other.
    pub(super) fn batch(
        &self,
        desk: &Desk<'_>,
        rows: &[&StatedRow],
    ) -> Result<Recorded, LedgerError> {
        let mut batch = Recorded::default();
        let (groups, others) = sorted(rows, &mut batch);
        let ids = Ids {
            source_row: desk.source_row,
            provider: &self.terms(&desk.from.source)?.provider,
            payments: groups.iter().map(|group| group.payment_id).collect(),
            aliases: groups.iter().flat_map(|it| it.aliases(rows)).collect(),
        };
        let known = self.foresee(|| self.known_of(&ids))?;
        let mut newcomers = Newcomers::default();
        let mut rest = Vec::new();
        for groups in groups.chunks(FOLDED_AT_ONCE) {
            let looked = self.foresee(|| self.look_at(desk, (groups, rows), &known, &newcomers))?;
            let at = (desk, rows);
            self.write_groups(at, &looked, &mut newcomers, &mut batch)?;
            rest.extend(looked.rest);
        }
        self.finish(newcomers)?;
        for index in others {
            self.row_as_told(desk, rows[index], index, &mut batch)?;
        }
        for group in rest {
            self.group(desk, (group, rows), &mut batch)?;
        }
        let touched = std::mem::take(&mut batch.touched);
        for payment in &touched {
            self.fold_counted(*payment, &mut batch)?;
        }
        Ok(batch)
    }

    /// Which groups are of payments that nobody told of before, and where those stand.
    fn look_at<'r>(
        &self,
        desk: &'r Desk<'_>,
        (groups, rows): (&'r [Group<'r>], &[&'r StatedRow]),
        known: &Known,
        newcomers: &Newcomers<'_>,
    ) -> Result<Looked<'r>, LedgerError> {
        let (mut looked, mut money) = (Looked::default(), Money::default());
        for group in groups {
            let seen = |money: &Money<'_>| money.has(group.scope, group.aliases(rows));
            let concerned = !group.first || seen(&newcomers.money) || seen(&money);
            let place = desk.place(group.scope);
            let is_new = || {
                let aliases: Vec<&Alias> = group.aliases(rows).collect();
                let found = self.acquaintance(place, group.payment_id, &aliases, known)?;
                Ok::<_, LedgerError>(found == Acquaintance::Stranger)
            };
            if concerned || !is_new()? {
                looked.rest.push(group);
                continue;
            }
            let said = group.rows.iter().map(|index| Said {
                reading: &rows[*index].1,
                at: self.now,
            });
            let (newcomer, news) =
                self.newcomer(place, group.payment_id, said, desk.from.no_forward)?;
            money.add(&newcomer);
            looked.fresh.push(newcomer);
            looked.groups.push((group, news));
        }
        looked.numbers = self.numbers("payments", "payment", groups.len())?;
        Ok(looked)
    }

    /// Writes the payments of groups that nobody told of before: all that is known of
    /// them stands in these rows.
    fn write_groups<'r>(
        &self,
        (desk, rows): (&Desk<'_>, &[&StatedRow]),
        looked: &Looked<'r>,
        newcomers: &mut Newcomers<'r>,
        batch: &mut Recorded,
    ) -> Result<(), LedgerError> {
        let terms = self.terms(&desk.from.source)?;
        let said = |index: &usize| desk.said_by(rows[*index].0);
        let said_by = looked.groups.iter().map(|(group, _)| &group.rows);
        let said_by: Vec<Vec<String>> = said_by.map(|it| it.iter().map(said).collect()).collect();
        let origin = |at: usize, document: usize| Origin {
            delivery: None,
            said_by: Some(&said_by[at][document]),
            said_at: self.now,
        };
        self.write_newcomers(&looked.fresh, &looked.numbers, origin, newcomers)?;
        let written = looked.fresh.iter().zip(&looked.numbers);
        for ((newcomer, payment), (group, news)) in written.zip(&looked.groups) {
            if desk.from.no_forward {
                let word = &desk.from.word;
                let word = params![payment, word.who, word.why, word.at.ms()];
                self.queue(HISTORY, word)?;
            }
            for (index, news) in group.rows.iter().zip(news) {
                batch.ways[*index].payment = Some(*payment);
                batch.ways[*index].news = *news;
            }
            match newcomer.folded.wants_more(terms) {
                true => {
                    batch.fresh.insert(*payment);
                    batch.touched.insert(*payment);
                }
                false => batch.count(*payment, None, &newcomer.folded),
            }
        }
        Ok(())
    }

    /// The rows of one payment that somebody told of, or that may concern others.
    fn group(
        &self,
        desk: &Desk<'_>,
        (group, rows): (&Group<'_>, &[&StatedRow]),
        batch: &mut Recorded,
    ) -> Result<(), LedgerError> {
        let known = self.payment_named(desk.source_row, group.payment_id)?;
        for index in &group.rows {
            let (_, reading) = rows[*index];
            let place = desk.place(&reading.scope);
            let told = known.map(|payment| self.is_told(place, payment, reading));
            match (known, told.transpose()?) {
                (Some(payment), Some(true)) if !desk.from.no_forward => {
                    batch.ways[*index].payment = Some(payment);
                }
                _ => self.row_as_told(desk, rows[*index], *index, batch)?,
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
        for alias in &reading.aliases {
            if !self.has_alias(place, payment, alias)? {
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
        batch: &mut Recorded,
    ) -> Result<(), LedgerError> {
        let place = desk.place(&reading.scope);
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
            batch.touched.extend(touched);
        }
        batch.ways[index].payment = about;
        batch.ways[index].news = news;
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
        let added = self.run(HISTORY, params![payment, word.who, word.why, word.at.ms()])?;
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
fn recordable(reading: &Reading) -> Result<(), String> {
    if !reading.unpriced.is_empty() {
        let why = "it says no amount, and a row has nothing that could say one later";
        return Err(why.to_owned());
    }
    unkeepable(reading).map_or(Ok(()), Err)
}
