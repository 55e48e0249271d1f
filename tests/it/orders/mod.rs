//! Any order: for every provider the documents of one payment, read by the
//! provider's own `parse` and recorded in every order there is, with repeats and
//! with calls in between, end in one position, one state and one sum at the
//! destination.
//!
//! Where there are too many orders a seeded sample of them is played. What a
//! document proves about its sender is not judged here.

mod billing;
mod cards;

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use tokio::task::JoinSet;
use tributary::ledger::book::SourceTerms;
use tributary::ledger::{Answer, Delivery, NewLink};
use tributary::money::Currency;
use tributary::provider::{self, Asked, Document, Kept, Provider};
use tributary::time::{DAY_MS, MINUTE_MS};

use crate::bench::*;

/// With more documents their orders are too many, and a sample is played.
const ALL_ORDERS_UP_TO: usize = 6;

/// Orders in a sample.
const SAMPLE: usize = 500;

/// Orders on a server: the core that orders matter to is the same text there.
const ORDERS_ON_SERVER: usize = 12;

/// The fewest plays of a story: where there are few orders each is played with
/// several choices of what is repeated.
const PLAYS_LEAST: usize = 120;

/// Quiet days at the end: what is asked for again comes round.
const QUIET_DAYS: i64 = 4;

/// One thing that is said of a payment.
#[derive(Clone)]
enum Said {
    /// A webhook.
    Webhook(Kept, String),
    /// The merchant's back end links an id: its kind, the id, and an amount where
    /// the provider says none.
    Link(&'static str, String, Option<(i64, &'static str)>),
}

/// What a story leaves behind.
#[derive(Debug, PartialEq)]
struct End {
    state: &'static str,
    gross: Option<i64>,
    net: Option<i64>,
    there: i64,
}

/// A payment's story as one provider tells it.
struct Story {
    provider: &'static str,
    /// Settings of the source.
    settings: &'static str,
    /// Lookup rules, where the provider's own do not do.
    rules: &'static [&'static str],
    /// The payment's id, from its number.
    payment_id: fn(usize) -> String,
    /// All that is said of it.
    said: fn(usize) -> Vec<Said>,
    /// What the provider's API answers, whenever it is asked.
    answered: fn(&Asked) -> String,
    gross: i64,
    net: i64,
}

/// For providers whose API need not be asked.
fn nothing(asked: &Asked) -> String {
    panic!("nobody should ask: {asked:?}")
}

fn webhook(body: impl ToString) -> Said {
    Said::Webhook(Kept::default(), body.to_string())
}

/// The number at the end of an id.
fn number_of(id: &str) -> usize {
    let digits = id.rsplit(|it: char| !it.is_ascii_digit()).next();
    digits.and_then(|digits| digits.parse().ok()).unwrap()
}

/// Every order of so many things, or a sample.
fn orders(many: usize, rng: &mut StdRng) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    if many > ALL_ORDERS_UP_TO {
        let mut order: Vec<usize> = (0..many).collect();
        let shuffled = std::iter::repeat_with(|| {
            order.shuffle(rng);
            order.clone()
        });
        return shuffled.take(SAMPLE).collect();
    }
    for next in 0..many {
        let put = |order: &Vec<usize>| {
            let places = 0..=order.len();
            let longer = |at| {
                let mut longer = order.clone();
                longer.insert(at, next);
                longer
            };
            places.map(longer).collect::<Vec<_>>()
        };
        all = all.iter().flat_map(put).collect();
    }
    let once = all.clone();
    while all.len() < PLAYS_LEAST {
        all.extend(once.iter().cloned());
    }
    all
}

/// Repeats some of an order at random places behind it.
fn repeated(mut order: Vec<usize>, rng: &mut StdRng) -> Vec<usize> {
    for one in order.clone() {
        if rng.random_ratio(1, 3) {
            order.insert(rng.random_range(0..=order.len()), one);
        }
    }
    order
}

impl Story {
    fn bench(&self, built: &dyn Provider) -> Bench {
        let rules = match self.rules {
            [] => built.lookup(),
            rules => rules,
        };
        let api = built.api();
        let kinds = api.iter().flat_map(|api| &api.kinds);
        Bench::in_memory(vec![SourceTerms {
            provider: self.provider.to_owned(),
            rules: rules.iter().map(|rule| rule.parse().unwrap()).collect(),
            asks: kinds.map(|it| it.kind.to_owned()).collect(),
            ..terms("shop")
        }])
    }

