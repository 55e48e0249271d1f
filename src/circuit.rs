//! When one process may call a destination: its breaker, and what whoever shares
//! the ledger was asked for.
//!
//! A destination that says "later" says it to all of us: the time goes into the
//! ledger, where every process finds it, whoever was told and by whatever call. The
//! rest of the breaker is about this process's own calls and is kept nowhere.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::OwnedSemaphorePermit;

use crate::destination::{Breaker, Destination, Gate, Outcome};
use crate::ledger::{Ledger, LedgerError};
use crate::time::{Clock, MINUTE_MS, SECOND_MS, Time};

/// The longest that a command waits for a destination that asked to be left alone,
/// in milliseconds: a person sits before it.
const PATIENCE_MS: i64 = 2 * MINUTE_MS;

/// Who says when the destination may be called, and hears what came of it.
pub trait Door: Sync {
    /// Waits until one call may be made; `None` where there is to be none.
    fn open(&self) -> impl Future<Output = Option<OwnedSemaphorePermit>> + Send;
    /// Hears of a page that did not come.
    fn heard(&self, outcome: &Outcome) -> impl Future<Output = ()> + Send;
    /// Hears that something became due.
    fn due(&self);
}

/// What a circuit is: all is well, open, or stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// Calls pass, but for a pause.
    No,
    /// Too many calls in a row without a clear answer.
    Open,
    /// Wrong credentials or a wrong address.
    Stopped,
}

/// The circuit of one destination in one process.
pub struct Circuit {
    ledger: Ledger,
    destination: String,
    clock: Clock,
    breaker: Mutex<Breaker>,
}

impl Circuit {
    /// A closed one.
    #[must_use]
    pub fn new(ledger: Ledger, destination: &str, clock: Clock) -> Circuit {
        Circuit {
            ledger,
            destination: destination.to_owned(),
            clock,
            breaker: Mutex::new(Breaker::new()),
        }
    }

    /// What may be done now; a probe is handed out once.
    #[must_use]
    pub fn gate(&self) -> Gate {
        self.breaker().gate(self.clock.now())
    }

    /// True while calls may be made. It asks a copy, so that the probe is left for
    /// who goes through the gate.
    #[must_use]
    pub fn is_passable(&self) -> bool {
        let mut copy = self.breaker().clone();
        copy.gate(self.clock.now()) == Gate::Pass
    }

    /// A read succeeded.
    pub fn answered(&self) {
        self.breaker().answered();
    }

    /// Holds calls until a time that stands in the ledger.
    pub fn obey(&self, until: Time) {
        let asked = Outcome::paused_until(until);
        self.breaker().observe(&asked, self.clock.now());
    }

    /// Obeys what any process was asked for before.
    ///
    /// # Errors
    /// As the ledger's.
    pub async fn obey_the_ledger(&self) -> Result<(), LedgerError> {
        if let Some(until) = self.ledger.paused_until(&self.destination).await? {
            self.obey(until);
        }
        Ok(())
    }

    /// Learns from the outcome of a call, and tells the others of a pause. Answers
    /// what the circuit was before and is now.
    pub async fn observe(&self, outcome: &Outcome) -> (Held, Held) {
        let (before, after, pause) = {
            let mut breaker = self.breaker();
            let (before, known) = (held(&breaker), breaker.paused_until());
            breaker.observe(outcome, self.clock.now());
            let pause = breaker.paused_until();
            (before, held(&breaker), pause.filter(|_| pause != known))
        };
        if let Some(until) = pause
            && let Err(error) = self.ledger.pause(&self.destination, until).await
        {
            tracing::warn!(%error, "only this process knows that a destination asked for a pause");
        }
        (before, after)
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn held(breaker: &Breaker) -> Held {
    match (breaker.is_open(), breaker.is_stopped()) {
        (_, true) => Held::Stopped,
        (true, false) => Held::Open,
        (false, false) => Held::No,
    }
}

/// The door of a command, which calls the destination beside whoever serves.
pub struct Alone<'a> {
    destination: &'a Destination,
    circuit: Circuit,
}

impl<'a> Alone<'a> {
    /// A door that stays shut as long as the destination asked any process for.
    ///
    /// # Errors
    /// As the ledger's.
    pub async fn new(
        ledger: &Ledger,
        destination: &'a Destination,
        clock: &Clock,
    ) -> Result<Alone<'a>, LedgerError> {
        let circuit = Circuit::new(ledger.clone(), destination.name(), clock.clone());
        circuit.obey_the_ledger().await?;
        Ok(Alone {
            destination,
            circuit,
        })
    }
}

impl Door for Alone<'_> {
    async fn open(&self) -> Option<OwnedSemaphorePermit> {
        let clock = &self.circuit.clock;
        let patience = clock.now().plus(PATIENCE_MS);
        loop {
            if let Gate::Wait(until) = self.circuit.gate() {
                if until > patience {
                    return None;
                }
                let ms = until.since(clock.now()).clamp(1, SECOND_MS);
                let ms = u64::try_from(ms).unwrap_or(1);
                tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
                continue;
            }
            let slot = self.destination.slot().await;
            match self.destination.permit().await {
                Ok(()) => return Some(slot),
                Err(outcome) => self.heard(&outcome).await,
            }
        }
    }

    async fn heard(&self, outcome: &Outcome) {
        self.circuit.observe(outcome).await;
    }

    fn due(&self) {}
}
