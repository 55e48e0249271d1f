//! The admin API's payments: lists, files of lists, stories, refunds and decisions;
//! and those without a customer, by what they wait for.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::HeaderMap;
use http_body::Frame;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::access::Caller;
use super::api::{Admin, read, read_or_empty};
use super::etag;
use super::problem::Problem;
use crate::config::Role;
use crate::export::Shown;
use crate::ledger::story::Story;
use crate::ledger::{Decided, Decision};
use crate::money::Minor;
use crate::ops::{self, FilterText, PaymentList, UnattributedList, UnattributedText, Whom};

/// Pieces of a file that are read ahead of a slow reader.
const PIECES_AHEAD: usize = 2;

/// Payments, by when the money moved, the newest first.
#[utoipa::path(
    get,
    path = "/api/v1/payments",
    params(FilterText),
    responses((status = 200, description = "a page", body = PaymentList), (status = 400, description = "the request cannot be read"), (status = 404, description = "there is no such thing here"))
)]
pub(super) async fn payments(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    filter: Result<Query<FilterText>, QueryRejection>,
) -> Result<Json<PaymentList>, Problem> {
    let Query(filter) = filter.map_err(|error| Problem::bad_request(error.body_text()))?;
    let plain = caller.role == Role::Operator;
    let (filter, limit) = filter.read(admin.app.clock.now(), plain)?;
    Ok(Json(
        ops::payments(&admin.app.ledger, filter, limit, plain).await?,
    ))
}

/// All that a list shows, from its cursor to the end, as a file.
#[utoipa::path(
    get,
    path = "/api/v1/payments.csv",
    params(FilterText),
    responses((status = 200, description = "a row for each statement, in the columns of `export`", body = String, content_type = "text/csv"), (status = 400, description = "the request cannot be read"), (status = 404, description = "there is no such thing here"))
)]
pub(super) async fn payments_csv(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    filter: Result<Query<FilterText>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(filter) = filter.map_err(|error| Problem::bad_request(error.body_text()))?;
    let plain = caller.role == Role::Operator;
    let (mut filter, _) = filter.read(admin.app.clock.now(), plain)?;
    // A file holds everything, wherever the page stood that asked for it.
    filter.cursor = None;
    let mut shown = Shown::new(admin.app.ledger.clone(), filter, plain).await?;
    let (pieces, body) = mpsc::channel(PIECES_AHEAD);
    tokio::spawn(async move {
        loop {
            let piece = match shown.next().await {
                Ok(Some(piece)) => Ok(Bytes::from(piece)),
                Ok(None) => return,
                // The reader must not take what it has for all of it.
                Err(error) => Err(io::Error::other(error)),
            };
            let broken = piece.is_err();
            if pieces.send(piece).await.is_err() || broken {
                return;
            }
        }
    });
    let head = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"payments.csv\"",
        ),
    ];
    Ok((head, Body::new(Pieces(body))).into_response())
}

/// A body that is written while it is sent.
struct Pieces(mpsc::Receiver<io::Result<Bytes>>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let piece = self.0.poll_recv(context);
        piece.map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

/// Payments without a customer, by what they wait for.
#[utoipa::path(
    get,
    path = "/api/v1/unattributed",
    params(UnattributedText),
    responses((status = 200, description = "groups, the one with the most payments first", body = UnattributedList), (status = 400, description = "the request cannot be read"), (status = 404, description = "there is no such thing here"))
)]
pub(super) async fn unattributed(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    asked: Result<Query<UnattributedText>, QueryRejection>,
) -> Result<Json<UnattributedList>, Problem> {
    let Query(asked) = asked.map_err(|error| Problem::bad_request(error.body_text()))?;
    let filter = asked.read(admin.app.clock.now())?;
    let plain = caller.role == Role::Operator;
    Ok(Json(
        ops::unattributed(&admin.app.ledger, filter, plain).await?,
    ))
}

