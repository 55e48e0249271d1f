//! The writer thread: all waiting commands in one commit, a savepoint each.
//!
//! A command's answer is given only after the commit. A command that fails
//! takes back its own savepoint and nothing else; a commit that fails fails
//! every command in it, and the file is opened afresh.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::tx::Tx;
use super::{Shared, lock, schema};
use crate::ledger::LedgerError;

/// Commands that may wait; beyond it callers wait to hand theirs in, and intake
/// answers 503 when that takes too long.
const WAITING_MOST: usize = 4_096;

/// Commands in one commit: enough to share a sync among all connections of a
/// busy listener, few enough that the first is not kept long.
const BATCH_MOST: usize = 512;

/// A write that changes nothing of the books.
const PROBE: &str = "INSERT INTO meta (name, value) VALUES ('probed_at', ?1)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value";

/// What a command leaves behind: how to answer once the commit's fate is known.
type Answer = Box<dyn FnOnce(Option<LedgerError>) + Send>;
/// A command: runs inside its savepoint; true keeps it.
type Run = Box<dyn FnOnce(&Tx<'_>) -> (bool, Answer) + Send>;

/// A command and whether it records a delivery, which is what commits are counted by.
struct Command {
    run: Run,
    delivery: bool,
}

/// The handle to the thread.
pub(super) struct Writer {
    sender: Mutex<Option<mpsc::Sender<Command>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the thread on `conn`.
    pub(super) fn start(
        conn: Connection,
        path: PathBuf,
        shared: Arc<Shared>,
    ) -> Result<Writer, LedgerError> {
        let (sender, commands) = mpsc::channel(WAITING_MOST);
        let thread = std::thread::Builder::new()
            .name("ledger-writer".to_owned())
            .spawn(move || write_all(conn, &path, &shared, commands))
            .map_err(|error| LedgerError::Unusable(format!("no thread to write with: {error}")))?;
        Ok(Writer {
            sender: Mutex::new(Some(sender)),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Hands a verb in and waits for the commit.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        delivery: bool,
        verb: impl FnOnce(&Tx<'_>) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let closed = || LedgerError::Unavailable("nothing was written".to_owned());
        let (tell, told) = oneshot::channel();
        let run: Run = Box::new(move |tx| {
            let result = verb(tx);
            let keep = result.is_ok();
            let answer: Answer = Box::new(move |failed| {
                let result = match failed {
                    Some(error) => Err(error),
                    None => result,
                };
                // Nobody waits any more after a time-out; the commit stands all the same.
                let _ = tell.send(result);
            });
            (keep, answer)
        });
        let sender = lock(&self.sender).clone().ok_or_else(closed)?;
        sender
            .send(Command { run, delivery })
            .await
            .map_err(|_| closed())?;
        drop(sender);
        told.await.map_err(|_| closed())?
    }

    /// Takes no more, writes what waits, ends the thread.
    pub(super) async fn close(&self) {
        drop(lock(&self.sender).take());
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

fn write_all(
    conn: Connection,
    path: &std::path::Path,
    shared: &Shared,
    mut commands: mpsc::Receiver<Command>,
) {
    let _guard = Ended(shared);
    let mut open = Some(conn);
    while let Some(first) = commands.blocking_recv() {
        let mut batch = vec![first];
        while batch.len() < BATCH_MOST
            && let Ok(next) = commands.try_recv()
        {
            batch.push(next);
        }
        if open.is_none() {
            open = schema::connect(path).ok();
        }
        let (answers, ended) = match &open {
            Some(conn) => commit(conn, shared, &mut batch),
            None => (Vec::new(), Err(cannot_open())),
        };
        if ended.is_err() {
            // A connection that failed a commit is not trusted again.
            open = None;
        }
        // Whoever is answered may ask for the health next.
        note_trouble(shared, &ended);
        for answer in answers {
            answer(ended.as_ref().err().map(again));
        }
        // Commands that never ran tell their callers so as they are dropped.
        drop(batch);
    }
}

fn cannot_open() -> LedgerError {
    LedgerError::Unavailable("the ledger's file cannot be opened".to_owned())
}

/// Only a commit that wrote proves that writing works.
fn note_trouble(shared: &Shared, ended: &Result<bool, LedgerError>) {
    match ended {
        Ok(true) => *lock(&shared.trouble) = None,
        Ok(false) => {}
        Err(error) => {
            let why = error.to_string();
            let before = lock(&shared.trouble).replace(why.clone());
            if before.as_ref() != Some(&why) {
                tracing::error!(why, "the ledger cannot be written; intake answers 503");
            }
        }
    }
}

/// Tells `/readyz` when the thread ends, however it ends.
struct Ended<'a>(&'a Shared);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        *lock(&self.0.trouble) = Some("the ledger is closed".to_owned());
    }
}

/// Runs a batch in one transaction and leaves in it what never ran. True where
/// something was written.
fn commit(
    conn: &Connection,
    shared: &Shared,
    batch: &mut Vec<Command>,
) -> (Vec<Answer>, Result<bool, LedgerError>) {
    let deliveries = batch.iter().filter(|command| command.delivery).count();
    let begun = shared.clock.read();
    let mut answers = Vec::with_capacity(batch.len());
    let changes = conn.total_changes();
    let ended = (|| {
        conn.execute_batch("BEGIN IMMEDIATE")?;
        if lock(&shared.trouble).is_some() {
            // While there is trouble every batch tries to write.
            conn.execute(PROBE, [shared.clock.now().to_string()])?;
        }
        let tx = Tx::new(conn, &shared.terms, shared.clock.now());
        for command in batch.drain(..) {
            answers.push(in_savepoint(&tx, command.run)?);
        }
        conn.execute_batch("COMMIT")?;
        Ok::<(), LedgerError>(())
    })();
    if ended.is_err() && !conn.is_autocommit() {
        // The batch is lost either way; a rollback that fails changes nothing.
        let _ = conn.execute_batch("ROLLBACK");
    }
    let elapsed = shared.clock.read().boot_ms - begun.boot_ms;
    if deliveries > 0 {
        metrics::histogram!(crate::metrics::COMMIT_DELIVERIES)
            .record(u32::try_from(deliveries).unwrap_or(u32::MAX));
        metrics::histogram!(crate::metrics::COMMIT_SECONDS)
            .record(crate::metrics::milliseconds(elapsed));
    }
    (answers, ended.map(|()| conn.total_changes() > changes))
}

/// Runs one command; an error here is the whole batch's.
fn in_savepoint(tx: &Tx<'_>, command: Run) -> Result<Answer, LedgerError> {
    let conn = tx.conn;
    conn.prepare_cached("SAVEPOINT command")?.execute([])?;
    let (keep, answer) = command(tx);
    if conn.is_autocommit() {
        // Some errors roll the whole transaction back: then nothing of it stands.
        answer(Some(lost()));
        return Err(lost());
    }
    if !keep {
        conn.prepare_cached("ROLLBACK TO command")?.execute([])?;
    }
    conn.prepare_cached("RELEASE command")?.execute([])?;
    Ok(answer)
}

fn lost() -> LedgerError {
    LedgerError::Unavailable("the ledger had to take its transaction back".to_owned())
}

/// The same error for one more caller.
fn again(error: &LedgerError) -> LedgerError {
    match error {
        LedgerError::Unavailable(why) => LedgerError::Unavailable(why.clone()),
        other => LedgerError::Unavailable(other.to_string()),
    }
}
