//! Faults over real loopback TCP: each answers as its name says, and records a
//! row or does not, as its name says. The plain calls are tested one level up.

use std::sync::atomic::Ordering;
use std::time::Duration;

use http::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::*;
use super::{START_MS, World, sale};

#[tokio::test]
async fn each_fault_answers_as_named_and_commits_as_named() {
    let world = World::start(|_| {}).await;
    for (fault, status, committed) in [
        ("429=1", Some(429), false),
        ("500-before=100%", Some(500), false),
        ("500-after=1", Some(500), true),
        ("html=1", Some(200), false),
        ("html-after=1", Some(200), true),
        ("empty=1", Some(200), true),
        ("unauthorized=1", Some(401), false),
        ("drop-before=1", None, false),
        ("drop-after=1", None, true),
    ] {
        world.sandbox.reset();
        world.sandbox.add_partner("acme");
        world
            .sandbox
            .add_customer(NewCustomer::of("user_1", "acme"));
        world.faults(fault);
        let call = world.request(Method::POST, "/api/v2/transactions");
        let answer = call.json(&sale("sale", json!({}))).send().await;
        let seen = answer.as_ref().ok().map(|answer| answer.status().as_u16());
        assert_eq!(seen, status, "{fault}");
        if let Ok(answer) = answer {
            let text = answer.text().await.unwrap();
            assert_eq!(text.is_empty(), fault == "empty=1", "{fault}");
            assert_eq!(text.starts_with('<'), fault.starts_with("html"), "{fault}");
        }
        assert_eq!(world.live_rows(), usize::from(committed), "{fault}");
        let calls = world.sandbox.requests();
        assert_eq!(calls.len(), 1, "{fault}: nobody sends twice unasked");
        assert_eq!((calls[0].status, calls[0].committed), (status, committed));
        assert_eq!(calls[0].fault, fault.split('=').next(), "{fault}");
    }
}

#[tokio::test]
async fn a_dropped_connection_sends_not_one_byte() {
    let world = World::start(|_| {}).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let elsewhere = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, world.sandbox.router()).into_future());
    world.faults("drop-after=1");
    for address in [world.address, elsewhere] {
        let before = world.live_rows();
        assert_eq!(raw_sale(address).await, b"");
        assert_eq!(world.live_rows() - before, 1);
    }
}

/// Posts a sale and returns every byte that comes back until the connection ends.
async fn raw_sale(address: std::net::SocketAddr) -> Vec<u8> {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let body = sale("sale", json!({})).to_string();
    let head = format!(
        "POST /api/v2/transactions HTTP/1.1\r\nHost: x\r\nAuthorization: Basic YTpi\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut received = Vec::new();
    let read = stream.read_to_end(&mut received);
    let ended = tokio::time::timeout(Duration::from_secs(5), read).await;
    assert!(ended.is_ok(), "the connection stayed open");
    received
}

#[tokio::test]
async fn retry_after_comes_in_each_form() {
    let world = World::start(|_| {}).await;
    for (fault, header) in [
        ("429:7=1", Some("7")),
        ("429:date:10=1", Some("Tue, 14 Nov 2023 22:13:30 GMT")),
        ("429:none=1", None),
    ] {
        world.faults(fault);
        let call = world.request(Method::GET, "/api/v2/rewards");
        let answer = call.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 429);
        let seen = answer.headers().get("retry-after");
        assert_eq!(seen.map(|value| value.to_str().unwrap()), header, "{fault}");
    }
}

