//! How the money of some customers or partners went, day by day: for the few names
//! on a page, from the roll-ups.

use std::collections::{BTreeMap, HashSet};

use super::condense::{Step, Strangers};
use super::tally::Partners;
use super::tx::Tx;
use super::{LedgerError, Store, days};
use crate::day::Day;
use crate::ledger::Trends;
use crate::money::{Currency, Minor};
use crate::report::By;

/// The nets of somebody in one currency: of the day that is being read, and of those
/// before it, most of them in order.
#[derive(Clone, Default)]
struct Nets {
    today: Option<Minor>,
    before: Vec<(Day, Minor)>,
}

impl Nets {
    /// A day that was read in parts has several nets.
    fn days(mut self) -> BTreeMap<Day, Minor> {
        self.before.sort_by_key(|(day, _)| *day);
        self.before.dedup_by(|(day, net), (before, sum)| {
            let same = day == before;
            if same {
                *sum += *net;
            }
            same
        });
        self.before.into_iter().collect()
    }
}

/// How the money goes, by whose it is.
#[derive(Clone)]
struct Course {
    whose: Partners,
    /// Whose partner is looked up next, of those who have no number in the ledger.
    stranger: u32,
    day: i64,
    /// Of each currency, by the places of whose it is.
    nets: Vec<(Currency, Vec<Nets>)>,
}

impl Course {
    fn of(whose: Partners, strangers: &Strangers) -> Course {
        Course {
            whose,
            stranger: strangers.next(),
            day: 0,
            nets: Vec::new(),
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
                nets.resize_with(self.whose.keys.len(), Nets::default);
            }
            if let Some(slot) = nets.get_mut(place) {
                *slot.today.get_or_insert(0) += row.gross - row.reversed;
            }
        }
        Ok(())
    }

    fn end_day(&mut self) -> Result<(), LedgerError> {
        if self.nets.is_empty() {
            return Ok(());
        }
        let day = days::day(self.day)?;
        for nets in self.nets.iter_mut().flat_map(|(_, nets)| nets) {
            if let Some(net) = nets.today.take() {
                nets.before.push((day, net));
            }
        }
        Ok(())
    }

    fn end(mut self) -> Result<Trends, LedgerError> {
        self.end_day()?;
        let mut trends = Trends::new();
        for (currency, nets) in self.nets {
            for (key, nets) in self.whose.keys.iter().zip(nets) {
                if let Some(key) = key.as_ref().filter(|_| !nets.before.is_empty()) {
                    trends.insert((key.clone(), currency), nets.days());
                }
            }
        }
        Ok(trends)
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
        self.walk_customers(days, &mut strangers, || empty.clone(), take)?
            .end()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_that_comes_in_parts_is_one() {
        let day = |number| Day::from_number(number).unwrap();
        let (first, second) = (day(20_260_601), day(20_260_602));
        let nets = Nets {
            today: None,
            before: vec![(first, 5), (second, -1), (first, 2), (second, 0)],
        };
        assert_eq!(nets.days(), BTreeMap::from([(first, 7), (second, -1)]));
    }
}
