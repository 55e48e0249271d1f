//! Lists, customers and the check of the credentials, against routes that look
//! at what they are asked.
//!
//! Not a model of the real list: it pages by position and filters nothing.

use axum::extract::{Path, Query, Request};
use axum::routing::{get, patch};
use axum::{Json, Router};
use serde_json::Value;

use super::*;

/// Serves `router` on this machine.
async fn serve(router: Router) -> Destination {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/prefix", listener.local_addr().unwrap());
    let router = Router::new().nest("/prefix", router);
    tokio::spawn(async move { axum::serve(listener, router).await });
    open(&base_url)
}

const WINDOW: Window = Window {
    from: Time(1_000),
    to: Time(2_000),
};

async fn list(status: u16, body: &str) -> Result<Page, Outcome> {
    let server = Server::start(answer(status, "", body)).await;
    open(&server.base_url).list(WINDOW, Some("k9")).await
}

async fn customer(status: u16, body: &str) -> Result<CustomerAnswer, Outcome> {
    let server = Server::start(answer(status, "", body)).await;
    open(&server.base_url).customer("user_1").await
}

#[tokio::test]
async fn a_list_is_read_page_by_page() {
    let page = |Query(asked): Query<Vec<(String, String)>>, request: Request| async move {
        let basic = &request.headers()["authorization"];
        assert_eq!(basic, "Basic cGtfcHVibGljOnNrX3Zlcnlfc2VjcmV0");
        let asked: Vec<_> = asked.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let first = [
            "limit=250",
            "order_by=created_at",
            "min_created=1000",
            "max_created=2000",
        ];
        assert_eq!(asked[..4], first);
        match asked.get(4).map(String::as_str) {
            None => Json(
                json!({"status": "2xx", "data": {"has_more": true, "items": [
                    {"key": "stripe:a", "amount": 5, "currency": "usd", "created_at": 1500,
                     "customer": {"key": "cus_1", "customer_key": "user_1", "email": "a@b.example"},
                     "metadata": {"payment_id": "a", "source": "stripe"}, "archived": true},
                    {"key": "a b&c", "amount": -5, "customer_key": "cus_2",
                     "customer_external_key": "user_2", "extension": {"x": 1}},
                ]}}),
            ),
            Some("starting_after=a b&c") => Json(json!({"data": {"has_more": false, "items": [
                {"key": "odd", "amount": "5", "currency": 7, "created_at": "x", "customer": "y"},
            ]}})),
            Some(other) => panic!("{other}"),
        }
    };
    let destination = serve(Router::new().route("/api/v2/transactions", get(page))).await;
    let first = destination.list(WINDOW, None).await.unwrap();
    let row = Row {
        key: "stripe:a".to_owned(),
        amount: Some(5),
        currency: "USD".parse().ok(),
        customer_external_key: Some("user_1".to_owned()),
        customer_email: Some("a@b.example".to_owned()),
        customer_key: Some("cus_1".to_owned()),
        payment_id: Some("a".to_owned()),
        created_at: Some(Time(1_500)),
        archived: true,
    };
    assert_eq!(first.rows[0], row);
    assert_eq!(first.rows[1].customer_key.as_deref(), Some("cus_2"));
    assert_eq!(
        first.rows[1].customer_external_key.as_deref(),
        Some("user_2")
    );
    assert!(!first.rows[1].archived);
    assert_eq!(first.next.as_deref(), Some("a b&c"));
    let last = destination
        .list(WINDOW, first.next.as_deref())
        .await
        .unwrap();
    let odd = Row {
        key: "odd".to_owned(),
        amount: None,
        currency: None,
        customer_external_key: None,
        customer_email: None,
        customer_key: None,
        payment_id: None,
        created_at: None,
        archived: false,
    };
    assert_eq!(last.rows, [odd]);
    assert_eq!(last.next, None);
}