#[tokio::test]
async fn a_slow_call_is_carried_out_after_its_caller_left() {
    let world = World::start(|_| {}).await;
    for (fault, rows_at_once) in [("slow:400=next:1", 0), ("slow-after:400=next:1", 1)] {
        let before = world.live_rows();
        world.faults(fault);
        let call = world.request(Method::POST, "/api/v2/transactions");
        let call = call.timeout(Duration::from_millis(150));
        let lost = call.json(&sale("sale", json!({}))).send().await;
        assert!(lost.unwrap_err().is_timeout(), "{fault}");
        assert_eq!(world.live_rows() - before, rows_at_once, "{fault}");
        for _ in 0..100 {
            if world.sandbox.requests().last().unwrap().committed {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(world.live_rows() - before, 1, "{fault}");
        assert!(
            world.sandbox.requests().last().unwrap().committed,
            "{fault}"
        );
    }
}

#[tokio::test]
async fn a_lagging_row_shows_in_lists_only_later() {
    let world = World::start(|_| {}).await;
    world.faults("lag:5000=next:1");
    assert_eq!(world.keys("").await.0.len(), 0, "a GET uses nothing up");
    world.sale("late", json!({})).await;
    world.sale("soon", json!({})).await;
    assert_eq!(world.keys("").await.0, ["soon"]);
    world.now_ms.store(START_MS + 4_999, Ordering::SeqCst);
    assert_eq!(world.keys("").await.0, ["soon"]);
    world.now_ms.store(START_MS + 5_000, Ordering::SeqCst);
    assert_eq!(world.keys("").await.0, ["soon", "late"]);
}

#[tokio::test]
async fn the_control_surface_shows_faults_and_sums() {
    let world = World::start(|_| {}).await;
    world.sale("sale", json!({})).await;
    world.sale("sale", json!({"amount": 1})).await;
    let wanted = json!({"faults": ["drop-after@POST=next:2", "latency:0-1=5%"]});
    let (_, body) = world.send(Method::PUT, "/sandbox/faults", wanted).await;
    assert_eq!(
        body["faults"],
        json!(["drop-after@POST=next:2", "latency:0-1=0.050"])
    );
    assert_eq!(body["live"]["keys_on_several_rows"], 1);
    let sum = &body["live"]["sums"][0];
    assert_eq!(
        (&sum["amount"], &sum["rewards"]),
        (&json!(1_000), &json!(100))
    );
    assert_eq!(sum["customer_external_key"], "user_1");
    assert_eq!(
        world.get("/api/v2/rewards").await.0,
        200,
        "@POST spares a GET"
    );
    let wrong = json!({"faults": ["drop=1"]});
    assert_eq!(
        world.send(Method::PUT, "/sandbox/faults", wrong).await.0,
        400
    );
    assert_eq!(world.post("/sandbox/reset", json!({})).await.0, 200);
    let (_, body) = world.get("/sandbox/state").await;
    assert_eq!(
        (&body["live"]["customers"], &body["faults"]),
        (&json!(0), &json!([]))
    );
    assert_eq!(world.get("/api/v3/nothing").await.0, 404);
    assert_eq!(world.delete("/api/v2/transactions").await.0, 405);
}

#[tokio::test]
async fn shutdown_does_not_wait_for_a_hanging_call() {
    let world = World::start(|_| {}).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/api/v2/rewards", listener.local_addr().unwrap());
    world.faults("slow:60000=1");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(serve(listener, world.sandbox.clone(), stopped));
    let hanging = tokio::spawn(world.client.get(url).send());
    while world.sandbox.requests().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.send(()).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(10), server).await;
    assert!(ended.is_ok());
    assert!(hanging.await.unwrap().is_err());
}

#[test]
fn fault_text_is_read_and_written() {
    let round = |text: &str| text.parse::<Fault>().unwrap().to_string();
    for (text, written) in [
        ("latency=0.1", "latency:20-200=0.100"),
        ("latency:5=0.5%", "latency:5-5=0.005"),
        ("slow:10@DELETE=1", "slow:10@DELETE=1.000"),
        ("429=next:3", "429:1=next:3"),
        ("429:date:60=100%", "429:date:60=1.000"),
        ("429:none=0", "429:none=0.000"),
        ("lag=0.001", "lag:5000=0.001"),
    ] {
        assert_eq!(round(text), written);
        assert_eq!(round(written), written);
    }
    for wrong in [
        "latency",
        "slip=1",
        "html:1=1",
        "html=1.001",
        "html=0.0001",
        "html=0.05%",
        "html=101%",
        "html=-1",
        "html=.5",
        "html=",
        "html=next:",
        "html@PUT=1",
        "latency:9-1=1",
        "slow:x=1",
        "slow:3600001=1",
        "429:soon=1",
    ] {
        assert!(wrong.parse::<Fault>().is_err(), "{wrong}");
    }
}

#[test]
fn one_call_meets_one_end_and_uses_up_one() {
    let faults = ["500-after=next:1", "slow:5=next:1", "empty=next:1"];
    let faults = faults.map(|text| text.parse().unwrap()).to_vec();
    let mut dice = fault::Dice::new(faults, 0);
    let first = dice.draw(&Method::POST);
    assert_eq!((first.before_ms, first.end), (5, Some(Kind::ErrorAfter)));
    let second = dice.draw(&Method::POST);
    assert_eq!((second.before_ms, second.end), (0, Some(Kind::Empty)));
    assert_eq!(dice.draw(&Method::POST).end, None);
}

#[test]
fn dice_follow_the_seed_and_the_rate() {
    let roll = |seed| {
        let mut dice = fault::Dice::new(vec!["500-before=25%".parse().unwrap()], seed);
        let hits: Vec<bool> = (0..4_000)
            .map(|_| dice.draw(&Method::GET).end.is_some())
            .collect();
        hits
    };
    assert_eq!(roll(1), roll(1));
    assert_ne!(roll(1), roll(2));
    let hits = roll(1).into_iter().filter(|hit| *hit).count();
    assert!((850..1_150).contains(&hits), "{hits}");
}
