//! The writer thread: all waiting commands in one commit, first the deliveries that can be
//! recorded together, then the others, a savepoint each.
//!
//! A command's answer is given only after the commit. Where a delivery is refused, all are
//! recorded one by one; any other command that fails takes back its own savepoint and
//! nothing else. A fault of the disk, in a command or in the commit, fails every command of
//! the batch, and the file is opened afresh. While there is trouble the thread tries by
//! itself whether writing works again. It repairs nothing: a damaged file stays closed.

use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};

use super::arrival::Arrival;
use super::command::{Answer, Command, Fate, Run, Sort, Waiting, Work, again, answer, told};
use super::home::{Home, Link};
use super::tx::{Conn, Tx};
use super::{Shared, is_fault, lock, schema};
use crate::ledger::sqlite::checkpoint::Checkpoints;
use crate::ledger::{LedgerError, Recorded};

/// Commands that may wait; beyond it callers wait to hand theirs in, and intake
/// answers 503 when that takes too long.
const WAITING_MOST: usize = 4_096;

/// Commands in one commit: enough to share a sync among all connections of a
/// busy listener, few enough that the first is not kept long.
const BATCH_MOST: usize = 512;

/// While there is trouble, how long to wait for a command before trying to write
/// without one, in steps of [`LOOK_EVERY`]: a second, as nobody should stay
/// closed longer than the disk.
const LOOKS_BEFORE_PROBE: u32 = 20;
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A write that changes nothing of the books.
const PROBE: &str = "INSERT INTO meta (name, value) VALUES ('probed_at', ?1)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value";

/// What is written by. Fields end in their order: first the thread that brings the log of
/// a file home, then the connection.
struct Open {
    _checkpoints: Option<Checkpoints>,
    link: Link,
}

impl Open {
    fn by(mut link: Link, home: &Home, serving: bool) -> Result<Open, LedgerError> {
        let checkpoints = match (&mut link, home.file()) {
            (Link::File(conn), Some(path)) if serving => Some(Checkpoints::start(conn, path)?),
            _ => None,
        };
        Ok(Open {
            _checkpoints: checkpoints,
            link,
        })
    }
}

