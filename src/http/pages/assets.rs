//! The look of the page and its script, in the binary. Their addresses carry a
//! digest, so that a browser keeps them for good and still sees a new version.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use sha2::{Digest, Sha256};

use super::super::problem::Problem;

/// One file.
struct Asset {
    name: &'static str,
    kind: &'static str,
    text: &'static str,
}

const ASSETS: [Asset; 3] = [
    Asset {
        name: "style.css",
        kind: "text/css; charset=utf-8",
        text: include_str!("assets/style.css"),
    },
    Asset {
        name: "page.js",
        kind: "text/javascript; charset=utf-8",
        text: include_str!("assets/page.js"),
    },
    Asset {
        name: "icon.svg",
        kind: "image/svg+xml",
        text: include_str!("assets/icon.svg"),
    },
];

/// Bytes of the digest in an address: enough to tell versions apart.
const DIGEST_BYTES: usize = 8;

/// One digest over all files: they change together.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut digest = Sha256::new();
    for asset in &ASSETS {
        digest.update(asset.text.as_bytes());
    }
    let digest = digest.finalize();
    digest
        .iter()
        .take(DIGEST_BYTES)
        .map(|byte| format!("{byte:02x}"))
        .collect()
});

/// Where a file is.
pub(super) fn place(name: &str) -> String {
    format!("/assets/{}/{name}", *VERSION)
}

/// A file. Nobody has to be signed in: the page to sign in needs them.
pub(super) async fn show(Path((version, name)): Path<(String, String)>) -> Response {
    let found = ASSETS.iter().find(|asset| asset.name == name);
    let Some(asset) = found.filter(|_| version == *VERSION) else {
        return Problem::not_found("there is nothing at this path").into_response();
    };
    let head = [
        (CONTENT_TYPE, asset.kind),
        (CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    (head, asset.text).into_response()
}
