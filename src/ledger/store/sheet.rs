//! Sums of many customers side by side, by their numbers. It knows no table and no
//! name.
//!
//! Adding to it is what a report by customer spends its time with, once for every
//! customer and day. So what every day has stands close together, apart from what
//! hardly any has, and what is ignored has columns of its own.

use super::condense::Step;
use super::few::Few;
use super::segment::Part;
use crate::money::{Currency, Minor};
use crate::report::{Basis, Sums};

/// Customers whose sums stand side by side: a currency that few pay in takes no
/// room for all.
const BLOCK: usize = 256;

#[derive(Clone, Copy, Default)]
struct Often {
    gross: Minor,
    payments: i64,
}

#[derive(Clone, Copy, Default)]
struct Seldom {
    reversed: Minor,
    reversals: i64,
    commission: Minor,
}

#[derive(Default)]
struct Block {
    often: Vec<Often>,
    /// Empty until anybody here has any.
    seldom: Vec<Seldom>,
}

impl Block {
    fn seldom(&mut self, at: usize) -> Option<&mut Seldom> {
        if self.seldom.is_empty() {
            self.seldom = vec![Seldom::default(); BLOCK];
        }
        self.seldom.get_mut(at)
    }
}

/// The sums of a currency, of what is ignored or of the rest, in blocks.
type Column = Vec<Block>;

/// What every customer comes to.
#[derive(Default)]
pub(super) struct Sheet {
    columns: Few<Part, Column>,
}

impl Sheet {
    /// Adds a day of a customer as `basis` counts it; nothing where a sum is beyond
    /// all numbers.
    #[inline]
    pub(super) fn take(&mut self, basis: Basis, (_, part, number, row): Step<'_>) -> Option<()> {
        let (reversed, reversals) = match basis {
            Basis::Own => (row.reversed, row.reversals),
            Basis::Sale => (row.of_sales_reversed, row.of_sales_reversals),
        };
        let (block, at) = self.place(part, number)?;
        let often = block.often.get_mut(at)?;
        often.gross = often.gross.checked_add(row.gross)?;
        often.payments = often.payments.checked_add(row.payments)?;
        if (reversed, reversals) != (0, 0) {
            let seldom = block.seldom(at)?;
            seldom.reversed = seldom.reversed.checked_add(reversed)?;
            seldom.reversals = seldom.reversals.checked_add(reversals)?;
        }
        Some(())
    }

    /// Adds what somebody else earned by a customer.
    pub(super) fn earn(&mut self, currency: Currency, number: u32, amount: Minor) -> Option<()> {
        let part = Part {
            currency,
            ignored: false,
        };
        let (block, at) = self.place(part, number)?;
        let seldom = block.seldom(at)?;
        seldom.commission = seldom.commission.checked_add(amount)?;
        Some(())
    }

    #[inline]
    fn place(&mut self, part: Part, number: u32) -> Option<(&mut Block, usize)> {
        let column = self.columns.at(part)?;
        let number = usize::try_from(number).ok()?;
        let (block, at) = (number / BLOCK, number % BLOCK);
        if block >= column.len() {
            column.resize_with(block + 1, Block::default);
        }
        let block = column.get_mut(block)?;
        if block.often.is_empty() {
            block.often = vec![Often::default(); BLOCK];
        }
        Some((block, at))
    }

    /// What a customer comes to in a currency; zeros where there is nothing.
    fn sums(&self, currency: Currency, number: usize) -> Sums {
        let mut sums = Sums::default();
        let columns = self.columns.all.iter();
        for (part, column) in columns.filter(|it| it.0.currency == currency) {
            let Some(block) = column.get(number / BLOCK) else {
                continue;
            };
            let at = number % BLOCK;
            let often = block.often.get(at).copied().unwrap_or_default();
            let seldom = block.seldom.get(at).copied().unwrap_or_default();
            let net = often.gross - seldom.reversed;
            sums.add(&Sums {
                gross: often.gross,
                reversed: seldom.reversed,
                payments: often.payments,
                reversals: seldom.reversals,
                unattributed: 0,
                ignored: if part.ignored { net } else { 0 },
                commission: seldom.commission,
            });
        }
        sums
    }

    fn currencies(&self) -> impl Iterator<Item = Currency> {
        let mut all: Vec<Currency> = self.columns.all.iter().map(|it| it.0.currency).collect();
        all.sort_unstable();
        all.dedup();
        all.into_iter()
    }

    /// Whoever has any sums, currency by currency.
    pub(super) fn all(&self) -> impl Iterator<Item = (Currency, u32, Sums)> {
        self.currencies().flat_map(move |currency| {
            let columns = self.columns.all.iter();
            let columns = columns.filter(move |it| it.0.currency == currency);
            let blocks = columns.map(|it| it.1.len()).max().unwrap_or(0);
            let sums = (0..blocks * BLOCK).map(move |number| self.sums(currency, number));
            (0..)
                .zip(sums)
                .filter(|(_, sums)| *sums != Sums::default())
                .map(move |(number, sums)| (currency, number, sums))
        })
    }

    /// What a customer comes to in every currency that there is anything in.
    pub(super) fn of(&self, number: u32) -> Vec<(Currency, Sums)> {
        let Ok(number) = usize::try_from(number) else {
            return Vec::new();
        };
        let all = self.currencies();
        let all = all.map(|currency| (currency, self.sums(currency, number)));
        all.filter(|(_, sums)| *sums != Sums::default()).collect()
    }
}
