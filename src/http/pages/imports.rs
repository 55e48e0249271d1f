//! Files of old payments: dropped here, tried or recorded, and what came of them.

use std::sync::Arc;

use askama::Template;
use axum::extract::multipart::{Field, Multipart};
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::post;
use axum::{Extension, Router};
use bytes::Bytes;
use serde_json::Value;

use super::form::{self, Fields, TOKEN_FIELD};
use super::session::Session;
use super::{Frame, Refused, Shell, page, words};
use crate::config::Role;
use crate::http::api::Admin;
use crate::http::imports::{Pieces, add_file};
use crate::http::problem::Problem;
use crate::import::queue::SaidOfFile;
use crate::money::Currency;
use crate::ops::imports::{self, ImportView};
use crate::time::SECOND_MS;

/// How soon the page of a file that is still read is looked at again, in seconds.
const AGAIN_S: u32 = 1;

/// The longest field beside the file, in bytes.
const FIELD_MOST_BYTES: usize = 4 * 1024;

/// Lines of what would change; the report has every row.
const CHANGES_MOST: usize = 200;

/// The formats there are, as the command line names them.
const FORMATS: [(&str, &str); 7] = [
    ("auto", "by its header"),
    ("tributary", "Tributary"),
    ("partnerstack", "PartnerStack"),
    ("stripe", "Stripe"),
    ("stripe-old", "Stripe, older columns"),
    ("recurly", "Recurly"),
    ("mapped", "the source\u{2019}s own mapping"),
];

#[derive(Template)]
#[template(path = "imports.html")]
struct ImportsPage {
    frame: Frame,
    sources: Vec<String>,
    formats: &'static [(&'static str, &'static str)],
    zone: String,
    rows: Vec<Row>,
    older: Option<String>,
}

#[derive(Template)]
#[template(path = "import.html")]
struct ImportPage {
    frame: Frame,
    row: Row,
    reason: Option<String>,
    running: bool,
    again_s: u32,
    came: Option<Came>,
}

/// A file in a list.
struct Row {
    id: String,
    source: String,
    state: String,
    kind: &'static str,
    dry_run: bool,
    who: String,
    begun: String,
    begun_text: String,
    took: String,
    rows: String,
    rejected: i64,
}

/// What came of a file.
struct Came {
    format: String,
    counts: Vec<(&'static str, String, bool)>,
    broken: Option<String>,
    due: String,
    any_due: bool,
    destination: String,
    forwarding: String,
    changes: Vec<Change>,
    more_changes: bool,
    rejected_first: Vec<Told>,
    unattributed_first: Vec<Told>,
}

struct Change {
    state: String,
    customer: Option<String>,
    payments: String,
    gross: String,
    reversed: String,
    net: String,
}

struct Told {
    line: String,
    reason: String,
}

fn number(value: &Value, name: &str) -> i64 {
    value[name].as_i64().unwrap_or(0)
}

fn row(view: &ImportView) -> Row {
    let result = view.result.as_ref();
    Row {
        id: view.id.clone(),
        source: view.source.clone(),
        state: view.state.clone(),
        kind: match (view.dry_run, view.no_forward) {
            (true, _) => "dry run",
            (false, true) => "history only",
            (false, false) => "recorded",
        },
        dry_run: view.dry_run,
        who: view.who.clone(),
        begun: view.begun_at.clone(),
        begun_text: words::moment(&view.begun_at),
        took: view
            .seconds
            .map_or(String::new(), |s| words::lasting(s * SECOND_MS)),
        rows: result.map_or(String::new(), |it| words::count(number(it, "rows"))),
        rejected: result.map_or(0, |it| number(it, "rejected")),
    }
}

fn came(result: &Value) -> Came {
    let counts = [
        ("rows read", "rows", false),
        ("imported", "imported", false),
        ("already known", "known", false),
        ("unattributed", "unattributed", false),
        ("ignored", "ignored", false),
        ("rejected", "rejected", true),
    ];
    let counts = counts.map(|(name, field, bad)| {
        let count = number(result, field);
        (name, words::count(count), bad && count > 0)
    });
    let list = |name: &str| result[name].as_array().cloned().unwrap_or_default();
    let told = |name: &str| {
        let lines = list(name).into_iter().map(|told| Told {
            line: words::count(number(&told, "line")),
            reason: told["reason"].as_str().unwrap_or_default().to_owned(),
        });
        lines.collect()
    };
    let changes = list("changes");
    let due = number(result, "due");
    Came {
        format: result["format"].as_str().unwrap_or_default().to_owned(),
        counts: counts.into(),
        broken: result["broken"].as_str().map(str::to_owned),
        due: words::counted(due, "payment", "payments"),
        any_due: due > 0,
        destination: result["destination"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        forwarding: words::lasting(number(result, "forwarding_seconds").saturating_mul(SECOND_MS)),
        more_changes: changes.len() > CHANGES_MOST,
        changes: changes.iter().take(CHANGES_MOST).map(change).collect(),
        rejected_first: told("rejected_first"),
        unattributed_first: told("unattributed_first"),
    }
}

fn change(change: &Value) -> Change {
    let currency: Option<Currency> = change["currency"].as_str().and_then(|it| it.parse().ok());
    let money = |name: &str| words::maybe(currency, change[name].as_i64());
    Change {
        state: change["state"].as_str().unwrap_or_default().to_owned(),
        customer: change["customer_key"].as_str().map(str::to_owned),
        payments: words::count(number(change, "payments")),
        gross: money("gross"),
        reversed: money("reversed"),
        net: money("net"),
    }
}

pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Extension(session): Extension<Session>,
    query: Fields,
) -> Result<Response, Refused> {
    let app = &admin.app;
    let plain = session.caller.role == Role::Operator;
    let list = imports::imports(app, query.one("cursor"), None, plain).await?;
    let sources = app.sources.iter().filter(|(_, source)| !source.retired);
    page(&ImportsPage {
        frame: Frame::new(&session, "imports", "Imports"),
        sources: sources.map(|(name, _)| name.clone()).collect(),
        formats: &FORMATS,
        zone: app.ledger.report_zone().name().to_owned(),
        rows: list.items.iter().map(row).collect(),
        older: list
            .next_cursor
            .map(|cursor| format!("/imports?cursor={}", words::part(&cursor))),
    })
}

pub(super) async fn one(
    State(admin): State<Arc<Admin>>,
    Extension(session): Extension<Session>,
    Path(id): Path<String>,
) -> Result<Response, Refused> {
    let plain = session.caller.role == Role::Operator;
    let view = imports::import(&admin.app, &id, plain).await?;
    let running = matches!(view.state.as_str(), "waiting" | "running");
    page(&ImportPage {
        row: row(&view),
        came: view.result.as_ref().map(came),
        reason: view.reason.clone(),
        running,
        again_s: if running { AGAIN_S } else { 0 },
        frame: Frame::new(&session, "imports", format!("Import {}", view.id)),
    })
}

/// The one route that takes more than a form: a file has a limit of its own.
pub(super) fn takes_files() -> Router<Arc<Admin>> {
    let route = Router::new().route("/imports", post(add));
    route.layer(DefaultBodyLimit::disable())
}

impl Pieces for Field<'_> {
    async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        let piece = self.chunk().await;
        piece.map_err(|_| Problem::bad_request("the file broke off"))
    }
}

