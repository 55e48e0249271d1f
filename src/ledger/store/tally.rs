//! What customers come to over some days, by their numbers: added up first, ranked
//! then, and named last, so that only those are named who are shown.
//!
//! It reads what `condense` walks over, and whose partner brought whom. It writes
//! nothing, and what of the money counts was decided long before.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};

use crate::ledger::sql::params;

use super::LedgerError;
use super::commission::Earned;
use super::condense::{Step, Strangers, Whom};
use super::report::range;
use super::sheet::Sheet;
use super::tx::Tx;
use crate::money::{Currency, Minor};
use crate::report::{Group, Heap, Lines, Most, Question, Sums};

/// More names than this are found in one pass over all, because looking each one up
/// takes some four times as long.
const LOOKED_UP_MOST: usize = 2_000;

/// All who have a number.
const NAMES: &str = "SELECT number, destination, customer FROM customer_numbers";

/// What every customer comes to, and who has no number in the ledger.
pub(super) struct Tally {
    sheet: Sheet,
    strangers: Strangers,
}

/// The partners of customers, or others whom their money is told by.
#[derive(Clone)]
pub(super) struct Partners {
    /// The first is the one whom nobody knows.
    pub keys: Vec<Option<String>>,
    places: HashMap<String, u32>,
    /// For each number the place of its partner in `keys`.
    of: Vec<u32>,
}

impl Partners {
    pub(super) fn nobody() -> Partners {
        Partners {
            keys: vec![None],
            places: HashMap::new(),
            of: Vec::new(),
        }
    }

    /// The place in `keys`, which is made where there is none.
    pub(super) fn place_of(&mut self, key: &str) -> u32 {
        if let Some(place) = self.places.get(key) {
            return *place;
        }
        let place = u32::try_from(self.keys.len()).unwrap_or(0);
        self.keys.push(Some(key.to_owned()));
        self.places.insert(key.to_owned(), place);
        place
    }

    pub(super) fn put(&mut self, number: u32, place: u32) {
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        if number >= self.of.len() {
            self.of.resize(number.saturating_add(1), 0);
        }
        if let Some(slot) = self.of.get_mut(number) {
            *slot = place;
        }
    }

    /// The place in `keys` of whoever brought this customer.
    pub(super) fn at(&self, number: u32) -> usize {
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        let place = self.of.get(number).copied().unwrap_or(0);
        usize::try_from(place).unwrap_or(0)
    }

    fn of(&self, number: u32) -> Option<&str> {
        self.keys.get(self.at(number))?.as_deref()
    }
}

/// The lines of one customer that are shown.
type Shown = HashMap<u32, Vec<(Currency, Sums)>>;

