//! How the money of some customers or partners went, day by day: for the few names
//! on a page, from the roll-ups.

use std::collections::BTreeSet;

use super::condense::Step;
use super::tally::Partners;
use super::tx::Tx;
use super::{LedgerError, Store, days};
use crate::day::Day;
use crate::ledger::Trends;
use crate::money::{Currency, Minor};
use crate::report::By;

/// The nets of one day, by whose they are; and those of the days before.
#[derive(Default)]
struct Course {
    day: i64,
    nets: Vec<(Currency, Vec<Option<Minor>>)>,
    before: Trends,
}

impl Course {
    fn take(&mut self, whose: &Partners, step: Step<'_>) -> Result<(), LedgerError> {
        let (day, part, number, row) = step;
        let place = whose.at(number);
        if place == 0 {
            return Ok(());
        }
        if day != self.day {
            self.end_day(whose)?;
            self.day = day;
        }
        let found = self.nets.iter().position(|it| it.0 == part.currency);
        let at = found.unwrap_or(self.nets.len());
        if found.is_none() {
            let none = vec![None; whose.keys.len()];
            self.nets.push((part.currency, none));
        }
        let nets = self.nets.get_mut(at).map(|it| &mut it.1);
        if let Some(slot) = nets.and_then(|nets| nets.get_mut(place)) {
            *slot.get_or_insert(0) += row.gross - row.reversed;
        }
        Ok(())
    }

    fn end_day(&mut self, whose: &Partners) -> Result<(), LedgerError> {
        for (currency, nets) in &mut self.nets {
            for (key, net) in whose.keys.iter().zip(nets) {
                let Some((key, net)) = key.as_ref().zip(net.take()) else {
                    continue;
                };
                let day = days::day(self.day)?;
                let days = self.before.entry((key.clone(), *currency)).or_default();
                *days.entry(day).or_default() += net;
            }
        }
        Ok(())
    }
}

impl Store {
    /// As [`crate::ledger::Ledger::trends`].
    pub(in crate::ledger) async fn trends(
        &self,
        by: By,
        (from, to): (Day, Day),
        keys: Vec<String>,
    ) -> Result<Trends, LedgerError> {
        match by {
            By::Customer | By::Partner => {
                let days = [from.number(), to.number()];
                self.read(move |tx| tx.trends(by, days, keys)).await
            }
            By::Source | By::Day | By::Month => Ok(Trends::new()),
        }
    }
}

impl Tx<'_> {
    fn trends(&self, by: By, days: [i64; 2], keys: Vec<String>) -> Result<Trends, LedgerError> {
        let mut strangers = self.strangers()?;
        let whose = match by {
            By::Partner => self.partners(&mut strangers, Some(&keys))?,
            _ => {
                // The same key at another destination is told beside it.
                let destinations: Vec<String> =
                    self.all("SELECT DISTINCT destination FROM days", [], |row| {
                        row.get(0)
                    })?;
                let mut whose = Partners::nobody();
                let keys: BTreeSet<String> = keys.into_iter().collect();
                for key in keys {
                    let place = whose.add(&key);
                    for destination in &destinations {
                        let number = self.number_of((destination, &key), &mut strangers)?;
                        whose.put(number, place);
                    }
                }
                whose
            }
        };
        let take = |course: &mut Course, step: Step<'_>| course.take(&whose, step);
        let mut course = self.walk_customers(days, &mut strangers, Course::default, take)?;
        course.end_day(&whose)?;
        Ok(course.before)
    }
}
