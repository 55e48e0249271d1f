//! Recording a file: a thread reads and the ledger takes, so that neither waits
//! for the other and no more than a few thousand rows are in memory.
//!
//! It remembers nothing of its own: what a row says that the ledger knows is
//! known, so an import that was cut off anywhere is finished by the same command.

use std::io::Read;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::row::{self, Format, Options, Refused, Rejected};
use crate::app::App;
use crate::ledger::rows::{Changes, Chunk, Fate, Feed, RowTold, RowsFrom, RowsTaken, StatedRow};
use crate::ledger::{Ledger, LedgerError};

/// Rows that are handed over at a time: enough that the hand-over costs little,
/// few enough that a transaction ends in time also on a slow machine, because it
/// ends only between two chunks.
const CHUNK_ROWS: usize = 128;
/// Chunks that wait for the ledger.
const WAITING_CHUNKS: usize = 32;
/// How long an open transaction waits for rows before it is committed: a file
/// that comes through a pipe may pause for ever.
const MOMENT: Duration = Duration::from_millis(5);
/// How often a ledger that others hold is tried again.
const BUSY_TRIES: u32 = 10;

/// Why an import ended before its file did.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Nothing was read: the file, its header or what was said about it is wrong.
    #[error("{0}")]
    Refused(#[from] Refused),
    /// The report cannot be written; what was recorded before stands.
    #[error("the report cannot be written: {0}")]
    Report(String),
    /// The ledger failed; what was recorded before stands.
    #[error("{0}; what was recorded stands, and the same command goes on from there")]
    Ledger(#[from] LedgerError),
}

/// How far an import has come.
#[derive(Clone, Debug, Default)]
pub struct Came {
    /// Rows told.
    pub rows: u64,
    /// Rows that said something new, unattributed ones included.
    pub imported: u64,
    /// Rows of which all was there.
    pub known: u64,
    /// Rows that said something new and whose customer nobody names.
    pub unattributed: u64,
    /// Rows of which nothing is counted.
    pub ignored: u64,
    /// Rows that could not be read or recorded.
    pub rejected: u64,
    /// Payments that became due, less those that no longer are.
    pub due: i64,
    /// How the money changed.
    pub changes: Changes,
    /// Bytes read of the file.
    pub bytes: u64,
    /// The format of the file, once it is known.
    pub format: Format,
    /// The first rows that were rejected.
    pub rejected_first: Vec<RowTold>,
    /// The first rows that are unattributed.
    pub unattributed_first: Vec<RowTold>,
    /// Why the file could not be read to its end.
    pub broken: Option<String>,
    /// True where somebody stopped it.
    pub stopped: bool,
}

/// Rows of each kind that are told beside the counts; the report has them all.
pub const FIRST_MOST: usize = 10;

impl Came {
    fn add(&mut self, told: &RowTold) {
        self.rows += 1;
        match told.outcome {
            Fate::Imported => self.imported += 1,
            Fate::Known => self.known += 1,
            Fate::Ignored => self.ignored += 1,
            Fate::Unattributed => {
                self.imported += 1;
                self.unattributed += 1;
                if self.unattributed_first.len() < FIRST_MOST {
                    self.unattributed_first.push(told.clone());
                }
            }
            Fate::Rejected => {
                self.rejected += 1;
                if self.rejected_first.len() < FIRST_MOST {
                    self.rejected_first.push(told.clone());
                }
            }
        }
    }
}

/// What watches an import: each row as it is told, and how far it has come.
pub trait Watch {
    /// A row's fate, in the order of the file, once it is on disk.
    ///
    /// # Errors
    /// Where the report cannot be written, in one sentence.
    fn row(&mut self, told: &RowTold) -> Result<(), String>;
    /// How far it has come, after each transaction.
    fn came(&mut self, came: &Came);
}

/// Rows as the reading thread hands them over. Their digest is made by who takes them:
/// where all are known it is half of the work, and reading the other half.
struct Drawn {
    stated: Vec<StatedRow>,
    rejected: Vec<Rejected>,
}

/// What the reading thread and the ledger share.
struct Hand {
    rows: Receiver<Drawn>,
    /// A chunk that was waited for outside a transaction.
    next: Option<Drawn>,
    rejected: Vec<RowTold>,
    drawn: bool,
    ended: bool,
}

impl Hand {
    /// The next rows, those aside that could not be read.
    fn draw(&mut self, stop: &AtomicBool) -> Option<Chunk> {
        loop {
            let drawn = match self.next.take() {
                Some(drawn) => drawn,
                None if stop.load(Ordering::Relaxed) => return None,
                None => match self.rows.recv_timeout(MOMENT) {
                    Ok(drawn) => drawn,
                    Err(RecvTimeoutError::Timeout) => return None,
                    Err(RecvTimeoutError::Disconnected) => {
                        self.ended = true;
                        return None;
                    }
                },
            };
            self.drawn = true;
            self.rejected.extend(drawn.rejected.into_iter().map(told));
            if !drawn.stated.is_empty() || self.rejected.len() > CHUNK_ROWS {
                return Some(Chunk::of(drawn.stated));
            }
        }
    }
}

fn told(rejected: Rejected) -> RowTold {
    let Rejected {
        line,
        column,
        reason,
    } = rejected;
    RowTold {
        line,
        outcome: Fate::Rejected,
        reason: Some(match column {
            Some(column) => format!("{column}: {reason}"),
            None => reason,
        }),
    }
}

/// What the reading thread says of itself.
#[derive(Default)]
struct Reader {
    bytes: AtomicU64,
    broken: Mutex<Option<String>>,
}

/// Reads `file` and records its rows in `ledger`, until the end or until `stop`.
///
/// # Errors
/// As [`ImportError`] says; a row that is wrong is no error.
pub async fn run<R: Read + Send + 'static>(
    ledger: &Ledger,
    file: R,
    (options, from): (Options, RowsFrom),
    stop: Arc<AtomicBool>,
    watch: &mut (dyn Watch + Send),
) -> Result<Came, ImportError> {
    ledger.prepare_for_rows().await?;
    let reader = Arc::new(Reader::default());
    let (format, rows) = start(file, options, Arc::clone(&reader), Arc::clone(&stop)).await?;
    let hand = Arc::new(Mutex::new(Hand {
        rows,
        next: None,
        rejected: Vec::new(),
        drawn: false,
        ended: false,
    }));
    let from = Arc::new(from);
    let mut came = Came {
        format,
        ..Came::default()
    };
    while wait_for_rows(&hand).await && !stop.load(Ordering::Relaxed) {
        let (drawn, halt) = (Arc::clone(&hand), Arc::clone(&stop));
        let feed: Feed = Arc::new(Mutex::new(move || held(&drawn).draw(&halt)));
        let taken = take(ledger, &from, feed, &hand).await?;
        tell(taken, &hand, &mut came, watch)?;
        came.bytes = reader.bytes.load(Ordering::Relaxed);
        watch.came(&came);
    }
    came.stopped = stop.load(Ordering::Relaxed) && !held(&hand).ended;
    let broken = reader.broken.lock();
    came.broken = broken.unwrap_or_else(PoisonError::into_inner).clone();
    Ok(came)
}

