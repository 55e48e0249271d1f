//! Recurly's export of transactions.
//!
//! Source: Recurly's documentation, "Transaction export", for the columns; what
//! a type and a status mean follows `provider::recurly`. Times are in the site's
//! own zone, with its abbreviation at best, so nothing is read without `--zone`.
//! What `invoice_id` holds is not documented: 32 hexadecimal digits are the id
//! that notifications carry, anything else is taken for the number.

use super::amount::Convention;
use super::cells::{Cells, Fault};
use super::header::Header;
use super::moment;
use super::own::{alias, clue, file_version, missing};
use super::row::{Refused, Told};
use crate::money::{Currency, Minor};
use crate::movement::{Authority, Basis, Class, Fact, Movement, Reading, Scope, Subject, rank};
use crate::time::{SECOND_MS, Time};

/// Hexadecimal digits of a long id.
const UUID_DIGITS: usize = 32;

/// A file of Recurly's.
pub struct Recurly {
    uuid: usize,
    kind: usize,
    amount: usize,
    currency: usize,
    date: usize,
    status: usize,
    account: usize,
    test: Option<usize>,
    original: Option<usize>,
    invoice: Option<usize>,
    subscription: Option<usize>,
    modified: Option<usize>,
    collected: Option<usize>,
    short_id: Option<usize>,
    convention: Convention,
    zone: jiff::tz::TimeZone,
    scope: Scope,
}

/// Where a transaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// A payment at this rank.
    Taken(u8),
    /// A payment that went through and was undone as a whole.
    Voided,
    /// A payment that was collected and failed later.
    FailedLate,
    /// A refund at this rank.
    GivenBack(u8),
}

/// A transaction about money, checked.
struct Transaction<'c> {
    uuid: &'c str,
    amount: Minor,
    currency: Currency,
    at: Time,
    changed: Time,
}

impl Recurly {
    /// The columns of `header`.
    ///
    /// # Errors
    /// What is missing or twice there, and where no zone was said.
    pub fn new(header: &Header, told: &Told<'_>) -> Result<Recurly, Refused> {
        let zone = told.options.zone.clone().ok_or_else(|| {
            let why = "Recurly writes times in the site's own time zone; say which with --zone, \
                       for example --zone America/Los_Angeles (Site Settings has it)";
            Refused(why.to_owned())
        })?;
        Ok(Recurly {
            uuid: header.needed(&["transactionid"], "transaction_id")?,
            kind: header.needed(&["type"], "type")?,
            amount: header.needed(&["amount"], "amount")?,
            currency: header.needed(&["currency"], "currency")?,
            date: header.needed(&["date"], "date")?,
            status: header.needed(&["status"], "status")?,
            account: header.needed(&["accountcode"], "account_code")?,
            test: header.find(&["test"])?,
            original: header.find(&["originaltransactionid"])?,
            invoice: header.find(&["invoiceid"])?,
            subscription: header.find(&["subscriptionid"])?,
            modified: header.find(&["modifiedat"])?,
            collected: header.find(&["collectedat"])?,
            short_id: header.find(&["transactionapiid"])?,
            convention: Convention::new(told.options.decimal),
            zone,
            scope: told.options.scope.clone(),
        })
    }

    /// The columns with decimals, and what they have shown.
    pub fn decimals(&mut self) -> Vec<(Option<usize>, &mut Convention)> {
        vec![(Some(self.amount), &mut self.convention)]
    }

