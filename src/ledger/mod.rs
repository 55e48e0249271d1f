//! The ledger: every delivery, payment, transaction and decision, on disk.
//!
//! Each verb of [`Ledger`] is one transaction. No connection, row or SQL leaves
//! this module. It calls nobody: the forwarder carries out what [`Ledger::begin`]
//! hands it and reports back with [`Ledger::settle`].
//!
//! Who is who: a *delivery* is what they told us, a *payment* is what is true,
//! its *transactions* are what the destination believes, an *attempt* is what
//! we did. A *claim* on a payment saves work; it is not what makes a payment
//! safe. That is the intent: the transaction's row is on disk as unknown before
//! the call, and an unknown row allows nothing but a read-back.

pub mod book;
mod sqlite;
pub mod story;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::destination::{NewTransaction, Outcome};
use crate::money::{Currency, Minor};
use crate::movement::Reading;
use crate::plan::Policy;
use crate::time::{Clock, Time};
use book::{SourceTerms, State};
use story::{PaymentView, Story};

/// The terms of every configured source by its name.
pub type AllTerms = BTreeMap<String, SourceTerms>;

/// Why the ledger could not do it. Each variant is a decision of the caller.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Try again: busy, full or stalled. Intake answers 503.
    #[error("the ledger cannot take it now: {0}")]
    Unavailable(String),
    /// Do not try again without a person: not ours, too new, damaged.
    #[error("{0}")]
    Unusable(String),
    /// The request itself cannot be done; says why.
    #[error("{0}")]
    Refused(String),
    /// There is no such payment, delivery or link.
    #[error("{0}")]
    NotFound(String),
}

/// A delivery that verified, on its way into the ledger.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The source it came to.
    pub source: String,
    /// The bytes as received.
    pub body: bytes::Bytes,
    /// When it arrived.
    pub received_at: Time,
    /// Which configured secret matched, from 0.
    pub secret: usize,
    /// What it says, or why it could not be read.
    pub reading: Result<Reading, String>,
}

/// What became of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Recorded {
    /// In one word.
    pub status: Outcome200,
    /// The id to ask `explain` for.
    pub delivery: String,
    /// True where something became due.
    #[serde(skip)]
    pub woke: bool,
}

/// The four ways in which a delivery is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome200 {
    /// It stated something and was recorded.
    Recorded,
    /// It was recorded before.
    Duplicate,
    /// It concerns nobody here; recorded with the reason.
    Ignored,
    /// It could not be read; recorded all the same, to be read again.
    Unreadable,
}

impl Outcome200 {
    /// The word in answers and metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Outcome200::Recorded => "recorded",
            Outcome200::Duplicate => "duplicate",
            Outcome200::Ignored => "ignored",
            Outcome200::Unreadable => "unreadable",
        }
    }
}

/// The right to settle one payment's turn. It saves work; correctness rests on
/// the intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The payment's row.
    pub payment: i64,
    /// The attempt whose holder this is.
    pub attempt: i64,
}

/// A call whose intent is on disk.
#[derive(Clone, Debug)]
pub struct Begun {
    /// Hand it to [`Ledger::settle`].
    pub claim: Claim,
    /// The source, for logs.
    pub source: String,
    /// The payment's id, for logs.
    pub payment_id: String,
    /// After this wall time it may not be sent any more.
    pub deadline: Time,
    /// What to call.
    pub call: Outgoing,
}

/// What a destination's next turn is.
#[derive(Clone, Debug)]
pub struct Turn {
    /// A call to make, if one is due.
    pub begun: Option<Begun>,
    /// True where read-backs are due as well.
    pub read_backs: bool,
}

/// A call to the destination.
#[derive(Clone, Debug)]
pub enum Outgoing {
    /// Create this transaction.
    Post(NewTransaction),
    /// Delete the transaction with this key.
    Delete {
        /// The key.
        key: String,
    },
}

/// A transaction whose outcome is unknown, claimed to be read back.
#[derive(Clone, Debug)]
pub struct Unknown {
    /// Hand it to [`Ledger::settle_read_back`].
    pub claim: Claim,
    /// The transaction's key.
    pub key: String,
    /// The `created_at` that we sent for it.
    pub created_at: Time,
    /// When the call was begun that posted it.
    pub posted_at: Time,
    /// The last moment in which that call could have been sent.
    pub posted_by: Time,
}

