//! The forwarder: one loop per destination that carries out what the ledger
//! hands it.
//!
//! A rate permit first, then one payment; the ledger puts the intent on disk,
//! the call is made with no transaction open, the ledger settles. It decides
//! nothing about money and keeps nothing that a crash could lose: the breaker
//! and the permits are about the destination, never about a payment.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::circuit::{Circuit, Held};
use crate::destination::{CustomerAnswer, Deadline, Destination, Gate, Outcome};
use crate::ledger::{Ask, Begun, Binding, Bound, Ledger, LedgerError, Note, Outgoing, Settled};
use crate::metrics;
use crate::readback;
use crate::time::{Clock, Reading, SECOND_MS};

/// How long an idle forwarder waits before it looks again: what another process
/// made due is seen by then. A look is two index seeks.
const IDLE_MS: u64 = 250;

/// The longest nap while a destination is closed, so that a shutdown or a
/// person's decision is not kept waiting.
const NAP_MS: i64 = SECOND_MS;

/// A provider's customer id is written in every sixteenth turn at most while
/// payments are due: it earns nobody anything. Such a turn is the first that is asked for,
/// so no more calls than this begin in one commit either.
const BINDING_EVERY: u64 = 16;

/// Settling is tried this often before the read-back is left to find out.
const SETTLE_TRIES: u32 = 5;

/// One destination's forwarder.
pub struct Forwarder {
    ledger: Ledger,
    destination: Arc<Destination>,
    clock: Clock,
    wake: Arc<Notify>,
    stop: CancellationToken,
    under_way: TaskTracker,
    circuit: Circuit,
    sweeping: tokio::sync::Mutex<()>,
}

impl Forwarder {
    /// A forwarder for `destination`; `wake` is told when something became due.
    #[must_use]
    pub fn new(
        ledger: Ledger,
        destination: Arc<Destination>,
        clock: Clock,
        wake: Arc<Notify>,
        stop: CancellationToken,
    ) -> Forwarder {
        let circuit = Circuit::new(ledger.clone(), destination.name(), clock.clone());
        Forwarder {
            ledger,
            destination,
            clock,
            wake,
            stop,
            under_way: TaskTracker::new(),
            circuit,
            sweeping: tokio::sync::Mutex::new(()),
        }
    }

    /// The destination that it calls.
    #[must_use]
    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    /// The ledger that it works for.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The clock that it goes by.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Says that something may have become due.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Waits for `ms` milliseconds; false where it is told to stop before.
    pub async fn pause(&self, ms: u64) -> bool {
        let slept = tokio::time::sleep(Duration::from_millis(ms));
        self.unless_stopped(slept).await.is_some()
    }

    /// Waits until the destination may be called by somebody else beside the calls
    /// of this forwarder, within its limits; `None` where it is told to stop.
    pub async fn beside(&self) -> Option<OwnedSemaphorePermit> {
        loop {
            while !self.circuit.is_passable() {
                if !self.pause(IDLE_MS).await {
                    return None;
                }
            }
            if let Some(slot) = self.room().await {
                return Some(slot);
            }
            if self.stop.is_cancelled() {
                return None;
            }
        }
    }

    /// Hears what came of a call that somebody else made beside its own.
    pub async fn heard(&self, outcome: &Outcome) {
        self.observe(outcome).await;
    }

    /// Runs until told to stop, then waits for the calls under way.
    pub async fn run(self: Arc<Self>) {
        self.obey_an_earlier_pause().await;
        self.tell_of_a_copy().await;
        let (mut turn, mut plenty) = (1, false);
        while !self.stop.is_cancelled() {
            if !self.may_call().await {
                continue;
            }
            let Some(slot) = self.room().await else {
                continue;
            };
            let slots = match plenty {
                true => self.more_room(slot, turn),
                false => vec![slot],
            };
            let turns = turn..turn.saturating_add(slots.len() as u64);
            turn = turns.end;
            let sure = plenty;
            plenty = self.turn(Ask { turns, sure }, slots).await;
        }
        self.under_way.close();
        self.under_way.wait().await;
    }

