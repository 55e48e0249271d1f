//! The whole program in a test: sandbox, service, signed requests. Its ledger is
//! where this run has them, as that of `bench.rs`.
//!
//! When a world is struck, the invariants are asserted: no key on two live
//! rows, and every settled payment forwarded to its net.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tributary::config::{Config, Env};
use tributary::ledger::{Filter, story::PaymentView};
use tributary::sandbox::{NewCustomer, Sandbox, Settings};
use tributary::serve::Service;
use tributary::time::Clock;

use crate::bench;
use crate::cluster::Database;

pub const SECRET: &str = "whsec_test_world_0123456789";
pub const OPERATOR: &str = "operator-token-0123456789";
pub const VIEWER: &str = "viewer-token-0123456789ab";
pub const LINKER: &str = "linker-token-0123456789ab";

/// How long a test waits for the forwarder, in steps of 20 ms.
const WAIT_STEPS: u32 = 3_000;

pub struct World {
    pub sandbox: Sandbox,
    pub service: Option<Service>,
    pub client: reqwest::Client,
    pub dir: TempDir,
    /// Where the ledger is, if it is no file.
    database: Option<Database>,
    stop: CancellationToken,
    text: String,
    events: u64,
}

pub fn env() -> Env {
    Env::of([
        ("HOOK", SECRET),
        ("OPS", OPERATOR),
        ("VIEW", VIEWER),
        ("LINKS", LINKER),
        ("PK", "pk_live_1"),
        ("SK", "sk_live_1_secret"),
    ])
}

impl World {
    pub async fn new() -> World {
        World::with("").await
    }

    /// `more` goes into the destination's section.
    pub async fn with(more: &str) -> World {
        World::having("", more, "").await
    }

    /// More lines for the sections of `[http]`, the destination and the source.
    pub async fn having(http: &str, more: &str, source: &str) -> World {
        World::in_place(bench::database(), [http, more, source]).await
    }

    /// On a file, whichever store this run is on: for what SQLite alone can be told.
    pub async fn on_file() -> World {
        World::in_place(None, [""; 3]).await
    }

    async fn in_place(database: Option<Database>, lines: [&str; 3]) -> World {
        let [http, more, source] = lines;
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let sandbox = Sandbox::new(Settings::new(Arc::new(|| Clock::Machine.now().ms())));
        sandbox.add_partner("northwind");
        for key in ["acme", "globex"] {
            sandbox.add_customer(NewCustomer::of(key, "northwind"));
        }
        let stop = CancellationToken::new();
        tokio::spawn(tributary::sandbox::serve(
            listener,
            sandbox.clone(),
            stop.clone().cancelled_owned(),
        ));
        let dir = tempfile::tempdir().unwrap();
        // What a test counts or breaks is then what it sends.
        let quiet = match more.contains("mirror_every_minutes") {
            true => "",
            false => "mirror_every_minutes = 0",
        };
        let text = format!(
            r#"
            [ledger]
            url = "{}"
            [http]
            public = "127.0.0.1:0"
            admin = "127.0.0.1:0"
            tokens = [
              {{ name = "ops", role = "operator", token = {{ env = "OPS" }} }},
              {{ name = "view", role = "viewer", token = {{ env = "VIEW" }} }},
              {{ name = "links", role = "linker", token = {{ env = "LINKS" }} }},
            ]
            import_folder = "{}"
            {http}
            [destinations.ps]
            base_url = "http://{at}"
            public_key = {{ env = "PK" }}
            secret_key = {{ env = "SK" }}
            requests_per_second = 200
            burst = 20
            max_in_flight = 4
            timeout_seconds = 1
            confirm_after_seconds = 1
            {quiet}
            {more}
            [sources.stripe]
            provider = "stripe"
            destination = "ps"
            secrets = [{{ env = "HOOK" }}]
            forward_from = "2025-01-01"
            {source}
            "#,
            bench::url(&dir, database.as_ref()),
            dir.path().join("imports").display(),
        );
        let mut world = World {
            sandbox,
            service: None,
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            dir,
            database,
            stop,
            text,
            events: 0,
        };
        world.start().await;
        world
    }

    pub fn config(&self) -> Arc<Config> {
        let file = self.dir.path().join("test.toml");
        let config = Config::parse(file, &self.text, &env(), tributary::provider::NAMES).unwrap();
        config.reload_secrets().unwrap();
        Arc::new(config)
    }

    /// What one statement counts in the ledger.
    pub fn number(&self, sql: &str) -> i64 {
        bench::number(&self.dir, self.database.as_ref(), sql)
    }

    /// The ledger is gone with all that it knew: the next start finds none.
    pub fn lose_ledger(&mut self) {
        let known = bench::url(&self.dir, self.database.as_ref());
        match &mut self.database {
            Some(database) => *database = Database::new(),
            None => {
                for end in ["", "-wal", "-shm", "-lock"] {
                    let file = self.dir.path().join(format!("ledger.db{end}"));
                    let _ = std::fs::remove_file(file);
                }
            }
        }
        let now = bench::url(&self.dir, self.database.as_ref());
        self.text = self.text.replace(&known, &now);
    }

    pub async fn start(&mut self) {
        self.service = Some(
            Service::start(self.config(), Clock::Machine, None)
                .await
                .unwrap(),
        );
    }

    pub async fn restart(&mut self) {
        self.service.take().unwrap().stop().await;
        self.start().await;
    }

    pub fn service(&self) -> &Service {
        self.service.as_ref().unwrap()
    }

    pub fn public(&self, path: &str) -> String {
        format!("http://{}{path}", self.service().public)
    }

