//! How the money of some customers or partners went, day by day: for the few names
//! on a page, from the roll-ups.

use std::collections::HashSet;

use super::condense::{Step, Strangers};
use super::tally::Partners;
use super::tx::Tx;
use super::{LedgerError, Store, days};
use crate::day::Day;
use crate::ledger::Trends;
use crate::money::{Currency, Minor};
use crate::report::By;

/// The nets of one day, by whose they are; and those of the days before.
#[derive(Clone)]
struct Course {
    whose: Partners,
    /// Whose partner is looked up next, of those who have no number in the ledger.
    stranger: u32,
    day: i64,
    nets: Vec<(Currency, Vec<Option<Minor>>)>,
    before: Trends,
}

impl Course {
    fn of(whose: Partners, strangers: &Strangers) -> Course {
        Course {
            whose,
            stranger: strangers.next(),
            day: 0,
            nets: Vec::new(),
            before: Trends::new(),
        }
    }

    fn take(&mut self, (day, part, number, row): Step<'_>) -> Result<(), LedgerError> {
        let place = self.whose.at(number);
        if place == 0 {
            return Ok(());
        }
        if day != self.day {
            self.end_day()?;
            self.day = day;
        }
        let found = self.nets.iter().position(|it| it.0 == part.currency);
        let at = found.unwrap_or(self.nets.len());
        if found.is_none() {
            self.nets.push((part.currency, Vec::new()));
        }
        if let Some((_, nets)) = self.nets.get_mut(at) {
            if nets.len() <= place {
                nets.resize(self.whose.keys.len(), None);
            }
            if let Some(slot) = nets.get_mut(place) {
                *slot.get_or_insert(0) += row.gross - row.reversed;
            }
        }
        Ok(())
    }

    fn end_day(&mut self) -> Result<(), LedgerError> {
        for (currency, nets) in &mut self.nets {
            for (key, net) in self.whose.keys.iter().zip(nets) {
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
                let keys = keys.into_iter().collect();
                self.read(move |tx| tx.trends(by, days, &keys)).await
            }
            By::Source | By::Day | By::Month => Ok(Trends::new()),
        }
    }
}

impl Tx<'_> {
    fn trends(
        &self,
        by: By,
        days: [i64; 2],
        keys: &HashSet<String>,
    ) -> Result<Trends, LedgerError> {
        let mut strangers = self.strangers()?;
        let whose = match by {
            By::Partner => self.partners(Some(keys))?,
            _ => self.customers_named(keys, &mut strangers)?,
        };
        let empty = Course::of(whose, &strangers);
        let take = |course: &mut Course, strangers: &Strangers, step: Step<'_>| {
            if by == By::Partner {
                self.meet(course, strangers, keys, step.2)?;
            }
            course.take(step)
        };
        let mut course = self.walk_customers(days, &mut strangers, || empty.clone(), take)?;
        course.end_day()?;
        Ok(course.before)
    }

    /// Looks up the partners of those without a number, up to this one.
    fn meet(
        &self,
        course: &mut Course,
        strangers: &Strangers,
        keys: &HashSet<String>,
        number: u32,
    ) -> Result<(), LedgerError> {
        while course.stranger <= number {
            let Some(whom) = strangers.whom(course.stranger) else {
                break;
            };
            if let Some(partner) = self.partner_of(whom)?.filter(|it| keys.contains(it)) {
                let place = course.whose.place_of(&partner);
                course.whose.put(course.stranger, place);
            }
            course.stranger += 1;
        }
        Ok(())
    }

    /// The customers with these keys, at whatever destination.
    fn customers_named(
        &self,
        keys: &HashSet<String>,
        strangers: &mut Strangers,
    ) -> Result<Partners, LedgerError> {
        let destinations: Vec<String> =
            self.all("SELECT DISTINCT destination FROM days", [], |row| {
                row.get(0)
            })?;
        let mut whose = Partners::nobody();
        for key in keys {
            let place = whose.place_of(key);
            for destination in &destinations {
                let number = self.number_of((destination, key), strangers)?;
                whose.put(number, place);
            }
        }
        Ok(whose)
    }
}