impl Tx<'_> {
    /// Adds up what each customer brought.
    pub(super) fn tally(&self, question: &Question) -> Result<Tally, LedgerError> {
        let basis = question.basis;
        let take = |sheet: &mut Sheet, _: &Strangers, step: Step<'_>| {
            let taken = sheet.take(basis, step);
            taken.ok_or_else(beyond)
        };
        let mut strangers = self.strangers()?;
        let days = range(question);
        let sheet = self.walk_customers(days, &mut strangers, Sheet::default, take)?;
        Ok(Tally { sheet, strangers })
    }

    /// Adds what partners' customers brought, as the partners are known now.
    pub(super) fn add_partners(&self, tally: &Tally, heap: &mut Heap) -> Result<(), LedgerError> {
        let partners = self.partners_of_all(&tally.strangers)?;
        let mut sums: BTreeMap<Currency, Vec<Option<Sums>>> = BTreeMap::new();
        for (currency, number, more) in tally.sheet.all() {
            let all = sums.entry(currency).or_default();
            all.resize(partners.keys.len(), None);
            if let Some(slot) = all.get_mut(partners.at(number)) {
                slot.get_or_insert_default().add(&more);
            }
        }
        for (currency, all) in sums {
            for (partner_key, sums) in partners.keys.iter().zip(all) {
                let group = Group::Partner {
                    partner_key: partner_key.clone(),
                    attributed: true,
                };
                if let Some(sums) = sums {
                    heap.add(group, currency, &sums);
                }
            }
        }
        Ok(())
    }

    /// Who brought whom, of those who have a number; only by those who are `asked` for,
    /// if there are any.
    pub(super) fn partners(
        &self,
        asked: Option<&HashSet<String>>,
    ) -> Result<Partners, LedgerError> {
        let mut found = Partners::nobody();
        let numbered = "SELECT number, partner FROM customer_numbers WHERE partner IS NOT NULL";
        self.each(numbered, [], |row| {
            let partner = row.text(1)?;
            if asked.is_none_or(|asked| asked.contains(partner)) {
                let place = found.place_of(partner);
                found.put(row.get(0)?, place);
            }
            Ok(true)
        })?;
        Ok(found)
    }

    /// The same with those who have none.
    fn partners_of_all(&self, strangers: &Strangers) -> Result<Partners, LedgerError> {
        let mut found = self.partners(None)?;
        for (number, whom) in strangers.all() {
            if let Some(partner) = self.partner_of(whom)? {
                let place = found.place_of(&partner);
                found.put(number, place);
            }
        }
        Ok(found)
    }

    /// Adds the customers with what they brought and earned for others. `asked` says
    /// which of them are named, and how many; the others only count.
    pub(super) fn add_customers(
        &self,
        question: &Question,
        asked: &Lines,
        tally: &mut Tally,
        heap: &mut Heap,
    ) -> Result<(), LedgerError> {
        for line in self.earned(question)? {
            self.add_commission(line, tally, heap)?;
        }
        let chosen = self.chosen(&asked.only, &tally.strangers)?;
        let is_chosen = |number| chosen.as_ref().is_none_or(|it| it.has(number));
        let mut nets: BTreeMap<Currency, Vec<Minor>> = BTreeMap::new();
        for (currency, number, sums) in tally.sheet.all() {
            if is_chosen(number) {
                let nets = nets.entry(currency).or_default();
                nets.push(sums.gross - sums.reversed);
            }
        }
        let least: BTreeMap<Currency, Minor> = nets
            .into_iter()
            .filter_map(|(currency, nets)| Some((currency, least(nets, asked.most)?)))
            .collect();
        if least.is_empty() && chosen.is_none() {
            let lines = tally.sheet.all().count();
            return self.name_all(lines, |number| tally.sheet.of(number), tally, heap);
        }
        let mut shown = Shown::new();
        for (currency, number, sums) in tally.sheet.all() {
            let least = least.get(&currency).copied();
            if !is_chosen(number) {
                heap.pass_over(currency, &sums);
            } else if least.is_none_or(|least| sums.gross - sums.reversed >= least) {
                shown.entry(number).or_default().push((currency, sums));
            } else {
                heap.leave_off(currency, &sums);
            }
        }
        self.name_shown(shown, tally, heap)
    }

    fn add_commission(
        &self,
        line: Earned,
        tally: &mut Tally,
        heap: &mut Heap,
    ) -> Result<(), LedgerError> {
        let Some((destination, customer)) = line.whom() else {
            let (group, currency, sums) = line.line();
            if sums != Sums::default() {
                heap.add(group, currency, &sums);
            }
            return Ok(());
        };
        let number = self.number_of((destination, customer), &mut tally.strangers)?;
        let earned = tally.sheet.earn(line.currency, number, line.amount);
        earned.ok_or_else(beyond)
    }

    /// Names who is shown, each with the partner.
    fn name_shown(
        &self,
        mut shown: Shown,
        tally: &Tally,
        heap: &mut Heap,
    ) -> Result<(), LedgerError> {
        let lines = shown.values().map(Vec::len).sum();
        if shown.len() > LOOKED_UP_MOST {
            let of = |number| shown.remove(&number).unwrap_or_default();
            return self.name_all(lines, of, tally, heap);
        }
        for (number, lines) in shown.drain() {
            let named = match tally.strangers.whom(number) {
                Some(named) => Some(named.clone()),
                None => self.one(
                    "SELECT destination, customer FROM customer_numbers WHERE number = ?1",
                    [number],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )?,
            };
            let named = named.ok_or_else(nameless)?;
            let partner = self.partner_of(&named)?;
            add_lines(heap, &named, partner.as_deref(), lines);
        }
        Ok(())
    }

    /// Goes through all names and takes the lines `of` each; there are so many.
    fn name_all(
        &self,
        lines: usize,
        mut of: impl FnMut(u32) -> Vec<(Currency, Sums)>,
        tally: &Tally,
        heap: &mut Heap,
    ) -> Result<(), LedgerError> {
        heap.expect(lines);
        let partners = self.partners_of_all(&tally.strangers)?;
        let mut named = 0;
        for (number, whom) in tally.strangers.all() {
            named += add_lines(heap, whom, partners.of(number), of(number));
        }
        self.each(NAMES, [], |row| {
            let number = row.get(0)?;
            let whom = (row.get(1)?, row.get(2)?);
            named += add_lines(heap, &whom, partners.of(number), of(number));
            Ok(true)
        })?;
        match named == lines {
            true => Ok(()),
            false => Err(nameless()),
        }
    }

    pub(super) fn partner_of(
        &self,
        (destination, customer): &Whom,
    ) -> Result<Option<String>, LedgerError> {
        let found = self.one(
            "SELECT max(partner) FROM customers WHERE destination = ?1 AND customer = ?2",
            params![destination, customer],
            |row| row.get(0),
        )?;
        Ok(found.flatten())
    }
}

/// The net of the last one of the first so many; nothing where there are no more.
fn least(mut nets: Vec<Minor>, most: Most) -> Option<Minor> {
    let (Most::First(lines) | Most::Each(lines)) = most else {
        return None;
    };
    let last = lines.checked_sub(1)?;
    if last >= nets.len() {
        return None;
    }
    // Whoever has the same stays, because names decide between those.
    let (_, net, _) = nets.select_nth_unstable_by_key(last, |net| Reverse(*net));
    Some(*net)
}

fn beyond() -> LedgerError {
    LedgerError::Unusable("a sum beyond all numbers".to_owned())
}

fn nameless() -> LedgerError {
    LedgerError::Unusable("a customer's number without a name".to_owned())
}

fn add_lines(
    heap: &mut Heap,
    (destination, customer): &Whom,
    partner: Option<&str>,
    lines: Vec<(Currency, Sums)>,
) -> usize {
    let count = lines.len();
    for (currency, sums) in lines {
        let group = Group::Customer {
            destination: Some(destination.clone()),
            customer_key: Some(customer.clone()),
            partner_key: partner.map(str::to_owned),
            attributed: true,
        };
        heap.add_line(group, currency, &sums);
    }
    count
}
