//! The sandbox over real loopback TCP, one rule a test. They are not tests of the
//! real API: they pin what this server does where that is documented or chosen.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use http::Method;
use serde_json::{Value, json};

use super::*;

mod faults;

/// Where the clock of every test stands at first, epoch ms.
const START_MS: i64 = 1_700_000_000_000;

/// A served sandbox with the partner `acme` and its customer `user_1`.
struct World {
    sandbox: Sandbox,
    address: std::net::SocketAddr,
    client: reqwest::Client,
    now_ms: Arc<AtomicI64>,
    public_key: &'static str,
}

impl World {
    async fn start(adjust: impl FnOnce(&mut Settings)) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let now_ms = Arc::new(AtomicI64::new(START_MS));
        let clock = now_ms.clone();
        let mut settings = Settings::new(Arc::new(move || clock.load(Ordering::SeqCst)));
        adjust(&mut settings);
        let sandbox = Sandbox::new(settings);
        sandbox.add_partner("acme");
        sandbox.add_customer(NewCustomer::of("user_1", "acme"));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let never = std::future::pending::<()>();
        tokio::spawn(serve(listener, sandbox.clone(), never));
        Self {
            sandbox,
            address,
            client: reqwest::Client::new(),
            now_ms,
            public_key: "pk_live",
        }
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client
            .request(method, format!("http://{}{path}", self.address))
            .basic_auth(self.public_key, Some("sk"))
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        read(self.request(Method::GET, path)).await
    }

    async fn delete(&self, path: &str) -> (u16, Value) {
        read(self.request(Method::DELETE, path)).await
    }

    async fn send(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        read(self.request(method, path).json(&body)).await
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.send(Method::POST, path, body).await
    }

    /// Posts 9.99 USD of `user_1`, with `more` laid over it.
    async fn sale(&self, key: &str, more: Value) -> (u16, Value) {
        self.post("/api/v2/transactions", sale(key, more)).await
    }

    fn faults(&self, text: &str) {
        self.sandbox.set_faults(vec![text.parse().unwrap()]);
    }

    /// Keys of a list, and whether there are more.
    async fn keys(&self, query: &str) -> (Vec<String>, bool) {
        let (status, body) = self.get(&format!("/api/v2/transactions?{query}")).await;
        assert_eq!(status, 200, "{body}");
        let rows = body["data"]["items"].as_array().unwrap().iter();
        let keys = rows.map(|row| row["key"].as_str().unwrap().to_owned());
        (keys.collect(), body["data"]["has_more"].as_bool().unwrap())
    }

    fn live_rows(&self) -> usize {
        let rows = self.sandbox.transactions();
        rows.iter().filter(|row| !row.archived).count()
    }
}

