//! Recurly from its own words to the books: notifications in XML and in JSON,
//! and what its API answers, in one ledger.

use std::fs;
use std::path::Path;

use tributary::ledger::book::SourceTerms;
use tributary::ledger::{Answer, Delivery, Filter};
use tributary::provider::{self, Asked, Document, Kept};

use crate::bench::{Bench, There, terms};

const PAYMENT: &str = "70b1f0c25d7f4e0a9a3c1e5b8d2f6a01";
const REFUND: &str = "70b1f0c25d7f4e0a9a3c1e5b8d2f6b02";

fn source() -> SourceTerms {
    SourceTerms {
        provider: "recurly".to_owned(),
        asks: vec!["transaction".to_owned()],
        rules: vec!["account_code".parse().unwrap()],
        ..terms("recurly")
    }
}

fn fixture(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/recurly");
    let text = fs::read_to_string(folder.join(name)).unwrap();
    match text.split_once("\n\n") {
        Some((_, body)) if name.ends_with(".http") => body.to_owned(),
        _ => text,
    }
}

fn json(event: &str, uuid: &str) -> String {
    format!(r#"{{"object_type":"payment","event_type":"{event}","uuid":"{uuid}"}}"#)
}

/// A document as the program takes it from the network.
fn document(bench: &Bench, body: String, asked: Option<Asked>) -> Delivery {
    let settings = "currency = \"USD\"".parse().unwrap();
    let recurly = provider::build("recurly", settings).unwrap();
    let kept = Kept {
        asked,
        ..Kept::default()
    };
    let reading = recurly.parse(&Document {
        body: body.as_bytes(),
        kept: &kept,
    });
    Delivery {
        source: "recurly".to_owned(),
        received_at: bench.clock.now(),
        secret: 0,
        reading: reading.map_err(|unreadable| unreadable.to_string()),
        body: body.into_bytes().into(),
        kept,
    }
}

async fn deliver(bench: &Bench, body: String) {
    let delivery = document(bench, body, None);
    bench.ledger.record(delivery).await.unwrap();
}

/// Answers what is to be asked, which is `id`, with a fixture.
async fn answer(bench: &Bench, id: &str, name: &str) {
    let asking = bench.ledger.ask("recurly").await.unwrap();
    let asking = asking.expect("something is to be asked");
    assert_eq!(asking.asked.id, id);
    let told = document(bench, fixture(name), Some(asking.asked.clone()));
    let told = Answer::Told(Box::new(told));
    bench.ledger.answer(asking, told).await.unwrap();
}

async fn only_payment_holds(bench: &Bench, there: &mut There, sum: i64) {
    bench.run(there).await;
    let rows = there.rows.values().flatten();
    assert_eq!(rows.map(|(_, amount)| amount).sum::<i64>(), sum);
    let all = bench.ledger.payments(Filter::default(), 10).await.unwrap();
    let states: Vec<_> = all
        .items
        .iter()
        .map(|it| (it.payment_id.as_str(), it.state))
        .collect();
    assert_eq!(states, [(PAYMENT, "settled")]);
    let more = bench.ledger.ask("recurly").await.unwrap();
    assert!(more.is_none(), "nothing is left to ask");
}

#[tokio::test]
async fn json_is_asked_about_and_a_refund_finds_its_payment() {
    let bench = Bench::with(vec![source()]);
    let mut there = There::default();
    deliver(&bench, json("succeeded", PAYMENT)).await;
    answer(&bench, &format!("uuid-{PAYMENT}"), "answer-payment.answer").await;
    only_payment_holds(&bench, &mut there, 4_999).await;
    deliver(&bench, json("refunded", REFUND)).await;
    answer(&bench, &format!("uuid-{REFUND}"), "answer-refund.answer").await;
    answer(&bench, "tribj01", "answer-payment-by-short-id.answer").await;
    only_payment_holds(&bench, &mut there, 3_999).await;
    // A late void of the same payment takes the rest.
    deliver(&bench, json("voided", PAYMENT)).await;
    let void = "answer-payment-voided.answer";
    answer(&bench, &format!("uuid-{PAYMENT}"), void).await;
    only_payment_holds(&bench, &mut there, 0).await;
}

#[tokio::test]
async fn a_refund_that_comes_first_brings_its_payment() {
    let bench = Bench::with(vec![source()]);
    deliver(&bench, json("refunded", REFUND)).await;
    answer(&bench, &format!("uuid-{REFUND}"), "answer-refund.answer").await;
    answer(&bench, "tribj01", "answer-payment-by-short-id.answer").await;
    only_payment_holds(&bench, &mut There::default(), 3_999).await;
}

#[tokio::test]
async fn a_refund_in_json_finds_a_payment_that_xml_told() {
    let bench = Bench::with(vec![source()]);
    let mut there = There::default();
    deliver(&bench, fixture("payment.http")).await;
    only_payment_holds(&bench, &mut there, 4_999).await;
    deliver(&bench, json("refunded", REFUND)).await;
    answer(&bench, &format!("uuid-{REFUND}"), "answer-refund.answer").await;
    answer(&bench, "tribj01", "answer-payment-by-short-id.answer").await;
    only_payment_holds(&bench, &mut there, 3_999).await;
}
