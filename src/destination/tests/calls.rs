//! Posts and deletes: what every answer and every failure is taken for.
//!
//! Not a test of the forwarder, which decides what to do about it.

use super::*;
use crate::call::client;
use crate::destination::handover::Letter;

#[tokio::test]
async fn a_post_is_read_as_what_its_answer_proves() {
    let error = r#"{"message":"'amount' is wrong","status":400}"#;
    let twice = r#"{"message":"Key must be UNIQUE"}"#;
    let mine = shown(&json!({"key": "stripe:ch_1", "amount": 9900, "currency": "usd"}));
    let rows: &[(u16, &str, &str)] = &[
        (200, &mine, "accepted"),
        (201, r#"{"rdata":{"key":"stripe:ch_1"}}"#, "accepted"),
        (200, "", "unknown"),
        (204, "", "unknown"),
        (200, "<html>", "unknown"),
        (200, r#"{"status":200,"data":{"key":"other"}}"#, "unknown"),
        (200, r#"{"status":200,"data":{"amount":9900}}"#, "unknown"),
        (
            200,
            r#"{"data":{"key":"stripe:ch_1","amount":"99"}}"#,
            "unknown",
        ),
        (200, &mine[..mine.len() - 1], "unknown"),
        (400, error, "refused"),
        (400, "<html>bad</html>", "refused"),
        (405, error, "refused"),
        (413, "", "refused"),
        (415, error, "refused"),
        (422, error, "refused"),
        (400, twice, "repeated"),
        (422, "this key already exists", "repeated"),
        (400, "Duplicate", "repeated"),
        (401, error, "wrong_credentials"),
        (403, "", "wrong_credentials"),
        (404, error, "customer_unknown"),
        (404, "<html>", "later"),
        (404, "", "later"),
        (408, error, "unknown"),
        (409, error, "repeated"),
        (425, "", "later"),
        (429, error, "later"),
        (500, &mine, "unknown"),
        (502, "<html>", "unknown"),
        (503, "", "unknown"),
        (504, "", "unknown"),
        (599, "", "unknown"),
        (300, "", "misdirected"),
        (304, "", "misdirected"),
    ];
    for (status, body, name) in rows {
        let outcome = post(answer(*status, "", body)).await;
        assert_eq!(outcome.name(), *name, "{status} {body}: {outcome:?}");
    }
}

#[tokio::test]
async fn an_answer_with_other_money_is_a_mismatch() {
    let with = |extra: serde_json::Value| {
        let mut row = json!({"key": "stripe:ch_1", "customer_key": "cus_internal"});
        row.as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        shown(&row)
    };
    let rows = [
        (json!({"amount": 9901}), "mismatch"),
        (json!({"currency": "EUR"}), "mismatch"),
        (json!({"customer_external_key": "user_9"}), "mismatch"),
        (
            json!({"customer": {"customer_key": "user_9", "key": "cus_1"}}),
            "mismatch",
        ),
        (
            json!({"customer": {"customer_key": "user_123"}}),
            "accepted",
        ),
        (json!({"customer": {"email": "a@b.example"}}), "accepted"),
        (json!({"customer": "cus_1", "amount": null}), "accepted"),
    ];
    for (extra, name) in rows {
        let outcome = post(answer(200, "", &with(extra.clone()))).await;
        assert_eq!(outcome.name(), name, "{extra}: {outcome:?}");
    }
    let outcome = post(answer(
        200,
        "",
        &with(json!({"amount": 1, "currency": "EUR"})),
    ))
    .await;
    let detail = "The destination shows our key with amount 1 instead of 9900, \
                  a currency other than USD.";
    assert_eq!(
        outcome,
        Outcome::Mismatch {
            detail: detail.to_owned()
        }
    );
}

#[tokio::test]
async fn a_delete_is_read_as_what_its_answer_proves() {
    let rows: &[(u16, &str, &str)] = &[
        (200, r#"{"status":200}"#, "accepted"),
        (200, "", "accepted"),
        (204, "", "accepted"),
        (200, "<html>", "accepted"),
        (404, r#"{"message":"no"}"#, "gone"),
        (404, "<html>", "later"),
        (400, r#"{"message":"invoiced"}"#, "refused"),
        (401, "", "wrong_credentials"),
        (409, "", "unknown"),
        (429, "", "later"),
        (500, "", "unknown"),
        (302, "", "misdirected"),
    ];
    for (status, body, name) in rows {
        let outcome = delete(answer(*status, "", body)).await;
        assert_eq!(outcome.name(), *name, "{status} {body}: {outcome:?}");
    }
    assert_eq!(delete(Play::Reset).await.name(), "unknown");
    assert_eq!(delete(Play::Hang).await.name(), "unknown");
}

#[tokio::test]
async fn what_breaks_after_the_hand_over_is_unknown() {
    assert_eq!(post(Play::Reset).await.name(), "unknown");
    assert_eq!(post(Play::Hang).await.name(), "unknown");
    let mine = shown(&json!({"key": "stripe:ch_1"}));
    for head in [
        "",
        "HTTP/1.1 200",
        "HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n",
    ] {
        let half = format!(
            "{head}{}",
            if head.ends_with("\r\n\r\n") {
                &mine
            } else {
                ""
            }
        );
        assert_eq!(
            post(Play::Write(half.into_bytes())).await.name(),
            "unknown",
            "{head}"
        );
    }
    let cut = b"HTTP/1.1 400 Bad\r\ncontent-length: 999\r\n\r\n{\"message\":".to_vec();
    assert_eq!(post(Play::Write(cut)).await.name(), "unknown");
    let garbage = vec![0xff; 300_000];
    assert_eq!(post(Play::Write(garbage)).await.name(), "unknown");
}

#[tokio::test]
async fn a_body_over_its_cap_is_not_read() {
    let mine = shown(&json!({"key": "stripe:ch_1", "pad": "x".repeat(70 * 1024)}));
    assert_eq!(post(answer(200, "", &mine)).await.name(), "unknown");
    let page = json!({"data": {"items": [], "has_more": false}, "pad": "x".repeat(9 << 20)});
    let server = Server::start(answer(200, "", &page.to_string())).await;
    let window = Window { from: NOW, to: NOW };
    let outcome = open(&server.base_url).list(window, None).await.unwrap_err();
    assert_eq!(outcome.name(), "unknown");
}

#[tokio::test]
async fn a_post_carries_its_length_and_only_documented_fields() {
    let server = Server::start(answer(500, "", "")).await;
    let mut sale = sale();
    sale.metadata.push(("n".repeat(40), "é".repeat(130)));
    sale.metadata
        .extend((0..30).map(|n| (n.to_string(), String::new())));
    open(&server.base_url).post(&sale, soon()).await;
    let seen = server.seen();
    let (head, body) = seen[0].split_once("\r\n\r\n").unwrap();
    let head = head.to_lowercase();
    assert!(
        head.starts_with("post /api/v2/transactions http/1.1\r\n"),
        "{head}"
    );
    assert!(
        head.contains(&format!("content-length: {}", body.len())),
        "{head}"
    );
    assert!(!head.contains("transfer-encoding"), "{head}");
    assert!(head.contains("content-type: application/json"), "{head}");
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["customer_external_key"], "user_123");
    assert_eq!(body["amount"], 9_900);
    assert_eq!(body["currency"], "USD");
    assert_eq!(body["created_at"], 1_700_000_000_000_i64);
    assert_eq!(body["product_key"], "pro");
    assert_eq!(body.get("category_key"), None);
    let notes = body["metadata"].as_object().unwrap();
    assert_eq!(notes.len(), 20);
    assert_eq!(notes[&"n".repeat(30)], "é".repeat(100));

    let v1 = Settings {
        api: Api::V1,
        v2_available: false,
        ..settings(&server.base_url)
    };
    let v1 = Destination::new(v1, Clock::held(NOW)).unwrap();
    sale.customer = Customer {
        by: CustomerBy::Email,
        value: "a/b@c.example".to_owned(),
    };
    v1.post(&sale, soon()).await;
    assert_eq!(v1.delete("key1", soon()).await.name(), "not_sent");
    let seen = server.seen();
    let (head, body) = seen[1].split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with("POST /v1/customers/a%2Fb%40c.example/transactions "),
        "{head}"
    );
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let fields: Vec<_> = body.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["amount", "currency", "key", "product_key"]);
    assert_eq!(seen.len(), 2);
}

/// A connection that was kept open and breaks under a post is where a client
/// would send it again by itself, on a new one.
#[tokio::test]
async fn the_client_sends_a_broken_call_no_second_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                loop {
                    let request = read(&mut stream).await;
                    let method = request.split(' ').next().unwrap_or_default().to_owned();
                    log.lock().unwrap().push(method.clone());
                    if method != "GET" {
                        return stream.set_zero_linger().unwrap();
                    }
                    let answer = b"HTTP/1.1 200 X\r\ncontent-length: 2\r\n\r\n{}";
                    stream.write_all(answer).await.unwrap();
                }
            });
        }
    });
    let destination = open(&base_url);
    let _ = destination.who().await;
    let posted = destination.post(&sale(), soon()).await;
    assert!(posted.leaves_doubt(), "{posted:?}");
    let _ = destination.who().await;
    let deleted = destination.delete("stripe:ch_1", soon()).await;
    assert!(deleted.leaves_doubt(), "{deleted:?}");
    let seen = seen.lock().unwrap().clone();
    let of = |method: &str| seen.iter().filter(|it| *it == method).count();
    assert_eq!((of("POST"), of("DELETE")), (1, 1), "{seen:?}");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let target = Server::start(answer(200, "", "{}")).await;
    let location = format!("location: {}/\r\n", target.base_url);
    for status in [301, 302, 303, 307, 308] {
        let outcome = post(answer(status, &location, "")).await;
        assert_eq!(outcome, Outcome::Misdirected { status });
    }
    assert!(target.seen().is_empty());
}