/// One payment's whole story, by its id, another id of it, or a delivery's.
#[utoipa::path(
    get,
    path = "/api/v1/payments/{source}/{payment_id}",
    params(("source" = String, Path, description = "The source's name"),
        ("payment_id" = String, Path, description = "The payment's id")),
    responses((status = 200, description = "the story", body = Story), (status = 304, description = "as the caller has it"), (status = 404, description = "there is no such thing here"))
)]
pub(super) async fn story(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Path((source, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let plain = caller.role == Role::Operator;
    let story = ops::story(&admin.app.ledger, &source, &id, plain).await?;
    Ok(etag::answer(&headers, &story))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct RefundBody {
    refund_id: String,
    amount: Minor,
}

/// States a refund that no webhook tells of; saying it twice counts once.
#[utoipa::path(
    post,
    path = "/api/v1/payments/{source}/{payment_id}/refunds",
    params(("source" = String, Path, description = "The source's name"),
        ("payment_id" = String, Path, description = "The payment's id")),
    request_body = RefundBody,
    responses((status = 200, description = "how the payment stands now", body = Decided), (status = 404, description = "there is no such thing here"), (status = 409, description = "at odds with what is known; says why"), (status = 413, description = "the body is too large"), (status = 422, description = "readable, and not possible as asked"))
)]
pub(super) async fn refund(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Path((source, payment_id)): Path<(String, String)>,
    body: Bytes,
) -> Result<Json<Decided>, Problem> {
    let body: RefundBody = read(&body)?;
    let word = admin.word(&caller, "");
    let of = (source.as_str(), payment_id.as_str());
    let decided = ops::refund(&admin.app.ledger, of, body.refund_id, body.amount, word).await?;
    admin.app.wake(&source);
    Ok(Json(decided))
}

#[derive(Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DecisionBody {
    #[serde(default)]
    pub(super) reason: String,
    #[serde(default)]
    pub(super) leave: bool,
    #[serde(default)]
    pub(super) accept: bool,
    pub(super) policy: Option<String>,
    pub(super) customer: Option<String>,
}

impl DecisionBody {
    fn decision(&self, word: &str) -> Result<Decision, Problem> {
        match (word, self.accept, &self.policy, &self.customer) {
            ("retry", false, None, None) => Ok(Decision::Retry),
            ("skip", false, None, None) if self.reason.trim().is_empty() => {
                Err(Problem::unprocessable("skip takes a \"reason\""))
            }
            ("skip", false, None, None) => Ok(Decision::Skip { leave: self.leave }),
            ("release", true, None, None) => Ok(Decision::Accept),
            ("release", false, Some(policy), None) => Ok(Decision::Policy {
                policy: ops::policy(policy)?,
            }),
            ("release", false, None, Some(customer)) => Ok(Decision::Customer {
                customer: customer.trim().to_owned(),
            }),
            ("release", ..) => Err(Problem::unprocessable(
                "release takes exactly one of \"accept\": true, \"policy\" and \"customer\"",
            )),
            ("retry" | "skip", ..) => Err(Problem::unprocessable("a field that is not for this")),
            _ => Err(Problem::not_found("there is nothing at this path")),
        }
    }
}

/// Carries a decision about one payment out; what is refused says why.
pub(super) async fn decide_one(
    admin: &Admin,
    caller: &Caller,
    (source, payment_id): (&str, &str),
    (word, body): (&str, &DecisionBody),
) -> Result<Decided, Problem> {
    let decision = body.decision(word)?;
    let said = admin.word(caller, body.reason.trim());
    let whom = Whom::One {
        source: source.to_owned(),
        payment_id: payment_id.to_owned(),
    };
    let tally = ops::decide(&admin.app.ledger, whom, decision, said, false).await?;
    admin.app.wake(source);
    match tally.lines.into_iter().next() {
        Some(line) => match &line.refused {
            Some(why) => Err(Problem::conflict(why.clone())),
            None => Ok(line),
        },
        None => Err(Problem::not_found("there is no such payment")),
    }
}

/// Decides about a payment: try again, forward nothing, or go on.
#[utoipa::path(
    post,
    path = "/api/v1/payments/{source}/{payment_id}/{decision}",
    params(("source" = String, Path, description = "The source's name"),
        ("payment_id" = String, Path, description = "The payment's id"),
        ("decision" = String, Path, description = "retry, skip or release", pattern = "^(retry|skip|release)$")),
    request_body(content = Option<DecisionBody>),
    responses((status = 200, description = "how the payment stands now", body = Decided), (status = 404, description = "there is no such thing here"), (status = 409, description = "at odds with what is known; says why"), (status = 413, description = "the body is too large"), (status = 422, description = "readable, and not possible as asked"))
)]
pub(super) async fn decide(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Path((source, payment_id, word)): Path<(String, String, String)>,
    body: Bytes,
) -> Result<Json<Decided>, Problem> {
    let body: DecisionBody = read_or_empty(&body)?;
    let of = (source.as_str(), payment_id.as_str());
    Ok(Json(decide_one(&admin, &caller, of, (&word, &body)).await?))
}
