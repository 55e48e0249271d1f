//! Answers that are not sent again where the caller has them already: RFC 9110's
//! entity tags, by the digest of the body.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// Ask again each time, and keep it to yourself: who may see what is decided by the
/// token.
const PRIVATE: &str = "private, no-cache";

/// The tag of these bytes. A weak one says that they mean the same and may differ in
/// what changes by the clock alone.
#[must_use]
pub(super) fn tag_of(bytes: &[u8], weak: bool) -> String {
    let digest = hex::encode(&Sha256::digest(bytes)[..16]);
    let begins = if weak { "W/" } else { "" };
    format!("{begins}\"{digest}\"")
}

/// The answer, or 304 where the caller has it.
pub(super) fn answer<T: Serialize>(headers: &HeaderMap, value: &T) -> Response {
    let Ok(body) = serde_json::to_vec(value) else {
        return Json(value).into_response();
    };
    let tag = tag_of(&body, false);
    tagged(headers, &tag, body.into())
}

/// The JSON in `body` under this tag, or 304 where the caller has it.
pub(super) fn tagged(headers: &HeaderMap, tag: &str, body: Bytes) -> Response {
    let mut response = match known(headers, tag) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => {
            let json = HeaderValue::from_static("application/json");
            ([(CONTENT_TYPE, json)], Body::from(body)).into_response()
        }
    };
    let more = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(tag) {
        more.insert(ETAG, tag);
    }
    more.insert(CACHE_CONTROL, HeaderValue::from_static(PRIVATE));
    more.insert(VARY, HeaderValue::from_static("Authorization, Cookie"));
    response
}

/// Whether `If-None-Match` names the tag; for that, weak and strong are the same.
fn known(headers: &HeaderMap, tag: &str) -> bool {
    let strong = tag.trim_start_matches("W/");
    let named = headers.get_all(IF_NONE_MATCH).iter();
    named.filter_map(|value| value.to_str().ok()).any(|value| {
        let mut tags = value.split(',').map(str::trim);
        tags.any(|it| it == "*" || it.trim_start_matches("W/") == strong)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(asked: &str) -> StatusCode {
        let mut headers = HeaderMap::new();
        if !asked.is_empty() {
            headers.insert(IF_NONE_MATCH, asked.parse().unwrap());
        }
        tagged(&headers, &tag_of(b"{}", false), "{}".into()).status()
    }

    #[test]
    fn what_is_known_is_not_sent_again() {
        let tag = tag_of(b"{}", false);
        for asked in [
            tag.clone(),
            format!("W/{tag}"),
            format!("\"x\", {tag}"),
            "*".to_owned(),
        ] {
            assert_eq!(status(&asked), StatusCode::NOT_MODIFIED, "{asked}");
        }
        for asked in [String::new(), tag_of(b"{ }", false), tag.replace('"', "")] {
            assert_eq!(status(&asked), StatusCode::OK, "{asked}");
        }
    }
}
