//! The admin listener: its routes, what they share, figures for machines and
//! payments that the merchant states itself.
//!
//! Every route has one role. What it does is in `ops`, which the command line
//! shares; here texts become arguments and errors become problems.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::access::{Access, Caller, guard_host, require};
use super::problem::Problem;
use super::{closed, links, pages, payments, report};
use crate::app::App;
use crate::config::Role;
use crate::ledger::book::STATES;
use crate::ledger::{LedgerError, Word};
use crate::metrics::{self, Metrics};
use crate::money::{LARGEST_MINOR, Minor};
use crate::ops::{self, ListError, StatedPayment, UsageError};

/// The longest body of an API call, in bytes: links and decisions are short.
const BODY_MOST_BYTES: usize = 64 * 1024;

/// The limits of a transaction's key in PartnerStack's reference.
const KEY_LEAST_CHARS: usize = 4;
const KEY_MOST_CHARS: usize = 255;

/// What the admin listener works with.
#[derive(Clone)]
pub(super) struct Admin {
    pub(super) app: App,
    metrics: Option<Metrics>,
}

/// The admin listener's routes.
pub fn router(app: App, access: &Arc<Access>, metrics: Option<Metrics>) -> Router {
    let listens_on = app.config.http.admin;
    let open_metrics = listens_on.ip().is_loopback();
    let pages = pages::router(&app, access);
    let admin = Arc::new(Admin { app, metrics });
    let viewer = Router::new()
        .route("/api/v1/payments", get(payments::payments))
        .route("/api/v1/payments.csv", get(payments::payments_csv))
        .route("/api/v1/unattributed", get(payments::unattributed))
        .route(
            "/api/v1/payments/{source}/{payment_id}",
            get(payments::story),
        )
        .merge(report::routes());
    let operator = Router::new()
        .route(
            "/api/v1/payments/{source}/{payment_id}/refunds",
            post(payments::refund),
        )
        .route(
            "/api/v1/payments/{source}/{payment_id}/{decision}",
            post(payments::decide),
        );
    let linker = Router::new().route(
        "/api/v1/sources/{source}/links/{kind}/{external_id}",
        put(links::put_link)
            .get(links::get_link)
            .delete(links::delete_link),
    );
    let linker = linker.route("/api/v1/sources/{source}/links", get(links::list));
    let linker = linker.route(
        "/v1/customers/{customer_key}/transactions",
        post(state_payment),
    );
    let figures = Router::new().route("/metrics", get(show_metrics));
    let figures = match open_metrics {
        true => figures,
        false => require(Role::Viewer, access, figures),
    };
    let routes = figures
        .merge(require(Role::Viewer, access, viewer))
        .merge(require(Role::Operator, access, operator))
        .merge(require(Role::Linker, access, linker))
        .merge(super::imports::router(access))
        .merge(pages);
    guard_host(listens_on, closed(routes).with_state(admin))
}

impl From<LedgerError> for Problem {
    fn from(error: LedgerError) -> Problem {
        match error {
            LedgerError::NotFound(why) => Problem::not_found(why),
            LedgerError::Refused(why) => Problem::conflict(why),
            LedgerError::Unavailable(why) => Problem::unavailable(why, 1),
            LedgerError::Damaged => Problem::unavailable(LedgerError::Damaged.to_string(), 1),
            LedgerError::Unusable(why) => {
                tracing::error!(why, "the ledger failed a request");
                Problem::unavailable("the ledger failed", 60)
            }
        }
    }
}

impl From<ListError> for Problem {
    fn from(error: ListError) -> Problem {
        match error {
            ListError::Usage(error) => error.into(),
            ListError::Ledger(error) => error.into(),
        }
    }
}

impl From<UsageError> for Problem {
    fn from(error: UsageError) -> Problem {
        Problem::bad_request(error.0)
    }
}

