//! The accept loop. The sandbox has its own, because only the owner of a
//! connection can cut it without an answer.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tower::ServiceExt;

use super::Sandbox;
use super::gate::Cut;

/// How long calls under way may finish after shutdown was asked for. Short: a
/// call that a fault hangs for an hour must not hold the program up.
const GRACE: Duration = Duration::from_secs(1);
/// Pause after a failed accept, so that running out of descriptors does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `shutdown` resolves, then lets calls under way finish for a
/// moment. Connections are HTTP/1.1, kept alive.
pub async fn serve<F>(listener: TcpListener, sandbox: Sandbox, shutdown: F)
where
    F: Future,
{
    let router = sandbox.router();
    let graceful = GracefulShutdown::new();
    let mut shutdown = pin!(shutdown);
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let accepted = tokio::select! {
            _ = &mut shutdown => break,
            accepted = listener.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        // Small answers go out at once; a failure only costs speed.
        let _ = stream.set_nodelay(true);
        let router = router.clone();
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(
                TokioIo::new(stream),
                service_fn(move |request| answer(router.clone(), request)),
            );
        connections.spawn(graceful.watch(connection));
    }
    // What has not finished by then is dropped with the set.
    let _ = tokio::time::timeout(GRACE, graceful.shutdown()).await;
}

/// Answers one call; an error makes hyper close the connection with nothing sent.
/// The failing body of a cut response does the same today, but only because hyper
/// happens to ask for the body before it sends the head.
async fn answer(router: Router, request: http::Request<Incoming>) -> io::Result<Response> {
    let Ok(response) = router.oneshot(request.map(Body::new)).await;
    match response.extensions().get::<Cut>() {
        Some(Cut) => Err(io::ErrorKind::ConnectionReset.into()),
        None => Ok(response),
    }
}
