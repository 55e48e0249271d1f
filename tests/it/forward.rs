//! The main job end to end: signed webhooks in, exact transactions out, over
//! real connections and with a destination that misbehaves.

use serde_json::{Value, json};
use tributary::sandbox::{Duplicates, NewCustomer};

use crate::world::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_issue_played_by_hand() {
    let mut world = World::new().await;
    // A charge before its customer, told five times and by a second event.
    let sale = event(
        "evt_sale",
        "charge.succeeded",
        charge("ch_1", 4999, Some("cus_A")),
    );
    let (status, answer) = world.stripe_event(&sale).await;
    assert_eq!((status, &answer["status"]), (200, &json!("recorded")));
    for _ in 0..4 {
        let (status, answer) = world.stripe_event(&sale).await;
        assert_eq!((status, &answer["status"]), (200, &json!("duplicate")));
    }
    world
        .stripe("charge.succeeded", charge("ch_1", 4999, Some("cus_A")))
        .await;
    assert_eq!(world.payment("ch_1").await.state, "unattributed");
    world
        .stripe("customer.created", customer("cus_A", "acme"))
        .await;
    world.wait_for("ch_1", "settled").await;
    assert_eq!(world.held("ch_1"), 4999);
    // 5.00 of 49.99 back, then the rest.
    world
        .stripe("refund.created", refund("re_1", "ch_1", 500))
        .await;
    world.wait_for("ch_1", "settled").await;
    assert_eq!(world.held("ch_1"), 4499);
    let mut refunded = charge("ch_1", 4999, Some("cus_A"));
    refunded["amount_refunded"] = json!(500);
    world.stripe("charge.refunded", refunded).await;
    world
        .stripe("refund.created", refund("re_2", "ch_1", 4499))
        .await;
    world.wait_for("ch_1", "settled").await;
    assert_eq!(world.held("ch_1"), 0);
    // A guest, a test-mode charge, an authorization.
    world
        .stripe("charge.succeeded", charge("ch_guest", 100, None))
        .await;
    let mut test = event(
        "evt_test",
        "charge.succeeded",
        charge("ch_test", 100, Some("cus_A")),
    );
    test["livemode"] = json!(false);
    world.stripe_event(&test).await;
    let mut held = charge("ch_auth", 100, Some("cus_A"));
    held["captured"] = json!(false);
    held["amount_captured"] = json!(0);
    world.stripe("charge.succeeded", held).await;
    let state = async |id: &str| world.payment(id).await.state;
    assert_eq!(state("ch_guest").await, "unattributed");
    assert_eq!(state("ch_test").await, "ignored");
    assert_eq!(state("ch_auth").await, "waiting");
    assert_eq!(world.sandbox.live_sum("acme", "USD"), 0);
    world.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_the_destination_leaves_exactly_the_net() {
    let mut world = World::with("retry_for_hours = 1").await;
    let faults = [
        "429:1@POST=next:2",
        "500-before@POST=next:3",
        "500-after@POST=next:3",
        "drop-before@POST=next:3",
        "drop-after@POST=next:3",
        "html@POST=next:2",
        "html-after@POST=next:2",
        "empty@POST=next:2",
        "slow-after:1500@POST=next:1",
        "500-before@DELETE=next:1",
        "drop-after@DELETE=next:1",
        "500-before@GET=next:2",
    ];
    world
        .sandbox
        .set_faults(faults.iter().map(|fault| fault.parse().unwrap()).collect());
    world
        .stripe("customer.created", customer("cus_A", "acme"))
        .await;
    for n in 0..30 {
        let id = format!("ch_{n}");
        world
            .stripe("charge.succeeded", charge(&id, 1000 + n, Some("cus_A")))
            .await;
        if n % 3 == 0 {
            world
                .stripe("refund.created", refund(&format!("re_{n}"), &id, 100))
                .await;
        }
        if n % 5 == 0 {
            let rest = 1000 + n - if n % 3 == 0 { 100 } else { 0 };
            world
                .stripe("refund.created", refund(&format!("rest_{n}"), &id, rest))
                .await;
        }
    }
    for n in 0..30 {
        let payment = world.wait_for(&format!("ch_{n}"), "settled").await;
        assert_eq!(Some(world.held(&payment.payment_id)), payment.net);
    }
    world.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_duplicate_key_behaviour_ends_with_one_row() {
    for how in [
        Duplicates::SecondRow,
        Duplicates::Conflict409,
        Duplicates::Refused400,
        Duplicates::SameRow,
    ] {
        let mut world = World::new().await;
        world.sandbox.adjust(|settings| settings.duplicates = how);
        world
            .sandbox
            .set_faults(vec!["drop-after@POST=next:2".parse().unwrap()]);
        world
            .stripe("customer.created", customer("cus_A", "acme"))
            .await;
        for n in 0..4 {
            world
                .stripe(
                    "charge.succeeded",
                    charge(&format!("ch_{n}"), 1000, Some("cus_A")),
                )
                .await;
        }
        for n in 0..4 {
            world.wait_for(&format!("ch_{n}"), "settled").await;
        }
        assert_eq!(world.sandbox.live_sum("acme", "USD"), 4000);
        world.strike().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_stop_the_destination_and_keep_queueing() {
    let mut world = World::new().await;
    world
        .sandbox
        .set_faults(vec!["unauthorized=100%".parse().unwrap()]);
    world
        .stripe("customer.created", customer("cus_A", "acme"))
        .await;
    for n in 0..5 {
        world
            .stripe(
                "charge.succeeded",
                charge(&format!("ch_{n}"), 1000, Some("cus_A")),
            )
            .await;
    }
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    let posts = world
        .sandbox
        .requests()
        .iter()
        .filter(|call| call.method == "POST")
        .count();
    assert!(posts <= 4, "{posts} posts with keys that are refused");
    assert_eq!(world.payment("ch_4").await.state, "due");
    let status = world.service().app.ledger.summary().await.unwrap().status;
    assert!(status["ps"].contains("stopped"), "{status:?}");
    // Right again: a restart asks at once.
    world.sandbox.set_faults(Vec::new());
    world.restart().await;
    for n in 0..5 {
        world.wait_for(&format!("ch_{n}"), "settled").await;
    }
    world.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_customer_waits_and_goes_on_when_told() {
    let mut world = World::new().await;
    world
        .stripe("customer.created", customer("cus_N", "newcomer"))
        .await;
    world
        .stripe("customer.created", customer("cus_A", "acme"))
        .await;
    world
        .stripe("charge.succeeded", charge("ch_n", 700, Some("cus_N")))
        .await;
    world
        .stripe("charge.succeeded", charge("ch_a", 900, Some("cus_A")))
        .await;
    world.wait_for("ch_a", "settled").await;
    let waiting = world.wait_for("ch_n", "unattributed").await;
    assert!(
        waiting
            .reason
            .unwrap()
            .contains("does not know the customer newcomer")
    );
    world
        .sandbox
        .add_customer(NewCustomer::of("newcomer", "northwind"));
    let (status, _) = world
        .api(OPERATOR, "POST", "/api/v1/payments/stripe/ch_n/retry", None)
        .await;
    assert_eq!(status, 200);
    world.wait_for("ch_n", "settled").await;
    world.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_providers_customer_id_is_written_where_none_stands() {
    let mut world = World::new().await;
    world
        .stripe("customer.created", customer("cus_A", "acme"))
        .await;
    world
        .stripe("charge.succeeded", charge("ch_a", 900, Some("cus_A")))
        .await;
    world.wait_for("ch_a", "settled").await;
    for _ in 0..200 {
        let acme = world
            .sandbox
            .customers()
            .into_iter()
            .find(|it| it.external_key.as_deref() == Some("acme"));
        if acme.unwrap().provider_key.as_deref() == Some("cus_A") {
            world.strike().await;
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the provider key was not written");
}

#[tokio::test(flavor = "multi_thread")]
async fn v1_posts_and_v2_reads_back() {
    let mut world = World::with("api = \"v1\"").await;
    world
        .sandbox
        .set_faults(vec!["drop-after@POST=next:1".parse().unwrap()]);
    world
        .stripe("customer.created", customer("cus_A", "acme"))
        .await;
    world
        .stripe("charge.succeeded", charge("ch_a", 900, Some("cus_A")))
        .await;
    world.wait_for("ch_a", "settled").await;
    world
        .stripe("refund.created", refund("re_1", "ch_a", 900))
        .await;
    world.wait_for("ch_a", "settled").await;
    assert_eq!(world.held("ch_a"), 0);
    world.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_stale_and_malformed_requests() {
    let world = World::new().await;
    let body = event("evt_1", "charge.succeeded", charge("ch_1", 100, None)).to_string();
    let good = signature(SECRET, &body, now_s());
    let forged = signature("whsec_other", &body, now_s());
    let stale = signature(SECRET, &body, now_s() - 301);
    for header in [
        forged.as_str(),
        stale.as_str(),
        "",
        "t=1",
        "v1=00",
        &good.replace("v1", "v0"),
    ] {
        let (status, answer) = world.post("/webhooks/stripe", header, body.clone()).await;
        assert_eq!(status, 401, "{header}");
        assert_eq!(answer["status"], json!(401));
    }
    let (status, _) = world.post("/webhooks/unknown", &good, body.clone()).await;
    assert_eq!(status, 404);
    let get = world
        .client
        .get(world.public("/webhooks/unknown"))
        .send()
        .await
        .unwrap();
    assert_eq!(get.status().as_u16(), 405);
    let huge = vec![b'x'; 3 << 20];
    let (status, _) = world.post("/webhooks/stripe", &good, huge).await;
    assert_eq!(status, 413);
    for broken in ["", "{", "null", "\u{0}", "{\"id\":1}"] {
        let header = signature(SECRET, broken, now_s());
        let (status, answer) = world.post("/webhooks/stripe", &header, broken).await;
        assert_eq!(
            (status, &answer["status"]),
            (200, &json!("unreadable")),
            "{broken}"
        );
    }
    let (status, answer) = world.post("/webhooks/stripe", &good, body).await;
    assert_eq!((status, &answer["status"]), (200, &json!("recorded")));
    let health = world
        .client
        .get(world.public("/healthz"))
        .send()
        .await
        .unwrap();
    assert_eq!(health.status().as_u16(), 200);
    let ready = world
        .client
        .get(world.public("/readyz"))
        .send()
        .await
        .unwrap();
    assert_eq!(ready.status().as_u16(), 200);
    world.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_keeps_roles_apart_and_links_are_idempotent() {
    let mut world = World::new().await;
    world
        .stripe("charge.succeeded", charge("ch_1", 4999, Some("cus_A")))
        .await;
    let link = "/api/v1/sources/stripe/links/customer/cus_A";
    let acme = Some(json!({"customer_key": "acme"}));
    for (token, path, status) in [
        ("wrong-token-0123456789", "/api/v1/payments", 401),
        (LINKER, "/api/v1/payments", 403),
        (VIEWER, "/api/v1/payments", 200),
        (VIEWER, "/api/v1/payments?state=nonsense", 400),
        (VIEWER, "/api/v1/payments?nonsense=1", 400),
        (VIEWER, "/api/v1/payments/stripe/ch_none", 404),
        (VIEWER, "/api/v1/payments/stripe/ch_1", 200),
        (VIEWER, "/nothing", 404),
    ] {
        assert_eq!(
            world.api(token, "GET", path, None).await.0,
            status,
            "{path}"
        );
    }
    assert_eq!(world.api(VIEWER, "PUT", link, acme.clone()).await.0, 403);
    assert_eq!(
        world
            .api(LINKER, "PUT", link, Some(json!({"customer": "acme"})))
            .await
            .0,
        422
    );
    assert_eq!(world.api(LINKER, "PUT", link, acme.clone()).await.0, 201);
    assert_eq!(world.api(LINKER, "PUT", link, acme).await.0, 200);
    let other = Some(json!({"customer_key": "globex"}));
    assert_eq!(world.api(LINKER, "PUT", link, other).await.0, 409);
    assert_eq!(
        world.api(LINKER, "GET", link, None).await.1["customer_key"],
        json!("acme")
    );
    world.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_states_refunds_and_lists_payments() {
    let mut world = World::new().await;
    let link = "/api/v1/sources/stripe/links/customer/cus_A";
    world
        .stripe("customer.created", customer("cus_A", "acme"))
        .await;
    world
        .stripe("charge.succeeded", charge("ch_1", 4999, Some("cus_A")))
        .await;
    world.wait_for("ch_1", "settled").await;
    let refund = Some(json!({"refund_id": "r1", "amount": 500}));
    let path = "/api/v1/payments/stripe/ch_1/refunds";
    assert_eq!(world.api(VIEWER, "POST", path, refund.clone()).await.0, 403);
    for _ in 0..2 {
        assert_eq!(
            world.api(OPERATOR, "POST", path, refund.clone()).await.0,
            200
        );
    }
    world.wait_for("ch_1", "settled").await;
    assert_eq!(world.held("ch_1"), 4499);
    let (_, list) = world
        .api(
            VIEWER,
            "GET",
            "/api/v1/payments?source=stripe&limit=1",
            None,
        )
        .await;
    let item = &list["items"][0];
    for field in [
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
    ] {
        assert!(item.get(field).is_some(), "{field}");
    }
    assert_eq!(list["next_cursor"], Value::Null);
    assert_eq!(world.api(LINKER, "DELETE", link, None).await.0, 204);
    assert_eq!(world.api(LINKER, "DELETE", link, None).await.0, 204);
    world.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_merchants_back_end_states_a_payment_once() {
    let world = World::new().await;
    let path = "/v1/customers/acme/transactions";
    let body = |amount: i64| {
        Some(json!({"amount": amount, "currency": "USD", "key": "order-1", "product_key": "pro"}))
    };
    assert_eq!(world.api(VIEWER, "POST", path, body(4999)).await.0, 403);
    for _ in 0..3 {
        let (status, answer) = world.api(LINKER, "POST", path, body(4999)).await;
        assert_eq!(
            (status, &answer["rdata"]["key"]),
            (200, &json!("order-1")),
            "{answer}"
        );
    }
    assert_eq!(world.api(LINKER, "POST", path, body(5000)).await.0, 409);
    let other = "/v1/customers/globex/transactions";
    assert_eq!(world.api(LINKER, "POST", other, body(4999)).await.0, 409);
    for wrong in [
        json!({}),
        json!({"amount": -1, "currency": "USD"}),
        json!({"amount": 1, "currency": "dollars"}),
        json!({"amount": 1, "currency": "USD", "key": "abc"}),
        json!({"amount": 1, "currency": "USD", "nonsense": 1}),
    ] {
        assert_eq!(
            world.api(LINKER, "POST", path, Some(wrong.clone())).await.0,
            422,
            "{wrong}"
        );
    }
    let payment = world.wait_for("order-1", "settled").await;
    assert_eq!((payment.source.as_str(), payment.forwarded), ("api", 4999));
    let row = world.sandbox.transactions().remove(0);
    assert_eq!(
        (row.key.as_str(), row.product_key.as_deref()),
        ("api:order-1", Some("pro"))
    );
    let refund = Some(json!({"refund_id": "r1", "amount": 500}));
    let path = "/api/v1/payments/api/order-1/refunds";
    assert_eq!(world.api(OPERATOR, "POST", path, refund).await.0, 200);
    world.wait_for("order-1", "settled").await;
    assert_eq!(world.sandbox.live_sum("acme", "USD"), 4499);
    world.service.as_ref().unwrap();
}
