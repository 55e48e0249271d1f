//! What a client may do to the books: the decisions that v1 and v2 share. It
//! reads no HTTP; limits of single fields are checked before (`fields`).

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::{Map, Value};

use super::answer::Refusal;
use super::books::{
    Books, COMMISSION_PERCENT, Customer, Mode, Partner, TEST_PARTNER, Transaction, Who,
};
use super::calls::Calls;
use super::fault::Dice;
use super::settings::{CreatedAt, Duplicates, Settings};

/// The partner that customers made on the fly are given in live mode.
const AUTO_PARTNER: &str = "sandbox-partner";

/// All state of one sandbox; behind one lock.
pub(super) struct Core {
    pub settings: Settings,
    pub books: Books,
    pub dice: Dice,
    pub calls: Calls,
}

/// A transaction as a client asks for it, limits already checked.
pub(super) struct NewTransaction {
    pub who: Who,
    pub key: Option<String>,
    pub amount: i64,
    pub currency: String,
    pub category_key: Option<String>,
    pub product_key: Option<String>,
    pub member_key: Option<String>,
    pub subscription_key: Option<String>,
    pub metadata: BTreeMap<String, String>,
    pub created_at: Option<i64>,
}

/// A customer as it is asked for. `NewCustomer::of` fills in the rest.
#[derive(Clone, Debug, PartialEq)]
pub struct NewCustomer {
    /// The merchant's own key.
    pub external_key: Option<String>,
    /// Email; several customers may share one.
    pub email: String,
    /// The owning partner's own key.
    pub partner_key: String,
    /// Name.
    pub name: Option<String>,
    /// The id a payment provider knows the customer by.
    pub provider_key: Option<String>,
    /// The teammate who drove the sign-up.
    pub member_key: Option<String>,
    /// Free fields.
    pub meta: Map<String, Value>,
    /// Marked as test, as if a test pair had made it.
    pub test: bool,
}

/// Fields of a customer to change; `None` leaves a field as it is.
#[derive(Default)]
pub(super) struct CustomerChange {
    pub external_key: Option<Option<String>>,
    pub email: Option<String>,
    pub name: Option<String>,
    pub provider_key: Option<Option<String>>,
    pub member_key: Option<Option<String>>,
    pub meta: Option<Map<String, Value>>,
}

impl NewCustomer {
    /// A live customer with an email made from its key.
    #[must_use]
    pub fn of(external_key: &str, partner_key: &str) -> Self {
        Self {
            external_key: Some(external_key.to_owned()),
            email: format!("{external_key}@example.invalid"),
            partner_key: partner_key.to_owned(),
            name: None,
            provider_key: None,
            member_key: None,
            meta: Map::new(),
            test: false,
        }
    }
}

