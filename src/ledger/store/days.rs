//! The roll-ups that reports read: kept in the same transaction as the books.
//!
//! Each payment carries what it brought in (`payments.booked`). When it stands
//! differently, exactly that is taken out and the new part put in, so the tables
//! are at every moment the sum over all payments. Nothing here decides what
//! counts; that is `ledger::revenue`.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::insert::kinds::{Int, Text};
use super::insert::{Insert, values};
use super::roll_up::{Difference, Statements};
use super::stand::Folded;
use super::tx::{Tx, by_word};
use crate::day::Day;
use crate::daybook::{self, Daybook};
use crate::ledger::LedgerError;
use crate::ledger::book::Book;
use crate::ledger::revenue::revenue;
use crate::ledger::sql::{params, unexpected};
use crate::money::Minor;
use crate::position;

/// Payments that are booked at a time where a ledger is filled: enough that one
/// day's row is written once for many, little enough to hold.
const FILLED_AT_ONCE: i64 = 10_000;

/// What a payment brought into the roll-ups, and under whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Booked {
    /// The number of the day of the sale.
    pub sold: i64,
    /// Minor units captured.
    pub gross: Minor,
    /// Their currency.
    pub currency: String,
    /// The destination.
    pub at: String,
    /// The customer's key or address, and the word for which of them it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<(String, String)>,
    /// Whether it is recorded and not forwarded, on purpose.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ignored: bool,
    /// What went back, by the numbers of days.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub back: Vec<(i64, Minor)>,
}

/// The sums of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    pub gross: Minor,
    pub payments: i64,
    pub reversed: Minor,
    pub reversals: i64,
    pub of_sales_reversed: Minor,
    pub of_sales_reversals: i64,
}

impl Row {
    pub(super) fn fields(&self) -> [i64; 6] {
        let Row {
            gross,
            payments,
            reversed,
            reversals,
            of_sales_reversed,
            of_sales_reversals,
        } = *self;
        let of_sales = [of_sales_reversed, of_sales_reversals];
        [
            gross,
            payments,
            reversed,
            reversals,
            of_sales[0],
            of_sales[1],
        ]
    }

    /// Whether it could stand by itself, as what payments bring in can.
    fn is_whole(&self) -> bool {
        self.fields().iter().all(|field| *field >= 0) && self.of_sales_reversed <= self.gross
    }

    fn difference(&self) -> Difference {
        match self {
            row if *row == Row::default() => Difference::Nothing,
            row if row.is_whole() => Difference::Row,
            row if row.fields().iter().all(|field| *field >= 0) => Difference::Change,
            _ => Difference::Less,
        }
    }

    fn add(&mut self, other: &Row, times: i64) {
        self.gross += times * other.gross;
        self.payments += times * other.payments;
        self.reversed += times * other.reversed;
        self.reversals += times * other.reversals;
        self.of_sales_reversed += times * other.of_sales_reversed;
        self.of_sales_reversals += times * other.of_sales_reversals;
    }
}

/// What the rows of `days` are told apart by, but for the day and the source.
type DayKey = (i64, i64, String, String, bool, bool);
/// And those of `customer_days`.
type CustomerKey = (i64, String, (String, String), String, i64, bool);

/// What is to change in the roll-ups.
#[derive(Debug, Default)]
pub(super) struct Changes {
    days: HashMap<DayKey, Row>,
    customers: HashMap<CustomerKey, Row>,
}

impl Changes {
    /// Puts what a payment brings in (`times` 1) or takes it out (-1).
    fn add(&mut self, source: i64, booked: &Booked, times: i64) {
        let reversed: Minor = booked.back.iter().map(|(_, amount)| amount).sum();
        let sale = Row {
            gross: booked.gross,
            payments: 1,
            of_sales_reversed: reversed,
            of_sales_reversals: i64::from(reversed > 0),
            ..Row::default()
        };
        self.put(source, booked, booked.sold, &sale, times);
        for (day, amount) in &booked.back {
            let reversal = Row {
                reversed: *amount,
                reversals: i64::from(*amount > 0),
                ..Row::default()
            };
            self.put(source, booked, *day, &reversal, times);
        }
    }

    fn put(&mut self, source: i64, booked: &Booked, day: i64, row: &Row, times: i64) {
        let (at, currency) = (booked.at.clone(), booked.currency.clone());
        if let Some(customer) = booked.customer.clone() {
            let key = (
                day,
                at.clone(),
                customer,
                currency.clone(),
                source,
                booked.ignored,
            );
            self.customers.entry(key).or_default().add(row, times);
        }
        let key = (
            day,
            source,
            at,
            currency,
            booked.customer.is_some(),
            booked.ignored,
        );
        self.days.entry(key).or_default().add(row, times);
    }
}

