//! Finding the payments of a list, in the order in which their money moved.
//!
//! The index of payments begins with the source and the state, of which there are
//! few: the first of each are read by it and put in order here. So whatever
//! narrows a list down, a page costs its length and no more. Nothing here writes.

use std::cmp::Reverse;

use crate::ledger::sql::{Owned as Value, Row as SqlRow, params};

use super::tx::Tx;
use super::{LedgerError, Store};
use crate::ledger::book::{STATES, State};
use crate::ledger::list::{Cursor, Filter, Page, Place};
use crate::time::Time;

/// Which end a page is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    NewestFirst,
    OldestFirst,
}

impl Order {
    fn word(self) -> &'static str {
        match self {
            Order::NewestFirst => "DESC",
            Order::OldestFirst => "ASC",
        }
    }
}

/// The payments of one source and state between two places.
pub(super) fn of_source(order: Order) -> String {
    let order = order.word();
    format!(
        "SELECT occurred_at, payment FROM payments INDEXED BY payments_by_source
         WHERE source = ?1 AND state = ?2
               AND (occurred_at, payment) > (?3, ?4) AND (occurred_at, payment) < (?5, ?6)
         ORDER BY occurred_at {order}, payment {order} LIMIT ?7"
    )
}

/// The payments of one customer and state between two places, of any source in a
/// list of them, which are few.
pub(super) fn of_customer(order: Order, sources: &str) -> String {
    let order = order.word();
    format!(
        "SELECT occurred_at, payment FROM payments INDEXED BY payments_by_customer
         WHERE destination = ?1 AND customer = ?2 AND state = ?3
               AND (occurred_at, payment) > (?4, ?5) AND (occurred_at, payment) < (?6, ?7)
               AND +source IN ({sources})
         ORDER BY occurred_at {order}, payment {order} LIMIT ?8"
    )
}

/// Places found.
#[derive(Clone, Debug, Default)]
pub(super) struct Listed {
    pub places: Vec<Place>,
    /// More begin like what is searched for than were looked at.
    pub cut: bool,
}

/// The places that a page may hold lie between these two, neither of which it holds.
#[derive(Clone, Copy, Debug)]
struct Between {
    oldest: Place,
    newest: Place,
}

impl Between {
    /// What a filter's times and cursor leave.
    fn of(filter: &Filter) -> Between {
        // No payment has a number below one.
        let begin = |at: Time| Place {
            moved_at: at,
            payment: i64::MIN,
        };
        let mut between = Between {
            oldest: begin(filter.since.unwrap_or(Time(i64::MIN))),
            newest: begin(filter.until.unwrap_or(Time(i64::MAX))),
        };
        match filter.cursor {
            Some(cursor) if cursor.is_newer() => {
                between.oldest = between.oldest.max(cursor.place());
            }
            Some(cursor) => between.newest = between.newest.min(cursor.place()),
            None => {}
        }
        between
    }

    fn holds(&self, place: Place) -> bool {
        self.oldest < place && place < self.newest
    }

    fn values(&self) -> [i64; 4] {
        let Between { oldest, newest } = self;
        [
            oldest.moved_at.ms(),
            oldest.payment,
            newest.moved_at.ms(),
            newest.payment,
        ]
    }
}

impl Store {
    /// As [`crate::ledger::Ledger::payments`].
    pub(in crate::ledger) async fn payments(
        &self,
        filter: Filter,
        limit: usize,
    ) -> Result<Page, LedgerError> {
        self.read(move |tx| tx.page(filter, limit)).await
    }
}

