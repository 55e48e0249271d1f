//! Reading the roll-ups: reports, and the figures of the overview.
//!
//! In the ledger's own zone a report reads `days`, and by customer what `tally` adds
//! up, and no payment. In another zone the days have to be found again, so it goes through
//! all payments, a page and a snapshot at a time, so that it holds neither much
//! memory nor the log. Nothing here writes.

use crate::ledger::sql::{Row as SqlRow, params};

use super::days::{self, Booked};
use super::read::OLDEST_DUE;
use super::tally::Tally;
use super::tx::{Tx, from_word};
use super::{LedgerError, Store};
use crate::day::{Day, Month, Zone};
use crate::daybook;
use crate::ledger::book::State;
use crate::ledger::{DestinationFigures, OPEN_MOST, Overview, SourceFigures};
use crate::money::Currency;
use crate::report::{Basis, By, Counted, Group, Heap, Lines, Most, Question, Report, Sums};
use crate::time::{MINUTE_MS, Time};

/// Payments read in one snapshot where days are found again: a few milliseconds.
const PAGE: i64 = 1_000;

/// Payments of a state, up to a limit: of each source by its index.
const OPEN_IN_STATE: &str = "SELECT count(*) FROM (
         SELECT 1 FROM sources
         CROSS JOIN payments INDEXED BY payments_by_source
         WHERE payments.source = sources.source AND state = ?1 LIMIT ?2) AS open";

/// The calls before one, the newest first, and whom they were made to.
const NEWEST_CALLS: &str = "SELECT attempt, begun_at, transactions.destination
     FROM attempts CROSS JOIN transactions
     WHERE transactions.payment = attempts.payment AND transactions.seq = attempts.seq
           AND attempt < ?1 ORDER BY attempt DESC LIMIT ?2";
/// More than a destination is called in a moment, and little to read.
const CALLS_AT_ONCE: u16 = 200;

/// The states in which something is still to come.
const OPEN: [State; 5] = [
    State::Held,
    State::Failed,
    State::Unattributed,
    State::Waiting,
    State::Due,
];

/// Two zones name the same moment by days that lie no further apart.
const ZONES_APART_DAYS: i64 = 2;

/// The sums that a report has, of either roll-up.
fn sums(basis: Basis, attributed: &str) -> String {
    let (reversed, reversals) = match basis {
        Basis::Own => ("reversed", "reversals"),
        Basis::Sale => ("of_sales_reversed", "of_sales_reversals"),
    };
    format!(
        "sum(gross), sum({reversed}), sum(payments), sum({reversals}),
         sum((gross - {reversed}) * (1 - {attributed})), sum((gross - {reversed}) * ignored)"
    )
}

/// Reads [`sums`] from column `at` on.
fn read_sums(row: &SqlRow<'_>, at: usize) -> Result<Sums, LedgerError> {
    Ok(Sums {
        gross: row.get(at)?,
        reversed: row.get(at + 1)?,
        payments: row.get(at + 2)?,
        reversals: row.get(at + 3)?,
        unattributed: row.get(at + 4)?,
        ignored: row.get(at + 5)?,
        commission: 0,
    })
}

/// The sums of `days` by an expression of its columns.
fn by_day(group: &str, basis: Basis, only: &str) -> String {
    let sums = sums(basis, "attributed");
    format!(
        "SELECT {group}, currency, {sums} FROM days
         WHERE day BETWEEN ?1 AND ?2{only} GROUP BY 1, 2"
    )
}

/// What narrows [`by_day`] down to the money of nobody's customers.
const NOBODYS: &str = " AND attributed = 0";

impl Store {
    /// As [`crate::ledger::Ledger::report_zone`].
    pub(in crate::ledger) fn report_zone(&self) -> &Zone {
        &self.shared.zone
    }

    /// As [`crate::ledger::Ledger::reports`].
    pub(in crate::ledger) async fn reports(
        &self,
        question: Question,
        bys: Vec<By>,
        lines: Lines,
    ) -> Result<Vec<Report>, LedgerError> {
        let other = question
            .zone
            .clone()
            .filter(|zone| *zone != self.shared.zone);
        let Some(zone) = other else {
            return self
                .read(move |tx| tx.reports(&question, &bys, &lines))
                .await;
        };
        let mut reports = Vec::new();
        for by in bys {
            let asked = Question {
                by,
                ..question.clone()
            };
            reports.push(
                self.report_elsewhere(asked, lines.clone(), zone.clone())
                    .await?,
            );
        }
        Ok(reports)
    }

