//! What the money of all payments comes to, by partner, customer, source, day or
//! month.
//!
//! A report never adds two currencies together. A sale counts on the day of its
//! capture and a reversal on its own day, or on the day of its sale where that is
//! asked for. Here is what a report is and how it is put in order; the ledger
//! adds up, and what of its money counts is in `ledger::revenue`.

mod question;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::day::{Day, Month};
use crate::daybook::Daybook;
use crate::money::{Currency, Minor};

pub use question::{Basis, By, Lines, Most, Only, Question};

/// What a line is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(untagged)]
pub enum Group {
    /// A partner.
    Partner {
        /// The partner's key; `None` where it is not known, or not attributed.
        partner_key: Option<String>,
        /// False for the money of nobody's customers.
        attributed: bool,
    },
    /// A customer.
    Customer {
        /// The destination that knows it; `None` for the money of nobody's.
        destination: Option<String>,
        /// The customer's key there; `None` for the money of nobody's.
        customer_key: Option<String>,
        /// The partner who brought it, once the ledger knows.
        partner_key: Option<String>,
        /// False for the money of nobody's customers.
        attributed: bool,
    },
    /// A source.
    Source {
        /// Its name.
        source: String,
    },
    /// A day.
    Day {
        /// The day.
        day: Day,
    },
    /// A month.
    Month {
        /// The month.
        month: Month,
    },
}

/// What some money comes to, in minor units of one currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Captured.
    pub gross: Minor,
    /// Went back.
    pub reversed: Minor,
    /// Sales.
    pub payments: i64,
    /// How often money went back: once for each payment and day.
    pub reversals: i64,
    /// What of the net has no customer.
    pub unattributed: Minor,
    /// What of the net is ignored: recorded and not forwarded, on purpose.
    pub ignored: Minor,
    /// What partners get, by the destination's rewards.
    pub commission: Minor,
}

impl Sums {
    /// Adds others to these.
    pub fn add(&mut self, other: &Sums) {
        // Every field by name: a new one forces a decision here.
        let Sums {
            gross,
            reversed,
            payments,
            reversals,
            unattributed,
            ignored,
            commission,
        } = other;
        self.gross += gross;
        self.reversed += reversed;
        self.payments += payments;
        self.reversals += reversals;
        self.unattributed += unattributed;
        self.ignored += ignored;
        self.commission += commission;
    }
}

/// One line of a report, or a total of one currency; amounts are minor units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = ReportLine)]
pub struct Line {
    /// What it is about; nothing for a total.
    #[serde(flatten)]
    #[schema(value_type = Group)]
    pub group: Option<Group>,
    /// The currency of every amount in it.
    pub currency: Currency,
    /// Captured.
    pub gross: Minor,
    /// Went back.
    pub reversed: Minor,
    /// Gross less reversed.
    pub net: Minor,
    /// What of the net has no customer.
    pub unattributed: Minor,
    /// What of the net is ignored: recorded and not forwarded, on purpose.
    pub ignored: Minor,
    /// What partners get, by the destination's rewards, each on the day on which it
    /// was made; `None` until they were read.
    pub commission: Option<Minor>,
    /// How the partner is called, once the destination's partners were read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partner_name: Option<String>,
    /// Sales.
    pub payments: i64,
    /// How often money went back: once for each payment and day.
    pub reversals: i64,
}

impl Line {
    /// The line of some sums.
    #[must_use]
    pub fn new(group: Option<Group>, currency: Currency, sums: &Sums) -> Line {
        Line {
            group,
            currency,
            gross: sums.gross,
            reversed: sums.reversed,
            net: sums.gross - sums.reversed,
            unattributed: sums.unattributed,
            ignored: sums.ignored,
            commission: None,
            partner_name: None,
            payments: sums.payments,
            reversals: sums.reversals,
        }
    }

    fn sums(&self) -> Sums {
        Sums {
            gross: self.gross,
            reversed: self.reversed,
            payments: self.payments,
            reversals: self.reversals,
            unattributed: self.unattributed,
            ignored: self.ignored,
            commission: self.commission.unwrap_or(0),
        }
    }

