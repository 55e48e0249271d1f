//! The control surface under `/sandbox/`, for people and test scripts. It is no
//! part of the imitated API: it asks for no key pair, meets no faults and is not
//! logged as a call.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Sandbox;
use super::books::{Half, Transaction};
use super::fault::{Fault, FaultError};

/// The body of `PUT /sandbox/faults`; an empty list switches faults off.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultsBody {
    faults: Vec<String>,
}

/// What one customer's rows that are not archived add up to, in one currency.
#[derive(Default)]
struct Sum {
    transactions: i64,
    amount: i64,
    rewards: i64,
}

pub(super) fn routes() -> Router<Sandbox> {
    Router::new()
        .route("/sandbox/state", get(state))
        .route("/sandbox/faults", put(put_faults))
        .route("/sandbox/reset", post(reset))
}

async fn state(State(sandbox): State<Sandbox>) -> Response {
    let core = sandbox.core();
    let faults: Vec<String> = core.dice.faults().iter().map(Fault::to_string).collect();
    Json(json!({
        "partners": core.books.partners.rows().len(),
        "live": half_state(&core.books.live),
        "test": half_state(&core.books.test),
        "calls": core.calls.kept().count(),
        "faults": faults,
    }))
    .into_response()
}

async fn put_faults(State(sandbox): State<Sandbox>, body: Bytes) -> Response {
    let refuse = |message: String| {
        let body = Json(json!({"message": message, "status": 400}));
        (StatusCode::BAD_REQUEST, body).into_response()
    };
    let wanted: FaultsBody = match serde_json::from_slice(&body) {
        Ok(wanted) => wanted,
        Err(error) => return refuse(format!(r#"write {{"faults": ["KIND=RATE"]}}: {error}"#)),
    };
    let faults: Result<Vec<Fault>, FaultError> =
        wanted.faults.iter().map(|text| text.parse()).collect();
    match faults {
        Ok(faults) => sandbox.set_faults(faults),
        Err(error) => return refuse(error.to_string()),
    }
    state(State(sandbox)).await
}

async fn reset(State(sandbox): State<Sandbox>) -> Response {
    sandbox.reset();
    state(State(sandbox)).await
}

fn half_state(half: &Half) -> Value {
    let live = |rows: &[Transaction]| rows.iter().filter(|row| !row.archived).count();
    let rows = half.transactions.rows();
    let mut times = BTreeMap::<&str, usize>::new();
    let mut sums = BTreeMap::<(&str, &str), Sum>::new();
    for row in rows.iter().filter(|row| !row.archived) {
        *times.entry(&row.key).or_default() += 1;
        let sum = sums.entry((&row.customer_key, &row.currency)).or_default();
        sum.transactions += 1;
        sum.amount = sum.amount.saturating_add(row.amount);
    }
    let rewards = half.rewards.rows();
    for row in rewards.iter().filter(|row| !row.archived) {
        let sum = sums.entry((&row.customer_key, &row.currency)).or_default();
        sum.rewards = sum.rewards.saturating_add(row.amount);
    }
    let sums: Vec<Value> = sums
        .into_iter()
        .map(|((key, currency), sum)| {
            let customer = half.customers.first(key);
            json!({
                "customer_key": key,
                "customer_external_key": customer.and_then(|row| row.external_key.as_ref()),
                "partner_key": customer.map(|row| &row.partner_key),
                "currency": currency,
                "transactions": sum.transactions,
                "amount": sum.amount,
                "rewards": sum.rewards,
            })
        })
        .collect();
    json!({
        "customers": half.customers.rows().iter().filter(|row| !row.archived).count(),
        "transactions": {"live": live(rows), "archived": rows.len() - live(rows)},
        "rewards": {
            "live": rewards.iter().filter(|row| !row.archived).count(),
            "archived": rewards.iter().filter(|row| row.archived).count(),
        },
        "keys_on_several_rows": times.values().filter(|count| **count > 1).count(),
        "sums": sums,
    })
}