#[tokio::test]
async fn what_is_no_page_is_never_an_empty_page() {
    let empty = r#"{"data":{"items":[],"has_more":false}}"#;
    let page = list(200, empty).await.unwrap();
    assert_eq!((page.rows.len(), page.next), (0, None));
    let rows = [
        (200, "", "unknown"),
        (200, "[]", "unknown"),
        (200, "{}", "unknown"),
        (200, r#"{"data":null}"#, "unknown"),
        (200, r#"{"data":{"items":[]}}"#, "unknown"),
        (200, r#"{"data":{"has_more":false}}"#, "unknown"),
        (
            200,
            r#"{"data":{"items":[{"amount":1}],"has_more":false}}"#,
            "unknown",
        ),
        (
            200,
            r#"{"data":{"items":[{"key":1}],"has_more":false}}"#,
            "unknown",
        ),
        (200, r#"{"data":{"items":[],"has_more":true}}"#, "unknown"),
        (
            200,
            r#"{"data":{"items":[{"key":"k9"}],"has_more":true}}"#,
            "unknown",
        ),
        (200, &empty[..empty.len() - 1], "unknown"),
        (400, r#"{"message":"already"}"#, "refused"),
        (401, "", "wrong_credentials"),
        (404, r#"{"message":"no"}"#, "misdirected"),
        (302, "", "misdirected"),
        (429, "", "later"),
        (500, empty, "unknown"),
    ];
    for (status, body, name) in rows {
        let outcome = list(status, body).await.unwrap_err();
        assert_eq!(outcome.name(), name, "{status} {body}: {outcome:?}");
    }
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n".to_vec();
    for play in [Play::Reset, Play::Hang, Play::Write(half)] {
        let server = Server::start(play).await;
        let outcome = open(&server.base_url).list(WINDOW, None).await.unwrap_err();
        assert_eq!(outcome.name(), "unknown");
    }
}

#[tokio::test]
async fn a_customer_is_missing_only_where_the_api_says_so() {
    let missing = customer(404, r#"{"message":"no"}"#).await;
    assert_eq!(missing, Ok(CustomerAnswer::Missing));
    let found = customer(
        200,
        r#"{"data":{"provider_key":"cus_9","partner_key":null}}"#,
    )
    .await;
    let expected = CustomerAnswer::Found {
        provider_key: Some("cus_9".to_owned()),
        partner_key: None,
    };
    assert_eq!(found, Ok(expected));
    for (status, body, name) in [
        (404, "<html>", "later"),
        (200, "", "unknown"),
        (200, r#"{"data":[]}"#, "unknown"),
        (403, "", "wrong_credentials"),
        (429, "", "later"),
        (503, "", "unknown"),
    ] {
        let outcome = customer(status, body).await.unwrap_err();
        assert_eq!(outcome.name(), name, "{status} {body}");
    }
}

#[tokio::test]
async fn keys_stay_one_segment_of_the_path() {
    let bind = |Path(key): Path<String>, Json(body): Json<Value>| async move {
        assert_eq!(key, "a/../b:c%2F?#é");
        assert_eq!(body, json!({"provider_key": "cus_9"}));
        Json(json!({"status": 200}))
    };
    let delete = |Path(key): Path<String>| async move {
        assert_eq!(key, "stripe:ch_1:2");
        Json(json!({"status": 200}))
    };
    let router = Router::new()
        .route("/api/v2/customers/{key}", patch(bind))
        .route("/api/v2/transactions/{key}", axum::routing::delete(delete));
    let destination = serve(router).await;
    let bound = destination
        .bind_provider_key("a/../b:c%2F?#é", "cus_9")
        .await;
    assert_eq!(bound, Outcome::Accepted);
    let deleted = destination.delete("stripe:ch_1:2", soon()).await;
    assert_eq!(deleted, Outcome::Accepted);
    for dots in ["", ".", ".."] {
        let outcomes = [
            destination.bind_provider_key(dots, "cus_9").await,
            destination.delete(dots, soon()).await,
            destination.customer(dots).await.unwrap_err(),
        ];
        assert!(outcomes.iter().all(|outcome| outcome.name() == "not_sent"));
    }
}

#[tokio::test]
async fn a_binding_is_read_as_what_its_answer_proves() {
    for (status, body, name) in [
        (200, "", "accepted"),
        (404, r#"{"message":"no"}"#, "customer_unknown"),
        (404, "", "later"),
        (409, r#"{"message":"already bound"}"#, "refused"),
        (500, "", "unknown"),
    ] {
        let server = Server::start(answer(status, "", body)).await;
        let outcome = open(&server.base_url)
            .bind_provider_key("user_1", "cus_9")
            .await;
        assert_eq!(outcome.name(), name, "{status}");
    }
}

#[tokio::test]
async fn who_proves_the_credentials() {
    let empty = r#"{"data":{"items":[],"has_more":false}}"#;
    let asked = |status: u16, body: &'static str, v2_available: bool| async move {
        let server = Server::start(answer(status, "", body)).await;
        let settings = Settings {
            v2_available,
            ..settings(&server.base_url)
        };
        let destination = Destination::new(settings, Clock::held(NOW)).unwrap();
        let who = destination.who().await;
        let path = if v2_available {
            "GET /api/v2/transactions?limit=1 "
        } else {
            "GET /v1/"
        };
        assert!(server.seen()[0].starts_with(path));
        who.map(|who| who.proven).map_err(|outcome| outcome.name())
    };
    assert_eq!(asked(200, empty, true).await, Ok(true));
    assert_eq!(asked(200, "<html>", true).await, Err("unknown"));
    assert_eq!(asked(401, "", true).await, Err("wrong_credentials"));
    assert_eq!(asked(404, "", true).await, Err("misdirected"));
    assert_eq!(asked(200, "", false).await, Ok(true));
    assert_eq!(asked(404, "", false).await, Ok(false));
    assert_eq!(asked(400, "{}", false).await, Ok(false));
    assert_eq!(asked(403, "", false).await, Err("wrong_credentials"));
    assert_eq!(asked(500, "", false).await, Err("unknown"));
}
