//! One connection to PostgreSQL for one thread, which waits for its answers.
//!
//! The connection is driven only while an answer is waited for. So a statement whose
//! result nobody needs can be [queued](Client::queue): it leaves with the next one that
//! is waited for, in the same packets, and costs no round trip; and several questions
//! can be [asked ahead](Client::ask_ahead), so that their answers come in one. Not for
//! use on a thread that drives other futures: it blocks.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Error, Statement};

use super::errors::{self, Fault, classify, of_opening};
use super::place::Place;
use super::statements::{Statements, type_of, type_of_many};
use super::wire::{Bound, Raw, bound, bound_together};
use super::{text, tls};
use crate::ledger::LedgerError;
use crate::ledger::sql::{Kind, Value};

/// How long opening may take in all, with every host and the handshakes.
const OPENING_MOST: Duration = Duration::from_secs(20);
/// How much longer than a statement may take an answer is waited for.
const ANSWER_MARGIN_MS: u64 = 5_000;
/// Statements queued at most: what waits is held in memory, twice.
const QUEUED_MOST: usize = 256;

/// Rounds in which a connection that is not waited for learns that it has ended: the
/// system is asked, then the connection reads, then it ends.
const LOOKS: u32 = 4;

/// How long the server may take over one thing, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(in crate::ledger) struct Limits {
    /// A statement.
    pub statement_ms: u64,
    /// Waiting for another transaction's lock.
    pub lock_ms: u64,
    /// A transaction in which nothing happens, because its owner was stopped: until
    /// then nobody else can write.
    pub idle_in_transaction_ms: u64,
}

impl Limits {
    /// Of the process that serves: shorter than a provider waits for its answer, so
    /// that the 503 and `/readyz` can say why.
    pub(in crate::ledger) const SERVING: Limits = Limits {
        statement_ms: 10_000,
        lock_ms: 1_000,
        idle_in_transaction_ms: 2_000,
    };
    /// Of a command, which can wait for the transactions of those that serve.
    pub(in crate::ledger) const COMMAND: Limits = Limits {
        statement_ms: 60_000,
        lock_ms: 5_000,
        idle_in_transaction_ms: 10_000,
    };
    /// Of bringing the schema to this program's version, which may rewrite tables
    /// while other replicas wait to do the same.
    pub(in crate::ledger) const MIGRATING: Limits = Limits {
        statement_ms: 3_600_000,
        lock_ms: 600_000,
        idle_in_transaction_ms: 60_000,
    };
    /// Of a copy, whose snapshot of one ledger waits while the other one is written, and
    /// which nobody waits for.
    pub(in crate::ledger) const COPYING: Limits = Limits {
        statement_ms: 3_600_000,
        lock_ms: 10_000,
        idle_in_transaction_ms: 600_000,
    };
}

/// A row that was found.
pub(in crate::ledger) struct Row(tokio_postgres::Row);

impl Row {
    /// The column at `at`, from 0 on.
    ///
    /// # Errors
    /// [`LedgerError::Unusable`] for a type that no ledger has or a number beyond 64 bits.
    pub(in crate::ledger) fn value(&self, at: usize) -> Result<Value<'_>, LedgerError> {
        let read = self.0.try_get::<_, Raw<'_>>(at);
        read.map(|raw| raw.0).map_err(|error| {
            let why =
                std::error::Error::source(&error).map_or(error.to_string(), |it| it.to_string());
            LedgerError::Unusable(format!("the ledger holds something unexpected: {why}"))
        })
    }
}

type Queued = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;
type Asked = Pin<Box<dyn Future<Output = Result<Vec<tokio_postgres::Row>, Error>> + Send>>;

/// A question: a statement and its values.
type Question = (String, Vec<Bound>);

/// Questions that were sent before their answers were wanted.
#[derive(Default)]
struct Ahead {
    /// Those without an answer yet, in the order in which they were sent.
    asked: Vec<(Question, Asked)>,
    told: HashMap<Question, Result<Arc<Vec<Row>>, Error>>,
    /// Whether [`Client::glance`] had no answer since [`Client::answer_ahead`].
    open: bool,
}

