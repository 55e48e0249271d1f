//! Errors as RFC 9457 has them: `application/problem+json` with a stable type.
//!
//! A detail is written for the caller; it holds no secret, no body and nothing
//! that tells an outsider which check failed.

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

/// An answer that says no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    kind: Kind,
    detail: String,
    retry_after_s: Option<u32>,
}

/// The kinds there are; each has one status, one type and one title for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    BadRequest,
    Unauthorized,
    Unverified,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    Conflict,
    TooLarge,
    Misdirected,
    Unprocessable,
    TooMany,
    Unavailable,
}

/// All kinds.
const KINDS: [Kind; 13] = [
    Kind::BadRequest,
    Kind::Unauthorized,
    Kind::Unverified,
    Kind::Forbidden,
    Kind::NotFound,
    Kind::MethodNotAllowed,
    Kind::RequestTimeout,
    Kind::Conflict,
    Kind::TooLarge,
    Kind::Misdirected,
    Kind::Unprocessable,
    Kind::TooMany,
    Kind::Unavailable,
];

/// The types that problems have, each once. None of them changes its meaning.
pub fn types() -> impl Iterator<Item = String> {
    let mut slugs = KINDS.map(|kind| kind.facts().1).to_vec();
    slugs.dedup();
    slugs.into_iter().map(type_of)
}

fn type_of(slug: &str) -> String {
    format!("urn:tributary:problem:{slug}")
}

impl Kind {
    fn facts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Kind::BadRequest => (StatusCode::BAD_REQUEST, "bad-request", "Bad request"),
            Kind::Unauthorized | Kind::Unverified => (
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "Not authenticated",
            ),
            Kind::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "Not allowed"),
            Kind::NotFound => (StatusCode::NOT_FOUND, "not-found", "Not found"),
            Kind::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "Method not allowed",
            ),
            Kind::RequestTimeout => (
                StatusCode::REQUEST_TIMEOUT,
                "request-timeout",
                "Request took too long",
            ),
            Kind::Conflict => (StatusCode::CONFLICT, "conflict", "Conflict"),
            Kind::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "Body too large"),
            Kind::Misdirected => (
                StatusCode::MISDIRECTED_REQUEST,
                "misdirected",
                "Wrong host name",
            ),
            Kind::Unprocessable => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "unprocessable",
                "Not possible as asked",
            ),
            Kind::TooMany => (
                StatusCode::TOO_MANY_REQUESTS,
                "too-many-requests",
                "Too many requests",
            ),
            Kind::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "Temporarily unavailable",
            ),
        }
    }
}

impl Problem {
    fn of(kind: Kind, detail: impl Into<String>) -> Problem {
        Problem {
            kind,
            detail: detail.into(),
            retry_after_s: None,
        }
    }

    /// 400: the request cannot be read.
    pub fn bad_request(detail: impl Into<String>) -> Problem {
        Problem::of(Kind::BadRequest, detail)
    }

    /// 401 with `WWW-Authenticate: Bearer`. The detail must not tell what was
    /// wrong with the credentials.
    pub fn unauthorized(detail: impl Into<String>) -> Problem {
        Problem::of(Kind::Unauthorized, detail)
    }

    /// 401 for a delivery that proved nothing: the same problem without a
    /// challenge, because a provider has no token to send.
    pub fn unverified() -> Problem {
        Problem::of(Kind::Unverified, "the delivery could not be verified")
    }

    /// 403: known, and not allowed.
    pub fn forbidden(detail: impl Into<String>) -> Problem {
        Problem::of(Kind::Forbidden, detail)
    }

    /// 404.
    pub fn not_found(detail: impl Into<String>) -> Problem {
        Problem::of(Kind::NotFound, detail)
    }

    /// 405; the router adds `Allow`.
    #[must_use]
    pub fn method_not_allowed() -> Problem {
        Problem::of(
            Kind::MethodNotAllowed,
            "this path does not take this method",
        )
    }

    /// 408: the body did not arrive in time.
    pub fn request_timeout(detail: impl Into<String>) -> Problem {
        Problem::of(Kind::RequestTimeout, detail)
    }

    /// 409: at odds with what is already known.
    pub fn conflict(detail: impl Into<String>) -> Problem {
        Problem::of(Kind::Conflict, detail)
    }

    /// 413 for a body over `limit_bytes`.
    #[must_use]
    pub fn too_large(limit_bytes: usize) -> Problem {
        Problem::of(
            Kind::TooLarge,
            format!("the body is larger than {limit_bytes} bytes"),
        )
    }

    /// 421: the `Host` header names another machine.
    pub fn misdirected(detail: impl Into<String>) -> Problem {
        Problem::of(Kind::Misdirected, detail)
    }

    /// 422: readable, and not possible.
    pub fn unprocessable(detail: impl Into<String>) -> Problem {
        Problem::of(Kind::Unprocessable, detail)
    }

    /// 429 with `Retry-After`, in seconds.
    pub fn too_many(detail: impl Into<String>, retry_after_s: u32) -> Problem {
        Problem {
            retry_after_s: Some(retry_after_s),
            ..Problem::of(Kind::TooMany, detail)
        }
    }

    /// 503 with `Retry-After`, in seconds.
    pub fn unavailable(detail: impl Into<String>, retry_after_s: u32) -> Problem {
        Problem {
            retry_after_s: Some(retry_after_s),
            ..Problem::of(Kind::Unavailable, detail)
        }
    }

    /// What kind it is, for a person.
    pub(super) fn title(&self) -> &'static str {
        self.kind.facts().2
    }

    /// What was wrong, for a person.
    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    /// The status it answers with.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.kind.facts().0
    }
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, slug, title) = self.kind.facts();
        let body = Body {
            r#type: type_of(slug),
            title,
            status: status.as_u16(),
            detail: &self.detail,
        };
        let mut response = (status, axum::Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(seconds) = self.retry_after_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.kind == Kind::Unauthorized {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<Problem> for Response {
    fn from(problem: Problem) -> Response {
        problem.into_response()
    }
}
