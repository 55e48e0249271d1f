//! What the caller decides about a sandbox before it runs: its clock, its keys,
//! and the answers to questions the real API's documentation leaves open. It is
//! not the product's configuration and is read from no file.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::fault::Fault;

/// Reads the time in epoch milliseconds. The caller passes it, so that this
/// module never touches the machine's clock and tests may stand still.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Test pairs are told from live pairs by this prefix of the public key.
pub(super) const TEST_KEY_PREFIX: &str = "pk_test";

/// Everything that shapes one sandbox.
#[derive(Clone)]
pub struct Settings {
    /// Epoch milliseconds, now.
    pub clock: Clock,
    /// The pairs that are let in. Empty: any pair with two non-empty halves.
    pub keys: Vec<KeyPair>,
    /// What is done with a `created_at` in a posted transaction.
    pub created_at: CreatedAt,
    /// What is done with a transaction key that was used before.
    pub duplicates: Duplicates,
    /// Refuse every `DELETE` of a transaction with 400, as if it were invoiced.
    pub refuse_deletes: bool,
    /// Make an unknown customer on the first transaction that names it by
    /// external key or email. Off by default: the real API answers 404.
    pub auto_customers: bool,
    /// What partners earn, in percent of a transaction, where that is not
    /// [`COMMISSION_PERCENT`](super::COMMISSION_PERCENT): by the partner's own key.
    pub commissions: BTreeMap<String, i64>,
    /// The faults to begin with. `Sandbox::reset` switches faults off.
    pub faults: Vec<Fault>,
    /// Seeds the dice of the faults: the same calls in the same order with the
    /// same seed meet the same faults.
    pub seed: u64,
}

impl Settings {
    /// The strict defaults: any key pair, no faults, a repeated key makes a
    /// second row, unknown customers are refused.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            keys: Vec::new(),
            created_at: CreatedAt::default(),
            duplicates: Duplicates::default(),
            refuse_deletes: false,
            auto_customers: false,
            commissions: BTreeMap::new(),
            faults: Vec::new(),
            seed: 0,
        }
    }

    pub(super) fn now_ms(&self) -> i64 {
        (self.clock)()
    }
}

/// One public and secret key, as sent in HTTP Basic authentication.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyPair {
    /// The user name. A pair whose public key starts with `pk_test` works on
    /// test customers and test transactions only.
    pub public: String,
    /// The password.
    pub secret: String,
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair")
            .field("public", &self.public)
            .field("secret", &"…")
            .finish()
    }
}

/// Whether the posted `created_at` counts. The field's name is inferred, not
/// documented, so a client must be right under both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CreatedAt {
    /// The row is listed under the time that was sent.
    #[default]
    Honour,
    /// The field is accepted and ignored: rows carry the time they arrived.
    ServerTime,
}

/// What a second transaction with a known key meets. No document says, so a
/// client must be right under all four. The key of a deleted transaction stays
/// known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Duplicates {
    /// A second row is recorded, and rewarded, beside the first.
    #[default]
    SecondRow,
    /// 409.
    Conflict409,
    /// 400 with a message that says the key already exists.
    Refused400,
    /// 200 with the row that is already there; nothing is recorded.
    SameRow,
}