async fn read(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

fn sale(key: &str, more: Value) -> Value {
    let mut body = json!({
        "customer_external_key": "user_1", "amount": 999, "currency": "USD", "key": key,
    });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

#[tokio::test]
async fn every_documented_limit_is_enforced() {
    let world = World::start(|_| {}).await;
    let attributes = |count: usize| {
        let names = (0..count).map(|n| (format!("n{n}"), json!("v")));
        json!({"metadata": Value::Object(names.collect())})
    };
    let refused = [
        (json!({"customer_key": "cus_x"}), "exactly one"),
        (json!({"amount": 50_000_000_001_i64}), "amount"),
        (json!({"amount": -50_000_000_001_i64}), "amount"),
        (json!({"amount": "999"}), "amount"),
        (
            serde_json::from_str(r#"{"amount": 9.0}"#).unwrap(),
            "amount",
        ),
        (json!({"amount": null}), "amount"),
        (json!({"currency": "usd"}), "currency"),
        (json!({"currency": "USDT"}), "currency"),
        (json!({"key": "abc"}), "key"),
        (json!({"key": "k".repeat(256)}), "key"),
        (json!({"category_key": 7}), "category_key"),
        (json!({"product_key": ["p"]}), "product_key"),
        (json!({"created_at": "2024-01-01"}), "created_at"),
        (json!({"test": true}), "test"),
        (json!({"metadata": {"a": 1}}), "metadata.a"),
        (json!({"metadata": {"n".repeat(31): "v"}}), "metadata"),
        (json!({"metadata": {"a": "v".repeat(101)}}), "metadata.a"),
        (attributes(21), "metadata"),
        (json!({"external_key": "x"}), "external_key"),
    ];
    for (more, part) in refused {
        let (status, body) = world.sale("sale:0", more.clone()).await;
        assert_eq!(status, 400, "{more}");
        assert_eq!(body["status"], 400);
        assert!(body["message"].as_str().unwrap().contains(part), "{body}");
    }
    for missing in ["amount", "currency", "customer_external_key"] {
        let mut body = sale("sale:0", json!({}));
        body.as_object_mut().unwrap().remove(missing);
        assert_eq!(
            world.post("/api/v2/transactions", body).await.0,
            400,
            "{missing}"
        );
    }
    let bare = world.request(Method::POST, "/api/v2/transactions");
    assert_eq!(read(bare.body("{}")).await.0, 400, "not announced as JSON");
    let (status, body) = world
        .sale("sale:0", json!({"customer_external_key": "nobody"}))
        .await;
    assert_eq!((status, body["status"].as_i64()), (404, Some(404)));
    assert_eq!(world.live_rows(), 0);

    let edges = [
        json!({"amount": 50_000_000_000_i64, "key": "abcd"}),
        json!({"amount": -50_000_000_000_i64, "key": "é".repeat(255)}),
        json!({"amount": 0, "category_key": null, "product_key": "p", "metadata": null}),
        json!({"metadata": {"n".repeat(30): "é".repeat(100)}}),
        attributes(20),
    ];
    for more in edges {
        let (status, body) = world.sale("sale:1", more).await;
        assert_eq!(status, 200, "{body}");
    }
    assert_eq!(world.live_rows(), 5);
}

#[tokio::test]
async fn lists_are_paged_ordered_and_cut_by_time() {
    let world = World::start(|_| {}).await;
    for n in 1..=7 {
        let at = json!({"created_at": n * 10});
        let (_, body) = world.sale(&format!("sale{n}"), at).await;
        assert_eq!(body["data"]["created_at"], n * 10);
    }
    let keys = |list: &[i64]| list.iter().map(|n| format!("sale{n}")).collect::<Vec<_>>();
    assert_eq!(world.keys("limit=3").await, (keys(&[7, 6, 5]), true));
    let page = world.keys("limit=3&starting_after=sale5").await;
    assert_eq!(page, (keys(&[4, 3, 2]), true));
    let page = world.keys("limit=3&starting_after=sale2").await;
    assert_eq!(page, (keys(&[1]), false));
    let page = world.keys("limit=3&ending_before=sale2").await;
    assert_eq!(page, (keys(&[5, 4, 3]), true));
    let page = world
        .keys("limit=3&order_by=created_at&ending_before=sale3")
        .await;
    assert_eq!(page, (keys(&[1, 2]), false));
    let page = world
        .keys("order_by=created_at&min_created=10&max_created=30")
        .await;
    assert_eq!(page, (keys(&[1, 2, 3]), false));
    let page = world.keys("starting_after=sale7&max_created=10").await;
    assert_eq!(page, (keys(&[1]), false));
    assert_eq!(
        world.keys("min_created=50&max_created=40").await.0,
        keys(&[])
    );
    for n in 8..=12 {
        world.sale(&format!("sale{n}"), json!({})).await;
    }
    let (first, has_more) = world.keys("").await;
    assert_eq!((first.len(), has_more), (10, true), "ten by default");
    for wrong in [
        "limit=0",
        "limit=251",
        "order_by=amount",
        "min_created=yesterday",
        "starting_after=sale1&ending_before=sale2",
        "starting_after=nothing",
        "min_updated=1",
    ] {
        let (status, _) = world.get(&format!("/api/v2/transactions?{wrong}")).await;
        assert_eq!(status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn a_walk_through_doubled_keys_ends() {
    let world = World::start(|_| {}).await;
    for (key, at) in [("twice", 10), ("other", 20), ("twice", 30), ("first", 5)] {
        world.sale(key, json!({"created_at": at})).await;
    }
    let after = world.keys("limit=1&starting_after=twice").await;
    assert_eq!(after, (vec!["first".to_owned()], false));
}

#[tokio::test]
async fn a_sent_time_may_be_ignored() {
    let world = World::start(|settings| settings.created_at = CreatedAt::ServerTime).await;
    let (_, body) = world.sale("sale", json!({"created_at": 10})).await;
    assert_eq!(body["data"]["created_at"], START_MS);
}

#[tokio::test]
async fn a_repeated_key_meets_the_chosen_answer() {
    for (mode, status, rows) in [
        (Duplicates::SecondRow, 200, 2),
        (Duplicates::Conflict409, 409, 1),
        (Duplicates::Refused400, 400, 1),
        (Duplicates::SameRow, 200, 1),
    ] {
        let world = World::start(|settings| settings.duplicates = mode).await;
        world.sale("sale", json!({})).await;
        let again = world.sale("sale", json!({"amount": 5})).await;
        assert_eq!((again.0, world.live_rows()), (status, rows), "{mode:?}");
        match mode {
            Duplicates::SecondRow => assert_eq!(again.1["data"]["amount"], 5),
            Duplicates::SameRow => assert_eq!(again.1["data"]["amount"], 999),
            _ => assert!(
                again.1["message"]
                    .as_str()
                    .unwrap()
                    .contains("already exists")
            ),
        }
        assert_eq!(world.sandbox.requests()[1].committed, rows == 2, "{mode:?}");
    }
}

#[tokio::test]
async fn rewards_follow_their_transactions() {
    let world = World::start(|_| {}).await;
    world
        .sandbox
        .add_customer(NewCustomer::of("orphan", "nobody"));
    for (key, amount, earned) in [("up:15", 15, 2), ("dn:14", 14, 1), ("neg:15", -15, -2)] {
        world.sale(key, json!({"amount": amount})).await;
        let rewards = world.sandbox.rewards();
        assert_eq!(rewards.last().unwrap().amount, earned, "{key}");
    }
    world
        .sale("lone", json!({"customer_external_key": "orphan"}))
        .await;
    world.sale("euro", json!({"currency": "EUR"})).await;
    assert_eq!(world.sandbox.rewards().len(), 4, "an orphan earns nothing");
    let stats = async |id: &str| {
        let (status, body) = world.get(&format!("/api/v2/partnerships/{id}")).await;
        assert_eq!(status, 200);
        let of = |name: &str| body["data"]["stats"][name].as_i64().unwrap();
        (of("CUSTOMER_COUNT"), of("REVENUE"), of("COMMISSION_EARNED"))
    };
    assert_eq!(stats("acme").await, (1, 14, 1));
    assert_eq!(world.sandbox.live_sum("user_1", "USD"), 14);
    assert_eq!(world.sandbox.live_sum("user_1", "EUR"), 999);

    let (status, _) = world.delete("/api/v2/transactions/neg%3A15").await;
    assert_eq!(status, 200);
    assert_eq!(world.delete("/api/v2/transactions/neg%3A15").await.0, 404);
    assert_eq!(stats("acme%40example.invalid").await, (1, 29, 3));
    let rewards = async |query: &str| {
        let (_, body) = world.get(&format!("/api/v2/rewards?{query}")).await;
        body["data"]["items"].as_array().unwrap().clone()
    };
    assert_eq!(rewards("").await.len(), 4);
    let shown = rewards("hide_archived_rewards=true").await;
    assert_eq!(shown.len(), 3);
    assert!(
        shown
            .iter()
            .all(|row| row["transaction"]["key"] != "neg:15")
    );

    world
        .sandbox
        .adjust(|settings| settings.refuse_deletes = true);
    assert_eq!(world.delete("/api/v2/transactions/up%3A15").await.0, 400);
    assert!(world.sandbox.delete_transaction("up:15"));
    assert!(!world.sandbox.delete_transaction("up:15"));
    assert_eq!(world.sandbox.transactions().len(), 5, "archived rows stay");
    assert_eq!(world.live_rows(), 3);
}

#[tokio::test]
async fn only_a_known_basic_pair_is_let_in() {
    let open = World::start(|_| {}).await;
    let url = format!("http://{}/api/v2/transactions", open.address);
    let get = || open.client.get(&url);
    assert_eq!(read(get()).await.0, 401);
    assert_eq!(read(get().bearer_auth("cGtfbGl2ZTpzaw==")).await.0, 401);
    assert_eq!(read(get().basic_auth("pk_live", Some(""))).await.0, 401);
    assert_eq!(read(get().basic_auth("", Some("sk"))).await.0, 401);
    assert_eq!(read(get().basic_auth("pk_live", Some("any"))).await.0, 200);

    let pair = |public: &str, secret: &str| KeyPair {
        public: public.to_owned(),
        secret: secret.to_owned(),
    };
    open.sandbox
        .adjust(|settings| settings.keys = vec![pair("pk_a", "s_a"), pair("pk_b", "s_b")]);
    assert_eq!(read(get().basic_auth("pk_b", Some("s_b"))).await.0, 200);
    assert_eq!(read(get().basic_auth("pk_b", Some("s_a"))).await.0, 401);
    assert!(!format!("{:?}", pair("pk_a", "s_a")).contains("s_a"));
}

#[tokio::test]
async fn test_rows_and_live_rows_never_meet() {
    let mut world = World::start(|_| {}).await;
    let customer = |key: &str, partner: &str| json!({"customer_key": key, "email": "a@example.invalid", "partner_key": partner});
    let (status, _) = world
        .post("/api/v2/customers", customer("t1", "gstest"))
        .await;
    assert_eq!(status, 400, "a live pair under the test partner");
    world.sale("live", json!({})).await;

    world.public_key = "pk_test_1";
    let (status, _) = world
        .post("/api/v2/customers", customer("t1", "acme"))
        .await;
    assert_eq!(status, 400, "a test pair under a live partner");
    let (_, body) = world
        .post("/api/v2/customers", customer("t1", "gstest"))
        .await;
    assert_eq!(body["data"]["test"], true);
    assert_eq!(world.sale("cross", json!({})).await.0, 400);
    let named = json!({"customer_external_key": "t1", "test": true});
    assert_eq!(world.sale("test", named).await.0, 200);
    assert_eq!(world.keys("").await.0, ["test"]);
    let (_, body) = world.get("/api/v2/rewards").await;
    assert_eq!(body["data"]["items"], json!([]), "a test earns nothing");
    assert_eq!(world.delete("/api/v2/transactions/live").await.0, 404);
    assert_eq!(world.sandbox.rewards().len(), 1, "only the live one earns");

    world.public_key = "pk_live";
    assert_eq!(world.keys("").await.0, ["live"]);
    assert_eq!(
        world
            .sale("cross", json!({"customer_external_key": "t1"}))
            .await
            .0,
        400
    );
}

#[tokio::test]
async fn v1_takes_any_name_of_a_customer_and_its_own_envelope() {
    let world = World::start(|_| {}).await;
    let new = json!({"key": "u 2", "email": "Two@example.invalid", "partner_key": "acme"});
    let (status, body) = world.post("/v1/customers", new).await;
    assert_eq!((status, &body["rdata"]["key"]), (200, &json!("u 2")));
    let internal = world.sandbox.customers()[1].key.clone();
    for name in ["u%202", &internal, "two@example.invalid"] {
        let path = format!("/v1/customers/{name}/transactions");
        let row = json!({"amount": 0, "currency": "USD"});
        let (status, body) = world.post(&path, row).await;
        assert_eq!((status, &body["status"]), (200, &json!(200)), "{name}");
        assert_eq!(body["rdata"]["partner_key"], "acme");
        assert_eq!(body["rdata"]["customer_key"], "u 2");
        assert!(body.get("data").is_none());
    }
    let path = "/v1/customers/u%202/transactions";
    for wrong in [
        json!({"amount": null, "currency": "USD"}),
        json!({"currency": "USD"}),
        json!({"amount": 1, "currency": "USD", "key": "abc"}),
        json!({"amount": 1, "currency": "USD", "metadata": {}}),
    ] {
        let (status, body) = world.post(path, wrong.clone()).await;
        assert_eq!(status, 400, "{wrong}");
        assert_eq!(body["error"], body["message"]);
    }
    let row = json!({"amount": 1, "currency": "USD"});
    let (status, _) = world.post("/v1/customers/nobody/transactions", row).await;
    assert_eq!(status, 404);
    let change = json!({"name": "Two"});
    let (_, body) = world
        .send(Method::PATCH, "/v1/customers/u%202", change)
        .await;
    assert_eq!(body["rdata"]["name"], "Two");
}

#[tokio::test]
async fn customers_are_made_changed_found_and_deleted() {
    let world = World::start(|_| {}).await;
    let new = json!({"customer_key": "u2", "email": "u2@example.invalid", "partner_key": "acme"});
    let path = "/api/v2/customers";
    let (status, body) = world.post(path, new.clone()).await;
    assert_eq!((status, &body["data"]["customer_key"]), (200, &json!("u2")));
    assert_eq!(
        world.post(path, new.clone()).await.0,
        400,
        "the key is taken"
    );
    for (name, wrong) in [
        ("partner_key", json!("nobody")),
        ("email", json!("a@b")),
        ("name", json!("n".repeat(101))),
        ("customer_key", json!(5)),
        ("extra", json!("x")),
    ] {
        let mut body = new.clone();
        body["customer_key"] = json!("u3");
        body[name] = wrong;
        assert_eq!(world.post(path, body).await.0, 400, "{name}");
    }
    world.now_ms.store(START_MS + 100, Ordering::SeqCst);
    let change = json!({"customer_key": "u9", "provider_key": "cus_stripe"});
    let (status, body) = world
        .send(Method::PATCH, "/api/v2/customers/u2", change)
        .await;
    assert_eq!((status, &body["data"]["email"]), (200, &new["email"]));
    assert_eq!(world.get("/api/v2/customers/u2").await.0, 404);
    let (_, body) = world.get("/api/v2/customers/u9").await;
    assert_eq!(body["data"]["provider_key"], "cus_stripe");
    let updated = format!(
        "/api/v2/customers?partner_key=acme&min_updated={}",
        START_MS + 100
    );
    let (_, body) = world.get(&updated).await;
    assert_eq!(body["data"]["items"].as_array().unwrap().len(), 1);
    assert_eq!(world.delete("/api/v2/customers/u9").await.0, 200);
    assert_eq!(world.get("/api/v2/customers/u9").await.0, 404);
    assert_eq!(
        world
            .sale("sale", json!({"customer_external_key": "u9"}))
            .await
            .0,
        404
    );
    assert_eq!(world.post(path, new).await.0, 200, "the key is free again");
}

#[tokio::test]
async fn unknown_customers_are_made_when_asked_for() {
    let world = World::start(|settings| settings.auto_customers = true).await;
    for _ in 0..2 {
        assert_eq!(
            world
                .sale("sale", json!({"customer_external_key": "new"}))
                .await
                .0,
            200
        );
    }
    assert_eq!(world.sandbox.customers().len(), 2);
    assert_eq!(world.sandbox.rewards().len(), 2);
    let internal = json!({"customer_key": "cus_x", "amount": 1, "currency": "USD"});
    assert_eq!(world.post("/api/v2/transactions", internal).await.0, 404);
}
