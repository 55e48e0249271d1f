//! What the simulation tells: payments with a known truth, and everything that
//! a provider could say of them. It is no ledger and computes the truth without
//! the product's own arithmetic.

use std::collections::BTreeMap;

use rand::RngExt as _;
use rand::rngs::StdRng;
use tributary::movement::{Class, Inquiry, Reading, Subject, rank};

use crate::bench::*;

/// What the provider's API answers, by kind and id.
pub type Answers = BTreeMap<(String, String), Reading>;

/// What is true of one payment.
pub struct Truth {
    pub id: String,
    pub gross: i64,
    pub net: i64,
    pub reversed: bool,
    /// True where a second source tells of the same money.
    pub twin: bool,
}

/// Some deliveries only name what they are about; the API says the rest. What it
/// says of refunds is the whole list, whoever asks.
pub fn thinned(told: Reading, answers: &mut Answers, rng: &mut StdRng) -> Reading {
    let Some(movement) = told.movements.first().cloned() else {
        return told;
    };
    let Subject::Payment(payment) = &movement.about else {
        return told;
    };
    let (kind, id, about) = match movement.fact.class {
        Class::Capture if movement.fact.rank == rank::CAPTURED => {
            ("payment", payment.clone(), movement.about.clone())
        }
        Class::Refund if movement.fact.id != *payment => {
            let about = Subject::Reference {
                kind: "refund".to_owned(),
                id: movement.fact.id.clone(),
            };
            ("refund", movement.fact.id.clone(), about)
        }
        _ => return told,
    };
    let mut answer = told.clone();
    if kind == "refund" {
        let mut named = alias(payment, "refund", &id);
        named.money = false;
        answer.aliases.push(named);
        let list = ("refunds".to_owned(), payment.clone());
        let list = answers.entry(list).or_default();
        list.movements.retain(|it| it.fact.id != id);
        list.movements.push(movement.clone());
    }
    // A later word about a refund replaces the earlier one there.
    answers.insert((kind.to_owned(), id.clone()), answer);
    if rng.random_ratio(2, 3) {
        return by_intent(told, rng);
    }
    Reading {
        event: "thin".to_owned(),
        inquiries: vec![Inquiry {
            kind: kind.to_owned(),
            id,
            about: Some(about),
        }],
        ..Reading::default()
    }
}

/// Some refunds name the intent and not the payment.
fn by_intent(mut told: Reading, rng: &mut StdRng) -> Reading {
    for movement in &mut told.movements {
        if let Subject::Payment(payment) = &movement.about
            && movement.fact.class == Class::Refund
            && rng.random_ratio(1, 3)
        {
            movement.about = Subject::Reference {
                kind: "payment_intent".to_owned(),
                id: format!("pi_{payment}"),
            };
        }
    }
    told
}

/// One payment's truth, all that is told of it, and what only the API knows:
/// refunds that are told in sums alone.
pub fn history(id: &str, rng: &mut StdRng) -> (Truth, Vec<Reading>, Vec<Reading>) {
    let gross: i64 = rng.random_range(100..10_000);
    let (mut told, mut untold) = (vec![charge(id, gross, Some("cus_A"))], Vec::new());
    let partial = rng.random_ratio(1, 8);
    if partial {
        // Old shapes list what was authorised and not captured as a refund.
        let released = rng.random_range(1..5_000);
        told[0].movements[0].fact.partial_capture = true;
        told.push(refund(id, &format!("re_{id}_released"), released, 1));
    }
    if rng.random_ratio(1, 6) {
        // By all ids that its capture has, so that nothing else is new with that.
        let mut named = authorised(id, gross);
        named.aliases.clone_from(&told[0].aliases);
        told.push(named);
    }
    let in_sums = rng.random_ratio(1, 3);
    // People give the same sum back again, above all where it failed the first time.
    let alike = gross % 4 == 0;
    let (mut refunded, mut before) = (0, None);
    for number in 0..rng.random_range(0..4) {
        let drawn = rng.random_range(1..=gross);
        let part = before.filter(|_| alike).unwrap_or(drawn);
        before = Some(part);
        if part > gross - refunded {
            break;
        }
        let name = format!("re_{id}_{number}");
        match in_sums {
            true => untold.push(refund(id, &name, part, 10 + number)),
            false => told.push(refund(id, &name, part, 10 + number)),
        }
        let fails = rng.random_ratio(1, 3);
        // Of one that fails a sum need not have told.
        if in_sums && !fails || partial || rng.random_ratio(1, 2) {
            told.push(refund_total(id, refunded + part, 10 + number));
        }
        if fails {
            told.push(refund_failed(id, &name, part, 10 + number));
        } else {
            refunded += part;
        }
    }
    let held = disputes(id, gross - refunded, &mut told, rng);
    let mut reversed = refunded + held;
    if rng.random_ratio(1, 6) {
        let floor = rng.random_range(1..=gross);
        told.push(alert(id, "al", floor));
        reversed = reversed.max(floor);
    }
    if rng.random_ratio(1, 10) {
        told.push(void(id));
        reversed = gross;
    }
    let reversed = reversed.min(gross);
    let truth = Truth {
        id: id.to_owned(),
        gross,
        net: gross - reversed,
        reversed: reversed > 0,
        twin: rng.random_ratio(1, 5),
    };
    (truth, told, untold)
}

/// Up to two disputes; each takes, some give back, and an entry of the
/// provider's books beats what a status lets one infer.
fn disputes(id: &str, left: i64, told: &mut Vec<Reading>, rng: &mut StdRng) -> i64 {
    let mut held = 0;
    for number in 0..2 {
        if left <= 0 || !rng.random_ratio(1, 5) {
            continue;
        }
        let name = format!("dp_{number}");
        let taken = rng.random_range(1..=left);
        let entered = match rng.random_ratio(1, 2) {
            true => {
                let inferred = rng.random_range(1..=2 * left);
                let inferred = dispute_of(id, Class::DisputeTaken, &name, rank::INFERRED, inferred);
                told.push(inferred);
                rank::ENTERED
            }
            false => rank::INFERRED,
        };
        told.push(dispute_of(id, Class::DisputeTaken, &name, entered, taken));
        held += taken;
        if rng.random_ratio(1, 2) {
            let back = match rng.random_ratio(1, 3) {
                true => rng.random_range(1..=taken),
                false => taken,
            };
            told.push(dispute_of(id, Class::DisputeReturned, &name, entered, back));
            held -= back;
        }
    }
    held
}
