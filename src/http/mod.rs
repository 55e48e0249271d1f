//! The shell both listeners stand in: connections, limits, who may call, and
//! the form of errors.
//!
//! It knows no route and no ledger; the routers are handed to it.

pub mod access;
pub mod api;
mod etag;
mod imports;
pub mod limits;
mod links;
pub mod listen;
mod openapi;
pub mod origin;
mod pages;
mod payments;
mod problem;
mod report;
#[cfg(test)]
mod tests;
pub mod webhooks;

use axum::Router;

use problem::Problem;

/// Gives a router the answers for what it does not know: an unknown path is
/// 404, a known one with another method 405 with `Allow`, both as problems.
/// Call it after all routes are in.
pub fn closed<S>(router: Router<S>) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    router
        .fallback(|| async { Problem::not_found("there is nothing at this path") })
        // The router itself adds `Allow`.
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
}
