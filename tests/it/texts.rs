//! Texts that no ledger keeps: on either store the same becomes of them, and what is
//! beside them goes on.

use serde_json::json;
use tributary::ledger::rows::Fate;
use tributary::ledger::{
    Decision, Filter, Ledger, LedgerError, NewLink, Opening, Statement, Taken,
};
use tributary::movement::Reading;
use tributary::time::Clock;

use crate::bench::*;
use crate::cluster::Database;
use crate::rows;
use crate::world::{LINKER, OPERATOR, VIEWER, World, event};

fn bench(url: &str) -> Bench {
    let clock = Clock::held(START);
    let ledger = Ledger::open(Opening {
        url: url.to_owned(),
        terms: [("stripe".to_owned(), terms("stripe"))].into(),
        clock: clock.clone(),
        report_zone: tributary::day::Zone::utc(),
        serve: true,
    });
    Bench::on(tempfile::tempdir().unwrap(), clock, ledger.unwrap())
}

/// What can be kept nowhere, and what the reason names.
fn spoiled() -> Vec<(Reading, &'static str)> {
    let long = "x".repeat(1_025);
    let mut named = charge("ch_1", 500, Some("cus_A"));
    named.aliases.push(alias("ch_1", "order", "a\0b"));
    let mut long_alias = charge("ch_1", 500, Some("cus_A"));
    long_alias.aliases.push(alias("ch_1", "order", &long));
    let mut event = charge("ch_1", 500, Some("cus_A"));
    event.event = "charge\0".to_owned();
    vec![
        (
            named,
            "another id of the payment holds the character U+0000",
        ),
        (long_alias, "another id of the payment has 1025 bytes"),
        (charge(&long, 500, None), "the payment's id has 1025 bytes"),
        (event, "the event's name holds the character U+0000"),
        (
            charge("ch_1", 500, Some(&"\u{20AC}".repeat(700))),
            "2100 bytes",
        ),
        (customer("cus\0", "acme", 1), "the id of a link"),
        (customer("cus_B", "ac\0me", 1), "the customer key of a link"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_ledger_keeps_is_unreadable_or_refused_on_either_store() {
    let database = Database::new();
    let dir = tempfile::tempdir().unwrap();
    let file = format!("sqlite:{}", dir.path().join("ledger.db").display());
    let mut told = Vec::new();
    for url in [&file, &database.url] {
        let mut bench = bench(url);
        told.push(play(&mut bench).await);
        bench.ledger.close().await;
    }
    assert_eq!(told[0], told[1]);
}

async fn play(bench: &mut Bench) -> Vec<String> {
    let mut told = Vec::new();
    for (reading, why) in spoiled() {
        let taken = bench.deliver(reading).await;
        assert_eq!(taken.status, Taken::Unreadable, "{why}");
        let story = bench.ledger.story("stripe", &taken.delivery).await.unwrap();
        let story = serde_json::to_string(&story).unwrap();
        assert!(story.contains(why), "{why}: {story}");
        told.push(story);
    }
    assert!(
        bench
            .ledger
            .payments(Filter::default(), 9)
            .await
            .unwrap()
            .items
            .is_empty()
    );

    // Rows of a file beside them stand.
    let mut lines: Vec<Reading> = spoiled().into_iter().map(|(reading, _)| reading).collect();
    lines.push(rows::whose(charge("ch_2", 700, None), "ch_2", "acme"));
    let taken = rows::import(bench, &lines).await;
    for (row, (_, why)) in taken.told.iter().zip(spoiled()) {
        assert_eq!(row.outcome, Fate::Rejected, "{why}");
        assert!(row.reason.as_ref().unwrap().contains(why), "{row:?}");
    }
    assert_eq!(taken.told.last().unwrap().outcome, Fate::Imported);
    assert_eq!(bench.payment("ch_2").await.net, Some(700));

    // What fits exactly is kept, in every index.
    let id = format!("ch_{}", "\u{20AC}".repeat(339));
    bench
        .deliver(charge(&id, 300, Some(&"y".repeat(2_048))))
        .await;
    assert_eq!(bench.payment(&id).await.net, Some(300));

    // People and programs are refused.
    let link = |id: &str, key: &str| NewLink {
        source: "stripe".to_owned(),
        kind: "customer".to_owned(),
        external_id: id.to_owned(),
        customer_key: key.to_owned(),
        amount: None,
        replace: false,
        move_forwarded: false,
    };
    let mut refusals = Vec::new();
    for link in [link("cus\0", "acme"), link("cus_A", "ac\0me")] {
        refusals.push(bench.ledger.link(link, bench.word()).await.unwrap_err());
    }
    let refund = Statement::Refund {
        refund_id: "re\0".to_owned(),
        amount: 5,
    };
    let stated = bench.ledger.state("stripe", "ch_2", refund, bench.word());
    refusals.push(stated.await.unwrap_err());
    let mut word = bench.word();
    word.why = "be\0cause".to_owned();
    let skip = Decision::Skip { leave: false };
    let decided = bench.ledger.decide(Filter::default(), skip, word, false);
    refusals.push(decided.await.unwrap_err());
    for refusal in refusals {
        assert!(
            matches!(&refusal, LedgerError::Refused(why) if why.contains("U+0000")),
            "{refusal:?}"
        );
        told.push(refusal.to_string());
    }
    let unknown = [
        bench.ledger.story("stripe", "ch\0").await.err(),
        bench
            .ledger
            .links("stripe", "customer", "cus\0")
            .await
            .err(),
        bench
            .ledger
            .unlink("stripe", "customer", "cus\0", bench.word())
            .await
            .err(),
    ];
    for error in unknown {
        assert!(matches!(error, Some(LedgerError::NotFound(_))), "{error:?}");
    }
    bench.ledger.health().unwrap();
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_with_such_a_text_is_answered_200_and_an_api_call_is_not() {
    let world = World::new().await;
    let mut sale = crate::world::charge("ch_1", 4_999, Some("cus_A"));
    sale["payment_intent"] = json!("pi\u{0}b");
    let (status, answer) = world
        .stripe_event(&event("evt_1", "charge.succeeded", sale))
        .await;
    assert_eq!(
        (status, &answer["status"]),
        (200, &json!("unreadable")),
        "{answer}"
    );
    let link = "/api/v1/sources/stripe/links/customer/cus%00";
    let body = json!({"customer_key": "acme"});
    let (status, answer) = world.api(LINKER, "PUT", link, Some(body)).await;
    assert_eq!(status, 409, "{answer}");
    assert!(
        answer["detail"].as_str().unwrap().contains("U+0000"),
        "{answer}"
    );
    let asked = "/api/v1/payments?customer_key=%00";
    assert_eq!(world.api(VIEWER, "GET", asked, None).await.0, 400);
    let asked = "/api/v1/payments/stripe/%00";
    assert_eq!(world.api(VIEWER, "GET", asked, None).await.0, 404);
    let refund = "/api/v1/payments/stripe/ch_1/refunds";
    let body = json!({"refund_id": "re\u{0}", "amount": 1});
    let (status, answer) = world.api(OPERATOR, "POST", refund, Some(body)).await;
    assert!((400..500).contains(&status), "{answer}");
    world.strike().await;
}