    /// A slot in flight, then a permit of the rate; `None` as for a permit.
    async fn room(&self) -> Option<OwnedSemaphorePermit> {
        let slot = self.unless_stopped(self.destination.slot()).await?;
        self.permit().await.then_some(slot)
    }

    /// Room for as many more calls as need not wait for any, up to the next turn of the
    /// bindings. A permit that is not used is lost, so there has to be plenty to do.
    fn more_room(&self, slot: OwnedSemaphorePermit, turn: u64) -> Vec<OwnedSemaphorePermit> {
        let mut slots = vec![slot];
        let until = turn.next_multiple_of(BINDING_EVERY);
        while turn.saturating_add(slots.len() as u64) < until
            && let Some(slot) = self.destination.room_at_once()
        {
            slots.push(slot);
        }
        slots
    }

    /// A permit of the rate. False where it is told to stop, or where the destination
    /// asked others for a pause, which is obeyed here as well.
    async fn permit(&self) -> bool {
        match self.unless_stopped(self.destination.permit()).await {
            Some(Ok(())) => true,
            Some(Err(outcome)) => {
                self.observe(&outcome).await;
                false
            }
            None => false,
        }
    }

    /// One permit is in hand: it is kept until there is something to use it for. That of
    /// a rate that others share is not: it is taken anew once there is. True where all
    /// slots found a call, so that there may be more to do.
    async fn turn(self: &Arc<Self>, mut ask: Ask, mut slots: Vec<OwnedSemaphorePermit>) -> bool {
        let first = ask.turns.start;
        let mut stale = false;
        while !self.stop.is_cancelled() {
            if !self.circuit.is_passable() {
                return false;
            }
            if stale && self.destination.is_shared() {
                if !self.has_work().await {
                    self.idle().await;
                    continue;
                }
                if !self.permit().await {
                    return false;
                }
            }
            stale = true;
            if first.is_multiple_of(BINDING_EVERY) && self.bind_one().await {
                return false;
            }
            let before = self.clock.read();
            let asked = std::mem::replace(&mut ask, Ask::one(first));
            let turn = match self.ledger.begin(self.destination.name(), asked).await {
                Ok(turn) => turn,
                Err(error) => {
                    tracing::warn!(destination = self.destination.name(), %error, "cannot begin a call");
                    self.nap(SECOND_MS).await;
                    slots.truncate(1);
                    continue;
                }
            };
            if let Some(until) = turn.paused_until {
                self.circuit.obey(until);
                return false;
            }
            if turn.read_backs {
                self.start_sweep();
            }
            let plenty = turn.begun.len() == slots.len();
            // None is held for what was not there, before there is a wait for it.
            slots.truncate(turn.begun.len().max(1));
            if turn.begun.is_empty() {
                if self.bind_one().await {
                    return false;
                }
                self.idle().await;
                continue;
            }
            for (begun, slot) in turn.begun.into_iter().zip(slots) {
                let me = Arc::clone(self);
                self.under_way
                    .spawn(async move { me.carry_out(begun, before, slot).await });
            }
            return plenty;
        }
        false
    }

    /// Whether there might be something to do; where the ledger cannot say, it is asked
    /// to hand it out, which tells why.
    async fn has_work(&self) -> bool {
        let name = self.destination.name();
        let due = self.ledger.has_work(name).await.unwrap_or(true);
        due || matches!(self.ledger.binding(name).await, Ok(Some(_)))
    }