/// The handle to the thread.
pub(super) struct Writer {
    sender: Mutex<Option<mpsc::Sender<Command>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the thread on `link`.
    pub(super) fn start(
        link: Link,
        home: Home,
        shared: Arc<Shared>,
    ) -> Result<Writer, LedgerError> {
        if let Link::File(conn) = &link {
            schema::serve_by(conn, shared.serving)?;
        }
        let open = Open::by(link, &home, shared.serving)?;
        let (sender, commands) = mpsc::channel(WAITING_MOST);
        let thread = std::thread::Builder::new()
            .name("ledger-writer".to_owned())
            .spawn(move || write_all(open, &home, &shared, commands))
            .map_err(|error| LedgerError::Unusable(format!("no thread to write with: {error}")))?;
        Ok(Writer {
            sender: Mutex::new(Some(sender)),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Hands a verb in and waits for the commit.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        sort: Sort,
        verb: impl FnOnce(&Tx<'_>) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let (tell, answer) = oneshot::channel();
        self.send(sort, Work::Run(told(tell, verb))).await?;
        answer.await.map_err(|_| LedgerError::nothing_written())?
    }

    /// Hands deliveries in and waits for the commit, which is one for all of them.
    pub(super) async fn record(
        &self,
        arrivals: Vec<Arrival>,
    ) -> Vec<Result<Recorded, LedgerError>> {
        let (mut waiting, mut answers) = (Vec::new(), Vec::new());
        for arrival in arrivals {
            let (tell, told) = oneshot::channel();
            waiting.push(Waiting { arrival, tell });
            answers.push(told);
        }
        if waiting.is_empty() {
            return Vec::new();
        }
        // Where nothing is taken any more, each is told so by its own channel.
        let _ = self.send(Sort::Short, Work::Record(waiting)).await;
        let mut recorded = Vec::with_capacity(answers.len());
        for told in answers {
            recorded.push(
                told.await
                    .unwrap_or_else(|_| Err(LedgerError::nothing_written())),
            );
        }
        recorded
    }

    async fn send(&self, sort: Sort, work: Work) -> Result<(), LedgerError> {
        let sender = lock(&self.sender).clone();
        let sender = sender.ok_or_else(LedgerError::nothing_written)?;
        let sent = sender.send(Command { work, sort }).await;
        sent.map_err(|_| LedgerError::nothing_written())
    }

    /// Runs `verb` every so often, until what this answers is dropped or nothing is
    /// written any more. How it went is of no interest: it comes again.
    pub(super) fn repeat(
        &self,
        every: Duration,
        verb: impl Fn(&Tx<'_>) -> Result<(), LedgerError> + Clone + Send + 'static,
    ) -> Result<std::sync::mpsc::Sender<()>, LedgerError> {
        let (stop, stopped) = std::sync::mpsc::channel();
        let sender = lock(&self.sender).as_ref().map(mpsc::Sender::downgrade);
        let again = move || {
            while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                let Some(sender) = sender.as_ref().and_then(mpsc::WeakSender::upgrade) else {
                    return;
                };
                let verb = verb.clone();
                // Nobody waits for what it comes to.
                let run = told(oneshot::channel().0, verb);
                // Where commands wait already, this one is not worth waiting for.
                let _ = sender.try_send(Command {
                    work: Work::Run(run),
                    sort: Sort::Short,
                });
            }
        };
        std::thread::Builder::new()
            .name("ledger-presence".to_owned())
            .spawn(again)
            .map_err(|error| LedgerError::Unusable(format!("no thread to say so: {error}")))?;
        Ok(stop)
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

fn write_all(open: Open, home: &Home, shared: &Shared, mut commands: mpsc::Receiver<Command>) {
    let _guard = Ended(shared);
    let ours = home.file().and_then(schema::identity);
    let mut open = Some(open);
    while let Some(waiting) = next_batch(&mut commands, shared) {
        for mut batch in apart(waiting) {
            let tried =
                usable(&mut open, home, ours, shared).map(|conn| commit(conn, shared, &mut batch));
            let (answers, ended) = match tried {
                Ok((answers, Err(error))) => {
                    // A connection that failed a commit is not trusted again.
                    open = None;
                    (answers, Err(error))
                }
                Ok(done) => done,
                // It is not closed: closing deletes a log by its name, and that may
                // be another file's by now.
                Err(error) => (Vec::new(), Err(error)),
            };
            // Whoever is answered may ask for the health next.
            note_trouble(shared, &ended);
            for answer in answers {
                answer(ended.as_ref().err().map(again));
            }
            if let Err(error) = &ended {
                for run in batch.into_iter().flat_map(|command| command.work.alone()) {
                    run(Err(again(error))).1(None);
                }
            }
        }
    }
}

/// The commands that share a commit, then those that have one of their own. An
/// empty batch stays one: it tries whether writing works.
fn apart(waiting: Vec<Command>) -> Vec<Vec<Command>> {
    let (alone, shared): (Vec<Command>, Vec<Command>) = waiting
        .into_iter()
        .partition(|command| command.sort == Sort::Alone);
    let mut batches = Vec::with_capacity(1 + alone.len());
    if !shared.is_empty() || alone.is_empty() {
        batches.push(shared);
    }
    batches.extend(alone.into_iter().map(|command| vec![command]));
    batches
}

/// All waiting commands; none where there is trouble and it is time to try
/// whether writing works again; `None` at the end.
fn next_batch(commands: &mut mpsc::Receiver<Command>, shared: &Shared) -> Option<Vec<Command>> {
    let mut batch = Vec::new();
    if lock(&shared.trouble).is_none() {
        batch.push(commands.blocking_recv()?);
    }
    let mut looks = 0;
    while batch.len() < BATCH_MOST {
        match commands.try_recv() {
            Ok(next) => batch.push(next),
            Err(TryRecvError::Disconnected) if batch.is_empty() => return None,
            Err(_) if !batch.is_empty() || looks == LOOKS_BEFORE_PROBE => break,
            Err(_) => {
                looks += 1;
                std::thread::sleep(LOOK_EVERY);
            }
        }
    }
    Some(batch)
}

/// The connection to write by, opened again after a fault. A file that was
/// moved away or replaced is not written to: what is put into it would be gone.
fn usable<'a>(
    open: &'a mut Option<Open>,
    home: &Home,
    ours: Option<schema::Identity>,
    shared: &Shared,
) -> Result<Conn<'a>, LedgerError> {
    if shared.is_damaged() {
        return Err(LedgerError::Damaged);
    }
    if home.file().and_then(schema::identity) != ours {
        return Err(LedgerError::Unavailable(
            "the ledger's file was moved, removed or replaced; put it back or start again"
                .to_owned(),
        ));
    }
    if let Some(Open {
        link: Link::Server(client),
        ..
    }) = open
        && client.borrow_mut().is_lost()
    {
        *open = None;
    }
    let open = match open {
        Some(open) => open,
        None => {
            let link = home.reconnect(shared.serving)?;
            open.insert(Open::by(link, home, shared.serving)?)
        }
    };
    Ok(open.link.conn())
}

/// Only a commit that wrote proves that writing works.
fn note_trouble(shared: &Shared, ended: &Result<bool, LedgerError>) {
    match ended {
        Ok(true) => *lock(&shared.trouble) = None,
        Ok(false) => {}
        Err(error) => {
            shared.met(error);
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
    conn: Conn<'_>,
    shared: &Shared,
    batch: &mut Vec<Command>,
) -> (Vec<Answer>, Result<bool, LedgerError>) {
    let deliveries: usize = batch.iter().map(|command| command.waiting().len()).sum();
    let begun = shared.clock.read();
    let mut answers = Vec::with_capacity(batch.len());
    let changes = conn.changes(0);
    let ended = (|| {
        let mut tx = begin(conn, shared)?;
        let mut keep = true;
        if !together(&tx, batch, &mut answers)? {
            conn.roll_back()?;
            tx = begin(conn, shared)?;
        }
        for Command { work, sort } in batch.drain(..) {
            for run in work.alone() {
                match sort {
                    Sort::Alone => keep = by_itself(&tx, run, &mut answers)?,
                    Sort::Short => in_savepoint(&tx, run, &mut answers)?,
                }
            }
        }
        if keep {
            conn.commit()?
        } else {
            conn.roll_back()?
        }
        Ok::<(), LedgerError>(())
    })();
    if ended.is_err() && !conn.is_lost() {
        // The batch is lost either way; a rollback that fails changes nothing.
        let _ = conn.roll_back();
    }
    let elapsed = shared.clock.read().boot_ms - begun.boot_ms;
    if deliveries > 0 {
        metrics::histogram!(crate::metrics::COMMIT_DELIVERIES)
            .record(u32::try_from(deliveries).unwrap_or(u32::MAX));
        metrics::histogram!(crate::metrics::COMMIT_SECONDS)
            .record(crate::metrics::milliseconds(elapsed));
    }
    (answers, ended.map(|()| conn.changes(changes) > changes))
}

/// Begins the transaction of a batch.
fn begin<'a>(conn: Conn<'a>, shared: &'a Shared) -> Result<Tx<'a>, LedgerError> {
    conn.begin()?;
    let tx = Tx::new(conn, &shared.terms, &shared.zone, shared.clock.now());
    if lock(&shared.trouble).is_some() {
        // While there is trouble every batch tries to write.
        tx.run(PROBE, [shared.clock.now().to_string()])?;
    }
    Ok(tx)
}

/// Records the deliveries of a batch that can be recorded together, and leaves in it what
/// has to go alone. False where one is refused, and all have to: then the transaction is
/// to be begun again. It is the first in its transaction and has no savepoint, because
/// SQLite copies each page that changes behind one.
fn together(
    tx: &Tx<'_>,
    batch: &mut [Command],
    answers: &mut Vec<Answer>,
) -> Result<bool, LedgerError> {
    let waiting = batch.iter().flat_map(Command::waiting);
    let arrivals: Vec<&Arrival> = waiting.map(|it| &it.arrival).collect();
    if arrivals.is_empty() {
        return Ok(true);
    }
    let recorded = tx.record_together(&arrivals);
    match recorded.and_then(|recorded| tx.catch_up().map(|()| recorded)) {
        Ok(recorded) => {
            let mut recorded = recorded.into_iter();
            for command in batch.iter_mut() {
                let Work::Record(waiting) = &mut command.work else {
                    continue;
                };
                for one in std::mem::take(waiting) {
                    match recorded.next().flatten() {
                        Some(done) => answers.push(answer(one.tell, Ok(done))),
                        None => waiting.push(one),
                    }
                }
            }
            Ok(true)
        }
        Err(error) if is_fault(&error) || tx.is_lost() => Err(error),
        Err(error) => {
            tracing::debug!(%error, "deliveries are recorded one by one");
            Ok(false)
        }
    }
}

/// Runs one command and leaves how to answer it; an error here is the whole batch's.
fn in_savepoint(tx: &Tx<'_>, command: Run, answers: &mut Vec<Answer>) -> Result<(), LedgerError> {
    tx.save("command")?;
    let (fate, answer) = command(Ok(tx));
    let ended = match fate {
        Fate::Fault(error) => Err(error),
        // Some errors roll the whole transaction back: then nothing of it stands.
        _ if tx.is_lost() => Err(lost()),
        Fate::Keep => match tx.let_go("command") {
            Err(error) if is_fault(&error) || tx.is_lost() => Err(error),
            // What it queued was refused, which is its own affair as well.
            Err(error) => {
                answers.push(Box::new(move |failed| {
                    answer(Some(failed.unwrap_or(error)));
                }));
                return take_back(tx);
            }
            Ok(()) => Ok(()),
        },
        Fate::TakeBack => take_back(tx),
    };
    answers.push(answer);
    ended
}

fn take_back(tx: &Tx<'_>) -> Result<(), LedgerError> {
    tx.go_back("command")?;
    tx.let_go("command")
}

/// Runs a command that has the transaction to itself; false where it is to be
/// taken back.
fn by_itself(tx: &Tx<'_>, command: Run, answers: &mut Vec<Answer>) -> Result<bool, LedgerError> {
    let (fate, answer) = command(Ok(tx));
    answers.push(answer);
    match fate {
        Fate::Fault(error) => Err(error),
        _ if tx.is_lost() => Err(lost()),
        Fate::TakeBack => Ok(false),
        Fate::Keep => Ok(true),
    }
}

fn lost() -> LedgerError {
    LedgerError::Unavailable("the ledger had to take its transaction back".to_owned())
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
