//! Recording the deliveries that one commit takes, together: what is known of all of them
//! is asked at once, payments that nobody told of before are folded in memory, and the
//! rows of all are written table by table. So a server is waited for a few times for
//! all of them, and not for each.
//!
//! It takes what is no concern of any other: what came before, what states nothing, new
//! payments, and what is told of a payment that is known by all ids that it is told with
//! and shares its money with none. Whatever else a delivery states goes its own way
//! (`record`), behind these and in the same commit.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::LedgerError;
use super::arrival::{Arrival, DELIVERIES};
use super::insert::enough;
use super::newcomers::{Money, Newcomer, Newcomers, Said, about_one};
use super::record::{FACTS, LIVE, Origin, Place};
use super::stand::Folded;
use super::strangers::{Acquaintance, Ids};
use super::tx::Tx;
use super::unpriced::PRICED;
use crate::ledger::Recorded;
use crate::ledger::book::{State, explains_adopted};
use crate::ledger::sql::params;
use crate::movement::Alias;

/// A payment that is known by its id, and is no stand-in.
const KNOWN: &str = "SELECT payment FROM payments
    WHERE source = ?1 AND payment_id = ?2 AND reference = 0";

/// Deliveries by their ids.
const DELIVERED: &str = "SELECT delivery_id, delivery, statement, differs FROM deliveries
    WHERE source = ?1 AND delivery_id";

/// What becomes of an arrival.
#[derive(Clone, Copy, Default)]
enum Way {
    /// It goes by itself.
    #[default]
    Alone,
    /// This delivery came again.
    Again { row: i64, differs: bool },
    /// It is new and states nothing.
    Bare,
    /// It is new and about a new payment, the one at this place.
    About(usize),
    /// It is new and about this payment, which is known.
    Known(i64),
}

/// What deliveries are, and what is needed to write them.
#[derive(Default)]
struct Looked<'r> {
    ways: Vec<Way>,
    fresh: Vec<Newcomer<'r>>,
    /// Which arrival told of each of these.
    told_by: Vec<usize>,
    source_rows: BTreeMap<&'r str, i64>,
    deliveries: Vec<i64>,
    payments: Vec<i64>,
}

/// What came before under an id.
struct Before {
    row: i64,
    statement: Vec<u8>,
    differs: bool,
}

