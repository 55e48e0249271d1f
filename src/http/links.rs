//! The admin API's links: making one or trying it, reading, taking away, and those
//! of a source.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};

use super::access::Caller;
use super::api::{Admin, read};
use super::problem::Problem;
use crate::config::Role;
use crate::ledger::{LedgerError, LinkView, NewLink, Word};
use crate::money::Minor;
use crate::ops::{self, LinkDryRun, LinkList};

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct LinkBody {
    customer_key: String,
    amount: Option<Minor>,
    currency: Option<String>,
}

/// What a link did, or what it would do.
#[derive(Serialize, utoipa::ToSchema)]
#[expect(dead_code, reason = "only its shape is of use")]
#[serde(untagged)]
pub(super) enum LinkOrDryRun {
    Link(LinkAnswer),
    DryRun(LinkDryRun),
}

/// How a link is put.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct HowToLink {
    /// Tell what it would do, and keep nothing.
    #[serde(default)]
    dry_run: bool,
}

/// A link that stands.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct LinkAnswer {
    link: LinkView,
    /// False where it was already so.
    changed: bool,
    /// Payments that were looked at again.
    payments: usize,
}

/// Ties an external id to a customer; saying it twice is saying it once.
#[utoipa::path(
    put,
    path = "/api/v1/sources/{source}/links/{kind}/{external_id}",
    params(("source" = String, Path, description = "The source's name"),
        ("kind" = String, Path, description = "The kind of id, for example customer"),
        ("external_id" = String, Path, description = "The id at the provider, percent-encoded"),
        HowToLink),
    request_body = LinkBody,
    responses((status = 200, description = "it was so before; or what it would do", body = LinkOrDryRun), (status = 201, description = "it is new", body = LinkAnswer), (status = 400, description = "the request cannot be read"), (status = 404, description = "there is no such thing here"), (status = 409, description = "at odds with what is known; says why"), (status = 413, description = "the body is too large"), (status = 422, description = "readable, and not possible as asked"))
)]
pub(super) async fn put_link(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Path((source, kind, external_id)): Path<(String, String, String)>,
    how: Result<Query<HowToLink>, QueryRejection>,
    body: Bytes,
) -> Result<Response, Problem> {
    let Query(how) = how.map_err(|error| Problem::bad_request(error.body_text()))?;
    let body: LinkBody = read(&body)?;
    let link = NewLink {
        source: source.clone(),
        kind,
        external_id,
        customer_key: body.customer_key.trim().to_owned(),
        amount: ops::amount(body.amount, body.currency.as_deref())?,
        replace: false,
        move_forwarded: false,
    };
    let word = admin.word(&caller, "");
    if how.dry_run {
        return dry_run(&admin, &caller, link, word).await;
    }
    let (view, changed, payments) = ops::link(&admin.app.ledger, link, word).await?;
    admin.app.wake(&source);
    let status = if changed {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let answer = LinkAnswer {
        link: view,
        changed,
        payments,
    };
    Ok((status, Json(answer)).into_response())
}

/// What the link would do. That it would be refused is told as it is refused.
async fn dry_run(
    admin: &Admin,
    caller: &Caller,
    link: NewLink,
    word: Word,
) -> Result<Response, Problem> {
    let mut tried = ops::link_dry_run(&admin.app.ledger, vec![link.clone()], word).await?;
    if let Some(refused) = tried.refused.pop() {
        // An unknown source is another problem than a key that differs.
        return match admin.app.ledger.links(&link.source, &link.kind, "").await {
            Err(error) => Err(error.into()),
            Ok(_) => Err(Problem::conflict(refused.why)),
        };
    }
    if caller.role != Role::Operator {
        tried.mask();
        tried.leave_counts();
    }
    Ok(Json(tried).into_response())
}

/// The link that counts.
#[utoipa::path(
    get,
    path = "/api/v1/sources/{source}/links/{kind}/{external_id}",
    params(("source" = String, Path, description = "The source's name"),
        ("kind" = String, Path, description = "The kind of id, for example customer"),
        ("external_id" = String, Path, description = "The id at the provider, percent-encoded")),
    responses((status = 200, description = "the link", body = LinkView), (status = 404, description = "there is no such thing here"))
)]
pub(super) async fn get_link(
    State(admin): State<Arc<Admin>>,
    Path((source, kind, external_id)): Path<(String, String, String)>,
) -> Result<Json<LinkView>, Problem> {
    let mut links = admin.app.ledger.links(&source, &kind, &external_id).await?;
    match links.is_empty() {
        true => Err(Problem::not_found("there is no such link")),
        false => Ok(Json(links.remove(0))),
    }
}

/// Takes a link away; taking it away twice is doing it once.
#[utoipa::path(
    delete,
    path = "/api/v1/sources/{source}/links/{kind}/{external_id}",
    params(("source" = String, Path, description = "The source's name"),
        ("kind" = String, Path, description = "The kind of id, for example customer"),
        ("external_id" = String, Path, description = "The id at the provider, percent-encoded")),
    responses((status = 204, description = "there is none"), (status = 404, description = "there is no such thing here"))
)]
pub(super) async fn delete_link(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Path((source, kind, external_id)): Path<(String, String, String)>,
) -> Result<StatusCode, Problem> {
    let word = admin.word(&caller, "");
    // Deleting twice is deleting once.
    match admin
        .app
        .ledger
        .unlink(&source, &kind, &external_id, word)
        .await
    {
        Ok(_) | Err(LedgerError::NotFound(_)) => Ok(StatusCode::NO_CONTENT),
        Err(error) => Err(error.into()),
    }
}

/// Which page of a list.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PageText {
    /// Where the page starts.
    pub(super) cursor: Option<String>,
    /// How many.
    pub(super) limit: Option<String>,
}

/// The links of a source, by their ids.
#[utoipa::path(
    get,
    path = "/api/v1/sources/{source}/links",
    operation_id = "links",
    params(("source" = String, Path, description = "The source's name"),
        PageText),
    responses((status = 200, description = "a page", body = LinkList), (status = 400, description = "the request cannot be read"), (status = 404, description = "there is no such thing here"))
)]
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    Path(source): Path<String>,
    page: Result<Query<PageText>, QueryRejection>,
) -> Result<Json<LinkList>, Problem> {
    let Query(page) = page.map_err(|error| Problem::bad_request(error.body_text()))?;
    let (cursor, limit) = (page.cursor.as_deref(), page.limit.as_deref());
    Ok(Json(
        ops::links(&admin.app.ledger, &source, cursor, limit).await?,
    ))
}
