//! The form of a *segment*: all that customers brought on one day, in a few bytes
//! each, to be read some hundred times as fast as the rows.
//!
//! It is a copy of what the rows of `customer_days` say, summed over sources, and
//! never more than that: whoever cannot read one reads the rows. This file knows
//! no table.
//!
//! A segment is parts, one for each currency and for what is ignored: three bytes of
//! the currency, one that is 0 or 1, and how many customers are plain, which means that
//! they paid once, less than some, and nothing went back. Of those come all numbers and
//! then all amounts, four bytes each with the lowest first, because they are nearly all
//! of a day and are read at the speed of the memory. The others follow, each as how far
//! its number lies behind the one before (the first behind -1, so that none is 0), one
//! byte that says which sums follow, the gross, and those sums; and a 0. These numbers
//! are written seven bits a byte, the lowest first; what can be below zero is folded.

use super::days::Row;
use crate::money::{Currency, Minor};

/// The form that this program writes. Segments of any other are left alone by
/// whoever reads, and made anew.
pub(super) const FORM: i64 = 1;

/// What follows the gross.
const MANY: u8 = 1;
const BACK: u8 = 2;
const OF_SALES: u8 = 4;
const KNOWN: u8 = MANY | BACK | OF_SALES;

/// The bits of a number in one byte, and the bit that says that more follow.
const BITS: u32 = 7;
const MORE: u8 = 0x80;

/// What is no segment of this form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// What the entries of one part have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Part {
    pub currency: Currency,
    pub ignored: bool,
}

/// The bytes of a number and of an amount of whoever is plain.
const PLAIN: usize = 4;

/// A segment that is being written.
#[derive(Default)]
pub(super) struct Packer {
    bytes: Vec<u8>,
    part: Option<Part>,
    numbers: Vec<u8>,
    amounts: Vec<u8>,
    /// The others of this part.
    others: Vec<u8>,
    /// Behind the last customer of this part, and behind the last of the others.
    next: u64,
    next_other: u64,
}

/// The amount of a customer who is plain.
fn plain(row: &Row) -> Option<u32> {
    let simple = Row {
        gross: row.gross,
        payments: 1,
        ..Row::default()
    };
    (*row == simple).then(|| u32::try_from(row.gross).ok())?
}

impl Packer {
    /// Adds a customer; parts come in one piece, and in each the customers by rising
    /// numbers.
    pub(super) fn add(&mut self, part: Part, customer: u32, row: &Row) -> Result<(), Broken> {
        if self.part != Some(part) {
            self.end_part();
            self.part = Some(part);
        }
        let number = u64::from(customer);
        if number < self.next {
            return Err(Broken);
        }
        self.next = number + 1;
        if let Some(amount) = plain(row) {
            self.numbers.extend_from_slice(&customer.to_le_bytes());
            self.amounts.extend_from_slice(&amount.to_le_bytes());
            return Ok(());
        }
        let behind = number - self.next_other;
        self.next_other = number + 1;
        let [
            gross,
            payments,
            reversed,
            reversals,
            of_reversed,
            of_reversals,
        ] = row.fields();
        let mut which = 0;
        which |= if payments == 1 { 0 } else { MANY };
        which |= if (reversed, reversals) == (0, 0) {
            0
        } else {
            BACK
        };
        which |= if (of_reversed, of_reversals) == (0, 0) {
            0
        } else {
            OF_SALES
        };
        self.number(behind + 1);
        self.others.push(which);
        self.amount(gross);
        if which & MANY != 0 {
            self.amount(payments);
        }
        if which & BACK != 0 {
            self.amount(reversed);
            self.amount(reversals);
        }
        if which & OF_SALES != 0 {
            self.amount(of_reversed);
            self.amount(of_reversals);
        }
        Ok(())
    }

    /// The segment.
    pub(super) fn end(mut self) -> Vec<u8> {
        self.end_part();
        self.bytes
    }

    fn end_part(&mut self) {
        if let Some(part) = self.part.take() {
            self.bytes
                .extend_from_slice(part.currency.code().as_bytes());
            self.bytes.push(u8::from(part.ignored));
            // Customers have numbers of four bytes, so there are no more of them.
            let plain = u32::try_from(self.numbers.len() / PLAIN).unwrap_or(u32::MAX);
            self.bytes.extend_from_slice(&plain.to_le_bytes());
            self.bytes.append(&mut self.numbers);
            self.bytes.append(&mut self.amounts);
            self.bytes.append(&mut self.others);
            self.bytes.push(0);
        }
        self.next = 0;
        self.next_other = 0;
    }

