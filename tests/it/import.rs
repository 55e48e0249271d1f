//! Importing and exporting by the real binary and the API: what people see, what
//! a kill leaves, and what webhooks feel of it.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use rand::RngExt;
use serde_json::Value;

use crate::bench::on_postgres;
use crate::binary::{Folder, Running, client};
use crate::world::{OPERATOR, SECRET, VIEWER, charge, event};

/// Rows of the file that is killed at: some seconds of an unoptimised build.
const KILLED_ROWS: u32 = 6_000;
const KILLED_ROWS_ON_SERVER: u32 = 2_000;
/// How often it is killed, and how long it lives before that, in milliseconds.
const KILLS: u32 = 6;
const LIFE_MS: std::ops::Range<u64> = 20..900;
/// How long an import by the API may take, in steps of 50 ms.
const API_STEPS: u32 = 1_200;

fn killed_rows() -> u32 {
    match on_postgres() {
        true => KILLED_ROWS_ON_SERVER,
        false => KILLED_ROWS,
    }
}

const SALES: &str = "\
payment_id,kind,reversal_id,customer_key,amount,amount_decimal,currency,occurred_at
ch_1,,,acme,4999,,USD,2025-06-01T10:00:00Z
ch_2,,,globex,,1200,JPY,2025-06-02
ch_1,refund,re_1,,500,,USD,2025-06-03T10:00:00Z
ch_3,,,,700,,USD,2025-06-04T10:00:00Z
ch_4,,,acme,12.5,,USD,2025-06-04T10:00:00Z
";

fn stands(folder: &Folder) -> Vec<(String, String, Option<i64>)> {
    let listed = folder.json(&["payments", "--limit", "1000"]);
    let mut found: Vec<_> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| {
            let text = |key: &str| it[key].as_str().unwrap().to_owned();
            (text("payment_id"), text("state"), it["net"].as_i64())
        })
        .collect();
    found.sort();
    found
}

#[tokio::test]
async fn a_file_is_tried_imported_reported_and_known_again() {
    let folder = Folder::new().await;
    folder.write("sales.csv", SALES);
    let import = |more: &[&str]| {
        let args = ["import", "sales.csv", "--source", "stripe", "--zone", "UTC"];
        let args: Vec<&str> = args.iter().chain(more).copied().collect();
        folder.run(&args)
    };
    let tried = import(&["--dry-run"]);
    assert_eq!(tried.code, 3, "{tried:?}");
    for told in ["acme", "44.99 USD", "globex", "1200 JPY", "unattributed"] {
        assert!(tried.out.contains(told), "{told}: {tried:?}");
    }
    assert!(
        tried.err.contains("line 5: unattributed: no customer key"),
        "{tried:?}"
    );
    assert!(
        tried.err.contains("line 6: rejected: amount: "),
        "{tried:?}"
    );
    assert!(tried.err.contains("warning: 2 payments would be forwarded"));
    assert_eq!(stands(&folder), [], "a dry run writes nothing");
    let left = std::fs::read_dir(folder.dir.path()).unwrap();
    let copies = left.filter(|it| {
        let name = it.as_ref().unwrap().file_name();
        name.to_string_lossy().contains("dry-run")
    });
    assert_eq!(copies.count(), 0, "the copy is gone");

    let done = import(&["--report", "out.csv"]);
    assert_eq!(done.code, 3, "{done:?}");
    let due = |id: &str, state: &str, net| (id.to_owned(), state.to_owned(), Some(net));
    let books = [
        due("ch_1", "due", 4499),
        due("ch_2", "due", 1200),
        due("ch_3", "unattributed", 700),
    ];
    assert_eq!(stands(&folder), books);
    let report = std::fs::read_to_string(folder.path("out.csv")).unwrap();
    let lines: Vec<&str> = report.lines().collect();
    assert_eq!(lines[..2], ["line,outcome,reason", "2,imported,"]);
    assert!(lines[4].starts_with("5,unattributed,"), "{report}");
    assert!(lines[5].starts_with("6,rejected,amount: "), "{report}");
    let told = folder.expect(0, &["explain", "stripe", "ch_1"]).out;
    assert!(told.contains("import sales.csv line 4 stated: refund re_1 of 5.00 USD"));

    let again = folder.run(&[
        "--json",
        "import",
        "sales.csv",
        "--source",
        "stripe",
        "--zone",
        "UTC",
    ]);
    let came: Value = serde_json::from_str(&again.out).unwrap();
    let counts = ["known", "imported", "rejected", "due"].map(|key| came[key].as_i64().unwrap());
    assert_eq!(counts, [4, 0, 1, 0], "{came}");
    assert_eq!(came["changes"], serde_json::json!([]));
    assert_eq!(stands(&folder), books);
}