#[tokio::test]
async fn after_its_deadline_nothing_arrives() {
    let server = Server::start(answer(200, "", "{}")).await;
    let destination = open(&server.base_url);
    for late in [
        Deadline {
            wall: NOW,
            ..soon()
        },
        Deadline {
            boot_ms: NOW.ms(),
            ..soon()
        },
    ] {
        assert_eq!(destination.post(&sale(), late).await.name(), "not_sent");
        assert_eq!(destination.delete("key1", late).await.name(), "not_sent");
    }
    // The deadline passes between the first check and the write.
    let clock = Clock::held(NOW);
    let (letter, receipt) = Letter::new(b"{}".to_vec(), soon(), clock.clone());
    clock.advance(10_000);
    let client = client(1_000, true).unwrap();
    let send = |letter| {
        client
            .post(&server.base_url)
            .body(reqwest::Body::wrap(letter))
            .send()
    };
    assert!(send(letter).await.is_err());
    assert!(!receipt.seal(), "the letter was kept");
    // The caller gave up before the write.
    let (letter, receipt) = Letter::new(b"{}".to_vec(), soon(), Clock::held(NOW));
    drop(receipt);
    assert!(send(letter).await.is_err());
    let arrived: Vec<_> = server
        .seen()
        .into_iter()
        .filter(|it| !it.is_empty())
        .collect();
    assert!(arrived.is_empty(), "{arrived:?}");
    // Both in time: it leaves, and says so.
    let (letter, receipt) = Letter::new(b"{}".to_vec(), soon(), Clock::held(NOW));
    assert!(send(letter).await.is_ok());
    assert!(receipt.seal());
}

