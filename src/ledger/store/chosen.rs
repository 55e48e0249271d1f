//! Which partners and customers a report is asked for, found before any line has a
//! name, and how partners are called.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::ledger::sql::{Value, params};

use super::LedgerError;
use super::condense::Strangers;
use super::tx::Tx;
use crate::report::{Group, Only};

/// How a partner is called, at one destination or at any.
pub(super) const NAME_OF: &str = "SELECT name FROM partners
    WHERE partner = ?1 AND partner IS NOT NULL AND (?2 IS NULL OR destination = ?2)
          AND name IS NOT NULL
    ORDER BY gone, destination, key LIMIT 1";

/// All who have a number, or of these the ones whom a partner brought.
const NUMBERED: &str = "SELECT number, destination, customer, partner FROM customer_numbers
    WHERE ?1 IS NULL OR partner = ?1";

/// The names of a partner, each as it is called at one destination or at any.
type Called = Vec<(Option<String>, Option<String>)>;

/// How partners are called; each is looked up once.
pub(super) struct PartnerNames<'a> {
    tx: &'a Tx<'a>,
    known: RefCell<HashMap<String, Called>>,
}

impl<'a> PartnerNames<'a> {
    pub(super) fn of(tx: &'a Tx<'a>) -> PartnerNames<'a> {
        PartnerNames {
            tx,
            known: RefCell::default(),
        }
    }

    pub(super) fn name(
        &self,
        partner: &str,
        destination: Option<&str>,
    ) -> Result<Option<String>, LedgerError> {
        let known = self.known.borrow();
        let mut called = known.get(partner).into_iter().flatten();
        let found = called.find(|it| it.0.as_deref() == destination);
        if let Some((_, name)) = found {
            return Ok(name.clone());
        }
        drop(known);
        let name: Option<String> = self
            .tx
            .one(NAME_OF, params![partner, destination], |row| row.get(0))?;
        let mut known = self.known.borrow_mut();
        let called = known.entry(partner.to_owned()).or_default();
        called.push((destination.map(str::to_owned), name.clone()));
        Ok(name)
    }

    /// Whether a partner or customer has a line; others all have.
    pub(super) fn takes(&self, only: &Only, group: &Group) -> Result<bool, LedgerError> {
        let key = match group {
            Group::Partner { partner_key, .. } => partner_key,
            Group::Customer { customer_key, .. } => customer_key,
            Group::Source { .. } | Group::Day { .. } | Group::Month { .. } => return Ok(true),
        };
        self.takes_key(only, key.as_deref(), partner(group))
    }

    /// The same of somebody with this key, whose partner is this one.
    fn takes_key(
        &self,
        only: &Only,
        key: Option<&str>,
        partner: Option<(&str, Option<&str>)>,
    ) -> Result<bool, LedgerError> {
        only.takes(key, partner.map(|it| it.0), || match partner {
            Some((partner, destination)) => self.name(partner, destination),
            None => Ok(None),
        })
    }
}

/// The partner of a line, at one destination or at any.
pub(super) fn partner(group: &Group) -> Option<(&str, Option<&str>)> {
    match group {
        Group::Partner { partner_key, .. } => Some((partner_key.as_deref()?, None)),
        Group::Customer {
            partner_key,
            destination,
            ..
        } => Some((partner_key.as_deref()?, destination.as_deref())),
        Group::Source { .. } | Group::Day { .. } | Group::Month { .. } => None,
    }
}

/// Customers by their numbers.
#[derive(Default)]
pub(super) struct Chosen(Vec<bool>);

impl Chosen {
    fn put(&mut self, number: u32) {
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        if number >= self.0.len() {
            self.0.resize(number.saturating_add(1), false);
        }
        if let Some(slot) = self.0.get_mut(number) {
            *slot = true;
        }
    }

    pub(super) fn has(&self, number: u32) -> bool {
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        self.0.get(number).copied().unwrap_or(false)
    }
}

impl Tx<'_> {
    /// Those customers who have a line; nothing where all have.
    pub(super) fn chosen(
        &self,
        only: &Only,
        strangers: &Strangers,
    ) -> Result<Option<Chosen>, LedgerError> {
        if only.is_all() {
            return Ok(None);
        }
        let (names, mut chosen) = (PartnerNames::of(self), Chosen::default());
        let takes = |destination: &str, customer: &str, partner: Option<&str>| {
            let partner = partner.map(|partner| (partner, Some(destination)));
            names.takes_key(only, Some(customer), partner)
        };
        for (number, whom) in strangers.all() {
            let partner = self.partner_of(whom)?;
            if takes(&whom.0, &whom.1, partner.as_deref())? {
                chosen.put(number);
            }
        }
        self.each(NUMBERED, params![only.partner], |row| {
            let partner = match row.value(3)? {
                Value::Null => None,
                _ => Some(row.text(3)?),
            };
            if takes(row.text(1)?, row.text(2)?, partner)? {
                chosen.put(row.get(0)?);
            }
            Ok(true)
        })?;
        Ok(Some(chosen))
    }
}