    /// Makes one call and settles it. Where the destination took it, the next one may
    /// begin before the ledger knows; anything else is settled first, because it may say
    /// that another call had better not be made.
    async fn carry_out(&self, begun: Begun, before: Reading, slot: OwnedSemaphorePermit) {
        let left = begun.deadline.since(before.wall);
        let deadline = Deadline {
            wall: begun.deadline,
            boot_ms: before.boot_ms.saturating_add(left),
        };
        let started = self.clock.read();
        let (word, outcome) = match &begun.call {
            Outgoing::Post(transaction) => {
                ("post", self.destination.post(transaction, deadline).await)
            }
            Outgoing::Delete { key } => ("delete", self.destination.delete(key, deadline).await),
        };
        let elapsed = self.clock.read().boot_ms.saturating_sub(started.boot_ms);
        metrics::attempt(self.destination.name(), word, outcome.name(), elapsed);
        self.observe(&outcome).await;
        let slot = (outcome != Outcome::Accepted).then_some(slot);
        if slot.is_none() {
            // The next intent first: a call waits for it, and for this one nobody.
            tokio::task::yield_now().await;
        }
        match self.settle(&begun, &outcome).await {
            Some(settled) => tracing::info!(
                destination = self.destination.name(),
                source = begun.source,
                payment_id = begun.payment_id,
                call = word,
                outcome = outcome.name(),
                state = settled.state.word(),
                "a call ended"
            ),
            None => tracing::error!(
                destination = self.destination.name(),
                source = begun.source,
                payment_id = begun.payment_id,
                call = word,
                outcome = outcome.name(),
                "a call ended and the ledger could not take it; it will be read back"
            ),
        }
        drop(slot);
        self.wake.notify_one();
    }

    async fn settle(&self, begun: &Begun, outcome: &Outcome) -> Option<Settled> {
        for turn in 1..=SETTLE_TRIES {
            let dice = rand::random();
            match self.ledger.settle(begun.claim, outcome.clone(), dice).await {
                Ok(settled) => return Some(settled),
                Err(LedgerError::Unavailable(why)) if turn < SETTLE_TRIES => {
                    tracing::warn!(why, "the ledger cannot settle a call now");
                    tokio::time::sleep(Duration::from_millis(200 * u64::from(turn))).await;
                }
                Err(error) => {
                    tracing::error!(%error, "the ledger refused to settle a call");
                    return None;
                }
            }
        }
        None
    }

    /// Reads unknown outcomes back beside the calls; one sweep at a time, and
    /// every page of it takes a permit of the same rate.
    fn start_sweep(self: &Arc<Self>) {
        let me = Arc::clone(self);
        if self.sweeping.try_lock().is_err() {
            return;
        }
        self.under_way.spawn(async move {
            let Ok(_only) = me.sweeping.try_lock() else {
                return;
            };
            let swept = readback::sweep(&me.ledger, &me.destination, &me.clock, &me.stop).await;
            match swept {
                Ok(trouble) => {
                    if let Some(outcome) = trouble {
                        me.observe(&outcome).await;
                    }
                }
                Err(error) => tracing::warn!(%error, "cannot read back"),
            }
            me.wake.notify_one();
        });
    }

    /// Writes one provider's customer id to the destination, where none stands.
    /// True where the permit was used.
    async fn bind_one(&self) -> bool {
        let name = self.destination.name();
        let binding = match self.ledger.binding(name).await {
            Ok(Some(binding)) if self.destination.v2_available() => binding,
            _ => return false,
        };
        let bound = self.bind(&binding).await;
        if let Err(error) = self.ledger.bound(name, binding, bound).await {
            tracing::warn!(%error, "cannot write down a provider key's fate");
        }
        true
    }

