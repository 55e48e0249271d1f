//! Segments of the roll-up by customer: made behind the back of whoever reads and
//! writes, dropped with the first change, read where there are any.
//!
//! A segment is made in three steps, because packing a large day takes longer than
//! intake should wait: a short transaction says that it is being made, a snapshot
//! taken after that is packed, and a second short one puts it in, if it is still
//! being made. Whatever changes a row of the day deletes it in its own transaction,
//! made or not; so what is there is always the rows as they are. Whoever serves makes
//! segments; of several replicas each puts in only what it has begun itself. The form is
//! `segment`'s.

use std::collections::HashMap;

use super::days::Row;
use super::segment::{Broken, FORM, Packer, Part, Segment};
use super::tx::Tx;
use super::{LedgerError, Store, lock};
use crate::ledger::sql::{Row as SqlRow, params, unexpected};

/// Days of which segments are made at a time: some ten milliseconds of reading.
const DAYS_AT_ONCE: i64 = 8;

/// Customers that get their numbers in one transaction: a few milliseconds, for
/// which intake waits.
const NUMBERED_AT_ONCE: usize = 1_000;

/// The days that are over and have no segment, the newest first: those are asked
/// for most.
const TO_DO: &str = "SELECT DISTINCT day FROM days
    WHERE attributed = 1 AND day < ?1 AND NOT EXISTS
          (SELECT 1 FROM customer_segments AS made WHERE made.day = days.day AND form = ?2)
    ORDER BY day DESC LIMIT ?3";

/// The rows of one day, as a segment has them.
const TO_PACK: &str = "SELECT currency, ignored, number, sum(gross), sum(payments),
        sum(reversed), sum(reversals), sum(of_sales_reversed), sum(of_sales_reversals)
    FROM customer_days LEFT JOIN customer_numbers USING (destination, customer)
    WHERE day = ?1 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3";

/// The rows of days that have no segment.
pub(super) const ROWS: &str = "SELECT day, currency, ignored, number, gross, payments,
        reversed, reversals, of_sales_reversed, of_sales_reversals, destination, customer
    FROM customer_days LEFT JOIN customer_numbers USING (destination, customer)
    WHERE day BETWEEN ?1 AND ?2";

/// Customers that have no number.
const UNNUMBERED: &str = "SELECT DISTINCT destination, customer FROM customer_days
    WHERE day = ?1 AND NOT EXISTS
          (SELECT 1 FROM customer_numbers AS known
           WHERE known.destination = customer_days.destination
                 AND known.customer = customer_days.customer)
    LIMIT ?2";

/// A customer: the destination and the key there.
pub(super) type Whom = (String, String);

/// Customers who have no number in the ledger yet: they get one for as long as a
/// question lasts.
pub(super) struct Strangers {
    first: u32,
    numbers: HashMap<String, HashMap<String, u32>>,
    names: Vec<Whom>,
}

impl Strangers {
    /// The number of a customer whom the ledger has none for.
    pub(super) fn number(&mut self, destination: &str, customer: &str) -> Result<u32, LedgerError> {
        if let Some(number) = self.known(destination, customer) {
            return Ok(number);
        }
        let behind = u32::try_from(self.names.len()).ok();
        let number = behind.and_then(|it| self.first.checked_add(it));
        let number = number.ok_or_else(too_many)?;
        self.names
            .push((destination.to_owned(), customer.to_owned()));
        let there = self.numbers.entry(destination.to_owned()).or_default();
        there.insert(customer.to_owned(), number);
        Ok(number)
    }

    /// The same, where it has one.
    pub(super) fn known(&self, destination: &str, customer: &str) -> Option<u32> {
        self.numbers.get(destination)?.get(customer).copied()
    }

    /// Who it is, where the ledger has no such number.
    pub(super) fn whom(&self, number: u32) -> Option<&Whom> {
        let behind = number.checked_sub(self.first)?;
        self.names.get(usize::try_from(behind).ok()?)
    }

    /// The number of the next one.
    pub(super) fn next(&self) -> u32 {
        let behind = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.first.saturating_add(behind)
    }

    /// All of them with their numbers.
    pub(super) fn all(&self) -> impl Iterator<Item = (u32, &Whom)> {
        (self.first..).zip(&self.names)
    }
}

fn too_many() -> LedgerError {
    LedgerError::Unusable("more customers than have numbers".to_owned())
}

/// What a walk over customers' days is handed: the day, the currency and whether it
/// is ignored, the customer's number, and the sums.
pub(super) type Step<'a> = (i64, Part, u32, &'a Row);

