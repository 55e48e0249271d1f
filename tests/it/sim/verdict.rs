//! The end of a seed: the world heals, everything is told, and what the
//! destination holds is compared with the truth and with what the ledger says.

use std::collections::BTreeSet;

use tributary::ledger::{Decision, Difference, Differs};
use tributary::plan::Policy;
use tributary::time::{DAY_MS, MINUTE_MS};

use super::{SOURCES, Sim};
use crate::bench::START;
use crate::tale::Truth;

/// Quiet rounds after healing, each longer than the one before, because what
/// waits does: together about six days, and a customer is asked for daily.
const HEALING_ROUNDS: i64 = 130;

/// More calls than any history needs: a plan that does not end is a failure.
const HEALING_CALLS_MOST: usize = 300;

/// States in which something is still to come.
const OPEN: [&str; 3] = ["due", "waiting", "unattributed"];

impl Sim {
    /// The destination behaves, everything is told, time passes.
    pub(super) async fn heal(&mut self) {
        self.note("healing".to_owned());
        self.far.knows_customer = true;
        self.far.denies = false;
        while !self.events.is_empty() {
            self.tell().await;
        }
        let mut left = HEALING_CALLS_MOST;
        for round in 1..=HEALING_ROUNDS {
            self.pass(round * MINUTE_MS);
            self.give_up().await;
            for id in self.skipped.clone() {
                self.decided(&id, Decision::Accept).await;
            }
            self.read_back(true).await;
            self.ask_all(&mut left).await;
            while left > 0
                && let Some(begun) = self.bench.begin().await
            {
                left -= 1;
                self.healed_call(begun).await;
            }
            self.pass(0);
            if self.is_quiet().await {
                // A question that was asked in vain comes round within a day; who
                // accepted a doubt did not wait for its answer.
                self.pass(DAY_MS);
                if !self.ask_all(&mut left).await {
                    return;
                }
            }
        }
    }

    /// Answers every question that is due; false where there was none.
    async fn ask_all(&mut self, left: &mut usize) -> bool {
        let before = *left;
        for source in SOURCES {
            while *left > 0
                && let Some(asking) = self.bench.ledger.ask(source).await.unwrap()
            {
                *left -= 1;
                self.answered(asking).await;
            }
        }
        *left < before
    }

    async fn is_quiet(&self) -> bool {
        let states = self.bench.ledger.summary().await.unwrap().states;
        let open = OPEN.iter().any(|it| states.contains_key(*it));
        let held = states.get("held").copied().unwrap_or_default();
        let may_be_held = |truth: &&Truth| truth.twin || self.is_robbed(truth);
        let may_be_held = self.truths.iter().filter(may_be_held).count();
        let held = held <= i64::try_from(may_be_held).unwrap() || !self.far.prompt || self.lost;
        !open && held && self.skipped.is_empty() && self.flying.is_empty()
    }

    fn is_robbed(&self, truth: &Truth) -> bool {
        let stolen = self.far.stolen.iter();
        let mut ours = stolen.filter_map(|key| key.strip_prefix("stripe:"));
        ours.any(|key| key.split(':').next() == Some(&truth.id))
    }

    pub(super) async fn verdict(&mut self) -> Result<(), String> {
        let differences = self.compared().await;
        if let Some(wrong) = &self.wrong {
            return Err(wrong.clone());
        }
        let mut rows = self.far.there.rows.iter();
        if let Some((key, _)) = rows.find(|(_, rows)| rows.iter().any(|row| row.0 != "acme")) {
            return Err(format!("{key} stands under another customer"));
        }
        let mut told_of = BTreeSet::new();
        for difference in differences {
            let stolen = self.far.stolen.contains(&difference.key);
            if !stolen && self.far.prompt && !self.is_a_lost_correction(&difference) {
                return Err(format!("the list differs: {difference:?}"));
            }
            let named = difference.key.split(':').nth(1).map(str::to_owned);
            told_of.extend(difference.payment_id.or(named));
        }
        for truth in &self.truths {
            self.judge(truth, told_of.contains(&truth.id)).await?;
        }
        Ok(())
    }