    fn number(&mut self, mut value: u64) {
        while value >= u64::from(MORE) {
            // The cut is meant: these are the lowest bits.
            self.others.push(value.to_le_bytes()[0] | MORE);
            value >>= BITS;
        }
        self.others.push(value.to_le_bytes()[0]);
    }

    fn amount(&mut self, value: i64) {
        // Folded: 0, -1, 1, -2, 2 and so on, so that small ones of either sign are short.
        let folded = (value << 1) ^ (value >> (i64::BITS - 1));
        self.number(u64::from_ne_bytes(folded.to_ne_bytes()));
    }
}

/// Those of a part who paid once and got nothing back.
#[derive(Clone, Copy)]
pub(super) struct Plain<'a> {
    numbers: &'a [u8],
    amounts: &'a [u8],
}

impl Plain<'_> {
    /// Each customer with what was paid.
    pub(super) fn all(self) -> impl Iterator<Item = (u32, Minor)> {
        let (numbers, _) = self.numbers.as_chunks::<PLAIN>();
        let (amounts, _) = self.amounts.as_chunks::<PLAIN>();
        let numbers = numbers.iter().map(|it| u32::from_le_bytes(*it));
        let amounts = amounts.iter().map(|it| u32::from_le_bytes(*it));
        numbers.zip(amounts.map(Minor::from))
    }
}

/// A segment that is being read.
pub(super) struct Segment<'a> {
    rest: &'a [u8],
    next: u64,
}