impl Store {
    /// As [`crate::ledger::Ledger::condense`].
    pub(in crate::ledger) async fn condense(&self) -> Result<bool, LedgerError> {
        let broken = std::mem::take(&mut *lock(&self.shared.broken));
        if !broken.is_empty() {
            self.write(move |tx| broken.iter().try_for_each(|day| tx.drop_segment(*day)))
                .await?;
        }
        let days = self.read(|tx| tx.days_to_condense()).await?;
        if days.is_empty() {
            return Ok(false);
        }
        let maker: u32 = rand::random();
        loop {
            let asked = days.clone();
            let new = self.read(move |tx| tx.unnumbered(&asked)).await?;
            let last = new.len() < NUMBERED_AT_ONCE;
            let claimed = if last { days.clone() } else { Vec::new() };
            self.write(move |tx| tx.begin_segments(&new, &claimed, maker))
                .await?;
            if last {
                break;
            }
        }
        let wanted = days.len();
        let packed = self.read(move |tx| tx.pack_days(&days)).await?;
        let made = self
            .write(move |tx| tx.put_segments(&packed, maker))
            .await?;
        // Where one was lost somebody is at work on these days; it is not pressing.
        Ok(made == wanted)
    }
}

impl Tx<'_> {
    /// Forgets a day's segment, made or being made, because a row of the day changed.
    pub(super) fn drop_segment(&self, day: i64) -> Result<(), LedgerError> {
        self.queue("DELETE FROM customer_segments WHERE day = ?1", [day])
    }

    fn days_to_condense(&self) -> Result<Vec<i64>, LedgerError> {
        let today = self.zone.day_of(self.now).number();
        self.all(TO_DO, params![today, FORM, DAYS_AT_ONCE], |row| row.get(0))
    }

    fn unnumbered(&self, days: &[i64]) -> Result<Vec<Whom>, LedgerError> {
        let mut new = Vec::new();
        for day in days {
            let room = NUMBERED_AT_ONCE.saturating_sub(new.len());
            let room = i64::try_from(room).unwrap_or(0);
            new.extend(self.all(UNNUMBERED, params![day, room], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?);
        }
        Ok(new)
    }

    /// Says that segments of these days are being made, and by whom: another replica
    /// may begin the same one after the day has changed.
    fn begin_segments(&self, new: &[Whom], days: &[i64], maker: u32) -> Result<(), LedgerError> {
        for (destination, customer) in new {
            self.queue(
                "INSERT INTO customer_numbers (destination, customer, partner)
                 SELECT ?1, ?2, (SELECT max(partner) FROM customers
                                 WHERE destination = ?1 AND customer = ?2)
                 WHERE true ON CONFLICT DO NOTHING",
                [destination, customer],
            )?;
        }
        for day in days {
            self.queue(
                "INSERT INTO customer_segments (day, form, checksum, bytes) VALUES (?1, 0, ?3, ?2)
                 ON CONFLICT (day) DO UPDATE
                 SET form = 0, checksum = excluded.checksum, bytes = excluded.bytes",
                params![day, Vec::new(), maker],
            )?;
        }
        Ok(())
    }

    /// The segments of these days; one with a customer who has no number yet is left
    /// out, because its day has just changed.
    fn pack_days(&self, days: &[i64]) -> Result<Vec<(i64, Vec<u8>)>, LedgerError> {
        let mut packed = Vec::new();
        for day in days {
            let (mut packer, mut whole) = (Packer::default(), true);
            self.each(TO_PACK, [day], |row| {
                let Some(number) = row.get::<_, Option<u32>>(2)? else {
                    whole = false;
                    return Ok(false);
                };
                let part = read_part(row, 0)?;
                whole &= packer.add(part, number, &read_row(row, 3)?).is_ok();
                Ok(true)
            })?;
            if whole {
                packed.push((*day, packer.end()));
            }
        }
        Ok(packed)
    }

    fn put_segments(&self, packed: &[(i64, Vec<u8>)], maker: u32) -> Result<usize, LedgerError> {
        let mut made = 0;
        for (day, bytes) in packed {
            made += self.run(
                "UPDATE customer_segments SET form = ?2, checksum = ?3, bytes = ?4
                 WHERE day = ?1 AND form = 0 AND checksum = ?5",
                params![day, FORM, crc32fast::hash(bytes), bytes, maker],
            )?;
        }
        Ok(made)
    }

    /// Nobody yet: whoever is met without a number gets one behind all others.
    pub(super) fn strangers(&self) -> Result<Strangers, LedgerError> {
        let first = self.one(
            "SELECT coalesce(max(number), 0) + 1 FROM customer_numbers",
            [],
            |row| row.get(0),
        )?;
        Ok(Strangers {
            first: first.unwrap_or(1),
            numbers: HashMap::new(),
            names: Vec::new(),
        })
    }

    /// The number of a customer.
    pub(super) fn number_of(
        &self,
        (destination, customer): (&str, &str),
        strangers: &mut Strangers,
    ) -> Result<u32, LedgerError> {
        let known = self.one(
            "SELECT number FROM customer_numbers WHERE destination = ?1 AND customer = ?2",
            [destination, customer],
            |row| row.get(0),
        )?;
        match known {
            Some(number) => Ok(number),
            None => strangers.number(destination, customer),
        }
    }

    /// Goes through what customers brought on days from the first number to the last:
    /// `step` puts it into what `empty` makes. Segments and rows are of one snapshot.
    pub(super) fn walk_customers<T>(
        &self,
        days: [i64; 2],
        strangers: &mut Strangers,
        empty: impl Fn() -> T,
        mut step: impl FnMut(&mut T, &Strangers, Step<'_>) -> Result<(), LedgerError>,
    ) -> Result<T, LedgerError> {
        let mut taken = empty();
        match self.walk_segments(days, &mut taken, strangers, &mut step) {
            Ok(()) => Ok(taken),
            Err(Stopped::Failed(error)) => Err(error),
            // Some of it is in `taken` by now, so all of it is done again.
            Err(Stopped::Broken) => {
                let mut taken = empty();
                self.walk_rows(days, &mut taken, strangers, &mut step)?;
                Ok(taken)
            }
        }
    }

    fn walk_segments<T>(
        &self,
        [from, to]: [i64; 2],
        taken: &mut T,
        met: &mut Strangers,
        step: &mut impl FnMut(&mut T, &Strangers, Step<'_>) -> Result<(), LedgerError>,
    ) -> Result<(), Stopped> {
        let segments = "SELECT day, checksum, bytes FROM customer_segments
             WHERE day BETWEEN ?1 AND ?2 AND form = ?3 ORDER BY day";
        let (mut next, mut is_broken) = (from, false);
        self.each(segments, params![from, to, FORM], |row| {
            let (day, checksum): (i64, u32) = (row.get(0)?, row.get(1)?);
            let bytes = row.blob(2)?;
            if crc32fast::hash(bytes) != checksum {
                // It counts as if it were not there, until it is made anew.
                self.broken.borrow_mut().push(day);
                return Ok(true);
            }
            if next < day {
                self.walk_rows([next, day - 1], taken, met, step)?;
            }
            next = day + 1;
            match walk_segment((day, bytes), met, taken, step) {
                Ok(()) => Ok(true),
                Err(Stopped::Failed(error)) => Err(error),
                Err(Stopped::Broken) => {
                    self.broken.borrow_mut().push(day);
                    is_broken = true;
                    Ok(false)
                }
            }
        })?;
        if is_broken {
            return Err(Stopped::Broken);
        }
        if next <= to {
            self.walk_rows([next, to], taken, met, step)?;
        }
        Ok(())
    }

    fn walk_rows<T>(
        &self,
        [from, to]: [i64; 2],
        taken: &mut T,
        met: &mut Strangers,
        step: &mut impl FnMut(&mut T, &Strangers, Step<'_>) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        self.each(ROWS, [from, to], |row| {
            let part = read_part(row, 1)?;
            let number = match row.get::<_, Option<u32>>(3)? {
                Some(number) => number,
                None => met.number(row.text(10)?, row.text(11)?)?,
            };
            let sums = read_row(row, 4)?;
            step(taken, met, (row.get(0)?, part, number, &sums))?;
            Ok(true)
        })
    }
}

fn walk_segment<T>(
    (day, bytes): (i64, &[u8]),
    met: &Strangers,
    taken: &mut T,
    step: &mut impl FnMut(&mut T, &Strangers, Step<'_>) -> Result<(), LedgerError>,
) -> Result<(), Stopped> {
    let mut segment = Segment::new(bytes);
    while let Some((part, plain)) = segment.part()? {
        for (number, gross) in plain.all() {
            if number >= met.first {
                return Err(Stopped::Broken);
            }
            let row = Row {
                gross,
                payments: 1,
                ..Row::default()
            };
            step(taken, met, (day, part, number, &row))?;
        }
        while let Some((number, row)) = segment.row()? {
            if number >= met.first {
                return Err(Stopped::Broken);
            }
            step(taken, met, (day, part, number, &row))?;
        }
    }
    Ok(())
}

/// Why a walk did not come to its end.
enum Stopped {
    Broken,
    Failed(LedgerError),
}

impl From<Broken> for Stopped {
    fn from(_: Broken) -> Stopped {
        Stopped::Broken
    }
}

impl From<LedgerError> for Stopped {
    fn from(error: LedgerError) -> Stopped {
        Stopped::Failed(error)
    }
}

/// Reads the currency and whether it is ignored from column `at` on.
fn read_part(row: &SqlRow<'_>, at: usize) -> Result<Part, LedgerError> {
    let currency = row.text(at)?.parse();
    Ok(Part {
        currency: currency.map_err(|_| unexpected("a currency that is none"))?,
        ignored: row.get(at + 1)?,
    })
}

/// Reads the sums of a row from column `at` on.
fn read_row(row: &SqlRow<'_>, at: usize) -> Result<Row, LedgerError> {
    Ok(Row {
        gross: row.get(at)?,
        payments: row.get(at + 1)?,
        reversed: row.get(at + 2)?,
        reversals: row.get(at + 3)?,
        of_sales_reversed: row.get(at + 4)?,
        of_sales_reversals: row.get(at + 5)?,
    })
}

#[cfg(test)]
#[path = "condense_tests.rs"]
mod tests;
