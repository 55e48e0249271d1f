//! The lists of customers, rewards and partnerships: what is asked for, and what is
//! made of answers of any shape.

use axum::extract::Request;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::Value;

use super::*;
use crate::destination::{List, ListedPartner, Roster, RosterRows};

async fn serve(router: Router) -> Destination {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    open(&base_url)
}

/// A destination whose lists answer what they were asked.
async fn echo(items: Value) -> Destination {
    let page = move |request: Request| async move {
        let query = request.uri().query().unwrap_or_default();
        assert!(
            query.starts_with("limit=250&order_by=created_at"),
            "{query}"
        );
        Json(json!({"data": {"has_more": !query.contains("starting_after"), "items": items}}))
    };
    serve(Router::new().fallback(get(page))).await
}

async fn answered(status: u16, body: &str, list: List) -> Result<Roster, Outcome> {
    let server = Server::start(answer(status, "", body)).await;
    open(&server.base_url).roster(list, None, Some("k9")).await
}

#[tokio::test]
async fn customers_are_read_as_far_as_they_are_shown() {
    let destination = echo(json!([
        {"key": "cus_1", "customer_key": "acme", "provider_key": "cus_A", "email": "a@b.example",
         "name": "Acme", "partner_key": "northwind", "partnership_key": "part_1", "test": true,
         "archived": true, "updated_at": 1500, "meta": {"x": 1}},
        {"key": "cus_2", "customer_key": null, "provider_key": 7, "email": "", "test": "yes",
         "updated_at": "late"},
        {"customer_key": "without a key"},
        {"key": "cus_4"},
    ]))
    .await;
    let since = Some(Time(1_000));
    let page = destination.roster(List::Customers, since, None).await;
    let page = page.unwrap();
    assert_eq!((page.unreadable, page.next.as_deref()), (1, Some("cus_4")));
    let RosterRows::Customers(rows) = page.rows else {
        panic!("{:?}", page.rows)
    };
    let first = &rows[0];
    assert_eq!(first.provider_key.as_deref(), Some("cus_A"));
    assert_eq!(first.partnership_key.as_deref(), Some("part_1"));
    assert!(first.test && first.archived);
    assert_eq!(first.updated_at, Some(Time(1_500)));
    let second = &rows[1];
    assert_eq!((&second.customer_key, &second.provider_key), (&None, &None));
    assert!(!second.test && second.email.is_none() && second.updated_at.is_none());
    assert!(!format!("{first:?}").contains("a@b.example"));
    let page = destination
        .roster(List::Customers, since, Some("cus_4"))
        .await;
    assert_eq!(page.unwrap().next, None);
}

#[tokio::test]
async fn a_reward_names_its_customer_and_partner_in_either_form() {
    let destination = echo(json!([
        {"key": "r1", "amount": 500, "created_at": 1, "reward_status": "approved",
         "customer": {"key": "cus_1"}, "transaction": {"key": "stripe:ch_1", "currency": "EUR"},
         "partnership": {"key": "part_1", "partner_key": "northwind"}},
        {"key": "r2", "amount": -5, "created_at": 2, "currency": "USD", "customer_key": "cus_2",
         "partnership_key": "part_2", "transaction_key": "t", "status": "new", "archived": true},
        {"key": "r3", "amount": "5", "created_at": 3},
        {"key": "r4", "amount": 9_000_000_000_000_000_i64, "created_at": 3},
        {"key": "r5", "amount": 5},
    ]))
    .await;
    let page = destination.roster(List::Rewards, None, None).await.unwrap();
    assert_eq!(page.unreadable, 3);
    let RosterRows::Rewards(rows) = page.rows else {
        panic!("{:?}", page.rows)
    };
    let told: Vec<_> = rows
        .iter()
        .map(|it| (it.amount, it.customer.as_deref(), it.status.as_deref()))
        .collect();
    assert_eq!(
        told,
        [
            (500, Some("cus_1"), Some("approved")),
            (-5, Some("cus_2"), Some("new"))
        ]
    );
    assert_eq!(rows[0].transaction_currency, "EUR".parse().ok());
    assert_eq!(rows[0].currency, None);
    assert_eq!(rows[1].currency, "USD".parse().ok());
    assert_eq!(rows[1].partnership_key.as_deref(), Some("part_2"));
    assert!(rows[1].archived);
}

#[tokio::test]
async fn a_partner_has_the_name_of_its_team_or_of_its_person() {
    let destination = echo(json!([
        {"key": "p1", "partner_key": "a", "team": {"name": " Northwind "}, "first_name": "Ann"},
        {"key": "p2", "team": null, "first_name": "Sam", "last_name": "Okafor"},
        {"key": "p3", "first_name": "  "},
    ]))
    .await;
    let page = destination
        .roster(List::Partners, Some(Time(5)), None)
        .await;
    let RosterRows::Partners(rows) = page.unwrap().rows else {
        panic!("no partners")
    };
    let name = |row: &ListedPartner| row.name.clone().unwrap_or_default();
    let names: Vec<_> = rows.iter().map(name).collect();
    assert_eq!(names, ["Northwind", "Sam Okafor", ""]);
}

#[tokio::test]
async fn a_list_that_is_not_ours_to_see_is_refused_and_stops_nothing_else() {
    let rows = [
        (403, r#"{"message":"no"}"#, "refused"),
        (404, r#"{"message":"no"}"#, "refused"),
        (400, r#"{"message":"no such key"}"#, "refused"),
        (401, r#"{"message":"no"}"#, "wrong_credentials"),
        (404, "<html>", "later"),
        (429, "", "later"),
        (500, "", "unknown"),
        (200, "{}", "unknown"),
        (200, r#"{"data":{"items":[],"has_more":true}}"#, "unknown"),
        (
            200,
            r#"{"data":{"items":[{"key":"k9"}],"has_more":true}}"#,
            "unknown",
        ),
        (
            200,
            r#"{"data":{"items":[{"amount":1}],"has_more":true}}"#,
            "unknown",
        ),
        (302, "", "misdirected"),
    ];
    for list in List::ALL {
        for (status, body, outcome) in rows {
            let failed = answered(status, body, list).await.unwrap_err();
            assert_eq!(failed.name(), outcome, "{status} {body}");
        }
        let empty = answered(200, r#"{"data":{"items":[],"has_more":false}}"#, list).await;
        assert_eq!(empty.unwrap().rows.count(), 0);
        // A page that breaks off is no page.
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{\"data\":{\"items\":[";
        let server = Server::start(Play::Write(head.as_bytes().to_vec())).await;
        let cut = open(&server.base_url).roster(list, None, None).await;
        assert_eq!(cut.unwrap_err().name(), "unknown");
    }
}
