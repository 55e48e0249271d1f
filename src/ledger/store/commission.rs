//! Commission in reports: from the roll-up of rewards by day, or in another zone
//! than the ledger's from all rewards.
//!
//! A partner's commission is what the rewards give that partner, whoever the
//! customer belongs to now: it is paid to whom it was earned by. Nothing here
//! writes.

use crate::ledger::sql::{Row as SqlRow, params};

use super::chosen::{PartnerNames, partner};
use super::report::{put, range};
use super::tx::{Tx, from_word};
use super::{LedgerError, days};
use crate::day::{Month, Zone};
use crate::destination::List;
use crate::money::{Currency, Minor};
use crate::report::{By, Group, Heap, Lines, Question, Report, Sums};
use crate::time::Time;

/// Rewards read in one snapshot where days are found again: a few milliseconds.
const PAGE: i64 = 1_000;

/// What stands in the place of a source's name for rewards that no transaction of
/// ours brought; no source can have this name.
pub(super) const NO_SOURCE: &str = "(other)";

/// The customer's key as payments have it, else the destination's own.
const CUSTOMER: &str = "coalesce((SELECT customer FROM mirrored_customers AS m
        WHERE m.destination = c.destination AND m.key = c.customer), nullif(c.customer, ''))";

/// The partner's own key, else the partnership's.
const PARTNER: &str = "coalesce(nullif(c.partner, ''),
        (SELECT partner FROM partners AS p
         WHERE p.destination = c.destination AND p.key = c.partnership),
        nullif(c.partnership, ''))";

/// The partner that stands beside a customer `customer` of `destination`.
const PARTNER_OF: &str = "(SELECT max(partner) FROM customers
        WHERE customers.destination = g.destination AND customers.customer = g.customer)";

/// What was earned by a customer.
pub(super) struct Earned {
    whose: Whose,
    pub(super) currency: Currency,
    pub(super) amount: Minor,
}

impl Earned {
    /// The destination and the customer, where the rewards name one.
    pub(super) fn whom(&self) -> Option<(&str, &str)> {
        let customer = self.whose.customer.as_deref()?;
        Some((&self.whose.destination, customer))
    }

    /// The line that it belongs to, where they do not.
    pub(super) fn line(self) -> (Group, Currency, Sums) {
        let sums = commission(self.amount);
        (group(By::Customer, self.whose), self.currency, sums)
    }
}

/// What rewards are added up by.
struct Whose {
    destination: String,
    customer: Option<String>,
    partner: Option<String>,
    partner_of_customer: Option<String>,
    source: String,
}

/// The sums of a roll-up by what a report asks for; the columns are those of
/// [`read_whose`], a number that is a day or a month, the currency and the sum.
pub(super) fn by(by: By) -> String {
    let [destination, customer, partner, source, number] = match by {
        By::Partner => ["''", "NULL", PARTNER, "''", "0"],
        By::Customer => ["c.destination", CUSTOMER, "NULL", "''", "0"],
        By::Source => ["''", "NULL", "NULL", "c.source", "0"],
        By::Day => ["''", "NULL", "NULL", "''", "c.day"],
        By::Month => ["''", "NULL", "NULL", "''", "c.day / 100"],
    };
    // Added up first by what stands in the rows: names are looked up once for each of
    // those and not for every day.
    let (table, kept) = match by {
        By::Customer => ("customer_commission_days", "destination, customer"),
        By::Partner => (
            "customer_commission_days",
            "destination, partner, partnership",
        ),
        By::Source => ("commission_days", "source"),
        By::Day | By::Month => ("commission_days", "day"),
    };
    format!(
        "SELECT {destination}, {customer}, {partner}, NULL, {source}, {number}, currency,
                sum(amount)
         FROM (SELECT {kept}, currency, sum(amount) AS amount
               FROM {table} WHERE day BETWEEN ?1 AND ?2 GROUP BY {kept}, currency) AS c
         GROUP BY 1, 2, 3, 5, 6, currency"
    )
}

fn read_whose(row: &SqlRow<'_>) -> Result<Whose, LedgerError> {
    Ok(Whose {
        destination: row.get(0)?,
        customer: row.get(1)?,
        partner: row.get(2)?,
        partner_of_customer: row.get(3)?,
        source: row.get(4)?,
    })
}