/// What a read-back saw of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadBack {
    /// When the listing was begun.
    pub begun_at: Time,
    /// Every row with the key; empty where none was found in a complete
    /// listing. `None` where the listing could not be completed: "could not
    /// tell" is never "it is missing".
    pub found: Option<Vec<Seen>>,
}

/// One row of the destination's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Minor units.
    pub amount: Option<Minor>,
    /// Its currency.
    pub currency: Option<Currency>,
    /// The merchant's customer key, where the list names it.
    pub customer: Option<String>,
    /// True where it was deleted.
    pub archived: bool,
}

/// What became of a payment after a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// False where the claim was no longer ours; the outcome was kept all the same.
    pub ours: bool,
    /// The payment's state now.
    pub state: State,
    /// Why, for a person.
    pub reason: Option<String>,
    /// When it is next due, if it is.
    pub due_at: Option<Time>,
}

/// Which payments are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// In this state.
    pub state: Option<State>,
    /// Of this source.
    pub source: Option<String>,
    /// With this payment id.
    pub payment_id: Option<String>,
    /// For this customer key.
    pub customer: Option<String>,
    /// Money moved at or after.
    pub since: Option<Time>,
    /// Money moved before.
    pub until: Option<Time>,
    /// Rows after this cursor.
    pub cursor: Option<i64>,
}

/// A page of payments.
#[derive(Clone, Debug)]
pub struct Page {
    /// Newest recorded first.
    pub items: Vec<PaymentView>,
    /// Where the next page starts.
    pub next_cursor: Option<i64>,
}

/// Who says something and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// A person's or a token's name.
    pub who: String,
    /// The reason they gave, may be empty.
    pub why: String,
    /// When.
    pub at: Time,
}

/// A person's decision about payments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "decision")]
pub enum Decision {
    /// Try again: failed or unattributed becomes due.
    Retry,
    /// Forward nothing for it.
    Skip {
        /// Also where the destination holds live transactions.
        leave: bool,
    },
    /// Go on in spite of the reason, for the position as it is.
    Accept,
    /// Go on by this policy, for the position as it is.
    Policy {
        /// The policy.
        policy: Policy,
    },
    /// It belongs to this customer.
    Customer {
        /// The customer key.
        customer: String,
    },
    /// It belongs to this customer, money already forwarded included.
    Move {
        /// The customer key.
        customer: String,
    },
}

impl Decision {
    /// The word in SQL and sentences.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Decision::Retry => "retry",
            Decision::Skip { .. } => "skip",
            Decision::Accept => "accept",
            Decision::Policy { .. } => "policy",
            Decision::Customer { .. } => "customer",
            Decision::Move { .. } => "move",
        }
    }
}

/// What a decision did to one payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Decided {
    /// The source.
    pub source: String,
    /// The payment's id.
    pub payment_id: String,
    /// Its state before.
    pub before: State,
    /// Its state now; as before in a dry run or where it was refused.
    pub after: State,
    /// Why it was not done, if it was not.
    pub refused: Option<String>,
}

/// A statement that an external id belongs to a customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLink {
    /// The source.
    pub source: String,
    /// The kind of id, for example `customer`.
    pub kind: String,
    /// The id.
    pub external_id: String,
    /// The customer key.
    pub customer_key: String,
    /// What the payment will be, where the provider does not say.
    pub amount: Option<(Minor, Currency)>,
    /// Replace another key that a person or the API gave before.
    pub replace: bool,
    /// Also move money already forwarded.
    pub move_forwarded: bool,
}

/// A link as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LinkView {
    /// The source.
    pub source: String,
    /// The kind of id.
    pub kind: String,
    /// The id.
    pub external_id: String,
    /// The customer key.
    pub customer_key: Option<String>,
    /// Minor units, where stated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<Minor>,
    /// The currency of `amount`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// Who said it.
    pub said_by: String,
    /// When.
    pub said_at: String,
}

/// What a link did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linked {
    /// False where it was already so.
    pub changed: bool,
    /// How many payments were looked at again.
    pub payments: usize,
    /// The link as stored.
    pub link: LinkView,
}

/// A refund that no webhook tells of, or where a reversal belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    /// A refund of a payment.
    Refund {
        /// Its id, so that saying it twice counts once.
        refund_id: String,
        /// Minor units in the payment's currency, above 0.
        amount: Minor,
    },
    /// A reversal belongs to this payment.
    Attach {
        /// The refund's or dispute's id.
        reversal_id: String,
    },
}

