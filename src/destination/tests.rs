//! The calls against a server that answers canned bytes, breaks off or hangs.
//!
//! It is not a model of PartnerStack: the sandbox is. It shows what every answer
//! and every failure is taken for.

use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use std::time::Duration;

use super::*;
use crate::plan::{Customer, CustomerBy};

mod calls;
mod reads;
mod rosters;

const NOW: Time = Time(1_780_000_000_000);
const SECRET: &str = "sk_very_secret";

/// What the server does once it has read a request.
#[derive(Clone)]
enum Play {
    /// Writes these bytes and closes.
    Write(Vec<u8>),
    /// Resets the connection.
    Reset,
    /// Never answers.
    Hang,
}

/// A server on this machine, and every request it read.
struct Server {
    base_url: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(play: Play) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let request = read(&mut stream).await;
                log.lock().unwrap().push(request);
                match &play {
                    Play::Write(bytes) => {
                        let _ = stream.write_all(bytes).await;
                        let _ = stream.shutdown().await;
                    }
                    Play::Reset => stream.set_zero_linger().unwrap(),
                    Play::Hang => std::future::pending::<()>().await,
                }
            }
        });
        Server { base_url, seen }
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

/// Reads one request, as far as its Content-Length goes.
async fn read(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.split("content-length: ").nth(1);
            let length = length.and_then(|rest| rest.lines().next()?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                break;
            }
        }
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => break,
            Ok(n) => bytes.extend_from_slice(&chunk[..n]),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn answer(status: u16, headers: &str, body: &str) -> Play {
    let length = body.len();
    Play::Write(
        format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n{headers}\r\n{body}")
            .into_bytes(),
    )
}

fn settings(base_url: &str) -> Settings {
    Settings {
        name: "partnerstack".to_owned(),
        api: Api::V2,
        base_url: base_url.to_owned(),
        public_key: "pk_public".to_owned().into(),
        secret_key: SECRET.to_owned().into(),
        requests_per_second: NonZeroU32::MIN,
        burst: NonZeroU32::new(2).unwrap(),
        max_in_flight: 1,
        timeout_ms: 1_000,
        v2_available: true,
    }
}

fn open(base_url: &str) -> Destination {
    Destination::new(settings(base_url), Clock::held(NOW)).unwrap()
}

fn sale() -> NewTransaction {
    NewTransaction {
        key: "stripe:ch_1".to_owned(),
        customer: Customer {
            by: CustomerBy::Key,
            value: "user_123".to_owned(),
        },
        amount: 9_900,
        currency: "usd".parse().unwrap(),
        created_at: Time(1_700_000_000_000),
        product_key: Some("pro".to_owned()),
        category_key: None,
        metadata: vec![("provider".to_owned(), "stripe".to_owned())],
    }
}

fn soon() -> Deadline {
    let at = NOW.plus(10_000);
    Deadline {
        wall: at,
        boot_ms: at.ms(),
    }
}

async fn post(play: Play) -> Outcome {
    let server = Server::start(play).await;
    open(&server.base_url).post(&sale(), soon()).await
}

async fn delete(play: Play) -> Outcome {
    let server = Server::start(play).await;
    open(&server.base_url).delete("stripe:ch_1", soon()).await
}

fn shown(transaction: &serde_json::Value) -> String {
    json!({ "status": 200, "message": "ok", "data": transaction }).to_string()
}

#[tokio::test]
async fn nothing_secret_is_said() {
    let echo = format!(
        "No \u{202e}{SECRET}\n cGtfcHVibGljOnNrX3Zlcnlfc2VjcmV0 for \"jo.doe+x@shop.example\", jo%40x.example {}",
        "y".repeat(400)
    );
    let outcome = post(answer(400, "", &json!({ "message": echo }).to_string())).await;
    let Outcome::Refused {
        status: 400,
        message,
    } = &outcome
    else {
        panic!("{outcome:?}");
    };
    assert!(
        message.starts_with("No [secret] [secret] for \"[email]\", [email] yyy"),
        "{message}"
    );
    assert_eq!(message.chars().count(), 300);

    let mut settings = settings("https://user:hunter2@h.example");
    let said = |settings: &Settings| {
        let error = Destination::new(settings.clone(), Clock::held(NOW)).unwrap_err();
        assert_eq!(error.key(), "base_url");
        format!("{settings:?} {error} {error:?}")
    };
    assert!(!said(&settings).contains("hunter2"));
    for wrong in [
        "",
        "h.example",
        "http://h.example",
        "http://10.0.0.1",
        "ftp://127.0.0.1",
        "https://h.example/api/v2/",
        "https://h.example/?key=1",
        "http://localhost.evil.example",
    ] {
        settings.base_url = wrong.to_owned();
        assert!(said(&settings).contains("base_url"), "{wrong}");
    }
    for right in [
        "https://api.partnerstack.com",
        "http://127.9.9.9:1/",
        "http://[::1]:1",
        "http://localhost:1/x/",
    ] {
        settings.base_url = right.to_owned();
        let destination = Destination::new(settings.clone(), Clock::held(NOW)).unwrap();
        assert!(!destination.base.ends_with('/'));
        assert!(!format!("{destination:?}").contains("secret"));
    }
    settings.secret_key = String::new().into();
    let error = Destination::new(settings, Clock::held(NOW)).unwrap_err();
    assert_eq!(error.key(), "secret_key");
    let mut sale = sale();
    sale.customer = Customer {
        by: CustomerBy::Email,
        value: "a@b.example".to_owned(),
    };
    assert!(!format!("{sale:?}").contains("b.example"));
}

#[test]
fn what_cannot_be_bent_is_refused_in_a_sentence() {
    let with = |change: fn(&mut NewTransaction)| {
        let mut sale = sale();
        change(&mut sale);
        fits(&sale)
    };
    assert_eq!(with(|_| ()), Ok(()));
    assert_eq!(with(|sale| sale.amount = -50_000_000_000), Ok(()));
    assert_eq!(with(|sale| sale.customer.value = "é".repeat(255)), Ok(()));
    assert_eq!(
        with(|sale| sale.metadata = vec![(String::new(), "x".repeat(999)); 99]),
        Ok(())
    );
    let amount = with(|sale| sale.amount = 50_000_000_001).unwrap_err();
    assert_eq!(
        amount,
        "The amount 500000000.01 USD is more than the destination takes in one \
                        transaction (500000000.00 USD either way)."
    );
    for change in [
        (|sale| sale.customer.value = String::new()) as fn(&mut NewTransaction),
        |sale| sale.customer.value = "..".to_owned(),
        |sale| sale.customer.value = "x".repeat(256),
        |sale| sale.key = "abc".to_owned(),
        |sale| sale.key = "x".repeat(256),
        |sale| sale.product_key = Some("x".repeat(256)),
        |sale| sale.category_key = Some(String::new()),
    ] {
        assert!(with(change).is_err());
    }
}

#[tokio::test]
async fn permits_and_slots_are_counted() {
    let destination = open("http://127.0.0.1:1");
    destination.permit().await.unwrap();
    let at_once = || tokio::time::timeout(Duration::ZERO, destination.permit());
    assert!(at_once().await.is_ok());
    assert!(at_once().await.is_err(), "a burst of two is spent");
    let slot = destination.slot().await;
    let second = tokio::time::timeout(Duration::from_millis(20), destination.slot());
    assert!(second.await.is_err());
    drop(slot);
    drop(destination.slot().await);
}
