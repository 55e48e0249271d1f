//! The calls under `/v1`, the older API: fewer fields, another envelope. Only
//! what its pages show is taken; metadata and `created_at` are not among it.

use axum::Extension;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{patch, post};
use http::HeaderMap;

use super::Sandbox;
use super::answer::{Api, Done, Refusal};
use super::books::{Mode, Who};
use super::fields::{EMAIL_CHARS, Fields, KEY_CHARS, NAME_CHARS, V1_KEY_CHARS, required};
use super::gate::Caller;
use super::verbs::{CustomerChange, NewCustomer, NewTransaction};
use super::view;

pub(super) fn routes() -> Router<Sandbox> {
    Router::new()
        .route("/v1/customers", post(post_customer))
        .route("/v1/customers/{key}", patch(patch_customer))
        .route("/v1/customers/{key}/transactions", post(post_transaction))
}

async fn post_transaction(
    State(sandbox): State<Sandbox>,
    Extension(caller): Extension<Caller>,
    Path(customer): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let outcome = read_transaction(customer, &headers, &body).and_then(|new| {
        let mut core = sandbox.core();
        let (row, committed) = core.post_transaction(caller.mode, new, caller.lag_ms)?;
        Ok(Done {
            object: view::transaction_v1(core.books.half(caller.mode), &row),
            message: "Transaction created",
            committed,
        })
    });
    Api::V1.answer(outcome)
}

fn read_transaction(
    customer: String,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<NewTransaction, Refusal> {
    let mut fields = Fields::open(headers, body)?;
    let new = NewTransaction {
        who: Who::Any(customer),
        amount: fields.amount()?,
        currency: fields.currency()?,
        key: fields.text("key", V1_KEY_CHARS)?,
        category_key: fields.nullable_text("category_key", KEY_CHARS)?.flatten(),
        product_key: fields.nullable_text("product_key", KEY_CHARS)?.flatten(),
        member_key: None,
        subscription_key: None,
        metadata: std::collections::BTreeMap::new(),
        created_at: None,
    };
    fields.close()?;
    Ok(new)
}

async fn post_customer(
    State(sandbox): State<Sandbox>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let outcome = read_customer(caller.mode, &headers, &body).and_then(|new| {
        let row = sandbox
            .core()
            .post_customer(caller.mode, new, caller.lag_ms)?;
        Ok(Done::changed(view::customer_v1(&row), "Customer created"))
    });
    Api::V1.answer(outcome)
}

fn read_customer(mode: Mode, headers: &HeaderMap, body: &[u8]) -> Result<NewCustomer, Refusal> {
    let mut fields = Fields::open(headers, body)?;
    let new = NewCustomer {
        external_key: Some(required("key", fields.text("key", KEY_CHARS)?)?),
        email: required("email", fields.text("email", EMAIL_CHARS)?)?,
        partner_key: required("partner_key", fields.text("partner_key", KEY_CHARS)?)?,
        name: fields.text("name", NAME_CHARS)?,
        provider_key: None,
        member_key: None,
        meta: fields.object("meta")?.unwrap_or_default(),
        test: mode == Mode::Test,
    };
    fields.close()?;
    Ok(new)
}

async fn patch_customer(
    State(sandbox): State<Sandbox>,
    Extension(caller): Extension<Caller>,
    Path(key): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let outcome = read_change(&headers, &body).and_then(|change| {
        let row = sandbox
            .core()
            .change_customer(caller.mode, &Who::Any(key), change)?;
        Ok(Done::changed(view::customer_v1(&row), "Customer updated"))
    });
    Api::V1.answer(outcome)
}

fn read_change(headers: &HeaderMap, body: &[u8]) -> Result<CustomerChange, Refusal> {
    let mut fields = Fields::open(headers, body)?;
    let change = CustomerChange {
        external_key: fields.text("key", KEY_CHARS)?.map(Some),
        email: fields.text("email", EMAIL_CHARS)?,
        name: fields.text("name", NAME_CHARS)?,
        meta: fields.object("meta")?,
        ..CustomerChange::default()
    };
    fields.close()?;
    Ok(change)
}
