//! Requests nobody should send: with valid signatures, so that they reach the
//! reader, and with broken HTTP. None is a 5xx, none is a panic, and the
//! service answers afterwards.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::binary::{Folder, Running, client};
use crate::world::{SECRET, World, charge, customer, event, now_s, refund, signature};

/// The largest body that is taken.
const BODY_MAX: usize = 2 * 1024 * 1024;
/// Deeper than any reader that recurses can follow.
const DEPTH: usize = 10_000;

struct Victim {
    folder: Folder,
    running: Running,
    client: reqwest::Client,
    sent: u32,
}

impl Victim {
    async fn new() -> Victim {
        let folder = Folder::new().await;
        let running = folder.serve().await;
        Victim {
            folder,
            running,
            client: client(),
            sent: 0,
        }
    }

    fn url(&self) -> String {
        format!("{}/webhooks/stripe", self.running.public)
    }

    /// Posts signed bytes; answers the status and the word.
    async fn send(&mut self, body: impl AsRef<[u8]>) -> (u16, String) {
        self.sent += 1;
        let body = body.as_ref().to_vec();
        let header = sign(&body);
        let request = self.client.post(self.url());
        let answer = request
            .header("Stripe-Signature", header)
            .body(body)
            .send()
            .await
            .unwrap();
        let status = answer.status().as_u16();
        let told: Value = answer.json().await.unwrap();
        (
            status,
            told["status"].as_str().unwrap_or_default().to_owned(),
        )
    }

    /// A body that must be taken, whatever it says.
    async fn take(&mut self, body: impl AsRef<[u8]>, what: &str) -> String {
        let (status, word) = self.send(body).await;
        assert_eq!(status, 200, "{what}: {word}");
        word
    }