#[tokio::test]
async fn a_refused_connection_is_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let destination = open(&base_url);
    assert_eq!(destination.post(&sale(), soon()).await.name(), "not_sent");
    assert_eq!(destination.delete("key1", soon()).await.name(), "not_sent");
    assert_eq!(destination.who().await.unwrap_err().name(), "not_sent");
    // TLS against a server that speaks none fails before anything is written.
    let server = Server::start(answer(200, "", "{}")).await;
    let https = server.base_url.replace("http:", "https:");
    assert_eq!(open(&https).post(&sale(), soon()).await.name(), "not_sent");
}

#[tokio::test]
async fn later_says_when() {
    let at = |ms| Some(NOW.plus(ms));
    let rows = [
        ("retry-after: 120\r\n", at(120_000)),
        ("retry-after: 999999999999\r\n", at(crate::time::DAY_MS)),
        (
            "retry-after: 99999999999999999999\r\n",
            at(crate::time::DAY_MS),
        ),
        ("retry-after: Thu, 28 May 2026 20:27:40 GMT\r\n", at(60_000)),
        ("retry-after: Thu, 28 May 2020 20:27:40 GMT\r\n", None),
        ("retry-after: 0\r\n", None),
        ("retry-after: 1.5\r\n", None),
        ("retry-after: -5\r\n", None),
        ("retry-after: soon\r\nx-ratelimit-reset: 30\r\n", at(30_000)),
        ("x-ratelimit-reset: 1780000007\r\n", at(7_000)),
        ("", None),
    ];
    for (headers, retry_after) in rows {
        let outcome = post(answer(429, headers, "")).await;
        assert_eq!(
            outcome,
            Outcome::Later {
                retry_after,
                status: 429
            },
            "{headers}"
        );
    }
}