#[tokio::test]
async fn wrong_usage_is_told_before_anything_is_read() {
    let folder = Folder::new().await;
    folder.write("sales.csv", SALES);
    folder.write("odd.csv", "a,b\n1,2\n");
    for (args, told) in [
        (
            vec!["import", "sales.csv", "--source", "nobody"],
            "--source",
        ),
        (vec!["import", "none.csv", "--source", "stripe"], "none.csv"),
        (vec!["import", "odd.csv", "--source", "stripe"], "columns"),
        (
            vec!["import", "sales.csv", "--source", "stripe", "--format", "x"],
            "--format",
        ),
        (
            vec!["import", "sales.csv", "--source", "stripe", "--map", "x"],
            "--map",
        ),
        (
            vec![
                "import",
                "sales.csv",
                "--source",
                "stripe",
                "--zone",
                "Mars",
            ],
            "--zone",
        ),
    ] {
        let ran = folder.expect(2, &args);
        assert!(ran.err.contains(told), "{told}: {ran:?}");
    }
    assert_eq!(stands(&folder), []);
    let wrong = format!(
        "{}\n[sources.stripe.import]\nzone = \"Mars\"\n",
        folder.config()
    );
    folder.write("tributary.toml", &wrong);
    let ran = folder.expect(2, &["payments"]);
    assert!(ran.err.contains("sources.stripe.import.zone"), "{ran:?}");
}

