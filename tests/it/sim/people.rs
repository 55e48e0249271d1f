//! People in the simulation: those who decide about payments, and those who
//! delete rows at the destination without telling anybody.

use rand::RngExt as _;
use tributary::ledger::{Decision, Filter};
use tributary::plan::Policy;

use super::calls::Way;
use super::{SOURCES, Sim};

impl Sim {
    /// A person skips a payment, or takes a skip back; the destination may learn
    /// of the customer.
    pub(super) async fn decide(&mut self) {
        self.far.knows_customer |= self.rng.random_ratio(1, 3);
        let at = self.rng.random_range(0..self.truths.len());
        let truth = &self.truths[at];
        // Who of two twins goes on is not a person's to say here.
        if truth.twin {
            return;
        }
        let id = truth.id.clone();
        let decision = match (self.skipped.contains(&id), self.policy) {
            (false, _) => Decision::Skip { leave: true },
            (true, Policy::Replace) if self.rng.random_ratio(1, 2) => Decision::Policy {
                policy: Policy::Negative,
            },
            (true, _) => Decision::Accept,
        };
        self.decided(&id, decision).await;
    }

    pub(super) async fn decided(&mut self, id: &str, decision: Decision) {
        let filter = Filter {
            source: Some(SOURCES[0].to_owned()),
            payment_id: Some(id.to_owned()),
            ..Filter::default()
        };
        let (what, word) = (decision.word(), self.bench.word());
        let decided = self.bench.ledger.decide(filter, decision, word, false);
        let (lines, _) = decided.await.unwrap();
        for line in lines.iter().filter(|line| line.refused.is_none()) {
            match what {
                "skip" => self.skipped.insert(id.to_owned()),
                _ => self.skipped.remove(id),
            };
            self.note(format!("{what} {id}: {:?}", line.after));
        }
    }

    /// Somebody else deletes a row of ours. Of a payment that two sources tell of
    /// none: which of them is held is not theirs to change.
    pub(super) fn meddle(&mut self) {
        if !self.far.thieves {
            return;
        }
        let under_way = |id: &str| {
            let mut open = self.flying.iter().filter(|it| it.way != Way::Never);
            open.any(|it| it.begun.payment_id == id)
        };
        let mut keys = Vec::new();
        for truth in &self.truths {
            if !truth.twin && !under_way(&truth.id) {
                keys.extend(self.far.keys_of(SOURCES[0], &truth.id));
            }
        }
        if !keys.is_empty() {
            let key = keys.swap_remove(self.rng.random_range(0..keys.len()));
            self.note(format!("somebody else deletes {key}"));
            self.far.steal(&key);
        }
    }
}
