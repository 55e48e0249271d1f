//! A destination: one account of a PartnerStack-style API, and what its answers
//! mean in our own words.
//!
//! Who is who: [`Destination`] makes single calls; [`Outcome`] says what one
//! call proved; [`Breaker`] says whether to call at all; [`delay_ms`] says when a
//! payment comes round again; [`transaction_key`] names a transaction.
//!
//! What it is not: it never repeats a call, keeps nothing on disk and decides
//! nothing about a payment. Only the ledger's intents keep money from being paid
//! twice; this module's part is to never call an unknown answer anything else.

mod answer;
mod backoff;
mod breaker;
mod handover;
mod key;
mod partnerstack;
mod rate;
mod roster;
#[cfg(test)]
mod tests;
mod transaction;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use backoff::delay_ms;
pub use breaker::{Breaker, Gate};
pub use key::{name_in_key, read_key, transaction_key};
pub use rate::{Asked, Budget, Rate, Slot};
pub use roster::{List, ListedCustomer, ListedPartner, ListedReward, Roster, RosterRows};
pub use transaction::{NewTransaction, fits};

use crate::call;
use crate::money::{Currency, Minor};
use crate::time::{Clock, Reading, Time};

/// Which API a destination's posts use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Api {
    /// `POST /v1/customers/{customer}/transactions`. Everything but the post
    /// still uses v2: v1 documents no list and no delete.
    V1,
    /// `POST /api/v2/transactions`.
    #[default]
    V2,
}

/// One configured destination.
#[derive(Clone)]
pub struct Settings {
    /// The name in the configuration, for messages.
    pub name: String,
    /// Which API its posts use.
    pub api: Api,
    /// Where it is, without `/api/v2` or `/v1`; https unless on loopback.
    pub base_url: String,
    /// The user name of HTTP Basic.
    pub public_key: SecretString,
    /// The password of HTTP Basic.
    pub secret_key: SecretString,
    /// Calls per second, on average. PartnerStack's own limit is not public.
    pub requests_per_second: NonZeroU32,
    /// Calls that may be made at once after a pause.
    pub burst: NonZeroU32,
    /// Calls under way at once; at least 1.
    pub max_in_flight: usize,
    /// The time limit of one whole call, in milliseconds.
    pub timeout_ms: i64,
    /// Whether v2 can be called for lists, deletes and customers.
    pub v2_available: bool,
}

/// Nothing but the name and the shape: the rest is secret, or a URL in which
/// somebody may have written a secret.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("name", &self.name)
            .field("api", &self.api)
            .finish_non_exhaustive()
    }
}

/// A destination that cannot be opened as configured. Never quotes the value.
#[derive(Debug, thiserror::Error)]
#[error("destination \"{destination}\": {key} {why}")]
pub struct SettingsError {
    destination: String,
    key: &'static str,
    why: &'static str,
}

impl SettingsError {
    /// The configuration key that is wrong.
    #[must_use]
    pub fn key(&self) -> &'static str {
        self.key
    }
}

/// The moment after which a write must not leave, on both clocks: a suspended
/// process sees it on the boot clock, a restored machine on the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// The wall time.
    pub wall: Time,
    /// Milliseconds since boot.
    pub boot_ms: i64,
}

impl Deadline {
    /// Whether either clock has reached the deadline.
    #[must_use]
    pub fn passed(&self, now: Reading) -> bool {
        now.wall >= self.wall || now.boot_ms >= self.boot_ms
    }
}

