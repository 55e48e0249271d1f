//! Our own columns: one row for each fact, and everything that a fact can say.
//!
//! `export` writes them and they read back to the same facts. A file of another
//! system with a mapping is read here too. What a row leaves out has the least
//! weight that is still true: its word never beats what a webhook said.

pub mod columns;

use std::borrow::Cow;

use self::columns::{Columns, Kind};
use super::amount::{self, Convention};
use super::cells::{Cells, Fault};
use super::header::Header;
use super::moment;
use super::row::{Refused, Told};
use crate::money::{Currency, Minor};
use crate::movement::{
    Alias, Authority, Basis, Class, Clue, Fact, Link, Movement, Reading, Scope, Subject, rank,
};
use crate::time::{SECOND_MS, Time};

/// The clue that a customer key in a file is; the last lookup rule reads it.
pub const CUSTOMER_KEY: &str = "import.customer_key";

/// Taken from the time of a row, it makes the version of its clues and links:
/// among rows the newer wins, and every webhook's, which is never negative,
/// beats them all.
const OLDER_THAN_WEBHOOKS: i64 = 1 << 40;

/// The kind of alias under which each provider's own reading names its payment,
/// always as the money itself.
const OWN_ALIASES: [(&str, &str); 7] = [
    ("chargebee", "transaction"),
    ("chargify", "transaction"),
    ("pats", "transaction"),
    ("paysafe", "settlement"),
    ("paysight", "transaction"),
    ("recurly", "transaction"),
    ("stripe", "charge"),
];

/// What the ids of Stripe's invoices begin with: they are payments of sources
/// that count invoices, and no charges.
const STRIPE_INVOICE: &str = "in_";

/// A file with our own columns.
pub struct Own {
    at: Columns,
    decimal: Convention,
    currency: Option<Currency>,
    zone: Option<jiff::tz::TimeZone>,
    scope: Scope,
    own_alias: Option<&'static str>,
    stripe: bool,
}

impl Own {
    /// The columns of `header`; `mapped`: a person said which is which.
    ///
    /// # Errors
    /// What is missing, twice there or unknown.
    pub fn new(header: &Header, told: &Told<'_>, mapped: bool) -> Result<Own, Refused> {
        if mapped {
            let names: Vec<&str> = columns::NAMES.into_iter().chain(["refund_id"]).collect();
            header.only(&names, &columns::PREFIXES)?;
        }
        let at = Columns::of(header, mapped)?;
        at.complete(header, told.currency)?;
        let provider = told.options.provider;
        let alias = OWN_ALIASES.iter().find(|(name, _)| *name == provider);
        Ok(Own {
            at,
            decimal: Convention::new(told.options.decimal),
            currency: told.currency,
            zone: told.options.zone.clone(),
            scope: told.options.scope.clone(),
            own_alias: alias.map(|(_, kind)| *kind),
            stripe: provider == "stripe",
        })
    }

    /// The columns with decimals, and what they have shown.
    pub fn decimals(&mut self) -> Vec<(Option<usize>, &mut Convention)> {
        vec![(self.at.amount_decimal, &mut self.decimal)]
    }

