//! The accept loop: connections with time limits and a cap, and an end in
//! which running requests are finished.
//!
//! The framework's own loop sets no timer, so that half a request head holds a
//! connection for ever; hence this one. HTTP/1.1 only, and no TLS: a proxy in
//! front does that.

use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use http::header::EXPECT;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// How long a request head may take, in seconds; an idle connection is closed
/// after it too.
const HEADER_TIMEOUT_S: u64 = 10;
/// How long a whole body may take, in seconds: 2 MiB over a slow line.
const BODY_TIMEOUT_S: u64 = 30;
/// How many connections are open at a time; more wait to be accepted. Each
/// costs a file descriptor and some ten KiB.
const CONNECTIONS_MAX: usize = 4_096;
/// How long running requests may take once the end is asked for, in seconds:
/// under the 30 that process supervisors grant.
const DRAIN_S: u64 = 20;
/// How much of a body nobody wants is read and thrown away, in bytes: enough
/// for an honest peer to hear the answer.
const DISCARD_MAX_BYTES: usize = 16 * 1024 * 1024;
/// How long to wait when the machine is out of descriptors, in milliseconds:
/// trying again at once would only burn the processor.
const ACCEPT_PAUSE_MS: u64 = 100;

/// The limits of a listener; [`Limits::default`] is what runs, tests shorten it.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For a request head.
    pub header: Duration,
    /// For a whole body, from the end of its head.
    pub body: Duration,
    /// Connections at a time.
    pub connections: usize,
    /// For running requests once the end is asked for.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            header: Duration::from_secs(HEADER_TIMEOUT_S),
            body: Duration::from_secs(BODY_TIMEOUT_S),
            connections: CONNECTIONS_MAX,
            drain: Duration::from_secs(DRAIN_S),
        }
    }
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {cause}")]
pub struct BindError {
    address: SocketAddr,
    cause: std::io::Error,
}

/// The other end of the connection a request came on, in its extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// Opens an address.
///
/// # Errors
/// One line that names it.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address)
        .await
        .map_err(|cause| BindError { address, cause })
}

/// Serves until `shutdown` and until running requests are answered or their
/// time is over. Dropping it closes every connection at once.
pub async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) {
    serve_within(Limits::default(), listener, router, shutdown).await;
}

/// [`serve`] with other limits.
pub async fn serve_within(
    limits: Limits,
    listener: TcpListener,
    router: Router,
    shutdown: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    // Dropping the set ends the connections in it.
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(ended) = connections.join_next(), if !connections.is_empty() => {
                tell_panic(ended);
                continue;
            }
            accepted = accept(&listener, &slots) => accepted,
        };
        let Some((stream, peer, slot)) = accepted else {
            continue;
        };
        let connection = graceful.watch(connect(limits, stream, peer, router.clone()));
        connections.spawn(async move {
            // A peer that breaks off is no news; requests tell their own story.
            let _ = connection.await;
            drop(slot);
        });
    }
    drop(listener);
    let drained = tokio::time::timeout(limits.drain, graceful.shutdown()).await;
    if drained.is_err() {
        tracing::warn!(
            open = connections.len(),
            "requests still running were cut off"
        );
    }
    connections.shutdown().await;
}

/// The next connection, once there is a slot for it.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => {
            // Answers are one small write; waiting for more to send only delays.
            let _ = stream.set_nodelay(true);
            Some((stream, peer, slot))
        }
        Err(error) if concerns_one_peer(&error) => None,
        Err(error) => {
            tracing::error!(%error, "cannot accept connections");
            tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
            None
        }
    }
}

fn concerns_one_peer(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

fn tell_panic(ended: Result<(), tokio::task::JoinError>) {
    if ended.is_err_and(|error| error.is_panic()) {
        tracing::error!("a request panicked; its connection was closed");
    }
}

fn connect(
    limits: Limits,
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
) -> impl hyper_util::server::graceful::GracefulConnection<
    Error = hyper::Error,
    Output = Result<(), hyper::Error>,
> + Send
+ 'static {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header);
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = limited(request, limits.body);
        request.extensions_mut().insert(Peer(peer));
        router.clone().oneshot(request)
    });
    builder.serve_connection(TokioIo::new(stream), service)
}

/// Why reading a body failed when it took too long.
#[derive(Debug)]
pub struct BodyTooSlow;

impl fmt::Display for BodyTooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body did not arrive in time")
    }
}

impl Error for BodyTooSlow {}

/// A body that fails when it is not whole by a deadline; a limit per piece
/// would let a peer send one byte at a time for ever.
struct Limited {
    inner: Option<Incoming>,
    deadline: Pin<Box<Sleep>>,
    /// Whether the peer sends without being asked to.
    unasked: bool,
}

fn limited(request: Request<Incoming>, limit: Duration) -> Request {
    let (parts, inner) = request.into_parts();
    if http_body::Body::is_end_stream(&inner) {
        return Request::from_parts(parts, Body::empty());
    }
    let body = Body::new(Limited {
        inner: Some(inner),
        deadline: Box::pin(tokio::time::sleep(limit)),
        unasked: !parts.headers.contains_key(EXPECT),
    });
    Request::from_parts(parts, body)
}

impl http_body::Body for Limited {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Some(inner) = self.inner.as_mut() else {
            return Poll::Ready(None);
        };
        // What has arrived comes first: a whole body is never too slow.
        match Pin::new(inner).poll_frame(cx) {
            Poll::Ready(frame) => Poll::Ready(frame.map(|f| f.map_err(Into::into))),
            Poll::Pending => self
                .deadline
                .as_mut()
                .poll(cx)
                .map(|()| Some(Err(BodyTooSlow.into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner
            .as_ref()
            .is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner
            .as_ref()
            .map(http_body::Body::size_hint)
            .unwrap_or_default()
    }
}

/// An answer given before the body is read, such as 404 or 413, would be lost:
/// closing a connection with unread bytes resets it, and the peer then sees no
/// answer at all. So the rest is read and thrown away beside the answer.
impl Drop for Limited {
    fn drop(&mut self) {
        let Some(inner) = self.inner.take() else {
            return;
        };
        let due = self.deadline.deadline();
        if !self.unasked || http_body::Body::is_end_stream(&inner) || self.deadline.is_elapsed() {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(tokio::time::timeout_at(due, discard(inner)));
        }
    }
}

async fn discard(mut body: Incoming) {
    let mut left = DISCARD_MAX_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        let size = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(size) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}
