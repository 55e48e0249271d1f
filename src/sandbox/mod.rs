//! A server that answers like PartnerStack's vendor API, v1 and v2, and keeps
//! what it is told in memory. It serves `tributary sandbox`, the demo and tests.
//! It is strict: whatever a documented limit forbids is refused. It is not a
//! model of the real API's undocumented answers; where those matter, `Settings`
//! offers each plausible one. It is no store either: all rows go with it.
//!
//! Where the documentation is silent, this server does the following.
//! - A deleted transaction leaves lists and its rewards are archived. Its key
//!   stays known to `Duplicates`. Deleting again is 404.
//! - A reward is 10 % of its transaction, or what `Settings::commissions` says for
//!   its partner, in the transaction's currency; also of a negative one, which makes
//!   a negative reward. It stays with the partner who had the customer when it was
//!   made. Rewards are listed with archived ones unless `hide_archived_rewards=true`,
//!   and take no filter by their change, because none is known.
//! - A transaction across modes (live pair, test customer) is refused with 400.
//! - Unknown fields of a body and unknown query parameters are refused with 400.
//! - The currency is three capital letters. `amount_usd` is null for any but USD.
//! - A v2 path names a customer by external or by internal key; v1 also by email.
//! - v1 takes no metadata and no `created_at` on a transaction: no page shows any.
//! - A lagging row is hidden from lists only; lookups by key find it.
//! - A list cursor whose key stands on several rows means the last on the way, so
//!   that a walk always ends.
//!
//! # Control surface
//! Under `/sandbox/`, without a key pair; keep the listener on loopback.
//!
//! | call | does |
//! |---|---|
//! | `GET /sandbox/state` | counts, sums per customer and currency, keys that stand on several rows, faults |
//! | `PUT /sandbox/faults` | `{"faults": ["drop-after@POST=10%"]}` replaces all faults; see [`fault`] for the text |
//! | `POST /sandbox/reset` | forgets all rows, calls and faults |

mod answer;
mod books;
mod calls;
mod control;
pub mod fault;
mod fields;
mod gate;
mod listing;
mod serve;
mod settings;
#[cfg(test)]
mod tests;
mod v1;
mod v2;
mod verbs;
mod view;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::response::Response;
use http::{StatusCode, Uri};

pub use books::{COMMISSION_PERCENT, Customer, Partner, Reward, Transaction};
pub use calls::Call;
pub use fault::{Fault, FaultError, Kind, Rate, RetryAfter};
pub use serve::serve;
pub use settings::{Clock, CreatedAt, Duplicates, KeyPair, Settings};
pub use verbs::NewCustomer;

use answer::{Api, Refusal};
use books::Mode;
use verbs::Core;

/// One PartnerStack-compatible account. Clones share it.
#[derive(Clone)]
pub struct Sandbox(Arc<Mutex<Core>>);