    /// Writes bytes to a connection of its own; reads until the end or 1 s.
    async fn raw(&self, pieces: &[&[u8]]) -> String {
        let at = self.running.public.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(at).await.unwrap();
        for piece in pieces {
            if stream.write_all(piece).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut read = Vec::new();
        let until_the_end = stream.read_to_end(&mut read);
        let _ = tokio::time::timeout(Duration::from_secs(1), until_the_end).await;
        String::from_utf8_lossy(&read).into_owned()
    }

    /// The service still takes a delivery and forwards it, and never panicked.
    async fn unharmed(mut self) {
        let linked = event("evt_c_last", "customer.created", customer("cus_Z", "acme"));
        self.take(linked.to_string(), "a customer").await;
        let sale = event(
            "evt_last",
            "charge.succeeded",
            charge("ch_last", 77, Some("cus_Z")),
        );
        assert_eq!(self.take(sale.to_string(), "a sale").await, "recorded");
        self.folder.wait_for("ch_last", "settled").await;
        let ready = self
            .client
            .get(format!("{}/readyz", self.running.public))
            .send()
            .await;
        assert_eq!(ready.unwrap().status().as_u16(), 200);
        let log = self.running.log();
        for word in ["panic", "\"ERROR\""] {
            let line = log.lines().find(|line| line.contains(word));
            assert_eq!(line, None);
        }
        assert_eq!(self.running.terminate().code(), Some(0));
    }
}

/// The header for a body that may be no text.
fn sign(body: &[u8]) -> String {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let t = now_s();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(format!("{t}.").as_bytes());
    mac.update(body);
    format!("t={t},v1={}", hex::encode(mac.finalize().into_bytes()))
}

/// A charge as Stripe writes it, with most of what there is.
fn full_charge(id: &str) -> Value {
    let mut sale = charge(id, 1234, Some("cus_full"));
    sale["billing_details"] = json!({"email": "a@example.invalid", "name": null});
    sale["receipt_email"] = json!("a@example.invalid");
    sale["invoice"] = json!("in_1");
    sale["balance_transaction"] = json!("txn_1");
    sale["disputed"] = json!(false);
    sale["refunded"] = json!(false);
    sale["metadata"] = json!({"customer_key": "acme", "product_key": "p"});
    sale["refunds"] =
        json!({"object": "list", "data": [refund("re_in", id, 34)], "has_more": false});
    sale["payment_method_details"] = json!({"type": "card", "card": {"brand": "visa"}});
    event(&format!("evt_{id}"), "charge.succeeded", sale)
}

/// Every place in a document that holds no table and no list.
fn scalars(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => map
            .iter()
            .for_each(|(key, inner)| scalars(inner, &format!("{at}/{key}"), found)),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, inner)| scalars(inner, &format!("{at}/{index}"), found)),
        _ => found.push(at.to_owned()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_every_size_and_shape_are_answered() {
    let mut victim = Victim::new().await;
    let sale = full_charge("ch_pad").to_string();
    let padded = |size: usize| {
        let mut sale = sale.clone();
        sale += &" ".repeat(size - sale.len());
        sale
    };
    assert_eq!(
        victim.take(padded(BODY_MAX), "just as large").await,
        "recorded"
    );
    assert_eq!(
        victim.take(padded(BODY_MAX - 1), "just under").await,
        "duplicate"
    );
    assert_eq!(victim.send(padded(BODY_MAX + 1)).await.0, 413);
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"data\":", "}]")] {
        let nested = open.repeat(DEPTH) + "1" + &close.repeat(DEPTH);
        assert_eq!(victim.take(&nested, "nested").await, "unreadable");
        assert_eq!(victim.take(open.repeat(DEPTH), "open").await, "unreadable");
        // Deep where nobody looks.
        let mut inside =
            event("evt_deep", "charge.succeeded", charge("ch_deep", 5, None)).to_string();
        inside.insert_str(1, &format!("\"extra\":{nested},"));
        victim.take(inside, "nested inside").await;
    }
    let sale = full_charge("ch_bytes").to_string().into_bytes();
    for wrong in [
        &b"\xff\xfe"[..],
        b"\xc3\x28",
        b"\xed\xa0\x80",
        b"\0",
        b"\xef\xbb\xbf",
    ] {
        victim.take(wrong, "not UTF-8").await;
        victim
            .take([wrong, &sale].concat(), "not UTF-8 before")
            .await;
        let mut within = sale.clone();
        let middle = within.len() / 2;
        within.splice(middle..middle, wrong.iter().copied());
        victim.take(within, "not UTF-8 within").await;
    }
    for odd in [
        "",
        " ",
        "null",
        "0",
        "\"\"",
        "[]",
        "{}",
        "[1,2]",
        "{\"id\":\"\"}",
        "{\"id\":\"evt_x\"}",
        "{\"id\":\"evt_y\",\"type\":\"charge.succeeded\"}",
        "{\"id\":\"evt_y\",\"type\":\"charge.succeeded\",\"data\":{\"object\":[]}}",
        "{\"id\":\"\\u0000\",\"type\":\"\\ud800\"}",
        "{\"id\":\"a\",\"id\":\"b\"}",
    ] {
        victim.take(odd, odd).await;
    }
    let long = event(
        &"e".repeat(100_000),
        &"t".repeat(100_000),
        charge(&"c".repeat(100_000), 1, None),
    );
    victim.take(long.to_string(), "long ids").await;
    let many: Vec<Value> = (0..5_000)
        .map(|n| refund(&format!("re_{n}"), "ch_many", 1))
        .collect();
    let mut sale = charge("ch_many", 9000, None);
    sale["refunds"] = json!({"object": "list", "data": many});
    victim
        .take(
            event("evt_many", "charge.refunded", sale).to_string(),
            "many refunds",
        )
        .await;
    victim.unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_cut_short_or_with_holes_is_answered() {
    let mut victim = Victim::new().await;
    let whole = full_charge("ch_cut").to_string();
    for end in (0..whole.len()).step_by(7) {
        assert_eq!(
            victim.take(&whole[..end], "cut").await,
            "unreadable",
            "{end}"
        );
    }
    let mut places = Vec::new();
    scalars(&full_charge("ch_x"), "", &mut places);
    assert!(places.len() > 30, "{places:?}");
    let odd = [
        json!(null),
        json!(""),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(true),
        json!([]),
        json!({}),
        json!(i64::MAX),
        json!(u64::MAX),
        json!("9".repeat(400)),
        json!("\u{0}'\"\n\u{202e}%00/../"),
    ];
    for (index, place) in places.iter().enumerate() {
        for (which, value) in odd.iter().enumerate() {
            let mut sale = full_charge(&format!("ch_{index}_{which}"));
            *sale.pointer_mut(place).unwrap() = value.clone();
            victim
                .take(sale.to_string(), &format!("{place} = {value}"))
                .await;
        }
    }
    // No amount was made up from a hole: whatever was forwarded was captured.
    let list = victim.folder.json(&["payments", "--limit", "1000"]);
    for item in list["items"].as_array().unwrap() {
        let gross = item["gross"].as_i64().unwrap_or(0);
        assert!((0..=1_000_000_000_000_000).contains(&gross), "{item}");
        let forwarded = item["forwarded"].as_i64().unwrap();
        assert!((0..=gross).contains(&forwarded), "{item}");
    }
    victim.unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_requests_hold_nobody_up() {
    let victim = Victim::new().await;
    let sale = |n: u32| {
        event(
            &format!("evt_raw{n}"),
            "charge.succeeded",
            charge(&format!("ch_raw{n}"), 5, None),
        )
        .to_string()
    };
    let head = |body: &str, rest: &str| {
        let header = signature(SECRET, body, now_s());
        format!(
            "POST /webhooks/stripe HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nStripe-Signature: {header}\r\n{rest}\r\n"
        )
    };
    // Half a head: the others are served meanwhile.
    let at = victim.running.public.strip_prefix("http://").unwrap();
    let mut halves = Vec::new();
    for _ in 0..50 {
        let mut half = TcpStream::connect(at).await.unwrap();
        half.write_all(b"POST /webhooks/stripe HTTP/1.1\r\nHost: lo")
            .await
            .unwrap();
        halves.push(half);
    }
    // Chunked, in pieces of every size.
    let body = sale(1);
    let mut chunked = head(&body, "Transfer-Encoding: chunked\r\n").into_bytes();
    for piece in body.as_bytes().chunks(100) {
        chunked.extend(format!("{:x}\r\n", piece.len()).bytes());
        chunked.extend(piece);
        chunked.extend(b"\r\n");
    }
    chunked.extend(b"0\r\n\r\n");
    let (first, rest) = chunked.split_at(chunked.len() / 2);
    let answer = victim.raw(&[first, rest]).await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("recorded"),
        "{answer}"
    );
    // A chunked body that never says that it is too large.
    let mut endless = head("", "Transfer-Encoding: chunked\r\n").into_bytes();
    for _ in 0..33 {
        endless.extend(b"10000\r\n");
        endless.extend(vec![b' '; 0x10000]);
        endless.extend(b"\r\n");
    }
    let answer = victim.raw(&[&endless]).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    // Fewer bytes than announced, then nothing; and the same cut off.
    let body = sale(2);
    let length = format!("Content-Length: {}\r\n", body.len() + 10);
    let short = head(&body, &length) + &body;
    let answer = victim.raw(&[short.as_bytes()]).await;
    assert!(
        !answer.contains(" 200 ") && !answer.contains("HTTP/1.1 5"),
        "{answer}"
    );
    // More bytes than announced: the signature is over other bytes.
    let length = format!("Content-Length: {}\r\n", body.len() - 10);
    let long = head(&body, &length) + &body;
    let answer = victim.raw(&[long.as_bytes()]).await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    for (rest, status) in [
        ("Content-Length: -1\r\n", "400"),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", "400"),
        ("Content-Length: 99999999999999999999999\r\n", "400"),
        ("Content-Length: 99999999\r\n", "413"),
        ("Transfer-Encoding: chunked, nonsense\r\n", "400"),
    ] {
        let answer = victim.raw(&[head("", rest).as_bytes(), b"hello"]).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{rest}: {answer}"
        );
    }
    let bad_chunk = head("", "Transfer-Encoding: chunked\r\n") + "zz\r\nhello\r\n0\r\n\r\n";
    for garbage in [
        bad_chunk.as_bytes(),
        b"\r\n\r\n\r\n",
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST /webhooks/%ff HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        b"POST /webhooks/stripe/../../etc HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    ] {
        let answer = victim.raw(&[garbage]).await;
        assert!(
            !answer.starts_with("HTTP/1.1 5") && !answer.starts_with("HTTP/1.1 2"),
            "{answer}"
        );
    }
    drop(halves);
    let settled = victim.folder.json(&["payments"]);
    assert_eq!(settled["items"].as_array().unwrap().len(), 1, "{settled}");
    victim.unharmed().await;
}

