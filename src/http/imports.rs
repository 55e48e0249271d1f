//! Files by the API: taken into a folder beside the ledger, answered with a
//! number, and asked for by it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::Caller;
use super::api::Admin;
use super::limits::broken;
use super::links::PageText;
use super::problem::Problem;
use crate::app::App;
use crate::config::Role;
use crate::import::queue::SaidOfFile;
use crate::import::settings;
use crate::ledger::imports::NewImport;
use crate::ops::imports::{self, ImportList, ImportView};

/// One MiB, in bytes.
const MIB: usize = 1024 * 1024;

/// The routes, each with its role.
pub(super) fn parts() -> [(Role, OpenApiRouter<Arc<Admin>>); 2] {
    let operator = OpenApiRouter::default()
        .routes(routes!(add))
        .routes(routes!(report));
    let viewer = OpenApiRouter::default()
        .routes(routes!(list))
        .routes(routes!(show));
    [(Role::Operator, operator), (Role::Viewer, viewer)]
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ImportQuery {
    source: String,
    format: Option<String>,
    zone: Option<String>,
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    no_forward: bool,
}

/// A file that was taken.
#[derive(Serialize, utoipa::ToSchema)]
struct ImportAnswer {
    /// Its number, as text.
    id: String,
    state: &'static str,
}

/// Takes a file of old payments; it is recorded after this answer.
#[utoipa::path(
    post,
    path = "/api/v1/imports",
    operation_id = "add_import",
    params(ImportQuery),
    request_body(content = String, content_type = "text/csv"),
    responses((status = 202, description = "it was taken; Location says where to ask", body = ImportAnswer), (status = 400, description = "the request cannot be read"), (status = 413, description = "the body is too large"))
)]
async fn add(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    query: Result<Query<ImportQuery>, QueryRejection>,
    body: Body,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|error| Problem::bad_request(error.body_text()))?;
    let said = SaidOfFile {
        format: query.format,
        zone: query.zone,
        dry_run: query.dry_run,
        no_forward: query.no_forward,
    };
    let import = add_file(&admin.app, &caller, (query.source, &said), body).await?;
    let place = format!("/api/v1/imports/{import}");
    let answer = ImportAnswer {
        id: import.to_string(),
        state: "waiting",
    };
    let head = [(header::LOCATION, place)];
    Ok((StatusCode::ACCEPTED, head, Json(answer)).into_response())
}

/// A file on its way here.
pub(super) trait Pieces {
    /// The next piece of it; `None` at its end.
    async fn next(&mut self) -> Result<Option<Bytes>, Problem>;
}

impl Pieces for Body {
    async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        while let Some(frame) = self.frame().await {
            let frame = frame.map_err(|error| broken(&error))?;
            // Trailers say nothing about money.
            if let Ok(piece) = frame.into_data() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }
}

/// Takes a file and puts it at the end of the queue; answers its number.
pub(super) async fn add_file(
    app: &App,
    caller: &Caller,
    (source, said): (String, &SaidOfFile),
    pieces: impl Pieces,
) -> Result<i64, Problem> {
    settings::options(&app.config, &source, &said.said())
        .map_err(|refused| Problem::bad_request(refused.0))?;
    let spool = take(app, pieces).await?;
    let new = NewImport {
        source,
        spool,
        said: serde_json::to_string(said).unwrap_or_default(),
        who: caller.name.to_string(),
    };
    let import = app.ledger.add_import(new).await?;
    app.imports.wake();
    Ok(import)
}

/// Writes a file to the folder as it comes; answers its name there. What breaks
/// off leaves nothing.
async fn take(app: &App, pieces: impl Pieces) -> Result<String, Problem> {
    let cannot = |error: std::io::Error| {
        tracing::error!(%error, "a file for an import cannot be kept");
        Problem::unavailable("the file cannot be kept beside the ledger", 60)
    };
    let (name, path) = app.imports.new_spool().map_err(cannot)?;
    let written = write(app, pieces, &path).await;
    match written {
        Ok(()) => Ok(name),
        Err(error) => {
            let _ = std::fs::remove_file(&path);
            Err(error.unwrap_or_else(cannot))
        }
    }
}

/// Why a body was not written: the sender's fault, or the disk's.
enum NotWritten {
    Sender(Problem),
    Disk(std::io::Error),
}

impl NotWritten {
    fn unwrap_or_else(self, disk: impl FnOnce(std::io::Error) -> Problem) -> Problem {
        match self {
            NotWritten::Sender(problem) => problem,
            NotWritten::Disk(error) => disk(error),
        }
    }
}

impl From<std::io::Error> for NotWritten {
    fn from(error: std::io::Error) -> NotWritten {
        NotWritten::Disk(error)
    }
}

async fn write(
    app: &App,
    mut pieces: impl Pieces,
    path: &std::path::Path,
) -> Result<(), NotWritten> {
    let most = usize::try_from(app.config.http.import_most_mib).unwrap_or(usize::MAX);
    let most = most.saturating_mul(MIB);
    let mut file = tokio::fs::File::create(path).await?;
    let mut size = 0_usize;
    while let Some(piece) = pieces.next().await.map_err(NotWritten::Sender)? {
        size = size.saturating_add(piece.len());
        if size > most {
            return Err(NotWritten::Sender(Problem::too_large(most)));
        }
        file.write_all(&piece).await?;
    }
    file.sync_all().await?;
    Ok(())
}

/// Files that came, the newest first.
#[utoipa::path(
    get,
    path = "/api/v1/imports",
    operation_id = "imports",
    params(PageText),
    responses((status = 200, description = "a page", body = ImportList), (status = 400, description = "the request cannot be read"))
)]
async fn list(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    page: Result<Query<PageText>, QueryRejection>,
) -> Result<Json<ImportList>, Problem> {
    let Query(page) = page.map_err(|error| Problem::bad_request(error.body_text()))?;
    let (cursor, limit) = (page.cursor.as_deref(), page.limit.as_deref());
    let plain = caller.role == Role::Operator;
    let list = imports::imports(&admin.app, cursor, limit, plain).await?;
    Ok(Json(list))
}

/// One file and how far it is.
#[utoipa::path(
    get,
    path = "/api/v1/imports/{id}",
    operation_id = "import",
    params(("id" = String, Path, description = "The file's number")),
    responses((status = 200, description = "the file", body = ImportView), (status = 404, description = "there is no such thing here"))
)]
async fn show(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<ImportView>, Problem> {
    let plain = caller.role == Role::Operator;
    Ok(Json(imports::import(&admin.app, &id, plain).await?))
}

/// The report as CSV, as far as it is written.
#[utoipa::path(
    get,
    path = "/api/v1/imports/{id}/report",
    operation_id = "import_report",
    params(("id" = String, Path, description = "The file's number")),
    responses((status = 200, description = "a row for each row of the file", body = String, content_type = "text/csv"), (status = 404, description = "there is no such thing here"))
)]
pub(super) async fn report(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let arrived = imports::arrived(&admin.app, &id).await?;
    let path = admin.app.imports.report(&arrived);
    let file = tokio::fs::File::open(&path)
        .await
        .map_err(|_| Problem::not_found("there is no report of it yet"))?;
    let pieces = tokio_util::io::ReaderStream::new(file);
    let name = format!("attachment; filename=\"import-{}.csv\"", arrived.import);
    let head = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, name),
    ];
    Ok((head, Body::from_stream(pieces)).into_response())
}
