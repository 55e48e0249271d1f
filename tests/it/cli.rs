//! The command line as people type it: the real binary, its exit codes, and
//! what it writes where.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::binary::{Folder, PUBLIC_KEY, Running, SECRET_KEY, client, post};
use crate::world::{
    LINKER, OPERATOR, SECRET, VIEWER, charge, customer, event, now_s, refund, signature,
};

/// What every payment in JSON has at least.
const FIELDS: [&str; 14] = [
    "source",
    "payment_id",
    "provider",
    "customer_key",
    "partner_key",
    "currency",
    "gross",
    "reversed",
    "net",
    "forwarded",
    "state",
    "reason",
    "occurred_at",
    "live",
];

/// An inline secret in a test of mistakes.
const INLINE: &str = "whsec_written_where_it_does_not_belong";

async fn deliver(running: &Running, id: &str, kind: &str, object: Value) -> Value {
    let event = event(id, kind, object);
    let answer = running.deliver(&client(), SECRET, &event).await;
    let (status, answer) = answer.unwrap();
    assert_eq!(status, 200, "{answer}");
    answer
}

fn ids(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap();
    let mut ids: Vec<_> = items
        .iter()
        .map(|item| item["payment_id"].as_str().unwrap())
        .collect();
    ids.sort_unstable();
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_what_is_wrong() {
    let mut folder = Folder::new().await;
    let ran = folder.expect(0, &["check"]);
    assert!(ran.out.contains("[destinations.ps]"), "{ran:?}");
    assert!(ran.err.contains("knows our keys"), "{ran:?}");
    assert!(!ran.out.contains(SECRET_KEY), "{ran:?}");
    let told = folder.json(&["check", "--offline"]);
    assert_eq!(told["ok"], json!(true));
    // What is printed is a configuration again.
    folder.write("again.toml", &ran.out);
    folder.expect(0, &["--config", "again.toml", "check", "--offline"]);

    folder.set("TRIBUTARY__DESTINATIONS__PS__BURST", "7");
    let ran = folder.expect(0, &["check", "--offline"]);
    assert!(ran.out.contains("burst = 7"), "{ran:?}");
    folder.set("TRIBUTARY__DESTINATIONS__PS__BURST", "many");
    let ran = folder.expect(2, &["check", "--offline"]);
    assert!(ran.err.contains("destinations.ps.burst"), "{ran:?}");
    assert!(
        ran.err.contains("TRIBUTARY__DESTINATIONS__PS__BURST"),
        "{ran:?}"
    );
    folder.set("TRIBUTARY__DESTINATIONS__PS__BURST", "5");

    folder.set("SK", "sk_live_of_somebody_else_01");
    let ran = folder.expect(1, &["check"]);
    assert!(ran.err.contains("did not let us in"), "{ran:?}");
    assert!(ran.err.contains("wrong credentials"), "{ran:?}");
    assert!(!ran.err.contains("somebody_else"), "{ran:?}");
    folder.expect(0, &["check", "--offline"]);
    // Nobody is there at all.
    folder.set("SK", SECRET_KEY);
    folder.set(
        "TRIBUTARY__DESTINATIONS__PS__BASE_URL",
        "http://127.0.0.1:1",
    );
    folder.expect(1, &["check"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_in_the_configuration_names_its_key_and_nothing_begins() {
    // That no ledger was made is seen by its file.
    let folder = Folder::on_file().await;
    let good = folder.config();
    let inline = format!("secrets = [\"{INLINE}\"]");
    let unread = format!("secrets = [{{ env = \"{INLINE}\" }}]");
    let half = format!("secrets = [\"{INLINE}");
    let secrets = "secrets = [{ file = \"hook\" }]";
    let edits = [
        ("burst = 100", "brust = 100", "destinations.ps.brust"),
        ("[ledger]", "[leger]", "leger"),
        (secrets, inline.as_str(), "sources.stripe.secrets"),
        (secrets, unread.as_str(), "sources.stripe.secrets[0]"),
        (secrets, half.as_str(), "tributary.toml"),
        (secrets, "secrets = []", "sources.stripe.secrets"),
        (
            secrets,
            "secrets = [{ file = \"none\" }]",
            "sources.stripe.secrets[0]",
        ),
        (
            "forward_from = \"2025-01-01\"",
            "",
            "sources.stripe.forward_from",
        ),
        (
            "2025-01-01",
            "the first of May",
            "sources.stripe.forward_from",
        ),
        (
            "env = \"PK\"",
            "env = \"NOT_SET\"",
            "destinations.ps.public_key",
        ),
        (
            "[sources.stripe]",
            "[sources.stripe]\ncustomer_key = [\"guess it\"]",
            "sources.stripe.customer_key",
        ),
        ("\"stripe\"", "\"stirpe\"", "sources.stripe.provider"),
        (
            "[sources.stripe]",
            "[sources.stripe]\ntolerence_seconds = 3",
            "sources.stripe.tolerence_seconds",
        ),
        (
            "[sources.stripe]",
            "[sources.stripe]\ntolerance_seconds = 0",
            "sources.stripe.tolerance_seconds",
        ),
        ("[sources.stripe]", "[sources.s]", "sources.s"),
        ("[sources.stripe]", "[sources.api]", "sources.api"),
        (
            "destination = \"ps\"",
            "destination = \"sp\"",
            "sources.stripe.destination",
        ),
        (
            "http://127.0.0.1",
            "http://192.0.2.1",
            "destinations.ps.base_url",
        ),
        ("[ledger]", "[ledger", "tributary.toml"),
        (
            "sqlite:ledger.db",
            "postgres://u:hush@host/db",
            "ledger.url",
        ),
        (
            "role = \"viewer\"",
            "role = \"king\"",
            "http.tokens[1].role",
        ),
    ];
    for (old, new, key) in edits {
        assert!(good.contains(old), "{old}");
        folder.write("tributary.toml", &good.replacen(old, new, 1));
        for command in [&["serve"][..], &["check", "--offline"]] {
            let ran = folder.expect(2, command);
            assert!(ran.err.contains(key), "{new}: {ran:?}");
            assert_eq!(ran.out, "", "{new}");
            assert!(!ran.err.contains("listening"), "{new}: {ran:?}");
            assert_eq!(ran.err.trim_end().lines().count(), 1, "{new}: {ran:?}");
            assert!(
                !ran.err.contains(INLINE) && !ran.err.contains("hush"),
                "{ran:?}"
            );
        }
        assert!(
            !folder.path("ledger.db").exists(),
            "{new}: a ledger was made"
        );
    }
    let start = good.find("[[http.tokens]]").unwrap();
    let end = good.find("[destinations").unwrap();
    let open = good
        .replace(&good[start..end], "")
        .replace("admin = \"127.0.0.1:0\"", "admin = \"0.0.0.0:0\"");
    folder.write("tributary.toml", &open);
    let ran = folder.expect(2, &["serve"]);
    assert!(ran.err.contains("http.admin"), "{ran:?}");
    let ran = folder.expect(2, &["--config", "nowhere.toml", "payments"]);
    assert!(ran.err.contains("nowhere.toml"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_are_listed_and_explained_beside_the_service() {
    let folder = Folder::new().await;
    let running = folder.serve().await;
    deliver(
        &running,
        "evt_c",
        "customer.created",
        customer("cus_A", "acme"),
    )
    .await;
    deliver(
        &running,
        "evt_1",
        "charge.succeeded",
        charge("ch_1", 4999, Some("cus_A")),
    )
    .await;
    deliver(
        &running,
        "evt_2",
        "charge.succeeded",
        charge("ch_2", 100, Some("cus_X")),
    )
    .await;
    deliver(
        &running,
        "evt_3",
        "charge.succeeded",
        charge("ch_3", 100, None),
    )
    .await;
    let ignored = deliver(
        &running,
        "evt_i",
        "tax_rate.created",
        json!({"id": "txr_1", "object": "tax_rate"}),
    )
    .await;
    assert_eq!(ignored["status"], "ignored");
    folder.wait_for("ch_1", "settled").await;

    let all = folder.json(&["payments"]);
    assert_eq!(ids(&all), ["ch_1", "ch_2", "ch_3"]);
    assert_eq!(all["next_cursor"], Value::Null);
    for item in all["items"].as_array().unwrap() {
        for field in FIELDS {
            assert!(item.get(field).is_some(), "{field}: {item}");
        }
    }
    let year = format!("{}s", now_s());
    for (filters, wanted) in [
        (&["--state", "settled"][..], &["ch_1"][..]),
        (&["--state", "unattributed"], &["ch_2", "ch_3"]),
        (&["--state", "held"], &[]),
        (&["--source", "stripe", "--customer", "acme"], &["ch_1"]),
        (&["--customer", "globex"], &[]),
        (&["--since", "1d"], &["ch_1", "ch_2", "ch_3"]),
        (&["--since", "2025-01-01", "--until", "2025-02-01"], &[]),
        (&["--until", "1h"], &[]),
        (
            &["--since", "2025-01-01T00:00:00Z", "--state", "settled"],
            &["ch_1"],
        ),
    ] {
        let args = [&["payments"][..], filters].concat();
        assert_eq!(ids(&folder.json(&args)), wanted, "{filters:?}");
        let plain = folder.expect(0, &args);
        for id in ["ch_1", "ch_2", "ch_3"] {
            assert_eq!(plain.out.contains(id), wanted.contains(&id), "{plain:?}");
        }
        assert_eq!(plain.err, "", "{filters:?}");
    }
    let page = folder.json(&["payments", "--limit", "2"]);
    let cursor = page["next_cursor"].as_str().unwrap();
    let rest = folder.json(&["payments", "--limit", "2", "--cursor", cursor]);
    assert_eq!((ids(&page).len(), ids(&rest).len()), (2, 1));
    for wrong in [
        ["--state", "done"],
        ["--limit", "0"],
        ["--limit", "all"],
        ["--since", "yesterday"],
        ["--until", &year],
        ["--cursor", "x"],
        ["--colour", "red"],
    ] {
        let ran = folder.expect(2, &["payments", wrong[0], wrong[1]]);
        assert!(ran.err.contains(&wrong[0][2..]), "{ran:?}");
        assert_eq!(ran.out, "");
    }

    let ran = folder.expect(1, &["payments", "--source", "other"]);
    assert_eq!(ran.err.matches("no source").count(), 1, "{ran:?}");

    for id in ["ch_1", "pi_ch_1", "evt_1"] {
        let story = folder.json(&["explain", "stripe", id]);
        assert_eq!(story["payment_id"], "ch_1", "{id}");
        let ran = folder.expect(0, &["explain", "stripe", id]);
        assert!(ran.out.contains("is settled"), "{ran:?}");
        assert_eq!(ran.err, "");
    }
    let ran = folder.expect(0, &["explain", "stripe", "evt_i"]);
    assert!(ran.out.contains("ignored"), "{ran:?}");
    let ran = folder.expect(0, &["explain", "stripe", "evt_c"]);
    assert!(ran.out.contains("recorded"), "{ran:?}");
    for (source, id) in [("stripe", "ch_none"), ("other", "ch_1"), ("stripe", "")] {
        let ran = folder.expect(1, &["explain", source, id]);
        assert_eq!(
            (ran.out.as_str(), ran.err.lines().count()),
            ("", 1),
            "{ran:?}"
        );
    }
    assert_eq!(running.terminate().code(), Some(0));
    // The same without a service.
    assert_eq!(ids(&folder.json(&["payments"])).len(), 3);
}

/// A body is packed in the ledger, and comes out byte for byte.
#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_shown_as_it_came() {
    let folder = Folder::on_file().await;
    let running = folder.serve().await;
    let told = event("evt_1", "charge.succeeded", charge("ch_1", 4999, None));
    let sent = running.deliver(&client(), SECRET, &told).await.unwrap();
    assert_eq!(sent.0, 200);
    let shown = folder.expect(0, &["explain", "stripe", "evt_1", "--body"]);
    assert_eq!(shown.out, told.to_string());
    for (id, words) in [
        ("evt_2", "has no delivery evt_2"),
        ("ch_1", "has no delivery ch_1"),
    ] {
        let ran = folder.expect(1, &["explain", "stripe", id, "--body"]);
        assert!(ran.err.contains(words), "{ran:?}");
    }
    let ledger = rusqlite::Connection::open(folder.path("ledger.db")).unwrap();
    let kept = "SELECT length(body), packed FROM deliveries";
    let (kept, packed): (i64, i64) = ledger
        .query_row(kept, [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    assert_eq!(packed, 2);
    assert!(kept < i64::try_from(shown.out.len()).unwrap(), "{kept}");
    ledger
        .execute("UPDATE deliveries SET body = NULL", [])
        .unwrap();
    let shown = folder.expect(1, &["explain", "stripe", "evt_1", "--body"]);
    assert!(shown.err.contains("without its body"), "{shown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_id_that_an_answer_names_can_be_explained() {
    let folder = Folder::new().await;
    let running = folder.serve().await;
    let sale = |id: &str| charge(id, 100, None);
    for (event, kind, object, payment) in [
        ("evt_1", "tax_rate.created", json!({}), None),
        ("evt_1", "charge.succeeded", sale("ch_2"), Some("ch_2")),
        ("evt_1", "charge.succeeded", sale("ch_3"), Some("ch_3")),
        ("evt~4", "charge.succeeded", sale("ch_4"), Some("ch_4")),
        ("evt~5", "tax_rate.created", json!({}), None),
        ("evt~5", "charge.succeeded", sale("ch_6"), Some("ch_6")),
        // The same money in another event.
        ("evt_7", "charge.succeeded", sale("ch_3"), Some("ch_3")),
    ] {
        let first = deliver(&running, event, kind, object.clone()).await;
        let again = deliver(&running, event, kind, object).await;
        assert_eq!(again["status"], "duplicate", "{event}");
        assert_eq!(first["delivery"], again["delivery"], "{event}");
        let named = first["delivery"].as_str().unwrap();
        let story = folder.json(&["explain", "stripe", named]);
        let told = story["payment_id"].as_str();
        assert_eq!(told, payment, "{named}: {}", story["summary"]);
    }
    let broken = json!("no event");
    let (_, answer) = running.deliver(&client(), SECRET, &broken).await.unwrap();
    assert_eq!(answer["status"], "unreadable");
    let named = answer["delivery"].as_str().unwrap();
    let ran = folder.expect(0, &["explain", "stripe", named]);
    assert!(ran.out.contains("unreadable"), "{ran:?}");
    folder.expect(1, &["explain", "stripe", "evt_1~00000000"]);
    folder.expect(1, &["explain", "stripe", "evt_1~"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn links_refunds_and_reversals_are_stated_beside_the_service() {
    let folder = Folder::new().await;
    let running = folder.serve().await;
    for n in 1..=4 {
        let (id, whose) = (format!("ch_{n}"), format!("cus_{n}"));
        let sale = charge(&id, 1000, Some(&whose));
        deliver(&running, &format!("evt_{n}"), "charge.succeeded", sale).await;
    }
    let link = ["link", "stripe", "customer", "cus_1", "acme"];
    assert_eq!(folder.json(&link)["changed"], json!(true));
    assert_eq!(folder.json(&link)["changed"], json!(false));
    folder.wait_for("ch_1", "settled").await;
    let other = ["link", "stripe", "customer", "cus_1", "globex"];
    let ran = folder.expect(1, &other);
    assert!(ran.err.contains("cus_1"), "{ran:?}");
    folder.expect(1, &["link", "other", "customer", "cus_1", "acme"]);
    folder.expect(2, &["link", "stripe", "customer", "cus_1"]);
    folder.expect(2, &[&link[..], &["--amount", "5"]].concat());
    folder.expect(
        2,
        &[&link[..], &["--amount", "5", "--currency", "dollars"]].concat(),
    );

    folder.write(
        "links.csv",
        "kind,external_id,customer_key,amount,currency\n\
         customer,cus_2,globex,,\n\
         customer,cus_3,,,\n\
         customer,cus_3,acme,many,USD\n\
         customer,cus_3,acme,5,\n\
         customer\n\
         customer,cus_4, acme ,,\n",
    );
    let ran = folder.expect(3, &["link", "stripe", "--csv", "links.csv"]);
    for line in [
        "line 3:",
        "line 4:",
        "line 5:",
        "line 6:",
        "2 links stand, 4 lines",
    ] {
        assert!(ran.err.contains(line), "{line}: {ran:?}");
    }
    assert_eq!(ran.out, "");
    folder.wait_for("ch_2", "settled").await;
    folder.wait_for("ch_4", "settled").await;
    assert_eq!(folder.payment("ch_4")["customer_key"], "acme");
    assert_eq!(folder.payment("ch_3")["state"], "unattributed");
    folder.write(
        "links.csv",
        "kind,external_id,customer_key\ncustomer,cus_2,globex\n",
    );
    folder.expect(0, &["link", "stripe", "--csv", "links.csv"]);
    // As a spreadsheet writes it, with blank lines and a cell of two lines.
    folder.write(
        "links.csv",
        "\u{feff}customer_key,kind,external_id,note\r\n\r\n\"\",customer,cus_9,\"a\r\nb\"\r\n\r\n,customer,cus_9,\r\n",
    );
    let ran = folder.expect(3, &["link", "stripe", "--csv", "links.csv"]);
    assert!(
        ran.err.contains("line 3:") && ran.err.contains("line 6:"),
        "{ran:?}"
    );
    folder.write("links.csv", "kind,id,customer_key\ncustomer,cus_2,globex\n");
    let ran = folder.expect(2, &["link", "stripe", "--csv", "links.csv"]);
    assert!(ran.err.contains("external_id"), "{ran:?}");
    folder.expect(2, &["link", "stripe", "--csv", "none.csv"]);
    folder.expect(0, &["unlink", "stripe", "customer", "cus_4"]);
    // Forwarded money keeps its customer.
    assert_eq!(folder.payment("ch_4")["customer_key"], "acme");

    let refund_of = |id: &str, amount: &str, code: i32| {
        folder.expect(
            code,
            &[
                "refund",
                "stripe",
                id,
                "--refund-id",
                "r1",
                "--amount",
                amount,
            ],
        )
    };
    for _ in 0..2 {
        refund_of("ch_1", "300", 0);
        folder.wait_for("ch_1", "settled").await;
    }
    assert_eq!(folder.payment("ch_1")["forwarded"], 700);
    let ran = refund_of("ch_1", "301", 1);
    assert!(ran.err.contains("r1"), "{ran:?}");
    refund_of("ch_1", "0", 1);
    refund_of("ch_none", "5", 1);
    refund_of("ch_1", "5.00", 2);
    folder.expect(
        0,
        &[
            "refund",
            "stripe",
            "ch_1",
            "--refund-id",
            " r1 ",
            "--amount",
            "300",
        ],
    );
    folder.wait_for("ch_1", "settled").await;
    assert_eq!(
        folder.payment("ch_1")["forwarded"],
        700,
        "spaces made a second refund"
    );

    let mut astray = refund("re_9", "ch_2", 400);
    astray["charge"] = Value::Null;
    astray["payment_intent"] = json!("pi_elsewhere");
    deliver(&running, "evt_r", "refund.created", astray).await;
    folder.expect(1, &["attach", "stripe", "re_9", "ch_none"]);
    folder.expect(1, &["attach", "stripe", "re_none", "ch_2"]);
    for _ in 0..2 {
        folder.expect(0, &["attach", "stripe", "re_9", "ch_2"]);
        folder.wait_for("ch_2", "settled").await;
    }
    assert_eq!(folder.payment("ch_2")["forwarded"], 600);
    assert_eq!(folder.sandbox.live_sum("globex", "USD"), 600);
    assert_eq!(folder.sandbox.live_sum("acme", "USD"), 1700);
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_name_their_payments() {
    let folder = Folder::with("partial_refunds = \"hold\"").await;
    let running = folder.serve().await;
    deliver(
        &running,
        "evt_c",
        "customer.created",
        customer("cus_A", "acme"),
    )
    .await;
    deliver(
        &running,
        "evt_n",
        "customer.created",
        customer("cus_N", "nobody"),
    )
    .await;
    for (n, whose) in [(1, None), (2, None), (3, Some("cus_A")), (4, Some("cus_N"))] {
        let sale = charge(&format!("ch_{n}"), 1000, whose);
        deliver(&running, &format!("evt_{n}"), "charge.succeeded", sale).await;
    }
    folder.wait_for("ch_3", "settled").await;
    folder.wait_for("ch_4", "unattributed").await;
    deliver(
        &running,
        "evt_r",
        "refund.created",
        refund("re_3", "ch_3", 100),
    )
    .await;
    folder.wait_for("ch_3", "held").await;

    let before = folder.json(&["payments"]);
    for wrong in [
        &["retry"][..],
        &["skip", "--reason", "x"],
        &["release", "--accept"],
        &["retry", "stripe"],
        &["retry", "stripe", "ch_1", "--all"],
        &["retry", "stripe", "ch_1", "--state", "failed"],
        &["retry", "--state", "nonsense"],
        &["skip", "stripe", "ch_1"],
        &["skip", "stripe", "ch_1", "--reason", " "],
        &["skip", "--all"],
        &["release", "stripe", "ch_3"],
        &[
            "release", "stripe", "ch_3", "--accept", "--policy", "negative",
        ],
        &["release", "stripe", "ch_3", "--policy", "nonsense"],
    ] {
        let ran = folder.expect(2, wrong);
        assert_eq!(ran.out, "", "{wrong:?}");
    }
    for dry in [
        &["retry", "--all"][..],
        &["skip", "--all", "--reason", "x"],
        &["skip", "stripe", "ch_1", "--reason", "x"],
        &["release", "--all", "--accept"],
        &["release", "stripe", "ch_3", "--policy", "negative"],
        &["release", "stripe", "ch_1", "--customer", "acme"],
    ] {
        let tally = folder.json(&[dry, &["--dry-run"]].concat());
        assert!(tally["done"].as_u64().unwrap() > 0, "{dry:?}: {tally}");
    }
    assert_eq!(
        folder.json(&["payments"]),
        before,
        "a dry run changed something"
    );
    folder.expect(1, &["retry", "stripe", "ch_none"]);
    folder.expect(1, &["retry", "stripe", "ch_3"]);
    folder.expect(
        1,
        &["skip", "stripe", "ch_3", "--reason", "it is held live"],
    );

    folder.expect(0, &["release", "stripe", "ch_3", "--policy", "negative"]);
    folder.wait_for("ch_3", "settled").await;
    folder.expect(0, &["release", "stripe", "ch_1", "--customer", "globex"]);
    folder.wait_for("ch_1", "settled").await;
    folder.expect(0, &["skip", "stripe", "ch_2", "--reason", "a gift"]);
    let skipped = folder.payment("ch_2");
    assert_eq!(skipped["state"], "ignored");
    assert!(skipped["reason"].as_str().unwrap().contains("skipped"));
    let story = folder.expect(0, &["explain", "stripe", "ch_2"]);
    assert!(story.out.contains("a gift"), "{story:?}");
    folder
        .sandbox
        .add_customer(tributary::sandbox::NewCustomer::of("nobody", "northwind"));
    folder.expect(
        0,
        &["retry", "--state", "unattributed", "--customer", "nobody"],
    );
    folder.wait_for("ch_4", "settled").await;
    assert_eq!(folder.sandbox.live_sum("acme", "USD"), 900);
    assert_eq!(folder.sandbox.live_sum("globex", "USD"), 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_alone_on_its_ledger_and_ends_when_told() {
    // A server is for several.
    let folder = Folder::on_file().await;
    let running = folder.serve().await;
    let second = folder.expect(1, &["serve"]);
    assert_eq!(second.err.lines().count(), 1, "{second:?}");
    assert!(second.err.contains("ledger.db"), "{second:?}");
    folder.expect(0, &["payments"]);
    folder.expect(0, &["check"]);
    // The first one never noticed.
    deliver(
        &running,
        "evt_1",
        "charge.succeeded",
        charge("ch_1", 100, None),
    )
    .await;
    folder.expect(0, &["explain", "stripe", "ch_1"]);
    let log = running.log();
    for line in log.lines() {
        let line: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for field in ["timestamp", "level", "target", "message"] {
            assert!(line[field].is_string(), "{field}: {line}");
        }
    }
    assert!(!log.contains('\u{1b}'), "colour in a file");
    // A request under way is answered, then it ends.
    let ended = tokio::time::timeout(
        Duration::from_secs(5),
        tokio::task::spawn_blocking(|| running.terminate()),
    );
    assert_eq!(ended.await.unwrap().unwrap().code(), Some(0));
    let third = folder.serve().await;
    third.signal("INT");
    assert_eq!(third.terminate().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_under_load_keeps_every_answer_and_waits_for_no_slow_destination() {
    let mut folder = Folder::new().await;
    let running = folder.serve().await;
    // The second one finds them taken.
    for (name, at) in [("PUBLIC", &running.public), ("ADMIN", &running.admin)] {
        let at = at.trim_start_matches("http://");
        folder.set(&format!("TRIBUTARY__HTTP__{name}"), at);
    }
    let second = folder.expect(1, &["serve"]);
    assert_eq!(second.err.lines().count(), 1, "{second:?}");
    assert!(
        second.err.contains("cannot listen on 127.0.0.1:"),
        "{second:?}"
    );
    folder
        .sandbox
        .set_faults(vec!["slow:30000=100%".parse().unwrap()]);
    let linked = customer("cus_A", "acme");
    deliver(&running, "evt_c", "customer.created", linked).await;
    let answered = Arc::new(AtomicU64::new(0));
    let senders: Vec<_> = (0..4)
        .map(|sender| {
            let (public, answered) = (running.public.clone(), Arc::clone(&answered));
            tokio::spawn(async move {
                let (client, mut taken) = (client(), Vec::new());
                for n in 0.. {
                    let id = format!("ch_{sender}_{n}");
                    let sale = charge(&id, 100, Some("cus_A"));
                    let event = event(&format!("evt_{id}"), "charge.succeeded", sale);
                    match post(&client, &public, SECRET, &event).await {
                        Some((200, _)) => taken.push(id),
                        Some((status, answer)) => panic!("{status} {answer}"),
                        None => break,
                    }
                    answered.fetch_add(1, Ordering::SeqCst);
                }
                taken
            })
        })
        .collect();
    // In the midst of it, however fast the machine is.
    while answered.load(Ordering::SeqCst) < 50 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let ended = tokio::task::spawn_blocking(|| running.terminate());
    let ended = tokio::time::timeout(Duration::from_secs(8), ended).await;
    assert_eq!(ended.unwrap().unwrap().code(), Some(0));
    let mut taken = 0;
    for sender in senders {
        for id in sender.await.unwrap() {
            taken += 1;
            if taken % 20 == 1 {
                folder.expect(0, &["explain", "stripe", &id]);
            }
        }
    }
    assert!(taken >= 50, "{taken}");
    let mut told = 0;
    let mut page = folder.json(&["payments", "--limit", "1000"]);
    loop {
        told += ids(&page).len();
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        page = folder.json(&["payments", "--limit", "1000", "--cursor", cursor]);
    }
    assert!(told >= taken, "{taken} answered, {told} kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hang_up_reads_the_secrets_again() {
    let folder = Folder::new().await;
    let running = folder.serve().await;
    let fresh = "whsec_the_next_one_0123456789";
    let client = client();
    let mut asked = 0;
    let mut status = async |secret: &str| {
        asked += 1;
        let id = format!("evt_{asked}");
        let event = event(
            &id,
            "charge.succeeded",
            charge(&format!("ch_{asked}"), 100, Some("cus_A")),
        );
        running.deliver(&client, secret, &event).await.unwrap().0
    };
    assert_eq!((status(SECRET).await, status(fresh).await), (200, 401));
    folder.write("hook", "");
    running.signal("HUP");
    wait_for_line(&running, "the old ones stay", 1).await;
    assert_eq!((status(SECRET).await, status(fresh).await), (200, 401));
    for (n, secret) in [fresh, SECRET, fresh].into_iter().enumerate() {
        folder.write("hook", &format!("{secret}\n"));
        running.signal("HUP");
        wait_for_line(&running, "were read again", n + 1).await;
    }
    assert_eq!((status(SECRET).await, status(fresh).await), (401, 200));
    // It still forwards.
    let event = event("evt_c", "customer.created", customer("cus_A", "acme"));
    running.deliver(&client, fresh, &event).await.unwrap();
    folder.wait_for("ch_1", "settled").await;
    assert_eq!(running.terminate().code(), Some(0));
}

async fn wait_for_line(running: &Running, text: &str, times: usize) {
    for _ in 0..500 {
        if running.log().matches(text).count() >= times {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("no \"{text}\" in {}", running.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn help_version_and_completions_need_no_configuration() {
    let folder = Folder::new().await;
    folder.write("tributary.toml", "[");
    let ran = folder.expect(0, &["--version"]);
    assert_eq!(
        ran.out,
        format!("tributary {}\n", env!("CARGO_PKG_VERSION"))
    );
    let ran = folder.expect(0, &["--help"]);
    assert!(ran.out.contains("explain") && ran.err.is_empty(), "{ran:?}");
    for shell in ["bash", "zsh", "fish"] {
        let ran = folder.expect(0, &["completions", shell]);
        assert!(ran.out.contains("explain") && ran.err.is_empty(), "{shell}");
    }
    for wrong in [
        &[][..],
        &["no-such-command"],
        &["completions", "cmd.exe"],
        &["serve", "--fast"],
    ] {
        let ran = folder.expect(2, wrong);
        assert_eq!(ran.out, "", "{wrong:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_line_ever_holds_a_secret_a_body_or_an_email() {
    let mut folder = Folder::new().await;
    folder.set("TRIBUTARY_LOG", "trace");
    let email = "jane.roe@distinct-payer.example";
    let (card, marker) = ("4242424242424242", "a sentence of the body");
    let basic = base64::Engine::encode(
        &base64::prelude::BASE64_STANDARD,
        format!("{PUBLIC_KEY}:{SECRET_KEY}"),
    );
    let never = [
        SECRET,
        SECRET_KEY,
        PUBLIC_KEY,
        OPERATOR,
        VIEWER,
        LINKER,
        basic.as_str(),
        card,
        marker,
    ];
    let rule = "[sources.stripe]\ncustomer_key = [\"metadata.customer_key\", \"link:customer\", \"email\"]";
    let with_emails = folder.config().replace("[sources.stripe]", rule);
    for config in [folder.config(), with_emails] {
        let by_email = config.contains("\"email\"");
        folder.write("tributary.toml", &config);
        let running = folder.serve().await;
        let faults = [
            "500-after=20%",
            "html-after=10%",
            "drop-after=10%",
            "empty=10%",
            "unauthorized=next:1",
        ];
        folder
            .sandbox
            .set_faults(faults.map(|fault| fault.parse().unwrap()).to_vec());
        let round = if by_email { "e" } else { "p" };
        traffic(&running, round, email, card, marker).await;
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let metrics = client()
            .get(format!("{}/metrics", running.admin))
            .send()
            .await
            .unwrap();
        let metrics = metrics.text().await.unwrap();
        assert!(metrics.contains("tributary_deliveries_total"), "{metrics}");
        folder.run(&["check"]);
        folder.run(&["payments"]);
        for n in 0..6 {
            folder.run(&["explain", "stripe", &format!("ch_{round}{n}")]);
        }
        folder.run(&["retry", "stripe", &format!("ch_{round}0")]);
        let log = running.log();
        assert_eq!(running.terminate().code(), Some(0));
        for text in never.iter().chain([&email]) {
            assert!(!log.contains(text), "{text}: {}", line_of(&log, text));
            assert!(!metrics.contains(text), "{text}: {metrics}");
        }
        let written = folder.everything_written();
        for text in never {
            assert!(
                !written.contains(text),
                "{text}: {}",
                line_of(&written, text)
            );
        }
        // As a customer key an address is data that an operator asks for.
        if !by_email {
            assert!(!written.contains(email), "{}", line_of(&written, email));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_reads_no_address() {
    let folder = Folder::new().await;
    let rule = "[sources.stripe]\ncustomer_key = [\"link:email\", \"email\"]";
    folder.write(
        "tributary.toml",
        &folder.config().replace("[sources.stripe]", rule),
    );
    let running = folder.serve().await;
    for (id, email) in [
        ("ch_1", "jane.roe@payer.example"),
        ("ch_2", "john.doe@payer.example"),
    ] {
        let mut sale = charge(id, 1000, None);
        sale["billing_details"] = json!({"email": email});
        sale["receipt_email"] = json!(email);
        deliver(&running, &format!("evt_{id}"), "charge.succeeded", sale).await;
        folder.wait_for(id, "unattributed").await;
    }
    let email = "jane.roe@payer.example";
    folder.expect(0, &["release", "stripe", "ch_2", "--customer", email]);
    folder.expect(0, &["link", "stripe", "email", email, "globex"]);
    folder.wait_for("ch_1", "settled").await;
    folder.wait_for("ch_2", "unattributed").await;
    for path in ["", "/stripe/ch_1", "/stripe/ch_2", "/stripe/evt_ch_1"] {
        let url = format!("{}/api/v1/payments{path}", running.admin);
        let read = async |token: &str| {
            let answer = client().get(&url).bearer_auth(token).send().await.unwrap();
            assert_eq!(answer.status().as_u16(), 200);
            answer.text().await.unwrap()
        };
        let told = read(VIEWER).await;
        assert!(!told.contains("@payer"), "{path}: {told}");
        assert!(told.contains("@***.example"), "{path}: {told}");
        assert!(read(OPERATOR).await.contains("@payer"), "{path}");
    }
}

fn line_of<'a>(text: &'a str, part: &str) -> &'a str {
    text.lines()
        .find(|line| line.contains(part))
        .unwrap_or_default()
}

/// Good and bad requests that hold what must not be repeated.
async fn traffic(running: &Running, round: &str, email: &str, card: &str, marker: &str) {
    deliver(
        running,
        &format!("evt_c{round}"),
        "customer.created",
        customer("cus_A", "acme"),
    )
    .await;
    for n in 0..6 {
        let id = format!("ch_{round}{n}");
        let mut sale = charge(&id, 1000, (n < 4).then_some("cus_A"));
        sale["receipt_email"] = json!(email);
        sale["billing_details"] = json!({"email": email, "name": marker});
        sale["description"] = json!(marker);
        sale["payment_method_details"] = json!({"card": {"number": card}});
        deliver(running, &format!("evt_{id}"), "charge.succeeded", sale).await;
        deliver(
            running,
            &format!("evt_r{id}"),
            "refund.created",
            refund(&format!("re_{id}"), &id, 100),
        )
        .await;
    }
    let client = client();
    for body in [
        marker.to_owned(),
        format!("{{\"id\":\"{card}"),
        json!({"id": marker, "type": email}).to_string(),
    ] {
        let headers = [
            signature(SECRET, &body, now_s()),
            signature(OPERATOR, &body, now_s()),
            SECRET.to_owned(),
        ];
        for header in headers {
            let sent = client
                .post(format!(
                    "{}/webhooks/stripe?key={SECRET}&e={email}",
                    running.public
                ))
                .header("Stripe-Signature", header)
                .header("Authorization", format!("Bearer {OPERATOR}"))
                .body(body.clone());
            sent.send().await.unwrap();
        }
    }
    for path in [
        "/api/v1/payments",
        "/api/v1/payments/stripe/ch_none",
        "/api/v1/nothing",
    ] {
        for token in [VIEWER, LINKER, OPERATOR, SECRET] {
            let url = format!("{}{path}?token={token}", running.admin);
            client.get(url).bearer_auth(token).send().await.unwrap();
        }
    }
}
