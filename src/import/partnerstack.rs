//! The field names of PartnerStack's transactions API, for merchants who have
//! kept what they once sent there.
//!
//! Source: PartnerStack's API reference, "Create a transaction": `key`,
//! `amount` in minor units, `currency`, `created_at` in milliseconds, the three
//! names of a customer, `product_key`, `category_key`, `test` and `metadata`.
//! What the columns of its own data importer are called is not documented. A
//! row there does not say which payment it takes back from, so negative ones
//! are not guessed at.

use std::borrow::Cow;

use super::amount;
use super::cells::{Cells, Fault};
use super::header::Header;
use super::moment;
use super::own::{CUSTOMER_KEY, clue, file_version, missing};
use super::row::{Refused, Told};
use crate::money::Currency;
use crate::movement::{Authority, Basis, Class, Fact, Movement, Reading, Scope, Subject, rank};

/// A file with PartnerStack's names.
pub struct PartnerStack {
    key: usize,
    amount: usize,
    currency_at: Option<usize>,
    created: usize,
    customer: Option<usize>,
    email: Option<usize>,
    product: Option<usize>,
    category: Option<usize>,
    test: Option<usize>,
    metadata: Vec<(usize, String)>,
    /// What our own keys begin with.
    prefix: String,
    currency: Option<Currency>,
    zone: Option<jiff::tz::TimeZone>,
    scope: Scope,
}

impl PartnerStack {
    /// The columns of `header`.
    ///
    /// # Errors
    /// What is missing or twice there.
    pub fn new(header: &Header, told: &Told<'_>) -> Result<PartnerStack, Refused> {
        let currency_at = header.find(&["currency"])?;
        if currency_at.is_none() && told.currency.is_none() {
            return Err(
                header.refused("there is no column currency; set it for the source's imports")
            );
        }
        // Where both are there, `customer_key` is PartnerStack's own id.
        let customer = match header.find(&["customerexternalkey"])? {
            None => header.find(&["customerkey"])?,
            external => external,
        };
        Ok(PartnerStack {
            key: header.needed(&["key"], "key")?,
            amount: header.needed(&["amount"], "amount")?,
            currency_at,
            created: header.needed(&["createdat"], "created_at")?,
            customer,
            email: header.find(&["customeremail"])?,
            product: header.find(&["productkey"])?,
            category: header.find(&["categorykey"])?,
            test: header.find(&["test"])?,
            metadata: header.prefixed("metadata.")?,
            prefix: format!("{}:", told.options.source),
            currency: told.currency,
            zone: told.options.zone.clone(),
            scope: told.options.scope.clone(),
        })
    }

    /// What a row states.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn read(&self, cells: Cells<'_>) -> Result<Reading, Fault> {
        let key_at = Some(self.key);
        let key = cells.id(key_at)?.ok_or_else(|| missing(key_at))?;
        let id = self.payment(&key)?;
        let (amount_at, created_at) = (Some(self.amount), Some(self.created));
        let amount = cells.text(amount_at)?.ok_or_else(|| missing(amount_at))?;
        let amount = amount::minor(&amount).map_err(|why| Fault::at(amount_at, why))?;
        if amount < 0 {
            let why = "is negative, and nothing in the row says of which payment; import it as a refund in our own columns";
            return Err(Fault::at(amount_at, why));
        }
        let currency = match cells.text(self.currency_at)? {
            Some(code) => code
                .parse()
                .map_err(|_| Fault::at(self.currency_at, "is not a three-letter currency code"))?,
            None => self.currency.ok_or_else(|| missing(self.currency_at))?,
        };
        let at = cells.text(created_at)?.ok_or_else(|| missing(created_at))?;
        let at = moment::read(&at, self.zone.as_ref());
        let at = at.map_err(|why| Fault::at(created_at, why))?;
        let fact = Fact {
            class: Class::Capture,
            id: id.to_owned(),
            basis: Basis::Each,
            rank: rank::CAPTURED,
            version: 0,
            authority: Authority::Csv,
            amount,
            currency,
            at,
            partial_capture: false,
            product_key: cells.clue(self.product)?.map(Cow::into_owned),
            category_key: cells.clue(self.category)?.map(Cow::into_owned),
        };
        let test = cells.flag(self.test)?;
        let mut reading = Reading {
            scope: Scope {
                live: test.map(|test| !test).or(self.scope.live),
                account: self.scope.account.clone(),
            },
            movements: vec![Movement {
                about: Subject::Payment(id.to_owned()),
                fact,
            }],
            ..Reading::default()
        };
        let version = file_version(at);
        for (column, name) in &self.metadata {
            if let Some(value) = cells.clue(Some(*column))? {
                let field = format!("metadata.{name}");
                reading.clues.push(clue(id, &field, &value, version));
            }
        }
        for (column, field) in [(self.customer, CUSTOMER_KEY), (self.email, "email")] {
            if let Some(value) = cells.clue(column)? {
                reading.clues.push(clue(id, field, &value, version));
            }
        }
        Ok(reading)
    }

    /// The payment that a key stands for. Our own keys hold it; a second row of
    /// one payment is a correction that the provider's own file says better.
    fn payment<'k>(&self, key: &'k str) -> Result<&'k str, Fault> {
        let Some(id) = key.strip_prefix(&self.prefix) else {
            return Ok(key);
        };
        let why = match id.rsplit_once(':') {
            Some((_, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                "is a later row of a payment that this program forwarded; import the provider's export instead"
            }
            _ if id.starts_with('~') => {
                "holds no payment id, only its digest; import the provider's export instead"
            }
            _ if id.is_empty() => "is missing",
            _ => return Ok(id),
        };
        Err(Fault::at(Some(self.key), why))
    }
}
