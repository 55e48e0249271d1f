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
mod closed;
mod compare;
pub mod copying;
mod delivery;
pub mod export;
mod figures;
pub mod imports;
mod inquiry;
pub mod list;
pub mod mirror;
mod packing;
mod people;
mod postgres;
mod reads;
mod reason;
mod revenue;
pub mod rows;
mod sql;
mod sqlite;
mod state;
mod store;
pub mod story;
mod texts;
mod turn;
pub mod unattributed;
pub mod what_if;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use compare::{Comparison, Difference, Differs, Unlisted};
pub use delivery::{Delivery, Recorded, Taken};
pub use figures::{
    BooksLine, DestinationFigures, OPEN_MOST, Overview, SourceFigures, Summary, Trends,
};
pub use inquiry::{Answer, Asking};
pub use list::{Cursor, Filter, Page, Search};
pub use people::{Decided, Decision, LinkPlace, LinkView, Linked, NewLink, Statement, Word};
pub use turn::{
    Ask, BACKFILL_EVERY, Begun, Binding, Bound, Claim, Note, Outgoing, ReadBack, Seen, Settled,
    Turn, Unknown,
};

use crate::day::Zone;
use crate::destination::{self, Outcome};
use crate::time::{Clock, Time};
use book::SourceTerms;

/// The terms of every configured source by its name.
pub type AllTerms = BTreeMap<String, SourceTerms>;

/// Why the ledger could not do it. Each variant is a decision of the caller.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Try again: busy, full or stalled. Intake answers 503.
    #[error("the ledger cannot take it now: {0}")]
    Unavailable(String),
    /// Do not try again without a person: not ours, too new.
    #[error("{0}")]
    Unusable(String),
    /// A page of the file is not what was written. Nothing more is taken until
    /// a person has restored a backup and started again: 503.
    #[error("the ledger's file is damaged or is no ledger; restore a backup and start again")]
    Damaged,
    /// The request itself cannot be done; says why.
    #[error("{0}")]
    Refused(String),
    /// There is no such payment, delivery or link.
    #[error("{0}")]
    NotFound(String),
}

impl LedgerError {
    /// Of who hands something in that nobody takes any more.
    fn nothing_written() -> LedgerError {
        LedgerError::Unavailable("nothing was written".to_owned())
    }
}

/// The ledger of a running program.
#[derive(Clone)]
pub struct Ledger(Arc<store::Store>);

/// A ledger to try something on; it goes when this does.
pub struct Scratch {
    /// The copy.
    pub ledger: Ledger,
    _folder: tempfile::TempDir,
}

/// Why nothing is forwarded by a copy of a ledger, for a person.
#[must_use]
pub fn copied_sentence(copied_at: Time) -> String {
    format!(
        "this ledger is a copy made at {copied_at}: nothing is forwarded until \
         \"tributary reconcile --adopt\" has read the destination's transactions back in"
    )
}

