//! The public listener: webhooks in, health out.
//!
//! It verifies, reads and records, and answers only after the commit. It calls
//! no destination; the forwarder is woken and does that later.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use metrics::counter;
use serde_json::json;

use super::closed;
use super::limits::{Room, WEBHOOK_MAX_BYTES, read_body};
use super::listen::Peer;
use super::origin;
use super::problem::Problem;
use crate::app::App;
use crate::ledger::{Delivery, LedgerError, Recorded};
use crate::metrics::{DELIVERIES, SECRET_MATCHES};
use crate::provider::{Document, KIND_IN_PATH, Kept, Request};

/// How long a provider waits for the ledger: Paysight allows 2 s in all, Recurly 5 s.
const RECORD_MS: u64 = 1_500;

/// When a provider that was turned away may come again, in seconds.
const RETRY_AFTER_S: u32 = 5;

/// What the public listener works with.
#[derive(Clone)]
pub struct Intake {
    app: App,
    room: Room,
    stopping: tokio_util::sync::CancellationToken,
}

/// Where a delivery came to.
#[derive(serde::Deserialize)]
struct Place {
    source: String,
    /// A secret in the path, for providers that sign nothing.
    token: Option<String>,
    /// The kind of event, where a provider has a URL for each.
    rest: Option<String>,
}

/// The public listener's routes. Only the matched route is ever logged, because
/// a path may hold a token.
pub fn router(app: App, stopping: tokio_util::sync::CancellationToken) -> Router {
    let intake = Arc::new(Intake {
        app,
        room: Room::default(),
        stopping,
    });
    let routes = Router::new()
        .route("/webhooks/{source}", post(take))
        .route("/webhooks/{source}/{rest}", post(take))
        .route("/webhooks/{source}/t/{token}", post(take))
        .route("/webhooks/{source}/t/{token}/{rest}", post(take))
        .route("/healthz", get(|| async { Json(json!({"status": "ok"})) }))
        .route("/readyz", get(ready));
    closed(routes).with_state(intake)
}

/// Ready while intake is open and the ledger can be written.
async fn ready(State(intake): State<Arc<Intake>>) -> Response {
    if intake.stopping.is_cancelled() {
        return Problem::unavailable("shutting down", RETRY_AFTER_S).into_response();
    }
    match intake.app.ledger.health() {
        Ok(()) => Json(json!({"status": "ready"})).into_response(),
        Err(why) => Problem::unavailable(why, RETRY_AFTER_S).into_response(),
    }
}

async fn take(
    State(intake): State<Arc<Intake>>,
    Path(place): Path<Place>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    uri: Uri,
    body: Body,
) -> Response {
    let peer = peer.map(|Extension(Peer(address))| address.ip());
    match deliver(&intake, &place, (peer, &headers), uri.query(), body).await {
        Ok(recorded) => {
            count(&place.source, recorded.status.word());
            if recorded.woke {
                intake.app.wake(&place.source);
            }
            (StatusCode::OK, Json(recorded)).into_response()
        }
        Err(problem) => problem.into_response(),
    }
}

async fn deliver(
    intake: &Intake,
    place: &Place,
    (peer, headers): (Option<IpAddr>, &HeaderMap),
    query: Option<&str>,
    body: Body,
) -> Result<Recorded, Problem> {
    let (app, name) = (&intake.app, place.source.as_str());
    let source = app
        .sources
        .get(name)
        .filter(|source| !source.retired)
        .filter(|source| place.rest.is_none() || KIND_IN_PATH.contains(&source.provider.name()))
        .ok_or_else(|| Problem::not_found("there is no such source"))?;
    let body = read_body(body, WEBHOOK_MAX_BYTES, &intake.room).await?;
    let request = Request {
        headers,
        body: body.bytes(),
        path_token: place.token.as_deref(),
        path_rest: place.rest.as_deref(),
        query,
    };
    let allowed = app
        .config
        .sources
        .get(name)
        .map(|it| it.allow_from.as_slice());
    let trusted = &app.config.http.trusted_proxies;
    if !origin::is_allowed(peer, headers, trusted, allowed.unwrap_or_default()) {
        count(name, "refused");
        source.refused.count(app.clock.now());
        tracing::warn!(
            source = name,
            "a delivery came from an address that is not in allow_from"
        );
        return Err(Problem::unverified());
    }
    let secrets = app.config.secrets();
    let now = app.clock.now();
    let configured = secrets.source(name);
    let published = source.keys.as_ref().map(|keys| keys.behind(configured));
    let held = published.as_deref().unwrap_or(configured);
    let genuine = source.provider.verify(&request, held, now).map_err(|why| {
        if let Some(keys) = &source.keys {
            keys.refused(why);
        }
        count(name, "refused");
        source.refused.count(now);
        tracing::warn!(source = name, why = %why, "a delivery was refused");
        Problem::unverified()
    })?;
    let secret = (genuine.secret + 1).to_string();
    counter!(SECRET_MATCHES, "source" => name.to_owned(), "secret" => secret).increment(1);
    let kept = Kept::of(&request);
    let body = body.trust();
    let reading = source.provider.parse(&Document {
        body: &body,
        kept: &kept,
    });
    if let Ok(reading) = &reading
        && let Some(why) = &reading.partly
    {
        tracing::info!(source = name, why, "parts of a delivery are left out");
    }
    let delivery = Delivery {
        source: name.to_owned(),
        reading: reading.map_err(|unreadable| unreadable.to_string()),
        body,
        received_at: now,
        secret: genuine.secret,
        kept,
    };
    record(app, name, delivery).await
}

/// 200 only after the commit; a ledger that takes too long is a 503, and the
/// provider's next try finds a duplicate if it was committed all the same.
async fn record(app: &App, name: &str, delivery: Delivery) -> Result<Recorded, Problem> {
    let limit = Duration::from_millis(RECORD_MS);
    let turned_away = |why: &str| {
        count(name, "unavailable");
        tracing::error!(source = name, why, "a delivery was turned away");
        Problem::unavailable("the ledger cannot take it now", RETRY_AFTER_S)
    };
    match tokio::time::timeout(limit, app.ledger.record(delivery)).await {
        Err(_) => Err(turned_away("the ledger took too long")),
        Ok(Ok(recorded)) => {
            tracing::debug!(
                source = name,
                delivery = plain_id(&recorded.delivery),
                status = recorded.status.word(),
                "a delivery was taken"
            );
            Ok(recorded)
        }
        Ok(Err(LedgerError::NotFound(_))) => Err(Problem::not_found("there is no such source")),
        Ok(Err(error)) => Err(turned_away(&error.to_string())),
    }
}

/// A provider's id is logged only where it looks like one: whoever can sign can
/// write anything there.
fn plain_id(id: &str) -> &str {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-~:".contains(c);
    match id.chars().all(plain) {
        true => id,
        false => "(not a plain id)",
    }
}

fn count(source: &str, outcome: &'static str) {
    counter!(DELIVERIES, "source" => source.to_owned(), "outcome" => outcome).increment(1);
}