async fn add(
    State(admin): State<Arc<Admin>>,
    Extension(shell): Extension<Arc<Shell>>,
    Extension(session): Extension<Session>,
    headers: HeaderMap,
    mut parts: Multipart,
) -> Result<Response, Refused> {
    let mut said = SaidOfFile::default();
    let (mut source, mut checked) = (None, false);
    let broken = |_| Problem::bad_request("the form broke off");
    while let Some(mut part) = parts.next_field().await.map_err(broken)? {
        let name = part.name().unwrap_or_default().to_owned();
        if name == "file" {
            // The token stands before the file in the page's own form.
            if !checked {
                break;
            }
            let Some(source) = source.take() else {
                return Err(Problem::unprocessable("no source was chosen").into());
            };
            let import = add_file(&admin.app, &session.caller, (source, &said), part).await?;
            return Ok(Redirect::to(&format!("/imports/{import}")).into_response());
        }
        let mut bytes = Vec::new();
        while let Some(piece) = part.next().await? {
            bytes.extend_from_slice(&piece);
            if bytes.len() > FIELD_MOST_BYTES {
                return Err(Problem::too_large(FIELD_MOST_BYTES).into());
            }
        }
        let text = String::from_utf8_lossy(&bytes).trim().to_owned();
        let text = Some(text).filter(|text| !text.is_empty());
        match name.as_str() {
            TOKEN_FIELD => {
                form::check(&shell, &session, &headers, &text.unwrap_or_default())?;
                checked = true;
            }
            "source" => source = text,
            "format" => said.format = text,
            "zone" => said.zone = text,
            "dry_run" => said.dry_run = true,
            "no_forward" => said.no_forward = true,
            _ => {}
        }
    }
    match checked {
        true => Err(Problem::unprocessable("no file was chosen").into()),
        false => Err(form::stale().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::row::Format;

    #[test]
    fn a_file_that_broke_off_says_why() {
        let broken = serde_json::json!({"rows": 3, "broken": "the disk failed"});
        assert_eq!(came(&broken).broken.as_deref(), Some("the disk failed"));
        assert_eq!(came(&serde_json::json!({"rows": 3})).broken, None);
    }

    #[test]
    fn every_format_to_choose_is_one() {
        for (word, _) in FORMATS {
            let format: Format = word.parse().unwrap();
            assert_eq!(format.word(), word);
        }
    }
}