impl<'a> Segment<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Segment<'a> {
        Segment {
            rest: bytes,
            next: 0,
        }
    }

    /// The next part, once the one before was read to its end, and who is plain in it;
    /// nothing at the end.
    pub(super) fn part(&mut self) -> Result<Option<(Part, Plain<'a>)>, Broken> {
        self.next = 0;
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (code, ignored) = (self.take(3)?, self.take(1)?);
        let code = std::str::from_utf8(code).map_err(|_| Broken)?;
        let part = Part {
            currency: code.parse().map_err(|_| Broken)?,
            ignored: match ignored {
                [0] => false,
                [1] => true,
                _ => return Err(Broken),
            },
        };
        let count = self.take(PLAIN)?.first_chunk().ok_or(Broken)?;
        let count = usize::try_from(u32::from_le_bytes(*count)).map_err(|_| Broken)?;
        let length = count.checked_mul(PLAIN).ok_or(Broken)?;
        let plain = Plain {
            numbers: self.take(length)?,
            amounts: self.take(length)?,
        };
        Ok(Some((part, plain)))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Broken> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Broken)?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next of the others of this part; nothing at its end.
    #[inline]
    pub(super) fn row(&mut self) -> Result<Option<(u32, Row)>, Broken> {
        let behind = self.number()?;
        let Some(behind) = behind.checked_sub(1) else {
            return Ok(None);
        };
        let customer = self.next.checked_add(behind).ok_or(Broken)?;
        self.next = customer.checked_add(1).ok_or(Broken)?;
        let customer = u32::try_from(customer).map_err(|_| Broken)?;
        let (which, rest) = self.rest.split_first().ok_or(Broken)?;
        self.rest = rest;
        if which & !KNOWN != 0 {
            return Err(Broken);
        }
        let mut row = Row {
            gross: self.amount()?,
            payments: 1,
            ..Row::default()
        };
        if which & MANY != 0 {
            row.payments = self.amount()?;
        }
        if which & BACK != 0 {
            row.reversed = self.amount()?;
            row.reversals = self.amount()?;
        }
        if which & OF_SALES != 0 {
            row.of_sales_reversed = self.amount()?;
            row.of_sales_reversals = self.amount()?;
        }
        Ok(Some((customer, row)))
    }

    #[inline]
    fn number(&mut self) -> Result<u64, Broken> {
        // Most are one byte.
        match self.rest {
            [byte, rest @ ..] if *byte < MORE => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            _ => self.long_number(),
        }
    }

    fn long_number(&mut self) -> Result<u64, Broken> {
        let mut value = 0;
        for (byte, at) in self.rest.iter().zip(0_u32..) {
            let bits = u64::from(byte & !MORE);
            let placed = bits.checked_shl(at * BITS).ok_or(Broken)?;
            // Bits that would fall out at the top are no number of ours.
            if placed >> (at * BITS) != bits {
                return Err(Broken);
            }
            value |= placed;
            if byte & MORE == 0 {
                let read = usize::try_from(at).map_err(|_| Broken)? + 1;
                self.rest = self.rest.get(read..).ok_or(Broken)?;
                return Ok(value);
            }
        }
        Err(Broken)
    }

    #[inline]
    fn amount(&mut self) -> Result<i64, Broken> {
        let folded = self.number()?;
        let half = i64::from_ne_bytes((folded >> 1).to_ne_bytes());
        Ok(if folded & 1 == 0 { half } else { !half })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::btree_map;
    use proptest::prelude::*;

    use super::*;

    type Kept = BTreeMap<(Part, u32), Row>;

    fn packed(kept: &Kept) -> Vec<u8> {
        let mut packer = Packer::default();
        for ((part, customer), row) in kept {
            packer.add(*part, *customer, row).unwrap();
        }
        packer.end()
    }

    fn unpacked(bytes: &[u8]) -> Result<Kept, Broken> {
        let (mut kept, mut segment) = (Kept::new(), Segment::new(bytes));
        while let Some((part, plain)) = segment.part()? {
            for (customer, gross) in plain.all() {
                kept.insert((part, customer), of_one(gross));
            }
            while let Some((customer, row)) = segment.row()? {
                kept.insert((part, customer), row);
            }
        }
        Ok(kept)
    }

    fn of_one(gross: i64) -> Row {
        Row {
            gross,
            payments: 1,
            ..Row::default()
        }
    }

    fn amounts() -> impl Strategy<Value = i64> {
        prop_oneof![
            Just(0),
            Just(1),
            -300..300_i64,
            any::<i64>(),
            Just(i64::MIN),
            Just(i64::MAX)
        ]
    }

    fn rows() -> impl Strategy<Value = Row> {
        let three = || (amounts(), amounts());
        let any = (three(), three(), three()).prop_map(|((gross, payments), back, of_sales)| Row {
            gross,
            payments,
            reversed: back.0,
            reversals: back.1,
            of_sales_reversed: of_sales.0,
            of_sales_reversals: of_sales.1,
        });
        let edge = i64::from(u32::MAX);
        let plain = prop_oneof![0..99_999_i64, edge - 1..edge + 2, -1..2_i64].prop_map(of_one);
        prop_oneof![any, plain]
    }

    fn keys() -> impl Strategy<Value = (Part, u32)> {
        let currency = prop::sample::select(vec!["EUR", "JPY", "USD"]);
        let customer = prop_oneof![0..400_u32, any::<u32>(), Just(0), Just(u32::MAX)];
        (currency, any::<bool>(), customer).prop_map(|(code, ignored, customer)| {
            let currency = code.parse().unwrap();
            (Part { currency, ignored }, customer)
        })
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(kept in btree_map(keys(), rows(), 0..60)) {
            prop_assert_eq!(unpacked(&packed(&kept)), Ok(kept));
        }

        #[test]
        fn any_bytes_are_read_to_an_end(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            // Only that it ends and never panics; a checksum says what is ours.
            let _ = unpacked(&bytes);
        }

        #[test]
        fn what_is_cut_off_inside_a_part_is_broken(
            kept in btree_map(keys(), rows(), 1..20), cut in any::<prop::sample::Index>()
        ) {
            let bytes = packed(&kept);
            let cut = &bytes[..cut.index(bytes.len())];
            if let Ok(fewer) = unpacked(cut) {
                let parts: std::collections::BTreeSet<Part> =
                    fewer.keys().map(|(part, _)| *part).collect();
                let whole = kept.iter().filter(|((part, _), _)| parts.contains(part));
                prop_assert_eq!(whole.count(), fewer.len());
            }
        }
    }

    #[test]
    fn customers_out_of_order_are_refused() {
        let part = Part {
            currency: "USD".parse().unwrap(),
            ignored: false,
        };
        let mut packer = Packer::default();
        packer.add(part, 7, &Row::default()).unwrap();
        assert_eq!(packer.add(part, 7, &Row::default()), Err(Broken));
    }
}