impl Tx<'_> {
    /// Records what can be recorded together; `None` for those that have to go alone.
    pub(super) fn record_together(
        &self,
        arrivals: &[&Arrival],
    ) -> Result<Vec<Option<Recorded>>, LedgerError> {
        let looked = self.foresee(|| self.look_at_arrivals(arrivals))?;
        let numbers = enough(&looked.deliveries, arrivals.len())?;
        let (mut rows, mut written) = (vec![0; arrivals.len()], Vec::new());
        let new = |way: &Way| matches!(way, Way::Bare | Way::About(_) | Way::Known(_));
        let ways = looked.ways.iter().enumerate();
        for ((at, _), row) in ways
            .filter(|(_, way)| new(way))
            .zip(numbers.iter().copied())
        {
            let source_row = looked.source_row(arrivals[at]);
            written.push(arrivals[at].values(row, source_row, false)?);
            rows[at] = row;
        }
        self.insert_all(&DELIVERIES, &written)?;
        let origin = |at: usize, _| {
            let told_by = looked.told_by[at];
            Origin {
                delivery: Some(rows[told_by]),
                said_by: None,
                said_at: arrivals[told_by].delivery.received_at,
            }
        };
        let mut newcomers = Newcomers::default();
        self.write_newcomers(&looked.fresh, &looked.payments, origin, &mut newcomers)?;
        self.finish(newcomers)?;
        self.note_deliveries(arrivals, &looked)?;
        let known = self.add_to_all(arrivals, &looked, &rows)?;
        let states = self.fold_together(&known)?;
        let ways = arrivals.iter().zip(&looked.ways);
        ways.map(|(arrival, way)| match way {
            Way::Alone => Ok(None),
            Way::Again { row, differs } => self.resent(*row, arrival, *differs).map(Some),
            Way::Bare => Ok(Some(arrival.recorded(false, false))),
            Way::About(place) => {
                let woke = self.follow_up(&looked.fresh[*place], looked.payments[*place])?;
                Ok(Some(arrival.recorded(false, woke)))
            }
            Way::Known(payment) => {
                let woke = states.get(payment) == Some(&State::Due);
                Ok(Some(arrival.recorded(false, woke)))
            }
        })
        .collect()
    }

    /// Writes what is told of payments that are known; answers which these are.
    fn add_to_all(
        &self,
        arrivals: &[&Arrival],
        looked: &Looked<'_>,
        rows: &[i64],
    ) -> Result<BTreeSet<i64>, LedgerError> {
        let (mut facts, mut news, mut touched) = (Vec::new(), Vec::new(), BTreeSet::new());
        for ((arrival, way), row) in arrivals.iter().zip(&looked.ways).zip(rows) {
            let delivery = &arrival.delivery;
            let (Way::Known(payment), Ok(reading)) = (way, &delivery.reading) else {
                continue;
            };
            let place = Place {
                source: &delivery.source,
                source_row: looked.source_row(arrival),
                scope: &reading.scope,
                lane: LIVE,
            };
            let origin = Origin {
                delivery: Some(*row),
                said_by: None,
                said_at: delivery.received_at,
            };
            let told = (delivery, reading);
            self.add_to_known(place, *payment, told, origin, (&mut facts, &mut news))?;
            touched.insert(*payment);
        }
        self.insert_all(&FACTS, &facts)?;
        self.put_news_in(&news)?;
        Ok(touched)
    }

    /// Folds payments; where each stands then. Those that concern no other are looked at
    /// together and written behind that; the others then, one after another, because
    /// each has to see where those stand whose money it shares.
    fn fold_together(&self, payments: &BTreeSet<i64>) -> Result<BTreeMap<i64, State>, LedgerError> {
        let look = || {
            let quiet = payments.iter().map(|payment| self.look_quietly(*payment));
            quiet.collect::<Result<Vec<_>, LedgerError>>()
        };
        let quiet: Vec<Folded> = self.foresee(look)?.into_iter().flatten().collect();
        for folded in &quiet {
            self.write_standing(folded)?;
        }
        self.keep_days(&quiet)?;
        let stood = quiet.iter().map(|it| (it.row.payment, it.standing.state));
        let mut states: BTreeMap<i64, State> = stood.collect();
        for payment in payments {
            if !states.contains_key(payment) {
                states.insert(*payment, self.fold(*payment)?.standing.state);
            }
        }
        Ok(states)
    }

    /// Where a payment stands, if a fold writes nothing else and no other payment has its
    /// money.
    fn look_quietly(&self, payment: i64) -> Result<Option<Folded>, LedgerError> {
        let shares = self.shares_money(payment)?;
        let priced = self.one(PRICED, [payment], |_| Ok(()))?.is_some();
        let folded = match self.look(payment) {
            // Not told yet.
            Err(LedgerError::NotFound(_)) => return Ok(None),
            looked => looked?,
        };
        let terms = self.terms(&folded.row.source)?;
        let explains = explains_adopted(&folded.book, terms, &folded.standing);
        let told = explains || folded.was_only_read_back();
        let quiet = !shares && !priced && !told && !folded.wants_more(terms);
        Ok(quiet.then_some(folded))
    }

    /// The payment of this id, where all that is told of it concerns no other: it is
    /// known, and by all other ids that are told.
    fn known_payment(
        &self,
        place: Place<'_>,
        payment_id: &str,
        aliases: &[Alias],
    ) -> Result<Option<i64>, LedgerError> {
        let named = params![place.source_row, payment_id];
        let found: Option<i64> = self.one(KNOWN, named, |row| row.get(0))?;
        let Some(payment) = found else {
            return Ok(None);
        };
        for alias in aliases {
            if !self.has_alias(place, payment, alias)? {
                return Ok(None);
            }
        }
        Ok(Some(payment))
    }

    /// What a new payment still needs. True where it is due.
    fn follow_up(&self, newcomer: &Newcomer<'_>, payment: i64) -> Result<bool, LedgerError> {
        let folded = &newcomer.folded;
        let state = match folded.wants_more(self.terms(&folded.row.source)?) {
            true => self.fold(payment)?.standing.state,
            false => folded.standing.state,
        };
        Ok(state == State::Due)
    }

    /// When each source was last told anything by these.
    fn note_deliveries(
        &self,
        arrivals: &[&Arrival],
        looked: &Looked<'_>,
    ) -> Result<(), LedgerError> {
        let mut last = BTreeMap::new();
        let ways = arrivals.iter().zip(&looked.ways);
        for (arrival, _) in ways.filter(|(_, way)| !matches!(way, Way::Alone)) {
            let at = arrival.delivery.received_at;
            let known = last.entry(looked.source_row(arrival)).or_insert(at);
            *known = at.max(*known);
        }
        for (source_row, at) in last {
            self.note_delivery(source_row, at)?;
        }
        Ok(())
    }

    fn look_at_arrivals<'r>(&self, arrivals: &[&'r Arrival]) -> Result<Looked<'r>, LedgerError> {
        let mut looked = Looked {
            ways: vec![Way::default(); arrivals.len()],
            ..Looked::default()
        };
        let mut by_source: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (at, arrival) in arrivals.iter().enumerate() {
            by_source
                .entry(&arrival.delivery.source)
                .or_default()
                .push(at);
        }
        let mut money = Money::default();
        for (source, told) in by_source {
            let source_row = match self.source_row(source) {
                // It is told so by itself.
                Err(LedgerError::NotFound(_)) => continue,
                found => found?,
            };
            looked.source_rows.insert(source, source_row);
            self.look_at_source(
                (source, source_row),
                (arrivals, &told),
                &mut money,
                &mut looked,
            )?;
        }
        looked.deliveries = self.numbers("deliveries", "delivery", arrivals.len())?;
        looked.payments = self.numbers("payments", "payment", arrivals.len())?;
        Ok(looked)
    }

    /// Looks at the arrivals of one source.
    fn look_at_source<'r>(
        &self,
        (source, source_row): (&'r str, i64),
        (arrivals, told): (&[&'r Arrival], &[usize]),
        money: &mut Money<'r>,
        looked: &mut Looked<'r>,
    ) -> Result<(), LedgerError> {
        let before = self.delivered(source_row, told.iter().map(|at| arrivals[*at]))?;
        let (mut ids, mut about) = (BTreeSet::new(), Vec::new());
        for at in told {
            let arrival = arrivals[*at];
            // Of several with one id the others wait for the first.
            if !ids.insert(arrival.id.as_str()) {
                continue;
            }
            let known = before.get(&arrival.id).map_or(&[][..], Vec::as_slice);
            let same = known.iter().find(|it| it.statement == arrival.statement);
            looked.ways[*at] = match (same, known.is_empty(), &arrival.delivery.reading) {
                (Some(Before { row, differs, .. }), ..) => Way::Again {
                    row: *row,
                    differs: *differs,
                },
                (None, false, _) => Way::Alone,
                (None, true, Err(_)) => Way::Bare,
                (None, true, Ok(reading)) => {
                    about.extend(about_one(reading).map(|payment_id| (*at, payment_id, reading)));
                    match reading.states_nothing() {
                        true => Way::Bare,
                        false => Way::Alone,
                    }
                }
            };
        }
        let known = self.known_of(&Ids {
            source_row,
            provider: &self.terms(source)?.provider,
            payments: about.iter().map(|(_, payment_id, _)| *payment_id).collect(),
            aliases: about.iter().flat_map(|(.., it)| &it.aliases).collect(),
        })?;
        let mut told_of = BTreeSet::new();
        for (at, payment_id, reading) in about {
            let place = Place {
                source,
                source_row,
                scope: &reading.scope,
                lane: LIVE,
            };
            let aliases: Vec<&Alias> = reading.aliases.iter().collect();
            match self.acquaintance(place, payment_id, &aliases, &known)? {
                Acquaintance::Known => {
                    let found = self.known_payment(place, payment_id, &reading.aliases)?;
                    looked.ways[at] = found.map_or(Way::Alone, Way::Known);
                    continue;
                }
                Acquaintance::Perhaps => continue,
                Acquaintance::Stranger => {}
            }
            let first =
                told_of.insert(payment_id) && !money.has(&reading.scope, reading.aliases.iter());
            if !first {
                continue;
            }
            let said = Said {
                reading,
                at: arrivals[at].delivery.received_at,
            };
            let (newcomer, _) = self.newcomer(place, payment_id, std::iter::once(said), false)?;
            money.add(&newcomer);
            looked.ways[at] = Way::About(looked.fresh.len());
            looked.fresh.push(newcomer);
            looked.told_by.push(at);
        }
        Ok(())
    }

    /// What came before under the ids of these.
    fn delivered<'r>(
        &self,
        source_row: i64,
        arrivals: impl Iterator<Item = &'r Arrival>,
    ) -> Result<HashMap<String, Vec<Before>>, LedgerError> {
        let ids: Vec<&str> = arrivals.map(|it| it.id.as_str()).collect();
        let found = self.among(DELIVERED, source_row, &ids, |row| {
            let before = Before {
                row: row.get(1)?,
                statement: row.get(2)?,
                differs: row.get(3)?,
            };
            Ok((row.get::<_, String>(0)?, before))
        })?;
        let mut before: HashMap<String, Vec<Before>> = HashMap::new();
        for (id, it) in found {
            before.entry(id).or_default().push(it);
        }
        Ok(before)
    }
}

impl Looked<'_> {
    /// The row of an arrival's source. Those of which there is none go alone.
    fn source_row(&self, arrival: &Arrival) -> i64 {
        let found = self.source_rows.get(arrival.delivery.source.as_str());
        found.copied().unwrap_or_default()
    }
}
