//! The admin API's figures: reports, and the summary that the overview shows.
//!
//! They are read from the ledger's roll-ups; what only this process knows, such as
//! what it refused, is put beside them here.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use http::HeaderMap;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::Caller;
use super::api::Admin;
use super::etag;
use super::problem::Problem;
use crate::app::App;
use crate::config::Role;
use crate::ledger::OPEN_MOST;
use crate::ops;
use crate::ops::report::ReportText;
use crate::report::{Line, Report};
use crate::time::{SECOND_MS, Time};

/// Routes that any viewer may read.
pub(super) fn routes() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::default()
        .routes(routes!(report))
        .routes(routes!(summary))
}

/// What the money comes to.
#[utoipa::path(
    get,
    path = "/api/v1/report",
    params(ReportText),
    responses((status = 200, description = "the report", body = Report), (status = 304, description = "as the caller has it"), (status = 400, description = "the request cannot be read"))
)]
pub(super) async fn report(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    asked: Result<Query<ReportText>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(asked) = asked.map_err(|error| Problem::bad_request(error.body_text()))?;
    let ledger = &admin.app.ledger;
    let (question, limit) = asked.read(admin.app.clock.now(), ledger.report_zone())?;
    let plain = caller.role == Role::Operator;
    let report = ops::report::report(ledger, question, Some(limit), plain).await?;
    Ok(etag::answer(&headers, &report))
}

/// Money, sources and destinations at one moment; times are RFC 3339 in UTC.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Summary {
    pub(super) as_of: String,
    /// The zone of the ledger's days.
    pub(super) zone: String,
    pub(super) currencies: Vec<Line>,
    pub(super) sources: Vec<SourceSummary>,
    pub(super) destinations: Vec<DestinationSummary>,
    /// Payments that are not settled, by state; a state without any is left out.
    pub(super) open: Vec<OpenState>,
}

/// How many payments are in a state, counted up to a limit.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub(super) struct OpenState {
    #[schema(value_type = crate::ledger::book::State)]
    pub(super) state: &'static str,
    pub(super) payments: i64,
    /// True where there are more than were counted.
    pub(super) more: bool,
}

#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub(super) struct SourceSummary {
    pub(super) source: String,
    pub(super) provider: String,
    pub(super) retired: bool,
    pub(super) last_delivery: Option<String>,
    /// Since the last delivery, or since the source was first configured.
    pub(super) silence_seconds: i64,
    pub(super) refused_signatures: Refused,
}

/// Deliveries whose signature, credentials or address were wrong. Nothing of them
/// is stored, so this process knows only its own.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = RefusedSignatures)]
pub(super) struct Refused {
    pub(super) count: u64,
    pub(super) last: Option<String>,
    pub(super) since: String,
}

#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub(super) struct DestinationSummary {
    pub(super) destination: String,
    /// Calls a second that the configuration allows.
    pub(super) requests_per_second: Option<u32>,
    /// Posts, deletes and read-backs that were begun.
    pub(super) calls_last_minute: i64,
    /// How long the payment waits that is due longest; null where none is due.
    pub(super) backlog_age_seconds: Option<i64>,
    pub(super) last_answer: Option<String>,
    /// How long ago that was.
    pub(super) answered_seconds: Option<i64>,
    pub(super) status: Option<String>,
    pub(super) paused_until: Option<String>,
    pub(super) mirror: MirrorSummary,
}

/// How far the destination's customers, partners and rewards were read.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub(super) struct MirrorSummary {
    /// When the oldest of the last reads began; null until each list was read.
    pub(super) read_at: Option<String>,
    pub(super) age_seconds: Option<i64>,
    /// The same of the reads of all there is.
    pub(super) full_read_at: Option<String>,
    /// Rewards that count for nothing, because nobody says their currency.
    pub(super) rewards_without_currency: i64,
}

/// How sources and destinations fare, and the money of all days. Its tag is weak: it
/// leaves out what only the clock moves.
#[utoipa::path(
    get,
    path = "/api/v1/summary",
    responses((status = 200, description = "the figures", body = Summary), (status = 304, description = "as the caller has it"))
)]
async fn summary(State(admin): State<Arc<Admin>>, headers: HeaderMap) -> Result<Response, Problem> {
    let summary = summarize(&admin.app).await?;
    let bytes = |summary: &Summary| serde_json::to_vec(summary).unwrap_or_default();
    let tag = etag::tag_of(&bytes(&summary.without_clock()), true);
    Ok(etag::tagged(&headers, &tag, bytes(&summary).into()))
}

/// The summary as of now.
pub(super) async fn summarize(app: &App) -> Result<Summary, Problem> {
    let overview = app.ledger.overview().await?;
    let now = app.clock.now();
    let seconds = |since: Time| (now.since(since) / SECOND_MS).max(0);
    let text = |at: Time| at.to_string();
    let sources = overview.sources.into_iter().map(|it| {
        let source = app.sources.get(&it.source);
        let (count, last) = source.map_or((0, None), |source| source.refused.read());
        SourceSummary {
            retired: source.is_some_and(|source| source.retired),
            silence_seconds: seconds(it.last_delivery.unwrap_or(it.first_seen)),
            last_delivery: it.last_delivery.map(text),
            refused_signatures: Refused {
                count,
                last: last.map(text),
                since: text(app.opened_at),
            },
            source: it.source,
            provider: it.provider,
        }
    });
    let destinations = overview.destinations.into_iter().map(|it| {
        let configured = app.config.destinations.get(&it.destination);
        DestinationSummary {
            requests_per_second: configured.map(|it| it.requests_per_second),
            calls_last_minute: it.calls_last_minute,
            backlog_age_seconds: it.oldest_due.map(seconds),
            answered_seconds: it.answered_at.map(seconds),
            last_answer: it.answered_at.map(text),
            status: it.status,
            paused_until: it.paused_until.map(text),
            mirror: MirrorSummary {
                read_at: it.mirror.read_at.map(text),
                age_seconds: it.mirror.read_at.map(seconds),
                full_read_at: it.mirror.full_at.map(text),
                rewards_without_currency: it.mirror.without_currency,
            },
            destination: it.destination,
        }
    });
    let open = overview.open.into_iter().map(|(state, count)| OpenState {
        state: state.word(),
        payments: count.min(OPEN_MOST),
        more: count > OPEN_MOST,
    });
    Ok(Summary {
        as_of: text(now),
        zone: app.ledger.report_zone().name().to_owned(),
        currencies: overview.currencies,
        sources: sources.collect(),
        destinations: destinations.collect(),
        open: open.collect(),
    })
}

impl Summary {
    /// All but what changes while nothing happens.
    fn without_clock(&self) -> Summary {
        let mut still = self.clone();
        still.as_of.clear();
        for source in &mut still.sources {
            source.silence_seconds = 0;
        }
        for destination in &mut still.destinations {
            destination.backlog_age_seconds = destination.backlog_age_seconds.map(|_| 0);
            destination.answered_seconds = destination.answered_seconds.map(|_| 0);
            destination.mirror.age_seconds = destination.mirror.age_seconds.map(|_| 0);
        }
        still
    }
}