fn held(hand: &Mutex<Hand>) -> std::sync::MutexGuard<'_, Hand> {
    hand.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the reading thread; answers once the header was read.
async fn start<R: Read + Send + 'static>(
    file: R,
    options: Options,
    reader: Arc<Reader>,
    stop: Arc<AtomicBool>,
) -> Result<(Format, Receiver<Drawn>), ImportError> {
    let (sender, rows) = sync_channel(WAITING_CHUNKS);
    let (opened, header) = tokio::sync::oneshot::channel();
    let reading = move || match row::open(file, &options) {
        Ok(rows) => {
            // Whoever started it may have gone; then nobody takes a row either.
            let _ = opened.send(Ok(rows.format()));
            read_all(rows, &sender, &reader, &stop);
        }
        Err(refused) => drop(opened.send(Err(refused))),
    };
    let started = std::thread::Builder::new()
        .name("import-reader".to_owned())
        .spawn(reading);
    started.map_err(|error| Refused(format!("no thread to read with: {error}")))?;
    let format = header
        .await
        .map_err(|_| Refused("the file could not be read".to_owned()))??;
    Ok((format, rows))
}

fn read_all<R: Read>(
    mut rows: row::Rows<R>,
    sender: &SyncSender<Drawn>,
    reader: &Reader,
    stop: &AtomicBool,
) {
    while !stop.load(Ordering::Relaxed) {
        let (mut stated, mut rejected) = (Vec::with_capacity(CHUNK_ROWS), Vec::new());
        for row in rows.by_ref().take(CHUNK_ROWS) {
            match row {
                Ok(row) => stated.push((row.line, row.reading)),
                Err(row) => rejected.push(row),
            }
        }
        let read = stated.len() + rejected.len();
        let ended = read < CHUNK_ROWS;
        reader.bytes.store(rows.bytes_read(), Ordering::Relaxed);
        if ended {
            let broken = rows.broken().map(str::to_owned);
            *reader.broken.lock().unwrap_or_else(PoisonError::into_inner) = broken;
        }
        let gone = read > 0 && sender.send(Drawn { stated, rejected }).is_err();
        if gone || ended {
            return;
        }
    }
}