    /// A report by the days of another zone than the ledger's.
    async fn report_elsewhere(
        &self,
        question: Question,
        lines: Lines,
        zone: Zone,
    ) -> Result<Report, LedgerError> {
        // One at a time: each keeps a processor busy for as long as it takes.
        let _alone = self.other_zones.lock().await;
        let (mut heap, mut after) = (Heap::default(), 0);
        loop {
            let (asked, there) = (question.clone(), zone.clone());
            let page = move |tx: &Tx<'_>| {
                let next = tx.report_page(&asked, &there, &mut heap, after)?;
                Ok((heap, next))
            };
            let (added, next) = self.read(page).await?;
            heap = added;
            match next {
                Some(last) => after = last,
                None => break,
            }
        }
        let mut after = (String::new(), String::new());
        loop {
            let (asked, there) = (question.clone(), zone.clone());
            let page = move |tx: &Tx<'_>| {
                let next = tx.report_rewards(&asked, &there, &mut heap, &after)?;
                Ok((heap, next))
            };
            let (added, next) = self.read(page).await?;
            heap = added;
            match next {
                Some(last) => after = last,
                None => break,
            }
        }
        self.read(move |tx| tx.end_report(heap, &question, &lines, zone.name()))
            .await
    }

    /// As [`crate::ledger::Ledger::overview`].
    pub(in crate::ledger) async fn overview(&self) -> Result<Overview, LedgerError> {
        self.read(|tx| tx.overview()).await
    }
}