    /// What lines of partners and customers are ordered by.
    fn place(&self) -> (Currency, bool, Reverse<Minor>, Option<&Group>) {
        let nobodys = self.group.as_ref().is_some_and(Group::is_nobodys);
        (
            self.currency,
            nobodys,
            Reverse(self.net),
            self.group.as_ref(),
        )
    }
}

/// A report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Report {
    /// What has a line.
    pub by: By,
    /// Where its days begin and end.
    pub zone: String,
    /// On which day a reversal counts.
    pub basis: Basis,
    /// The first day, if not all.
    pub from: Option<Day>,
    /// The last day, which is part of it.
    pub to: Option<Day>,
    /// The lines, in the order that `by` suggests.
    pub items: Vec<Line>,
    /// One for each currency, over all lines.
    pub totals: Vec<Line>,
    /// Lines that were left off at the end; the totals hold them too.
    pub left_off: usize,
    /// The same of each currency that has any.
    #[serde(skip)]
    #[schema(ignore)]
    pub left_off_of: BTreeMap<Currency, usize>,
}

/// Sums that are being put together.
#[derive(Clone, Debug, Default)]
pub struct Heap {
    sums: BTreeMap<(Group, Currency), Sums>,
    /// Lines that nothing is added to any more, and lines that are not shown.
    lines: Vec<Line>,
    left_off: BTreeMap<Currency, (usize, Sums)>,
    /// What is in the totals only.
    passed_over: BTreeMap<Currency, Sums>,
    /// The destinations whose rewards are in it.
    mirrored: BTreeSet<String>,
}

impl Heap {
    /// Says that the rewards of a destination are known, so that no commission is
    /// none.
    pub fn mirrors(&mut self, destination: String) {
        self.mirrored.insert(destination);
    }

    /// Adds sums to those of a group.
    pub fn add(&mut self, group: Group, currency: Currency, sums: &Sums) {
        self.sums.entry((group, currency)).or_default().add(sums);
    }

    /// Makes room for so many more of [`Heap::add_line`].
    pub fn expect(&mut self, lines: usize) {
        self.lines.reserve_exact(lines);
    }

    /// Adds the sums of a group that nothing else is added to.
    pub fn add_line(&mut self, group: Group, currency: Currency, sums: &Sums) {
        self.lines.push(Line {
            commission: Some(sums.commission),
            ..Line::new(Some(group), currency, sums)
        });
    }

    /// Adds the sums of a group that is not shown, because enough others of its
    /// currency stand before it.
    pub fn leave_off(&mut self, currency: Currency, sums: &Sums) {
        let (lines, all) = self.left_off.entry(currency).or_default();
        *lines += 1;
        all.add(sums);
    }

    /// Adds the sums of a group that is not asked for: only the totals hold them.
    pub fn pass_over(&mut self, currency: Currency, sums: &Sums) {
        self.passed_over.entry(currency).or_default().add(sums);
    }

    /// Passes over all groups that `takes` does not take.
    ///
    /// # Errors
    /// Those of `takes`.
    pub fn keep<E>(&mut self, takes: impl Fn(&Group) -> Result<bool, E>) -> Result<(), E> {
        for ((group, currency), sums) in std::mem::take(&mut self.sums) {
            match takes(&group)? {
                true => self.add(group, currency, &sums),
                false => self.pass_over(currency, &sums),
            }
        }
        for line in std::mem::take(&mut self.lines) {
            match line.group.as_ref().map_or(Ok(true), &takes)? {
                true => self.lines.push(line),
                false => self.pass_over(line.currency, &line.sums()),
            }
        }
        Ok(())
    }

    /// Adds one payment by its days: `group` says what a day's part of it
    /// belongs to.
    pub fn add_payment(
        &mut self,
        question: &Question,
        payment: &Counted<'_>,
        group: impl Fn(Day) -> Group,
    ) {
        let split = payment.split;
        let part = |gross: Minor, reversed: Minor, payments: i64, reversals: i64| {
            let net = gross - reversed;
            Sums {
                gross,
                reversed,
                payments,
                reversals,
                unattributed: if payment.attributed { 0 } else { net },
                ignored: if payment.ignored { net } else { 0 },
                commission: 0,
            }
        };
        let mut put = |day: Day, sums: &Sums| {
            if question.asks(day) {
                self.add(group(day), payment.currency, sums);
            }
        };
        match question.basis {
            Basis::Own => {
                put(split.sale, &part(split.gross, 0, 1, 0));
                for (day, amount) in &split.reversals {
                    put(*day, &part(0, *amount, 0, i64::from(*amount > 0)));
                }
            }
            Basis::Sale => {
                let reversed = split.reversed();
                let reversals = i64::from(reversed > 0);
                put(split.sale, &part(split.gross, reversed, 1, reversals));
            }
        }
    }