    async fn bind(&self, binding: &Binding) -> Bound {
        let outcome = match self.destination.customer(&binding.customer_key).await {
            Ok(CustomerAnswer::Found {
                provider_key: None, ..
            }) => {
                if !self.permit().await {
                    return Bound::Later;
                }
                let (customer, id) = (&binding.customer_key, &binding.provider_key);
                self.destination.bind_provider_key(customer, id).await
            }
            Ok(CustomerAnswer::Found {
                provider_key: Some(stands),
                ..
            }) => {
                return match stands == binding.provider_key {
                    true => Bound::Done,
                    false => Bound::Kept,
                };
            }
            Ok(CustomerAnswer::Missing) => return Bound::Later,
            Err(outcome) => outcome,
        };
        metrics::attempt(self.destination.name(), "bind", outcome.name(), 0);
        self.observe(&outcome).await;
        match outcome {
            Outcome::Accepted => Bound::Done,
            Outcome::Refused { .. } | Outcome::Gone | Outcome::Mismatch { .. } => Bound::Refused,
            _ => Bound::Later,
        }
    }

    /// Asks the circuit, probes where it says so. False after waiting.
    async fn may_call(&self) -> bool {
        match self.circuit.gate() {
            Gate::Pass => true,
            Gate::Probe => {
                self.probe().await;
                false
            }
            Gate::Wait(until) => {
                self.nap(until.since(self.clock.now())).await;
                false
            }
        }
    }

    /// The probe is a GET and can pay nobody.
    async fn probe(&self) {
        if !self.permit().await {
            return;
        }
        match self.destination.who().await {
            Ok(_) => {
                self.circuit.answered();
                tracing::info!(
                    destination = self.destination.name(),
                    "the destination answers again"
                );
                self.write_note(None).await;
            }
            Err(outcome) => self.observe(&outcome).await,
        }
    }

    /// Tells the circuit, and tells people when it opens or closes.
    async fn observe(&self, outcome: &Outcome) {
        let (before, after) = self.circuit.observe(outcome).await;
        if before == after {
            return;
        }
        let status = match after {
            Held::Stopped => Some(format!(
                "stopped: the destination answered {}; payments keep queueing, a GET asks again from time to time",
                outcome.name().replace('_', " ")
            )),
            Held::Open => Some(
                "the circuit is open: too many calls in a row without a clear answer; a GET asks again from time to time"
                    .to_owned(),
            ),
            Held::No => None,
        };
        match &status {
            Some(why) => tracing::error!(
                destination = self.destination.name(),
                why,
                "forwarding stopped"
            ),
            None => tracing::info!(destination = self.destination.name(), "forwarding goes on"),
        }
        self.write_note(status).await;
    }

    async fn write_note(&self, status: Option<String>) {
        let note = Note {
            destination: self.destination.name().to_owned(),
            status,
        };
        if let Err(error) = self.ledger.note(note).await {
            tracing::warn!(%error, "cannot note a destination's status");
        }
    }

    /// What a destination asked for before a restart still holds.
    async fn obey_an_earlier_pause(&self) {
        self.write_note(None).await;
        if let Err(error) = self.circuit.obey_the_ledger().await {
            tracing::warn!(%error, "cannot tell whether a destination asked for a pause");
        }
    }

    /// A copy of a ledger hands nothing out; whoever started on one should know.
    async fn tell_of_a_copy(&self) {
        match self.ledger.copied_at(self.destination.name()).await {
            Ok(Some(at)) => tracing::warn!(
                destination = self.destination.name(),
                why = crate::ledger::copied_sentence(at),
                "forwarding stopped"
            ),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "cannot tell whether this ledger is a copy"),
        }
    }

    /// Waits until woken, or until it is time to look again.
    async fn idle(&self) {
        tokio::select! {
            () = self.wake.notified() => {}
            () = tokio::time::sleep(Duration::from_millis(IDLE_MS)) => {}
            () = self.stop.cancelled() => {}
        }
    }

    async fn nap(&self, ms: i64) {
        let ms = u64::try_from(ms.clamp(1, NAP_MS)).unwrap_or(1);
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(ms)) => {}
            () = self.stop.cancelled() => {}
        }
    }

    async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            () = self.stop.cancelled() => None,
        }
    }
}