impl Tx<'_> {
    /// Several reports of one snapshot; what customers brought is added up once.
    fn reports(
        &self,
        question: &Question,
        bys: &[By],
        lines: &Lines,
    ) -> Result<Vec<Report>, LedgerError> {
        let people = |by: &By| matches!(by, By::Partner | By::Customer);
        let tally = bys.iter().any(people).then(|| self.tally(question));
        let mut tally = tally.transpose()?;
        // Commission is put in beside what customers brought, so partners go first.
        let mut order: Vec<(usize, By)> = bys.iter().copied().enumerate().collect();
        order.sort_by_key(|(_, by)| *by == By::Customer);
        let mut reports = Vec::new();
        for (place, by) in order {
            let asked = Question {
                by,
                ..question.clone()
            };
            reports.push((place, self.report(&asked, lines, tally.as_mut())?));
        }
        reports.sort_by_key(|(place, _)| *place);
        Ok(reports.into_iter().map(|(_, report)| report).collect())
    }

    fn report(
        &self,
        question: &Question,
        lines: &Lines,
        tally: Option<&mut Tally>,
    ) -> Result<Report, LedgerError> {
        let mut heap = Heap::default();
        match (question.by, tally) {
            (By::Customer, Some(tally)) => {
                self.add_customers(question, lines, tally, &mut heap)?;
                self.add_nobodys(question, &mut heap)?;
            }
            (By::Partner, Some(tally)) => {
                self.add_partners(tally, &mut heap)?;
                self.add_nobodys(question, &mut heap)?;
                self.report_commission(question, &mut heap)?;
            }
            _ => {
                self.report_moments(question, &mut heap)?;
                self.report_commission(question, &mut heap)?;
            }
        }
        self.end_report(heap, question, lines, self.zone.name())
    }

    /// Adds up by what is no customer.
    fn report_moments(&self, question: &Question, heap: &mut Heap) -> Result<(), LedgerError> {
        match question.by {
            By::Partner | By::Customer => Ok(()),
            By::Source => {
                // As many sources as are configured, so this is a short list.
                let names = self.all("SELECT source, name FROM sources", [], |row| {
                    Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
                })?;
                self.report_days(question, "source", "", heap, |number| {
                    let named = names.iter().find(|(source, _)| *source == number);
                    let source = named.map_or_else(|| number.to_string(), |it| it.1.clone());
                    Ok(Group::Source { source })
                })
            }
            By::Day => self.report_days(question, "day", "", heap, |number| {
                Ok(Group::Day {
                    day: days::day(number)?,
                })
            }),
            By::Month => self.report_days(question, "day / 100", "", heap, |number| {
                Ok(Group::Month {
                    month: Month(number),
                })
            }),
        }
    }

    fn report_days(
        &self,
        question: &Question,
        group: &str,
        only: &str,
        heap: &mut Heap,
        read: impl Fn(i64) -> Result<Group, LedgerError>,
    ) -> Result<(), LedgerError> {
        let sql = by_day(group, question.basis, only);
        let lines = self.all(&sql, range(question), |row| {
            Ok((
                read(row.get(0)?)?,
                from_word(row.get(1)?)?,
                read_sums(row, 2)?,
            ))
        })?;
        for (group, currency, sums) in lines {
            put(heap, group, currency, &sums);
        }
        Ok(())
    }

    /// Adds the money of nobody's customers.
    fn add_nobodys(&self, question: &Question, heap: &mut Heap) -> Result<(), LedgerError> {
        self.report_days(question, "0", NOBODYS, heap, |_| {
            Ok(whose(question.by, None, None))
        })
    }

    /// Adds a page of payments by the days of another zone; answers where the
    /// next page begins.
    fn report_page(
        &self,
        question: &Question,
        zone: &Zone,
        heap: &mut Heap,
        after: i64,
    ) -> Result<Option<i64>, LedgerError> {
        let page = self.all(
            "SELECT payment, sources.name, booked,
                 (SELECT max(partner) FROM customers
                  WHERE customers.destination = payments.destination
                        AND customers.customer = payments.customer)
             FROM payments JOIN sources USING (source)
             WHERE payment > ?1 ORDER BY payment LIMIT ?2",
            params![after, PAGE],
            |row| {
                let booked: Option<String> = row.get(2)?;
                Ok((row.get(0)?, row.get::<_, String>(1)?, booked, row.get(3)?))
            },
        )?;
        let last = page.last().map(|(payment, ..)| *payment);
        for (payment, source, booked, partner) in page {
            let Some(booked) = days::read(booked.as_deref())? else {
                continue;
            };
            if !may_lie_in(question, &booked) {
                continue;
            }
            let Some(split) = daybook::daybook(&self.facts(payment)?, zone) else {
                continue;
            };
            let currency: Currency = from_word(booked.currency)?;
            let counted = Counted {
                split: &split,
                currency,
                attributed: booked.customer.is_some(),
                ignored: booked.ignored,
            };
            let customer = booked.customer.map(|(customer, _)| (booked.at, customer));
            heap.add_payment(question, &counted, |day| match question.by {
                By::Partner | By::Customer => {
                    whose(question.by, customer.clone(), Option::clone(&partner))
                }
                By::Source => Group::Source {
                    source: source.clone(),
                },
                By::Day => Group::Day { day },
                By::Month => Group::Month { month: day.month() },
            });
        }
        Ok(last)
    }

    fn overview(&self) -> Result<Overview, LedgerError> {
        let mut heap = Heap::default();
        let all = Question {
            by: By::Day,
            from: None,
            to: None,
            zone: None,
            basis: Basis::Own,
        };
        self.report_days(&all, "0", "", &mut heap, |_| {
            Ok(Group::Source {
                source: String::new(),
            })
        })?;
        for (currency, amount) in self.all_commission()? {
            let sums = Sums {
                commission: amount,
                ..Sums::default()
            };
            let group = Group::Source {
                source: String::new(),
            };
            put(&mut heap, group, currency, &sums);
        }
        let sources = self.all(
            "SELECT name, provider, last_delivery, first_seen FROM sources ORDER BY name",
            [],
            |row| {
                Ok(SourceFigures {
                    source: row.get(0)?,
                    provider: row.get(1)?,
                    last_delivery: row.get::<_, Option<i64>>(2)?.map(Time),
                    first_seen: Time(row.get(3)?),
                })
            },
        )?;
        let mut names: Vec<&str> = self
            .all_terms()
            .values()
            .map(|source| source.destination.as_str())
            .collect();
        names.sort_unstable();
        names.dedup();
        let destinations = names.into_iter().map(|name| self.destination_figures(name));
        Ok(Overview {
            currencies: self
                .end_report(heap, &all, &Most::All.into(), self.zone.name())?
                .totals,
            sources,
            destinations: destinations.collect::<Result<_, _>>()?,
            open: self.open_states()?,
        })
    }

    /// How many payments are in each state in which something is still to come,
    /// those first that ask for a person. No more are counted than are told.
    fn open_states(&self) -> Result<Vec<(State, i64)>, LedgerError> {
        let mut open = Vec::new();
        for state in OPEN {
            let count = self.one(OPEN_IN_STATE, params![state.word(), OPEN_MOST + 1], |row| {
                row.get(0)
            })?;
            open.extend(count.filter(|count| *count > 0).map(|count| (state, count)));
        }
        Ok(open)
    }

    fn destination_figures(&self, name: &str) -> Result<DestinationFigures, LedgerError> {
        let oldest_due = self.one(OLDEST_DUE, [name], |row| Ok(Time(row.get(0)?)))?;
        let known = self.one(
            "SELECT answered_at, paused_until, status FROM destinations WHERE name = ?1",
            [name],
            |row| {
                Ok((
                    Time(row.get(0)?),
                    Time(row.get(1)?),
                    row.get::<_, Option<String>>(2)?,
                ))
            },
        )?;
        let (answered_at, paused_until, status) = known.unwrap_or((Time(0), Time(0), None));
        let copied = self.copied_at(name)?.map(crate::ledger::copied_sentence);
        Ok(DestinationFigures {
            destination: name.to_owned(),
            calls_last_minute: self.calls_since(name, self.now.plus(-MINUTE_MS))?,
            oldest_due,
            answered_at: (answered_at > Time(0)).then_some(answered_at),
            paused_until: (paused_until > self.now).then_some(paused_until),
            status: copied.or(status),
            mirror: self.mirror_figures(name)?,
        })
    }

    /// The calls and read-backs begun since then: looked at from the newest on,
    /// and no further than needed.
    fn calls_since(&self, destination: &str, since: Time) -> Result<i64, LedgerError> {
        let (mut calls, mut before) = (0, i64::MAX);
        loop {
            let page = self.all(NEWEST_CALLS, params![before, CALLS_AT_ONCE], |row| {
                Ok((row.get(0)?, Time(row.get(1)?), row.get::<_, String>(2)?))
            })?;
            let recent = page
                .iter()
                .take_while(|(_, begun_at, _)| *begun_at >= since);
            let (mut seen, whole) = (0, page.len());
            for (attempt, _, whose) in recent {
                before = *attempt;
                seen += 1;
                calls += i64::from(whose == destination);
            }
            if seen < whole || whole < usize::from(CALLS_AT_ONCE) {
                return Ok(calls);
            }
        }
    }
}

