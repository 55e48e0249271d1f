//! Reports as people and programs ask for them: whatever shows money shows the
//! same, by the command line, by the API and at the sandbox.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::binary::{Folder, client};
use crate::world::*;

/// 2024-06-01 in seconds, which is before `forward_from`.
const LONG_AGO_S: i64 = 1_717_200_000;

/// A mixed history, as the events of Stripe's with their kinds.
fn history() -> Vec<(&'static str, Value)> {
    let euros = |mut object: Value| {
        object["currency"] = json!("eur");
        object
    };
    let mut old = charge("ch_old", 900, Some("cus_A"));
    old["created"] = json!(LONG_AGO_S);
    let mut failed = euros(refund("re_failed", "ch_2", 300));
    failed["status"] = json!("failed");
    vec![
        ("customer.created", customer("cus_A", "acme")),
        ("customer.created", customer("cus_B", "globex")),
        ("charge.succeeded", charge("ch_1", 4999, Some("cus_A"))),
        (
            "charge.succeeded",
            euros(charge("ch_2", 3000, Some("cus_B"))),
        ),
        ("charge.succeeded", charge("ch_3", 1500, Some("cus_B"))),
        ("charge.succeeded", charge("ch_guest", 700, None)),
        ("charge.succeeded", old),
        ("refund.created", refund("re_1", "ch_1", 500)),
        ("refund.created", refund("re_3", "ch_3", 1500)),
        ("refund.created", euros(refund("re_failed", "ch_2", 300))),
        ("refund.failed", failed),
    ]
}

/// What it comes to: gross, reversed, unattributed and ignored by currency.
const EXPECTED: [(&str, [i64; 4]); 2] = [("EUR", [3000, 0, 0, 0]), ("USD", [8099, 2000, 700, 900])];

