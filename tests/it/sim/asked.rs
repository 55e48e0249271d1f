//! The provider's API in the simulation: it answers, or not now, or its answer
//! is lost. What it would answer is the tale's.

use rand::RngExt as _;
use tributary::ledger::{Answer, Asking, Delivery};
use tributary::movement::Authority;
use tributary::provider::Kept;

use super::{SOURCES, Sim};

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
