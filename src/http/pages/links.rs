//! Links by hand, for those who keep them and read no money.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;

use super::form::Sent;
use super::session::Session;
use super::{Frame, Refused, Told, page};
use crate::http::api::Admin;
use crate::http::problem::Problem;
use crate::ledger::NewLink;
use crate::ops;

#[derive(Template)]
#[template(path = "links.html")]
struct LinksPage {
    frame: Frame,
    sources: Vec<String>,
    source: String,
    kind: String,
    external_id: String,
    customer_key: String,
}

fn form(admin: &Admin, session: &Session) -> LinksPage {
    LinksPage {
        frame: Frame::new(session, "links", "Links"),
        sources: admin.app.sources.keys().cloned().collect(),
        source: String::new(),
        kind: String::new(),
        external_id: String::new(),
        customer_key: String::new(),
    }
}

pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Extension(session): Extension<Session>,
) -> Result<Response, Refused> {
    page(&form(&admin, &session))
}

pub(super) async fn add(State(admin): State<Arc<Admin>>, sent: Sent) -> Result<Response, Refused> {
    let Sent { session, fields } = sent;
    let text = |name: &str| fields.one(name).unwrap_or_default().to_owned();
    let mut shown = LinksPage {
        source: text("source"),
        kind: text("kind"),
        external_id: text("external_id"),
        customer_key: text("customer_key"),
        ..form(&admin, &session)
    };
    let complete = [
        &shown.source,
        &shown.kind,
        &shown.external_id,
        &shown.customer_key,
    ]
    .iter()
    .all(|text| !text.is_empty());
    let id = (shown.kind.clone(), shown.external_id.clone());
    let link = NewLink::new(shown.source.clone(), id, shown.customer_key.clone());
    let word = admin.word(&session.caller, "");
    let result = match complete {
        true => ops::link(&admin.app.ledger, link, word)
            .await
            .map_err(Problem::from),
        false => Err(Problem::unprocessable("every field is needed")),
    };
    let status = result
        .as_ref()
        .map_or_else(Problem::status, |_| http::StatusCode::OK);
    shown.frame.told = Some(match result {
        Ok((view, changed, payments)) => {
            admin.app.wake(&view.source);
            shown.external_id.clear();
            shown.customer_key.clear();
            let looked = super::words::counted(
                i64::try_from(payments).unwrap_or(i64::MAX),
                "payment was looked at again",
                "payments were looked at again",
            );
            let what = if changed {
                "Saved"
            } else {
                "It was so already"
            };
            Told {
                well: true,
                text: format!("{what}: {} {}; {looked}.", view.kind, view.external_id),
            }
        }
        Err(problem) => Told {
            well: false,
            text: format!("Not saved: {}", problem.detail()),
        },
    });
    let mut response = page(&shown)?;
    *response.status_mut() = status;
    Ok(response)
}
