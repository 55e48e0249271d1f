//! Signing in with a token of the configuration, and out again.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;
use http::header::SET_COOKIE;
use secrecy::SecretString;

use super::form::{Fields, Sent};
use super::session::is_foreign;
use super::{Refused, Shell, page, words};
use crate::config::Role;
use crate::http::api::Admin;
use crate::http::problem::Problem;

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    next: String,
    why: Option<String>,
    no_tokens: bool,
}

/// Where somebody goes who is not signed in; `reads` is false where a form was
/// sent, of which nothing was done.
pub(super) fn send_there(next: Option<&str>, reads: bool) -> Redirect {
    let place = match (next, reads) {
        (_, false) => "/sign-in?ended=1".to_owned(),
        (None | Some("/"), true) => "/sign-in".to_owned(),
        (Some(next), true) => format!("/sign-in?next={}", words::part(next)),
    };
    Redirect::to(&place)
}

/// A place on this page, or the first one: never another host.
fn ours(next: Option<&str>) -> String {
    let next = next.unwrap_or("/");
    let plain = next.starts_with('/')
        && !next.starts_with("//")
        && next
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if plain {
        next.to_owned()
    } else {
        "/".to_owned()
    }
}

fn show_with(
    admin: &Admin,
    next: Option<&str>,
    why: Option<String>,
    status: StatusCode,
) -> Result<Response, Refused> {
    let shown = SignInPage {
        next: ours(next),
        why,
        no_tokens: admin.app.config.http.tokens.is_empty(),
    };
    let mut response = page(&shown)?;
    *response.status_mut() = status;
    Ok(response)
}

/// The form.
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    query: Fields,
) -> Result<Response, Refused> {
    let why = query
        .has("ended")
        .then(|| "The session was over, and nothing was done. Sign in and do it again.".to_owned());
    show_with(&admin, query.one("next"), why, StatusCode::OK)
}

/// Takes a token and begins a session.
pub(super) async fn begin(
    State(admin): State<Arc<Admin>>,
    Extension(shell): Extension<Arc<Shell>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refused> {
    if is_foreign(&headers) {
        return Err(Refused(Problem::forbidden(
            "this form was sent by another site",
        )));
    }
    let fields = Fields::read(&body);
    let token = SecretString::from(fields.one("token").unwrap_or_default());
    let next = ours(fields.one("next"));
    let Some(caller) = shell.access.find(&token) else {
        let problem = shell.access.refuse();
        let why = match problem.status() {
            StatusCode::UNAUTHORIZED => "That token is not known here.".to_owned(),
            _ => "Too many wrong tokens; wait a minute.".to_owned(),
        };
        return show_with(&admin, Some(&next), Some(why), problem.status());
    };
    let now = admin.app.clock.now();
    let Some(cookie) = shell.sessions.begin(&shell.access, &caller, now) else {
        return Err(Refused(Problem::unavailable(
            "the token was changed just now",
            1,
        )));
    };
    tracing::info!(who = %caller.name, "signed in to the page");
    let place = match caller.role {
        Role::Linker => "/links",
        Role::Operator | Role::Viewer => next.as_str(),
    };
    Ok(([(SET_COOKIE, cookie)], Redirect::to(place)).into_response())
}

/// Ends the session.
pub(super) async fn end(
    State(admin): State<Arc<Admin>>,
    Extension(shell): Extension<Arc<Shell>>,
    sent: Sent,
) -> Response {
    let cookie = shell.sessions.end(&sent.session, admin.app.clock.now());
    ([(SET_COOKIE, cookie)], Redirect::to("/sign-in")).into_response()
}