/// What one call proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done: the answer shows our key (post), or says so (delete, patch).
    Accepted,
    /// The destination holds our key, but with another amount, currency or
    /// customer. A person must look.
    Mismatch {
        /// A sentence saying what differs.
        detail: String,
    },
    /// Read and refused: sending the same again is pointless.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The destination's reason, cut and masked.
        message: String,
    },
    /// The destination does not know the customer (yet).
    CustomerUnknown,
    /// A delete found nothing.
    Gone,
    /// The key pair is not accepted: the whole destination stops.
    WrongCredentials {
        /// The HTTP status.
        status: u16,
    },
    /// The address is wrong (a redirect, or a 404 on a list, which always
    /// exists): the whole destination stops. An answer of another server proves
    /// nothing about a post, so the intent stays unknown.
    Misdirected {
        /// The HTTP status.
        status: u16,
    },
    /// Not now, and nothing was done.
    Later {
        /// When the destination wants to be asked again.
        retry_after: Option<Time>,
        /// The HTTP status.
        status: u16,
    },
    /// Nobody can tell: only a complete read-back may say "it is missing".
    Unknown {
        /// A fixed sentence.
        why: &'static str,
    },
    /// The destination says that it has a transaction of our key already. Whether
    /// that is ours, a read-back tells; where no list shows one, nobody can.
    Repeated,
    /// Provably nothing was written.
    NotSent {
        /// A fixed sentence.
        why: &'static str,
    },
}

impl Outcome {
    /// What a destination answers that asks to be left alone until then.
    #[must_use]
    pub fn paused_until(until: Time) -> Outcome {
        Outcome::Later {
            retry_after: Some(until),
            status: 429,
        }
    }

    /// The name in metrics and in the ledger.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Outcome::Accepted => "accepted",
            Outcome::Mismatch { .. } => "mismatch",
            Outcome::Refused { .. } => "refused",
            Outcome::CustomerUnknown => "customer_unknown",
            Outcome::Gone => "gone",
            Outcome::WrongCredentials { .. } => "wrong_credentials",
            Outcome::Misdirected { .. } => "misdirected",
            Outcome::Later { .. } => "later",
            Outcome::Unknown { .. } => "unknown",
            Outcome::Repeated => "repeated",
            Outcome::NotSent { .. } => "not_sent",
        }
    }

    /// Whether the write may or may not have happened, so that only a read-back
    /// may follow.
    #[must_use]
    pub fn leaves_doubt(&self) -> bool {
        matches!(
            self,
            Outcome::Unknown { .. } | Outcome::Misdirected { .. } | Outcome::Repeated
        )
    }
}

/// A span of the destination's `created_at`. Whether the ends belong to it is not
/// documented, so leave a second of room on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// `min_created`.
    pub from: Time,
    /// `max_created`.
    pub to: Time,
}

/// A transaction as the destination lists it. Only the key is certain to be
/// there; `None` is "not shown, or not readable", never zero.
#[derive(Clone, PartialEq, Eq)]
pub struct Row {
    /// The transaction's key: ours, or one made by the destination.
    pub key: String,
    /// In minor units.
    pub amount: Option<Minor>,
    /// The currency of `amount`.
    pub currency: Option<Currency>,
    /// The customer's external key, which is what we post under.
    pub customer_external_key: Option<String>,
    /// The customer's email address.
    pub customer_email: Option<String>,
    /// The destination's own key of the customer.
    pub customer_key: Option<String>,
    /// The payment that our metadata names, where the list shows it. It may be
    /// cut short.
    pub payment_id: Option<String>,
    /// When the transaction was, as far as the destination says.
    pub created_at: Option<Time>,
    /// Whether it was deleted or archived: it counts no more.
    pub archived: bool,
}

/// Without the customer, whose key may be an email address.
impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row")
            .field("key", &self.key)
            .field("amount", &self.amount)
            .field("currency", &self.currency)
            .field("created_at", &self.created_at)
            .field("archived", &self.archived)
            .finish_non_exhaustive()
    }
}

/// One page of a list, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The rows.
    pub rows: Vec<Row>,
    /// Where the next page starts; `None` at the end of a complete list.
    pub next: Option<String>,
}

/// What the destination says about one customer key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CustomerAnswer {
    /// It is there.
    Found {
        /// The payment provider's id of the customer, if one is bound.
        provider_key: Option<String>,
        /// The partner who earned the customer.
        partner_key: Option<String>,
    },
    /// It is not there, or not yet: new customers become readable minutes later.
    Missing,
}

/// What the check of the credentials found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Who {
    /// Whether the answer proves that the key pair is accepted. Without v2 an
    /// answer can only prove that it was not turned away.
    pub proven: bool,
}