/// How a ledger is opened.
#[derive(Clone, Debug)]
pub struct Opening {
    /// `sqlite:PATH`.
    pub url: String,
    /// The terms of every source.
    pub terms: AllTerms,
    /// Where its days begin and end; a ledger keeps that of its first opening.
    pub report_zone: Zone,
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
        Ok(Ledger(Arc::new(store::Store::open(opening)?)))
    }

    fn store(&self) -> &store::Store {
        &self.0
    }

    /// Records a delivery with all it states, or finds that it was recorded
    /// before. When this returns, it is on disk.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]: nothing was recorded, answer 503.
    pub async fn record(&self, delivery: Delivery) -> Result<Recorded, LedgerError> {
        let recorded = self.record_all(vec![delivery]).await.pop();
        recorded.unwrap_or_else(|| Err(LedgerError::nothing_written()))
    }

    /// The same of several that came at once, in one commit; the answers are in their
    /// order. Those of different callers share a commit as well.
    pub async fn record_all(
        &self,
        deliveries: Vec<Delivery>,
    ) -> Vec<Result<Recorded, LedgerError>> {
        self.store().record(deliveries).await
    }

    /// Records rows of a file as `feed` hands them out, until it has none at hand
    /// or others have waited long enough, and answers what became of each. A row
    /// that cannot be recorded is rejected and stops no other.
    ///
    /// # Errors
    /// As the store's: then none of the rows taken is recorded.
    pub async fn record_rows(
        &self,
        from: Arc<rows::RowsFrom>,
        feed: rows::Feed,
    ) -> Result<rows::RowsTaken, LedgerError> {
        self.store().record_rows(from, feed).await
    }

    /// A copy of the ledger as it is now, to try something on: nobody waits while
    /// it is made, and nothing done to it comes back.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`] where there is no room beside the ledger.
    pub async fn scratch(&self) -> Result<Scratch, LedgerError> {
        self.store().scratch().await
    }

    /// Gives the ledger of a command that imports more memory to work with.
    ///
    /// # Errors
    /// As the store's.
    pub async fn prepare_for_rows(&self) -> Result<(), LedgerError> {
        self.store().prepare_for_rows().await
    }

    /// Claims as many payments of `destination` that are due as are asked for, plans on
    /// the facts as they are now and puts the intents on disk. Says also whether
    /// read-backs are due.
    ///
    /// # Errors
    /// As the store's; then nothing is claimed.
    pub async fn begin(&self, destination: &str, ask: Ask) -> Result<Turn, LedgerError> {
        self.store().begin(destination, ask).await
    }

    /// Whether [`Ledger::begin`] might find something to do now.
    ///
    /// # Errors
    /// As the store's.
    pub async fn has_work(&self, destination: &str) -> Result<bool, LedgerError> {
        self.store().has_work(destination).await
    }

    /// Whether others may serve on the same ledger.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.store().is_shared()
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

    /// Hands out the next question to the API of a source's provider that is due;
    /// it comes round again where no answer is brought back.
    ///
    /// # Errors
    /// As the store's.
    pub async fn ask(&self, source: &str) -> Result<Option<Asking>, LedgerError> {
        self.store().ask(source).await
    }

    /// Writes down what came of a question; an answer is recorded like a delivery.
    /// True where a payment became due.
    ///
    /// # Errors
    /// As the store's.
    pub async fn answer(&self, asking: Asking, answer: Answer) -> Result<bool, LedgerError> {
        self.store().answer(asking, answer).await
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
    ) -> Result<(Vec<Decided>, Option<Cursor>), LedgerError> {
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

    /// Puts a file that arrived at the end of the list; answers its number.
    ///
    /// # Errors
    /// As the store's.
    pub async fn add_import(&self, new: imports::NewImport) -> Result<i64, LedgerError> {
        self.store().add_import(new).await
    }

    /// The first file of the list that has not ended and `is_here` by its name in the
    /// folder, which runs from here on.
    ///
    /// # Errors
    /// As the store's.
    pub async fn next_import(
        &self,
        is_here: impl Fn(&str) -> bool + Send + 'static,
    ) -> Result<Option<imports::Arrived>, LedgerError> {
        self.store().next_import(is_here).await
    }

    /// Writes down what came of a file, or why it failed.
    ///
    /// # Errors
    /// As the store's.
    pub async fn end_import(
        &self,
        import: i64,
        came: Option<String>,
        failed: Option<String>,
    ) -> Result<(), LedgerError> {
        self.store().end_import(import, came, failed).await
    }

    /// Copies the ledger into `file` while it is in use. The copy is marked: its
    /// destinations are called no more until their rows were adopted.
    ///
    /// # Errors
    /// [`LedgerError::Refused`] with the file and the reason; then there is no file.
    pub async fn back_up(&self, file: &Path) -> Result<(), LedgerError> {
        self.store().back_up(file).await
    }

    /// When this copy of a ledger was made, where `destination` is not called
    /// because its rows were not adopted yet.
    ///
    /// # Errors
    /// As the store's.
    pub async fn copied_at(&self, destination: &str) -> Result<Option<Time>, LedgerError> {
        self.store().copied_at(destination).await
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

    /// Writes down how a destination fares.
    ///
    /// # Errors
    /// As the store's.
    pub async fn note(&self, note: Note) -> Result<(), LedgerError> {
        self.store().note(note).await
    }

    /// Writes down until when a destination asked to be left alone; an earlier time
    /// than is known changes nothing.
    ///
    /// # Errors
    /// As the store's.
    pub async fn pause(&self, destination: &str, until: Time) -> Result<(), LedgerError> {
        self.store().pause(destination, until).await
    }

    /// Until when a destination asked any process to be left alone, where that is not
    /// over.
    ///
    /// # Errors
    /// As the store's.
    pub async fn paused_until(&self, destination: &str) -> Result<Option<Time>, LedgerError> {
        self.store().paused_until(destination).await
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

impl destination::Budget for Ledger {
    fn slot<'a>(&'a self, destination: &'a str, rate: destination::Rate) -> destination::Asked<'a> {
        Box::pin(async move {
            let slot = self.store().slot(destination, rate).await;
            slot.map_err(|error| error.to_string())
        })
    }
}