    /// What a row states.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn read(&mut self, cells: Cells<'_>) -> Result<Reading, Fault> {
        let kind = self.kind(cells)?;
        if kind == Kind::Authorisation {
            return Ok(Reading {
                scope: self.scope_of(cells)?,
                ignored: Some("an authorisation moves no money".to_owned()),
                ..Reading::default()
            });
        }
        let at = match cells.text(self.at.occurred_at)? {
            Some(text) => moment::read(&text, self.zone.as_ref())
                .map_err(|why| Fault::at(self.at.occurred_at, why))?,
            None if kind == Kind::Link => Time::UNKNOWN,
            None => return Err(missing(self.at.occurred_at)),
        };
        let mut reading = Reading {
            scope: self.scope_of(cells)?,
            ..Reading::default()
        };
        let version = self.whole(cells, self.at.clue_version)?;
        let version = version.unwrap_or_else(|| file_version(at));
        self.links(cells, version, &mut reading)?;
        if kind == Kind::Link {
            return match reading.links.is_empty() {
                true => Err(Fault::row(
                    "a row of kind link needs an id in a link. column",
                )),
                false => Ok(reading),
            };
        }
        let about = self.about(cells, kind)?;
        let fact = self.fact(cells, kind, &about, at)?;
        if let Subject::Payment(payment_id) = &about {
            self.describe(cells, kind, payment_id, version, &mut reading)?;
        }
        // An export says the rank of each fact, and is taken at its word.
        let as_stated = cells.text(self.at.rank)?.is_some();
        let back = matches!(kind, Kind::Refund | Kind::Dispute | Kind::Alert);
        if fact.amount == 0 && back && !as_stated {
            reading.ignored = Some("nothing went back: the amount is zero".to_owned());
            return Ok(reading);
        }
        reading.movements = vec![Movement { about, fact }];
        Ok(reading)
    }

    fn kind(&self, cells: Cells<'_>) -> Result<Kind, Fault> {
        let word = cells.text(self.at.kind)?;
        columns::kind(word.as_deref()).map_err(|why| Fault::at(self.at.kind, why))
    }

    fn scope_of(&self, cells: Cells<'_>) -> Result<Scope, Fault> {
        Ok(Scope {
            live: cells.flag(self.at.live)?.or(self.scope.live),
            account: match cells.id(self.at.account)? {
                Some(account) => account.into_owned(),
                None => self.scope.account.clone(),
            },
        })
    }

    /// The payment, or for a reversal whatever else it names.
    fn about(&self, cells: Cells<'_>, kind: Kind) -> Result<Subject, Fault> {
        let payment = match (cells.id(self.at.payment_id)?, kind) {
            (None, Kind::Payment) => cells.id(self.at.id)?,
            (payment, _) => payment,
        };
        let reference = cells
            .id(self.at.reference_kind)?
            .zip(cells.id(self.at.reference_id)?);
        match (payment, reference) {
            (Some(id), None) => Ok(Subject::Payment(id.into_owned())),
            (None, Some((name, id))) if kind != Kind::Payment => Ok(Subject::Reference {
                kind: name.into_owned(),
                id: id.into_owned(),
            }),
            (Some(_), Some(_)) => Err(Fault::at(
                self.at.reference_id,
                "stands beside a payment_id; a row names one of them",
            )),
            (None, _) => Err(Fault::at(
                self.at.payment_id,
                "the row does not say of which payment it is: payment_id is empty",
            )),
        }
    }

    fn fact(
        &mut self,
        cells: Cells<'_>,
        kind: Kind,
        about: &Subject,
        at: Time,
    ) -> Result<Fact, Fault> {
        let (class, rank) = self.standing(cells, kind)?;
        let basis = self.basis(cells)?;
        let currency = self.currency_of(cells)?;
        let captures = class == Class::Capture;
        let version = match self.whole(cells, self.at.version)? {
            Some(version) => version,
            // Webhooks tell captures and single refunds apart by rank alone.
            None if captures
                || (class, basis) == (Class::Refund, Basis::Each) && rank < rank::UNDONE =>
            {
                0
            }
            None => at.ms() / SECOND_MS,
        };
        Ok(Fact {
            class,
            id: self.fact_id(cells, kind, basis, about)?,
            basis,
            rank,
            version,
            authority: self.authority(cells)?,
            amount: self.amount(cells, kind, currency)?,
            currency,
            at,
            partial_capture: captures && cells.flag(self.at.partial_capture)? == Some(true),
            product_key: cells
                .clue(self.at.product_key)?
                .filter(|_| captures)
                .map(Cow::into_owned),
            category_key: cells
                .clue(self.at.category_key)?
                .filter(|_| captures)
                .map(Cow::into_owned),
        })
    }

    fn standing(&self, cells: Cells<'_>, kind: Kind) -> Result<(Class, u8), Fault> {
        let word = cells.text(self.at.status)?.unwrap_or_default();
        let standing = columns::standing(kind, &word);
        let (class, rank) = standing.map_err(|why| Fault::at(self.at.status, why))?;
        match self.whole(cells, self.at.rank)?.map(u8::try_from) {
            None => Ok((class, rank)),
            Some(Ok(said @ 0..=rank::UNDONE)) => Ok((class, said)),
            Some(_) => Err(Fault::at(self.at.rank, "is none of 0, 1 and 2")),
        }
    }

    fn basis(&self, cells: Cells<'_>) -> Result<Basis, Fault> {
        match cells.text(self.at.basis)?.as_deref() {
            None | Some("each") => Ok(Basis::Each),
            Some("total") => Ok(Basis::Total),
            Some(_) => Err(Fault::at(self.at.basis, "is neither each nor total")),
        }
    }

    fn authority(&self, cells: Cells<'_>) -> Result<Authority, Fault> {
        match cells.text(self.at.authority)?.as_deref() {
            None | Some("csv") => Ok(Authority::Csv),
            Some("webhook") => Ok(Authority::Webhook),
            Some("api") => Ok(Authority::Api),
            Some(_) => Err(Fault::at(
                self.at.authority,
                "is none of csv, webhook and api",
            )),
        }
    }

    /// The fact's own id. What is counted one by one needs one, or the same
    /// refund in two files would be two.
    fn fact_id(
        &self,
        cells: Cells<'_>,
        kind: Kind,
        basis: Basis,
        about: &Subject,
    ) -> Result<String, Fault> {
        let id = match (cells.id(self.at.reversal_id)?, kind) {
            (Some(id), _) => Some(id),
            (None, Kind::Payment) => None,
            (None, _) => cells.id(self.at.id)?,
        };
        if let Some(id) = id {
            return Ok(id.into_owned());
        }
        if basis == Basis::Each && matches!(kind, Kind::Refund | Kind::Dispute) {
            let why = "the row has no reversal_id; a refund or dispute needs its own id, or basis total where the amount is the sum so far";
            return Err(Fault::at(self.at.reversal_id, why));
        }
        match about {
            Subject::Payment(id) | Subject::Reference { id, .. } => Ok(id.clone()),
        }
    }

    fn currency_of(&self, cells: Cells<'_>) -> Result<Currency, Fault> {
        match cells.text(self.at.currency)? {
            Some(code) => code
                .parse()
                .map_err(|_| Fault::at(self.at.currency, "is not a three-letter currency code")),
            None => self.currency.ok_or_else(|| missing(self.at.currency)),
        }
    }

    /// The amount, never negative. A reversal's may be written with a minus.
    fn amount(&mut self, cells: Cells<'_>, kind: Kind, currency: Currency) -> Result<Minor, Fault> {
        let whole = cells.text(self.at.amount)?;
        let whole = whole.map(|text| amount::minor(&text)).transpose();
        let whole = whole.map_err(|why| Fault::at(self.at.amount, why))?;
        let decimal = cells.text(self.at.amount_decimal)?;
        let decimal = decimal.map(|text| self.decimal.read(&text, currency.exponent()));
        let decimal = decimal.transpose();
        let decimal = decimal.map_err(|why| Fault::at(self.at.amount_decimal, why))?;
        let column = if whole.is_some() {
            self.at.amount
        } else {
            self.at.amount_decimal
        };
        let minor = match (whole, decimal) {
            (Some(whole), Some(decimal)) if whole != decimal => {
                return Err(Fault::at(column, "is another amount than amount_decimal"));
            }
            (Some(minor), _) | (None, Some(minor)) => minor,
            (None, None) if kind == Kind::Void => 0,
            (None, None) => return Err(missing(self.at.amount.or(self.at.amount_decimal))),
        };
        match minor < 0 && matches!(kind, Kind::Payment | Kind::Alert) {
            true => Err(Fault::at(
                column,
                "is negative; what went back is a row of kind refund",
            )),
            false => Ok(minor.abs()),
        }
    }

    /// Names and clues of a payment.
    fn describe(
        &self,
        cells: Cells<'_>,
        kind: Kind,
        payment_id: &str,
        version: i64,
        reading: &mut Reading,
    ) -> Result<(), Fault> {
        let invoice = self.stripe && payment_id.starts_with(STRIPE_INVOICE);
        if let Some(own) = self.own_alias.filter(|_| kind == Kind::Payment && !invoice) {
            reading.aliases = vec![alias(payment_id, own, payment_id, true)];
        }
        for (columns, money) in [(&self.at.aliases, false), (&self.at.money_aliases, true)] {
            for (column, name) in columns {
                if let Some(id) = cells.id(Some(*column))? {
                    let alias = alias(payment_id, name, &id, money);
                    if !reading.aliases.contains(&alias) {
                        reading.aliases.push(alias);
                    }
                }
            }
        }
        let named = self
            .at
            .clues
            .iter()
            .map(|(column, name)| (Some(*column), name.as_str()));
        let plain = [
            (self.at.customer_key, CUSTOMER_KEY),
            (self.at.email, "email"),
        ];
        reading
            .clues
            .reserve_exact(self.at.clues.len() + plain.len());
        for (column, field) in named.chain(plain) {
            let Some(value) = cells.clue(column)? else {
                continue;
            };
            if !reading.clues.iter().any(|clue| clue.field == field) {
                reading.clues.push(clue(payment_id, field, &value, version));
            }
        }
        Ok(())
    }

    fn links(&self, cells: Cells<'_>, version: i64, reading: &mut Reading) -> Result<(), Fault> {
        for (column, kind) in &self.at.links {
            let Some(id) = cells.id(Some(*column))? else {
                continue;
            };
            let key = cells.clue(self.at.customer_key)?;
            let why = "the row links an id and has no customer_key";
            let key = key.ok_or_else(|| Fault::at(self.at.customer_key, why))?;
            reading.links.push(Link {
                kind: kind.clone(),
                external_id: id.into_owned(),
                customer_key: key.into_owned(),
                version,
            });
        }
        Ok(())
    }

    /// A whole number, if there is one.
    fn whole(&self, cells: Cells<'_>, column: Option<usize>) -> Result<Option<i64>, Fault> {
        let Some(text) = cells.text(column)? else {
            return Ok(None);
        };
        let text = super::guard::unguarded(text);
        let number = text
            .parse()
            .map_err(|_| Fault::at(column, "is not a whole number"))?;
        Ok(Some(number))
    }
}

/// The version of what a file says of a payment besides its money.
#[must_use]
pub fn file_version(at: Time) -> i64 {
    at.ms() / SECOND_MS - OLDER_THAN_WEBHOOKS
}

/// What has to be there.
#[must_use]
pub fn missing(column: Option<usize>) -> Fault {
    Fault::at(column, "is missing")
}

/// Another id of a payment.
#[must_use]
pub fn alias(payment_id: &str, kind: &str, id: &str, money: bool) -> Alias {
    Alias {
        payment_id: payment_id.to_owned(),
        kind: kind.to_owned(),
        id: id.to_owned(),
        money,
    }
}

/// A value for lookup rules.
#[must_use]
pub fn clue(payment_id: &str, field: &str, value: &str, version: i64) -> Clue {
    Clue {
        payment_id: payment_id.to_owned(),
        field: field.to_owned(),
        value: value.to_owned(),
        version,
    }
}
