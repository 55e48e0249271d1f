//! What the writer is given: a verb to run, or deliveries to record, and how each is
//! answered once the fate of its commit is known. When they run is the writer's affair.

use tokio::sync::oneshot;

use super::arrival::Arrival;
use super::is_fault;
use super::tx::Tx;
use crate::ledger::{LedgerError, Recorded};

/// What a command leaves behind: how to answer once the commit's fate is known.
pub(super) type Answer = Box<dyn FnOnce(Option<LedgerError>) + Send>;
/// A command: runs inside its savepoint, or is told why there is none.
pub(super) type Run = Box<dyn FnOnce(Result<&Tx<'_>, LedgerError>) -> (Fate, Answer) + Send>;

/// What becomes of a command's savepoint.
pub(super) enum Fate {
    Keep,
    TakeBack,
    /// The disk failed under it, and so under the whole batch.
    Fault(LedgerError),
}

/// What kind of command it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    /// It shares a commit with others.
    Short,
    /// It writes so much that what a savepoint keeps would cost more than the
    /// writing: it has a transaction of its own, and is taken back with it.
    Alone,
}

pub(super) struct Command {
    pub work: Work,
    pub sort: Sort,
}

/// What a command does.
pub(super) enum Work {
    Run(Run),
    /// It records deliveries, together with those that wait beside them where it can.
    Record(Vec<Waiting>),
}

/// A delivery that waits to be recorded, and whom to tell.
pub(super) struct Waiting {
    pub arrival: Arrival,
    pub tell: oneshot::Sender<Result<Recorded, LedgerError>>,
}

impl Command {
    /// The deliveries that it records.
    pub(super) fn waiting(&self) -> &[Waiting] {
        match &self.work {
            Work::Record(waiting) => waiting,
            Work::Run(_) => &[],
        }
    }
}

impl Work {
    /// The same, each thing by itself.
    pub(super) fn alone(self) -> Vec<Run> {
        match self {
            Work::Run(run) => vec![run],
            Work::Record(waiting) => waiting.into_iter().map(Waiting::alone).collect(),
        }
    }
}

impl Waiting {
    fn alone(self) -> Run {
        let Waiting { arrival, tell } = self;
        told(tell, move |tx| tx.record(&arrival))
    }
}

/// Runs `verb` and tells what it came to.
pub(super) fn told<T: Send + 'static>(
    tell: oneshot::Sender<Result<T, LedgerError>>,
    verb: impl FnOnce(&Tx<'_>) -> Result<T, LedgerError> + Send + 'static,
) -> Run {
    Box::new(move |tx| {
        let result = tx.and_then(verb);
        let fate = match &result {
            Ok(_) => Fate::Keep,
            Err(error) if is_fault(error) => Fate::Fault(again(error)),
            Err(_) => Fate::TakeBack,
        };
        (fate, answer(tell, result))
    })
}

/// Tells `result`, or why nothing was written.
pub(super) fn answer<T: Send + 'static>(
    tell: oneshot::Sender<Result<T, LedgerError>>,
    result: Result<T, LedgerError>,
) -> Answer {
    Box::new(move |failed| {
        let result = match failed {
            Some(error) => Err(error),
            None => result,
        };
        // Nobody waits any more after a time-out; the commit stands all the same.
        let _ = tell.send(result);
    })
}

/// The same error for one more caller.
pub(super) fn again(error: &LedgerError) -> LedgerError {
    match error {
        LedgerError::Unavailable(why) => LedgerError::Unavailable(why.clone()),
        LedgerError::Damaged => LedgerError::Damaged,
        other => LedgerError::Unavailable(other.to_string()),
    }
}