impl Core {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            books: Books::new(settings.now_ms()),
            dice: Dice::new(settings.faults.clone(), settings.seed),
            calls: Calls::default(),
            settings,
        }
    }

    /// As new, with faults off.
    pub(super) fn reset(&mut self) {
        self.books = Books::new(self.settings.now_ms());
        self.dice = Dice::new(Vec::new(), self.settings.seed);
        self.calls.clear();
    }

    /// Records a transaction. The flag says whether a row was added.
    pub(super) fn post_transaction(
        &mut self,
        mode: Mode,
        new: NewTransaction,
        lag_ms: i64,
    ) -> Result<(Transaction, bool), Refusal> {
        let now_ms = self.settings.now_ms();
        let customer = self.customer_for(mode, &new.who)?;
        if let Some(key) = &new.key
            && let Some(known) = self.books.half(mode).transactions.first(key)
        {
            match self.settings.duplicates {
                Duplicates::SecondRow => {}
                Duplicates::SameRow => return Ok((known.clone(), false)),
                Duplicates::Conflict409 => return Err(repeated(StatusCode::CONFLICT, key)),
                Duplicates::Refused400 => return Err(repeated(StatusCode::BAD_REQUEST, key)),
            }
        }
        let row = Transaction {
            key: match new.key {
                Some(key) => key,
                None => self.books.make_key("tran"),
            },
            customer_key: customer.key,
            customer_external_key: customer.external_key,
            amount: new.amount,
            currency: new.currency,
            category_key: new.category_key,
            product_key: new.product_key,
            member_key: new.member_key,
            subscription_key: new.subscription_key,
            metadata: new.metadata,
            created_at: match self.settings.created_at {
                CreatedAt::Honour => new.created_at.unwrap_or(now_ms),
                CreatedAt::ServerTime => now_ms,
            },
            received_at: now_ms,
            updated_at: now_ms,
            archived: false,
            test: mode == Mode::Test,
            visible_at: now_ms.saturating_add(lag_ms),
        };
        let commissions = &self.settings.commissions;
        self.books.record_transaction(mode, &row, |partner| {
            let said = commissions.get(partner).copied();
            said.unwrap_or(COMMISSION_PERCENT)
        });
        Ok((row, true))
    }

    /// Archives a transaction, as its owner or as somebody else would.
    pub(super) fn delete_transaction(
        &mut self,
        mode: Mode,
        key: &str,
    ) -> Result<Transaction, Refusal> {
        let known = !self.books.half(mode).transactions.serials(key).is_empty();
        if known && self.settings.refuse_deletes {
            return Err(Refusal::invalid(format!(
                "transaction {key:?} cannot be deleted: already invoiced"
            )));
        }
        let now_ms = self.settings.now_ms();
        self.books
            .half_mut(mode)
            .archive_transaction(key, now_ms)
            .ok_or_else(|| Refusal::unknown(format!("there is no transaction {key:?}")))
    }

    fn customer_for(&mut self, mode: Mode, who: &Who) -> Result<Customer, Refusal> {
        let half = self.books.half(mode);
        if let Some(row) = half.find(who).and_then(|at| half.customers.rows().get(at)) {
            return Ok(row.clone());
        }
        let (other, advice) = match mode {
            Mode::Live => (Mode::Test, "a test customer needs a test key pair"),
            Mode::Test => (Mode::Live, "a live customer needs a live key pair"),
        };
        if self.books.half(other).find(who).is_some() {
            return Err(Refusal::invalid(advice));
        }
        let made = match who {
            _ if !self.settings.auto_customers => None,
            Who::Internal(_) => None,
            Who::Email(email) => Some((None, email.clone())),
            Who::Any(text) if text.contains('@') => Some((None, text.clone())),
            Who::External(key) | Who::Any(key) => {
                Some((Some(key.clone()), format!("{key}@example.invalid")))
            }
        };
        let Some((external_key, email)) = made else {
            return Err(Refusal::unknown("there is no such customer"));
        };
        let partner_key = match mode {
            Mode::Test => TEST_PARTNER,
            Mode::Live => AUTO_PARTNER,
        };
        if self.books.partner(partner_key).is_none() {
            let now_ms = self.settings.now_ms();
            let email = "partner@example.invalid";
            self.books
                .record_partner(partner_key, email, "Sandbox", "Partner", now_ms);
        }
        Ok(self.record_customer(
            NewCustomer {
                email,
                external_key,
                test: mode == Mode::Test,
                ..NewCustomer::of("", partner_key)
            },
            0,
        ))
    }

    /// Records a customer a client asked for.
    pub(super) fn post_customer(
        &mut self,
        mode: Mode,
        new: NewCustomer,
        lag_ms: i64,
    ) -> Result<Customer, Refusal> {
        if self.books.partner(&new.partner_key).is_none() {
            return Err(Refusal::invalid(format!(
                "partner_key: there is no partner {:?}",
                new.partner_key
            )));
        }
        match (mode, new.partner_key == TEST_PARTNER) {
            (Mode::Live, true) => {
                return Err(Refusal::invalid(
                    "partner_key: the test partner takes customers of a test key pair only",
                ));
            }
            (Mode::Test, false) => {
                return Err(Refusal::invalid(format!(
                    "partner_key: a test customer belongs under {TEST_PARTNER:?}"
                )));
            }
            (Mode::Live, false) | (Mode::Test, true) => {}
        }
        self.free(mode, new.external_key.as_deref(), None)?;
        Ok(self.record_customer(new, lag_ms))
    }

    /// Records a customer without asking whether a client could.
    pub(super) fn record_customer(&mut self, new: NewCustomer, lag_ms: i64) -> Customer {
        let now_ms = self.settings.now_ms();
        let customer = Customer {
            key: self.books.make_key("cus"),
            external_key: new.external_key,
            email: new.email,
            name: new.name,
            provider_key: new.provider_key,
            member_key: new.member_key,
            meta: new.meta,
            partner_key: new.partner_key,
            test: new.test,
            created_at: now_ms,
            updated_at: now_ms,
            archived: false,
            visible_at: now_ms.saturating_add(lag_ms),
        };
        let mode = if new.test { Mode::Test } else { Mode::Live };
        self.books.half_mut(mode).record_customer(customer)
    }

    pub(super) fn change_customer(
        &mut self,
        mode: Mode,
        who: &Who,
        change: CustomerChange,
    ) -> Result<Customer, Refusal> {
        let serial = self.existing(mode, who)?;
        if let Some(Some(key)) = &change.external_key {
            self.free(mode, Some(key), Some(serial))?;
        }
        let now_ms = self.settings.now_ms();
        let CustomerChange {
            external_key,
            email,
            name,
            provider_key,
            member_key,
            meta,
        } = change;
        let changed = self.books.half_mut(mode).change_customer(serial, |row| {
            row.external_key = external_key.unwrap_or_else(|| row.external_key.take());
            row.email = email.unwrap_or_else(|| row.email.clone());
            row.name = name.or_else(|| row.name.take());
            row.provider_key = provider_key.unwrap_or_else(|| row.provider_key.take());
            row.member_key = member_key.unwrap_or_else(|| row.member_key.take());
            row.meta = meta.unwrap_or_else(|| row.meta.clone());
            row.updated_at = now_ms;
        });
        changed.ok_or_else(no_customer)
    }

    pub(super) fn archive_customer(&mut self, mode: Mode, who: &Who) -> Result<Customer, Refusal> {
        let serial = self.existing(mode, who)?;
        let now_ms = self.settings.now_ms();
        let archived = self.books.half_mut(mode).change_customer(serial, |row| {
            row.archived = true;
            row.updated_at = now_ms;
        });
        archived.ok_or_else(no_customer)
    }

    pub(super) fn customer(&self, mode: Mode, who: &Who) -> Result<&Customer, Refusal> {
        let serial = self.existing(mode, who)?;
        let half = self.books.half(mode);
        half.customers.rows().get(serial).ok_or_else(no_customer)
    }

    /// Records a partner a client asked for.
    pub(super) fn post_partner(
        &mut self,
        partner_key: Option<String>,
        email: &str,
        first_name: &str,
        last_name: &str,
    ) -> Result<Partner, Refusal> {
        let partner_key = match partner_key {
            Some(key) => key,
            None => self.books.make_key("partner"),
        };
        if self.books.partner(&partner_key).is_some() {
            return Err(Refusal::invalid(format!(
                "partner_key: {partner_key:?} already exists"
            )));
        }
        let now_ms = self.settings.now_ms();
        Ok(self
            .books
            .record_partner(&partner_key, email, first_name, last_name, now_ms))
    }

    fn existing(&self, mode: Mode, who: &Who) -> Result<usize, Refusal> {
        self.books.half(mode).find(who).ok_or_else(no_customer)
    }

    /// Refuses an external key that another customer has.
    fn free(&self, mode: Mode, key: Option<&str>, owner: Option<usize>) -> Result<(), Refusal> {
        let Some(key) = key else {
            return Ok(());
        };
        match self.books.half(mode).find(&Who::External(key.to_owned())) {
            Some(serial) if owner != Some(serial) => Err(Refusal::invalid(format!(
                "a customer with the key {key:?} already exists"
            ))),
            _ => Ok(()),
        }
    }
}

fn no_customer() -> Refusal {
    Refusal::unknown("there is no such customer")
}

fn repeated(status: StatusCode, key: &str) -> Refusal {
    Refusal::new(
        status,
        format!("a transaction with the key {key:?} already exists"),
    )
}
