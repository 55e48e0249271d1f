//! The least that answers a webhook: axum reads the body and says 200. What a service
//! that verifies and records is measured against: `cargo bench --bench bare -- PORT`.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use bytes::Bytes;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let port = std::env::args()
        .skip(1)
        .find_map(|it| it.parse::<u16>().ok());
    // Without a port there is nothing to serve.
    let Some(port) = port else { return Ok(()) };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    eprintln!("listening on {}", listener.local_addr()?);
    let take = |body: Bytes| async move {
        match body.is_empty() {
            true => StatusCode::BAD_REQUEST,
            false => StatusCode::OK,
        }
    };
    let routes = Router::new().route("/webhooks/{source}", post(take));
    axum::serve(listener, routes).await
}