#[tokio::test]
async fn a_delivery_from_elsewhere_is_refused_whatever_it_carries() {
    let trusted = "trusted_proxies = [\"127.0.0.1\"]";
    let allowed = "allow_from = [\"203.0.113.0/24\"]";
    let world = World::having(trusted, "", allowed).await;
    let body = event("evt_1", "customer.created", json!({"id": "cus_1"})).to_string();
    let mut statuses = Vec::new();
    for forwarded in [
        None,
        Some("198.51.100.1"),
        Some("198.51.100.1, 203.0.113.9"),
    ] {
        let header = signature(SECRET, &body, now_s());
        let mut sent = world
            .client
            .post(world.public("/webhooks/stripe"))
            .header("Stripe-Signature", header)
            .body(body.clone());
        if let Some(forwarded) = forwarded {
            sent = sent.header("X-Forwarded-For", forwarded);
        }
        statuses.push(sent.send().await.unwrap().status().as_u16());
    }
    assert_eq!(statuses, [401, 401, 200]);
    world.strike().await;
}

#[tokio::test]
async fn only_who_names_events_in_the_path_has_urls_below_its_own() {
    let world = World::new().await;
    let body = event("evt_1", "customer.created", json!({"id": "cus_1"})).to_string();
    let mut statuses = Vec::new();
    for path in [
        "/webhooks/stripe/new-transaction",
        "/webhooks/stripe/t/x/y",
        "/webhooks/stripe",
    ] {
        let header = signature(SECRET, &body, now_s());
        statuses.push(world.post(path, &header, body.clone()).await.0);
    }
    assert_eq!(statuses, [404, 404, 200]);
    world.strike().await;
}