fn assert_totals(lines: &Value, told: &str) {
    let lines = lines.as_array().unwrap();
    assert_eq!(lines.len(), EXPECTED.len(), "{told}: {lines:?}");
    for (line, (currency, [gross, reversed, unattributed, ignored])) in lines.iter().zip(EXPECTED) {
        let expected = json!({
            "currency": currency, "gross": gross, "reversed": reversed, "net": gross - reversed,
            "unattributed": unattributed, "ignored": ignored, "commission": null,
        });
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(&line[name], value, "{told}: {name} of {line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_shows_money_shows_the_same() {
    let mut world = World::new().await;
    for (kind, object) in history() {
        let (status, answer) = world.stripe(kind, object).await;
        assert_eq!(status, 200, "{answer}");
    }
    let mut test = event(
        "evt_test",
        "charge.succeeded",
        charge("ch_test", 100, Some("cus_A")),
    );
    test["livemode"] = json!(false);
    world.stripe_event(&test).await;
    for id in ["ch_1", "ch_2", "ch_3"] {
        world.wait_for(id, "settled").await;
    }
    for by in ["partner", "customer", "source", "day", "month"] {
        for more in [
            "",
            "&basis=sale",
            "&zone=Asia/Tokyo",
            "&zone=%2B05:30&basis=sale",
        ] {
            let path = format!("/api/v1/report?by={by}{more}");
            let (status, report) = world.api(VIEWER, "GET", &path, None).await;
            assert_eq!((status, &report["by"]), (200, &json!(by)), "{report}");
            assert_totals(&report["totals"], &path);
            let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
            for line in report["items"].as_array().unwrap() {
                *sums.entry(line["currency"].as_str().unwrap()).or_default() +=
                    line["net"].as_i64().unwrap();
            }
            assert_eq!(
                sums,
                BTreeMap::from([("EUR", 3000), ("USD", 6099)]),
                "{path}"
            );
        }
    }
    let (_, summary) = world.api(VIEWER, "GET", "/api/v1/summary", None).await;
    assert_totals(&summary["currencies"], "summary");
    // Payment by payment, as a list shows them.
    let (_, list) = world
        .api(VIEWER, "GET", "/api/v1/payments?limit=50", None)
        .await;
    let sum = |field: &str, currency: &str| -> i64 {
        let items = list["items"].as_array().unwrap().iter();
        let ours = items.filter(|it| it["currency"] == currency && it["live"] == true);
        ours.filter_map(|it| it[field].as_i64()).sum()
    };
    for (currency, [gross, reversed, unattributed, ignored]) in EXPECTED {
        assert_eq!(
            (sum("gross", currency), sum("reversed", currency)),
            (gross, reversed)
        );
        let forwarded = gross - reversed - unattributed - ignored;
        assert_eq!(sum("forwarded", currency), forwarded);
        let held = ["acme", "globex"].map(|key| world.sandbox.live_sum(key, currency));
        assert_eq!(held.iter().sum::<i64>(), forwarded, "{currency}");
    }
    world.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_says_how_sources_and_destinations_fare() {
    let mut world = World::new().await;
    let (_, before) = world.api(VIEWER, "GET", "/api/v1/summary", None).await;
    let stripe = |summary: &Value| -> Value {
        let sources = summary["sources"].as_array().unwrap();
        sources
            .iter()
            .find(|it| it["source"] == "stripe")
            .unwrap()
            .clone()
    };
    assert_eq!(stripe(&before)["last_delivery"], Value::Null);
    assert_eq!(stripe(&before)["refused_signatures"]["count"], json!(0));
    assert_eq!(before["destinations"][0]["last_answer"], Value::Null);

    world
        .stripe("customer.created", customer("cus_A", "acme"))
        .await;
    world
        .stripe("charge.succeeded", charge("ch_1", 4999, Some("cus_A")))
        .await;
    world.wait_for("ch_1", "settled").await;
    let (status, _) = world.post("/webhooks/stripe", "t=1,v1=00", "{}").await;
    assert_eq!(status, 401);
    let (_, after) = world.api(VIEWER, "GET", "/api/v1/summary", None).await;
    let source = stripe(&after);
    assert!(source["last_delivery"].is_string(), "{source}");
    assert!(source["silence_seconds"].as_i64() < Some(60), "{source}");
    assert_eq!(source["refused_signatures"]["count"], json!(1), "{source}");
    assert!(source["refused_signatures"]["last"].is_string(), "{source}");
    let destination = &after["destinations"][0];
    assert_eq!(destination["destination"], json!("ps"));
    assert_eq!(destination["requests_per_second"], json!(200));
    assert_eq!(destination["calls_last_minute"], json!(1));
    assert_eq!(destination["backlog_age_seconds"], Value::Null);
    assert!(destination["last_answer"].is_string(), "{destination}");
    assert_eq!(destination["paused_until"], Value::Null);
    assert_eq!(
        (&after["zone"], &destination["status"]),
        (&json!("UTC"), &Value::Null)
    );
    world.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_read_a_report_and_what_of_it() {
    let mut world = World::new().await;
    world
        .stripe("customer.created", customer("cus_A", "ann@example.com"))
        .await;
    world
        .stripe("charge.succeeded", charge("ch_1", 4999, Some("cus_A")))
        .await;
    world
        .stripe("charge.succeeded", charge("ch_2", 100, None))
        .await;
    let path = "/api/v1/report?by=customer";
    for (token, key) in [(VIEWER, "a***@***.com"), (OPERATOR, "ann@example.com")] {
        let (_, report) = world.api(token, "GET", path, None).await;
        let [first, last] = [0, 1].map(|at| &report["items"][at]);
        assert_eq!(
            (&first["customer_key"], &first["attributed"]),
            (&json!(key), &json!(true))
        );
        assert_eq!(
            (&last["customer_key"], &last["attributed"]),
            (&Value::Null, &json!(false))
        );
        assert_eq!(
            (&last["net"], &last["unattributed"]),
            (&json!(100), &json!(100))
        );
    }
    let (_, cut) = world
        .api(VIEWER, "GET", &format!("{path}&limit=1"), None)
        .await;
    assert_eq!(
        (cut["items"].as_array().unwrap().len(), &cut["left_off"]),
        (1, &json!(1))
    );
    assert_eq!(cut["totals"][0]["net"], json!(5099));
    for path in [path, "/api/v1/summary"] {
        assert_eq!(world.api(LINKER, "GET", path, None).await.0, 403, "{path}");
        assert_eq!(
            world.api("nobody", "GET", path, None).await.0,
            401,
            "{path}"
        );
    }
    for (query, named) in [
        ("", "by"),
        ("by=week", "by"),
        ("by=day&from=June", "from"),
        ("by=day&from=2026-06-02&to=2026-06-01", "from"),
        ("by=day&zone=Mars", "zone"),
        ("by=day&basis=mine", "basis"),
        ("by=day&limit=0", "limit"),
        ("by=day&colour=red", "colour"),
    ] {
        let (status, problem) = world
            .api(VIEWER, "GET", &format!("/api/v1/report?{query}"), None)
            .await;
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(
            status == 400 && detail.contains(named),
            "{query}: {status} {problem}"
        );
    }
    world.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_prints_tables_files_and_json() {
    let folder = Folder::new().await;
    let running = folder.serve().await;
    for (number, (kind, object)) in history().into_iter().enumerate() {
        let event = event(&format!("evt_{number}"), kind, object);
        let (status, answer) = running.deliver(&client(), SECRET, &event).await.unwrap();
        assert_eq!(status, 200, "{answer}");
    }
    // A key that a spreadsheet would calculate.
    let formula = customer("cus_F", "=1+1");
    let sale = charge("ch_f", 50, Some("cus_F"));
    for (id, kind, object) in [
        ("evt_f", "customer.created", formula),
        ("evt_g", "charge.succeeded", sale),
    ] {
        let event = event(id, kind, object);
        running.deliver(&client(), SECRET, &event).await.unwrap();
    }
    let report = folder.json(&["report", "--by", "month"]);
    assert_eq!(report["zone"], json!("UTC"));
    assert_eq!(report["items"][0]["month"], json!("2024-06"));
    let only = folder.json(&[
        "report", "--by", "day", "--from", "2024-06", "--to", "2024-06",
    ]);
    assert_eq!(only["items"].as_array().unwrap().len(), 1, "{only}");
    assert_eq!(
        (&only["from"], &only["to"]),
        (&json!("2024-06-01"), &json!("2024-06-30"))
    );
    assert_eq!(
        (&only["items"][0]["day"], &only["items"][0]["ignored"]),
        (&json!("2024-06-01"), &json!(900))
    );

    let table = folder.expect(0, &["report", "--by", "customer"]).out;
    assert!(
        table.starts_with("All days, days in UTC; reversals on the day on which"),
        "{table}"
    );
    for part in [
        "(unattributed)",
        "all in EUR",
        "all in USD",
        "53.99 USD",
        "7.00 USD",
    ] {
        assert!(table.contains(part), "{part} is not in\n{table}");
    }
    let file = folder
        .expect(0, &["report", "--by", "customer", "--format", "csv"])
        .out;
    let mut rows = csv::Reader::from_reader(file.as_bytes());
    let head = rows.headers().unwrap().clone();
    let at = |name: &str| head.iter().position(|it| it == name).unwrap();
    let rows: Vec<_> = rows.records().map(Result::unwrap).collect();
    let keys: Vec<&str> = rows.iter().map(|row| &row[at("customer_key")]).collect();
    assert_eq!(keys, ["globex", "acme", "'=1+1", "globex", ""], "{file}");
    let acme = &rows[1];
    let cells = [
        "destination",
        "net",
        "net_decimal",
        "ignored",
        "commission",
        "zone",
        "basis",
    ];
    let cells = cells.map(|name| &acme[at(name)]);
    assert_eq!(
        cells,
        ["ps", "5399", "53.99", "900", "", "UTC", "own"],
        "{file}"
    );

    let elsewhere = folder.expect(0, &["report", "--by", "day", "--zone", "Asia/Tokyo"]);
    assert!(
        elsewhere.out.contains("days in Asia/Tokyo"),
        "{elsewhere:?}"
    );
    assert!(elsewhere.err.contains("takes longer"), "{elsewhere:?}");
    for (args, named) in [
        (&["report", "--by", "week"][..], "by:"),
        (&["report", "--by", "day", "--zone", "Mars"], "zone:"),
        (&["report", "--by", "day", "--from", "soon"], "from:"),
        (&["report", "--by", "day", "--format", "pdf"], "format:"),
        (
            &["--json", "report", "--by", "day", "--format", "csv"],
            "format:",
        ),
        (&["report"], "--by"),
    ] {
        let ran = folder.expect(2, args);
        assert!(ran.err.contains(named) && ran.out.is_empty(), "{ran:?}");
    }
}