impl Ahead {
    /// Takes in what was answered. Whoever waits for a later answer has to do so: the
    /// connection reads no further than it can hand on.
    fn take_in(&mut self, now: &mut Context<'_>) {
        for (question, mut answer) in std::mem::take(&mut self.asked) {
            match answer.as_mut().poll(now) {
                Poll::Pending => self.asked.push((question, answer)),
                Poll::Ready(told) => drop(self.told.insert(question, told.map(shared))),
            }
        }
    }

    fn is_asked(&self, question: &Question) -> bool {
        self.asked.iter().any(|(it, _)| it == question)
    }
}

/// Whose errors count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Heed {
    /// The first of all since the last answer.
    All,
    /// That of the statement waited for: the others are taken back anyway.
    Own,
}

/// One connection.
pub(in crate::ledger) struct Client {
    /// Gone only while this is dropped.
    runtime: Option<Runtime>,
    client: Arc<tokio_postgres::Client>,
    statements: Statements,
    queued: Vec<Queued>,
    ahead: Ahead,
    /// Whether a statement was queued since the last answer that heeded all.
    unheard: bool,
    /// Why the connection ended by itself, if it did.
    ended: Arc<Mutex<Option<Fault>>>,
    patience: Duration,
    lost: bool,
    /// How often an answer was waited for.
    #[cfg(test)]
    pub(in crate::ledger) waits: usize,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`] where it may work later, else
    /// [`LedgerError::Unusable`]; neither tells the password.
    pub(in crate::ledger) fn open(url: &str, limits: Limits) -> Result<Client, LedgerError> {
        let place = Place::read(url)?;
        let connector = tls::connector(&place.trust)?;
        let runtime = Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(1)
            .build()
            .map_err(|error| LedgerError::Unavailable(format!("no runtime: {error}")))?;
        let ended = Arc::new(Mutex::new(None));
        let opening = async {
            let connecting = place.config.connect(connector);
            let timed = tokio::time::timeout(OPENING_MOST, connecting).await;
            let opened = timed.map_err(|_| errors::silent())?;
            let (client, connection) = opened.map_err(|error| of_opening(&error, &place.name))?;
            let why = Arc::clone(&ended);
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    *why.lock().unwrap_or_else(PoisonError::into_inner) = Some(classify(&error));
                }
            });
            Ok::<_, Fault>(client)
        };
        let client = Arc::new(runtime.block_on(opening)?);
        let mut opened = Client {
            runtime: Some(runtime),
            client,
            statements: Statements::default(),
            queued: Vec::new(),
            ahead: Ahead::default(),
            unheard: false,
            ended,
            patience: Duration::from_millis(limits.statement_ms.saturating_add(ANSWER_MARGIN_MS)),
            lost: false,
            #[cfg(test)]
            waits: 0,
        };
        // Every statement is written for an index. A table that is still small, or of which
        // nothing is known yet, is read as a whole else, and that plan is kept as it grows.
        // What the plan then seems to cost would have the server compile it.
        opened.batch(&format!(
            "SET statement_timeout = {}; SET lock_timeout = {}; \
             SET idle_in_transaction_session_timeout = {}; \
             SELECT set_config(name, 'off', false) FROM pg_settings \
             WHERE name IN ('enable_seqscan', 'jit')",
            limits.statement_ms, limits.lock_ms, limits.idle_in_transaction_ms
        ))?;
        Ok(opened)
    }

    /// Whether another connection must take this one's place. What the server said
    /// meanwhile is looked at and nothing is asked, so that a connection that was kept
    /// for a while can be tried at no cost.
    pub(in crate::ledger) fn is_lost(&mut self) -> bool {
        if let Some(runtime) = self.runtime.as_ref().filter(|_| !self.lost) {
            runtime.block_on(async {
                for _ in 0..LOOKS {
                    tokio::task::yield_now().await;
                }
            });
        }
        self.lost || self.client.is_closed()
    }

    /// Runs statements without values, one after another. Together they are one
    /// transaction, also those before a `BEGIN` among them.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub(in crate::ledger) fn batch(&mut self, sql: &str) -> Result<(), LedgerError> {
        Ok(self.attempt(sql)?)
    }

    /// The same, for a caller that decides by the server's code.
    pub(super) fn attempt(&mut self, sql: &str) -> Result<(), Fault> {
        self.batch_heeding(sql, Heed::All)
    }

    /// The rows that a statement finds.
    ///
    /// # Errors
    /// As classed by the server's code; also that of a statement queued before, and then
    /// this one counts for nothing.
    pub(in crate::ledger) fn query(
        &mut self,
        sql: &str,
        values: &[Value<'_>],
    ) -> Result<Arc<Vec<Row>>, LedgerError> {
        let (statement, bound) = self.ready(sql, values)?;
        if self.ahead.asked.is_empty() && self.ahead.told.is_empty() {
            let found = self.wait(self.asking(statement, bound), Heed::All)?;
            return Ok(shared(found));
        }
        let question = (sql.to_owned(), bound);
        if self.ahead.is_asked(&question) {
            self.wait_for_all()?;
        }
        match self.ahead.told.remove(&question) {
            None => {
                let found = self.wait(self.asking(statement, question.1), Heed::All)?;
                Ok(shared(found))
            }
            Some(Err(error)) => Err(self.told(&error).into()),
            Some(Ok(rows)) => {
                self.ahead.told.insert(question, Ok(Arc::clone(&rows)));
                Ok(rows)
            }
        }
    }

    /// Sends a question whose answer [`Client::query`] will be asked for in a moment, so
    /// that several share a round trip. What is written before that is not in the answer:
    /// a statement that writes forgets them all.
    ///
    /// # Errors
    /// As [`Client::queue`].
    pub(in crate::ledger) fn ask_ahead(
        &mut self,
        sql: &str,
        values: &[Value<'_>],
    ) -> Result<(), LedgerError> {
        self.glance(sql, values).map(|_| ())
    }

    /// The answer to a question, where it was told already; else the question is sent.
    ///
    /// # Errors
    /// As [`Client::queue`].
    pub(in crate::ledger) fn glance(
        &mut self,
        sql: &str,
        values: &[Value<'_>],
    ) -> Result<Option<Arc<Vec<Row>>>, LedgerError> {
        let (statement, bound) = self.ready(sql, values)?;
        let question = (sql.to_owned(), bound);
        if let Some(Ok(rows)) = self.ahead.told.get(&question) {
            return Ok(Some(Arc::clone(rows)));
        }
        self.ahead.open = true;
        if !self.ahead.is_asked(&question) {
            let answer = begun(self.asking(statement, question.1.clone()));
            self.ahead.asked.push((question, answer));
        }
        Ok(None)
    }

    /// Waits for the answers to all questions that were sent. False where none was
    /// missing since the last time.
    ///
    /// # Errors
    /// As [`Client::query`], of what was queued; a question's own is told to who asks it.
    pub(in crate::ledger) fn answer_ahead(&mut self) -> Result<bool, LedgerError> {
        if !std::mem::take(&mut self.ahead.open) {
            return Ok(false);
        }
        self.wait_for_all()?;
        Ok(true)
    }

    fn wait_for_all(&mut self) -> Result<(), Fault> {
        // What was asked before this is answered before it.
        let client = Arc::clone(&self.client);
        self.wait(async move { client.batch_execute("").await }, Heed::All)
    }

    /// Forgets what was asked ahead, because it may be otherwise from here on.
    pub(in crate::ledger) fn forget_ahead(&mut self) {
        self.ahead = Ahead::default();
    }

    fn asking(&self, statement: Statement, bound: Vec<Bound>) -> Asked {
        let client = Arc::clone(&self.client);
        Box::pin(async move { client.query(&statement, &parameters(&bound)).await })
    }

    /// Runs a statement; answers how many rows it wrote.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub(in crate::ledger) fn execute(
        &mut self,
        sql: &str,
        values: &[Value<'_>],
    ) -> Result<usize, LedgerError> {
        self.forget_ahead();
        let (statement, bound) = self.ready(sql, values)?;
        let client = Arc::clone(&self.client);
        let written = self.wait(
            async move { client.execute(&statement, &parameters(&bound)).await },
            Heed::All,
        )?;
        Ok(usize::try_from(written).unwrap_or(usize::MAX))
    }

    /// Sends a statement with the next one that is waited for. Inside a transaction
    /// only: there nothing behind a statement that failed has any effect, and the next
    /// answer tells of it.
    ///
    /// # Errors
    /// As [`Client::query`], of what had to be waited for: the first time the statement
    /// is prepared.
    pub(in crate::ledger) fn queue(
        &mut self,
        sql: &str,
        values: &[Value<'_>],
    ) -> Result<(), LedgerError> {
        let (statement, bound) = self.ready(sql, values)?;
        self.queue_ready(statement, bound)
    }

    /// As [`Client::queue`], for a statement whose parameters are columns: each is many
    /// values of one kind.
    ///
    /// # Errors
    /// As [`Client::queue`].
    pub(in crate::ledger) fn queue_columns(
        &mut self,
        sql: &str,
        columns: &[(Kind, Vec<Value<'_>>)],
    ) -> Result<(), LedgerError> {
        let types: Vec<_> = columns
            .iter()
            .map(|(kind, _)| Some(type_of_many(*kind)))
            .collect();
        let statement = self.statement(sql, &types)?;
        let each = columns.iter().zip(statement.params());
        let bound: Result<_, LedgerError> = each
            .map(|((_, values), wanted)| bound_together(values, wanted))
            .collect();
        self.queue_ready(statement, bound?)
    }

    fn queue_ready(&mut self, statement: Statement, bound: Vec<Bound>) -> Result<(), LedgerError> {
        let client = Arc::clone(&self.client);
        self.forget_ahead();
        self.unheard = true;
        self.put(Box::pin(async move {
            let written = client.execute(&statement, &parameters(&bound)).await;
            written.map(|_| ())
        }))
    }

    /// Whether a statement was queued of which nobody knows yet how it went.
    pub(in crate::ledger) fn owes_answers(&self) -> bool {
        self.unheard
    }

    /// As [`Client::queue`], for statements without values, such as savepoints.
    ///
    /// # Errors
    /// As [`Client::queue`].
    pub(in crate::ledger) fn queue_batch(&mut self, sql: &str) -> Result<(), LedgerError> {
        let (client, sql) = (Arc::clone(&self.client), sql.to_owned());
        self.put(Box::pin(async move { client.batch_execute(&sql).await }))
    }

    /// Ends the transaction and keeps what it wrote.
    ///
    /// # Errors
    /// As [`Client::query`]. Where the connection is lost, it is not known whether the
    /// transaction counts.
    pub(in crate::ledger) fn commit(&mut self) -> Result<(), LedgerError> {
        // Of a transaction in which something failed COMMIT makes a rollback and says
        // that all is well; this statement is refused there, and costs no round trip.
        self.queue_batch("SELECT 1")?;
        self.batch("COMMIT")
    }

    /// Runs `sql`, which takes back what was queued: `ROLLBACK`, or to a savepoint.
    /// What is queued is sent before it, and how it went is of no interest.
    ///
    /// # Errors
    /// As [`Client::query`], of the statement itself.
    pub(in crate::ledger) fn roll_back(&mut self, sql: &str) -> Result<(), LedgerError> {
        Ok(self.batch_heeding(sql, Heed::Own)?)
    }

    fn batch_heeding(&mut self, sql: &str, heed: Heed) -> Result<(), Fault> {
        self.forget_ahead();
        let (client, sql) = (Arc::clone(&self.client), sql.to_owned());
        self.wait(async move { client.batch_execute(&sql).await }, heed)
    }

    /// The statement, prepared for values of these kinds, and the values for it.
    fn ready(&mut self, sql: &str, values: &[Value<'_>]) -> Result<(Statement, Vec<Bound>), Fault> {
        let types: Vec<_> = values.iter().map(type_of).collect();
        let statement = self.statement(sql, &types)?;
        let each = values.iter().zip(statement.params());
        let bound: Result<_, LedgerError> = each.map(|(value, kind)| bound(*value, kind)).collect();
        Ok((statement, bound?))
    }

    /// The statement, prepared for parameters of these types.
    fn statement(&mut self, sql: &str, types: &[Option<Type>]) -> Result<Statement, Fault> {
        let statement = match self.statements.known(sql, types) {
            Some(statement) => statement,
            None => self.prepare(sql, types)?,
        };
        let wanted = statement.params().len();
        if wanted != types.len() {
            let why = format!(
                "the ledger refused a statement: it takes {wanted} values and was given {}",
                types.len()
            );
            return Err(LedgerError::Unusable(why).into());
        }
        Ok(statement)
    }

    fn prepare(&mut self, sql: &str, types: &[Option<Type>]) -> Result<Statement, Fault> {
        let kinds = self.statements.kinds(sql, types);
        let written = text::translated(sql).into_owned();
        let (client, asked) = (Arc::clone(&self.client), kinds.clone());
        let statement = self.wait(
            async move { client.prepare_typed(&written, &asked).await },
            Heed::All,
        )?;
        self.statements.keep(sql, &statement, kinds);
        Ok(statement)
    }

    fn put(&mut self, queued: Queued) -> Result<(), LedgerError> {
        self.queued.push(begun(queued));
        if self.queued.len() >= QUEUED_MOST {
            self.wait(async { Ok(()) }, Heed::All)?;
        }
        Ok(())
    }

    /// Drives the connection until everything queued and `own` are answered.
    fn wait<T>(
        &mut self,
        own: impl Future<Output = Result<T, Error>>,
        heed: Heed,
    ) -> Result<T, Fault> {
        let mut queued = std::mem::take(&mut self.queued);
        self.unheard = false;
        #[cfg(test)]
        {
            self.waits += 1;
        }
        let Some(runtime) = self.runtime.as_ref().filter(|_| !self.lost) else {
            return Err(errors::lost());
        };
        let ahead = &mut self.ahead;
        let answers = async {
            let mut own = pin!(own);
            let (mut answer, mut failed) = (None, None);
            // It is sent behind what is queued before any answer is waited for.
            let answer = poll_fn(|now| {
                if answer.is_none()
                    && let Poll::Ready(told) = own.as_mut().poll(now)
                {
                    answer = Some(told);
                }
                queued.retain_mut(|one| match one.as_mut().poll(now) {
                    Poll::Pending => true,
                    Poll::Ready(told) => {
                        failed = failed.take().or(told.err());
                        false
                    }
                });
                ahead.take_in(now);
                match queued.is_empty() {
                    true => answer.take().map_or(Poll::Pending, Poll::Ready),
                    false => Poll::Pending,
                }
            })
            .await;
            match failed {
                Some(error) if heed == Heed::All => Err(error),
                _ => answer,
            }
        };
        let timed = runtime.block_on(async { tokio::time::timeout(self.patience, answers).await });
        let fault = match timed {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => self.told(&error),
            Err(_) => errors::silent(),
        };
        self.lost |= fault.lost;
        Err(fault)
    }

    /// What an error means; of a connection that ended by itself, why it did.
    fn told(&self, error: &Error) -> Fault {
        let fault = classify(error);
        if fault.state.is_some() {
            return fault;
        }
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended
            .take()
            .map_or(fault, |why| Fault { lost: true, ..why })
    }

    /// How many statements are prepared.
    #[cfg(test)]
    pub(super) fn prepared(&self) -> usize {
        self.statements.len()
    }
}

impl Drop for Client {
    /// A thread that drives other futures may not wait for a runtime to end.
    fn drop(&mut self) {
        self.queued.clear();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Looked at once, it has handed its message to the connection; that is driven when
/// something is waited for.
fn begun<T: Send + 'static>(
    mut asked: Pin<Box<dyn Future<Output = T> + Send>>,
) -> Pin<Box<dyn Future<Output = T> + Send>> {
    match asked.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Box::pin(async move { done }),
        Poll::Pending => asked,
    }
}

fn shared(rows: Vec<tokio_postgres::Row>) -> Arc<Vec<Row>> {
    Arc::new(rows.into_iter().map(Row).collect())
}

fn parameters(bound: &[Bound]) -> Vec<&(dyn ToSql + Sync)> {
    bound.iter().map(|it| it as &(dyn ToSql + Sync)).collect()
}
