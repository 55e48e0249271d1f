//! What the sandbox holds: partners, customers, transactions and rewards, live
//! and test apart, and the plain changes to them. Limits of request fields are
//! checked before (`fields`); what a client may do is decided in `verbs`.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use super::listing::{Row, Table};

/// Share of a transaction that its partner earns, percent, unless the settings say
/// another. A made-up but usual figure; the sandbox has no trigger rules.
pub const COMMISSION_PERCENT: i64 = 10;
/// The partner every program has for its test customers. Documented.
pub(super) const TEST_PARTNER: &str = "gstest";

/// The status of a reward that nobody has looked at.
const PENDING: &str = "pending";

/// Which half of the books a key pair works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Live,
    Test,
}

/// A partner of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partner {
    /// The partnership's key, made here.
    pub key: String,
    /// The partner's own key, the one customers name.
    pub partner_key: String,
    /// Where the partner is written to.
    pub email: String,
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// Epoch ms.
    pub created_at: i64,
}

/// A customer a partner brought.
#[derive(Clone, Debug, PartialEq)]
pub struct Customer {
    /// The internal key, made here.
    pub key: String,
    /// The merchant's own key; the field is called `customer_key` in v2.
    pub external_key: Option<String>,
    /// Email as it was sent.
    pub email: String,
    /// Name as it was sent.
    pub name: Option<String>,
    /// The id a payment provider knows the customer by.
    pub provider_key: Option<String>,
    /// The teammate who drove the sign-up.
    pub member_key: Option<String>,
    /// Free fields.
    pub meta: Map<String, Value>,
    /// The owning partner's own key. A partner may be missing: no rewards then.
    pub partner_key: String,
    /// Whether a test pair made it.
    pub test: bool,
    /// Epoch ms.
    pub created_at: i64,
    /// Epoch ms.
    pub updated_at: i64,
    /// Deleted; kept so that old rows still have their customer.
    pub archived: bool,
    pub(super) visible_at: i64,
}

/// A transaction as it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The key that was sent, or one made here.
    pub key: String,
    /// The customer's internal key.
    pub customer_key: String,
    /// The customer's external key when the transaction was recorded.
    pub customer_external_key: Option<String>,
    /// Cents of `currency`; negative for a correction.
    pub amount: i64,
    /// Three capital letters.
    pub currency: String,
    /// Category, as sent.
    pub category_key: Option<String>,
    /// Product, as sent.
    pub product_key: Option<String>,
    /// Teammate, as sent.
    pub member_key: Option<String>,
    /// Subscription, as sent.
    pub subscription_key: Option<String>,
    /// Free attributes, as sent.
    pub metadata: BTreeMap<String, String>,
    /// Epoch ms, as sent or as received.
    pub created_at: i64,
    /// Epoch ms by the sandbox's clock.
    pub received_at: i64,
    /// Epoch ms.
    pub updated_at: i64,
    /// Deleted.
    pub archived: bool,
    /// Recorded with a test pair.
    pub test: bool,
    pub(super) visible_at: i64,
}

/// What a partner earned by one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reward {
    /// Made here.
    pub key: String,
    /// The transaction's key; several rows may share it.
    pub transaction_key: String,
    /// The customer's internal key.
    pub customer_key: String,
    /// The partner's own key.
    pub partner_key: String,
    /// Cents of `currency`.
    pub amount: i64,
    /// The transaction's currency.
    pub currency: String,
    /// Epoch ms: when the sandbox heard of the sale, not when the sale was.
    pub created_at: i64,
    /// Epoch ms.
    pub updated_at: i64,
    /// What became of it: pending, until somebody says otherwise.
    pub status: String,
    /// The transaction was deleted.
    pub archived: bool,
    pub(super) transaction: usize,
}

impl Row for Partner {
    fn key(&self) -> &str {
        &self.key
    }
    fn created_at(&self) -> i64 {
        self.created_at
    }
}

impl Row for Customer {
    fn key(&self) -> &str {
        &self.key
    }
    fn created_at(&self) -> i64 {
        self.created_at
    }
}

impl Row for Transaction {
    fn key(&self) -> &str {
        &self.key
    }
    fn created_at(&self) -> i64 {
        self.created_at
    }
}

impl Row for Reward {
    fn key(&self) -> &str {
        &self.key
    }
    fn created_at(&self) -> i64 {
        self.created_at
    }
}

/// How a call names a customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Internal(String),
    External(String),
    Email(String),
    /// External key, internal key or email, looked for in that order.
    Any(String),
}

/// Live or test: rows that never meet the other half's.
pub(super) struct Half {
    pub customers: Table<Customer>,
    pub transactions: Table<Transaction>,
    pub rewards: Table<Reward>,
    by_external_key: HashMap<String, usize>,
    by_email: HashMap<String, usize>,
}

/// Everything the sandbox holds.
pub(super) struct Books {
    pub partners: Table<Partner>,
    pub live: Half,
    pub test: Half,
    made: u64,
}

impl Half {
    fn new() -> Self {
        Self {
            customers: Table::new(),
            transactions: Table::new(),
            rewards: Table::new(),
            by_external_key: HashMap::new(),
            by_email: HashMap::new(),
        }
    }

    /// The serial number of a customer that is not archived. Where several share
    /// an email, the one recorded last.
    pub(super) fn find(&self, who: &Who) -> Option<usize> {
        match who {
            Who::External(key) => self.by_external_key.get(key).copied(),
            Who::Email(email) => self.by_email.get(&email.to_lowercase()).copied(),
            Who::Internal(key) => {
                let serial = self.customers.serials(key).first().copied()?;
                let row = self.customers.rows().get(serial)?;
                (!row.archived).then_some(serial)
            }
            Who::Any(text) => self
                .find(&Who::External(text.clone()))
                .or_else(|| self.find(&Who::Internal(text.clone())))
                .or_else(|| self.find(&Who::Email(text.clone()))),
        }
    }