impl Tx<'_> {
    fn page(&self, mut filter: Filter, limit: usize) -> Result<Page, LedgerError> {
        let newer = filter.cursor.is_some_and(Cursor::is_newer);
        let order = match newer {
            true => Order::OldestFirst,
            false => Order::NewestFirst,
        };
        let mut listed = self.listed(&filter, limit.saturating_add(1), order)?;
        let more = listed.places.len() > limit;
        if newer && !more {
            // That is the first page, which may as well be a full one.
            filter.cursor = None;
            return self.page(filter, limit);
        }
        listed.places.truncate(limit);
        if newer {
            listed.places.reverse();
        }
        let ends = listed.places.first().zip(listed.places.last());
        let (first, last) = ends.map(|(first, last)| (*first, *last)).unzip();
        let items = listed.places.iter().map(|place| self.view(place.payment));
        Ok(Page {
            items: items.collect::<Result<_, _>>()?,
            next_cursor: last.filter(|_| more || newer).map(Cursor::after),
            previous_cursor: first
                .filter(|_| filter.cursor.is_some())
                .map(Cursor::before),
            cut: listed.cut,
        })
    }

    /// The first `limit` places that a filter means.
    pub(super) fn listed(
        &self,
        filter: &Filter,
        limit: usize,
        order: Order,
    ) -> Result<Listed, LedgerError> {
        let between = Between::of(filter);
        let sources = self.sources_of(filter)?;
        let mut listed = match (&filter.payment_id, &filter.search, &filter.customer) {
            (Some(payment_id), ..) => {
                let found: Result<Vec<Option<i64>>, LedgerError> = sources
                    .iter()
                    .map(|source| self.payment_named(*source, payment_id))
                    .collect();
                let found = found?.into_iter().flatten().collect();
                self.places(found, filter, &sources, between)?
            }
            (None, Some(search), _) => {
                let (found, cut) = self.search(search, &sources)?;
                let mut places = self.places(found, filter, &sources, between)?;
                // Of one customer there may be very many, so the first of them are
                // read in order.
                if filter.customer.is_none() || filter.customer.as_ref() == Some(&search.text) {
                    let whole = Filter {
                        customer: Some(search.text.clone()),
                        ..filter.clone()
                    };
                    places.extend(self.of_customer(&whole, &sources, between, limit, order)?);
                }
                return Ok(Listed {
                    places: in_order(places, limit, order),
                    cut,
                });
            }
            (None, None, Some(_)) => self.of_customer(filter, &sources, between, limit, order)?,
            (None, None, None) => self.of_sources(filter, &sources, between, limit, order)?,
        };
        listed = in_order(listed, limit, order);
        Ok(Listed {
            places: listed,
            cut: false,
        })
    }

    /// The rows of the sources that a filter leaves.
    fn sources_of(&self, filter: &Filter) -> Result<Vec<i64>, LedgerError> {
        let only = match &filter.source {
            Some(source) => Some(self.source_row(source)?),
            None => None,
        };
        let all = self.all("SELECT source, provider FROM sources", [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
        })?;
        let asked = |(source, provider): &(i64, String)| {
            only.is_none_or(|only| only == *source)
                && filter.provider.as_ref().is_none_or(|it| it == provider)
        };
        Ok(all
            .into_iter()
            .filter(asked)
            .map(|(source, _)| source)
            .collect())
    }

    fn of_sources(
        &self,
        filter: &Filter,
        sources: &[i64],
        between: Between,
        limit: usize,
        order: Order,
    ) -> Result<Vec<Place>, LedgerError> {
        let sql = of_source(order);
        let [a, b, c, d] = between.values();
        let mut places = Vec::new();
        for source in sources {
            for state in states(filter) {
                let values = params![source, state.word(), a, b, c, d, sql_limit(limit)];
                places.extend(self.all(&sql, values, read_place)?);
            }
        }
        Ok(places)
    }

    fn of_customer(
        &self,
        filter: &Filter,
        sources: &[i64],
        between: Between,
        limit: usize,
        order: Order,
    ) -> Result<Vec<Place>, LedgerError> {
        if sources.is_empty() {
            return Ok(Vec::new());
        }
        let numbers: Vec<String> = sources.iter().map(i64::to_string).collect();
        let sql = of_customer(order, &numbers.join(", "));
        let [a, b, c, d] = between.values();
        let customer = &filter.customer;
        let mut places = Vec::new();
        for destination in self.known_destinations()? {
            for state in states(filter) {
                let limit = sql_limit(limit);
                let state = state.word();
                let values = params![destination, customer, state, a, b, c, d, limit];
                places.extend(self.all(&sql, values, read_place)?);
            }
        }
        Ok(places)
    }

    /// Every destination that a payment may be for: those of the configuration,
    /// and those that have customers from before.
    pub(super) fn known_destinations(&self) -> Result<Vec<String>, LedgerError> {
        // A step from each name to the next one, by the index.
        let mut names: Vec<String> = self.all(
            "WITH RECURSIVE names (name) AS (
                 SELECT min(destination) FROM payments WHERE customer IS NOT NULL
                 UNION ALL
                 SELECT (SELECT min(destination) FROM payments
                         WHERE customer IS NOT NULL AND destination > name)
                 FROM names WHERE name IS NOT NULL)
             SELECT name FROM names WHERE name IS NOT NULL",
            [],
            |row| row.get(0),
        )?;
        let configured = self.all_terms().values().map(|it| it.destination.clone());
        names.extend(configured);
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// The places of payments that were found otherwise, as far as a filter means
    /// them.
    fn places(
        &self,
        found: Vec<i64>,
        filter: &Filter,
        sources: &[i64],
        between: Between,
    ) -> Result<Vec<Place>, LedgerError> {
        let mut places = Vec::new();
        for payment in found {
            let row = self.one(
                "SELECT occurred_at, payment, source, state, customer FROM payments
                 WHERE payment = ?1",
                [payment],
                |row| {
                    let place = read_place(row)?;
                    let (source, state): (i64, String) = (row.get(2)?, row.get(3)?);
                    Ok((place, source, state, row.get::<_, Option<String>>(4)?))
                },
            )?;
            let Some((place, source, state, customer)) = row else {
                continue;
            };
            let meant = between.holds(place)
                && sources.contains(&source)
                && filter.state.is_none_or(|only| only.word() == state)
                && (filter.customer.is_none() || filter.customer == customer);
            if meant {
                places.push(place);
            }
        }
        Ok(places)
    }
}

/// The states that a filter leaves.
fn states(filter: &Filter) -> impl Iterator<Item = State> {
    let only = filter.state;
    STATES
        .into_iter()
        .filter(move |state| only.is_none_or(|only| only == *state))
}

fn sql_limit(limit: usize) -> Value {
    Value::from(i64::try_from(limit).unwrap_or(i64::MAX))
}

fn read_place(row: &SqlRow<'_>) -> Result<Place, LedgerError> {
    Ok(Place {
        moved_at: Time(row.get(0)?),
        payment: row.get(1)?,
    })
}

/// The first of several lists, each once.
fn in_order(mut places: Vec<Place>, limit: usize, order: Order) -> Vec<Place> {
    match order {
        Order::NewestFirst => places.sort_unstable_by_key(|place| Reverse(*place)),
        Order::OldestFirst => places.sort_unstable(),
    }
    places.dedup();
    places.truncate(limit);
    places
}

#[cfg(test)]
#[path = "list_tests.rs"]
mod tests;
