//! The verbs, once for both stores: a file of SQLite or a database of PostgreSQL.
//!
//! One writer thread puts all waiting commands into one commit, a savepoint
//! each, so that many deliveries share one sync to disk; readers have
//! connections of their own. What was answered with 200 survives a power cut.
//! Where the stores differ is said in `home` and `tx`, and what is only of one of them
//! stands in `ledger::sqlite` and `ledger::postgres`. This is not a pool of general
//! connections: every statement belongs to a verb.

mod adopt;
mod arrival;
mod batch;
mod begin;
mod bodies;
mod carry;
mod chosen;
mod command;
mod commission;
mod compare;
mod condense;
mod copy;
mod customers;
mod days;
mod export;
mod few;
mod home;
mod imports;
mod inquire;
mod insert;
mod links;
mod list;
mod mirror;
mod mirrored;
mod moving;
mod newcomers;
mod opening;
mod payment;
mod people;
mod presence;
mod presume;
mod rate;
mod read;
mod readback;
mod record;
mod references;
mod report;
mod rewards;
mod roll_up;
mod rows;
mod rows_told;
mod same_money;
mod scratch;
mod search;
mod segment;
mod settle;
mod sheet;
mod shelf;
mod stand;
mod story;
mod strangers;
mod tables;
mod tally;
mod together;
mod trend;
mod tx;
mod unattributed;
mod unpriced;
mod values;
mod what_if;
mod writer;

use std::fs::File;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use super::sqlite::schema;
use super::{AllTerms, LedgerError, Opening};
use crate::day::Zone;
use crate::time::{Clock, Time};
use command::Sort;
use home::{Home, Link};
pub(super) use moving::{copy as copy_between, give_up as give_up_move};
use presence::Presence;
use tokio::sync::Semaphore;
use tx::Tx;
use writer::Writer;

/// Connections to a server that read at a time: a few of the hundred that it usually
/// has for all replicas.
const READERS_MOST: usize = 8;

/// Connections kept for reading. Pages and commands read little; more would
/// only hold more memory.
const READERS_KEPT: usize = 4;

/// The store behind [`super::Ledger`].
pub struct Store {
    writer: Writer,
    readers: Mutex<Vec<Link>>,
    /// How many may read at a time: a server has so many connections and no more.
    reading: Semaphore,
    home: Home,
    shared: Arc<Shared>,
    /// The connection by which slots of a shared rate are taken.
    pacer: Mutex<Option<Link>>,
    /// Held while the days of another zone are found from all payments.
    other_zones: tokio::sync::Mutex<()>,
    /// When an import last left the file to others, on the clock since the start.
    left_at_ms: AtomicI64,
    /// Says that this process serves, where others may serve as well.
    presence: Option<Presence>,
    /// Held while this process serves; the system lets it go at any end.
    _lock: Option<File>,
}

/// What every transaction sees.
struct Shared {
    terms: AllTerms,
    /// Where the ledger's days begin and end.
    zone: Zone,
    clock: Clock,
    /// True for the one process that serves.
    serving: bool,
    /// Why intake is closed, if it is.
    trouble: Mutex<Option<String>>,
    /// Somebody read a page that is not what was written; it stays so.
    damaged: AtomicBool,
    /// Days whose segment could not be read, until they are made anew.
    broken: Mutex<Vec<i64>>,
}

impl Shared {
    /// A fault that a reader or the writer met. What is damaged is told at once,
    /// because nothing that is written on top of it could be believed.
    fn met(&self, error: &LedgerError) {
        if matches!(error, LedgerError::Damaged) && !self.damaged.swap(true, Ordering::SeqCst) {
            let why = error.to_string();
            tracing::error!(why, "the ledger is closed; intake answers 503");
            *lock(&self.trouble) = Some(why);
        }
    }

    /// Segments that a reader could not read: what they say was read elsewhere.
    fn met_broken(&self, days: Vec<i64>) {
        if !days.is_empty() {
            tracing::warn!(
                ?days,
                "segments of these days cannot be read; their rows are"
            );
            lock(&self.broken).extend(days);
        }
    }

    fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::SeqCst)
    }
}

impl Store {
    /// Opens, creates or migrates the ledger.
    ///
    /// # Errors
    /// One clear line.
    pub fn open(opening: Opening) -> Result<Store, LedgerError> {
        match Home::of(&opening.url)? {
            Home::File(path) => Store::open_at(Home::File(path), opening),
            server => home::aside(|| Store::open_at(server, opening)),
        }
    }