/// Reads a JSON body; an error says where it is wrong.
pub(super) fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Problem> {
    if body.len() > BODY_MOST_BYTES {
        return Err(Problem::too_large(BODY_MOST_BYTES));
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    serde_path_to_error::deserialize(&mut json)
        .map_err(|error| Problem::unprocessable(format!("the body: {error}")))
}

/// An empty body counts as an empty object.
pub(super) fn read_or_empty<T: DeserializeOwned>(body: &Bytes) -> Result<T, Problem> {
    match body.is_empty() {
        true => read(&Bytes::from_static(b"{}")),
        false => read(body),
    }
}

impl Admin {
    pub(super) fn word(&self, caller: &Caller, why: &str) -> Word {
        Word {
            who: caller.name.to_string(),
            why: why.to_owned(),
            at: self.app.clock.now(),
        }
    }
}

async fn show_metrics(State(admin): State<Arc<Admin>>) -> Result<String, Problem> {
    let Some(metrics) = &admin.metrics else {
        return Err(Problem::unavailable("no metrics are kept", 60));
    };
    let summary = admin.app.ledger.summary().await?;
    let now = admin.app.clock.now();
    let seconds = |at: crate::time::Time| now.since(at) / crate::time::SECOND_MS;
    for state in STATES {
        let count = summary.states.get(state.word()).copied().unwrap_or(0);
        metrics::set(
            &::metrics::gauge!(metrics::PAYMENTS, "state" => state.word()),
            count,
        );
    }
    for name in admin.app.config.destinations.keys() {
        let waited = summary.oldest_due.get(name).map_or(0, |at| seconds(*at));
        metrics::set(
            &::metrics::gauge!(metrics::OLDEST_DUE, "destination" => name.clone()),
            waited,
        );
        if let Some(at) = admin.app.ledger.mirror_figures(name).await?.read_at {
            let gauge = ::metrics::gauge!(metrics::MIRROR_AGE, "destination" => name.clone());
            metrics::set(&gauge, seconds(at));
        }
    }
    for (name, at) in &summary.last_delivery {
        let gauge = ::metrics::gauge!(metrics::SOURCE_SILENCE, "source" => name.clone());
        metrics::set(&gauge, seconds(*at));
    }
    Ok(metrics.render())
}

/// A transaction in PartnerStack's own form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TransactionBody {
    amount: Minor,
    currency: String,
    key: Option<String>,
    product_key: Option<String>,
    category_key: Option<String>,
}

/// The merchant's back end states a payment itself, as it would to PartnerStack.
async fn state_payment(
    State(admin): State<Arc<Admin>>,
    Path(customer_key): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    let body: TransactionBody = read(&body)?;
    if admin.app.config.api_destination().is_none() {
        let why = "there are several destinations; name one in http.api_destination";
        return Err(Problem::conflict(why));
    }
    let fits = |text: &Option<String>, least: usize| {
        text.as_ref().is_none_or(|text| {
            (least..=KEY_MOST_CHARS).contains(&text.chars().count())
                && !text.contains(char::is_control)
        })
    };
    if !fits(&body.key, KEY_LEAST_CHARS)
        || !fits(&body.product_key, 1)
        || !fits(&body.category_key, 1)
        || !fits(&Some(customer_key.clone()), 1)
    {
        return Err(Problem::unprocessable(
            "key has 4 to 255 characters, the others 1 to 255",
        ));
    }
    if !(0..=LARGEST_MINOR).contains(&body.amount) {
        return Err(Problem::unprocessable(
            "amount is in minor units and not negative; state a refund by the refunds of the payment",
        ));
    }
    let currency = body
        .currency
        .parse()
        .map_err(|error| Problem::unprocessable(format!("currency: {error}")))?;
    let stated = StatedPayment {
        customer_key: customer_key.trim().to_owned(),
        key: body.key,
        amount: body.amount,
        currency,
        product_key: body.product_key,
        category_key: body.category_key,
    };
    let view = ops::state_payment(&admin.app.ledger, stated, admin.app.clock.now()).await?;
    admin.app.wake_all();
    Ok(Json(json!({
        "status": 200,
        "message": "Transaction recorded",
        "rdata": {
            "key": view.payment_id, "customer_key": view.customer_key, "amount": view.gross,
            "currency": view.currency, "state": view.state, "occurred_at": view.occurred_at,
        },
    })))
}