impl Sandbox {
    /// An account with the test partner `gstest` and nothing else.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self(Arc::new(Mutex::new(Core::new(settings))))
    }

    /// The routes. Under `serve` a dropped connection is really cut; under any
    /// other server its response breaks off.
    pub fn router(&self) -> Router {
        v2::routes()
            .merge(v1::routes())
            .fallback(unknown_path)
            .method_not_allowed_fallback(wrong_method)
            .layer(axum::middleware::from_fn_with_state(
                self.clone(),
                gate::pass,
            ))
            .merge(control::routes())
            .with_state(self.clone())
    }

    /// Records a partner, by the key customers name. An existing one is returned
    /// as it is.
    pub fn add_partner(&self, partner_key: &str) -> Partner {
        self.add_named_partner(partner_key, partner_key, "")
    }

    /// The same with the first and the last name of a person.
    pub fn add_named_partner(&self, partner_key: &str, first: &str, last: &str) -> Partner {
        let mut core = self.core();
        if let Some(partner) = core.books.partner(partner_key) {
            return partner.clone();
        }
        let now_ms = core.settings.now_ms();
        let email = format!("{partner_key}@example.invalid");
        core.books
            .record_partner(partner_key, &email, first, last, now_ms)
    }

    /// Records a customer without the checks a client meets: the partner may be
    /// missing, and then nothing is earned.
    pub fn add_customer(&self, new: NewCustomer) -> Customer {
        self.core().record_customer(new, 0)
    }

    /// Every customer, archived and test ones too.
    #[must_use]
    pub fn customers(&self) -> Vec<Customer> {
        let core = self.core();
        let Core { books, .. } = &*core;
        let halves = [&books.live, &books.test];
        halves
            .iter()
            .flat_map(|half| half.customers.rows().iter().cloned())
            .collect()
    }

    /// Every transaction in the order recorded, live ones first; archived and
    /// test ones too.
    #[must_use]
    pub fn transactions(&self) -> Vec<Transaction> {
        let core = self.core();
        let Core { books, .. } = &*core;
        let halves = [&books.live, &books.test];
        halves
            .iter()
            .flat_map(|half| half.transactions.rows().iter().cloned())
            .collect()
    }

    /// Every reward in the order recorded, archived ones too.
    #[must_use]
    pub fn rewards(&self) -> Vec<Reward> {
        self.core().books.live.rewards.rows().to_vec()
    }

    /// Changes the customer with this external key as somebody else would, be it to
    /// another partner. False when there is none.
    pub fn change_customer(&self, external_key: &str, change: impl FnOnce(&mut Customer)) -> bool {
        let mut core = self.core();
        let now_ms = core.settings.now_ms();
        let who = books::Who::External(external_key.to_owned());
        let found = [Mode::Live, Mode::Test]
            .into_iter()
            .find_map(|mode| Some((mode, core.books.half(mode).find(&who)?)));
        let Some((mode, serial)) = found else {
            return false;
        };
        let half = core.books.half_mut(mode);
        let changed = half.change_customer(serial, |row| {
            change(row);
            row.updated_at = now_ms;
        });
        changed.is_some()
    }

    /// Gives a reward another status, as a person who reviews it would. False when
    /// there is none with this key.
    pub fn review_reward(&self, key: &str, status: &str) -> bool {
        let mut core = self.core();
        let now_ms = core.settings.now_ms();
        let rewards = &mut core.books.live.rewards;
        let serial = rewards.serials(key).first().copied();
        let Some(row) = serial.and_then(|serial| rewards.rows_mut().get_mut(serial)) else {
            return false;
        };
        row.status = status.to_owned();
        row.updated_at = now_ms;
        true
    }

    /// The sum, in cents, of a customer's transactions that are not archived.
    /// A key used by a live and a test customer counts both.
    #[must_use]
    pub fn live_sum(&self, customer_external_key: &str, currency: &str) -> i64 {
        let core = self.core();
        let Core { books, .. } = &*core;
        let rows = [&books.live, &books.test].map(|half| half.transactions.rows());
        rows.into_iter()
            .flatten()
            .filter(|row| {
                !row.archived
                    && row.currency == currency
                    && row.customer_external_key.as_deref() == Some(customer_external_key)
            })
            .fold(0, |sum: i64, row| sum.saturating_add(row.amount))
    }

    /// Archives a transaction as somebody else would, whatever the settings say.
    /// False when no row with this key is left.
    pub fn delete_transaction(&self, key: &str) -> bool {
        let mut core = self.core();
        let now_ms = core.settings.now_ms();
        [Mode::Live, Mode::Test].into_iter().any(|mode| {
            let half = core.books.half_mut(mode);
            half.archive_transaction(key, now_ms).is_some()
        })
    }

    /// Replaces all faults.
    pub fn set_faults(&self, faults: Vec<Fault>) {
        self.core().dice.set(faults);
    }

    /// Changes settings of a running sandbox. `faults` and `seed` are read only
    /// at the start; use `set_faults`.
    pub fn adjust(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.core().settings);
    }

    /// The calls received so far, oldest first; the oldest of very many are lost.
    #[must_use]
    pub fn requests(&self) -> Vec<Call> {
        self.core().calls.kept().cloned().collect()
    }

    /// Forgets all rows, calls and faults; settings stay.
    pub fn reset(&self) {
        self.core().reset();
    }

    /// The one lock. A verb that panicked has changed nothing halfway that a
    /// later call could not live with, so poison is ignored.
    fn core(&self) -> MutexGuard<'_, Core> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn unknown_path(uri: Uri) -> Response {
    Api::of(uri.path()).refuse(&Refusal::unknown("there is no such path"))
}

async fn wrong_method(uri: Uri) -> Response {
    Api::of(uri.path()).refuse(&Refusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this path does not know that method",
    ))
}