    pub(super) fn record_customer(&mut self, customer: Customer) -> Customer {
        let serial = self.customers.push(customer.clone());
        self.index(serial, &customer);
        customer
    }

    /// Applies `change` to one customer and keeps the lookups true.
    pub(super) fn change_customer(
        &mut self,
        serial: usize,
        change: impl FnOnce(&mut Customer),
    ) -> Option<Customer> {
        let row = self.customers.rows_mut().get_mut(serial)?;
        let before = row.clone();
        change(row);
        let after = row.clone();
        if let Some(key) = &before.external_key
            && self.by_external_key.get(key) == Some(&serial)
        {
            self.by_external_key.remove(key);
        }
        let email = before.email.to_lowercase();
        if self.by_email.get(&email) == Some(&serial) {
            self.by_email.remove(&email);
        }
        if !after.archived {
            self.index(serial, &after);
        }
        Some(after)
    }

    fn index(&mut self, serial: usize, customer: &Customer) {
        if let Some(key) = &customer.external_key {
            self.by_external_key.insert(key.clone(), serial);
        }
        self.by_email.insert(customer.email.to_lowercase(), serial);
    }

    /// Archives the oldest row under this key that is not archived, and its
    /// rewards. `None` when there is none.
    pub(super) fn archive_transaction(&mut self, key: &str, now_ms: i64) -> Option<Transaction> {
        let serial = self.transactions.serials(key).iter().copied().find(|at| {
            let row = self.transactions.rows().get(*at);
            row.is_some_and(|row| !row.archived)
        })?;
        let row = self.transactions.rows_mut().get_mut(serial)?;
        row.archived = true;
        row.updated_at = now_ms;
        let archived = row.clone();
        let reward = reward_key(serial);
        for at in self.rewards.serials(&reward).to_vec() {
            if let Some(reward) = self.rewards.rows_mut().get_mut(at) {
                reward.archived = true;
                reward.updated_at = now_ms;
            }
        }
        Some(archived)
    }
}

impl Books {
    /// Books with the test partner and nothing else.
    pub(super) fn new(now_ms: i64) -> Self {
        let mut books = Self {
            partners: Table::new(),
            live: Half::new(),
            test: Half::new(),
            made: 0,
        };
        books.record_partner(
            TEST_PARTNER,
            "test@example.invalid",
            "Test",
            "Partner",
            now_ms,
        );
        books
    }

    pub(super) fn half(&self, mode: Mode) -> &Half {
        match mode {
            Mode::Live => &self.live,
            Mode::Test => &self.test,
        }
    }

    pub(super) fn half_mut(&mut self, mode: Mode) -> &mut Half {
        match mode {
            Mode::Live => &mut self.live,
            Mode::Test => &mut self.test,
        }
    }

    /// A key nobody has yet.
    pub(super) fn make_key(&mut self, prefix: &str) -> String {
        self.made += 1;
        format!("{prefix}_{:010}", self.made)
    }

    /// Finds a partner by its own key.
    pub(super) fn partner(&self, partner_key: &str) -> Option<&Partner> {
        let rows = self.partners.rows();
        rows.iter().find(|row| row.partner_key == partner_key)
    }

    pub(super) fn record_partner(
        &mut self,
        partner_key: &str,
        email: &str,
        first_name: &str,
        last_name: &str,
        now_ms: i64,
    ) -> Partner {
        let partner = Partner {
            key: self.make_key("part"),
            partner_key: partner_key.to_owned(),
            email: email.to_owned(),
            first_name: first_name.to_owned(),
            last_name: last_name.to_owned(),
            created_at: now_ms,
        };
        self.partners.push(partner.clone());
        partner
    }

    /// Records a transaction and, for a live customer whose partner exists, the
    /// reward it earns.
    /// `percent` says what a partner earns, by its own key.
    pub(super) fn record_transaction(
        &mut self,
        mode: Mode,
        row: &Transaction,
        percent: impl Fn(&str) -> i64,
    ) {
        let half = self.half(mode);
        let partner_key = half
            .customers
            .first(&row.customer_key)
            .map(|customer| customer.partner_key.clone())
            .filter(|key| mode == Mode::Live && self.partner(key).is_some());
        let half = self.half_mut(mode);
        let serial = half.transactions.push(row.clone());
        let Some(partner_key) = partner_key else {
            return;
        };
        half.rewards.push(Reward {
            key: reward_key(serial),
            transaction_key: row.key.clone(),
            customer_key: row.customer_key.clone(),
            amount: commission(row.amount, percent(&partner_key)),
            partner_key,
            currency: row.currency.clone(),
            created_at: row.received_at,
            updated_at: row.received_at,
            status: PENDING.to_owned(),
            archived: false,
            transaction: serial,
        });
    }
}

/// A reward's key follows from its transaction's serial number, so that the two
/// are archived together without a second index. Test rows have no rewards.
fn reward_key(transaction: usize) -> String {
    format!("rwrd_{transaction:010}")
}

/// The commission on an amount, cents, rounded half away from zero.
pub(super) fn commission(amount_cents: i64, percent: i64) -> i64 {
    let hundredths = amount_cents * percent;
    (hundredths + hundredths.signum() * 50) / 100
}
