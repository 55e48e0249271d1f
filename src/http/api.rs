//! The admin listener: its routes, what they share, figures for machines and
//! payments that the merchant states itself.
//!
//! Every route has one role. What it does is in `ops`, which the command line
//! shares; here texts become arguments and errors become problems.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State as Shared};
use axum::routing::get;
use axum::{Json, Router};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{Access, Caller, guard_host, require};
use super::problem::Problem;
use super::{closed, imports, links, openapi, pages, payments, report};
use crate::app::App;
use crate::config::Role;
use crate::ledger::book::{STATES, State};
use crate::ledger::{LedgerError, Word};
use crate::metrics::{self, Metrics};
use crate::money::{Currency, LARGEST_MINOR, Minor};
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
    let figures = Router::new().route("/metrics", get(show_metrics));
    let mut routes = match open_metrics {
        true => figures,
        false => require(Role::Viewer, access, figures),
    };
    for (role, part) in parts() {
        let (part, _) = part.split_for_parts();
        routes = routes.merge(match role {
            Some(role) => require(role, access, part),
            None => part,
        });
    }
    let routes = routes.merge(pages);
    guard_host(listens_on, closed(routes).with_state(admin))
}

/// Every route of the API, by the role that it takes, with what its document says.
pub(super) fn parts() -> Vec<(Option<Role>, OpenApiRouter<Arc<Admin>>)> {
    let viewer = OpenApiRouter::default()
        .routes(routes!(payments::payments))
        .routes(routes!(payments::payments_csv))
        .routes(routes!(payments::unattributed))
        .routes(routes!(payments::story))
        .merge(report::routes());
    let operator = OpenApiRouter::default()
        .routes(routes!(payments::refund))
        .routes(routes!(payments::decide));
    let linker = OpenApiRouter::default()
        .routes(routes!(
            links::put_link,
            links::get_link,
            links::delete_link
        ))
        .routes(routes!(links::list))
        .routes(routes!(state_payment));
    let open = OpenApiRouter::default().routes(routes!(openapi::openapi));
    let mut parts = vec![
        (None, open),
        (Some(Role::Viewer), viewer),
        (Some(Role::Operator), operator),
        (Some(Role::Linker), linker),
    ];
    parts.extend(imports::parts().map(|(role, part)| (Some(role), part)));
    parts
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

async fn show_metrics(Shared(admin): Shared<Arc<Admin>>) -> Result<String, Problem> {
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
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct TransactionBody {
    amount: Minor,
    currency: String,
    key: Option<String>,
    product_key: Option<String>,
    category_key: Option<String>,
}

/// The answer in PartnerStack's own form.
#[derive(Serialize, utoipa::ToSchema)]
struct TransactionAnswer {
    status: u16,
    message: &'static str,
    rdata: RecordedTransaction,
}

#[derive(Serialize, utoipa::ToSchema)]
struct RecordedTransaction {
    key: String,
    customer_key: Option<String>,
    amount: Option<Minor>,
    currency: Option<Currency>,
    #[schema(value_type = State)]
    state: &'static str,
    occurred_at: String,
}

/// The merchant's back end states a payment itself, as it would to PartnerStack.
#[utoipa::path(
    post,
    path = "/v1/customers/{customer_key}/transactions",
    params(("customer_key" = String, Path, description = "The customer's key")),
    request_body = TransactionBody,
    responses((status = 200, description = "it is recorded, now or before", body = TransactionAnswer), (status = 409, description = "at odds with what is known; says why"), (status = 413, description = "the body is too large"), (status = 422, description = "readable, and not possible as asked"))
)]
async fn state_payment(
    Shared(admin): Shared<Arc<Admin>>,
    Path(customer_key): Path<String>,
    body: Bytes,
) -> Result<Json<TransactionAnswer>, Problem> {
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
    Ok(Json(TransactionAnswer {
        status: 200,
        message: "Transaction recorded",
        rdata: RecordedTransaction {
            key: view.payment_id,
            customer_key: view.customer_key,
            amount: view.gross,
            currency: view.currency,
            state: view.state,
            occurred_at: view.occurred_at,
        },
    }))
}