    /// What a row states.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn read(&mut self, cells: Cells<'_>) -> Result<Reading, Fault> {
        let uuid_at = Some(self.uuid);
        let uuid = cells.id(uuid_at)?.ok_or_else(|| missing(uuid_at))?;
        let test = cells.flag(self.test)?;
        let mut reading = Reading {
            scope: Scope {
                live: test.map(|test| !test).or(self.scope.live),
                account: self.scope.account.clone(),
            },
            ..Reading::default()
        };
        let Some(standing) = self.standing(cells)? else {
            let why = "the transaction neither takes money nor gives it back";
            reading.ignored = Some(why.to_owned());
            return Ok(reading);
        };
        let transaction = self.transaction(cells, &uuid, standing)?;
        match standing {
            Standing::GivenBack(rank) => {
                self.give_back(cells, &transaction, rank, &mut reading)?;
                return Ok(reading);
            }
            Standing::Taken(rank) => transaction.state(Class::Capture, rank, &mut reading),
            Standing::Voided => {
                transaction.state(Class::Capture, rank::CAPTURED, &mut reading);
                transaction.state(Class::Void, rank::LIVE, &mut reading);
            }
            Standing::FailedLate => {
                transaction.state(Class::Capture, rank::FAILED, &mut reading);
                transaction.state(Class::Void, rank::LIVE, &mut reading);
            }
        }
        let took = matches!(standing, Standing::Taken(rank::CAPTURED) | Standing::Voided);
        self.name(cells, &transaction, took, &mut reading)?;
        Ok(reading)
    }

    /// Where it stands; `None` where it is not about money.
    fn standing(&self, cells: Cells<'_>) -> Result<Option<Standing>, Fault> {
        let (kind_at, status_at) = (Some(self.kind), Some(self.status));
        let kind = cells.text(kind_at)?.ok_or_else(|| missing(kind_at))?;
        let status = cells.text(status_at)?.ok_or_else(|| missing(status_at))?;
        let (kind, status) = (kind.to_ascii_lowercase(), status.to_ascii_lowercase());
        let standing = match (kind.as_str(), status.as_str()) {
            ("authorization" | "verify", _) => return Ok(None),
            ("purchase" | "capture", "success") => Standing::Taken(rank::CAPTURED),
            ("purchase" | "capture", "void") => Standing::Voided,
            ("purchase" | "capture", "declined" | "error") => {
                // What was collected before it was declined had gone through.
                match cells.text(self.collected)? {
                    Some(_) => Standing::FailedLate,
                    None => Standing::Taken(rank::FAILED),
                }
            }
            ("purchase" | "capture", "pending" | "processing" | "scheduled") => {
                Standing::Taken(rank::PENDING)
            }
            ("refund" | "credit", "success" | "chargeback") => Standing::GivenBack(rank::LIVE),
            ("refund" | "credit", "void" | "declined" | "error") => {
                Standing::GivenBack(rank::UNDONE)
            }
            ("refund" | "credit", "pending" | "processing" | "scheduled") => {
                Standing::GivenBack(rank::ANNOUNCED)
            }
            ("purchase" | "capture" | "refund" | "credit", _) => {
                return Err(Fault::at(
                    status_at,
                    "does not go with the type of the transaction",
                ));
            }
            _ => {
                return Err(Fault::at(
                    kind_at,
                    "is no type of transaction that is known here",
                ));
            }
        };
        Ok(Some(standing))
    }

    fn transaction<'c>(
        &mut self,
        cells: Cells<'_>,
        uuid: &'c str,
        standing: Standing,
    ) -> Result<Transaction<'c>, Fault> {
        let (currency_at, amount_at) = (Some(self.currency), Some(self.amount));
        let code = cells
            .text(currency_at)?
            .ok_or_else(|| missing(currency_at))?;
        let currency: Currency = code
            .parse()
            .map_err(|_| Fault::at(currency_at, "is not a three-letter currency code"))?;
        let amount = cells.text(amount_at)?.ok_or_else(|| missing(amount_at))?;
        let amount = self.convention.read(&amount, currency.exponent());
        let amount = amount.map_err(|why| Fault::at(amount_at, why))?;
        if amount < 0 && !matches!(standing, Standing::GivenBack(_)) {
            return Err(Fault::at(amount_at, "is negative"));
        }
        let date = self.moment(cells, Some(self.date))?;
        let at = date.ok_or_else(|| missing(Some(self.date)))?;
        Ok(Transaction {
            uuid,
            amount: amount.abs(),
            currency,
            at,
            changed: self.moment(cells, self.modified)?.unwrap_or(at),
        })
    }

    fn moment(&self, cells: Cells<'_>, column: Option<usize>) -> Result<Option<Time>, Fault> {
        let Some(text) = cells.text(column)? else {
            return Ok(None);
        };
        let at = moment::read_abbreviated(&text, &self.zone);
        at.map(Some).map_err(|why| Fault::at(column, why))
    }

    /// A refund, by the payment that it names, else by the invoice.
    fn give_back(
        &self,
        cells: Cells<'_>,
        transaction: &Transaction<'_>,
        rank: u8,
        reading: &mut Reading,
    ) -> Result<(), Fault> {
        let reference = |kind: &str, id: &str| Subject::Reference {
            kind: kind.to_owned(),
            id: id.to_owned(),
        };
        let about = match (cells.id(self.original)?, cells.id(self.invoice)?) {
            (Some(original), _) if is_uuid(&original) => Subject::Payment(original.into_owned()),
            (Some(original), _) => reference("id", &original),
            (None, Some(invoice)) => reference(invoice_kind(&invoice), &invoice),
            (None, None) => {
                let why = "is missing, so it cannot be told which payment the refund is of";
                return Err(Fault::at(self.original.or(self.invoice), why));
            }
        };
        if transaction.amount == 0 {
            reading.ignored = Some("the refund is of nothing".to_owned());
            return Ok(());
        }
        let fact = transaction.fact(Class::Refund, rank);
        reading.movements.push(Movement { about, fact });
        Ok(())
    }

    /// The other ids of a payment, and what lookup rules may use. Only payments
    /// that went through carry their invoice: a refund that names it must not
    /// meet the attempts before.
    fn name(
        &self,
        cells: Cells<'_>,
        transaction: &Transaction<'_>,
        took: bool,
        reading: &mut Reading,
    ) -> Result<(), Fault> {
        let uuid = transaction.uuid;
        let invoice = cells.id(self.invoice)?.filter(|_| took);
        let kind = invoice.as_deref().map_or("invoice", invoice_kind);
        let others = [
            ("id", cells.id(self.short_id)?, true),
            (kind, invoice, false),
            ("subscription", cells.id(self.subscription)?, false),
        ];
        reading.aliases.push(alias(uuid, "transaction", uuid, true));
        for (kind, id, money) in others {
            reading
                .aliases
                .extend(id.map(|id| alias(uuid, kind, &id, money)));
        }
        let code = cells.clue(Some(self.account))?;
        let version = file_version(transaction.at);
        for field in ["account_code", "account"] {
            reading
                .clues
                .extend(code.as_deref().map(|code| clue(uuid, field, code, version)));
        }
        Ok(())
    }
}

impl Transaction<'_> {
    /// A fact under the transaction's own id. The version is what notifications
    /// give it; a void happened when the transaction was changed last.
    fn fact(&self, class: Class, rank: u8) -> Fact {
        let at = match class {
            Class::Void => self.changed,
            _ => self.at,
        };
        Fact {
            class,
            id: self.uuid.to_owned(),
            basis: Basis::Each,
            rank,
            version: match class {
                Class::Capture => 0,
                _ => at.ms() / SECOND_MS,
            },
            authority: Authority::Csv,
            amount: self.amount,
            currency: self.currency,
            at,
            partial_capture: false,
            product_key: None,
            category_key: None,
        }
    }

    fn state(&self, class: Class, rank: u8, reading: &mut Reading) {
        reading.movements.push(Movement {
            about: Subject::Payment(self.uuid.to_owned()),
            fact: self.fact(class, rank),
        });
    }
}

fn is_uuid(id: &str) -> bool {
    id.len() == UUID_DIGITS && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn invoice_kind(id: &str) -> &'static str {
    match is_uuid(id) {
        true => "invoice",
        false => "invoice_number",
    }
}