/// One account of a PartnerStack-style API.
///
/// Its calls take no permit by themselves. Whoever calls first takes a
/// [`slot`](Destination::slot), then a [`permit`](Destination::permit), and then
/// claims work, so that a claim never waits for a rate limit. Every call counts,
/// reads and probes included.
pub struct Destination {
    settings: Settings,
    base: String,
    client: reqwest::Client,
    clock: Clock,
    pace: rate::Pace,
    slots: Arc<Semaphore>,
    /// What must never be repeated from a message: both keys and the pair as it
    /// stands in the Authorization header.
    masks: [SecretString; 3],
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.fmt(f)
    }
}

impl Destination {
    /// Opens a destination; calls nothing.
    ///
    /// # Errors
    /// Which setting is wrong and why, without its value.
    pub fn new(settings: Settings, clock: Clock) -> Result<Destination, SettingsError> {
        let wrong = |key, why| SettingsError {
            destination: settings.name.clone(),
            key,
            why,
        };
        let (base, loopback) =
            partnerstack::base(&settings.base_url).map_err(|why| wrong("base_url", why))?;
        for (key, secret) in [
            ("public_key", &settings.public_key),
            ("secret_key", &settings.secret_key),
        ] {
            if secret.expose_secret().is_empty() {
                return Err(wrong(key, "is empty"));
            }
        }
        if settings.max_in_flight == 0 || settings.max_in_flight > Semaphore::MAX_PERMITS {
            return Err(wrong("max_in_flight", "must be at least 1, and sane"));
        }
        if settings.timeout_ms <= 0 {
            return Err(wrong("timeout_seconds", "must be more than nothing"));
        }
        let client = call::client(settings.timeout_ms, loopback)
            .map_err(|_| wrong("base_url", "cannot be called: TLS could not be set up"))?;
        let pace = rate::Pace::own(Rate {
            per_second: settings.requests_per_second,
            burst: settings.burst,
        });
        Ok(Destination {
            base,
            client,
            clock,
            pace,
            slots: Arc::new(Semaphore::new(settings.max_in_flight)),
            masks: masks(&settings),
            settings,
        })
    }

    /// The name in the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Whether lists, deletes and customers can be asked for. Ask this first:
    /// otherwise those calls are [`Outcome::NotSent`], which a breaker counts.
    #[must_use]
    pub fn v2_available(&self) -> bool {
        self.settings.v2_available
    }

    /// The same with a rate that others share.
    #[must_use]
    pub fn sharing(self, budget: Arc<dyn Budget>) -> Destination {
        let pace = self.pace.shared(budget);
        Destination { pace, ..self }
    }

    /// Whether others share its rate, so that a permit is not to be kept for later.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.pace.is_shared()
    }

    /// Waits until one more call keeps the rate. A permit cannot be given back:
    /// take it last.
    ///
    /// # Errors
    /// [`Outcome::Later`] where others who share the rate were asked for a pause.
    pub async fn permit(&self) -> Result<(), Outcome> {
        let permit = self.pace.permit(&self.settings.name).await;
        permit.map_err(Outcome::paused_until)
    }

    /// A slot in flight and a permit, where neither has to be waited for.
    #[must_use]
    pub fn room_at_once(&self) -> Option<OwnedSemaphorePermit> {
        let slot = Arc::clone(&self.slots).try_acquire_owned().ok()?;
        self.pace.permit_at_once().then_some(slot)
    }

    /// Waits until one more call may be under way; hold the slot until it ended.
    pub async fn slot(&self) -> OwnedSemaphorePermit {
        match Arc::clone(&self.slots).acquire_owned().await {
            Ok(slot) => slot,
            // Only a closed semaphore refuses, and nothing closes this one.
            Err(_) => std::future::pending().await,
        }
    }
}

/// The pair first: it may hold the keys' own text.
fn masks(settings: &Settings) -> [SecretString; 3] {
    let public = settings.public_key.expose_secret();
    let secret = settings.secret_key.expose_secret();
    let pair = STANDARD.encode(format!("{public}:{secret}"));
    [pair.into(), secret.into(), public.into()]
}
