//! The two envelopes an answer is put in, v2 and v1, and the refusal every verb
//! here returns. It decides no status: whoever refuses does.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};

/// Which of the two APIs a path belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Api {
    V1,
    V2,
}

/// A call that is not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub status: StatusCode,
    pub message: String,
}

/// A call that was carried out, or found what it asked for.
pub(super) struct Done {
    pub object: Value,
    pub message: &'static str,
    /// Whether the call changed what the sandbox holds.
    pub committed: bool,
}

/// Marks a response whose call changed something; the gate notes it in the log.
#[derive(Clone, Copy)]
pub(super) struct Committed;

impl Refusal {
    /// 400.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 404.
    pub(super) fn unknown(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }
}

impl Done {
    pub(super) fn found(object: Value, message: &'static str) -> Self {
        Self {
            object,
            message,
            committed: false,
        }
    }

    pub(super) fn changed(object: Value, message: &'static str) -> Self {
        Self {
            object,
            message,
            committed: true,
        }
    }
}

impl Api {
    pub(super) fn of(path: &str) -> Self {
        if path.starts_with("/v1/") {
            Self::V1
        } else {
            Self::V2
        }
    }

    pub(super) fn answer(self, outcome: Result<Done, Refusal>) -> Response {
        match outcome {
            Ok(done) => self.done(done),
            Err(refusal) => self.refuse(&refusal),
        }
    }

    fn done(self, done: Done) -> Response {
        let status = StatusCode::OK.as_u16();
        let body = match self {
            Self::V1 => json!({"status": status, "message": done.message, "rdata": done.object}),
            Self::V2 => json!({"data": done.object, "message": done.message, "status": status}),
        };
        let mut response = Json(body).into_response();
        if done.committed {
            response.extensions_mut().insert(Committed);
        }
        response
    }

    pub(super) fn refuse(self, refusal: &Refusal) -> Response {
        let Refusal { status, message } = refusal;
        let body = match self {
            Self::V1 => {
                json!({"status": status.as_u16(), "error": message, "message": message})
            }
            Self::V2 => json!({"message": message, "status": status.as_u16()}),
        };
        (*status, Json(body)).into_response()
    }
}
