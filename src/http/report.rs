//! The admin API's figures: reports, and the summary that the overview shows.
//!
//! They are read from the ledger's roll-ups; what only this process knows, such as
//! what it refused, is put beside them here.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::routing::get;
use axum::{Extension, Json, Router};
use serde::Serialize;

use super::access::Caller;
use super::api::Admin;
use super::problem::Problem;
use crate::app::App;
use crate::config::Role;
use crate::ledger::OPEN_MOST;
use crate::ops;
use crate::ops::report::ReportText;
use crate::report::{Line, Report};
use crate::time::{SECOND_MS, Time};

/// Routes that any viewer may read.
pub(super) fn routes() -> Router<Arc<Admin>> {
    Router::new()
        .route("/api/v1/report", get(report))
        .route("/api/v1/summary", get(summary))
}

pub(super) async fn report(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    asked: Result<Query<ReportText>, QueryRejection>,
) -> Result<Json<Report>, Problem> {
    let Query(asked) = asked.map_err(|error| Problem::bad_request(error.body_text()))?;
    let ledger = &admin.app.ledger;
    let (question, limit) = asked.read(admin.app.clock.now(), ledger.report_zone())?;
    let plain = caller.role == Role::Operator;
    let report = ops::report::report(ledger, question, Some(limit), plain).await?;
    Ok(Json(report))
}

/// Money, sources and destinations at one moment; times are RFC 3339 in UTC.
#[derive(Debug, Serialize)]
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
#[derive(Debug, Serialize)]
pub(super) struct OpenState {
    pub(super) state: &'static str,
    pub(super) payments: i64,
    /// True where there are more than were counted.
    pub(super) more: bool,
}

#[derive(Debug, Serialize)]
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
#[derive(Debug, Serialize)]
pub(super) struct Refused {
    pub(super) count: u64,
    pub(super) last: Option<String>,
    pub(super) since: String,
}

#[derive(Debug, Serialize)]
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
#[derive(Debug, Serialize)]
pub(super) struct MirrorSummary {
    /// When the oldest of the last reads began; null until each list was read.
    pub(super) read_at: Option<String>,
    pub(super) age_seconds: Option<i64>,
    /// The same of the reads of all there is.
    pub(super) full_read_at: Option<String>,
    /// Rewards that count for nothing, because nobody says their currency.
    pub(super) rewards_without_currency: i64,
}

async fn summary(State(admin): State<Arc<Admin>>) -> Result<Json<Summary>, Problem> {
    Ok(Json(summarize(&admin.app).await?))
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