    fn open_at(home: Home, opening: Opening) -> Result<Store, LedgerError> {
        let serving = match home.file().filter(|_| opening.serve) {
            Some(path) => Some(schema::lock(path)?),
            None => None,
        };
        let link = home.found(opening.serve)?;
        let shared = Arc::new(Shared {
            terms: opening.terms,
            zone: opening.report_zone,
            clock: opening.clock,
            serving: opening.serve,
            trouble: Mutex::new(None),
            damaged: AtomicBool::new(false),
            broken: Mutex::default(),
        });
        let presence = (opening.serve && home.file().is_none()).then(Presence::new);
        at_once(&link, &shared, |tx| {
            tx.make_ready(shared.serving)?;
            presence.as_ref().map_or(Ok(()), |it| tx.announce(it))
        })?;
        let writer = Writer::start(link, home.clone(), Arc::clone(&shared))?;
        let presence = presence.map(|it| it.keep(&writer)).transpose()?;
        let readers_most = match home {
            Home::File(_) => Semaphore::MAX_PERMITS,
            Home::Server(_) => READERS_MOST,
        };
        Ok(Store {
            writer,
            readers: Mutex::new(Vec::new()),
            reading: Semaphore::new(readers_most),
            home,
            shared,
            pacer: Mutex::default(),
            other_zones: tokio::sync::Mutex::default(),
            left_at_ms: AtomicI64::default(),
            presence,
            _lock: serving,
        })
    }

    /// Runs `verb` in a savepoint of the next shared commit; answers after it.
    async fn write<T: Send + 'static>(
        &self,
        verb: impl FnOnce(&Tx<'_>) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        self.writer.run(Sort::Short, verb).await
    }

    /// The same in a transaction of its own, for what writes very much.
    async fn write_alone<T: Send + 'static>(
        &self,
        verb: impl FnOnce(&Tx<'_>) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        self.writer.run(Sort::Alone, verb).await
    }

    /// Runs `verb` on a reading connection, in one snapshot.
    async fn read<T: Send + 'static>(
        &self,
        verb: impl FnOnce(&Tx<'_>) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let closed = |_| LedgerError::Unavailable("nothing is read any more".to_owned());
        let _turn = self.reading.acquire().await.map_err(closed)?;
        let kept = lock(&self.readers).pop();
        let (home, shared) = (self.home.clone(), Arc::clone(&self.shared));
        let work = move || {
            let link = match kept.filter(|link| !link.has_ended()) {
                Some(link) => link,
                None => home.connect_to_read(shared.serving)?,
            };
            let conn = link.conn();
            conn.begin_to_read()?;
            let tx = Tx::new(conn, &shared.terms, &shared.zone, shared.clock.now());
            let answer = verb(&tx);
            shared.met_broken(tx.broken.into_inner());
            let ended = conn.roll_back();
            // Why a verb failed says more than that there was nothing left to end.
            let answer = answer?;
            ended.map(|()| (link, answer))
        };
        let joined = tokio::task::spawn_blocking(work).await;
        let read = joined
            .unwrap_or_else(|_| Err(LedgerError::Unavailable("a read was cut off".to_owned())));
        // A connection that failed is not kept.
        let (link, answer) = read.inspect_err(|error| self.shared.met(error))?;
        let mut readers = lock(&self.readers);
        if readers.len() < READERS_KEPT {
            readers.push(link);
        }
        Ok(answer)
    }

    /// As [`super::Ledger::health`].
    pub fn health(&self) -> Result<(), String> {
        match lock(&self.shared.trouble).clone() {
            Some(trouble) => Err(trouble),
            None => Ok(()),
        }
    }

    /// As [`super::Ledger::close`].
    pub async fn close(&self) {
        self.leave().await;
        self.writer.close().await;
    }

    /// As [`super::Ledger::switched_at`].
    pub fn switched_at(
        &self,
        source: &str,
        provider: &str,
        word: &str,
    ) -> Result<Option<Time>, LedgerError> {
        let (home, shared) = (&self.home, &self.shared);
        let look = || {
            let link = home.connect(shared.serving)?;
            at_once(&link, shared, |tx| {
                tx.switched_at((source, provider), word, shared.serving)
            })
        };
        match home {
            Home::File(_) => look(),
            Home::Server(_) => home::aside(look),
        }
    }
}

/// Runs `verb` in a transaction of its own, before there is a writer or beside it.
fn at_once<T>(
    link: &Link,
    shared: &Shared,
    verb: impl FnOnce(&Tx<'_>) -> Result<T, LedgerError>,
) -> Result<T, LedgerError> {
    let conn = link.conn();
    conn.begin()?;
    let now = shared.clock.now();
    match verb(&Tx::new(conn, &shared.terms, &shared.zone, now)) {
        Ok(done) => {
            conn.commit()?;
            Ok(done)
        }
        Err(error) => {
            // What failed is told; a rollback that fails changes nothing.
            let _ = conn.roll_back();
            Err(error)
        }
    }
}

/// A lock whose holder panicked is still good here: the values are replaced whole.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Whether an error is the disk's, and so the whole transaction's.
fn is_fault(error: &LedgerError) -> bool {
    matches!(error, LedgerError::Unavailable(_) | LedgerError::Damaged)
}