impl Tx<'_> {
    /// Adds the commission of the days asked for to a report in the ledger's zone.
    pub(super) fn report_commission(
        &self,
        question: &Question,
        heap: &mut Heap,
    ) -> Result<(), LedgerError> {
        let lines = self.all(&by(question.by), range(question), |row| {
            let number: i64 = row.get(5)?;
            let currency: Currency = from_word(row.get(6)?)?;
            let amount: Minor = row.get(7)?;
            let group = match question.by {
                By::Day => Group::Day {
                    day: days::day(number)?,
                },
                By::Month => Group::Month {
                    month: Month(number),
                },
                _ => group(question.by, read_whose(row)?),
            };
            Ok((group, currency, amount))
        })?;
        for (group, currency, amount) in lines {
            put(heap, group, currency, &commission(amount));
        }
        Ok(())
    }

    /// The commission of the days asked for by customer, without their partners.
    pub(super) fn earned(&self, question: &Question) -> Result<Vec<Earned>, LedgerError> {
        self.all(&by(By::Customer), range(question), |row| {
            Ok(Earned {
                whose: read_whose(row)?,
                currency: from_word(row.get(6)?)?,
                amount: row.get(7)?,
            })
        })
    }

    /// The commission of all days, by currency.
    pub(super) fn all_commission(&self) -> Result<Vec<(Currency, Minor)>, LedgerError> {
        self.all(
            "SELECT currency, sum(amount) FROM commission_days GROUP BY currency",
            [],
            |row| Ok((from_word(row.get(0)?)?, row.get(1)?)),
        )
    }

    /// Adds a page of rewards by the days of another zone; answers where the next
    /// page begins.
    pub(super) fn report_rewards(
        &self,
        question: &Question,
        zone: &Zone,
        heap: &mut Heap,
        after: &(String, String),
    ) -> Result<Option<(String, String)>, LedgerError> {
        let sql = format!(
            "SELECT destination, customer, partner, {PARTNER_OF}, source, key, created_at, currency,
                    amount
             FROM (SELECT c.destination AS destination, {CUSTOMER} AS customer,
                          {PARTNER} AS partner, c.source AS source, c.key AS key, created_at,
                          currency, amount
                   FROM rewards AS c
                   WHERE counts = 1 AND (c.destination, c.key) > (?1, ?2)
                   ORDER BY c.destination, c.key LIMIT ?3) AS g"
        );
        let page = self.all(&sql, params![after.0, after.1, PAGE], |row| {
            let (key, at): (String, i64) = (row.get(5)?, row.get(6)?);
            let currency: Currency = from_word(row.get(7)?)?;
            Ok((read_whose(row)?, key, Time(at), currency, row.get(8)?))
        })?;
        let last = page
            .last()
            .map(|(whose, key, ..)| (whose.destination.clone(), key.clone()));
        for (whose, _, at, currency, amount) in page {
            let day = zone.day_of(at);
            if question.asks(day) {
                let group = match question.by {
                    By::Day => Group::Day { day },
                    By::Month => Group::Month { month: day.month() },
                    by => group(by, whose),
                };
                put(heap, group, currency, &commission(amount));
            }
        }
        Ok(last)
    }

    /// Puts a report in order and says in it what only the mirror knows: whose
    /// commission is known at all, and how partners are called.
    pub(super) fn end_report(
        &self,
        mut heap: Heap,
        question: &Question,
        lines: &Lines,
        zone: &str,
    ) -> Result<Report, LedgerError> {
        for destination in self.mirrored_destinations()? {
            heap.mirrors(destination);
        }
        let names = PartnerNames::of(self);
        if !lines.only.is_all() {
            heap.keep(|group| names.takes(&lines.only, group))?;
        }
        let mut report = heap.report_of(question, lines.most, zone);
        for line in &mut report.items {
            if let Some((partner, destination)) = line.group.as_ref().and_then(partner) {
                line.partner_name = names.name(partner, destination)?;
            }
        }
        Ok(report)
    }

    /// The destinations whose rewards were read to the end at least once.
    pub(super) fn mirrored_destinations(&self) -> Result<Vec<String>, LedgerError> {
        self.all(
            "SELECT destination FROM mirror_reads WHERE kind = ?1 AND read_at IS NOT NULL",
            [List::Rewards.word()],
            |row| row.get(0),
        )
    }
}

fn commission(amount: Minor) -> Sums {
    Sums {
        commission: amount,
        ..Sums::default()
    }
}

/// The line that a reward belongs to, but for days.
fn group(by: By, whose: Whose) -> Group {
    match by {
        By::Customer => Group::Customer {
            destination: Some(whose.destination),
            customer_key: whose.customer,
            partner_key: whose.partner_of_customer,
            attributed: true,
        },
        By::Source => Group::Source {
            source: match whose.source.is_empty() {
                true => NO_SOURCE.to_owned(),
                false => whose.source,
            },
        },
        By::Partner | By::Day | By::Month => Group::Partner {
            partner_key: whose.partner,
            attributed: true,
        },
    }
}