    /// The report that answers `question`, with all its lines; days are those of the
    /// zone named.
    #[must_use]
    pub fn report(self, question: &Question, zone: &str) -> Report {
        self.report_of(question, Most::All, zone)
    }

    /// The same with no more lines than asked for.
    #[must_use]
    pub fn report_of(self, question: &Question, most: Most, zone: &str) -> Report {
        let totals = self.totals();
        let mirrored = self.mirrored;
        let known = |group: Option<&Group>| match group {
            Some(Group::Customer {
                destination: Some(destination),
                ..
            }) => mirrored.contains(destination),
            _ => !mirrored.is_empty(),
        };
        let line = |group: Option<Group>, currency: Currency, sums: &Sums| Line {
            commission: known(group.as_ref()).then_some(sums.commission),
            ..Line::new(group, currency, sums)
        };
        let mut items = self.lines;
        for line in &mut items {
            line.commission = line.commission.filter(|_| known(line.group.as_ref()));
        }
        let sums = self.sums.into_iter();
        items.extend(sums.map(|((group, currency), sums)| line(Some(group), currency, &sums)));
        if matches!(question.by, By::Partner | By::Customer) {
            // Who brought most stands first, and the money of nobody's last.
            items.sort_unstable_by(|one, other| one.place().cmp(&other.place()));
        }
        let mut left_off_of: BTreeMap<Currency, usize> = BTreeMap::new();
        for (currency, (lines, _)) in self.left_off {
            left_off_of.insert(currency, lines);
        }
        cut(&mut items, most, &mut left_off_of);
        let totals = totals.iter();
        Report {
            by: question.by,
            zone: zone.to_owned(),
            basis: question.basis,
            from: question.from,
            to: question.to,
            items,
            totals: totals.map(|(it, sums)| line(None, *it, sums)).collect(),
            left_off: left_off_of.values().sum(),
            left_off_of,
        }
    }

    fn totals(&self) -> BTreeMap<Currency, Sums> {
        let mut totals: BTreeMap<Currency, Sums> = BTreeMap::new();
        for ((_, currency), sums) in &self.sums {
            totals.entry(*currency).or_default().add(sums);
        }
        for line in &self.lines {
            totals.entry(line.currency).or_default().add(&line.sums());
        }
        for (currency, (_, sums)) in &self.left_off {
            totals.entry(*currency).or_default().add(sums);
        }
        for (currency, sums) in &self.passed_over {
            totals.entry(*currency).or_default().add(sums);
        }
        totals
    }
}

/// Leaves off the lines that are too many, and counts them.
fn cut(items: &mut Vec<Line>, most: Most, left_off: &mut BTreeMap<Currency, usize>) {
    let mut shown: BTreeMap<Currency, usize> = BTreeMap::new();
    let mut all = 0;
    items.retain(|line| {
        let of_currency = shown.entry(line.currency).or_default();
        let room = match most {
            Most::All => true,
            Most::First(lines) => all < lines,
            Most::Each(lines) => *of_currency < lines,
        };
        match room {
            true => {
                all += 1;
                *of_currency += 1;
            }
            false => *left_off.entry(line.currency).or_default() += 1,
        }
        room
    });
}

impl Group {
    /// Whether it is the money of nobody's customers.
    fn is_nobodys(&self) -> bool {
        matches!(
            self,
            Group::Partner {
                attributed: false,
                ..
            } | Group::Customer {
                attributed: false,
                ..
            }
        )
    }
}

/// A payment that counts in reports.
#[derive(Clone, Copy, Debug)]
pub struct Counted<'a> {
    /// Its money by days.
    pub split: &'a Daybook,
    /// The currency of that money.
    pub currency: Currency,
    /// Whether it has a customer.
    pub attributed: bool,
    /// Whether it is recorded and not forwarded, on purpose.
    pub ignored: bool,
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