    async fn play(&self) {
        let built = provider::build(self.provider, self.settings.parse().unwrap()).unwrap();
        let mut rng = StdRng::seed_from_u64(7);
        let many = (self.said)(0).len();
        let mut all: Vec<Vec<usize>> = orders(many, &mut rng)
            .into_iter()
            .map(|order| repeated(order, &mut rng))
            .collect();
        if on_postgres() {
            all.shuffle(&mut rng);
            all.truncate(ORDERS_ON_SERVER);
        }
        let mut bench = self.bench(built.as_ref());
        let mut there = There::default();
        let longest = all.iter().map(Vec::len).max().unwrap();
        for step in 0..longest {
            let mut told = JoinSet::new();
            for (number, order) in all.iter().enumerate() {
                if let Some(which) = order.get(step) {
                    let said = (self.said)(number).swap_remove(*which);
                    self.tell(&bench, built.as_ref(), said, &mut told);
                }
            }
            told.join_all().await;
            bench.clock.advance(MINUTE_MS);
            self.answer(&bench, built.as_ref()).await;
            bench.run(&mut there).await;
        }
        for _ in 0..QUIET_DAYS {
            bench.clock.advance(DAY_MS);
            self.answer(&bench, built.as_ref()).await;
            bench.run(&mut there).await;
        }
        self.judge(&mut bench, &there, &all).await;
    }

    /// Hands in what is said; many share a commit.
    fn tell(&self, bench: &Bench, built: &dyn Provider, said: Said, told: &mut JoinSet<()>) {
        let (ledger, word) = (bench.ledger.clone(), bench.word());
        match said {
            Said::Webhook(kept, body) => {
                let delivery = self.read(bench, built, kept, body);
                told.spawn(async move { drop(ledger.record(delivery).await.unwrap()) });
            }
            Said::Link(kind, external_id, amount) => {
                let amount = amount.map(|(amount, code)| {
                    let currency: Currency = code.parse().unwrap();
                    (amount, currency)
                });
                let link = NewLink {
                    source: "shop".to_owned(),
                    kind: kind.to_owned(),
                    external_id,
                    customer_key: "acme".to_owned(),
                    amount,
                    replace: false,
                    move_forwarded: false,
                };
                told.spawn(async move { drop(ledger.link(link, word).await.unwrap()) });
            }
        }
    }

    fn read(&self, bench: &Bench, built: &dyn Provider, kept: Kept, body: String) -> Delivery {
        let document = Document {
            kept: &kept,
            body: body.as_bytes(),
        };
        let reading = built.parse(&document);
        assert!(reading.is_ok(), "{}: {reading:?}\n{body}", self.provider);
        Delivery {
            source: "shop".to_owned(),
            body: body.into_bytes().into(),
            received_at: bench.clock.now(),
            secret: 0,
            kept,
            reading: reading.map_err(|error| error.reason),
        }
    }

    async fn answer(&self, bench: &Bench, built: &dyn Provider) {
        while let Some(asking) = bench.ledger.ask("shop").await.unwrap() {
            let body = (self.answered)(&asking.asked);
            let kept = Kept {
                asked: Some(asking.asked.clone()),
                ..Kept::default()
            };
            let told = Answer::Told(Box::new(self.read(bench, built, kept, body)));
            bench.ledger.answer(asking, told).await.unwrap();
        }
    }

    async fn judge(&self, bench: &mut Bench, there: &There, all: &[Vec<usize>]) {
        let expected = End {
            state: "settled",
            gross: Some(self.gross),
            net: Some(self.net),
            there: self.net,
        };
        for (number, order) in all.iter().enumerate() {
            let id = (self.payment_id)(number);
            let payment = bench.payment_of("shop", &id).await;
            let end = End {
                state: payment.state,
                gross: payment.gross,
                net: payment.net,
                there: there.sum_at("shop", &id),
            };
            let why = payment.reason.unwrap_or_default();
            assert_eq!(end, expected, "{} in order {order:?}: {why}", self.provider);
        }
        let mut rows = BTreeMap::new();
        for (key, rows_of) in &there.rows {
            rows.insert(key, rows_of.len());
        }
        assert!(rows.values().all(|many| *many <= 1), "{rows:?}");
        assert_eq!(there.sum(), self.net * i64::try_from(all.len()).unwrap());
    }
}