    pub fn admin(&self, path: &str) -> String {
        format!("http://{}{path}", self.service().admin)
    }

    /// Sends an event of Stripe's with a fresh signature; answers status and body.
    pub async fn stripe(&mut self, kind: &str, object: Value) -> (u16, Value) {
        self.events += 1;
        let id = format!("evt_{}", self.events);
        self.stripe_event(&event(&id, kind, object)).await
    }

    pub async fn stripe_event(&self, event: &Value) -> (u16, Value) {
        let body = event.to_string();
        let header = signature(SECRET, &body, now_s());
        self.post("/webhooks/stripe", &header, body).await
    }

    pub async fn post(
        &self,
        path: &str,
        header: &str,
        body: impl Into<reqwest::Body>,
    ) -> (u16, Value) {
        let sent = self
            .client
            .post(self.public(path))
            .header("Stripe-Signature", header)
            .body(body);
        let answer = sent.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or(Value::Null))
    }

    pub async fn api(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> (u16, Value) {
        let method = method.parse().unwrap();
        let mut request = self
            .client
            .request(method, self.admin(path))
            .bearer_auth(token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or(Value::Null))
    }

    /// Sends a file of old payments by the API and waits until it is recorded.
    pub async fn imports(&self, file: &str) {
        let sent = self
            .client
            .post(self.admin("/api/v1/imports?source=stripe&zone=UTC"))
            .bearer_auth(OPERATOR)
            .header("Content-Type", "text/csv")
            .body(file.to_owned());
        let begun: Value = sent.send().await.unwrap().json().await.unwrap();
        let place = format!("/api/v1/imports/{}", begun["id"].as_str().unwrap());
        for _ in 0..WAIT_STEPS {
            let (_, told) = self.api(VIEWER, "GET", &place, None).await;
            if told["state"] == "done" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{place} does not end");
    }

    pub async fn payment(&self, id: &str) -> PaymentView {
        let filter = Filter {
            payment_id: Some(id.to_owned()),
            ..Filter::default()
        };
        let mut page = self.service().app.ledger.payments(filter, 2).await.unwrap();
        assert_eq!(page.items.len(), 1, "{id}");
        page.items.remove(0)
    }

    /// Waits until a payment is in a state; panics with its story otherwise.
    pub async fn wait_for(&self, id: &str, state: &str) -> PaymentView {
        for _ in 0..WAIT_STEPS {
            let payment = self.payment(id).await;
            if payment.state == state {
                return payment;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let story = self.service().app.ledger.story("stripe", id).await.unwrap();
        panic!(
            "{id} is not {state}: {}",
            serde_json::to_string_pretty(&story).unwrap()
        );
    }

    /// What the sandbox holds live of one payment of Stripe's.
    pub fn held(&self, id: &str) -> i64 {
        self.held_of("stripe", id)
    }

    fn held_of(&self, source: &str, id: &str) -> i64 {
        let key = tributary::destination::transaction_key(source, id, 1);
        let rows = self.sandbox.transactions();
        let ours = rows.iter().filter(|row| {
            !row.archived && (row.key == key || row.key.starts_with(&format!("{key}:")))
        });
        ours.map(|row| row.amount).sum()
    }

    /// Ends the world and asserts what must hold in every one.
    pub async fn strike(mut self) {
        let service = self.service.take().unwrap();
        let ledger = service.app.ledger.clone();
        let page = ledger.payments(Filter::default(), 1000).await.unwrap();
        let mut live: BTreeMap<String, u32> = BTreeMap::new();
        for row in self
            .sandbox
            .transactions()
            .iter()
            .filter(|row| !row.archived)
        {
            *live.entry(row.key.clone()).or_default() += 1;
        }
        for (key, rows) in live {
            assert_eq!(rows, 1, "{key} stands on {rows} live rows");
        }
        for payment in page.items {
            assert!(
                payment.state == "due" || payment.state == "settled" || payment.reason.is_some()
            );
            if payment.state == "settled" {
                assert_eq!(
                    Some(payment.forwarded),
                    payment.net,
                    "{}",
                    payment.payment_id
                );
                assert_eq!(
                    self.held_of(&payment.source, &payment.payment_id),
                    payment.forwarded,
                    "{}",
                    payment.payment_id
                );
            }
        }
        service.stop().await;
        self.stop.cancel();
    }
}

pub fn now_s() -> i64 {
    Clock::Machine.now().ms() / 1000
}

pub fn signature(secret: &str, body: &str, t: i64) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{t}.{body}").as_bytes());
    format!("t={t},v1={}", hex::encode(mac.finalize().into_bytes()))
}

pub fn event(id: &str, kind: &str, object: Value) -> Value {
    json!({
        "id": id, "object": "event", "api_version": "2026-10-28.endive", "created": now_s(),
        "type": kind, "livemode": true, "pending_webhooks": 1, "data": {"object": object},
    })
}

pub fn charge(id: &str, amount: i64, customer: Option<&str>) -> Value {
    json!({
        "id": id, "object": "charge", "amount": amount, "amount_captured": amount,
        "amount_refunded": 0, "captured": true, "paid": true, "status": "succeeded",
        "currency": "usd", "customer": customer, "payment_intent": format!("pi_{id}"),
        "created": now_s(), "livemode": true, "metadata": {},
    })
}

pub fn customer(id: &str, key: &str) -> Value {
    json!({"id": id, "object": "customer", "created": now_s(), "metadata": {"customer_key": key}})
}

pub fn refund(id: &str, charge: &str, amount: i64) -> Value {
    json!({
        "id": id, "object": "refund", "amount": amount, "charge": charge, "currency": "usd",
        "created": now_s(), "status": "succeeded",
    })
}