    /// A correction that the lost ledger posted last, for what this one may never have
    /// to correct: `reconcile` names it, and nothing else can.
    fn is_a_lost_correction(&self, difference: &Difference) -> bool {
        let later = difference.key.split(':').count() > 2;
        self.lost && later && difference.differs == Differs::Unknown
    }

    /// What the destination's whole list says against the ledger, written down as
    /// `reconcile --fix` does; what it makes of that must not be called.
    async fn compared(&mut self) -> Vec<Difference> {
        self.pass(DAY_MS);
        let now = self.bench.clock.now();
        let ledger = self.bench.ledger.clone();
        let since = START.plus(-DAY_MS);
        let comparison = ledger.begin_comparison("ps", since).await.unwrap();
        let listed = ledger.compare(comparison.clone(), self.far.list(now)).await;
        let mut found = listed.unwrap();
        found.extend(ledger.unlisted(comparison, None).await.unwrap().differences);
        if self.far.prompt && !found.is_empty() {
            ledger.correct(found.clone()).await.unwrap();
            self.pass(DAY_MS);
            if let Some(begun) = self.bench.begin().await {
                let posted = super::named(&begun);
                self.wrong(format!("{posted} for what somebody else deleted"));
            }
        }
        found
    }

    async fn judge(&self, truth: &Truth, told_of: bool) -> Result<(), String> {
        let expected = match self.policy {
            Policy::Delete if truth.reversed => 0,
            _ => truth.net,
        };
        let mut told = Vec::new();
        let (mut held, mut forwarded, mut settled) = (0, 0, 0);
        for source in &SOURCES[..1 + usize::from(truth.twin)] {
            let payment = self.bench.payment_of(source, &truth.id).await;
            held += self.far.there.sum_at(source, &truth.id);
            forwarded += payment.forwarded;
            settled += usize::from(payment.state == "settled");
            told.push((payment.state, payment.forwarded, payment.reason));
        }
        let same = |reason: &Option<String>| {
            let reason = reason.as_deref().unwrap_or_default();
            reason.starts_with("the same money as")
        };
        if told.iter().all(|(_, _, reason)| same(reason)) {
            return Err(format!("{}: neither of two goes on: {told:?}", truth.id));
        }
        let exact = (held, forwarded, settled) == (expected, expected, 1);
        let (state, _, _) = &told[0];
        let any_held = told.iter().any(|(state, ..)| *state == "held");
        // The lost ledger used a key up, and nothing says so but the refusal.
        let used_up = self.lost && self.far.hides(SOURCES[0], &truth.id);
        let fair = match (self.far.prompt, self.is_robbed(truth)) {
            // What the lost ledger knew last may have to be looked at by a person; but
            // nobody is paid twice, unless somebody else deleted what took it back.
            (prompt, robbed) if self.lost && any_held => held <= truth.gross || robbed || !prompt,
            // What it posted behind that key `reconcile` tells, as of any lost correction.
            (true, _) if used_up => exact || told_of || ["failed", "due"].contains(state),
            (true, false) if self.lost => exact || told_of,
            (true, false) => exact,
            (true, true) if self.lost => exact || *state == "failed",
            // A person is told of what somebody else did, unless nothing was to
            // stay there anyway.
            (true, true) => *state == "held" || *state == "settled" && held == expected,
            // Where lists cannot be believed nothing is wrong unsaid.
            (false, _) => exact || told_of || ["held", "failed"].contains(state),
        };
        match fair {
            true => Ok(()),
            false => Err(format!(
                "{}: the truth is {expected}, the destination holds {held}, the ledger says {told:?}",
                truth.id
            )),
        }
    }
}
