//! The provider's API in the simulation: it answers, or not now, or its answer
//! is lost. What it would answer is the tale's.

use rand::RngExt as _;
use tributary::ledger::{Answer, Asking, Delivery};
use tributary::movement::{Authority, Reading, rank};
use tributary::provider::Kept;

use super::{SOURCES, Sim};
use crate::bench::whole_list;

/// Later than anything that is told.
const LISTED: i64 = 100;

/// All refunds at once: one answer of one moment, which says that it is all.
fn whole(list: &mut Reading, payment_id: &str) {
    let standing = list.movements.iter();
    let standing = standing.filter(|it| it.fact.rank == rank::LIVE);
    let sum = standing.map(|it| it.fact.amount).sum();
    for movement in &mut list.movements {
        movement.fact.version = LISTED;
    }
    let whole = whole_list(payment_id, sum, LISTED);
    list.movements.extend(whole.movements);
}

impl Sim {
    pub(super) async fn ask(&mut self) {
        let source = SOURCES[self.rng.random_range(0..SOURCES.len())];
        if let Some(asking) = self.bench.ledger.ask(source).await.unwrap() {
            match self.rng.random_range(0..4) {
                0 => self.note(format!("asked in vain: {:?}", asking.asked)),
                1 => {
                    self.note(format!("asked, not now: {:?}", asking.asked));
                    let later = Answer::Later {
                        why: "it answered 500".to_owned(),
                        not_before: None,
                    };
                    self.bench.ledger.answer(asking, later).await.unwrap();
                }
                _ => self.answered(asking).await,
            }
        }
    }

    pub(super) async fn answered(&mut self, asking: Asking) {
        self.note(format!("answered: {:?}", asking.asked));
        let key = (asking.asked.kind.clone(), asking.asked.id.clone());
        let mut reading = self.answers[&key].clone();
        if asking.asked.kind == "refunds" {
            whole(&mut reading, &asking.asked.id);
        }
        for movement in &mut reading.movements {
            movement.fact.authority = Authority::Api;
        }
        reading.scope = asking.asked.scope.clone();
        let delivery = Delivery {
            source: asking.source.clone(),
            body: serde_json::to_vec(&reading).unwrap().into(),
            received_at: self.bench.clock.now(),
            secret: 0,
            kept: Kept {
                asked: Some(asking.asked.clone()),
                ..Kept::default()
            },
            reading: Ok(reading),
        };
        let told = Answer::Told(Box::new(delivery));
        self.bench.ledger.answer(asking, told).await.unwrap();
    }
}