/// Figures for metrics and the running summary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Payments by state.
    pub states: BTreeMap<String, i64>,
    /// The oldest due time by destination.
    pub oldest_due: BTreeMap<String, Time>,
    /// The newest delivery by source.
    pub last_delivery: BTreeMap<String, Time>,
    /// Deliveries by source and status.
    pub deliveries: BTreeMap<(String, String), i64>,
    /// By provider and currency.
    pub books: Vec<BooksLine>,
    /// What the destination asked of us, by its name.
    pub paused_until: BTreeMap<String, Time>,
    /// Why a destination is stopped, by its name.
    pub status: BTreeMap<String, String>,
}

/// The sums of one provider and currency, over payments that are not ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BooksLine {
    /// The provider.
    pub provider: String,
    /// The currency.
    pub currency: Currency,
    /// How many payments.
    pub payments: i64,
    /// Minor units.
    pub gross: Minor,
    /// Minor units.
    pub reversed: Minor,
    /// Minor units.
    pub forwarded: Minor,
}

/// A provider's customer id to be written to the destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The customer key.
    pub customer_key: String,
    /// The provider's id.
    pub provider_key: String,
}

/// What came of a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Written, or it stood there already.
    Done,
    /// The destination has another id there; it is left as it is.
    Kept,
    /// Refused for good.
    Refused,
    /// Not now; ask again later.
    Later,
}

/// What the process found out about a destination as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Its name.
    pub destination: String,
    /// Why it is stopped or its circuit open; `None` while all is well.
    pub status: Option<String>,
}

/// The ledger of a running program.
#[derive(Clone)]
pub enum Ledger {
    /// One file.
    Sqlite(Arc<sqlite::Store>),
}

/// How a ledger is opened.
#[derive(Clone, Debug)]
pub struct Opening {
    /// `sqlite:PATH`.
    pub url: String,
    /// The terms of every source.
    pub terms: AllTerms,
    /// The clock.
    pub clock: Clock,
    /// True for `serve`: takes the lock that only one may hold and frees the
    /// claims that a crash left behind.
    pub serve: bool,
}

/// The file of a `sqlite:` URL.
///
/// # Errors
/// A sentence, where it is no such URL.
pub fn sqlite_path(url: &str) -> Result<PathBuf, LedgerError> {
    match url.strip_prefix("sqlite:") {
        Some(path) if !path.is_empty() => Ok(Path::new(path).to_path_buf()),
        _ => Err(LedgerError::Unusable(
            "ledger.url must be sqlite:PATH".to_owned(),
        )),
    }
}

impl Ledger {
    /// Opens the ledger, creates or migrates it.
    ///
    /// # Errors
    /// [`LedgerError::Unusable`] with one clear line.
    pub fn open(opening: Opening) -> Result<Ledger, LedgerError> {
        Ok(Ledger::Sqlite(Arc::new(sqlite::Store::open(opening)?)))
    }

    fn store(&self) -> &sqlite::Store {
        let Ledger::Sqlite(store) = self;
        store
    }

    /// Records a delivery with all it states, or finds that it was recorded
    /// before. When this returns, it is on disk.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]: nothing was recorded, answer 503.
    pub async fn record(&self, delivery: Delivery) -> Result<Recorded, LedgerError> {
        self.store().record(delivery).await
    }

    /// Claims one payment of `destination` that is due, plans on the facts as
    /// they are now and puts the intent on disk. `backfill_first` turns the
    /// order of the lanes round. Says also whether read-backs are due.
    ///
    /// # Errors
    /// As the store's.
    pub async fn begin(
        &self,
        destination: &str,
        backfill_first: bool,
    ) -> Result<Turn, LedgerError> {
        self.store().begin(destination, backfill_first).await
    }

    /// Writes down how a call ended and where its payment stands now. `dice`
    /// spreads retries.
    ///
    /// # Errors
    /// As the store's.
    pub async fn settle(
        &self,
        claim: Claim,
        outcome: Outcome,
        dice: u64,
    ) -> Result<Settled, LedgerError> {
        self.store().settle(claim, outcome, dice).await
    }

    /// Claims up to `limit` transactions of `destination` whose outcome is
    /// unknown and whose read-back is due.
    ///
    /// # Errors
    /// As the store's.
    pub async fn unknowns(
        &self,
        destination: &str,
        limit: usize,
    ) -> Result<Vec<Unknown>, LedgerError> {
        self.store().unknowns(destination, limit).await
    }

