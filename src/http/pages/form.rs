//! What a form sends: its fields, once it is certain that a page of the sender's
//! own session sent it.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use http::request::Parts;

use super::session::{Session, is_foreign};
use super::{Refused, Shell};
use crate::http::problem::Problem;

/// The longest form, in bytes: a page of checkboxes, each with an id.
const FORM_MOST_BYTES: usize = 256 * 1024;

/// The field that every form has.
pub(super) const TOKEN_FIELD: &str = "form_token";

/// The fields of a form, in the order sent.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads an urlencoded text.
    pub(super) fn read(bytes: &[u8]) -> Fields {
        Fields(form_urlencoded::parse(bytes).into_owned().collect())
    }

    /// A field's text without the space around it; `None` where it is empty.
    pub(super) fn one(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// The texts of all fields of a name.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.0.iter().filter(move |(key, _)| key == name);
        named
            .map(|(_, text)| text.trim())
            .filter(|text| !text.is_empty())
    }

    /// All fields that say something, by name and text.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self
            .0
            .iter()
            .map(|(name, text)| (name.as_str(), text.trim()));
        pairs.filter(|(_, text)| !text.is_empty())
    }

    /// Whether a box is ticked or a button was pressed.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }
}

/// The words of an address, read like a form.
impl<S: Send + Sync> FromRequestParts<S> for Fields {
    type Rejection = Infallible;

    async fn from_request_parts(head: &mut Parts, _: &S) -> Result<Fields, Infallible> {
        Ok(Fields::read(
            head.uri.query().unwrap_or_default().as_bytes(),
        ))
    }
}

/// A form that a page of this session sent.
pub(super) struct Sent {
    pub(super) session: Session,
    pub(super) fields: Fields,
}

/// Why a form is not taken.
pub(super) fn stale() -> Problem {
    Problem::forbidden("the form is not of this session; open the page again and repeat it")
}

/// Refuses a form that comes from elsewhere.
pub(super) fn check(
    shell: &Shell,
    session: &Session,
    headers: &http::HeaderMap,
    form_token: &str,
) -> Result<(), Problem> {
    let ours = !is_foreign(headers) && shell.sessions.sent(&shell.access, session, form_token);
    if ours { Ok(()) } else { Err(stale()) }
}

impl<S: Send + Sync> FromRequest<S> for Sent {
    type Rejection = Response;

    async fn from_request(request: Request, _: &S) -> Result<Sent, Response> {
        let refuse = |problem: Problem| Refused(problem).into_response();
        let (head, body) = request.into_parts();
        let session = head.extensions.get::<Session>().cloned();
        let shell = head.extensions.get::<Arc<Shell>>().cloned();
        let (Some(session), Some(shell)) = (session, shell) else {
            return Err(refuse(stale()));
        };
        let bytes = axum::body::to_bytes(body, FORM_MOST_BYTES).await;
        let bytes = bytes.map_err(|_| refuse(Problem::too_large(FORM_MOST_BYTES)))?;
        let fields = Fields::read(&bytes);
        let token = fields.one(TOKEN_FIELD).unwrap_or_default();
        check(&shell, &session, &head.headers, token).map_err(refuse)?;
        Ok(Sent { session, fields })
    }
}