#[tokio::test]
async fn a_saved_mapping_reads_a_file_from_a_pipe_as_history_only() {
    let folder = Folder::new().await;
    let saved = "[sources.stripe.import]\nmap = { Txn = \"payment_id\", Total = \"amount_decimal\", \
                 Who = \"customer_key\", At = \"occurred_at\" }\ncurrency = \"USD\"\n\
                 zone = \"UTC\"\ndecimal = \"comma\"\ndelimiter = \";\"\n";
    folder.write("tributary.toml", &format!("{}\n{saved}", folder.config()));
    let args = ["import", "-", "--source", "stripe", "--no-forward"];
    let mut child = Command::new(env!("CARGO_BIN_EXE_tributary"))
        .args(args)
        .current_dir(folder.dir.path())
        .env_clear()
        .envs(folder.env.iter().map(|(k, v)| (k, v)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let file = "Txn;Who;Total;At\nch_1;acme;1.234,50;2025-06-01 10:00\n";
    child
        .stdin
        .take()
        .unwrap()
        .write_all(file.as_bytes())
        .unwrap();
    let ended = child.wait_with_output().unwrap();
    let err = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(0), "{err}");
    assert!(!err.contains("warning"), "nothing will be forwarded: {err}");
    let ignored = ("ch_1".to_owned(), "ignored".to_owned(), Some(123_450));
    assert_eq!(stands(&folder), [ignored]);
    let told = folder.expect(0, &["explain", "stripe", "ch_1"]).out;
    assert!(
        told.contains("import standard input line 2 stated"),
        "{told}"
    );
    assert!(told.contains("recorded it as history only"), "{told}");
}

/// A file of many payments, a third of them with a refund further down.
fn many(rows: u32) -> String {
    let mut text =
        String::from("payment_id,kind,reversal_id,customer_key,amount,currency,occurred_at\n");
    for n in 0..rows {
        let id = n * 7_919 % rows;
        let key = if n % 2 == 0 { "acme" } else { "globex" };
        let line = match n % 3 {
            2 => format!(
                "ch_{id},refund,re_{id},,{},USD,2025-07-01T00:00:00Z\n",
                n % 90
            ),
            _ => format!("ch_{id},,,{key},{},USD,2025-06-01T00:00:00Z\n", 100 + n),
        };
        text.push_str(&line);
    }
    text
}

fn sorted_export(folder: &Folder) -> Vec<String> {
    let out = folder.expect(0, &["export"]).out;
    let mut lines: Vec<String> = out.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn an_import_killed_at_any_moment_is_finished_by_the_same_command() {
    let args = ["import", "many.csv", "--source", "stripe"];
    let whole = Folder::new().await;
    whole.write("many.csv", &many(killed_rows()));
    whole.expect(0, &args);
    let folder = Folder::new().await;
    folder.write("many.csv", &many(killed_rows()));
    let mut caught = 0;
    for _ in 0..KILLS {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tributary"))
            .args(args)
            .current_dir(folder.dir.path())
            .env_clear()
            .envs(folder.env.iter().map(|(k, v)| (k, v)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        tokio::time::sleep(Duration::from_millis(rand::rng().random_range(LIFE_MS))).await;
        caught += u32::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    eprintln!("{KILLS} kills, {caught} of them while it ran");
    folder.expect(0, &args);
    // A fact that was stored twice would be a row more.
    assert_eq!(sorted_export(&folder), sorted_export(&whole));
    assert_eq!(stands(&folder).len(), stands(&whole).len());
    let lines = sorted_export(&folder).len();
    assert_eq!(lines, usize::try_from(killed_rows()).unwrap() + 1);
}

async fn send(running: &Running, query: &str, token: &str, file: &str) -> (u16, Value) {
    let sent = client()
        .post(format!("{}/api/v1/imports?{query}", running.admin))
        .bearer_auth(token)
        .header("content-type", "text/csv")
        .body(file.to_owned())
        .send()
        .await
        .unwrap();
    (sent.status().as_u16(), sent.json().await.unwrap())
}

async fn ask(running: &Running, path: &str, token: &str) -> (u16, String) {
    let asked = client()
        .get(format!("{}{path}", running.admin))
        .bearer_auth(token)
        .send()
        .await
        .unwrap();
    (asked.status().as_u16(), asked.text().await.unwrap())
}

/// Waits until an import has ended.
async fn ended(running: &Running, id: &str) -> Value {
    for _ in 0..API_STEPS {
        let (status, body) = ask(running, &format!("/api/v1/imports/{id}"), VIEWER).await;
        assert_eq!(status, 200, "{body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        if !body["ended_at"].is_null() {
            return body;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the import {id} does not end");
}

#[tokio::test]
async fn a_file_by_the_api_is_tried_imported_and_forwarded() {
    let folder = Folder::new().await;
    let running = folder.serve().await;
    let query = "source=stripe&zone=UTC";
    assert_eq!(send(&running, query, VIEWER, SALES).await.0, 403);
    assert_eq!(
        send(&running, "source=nobody", OPERATOR, SALES).await.0,
        400
    );
    let (status, begun) = send(&running, &format!("{query}&dry_run=true"), OPERATOR, SALES).await;
    assert_eq!((status, &begun["state"]), (202, &Value::from("waiting")));
    let tried = ended(&running, begun["id"].as_str().unwrap()).await;
    assert_eq!(tried["state"], "done", "{tried}");
    assert_eq!(tried["result"]["rejected"], 1, "{tried}");
    assert_eq!(stands(&folder), [], "a dry run writes nothing");

    let (_, begun) = send(&running, query, OPERATOR, SALES).await;
    let id = begun["id"].as_str().unwrap().to_owned();
    let done = ended(&running, &id).await;
    assert_eq!(done["result"]["imported"], 4, "{done}");
    assert_eq!(done["result"]["rejected_first"][0]["line"], 6, "{done}");
    let report = format!("/api/v1/imports/{id}/report");
    assert_eq!(ask(&running, &report, VIEWER).await.0, 403);
    let (status, report) = ask(&running, &report, OPERATOR).await;
    assert_eq!((status, report.lines().count()), (200, 6), "{report}");
    assert_eq!(ask(&running, "/api/v1/imports/77", VIEWER).await.0, 404);
    folder.wait_for("ch_1", "settled").await;
    folder.wait_for("ch_2", "settled").await;
    let there = folder.sandbox.transactions();
    let sum: i64 = there.iter().map(|row| row.amount).sum();
    assert_eq!(sum, 4_499 + 1_200);

    let named = "payment_id,customer_key,amount,currency,occurred_at\n\
                 ch_9,bob@example.com,100,USD,2026-05-01\n";
    let (_, begun) = send(&running, query, OPERATOR, named).await;
    let path = format!("/api/v1/imports/{}", begun["id"].as_str().unwrap());
    ended(&running, begun["id"].as_str().unwrap()).await;
    let (_, whole) = ask(&running, &path, OPERATOR).await;
    assert!(whole.contains("bob@example.com"), "{whole}");
    let (_, masked) = ask(&running, &path, VIEWER).await;
    assert!(masked.contains("b***@***.com"), "{masked}");
    assert!(!masked.contains("bob@"), "{masked}");

    let (_, refused) = send(&running, query, OPERATOR, "a,b\n1,2\n").await;
    let refused = ended(&running, refused["id"].as_str().unwrap()).await;
    assert_eq!(refused["state"], "failed", "{refused}");
    assert!(
        refused["reason"].as_str().unwrap().contains("columns"),
        "{refused}"
    );
}

/// A file waits and its report lies where the configuration says, and nowhere else.
#[tokio::test]
async fn files_by_the_api_are_kept_in_the_folder_that_is_configured() {
    let mut folder = Folder::new().await;
    folder.set("TRIBUTARY__HTTP__IMPORT_FOLDER", "kept/files");
    let running = folder.serve().await;
    let (status, begun) = send(&running, "source=stripe&zone=UTC", OPERATOR, SALES).await;
    assert_eq!(status, 202, "{begun}");
    let id = begun["id"].as_str().unwrap();
    assert_eq!(ended(&running, id).await["state"], "done");
    let names = |at: &str| -> Vec<String> {
        let found = std::fs::read_dir(folder.path(at)).unwrap();
        found
            .map(|it| it.unwrap().file_name().into_string().unwrap())
            .collect()
    };
    let kept = names("kept/files");
    assert!(
        kept.len() == 1 && kept[0].ends_with(".report"),
        "the file is gone, its report stays: {kept:?}"
    );
    assert!(!names(".").iter().any(|name| name.ends_with("-imports")));
    let report = format!("/api/v1/imports/{id}/report");
    assert_eq!(ask(&running, &report, OPERATOR).await.0, 200);
}

#[tokio::test]
async fn what_a_crash_cut_off_goes_on_and_webhooks_are_taken_meanwhile() {
    let folder = Folder::new().await;
    let mut running = folder.serve().await;
    let (status, begun) = send(
        &running,
        "source=stripe&no_forward=true",
        OPERATOR,
        &many(killed_rows()),
    )
    .await;
    assert_eq!(status, 202, "{begun}");
    running.kill();
    let running = folder.serve().await;
    let client = client();
    let (mut told, mut again) = (1, 0);
    let id = begun["id"].as_str().unwrap();
    loop {
        let sold = charge(&format!("ch_live_{told}"), 100, None);
        let event = event(&format!("evt_{told}"), "charge.succeeded", sold);
        let (status, answer) = running.deliver(&client, SECRET, &event).await.unwrap();
        if status == 503 {
            // A machine that is too slow for the intake's limit: providers send again.
            again += 1;
            continue;
        }
        assert_eq!(status, 200, "{answer}");
        let (_, body) = ask(&running, &format!("/api/v1/imports/{id}"), VIEWER).await;
        let body: Value = serde_json::from_str(&body).unwrap();
        if !body["ended_at"].is_null() {
            assert_eq!(body["state"], "done", "{body}");
            let rows = body["result"]["rows"].as_u64();
            assert_eq!(rows, Some(u64::from(killed_rows())), "{body}");
            break;
        }
        told += 1;
    }
    eprintln!(
        "{told} webhooks were answered 200 while the file was recorded, {again} had to be sent again"
    );
    let lines = sorted_export(&folder).len();
    let facts = usize::try_from(killed_rows() + told).unwrap();
    assert_eq!(lines, facts + 1);
}