    /// Writes down what read-backs saw.
    ///
    /// # Errors
    /// As the store's.
    pub async fn settle_read_back(
        &self,
        seen: Vec<(Claim, ReadBack)>,
    ) -> Result<Vec<Settled>, LedgerError> {
        self.store().settle_read_back(seen).await
    }

    /// Adds a link by a person's or the API's word and releases what waited for it.
    ///
    /// # Errors
    /// [`LedgerError::Refused`] where the id was given another key before.
    pub async fn link(&self, link: NewLink, word: Word) -> Result<Linked, LedgerError> {
        self.store().link(link, word).await
    }

    /// Takes a link away. Answers how many payments were looked at again.
    ///
    /// # Errors
    /// [`LedgerError::NotFound`] where there is none.
    pub async fn unlink(
        &self,
        source: &str,
        kind: &str,
        external_id: &str,
        word: Word,
    ) -> Result<usize, LedgerError> {
        self.store().unlink(source, kind, external_id, word).await
    }

    /// The links of an external id, the one that counts first.
    ///
    /// # Errors
    /// As the store's.
    pub async fn links(
        &self,
        source: &str,
        kind: &str,
        external_id: &str,
    ) -> Result<Vec<LinkView>, LedgerError> {
        self.store().links(source, kind, external_id).await
    }

    /// Writes down a decision about the payments that `filter` means, a page at
    /// a time so that intake never waits long; go on with the cursor in the answer.
    ///
    /// # Errors
    /// As the store's; what was refused for one payment stands in its line.
    pub async fn decide(
        &self,
        filter: Filter,
        decision: Decision,
        word: Word,
        dry_run: bool,
    ) -> Result<(Vec<Decided>, Option<i64>), LedgerError> {
        self.store().decide(filter, decision, word, dry_run).await
    }

    /// States a movement that no delivery told of.
    ///
    /// # Errors
    /// [`LedgerError::NotFound`] or [`LedgerError::Refused`] with the reason.
    pub async fn state(
        &self,
        source: &str,
        payment_id: &str,
        statement: Statement,
        word: Word,
    ) -> Result<Decided, LedgerError> {
        self.store()
            .state(source, payment_id, statement, word)
            .await
    }

    /// A page of payments, newest recorded first.
    ///
    /// # Errors
    /// As the store's.
    pub async fn payments(&self, filter: Filter, limit: usize) -> Result<Page, LedgerError> {
        self.store().payments(filter, limit).await
    }

    /// The whole story of one payment, by its id, one of its aliases or the id
    /// of a delivery.
    ///
    /// # Errors
    /// [`LedgerError::NotFound`].
    pub async fn story(&self, source: &str, id: &str) -> Result<Story, LedgerError> {
        self.store().story(source, id).await
    }

    /// Figures for metrics and summaries.
    ///
    /// # Errors
    /// As the store's.
    pub async fn summary(&self) -> Result<Summary, LedgerError> {
        self.store().summary().await
    }

    /// The next provider's customer id to be written to `destination`.
    ///
    /// # Errors
    /// As the store's.
    pub async fn binding(&self, destination: &str) -> Result<Option<Binding>, LedgerError> {
        self.store().binding(destination).await
    }

    /// Writes down what came of a binding.
    ///
    /// # Errors
    /// As the store's.
    pub async fn bound(
        &self,
        destination: &str,
        binding: Binding,
        bound: Bound,
    ) -> Result<(), LedgerError> {
        self.store().bound(destination, binding, bound).await
    }

    /// Writes down how a destination fares; reads until when it asked to be
    /// left alone.
    ///
    /// # Errors
    /// As the store's.
    pub async fn note(&self, note: Note) -> Result<Time, LedgerError> {
        self.store().note(note).await
    }

    /// True while deliveries can be recorded; otherwise the reason.
    ///
    /// # Errors
    /// Why intake is closed.
    pub fn health(&self) -> Result<(), String> {
        self.store().health()
    }

    /// Waits until everything handed in is on disk, then closes the writer.
    pub async fn close(&self) {
        self.store().close().await;
    }

    /// Since when the payments of a source are what `word` says (charges or
    /// invoices); written down the first time and at each change.
    ///
    /// # Errors
    /// As the store's.
    pub fn switched_at(
        &self,
        source: &str,
        provider: &str,
        word: &str,
    ) -> Result<Option<Time>, LedgerError> {
        self.store().switched_at(source, provider, word)
    }
}