const DAYS: Statements = Statements {
    add: "INSERT INTO days (day, source, destination, currency, attributed, ignored, gross,
              payments, reversed, reversals, of_sales_reversed, of_sales_reversals)
          VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
          ON CONFLICT (day, source, destination, currency, attributed, ignored) DO UPDATE SET gross = days.gross + excluded.gross,
              payments = days.payments + excluded.payments,
              reversed = days.reversed + excluded.reversed,
              reversals = days.reversals + excluded.reversals,
              of_sales_reversed = days.of_sales_reversed + excluded.of_sales_reversed,
              of_sales_reversals = days.of_sales_reversals + excluded.of_sales_reversals",
    change: "UPDATE days SET gross = gross + ?7, payments = payments + ?8,
               reversed = reversed + ?9, reversals = reversals + ?10,
               of_sales_reversed = of_sales_reversed + ?11,
               of_sales_reversals = of_sales_reversals + ?12
           WHERE day = ?1 AND source = ?2 AND destination = ?3 AND currency = ?4
                 AND attributed = ?5 AND ignored = ?6",
    drop: "DELETE FROM days
           WHERE day = ?1 AND source = ?2 AND destination = ?3 AND currency = ?4
                 AND attributed = ?5 AND ignored = ?6
                 AND gross = 0 AND payments = 0 AND reversed = 0 AND reversals = 0",
};

const CUSTOMER_DAYS: Statements = Statements {
    add: "INSERT INTO customer_days (day, destination, customer, customer_by, currency, source,
              ignored, gross, payments, reversed, reversals, of_sales_reversed, of_sales_reversals)
          VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
          ON CONFLICT (day, destination, customer, customer_by, currency, source,
              ignored) DO UPDATE SET gross = customer_days.gross + excluded.gross,
              payments = customer_days.payments + excluded.payments,
              reversed = customer_days.reversed + excluded.reversed,
              reversals = customer_days.reversals + excluded.reversals,
              of_sales_reversed = customer_days.of_sales_reversed + excluded.of_sales_reversed,
              of_sales_reversals = customer_days.of_sales_reversals + excluded.of_sales_reversals",
    change: "UPDATE customer_days SET gross = gross + ?8, payments = payments + ?9,
               reversed = reversed + ?10, reversals = reversals + ?11,
               of_sales_reversed = of_sales_reversed + ?12,
               of_sales_reversals = of_sales_reversals + ?13
           WHERE day = ?1 AND destination = ?2 AND customer = ?3 AND customer_by = ?4
                 AND currency = ?5 AND source = ?6 AND ignored = ?7",
    drop: "DELETE FROM customer_days
           WHERE day = ?1 AND destination = ?2 AND customer = ?3 AND customer_by = ?4
                 AND currency = ?5 AND source = ?6 AND ignored = ?7
                 AND gross = 0 AND payments = 0 AND reversed = 0 AND reversals = 0",
};

/// Rows of `customer_days` that could stand by themselves.
const WHOLE_CUSTOMER_DAYS: Insert = Insert {
    one: CUSTOMER_DAYS.add,
    kinds: &[
        Int, Text, Text, Text, Text, Int, Int, Int, Int, Int, Int, Int, Int,
    ],
};