/// Waits for the next chunk without a transaction; false at the end.
async fn wait_for_rows(hand: &Arc<Mutex<Hand>>) -> bool {
    let waiting = Arc::clone(hand);
    let waited = tokio::task::spawn_blocking(move || {
        let mut hand = held(&waiting);
        if hand.next.is_none() && !hand.ended {
            hand.next = hand.rows.recv().ok();
            hand.ended = hand.next.is_none();
        }
        !hand.ended
    });
    waited.await.unwrap_or(false)
}

/// One transaction. A ledger that others hold is tried again while no row was
/// drawn; after that the rows are gone, and the command has to be run again.
async fn take(
    ledger: &Ledger,
    from: &Arc<RowsFrom>,
    feed: Feed,
    hand: &Mutex<Hand>,
) -> Result<RowsTaken, LedgerError> {
    held(hand).drawn = false;
    let mut tries = 0;
    loop {
        let taken = ledger
            .record_rows(Arc::clone(from), Arc::clone(&feed))
            .await;
        match taken {
            Err(LedgerError::Unavailable(_)) if tries < BUSY_TRIES && !held(hand).drawn => {
                tries += 1;
            }
            other => return other,
        }
    }
}

/// Tells what is on disk now, in the order of the file.
fn tell(
    taken: RowsTaken,
    hand: &Mutex<Hand>,
    came: &mut Came,
    watch: &mut (dyn Watch + Send),
) -> Result<(), ImportError> {
    let mut lines = taken.told;
    lines.append(&mut held(hand).rejected);
    lines.sort_by_key(|told| told.line);
    for line in &lines {
        came.add(line);
        watch.row(line).map_err(ImportError::Report)?;
    }
    came.due += taken.due;
    came.changes.merge(taken.changes);
    Ok(())
}

/// The longest name of a file that is kept beside each fact, in characters.
const NAME_MOST_CHARS: usize = 100;

/// A file's name as it stands beside facts: short, and nothing that steers a
/// terminal.
#[must_use]
pub fn file_name(name: &str) -> String {
    let plain = name.chars().filter(|c| !c.is_control());
    plain.take(NAME_MOST_CHARS).collect()
}

/// How many calls a second the destination of a source takes, and its name.
#[must_use]
pub fn rate(app: &App, source: &str) -> (u32, String) {
    let source = app.config.sources.get(source);
    let name = source.map_or("", |source| source.destination.as_str());
    let destination = app.config.destinations.get(name);
    let per_second = destination.map_or(1, |it| it.requests_per_second.max(1));
    (per_second, name.to_owned())
}