/// The numbers of the first and the last day asked for.
pub(super) fn range(question: &Question) -> [i64; 2] {
    let number = |day: Option<Day>, none: i64| day.map_or(none, Day::number);
    [number(question.from, 0), number(question.to, i64::MAX)]
}

/// Adds a line, unless it stands for nothing: a day on which only sales of other
/// days went back has none by the day of the sale.
pub(super) fn put(heap: &mut Heap, group: Group, currency: Currency, sums: &Sums) {
    if *sums != Sums::default() {
        heap.add(group, currency, sums);
    }
}

/// The line of a customer and destination, or of its partner.
fn whose(by: By, customer: Option<(String, String)>, partner: Option<String>) -> Group {
    let attributed = customer.is_some();
    if by == By::Partner {
        return Group::Partner {
            partner_key: partner,
            attributed,
        };
    }
    let (destination, customer_key) = customer.unzip();
    Group::Customer {
        destination,
        customer_key,
        partner_key: partner,
        attributed,
    }
}

/// Whether any day of a payment may lie in what is asked, in any zone: nothing
/// of it lies before its sale, and by the day of the sale nothing behind it.
fn may_lie_in(question: &Question, booked: &Booked) -> bool {
    let [from, to] = range(&Question {
        from: question.from.map(|day| day.plus(-ZONES_APART_DAYS)),
        to: question.to.map(|day| day.plus(ZONES_APART_DAYS)),
        ..question.clone()
    });
    booked.sold <= to && (question.basis == Basis::Own || from <= booked.sold)
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