impl Tx<'_> {
    /// Brings the roll-ups up to where payments stand now, once that is written down.
    pub(super) fn keep_days<'f>(
        &self,
        folded: impl IntoIterator<Item = &'f Folded>,
    ) -> Result<(), LedgerError> {
        let mut changes = Changes::default();
        for folded in folded {
            let before = read(folded.row.booked.as_deref())?;
            let after = self.booked(folded)?;
            if before == after {
                continue;
            }
            let source = folded.row.source_row;
            if let Some(before) = &before {
                changes.add(source, before, -1);
            }
            if let Some(after) = &after {
                changes.add(source, after, 1);
            }
            self.write_booked(folded.row.payment, after.as_ref())?;
        }
        self.change(&changes)
    }

    /// Puts what a payment that was never written down brings in with what others
    /// do, for [`Tx::change`]; answers what is to stand beside it.
    pub(super) fn book_new(
        &self,
        folded: &Folded,
        changes: &mut Changes,
    ) -> Result<Option<String>, LedgerError> {
        let booked = self.booked(folded)?;
        if let Some(booked) = &booked {
            changes.add(folded.row.source_row, booked, 1);
        }
        written(booked.as_ref())
    }

    fn booked(&self, folded: &Folded) -> Result<Option<Booked>, LedgerError> {
        let (row, book, standing) = (&folded.row, &folded.book, &folded.standing);
        let source = self.terms(&row.source)?;
        let Some(counts) = revenue(book, source, &standing.position, standing.state) else {
            return Ok(None);
        };
        let split = daybook::of_position(&standing.position, &book.facts, self.zone);
        // The same choice as where the payment is written down: the destination
        // freezes with the customer.
        let frozen = book.rows.iter().any(crate::plan::Row::freezes);
        let destination = match frozen {
            true => &row.destination,
            false => &source.destination,
        };
        let customer = standing.customer.as_ref();
        let customer = customer.map(|it| (it.value.clone(), by_word(it.by).to_owned()));
        let currency = standing.position.capture.as_ref().map(|it| it.currency);
        Ok(split.zip(currency).map(|(split, currency)| {
            of_split(
                &split,
                currency.code(),
                destination,
                customer,
                counts.ignored,
            )
        }))
    }

    fn write_booked(&self, payment: i64, booked: Option<&Booked>) -> Result<(), LedgerError> {
        let text = written(booked)?;
        self.queue(
            "UPDATE payments SET booked = ?2 WHERE payment = ?1",
            params![payment, text],
        )
    }

    /// Brings the roll-ups up to what changed.
    pub(super) fn change(&self, changes: &Changes) -> Result<(), LedgerError> {
        for (key, row) in in_order(&changes.days) {
            let (day, source, at, currency, attributed, ignored) = key;
            let [a, b, c, d, e, f] = row.fields();
            let key = params![day, source, at, currency, attributed, ignored];
            let all = params![
                day, source, at, currency, attributed, ignored, a, b, c, d, e, f
            ];
            self.roll_up_row(&DAYS, &row.difference(), all, key)?;
        }
        let mut whole = Vec::new();
        for (key, row) in in_order(&changes.customers) {
            let (day, at, (customer, by), currency, source, ignored) = key;
            let [a, b, c, d, e, f] = row.fields();
            let key = params![day, at, customer, by, currency, source, ignored];
            let all = params![
                day, at, customer, by, currency, source, ignored, a, b, c, d, e, f
            ];
            match row.difference() {
                // There is one for nearly every payment: a server takes them together.
                Difference::Row if self.is_shared() => whole.push(values(all)?),
                difference => self.roll_up_row(&CUSTOMER_DAYS, &difference, all, key)?,
            }
        }
        self.insert_all(&WHOLE_CUSTOMER_DAYS, &whole)?;
        let changed = changes.customers.iter();
        let changed = changed.filter(|(_, row)| **row != Row::default());
        let days: BTreeSet<i64> = changed.map(|(key, _)| key.0).collect();
        for day in days {
            self.drop_segment(day)?;
        }
        Ok(())
    }

    /// Books every payment of a ledger that was kept before there were roll-ups. One
    /// that is booked is left alone: what is filled twice is counted once.
    pub(super) fn fill_days(&self) -> Result<(), LedgerError> {
        let mut after = 0;
        loop {
            let page = self.all(
                "SELECT payment FROM payments
                 WHERE payment > ?1 AND gross > 0 AND reference = 0 AND booked IS NULL
                 ORDER BY payment LIMIT ?2",
                params![after, FILLED_AT_ONCE],
                |row| row.get::<_, i64>(0),
            )?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = *last;
            let mut changes = Changes::default();
            for payment in page {
                self.fill_payment(payment, &mut changes)?;
            }
            self.change(&changes)?;
        }
    }

    fn fill_payment(&self, payment: i64, changes: &mut Changes) -> Result<(), LedgerError> {
        let row = self.payment(payment)?;
        let rows = self.rows(payment)?;
        let book = Book {
            live: row.live,
            facts: self.facts(payment)?,
            ruling: self.ruling(payment)?,
            same_money_as: self.same_money_as(&row, &rows)?,
            rows,
            ..Book::default()
        };
        let position = position::position(&book.facts);
        // A source without a destination is let alone, and so is its money.
        let Some(source) = self.all_terms().get(&row.source) else {
            return Ok(());
        };
        let counts = revenue(&book, source, &position, row.state);
        let split = daybook::of_position(&position, &book.facts, self.zone);
        let currency = position.capture.as_ref().map(|it| it.currency);
        let (Some(counts), Some(split), Some(currency)) = (counts, split, currency) else {
            return Ok(());
        };
        let customer = row.customer.map(|it| (it.value, by_word(it.by).to_owned()));
        let booked = of_split(
            &split,
            currency.code(),
            &row.destination,
            customer,
            counts.ignored,
        );
        changes.add(row.source_row, &booked, 1);
        self.write_booked(payment, Some(&booked))
    }
}

/// Rows by their keys: neighbours stand on the same page.
fn in_order<K: Ord>(rows: &HashMap<K, Row>) -> Vec<(&K, &Row)> {
    let mut rows: Vec<_> = rows.iter().collect();
    rows.sort_unstable_by_key(|(key, _)| *key);
    rows
}

fn of_split(
    split: &Daybook,
    currency: &str,
    destination: &str,
    customer: Option<(String, String)>,
    ignored: bool,
) -> Booked {
    let back = split.reversals.iter();
    Booked {
        sold: split.sale.number(),
        gross: split.gross,
        currency: currency.to_owned(),
        at: destination.to_owned(),
        customer,
        ignored,
        back: back.map(|(day, amount)| (day.number(), *amount)).collect(),
    }
}

fn written(booked: Option<&Booked>) -> Result<Option<String>, LedgerError> {
    let text = booked.map(serde_json::to_string).transpose();
    text.map_err(|error| LedgerError::Unusable(error.to_string()))
}

/// What stands in `payments.booked`.
pub(super) fn read(text: Option<&str>) -> Result<Option<Booked>, LedgerError> {
    let read = text.map(serde_json::from_str).transpose();
    read.map_err(|error| LedgerError::Unusable(format!("payments.booked: {error}")))
}

/// The day with this number, where the ledger wrote it.
pub(super) fn day(number: i64) -> Result<Day, LedgerError> {
    Day::from_number(number).ok_or_else(|| unexpected("a word"))
}
