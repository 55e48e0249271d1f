//! What every API call passes: the log, the faults and authentication, in this
//! order. It also carries faults out. The calls themselves are in `v1` and `v2`.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::Sandbox;
use super::answer::{Api, Committed, Refusal};
use super::books::Mode;
use super::calls::Call;
use super::fault::{Drawn, Kind, RetryAfter};
use super::settings::{KeyPair, TEST_KEY_PREFIX};

/// Bytes of a request body. No documented field needs a tenth of it.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// The longest pause that a thread of its own keeps exactly: there may be hundreds at once,
/// and the program's end waits for them.
const EXACT_MOST_MS: u64 = 100;
/// What a load balancer in trouble shows instead of an API's answer.
const HTML_PAGE: &str = "<!doctype html><title>Please wait</title><h1>Be right back</h1>";

/// Who calls, and how long what they make stays out of lists.
#[derive(Clone, Copy)]
pub(super) struct Caller {
    pub mode: Mode,
    pub lag_ms: i64,
}

/// Marks a response in whose place the connection is to be cut. `serve` does
/// that; under any other server the body fails instead.
#[derive(Clone, Copy)]
pub(super) struct Cut;

/// A body that fails at once.
struct Broken;

impl http_body::Body for Broken {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, std::io::Error>>> {
        Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionReset.into())))
    }
}

/// Lets a call in, or does not, and answers it with or without a fault.
pub(super) async fn pass(State(sandbox): State<Sandbox>, request: Request, next: Next) -> Response {
    let api = Api::of(request.uri().path());
    let (number, drawn) = {
        let mut core = sandbox.core();
        let call = Call {
            at_ms: core.settings.now_ms(),
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            query: request.uri().query().map(str::to_owned),
            status: None,
            committed: false,
            fault: None,
        };
        (core.calls.open(call), core.dice.draw(request.method()))
    };
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, BODY_BYTES_MAX).await;
    let request = body.map(|bytes| Request::from_parts(parts, Body::from(bytes)));
    // On a task of its own, so that a caller who gives up does not take the call
    // back: the dangerous row is the one recorded after the time-out.
    let carried = tokio::spawn(async move {
        let response = match request {
            Ok(request) => carry_out(&sandbox, api, request, drawn, next).await,
            Err(_) => api.refuse(&Refusal::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the body is unreadable or longer than {BODY_BYTES_MAX} bytes"),
            )),
        };
        let cut = response.extensions().get::<Cut>().is_some();
        let status = (!cut).then(|| response.status().as_u16());
        let committed = response.extensions().get::<Committed>().is_some();
        let fault = drawn.end.map(Kind::name);
        sandbox.core().calls.close(number, status, committed, fault);
        response
    });
    match carried.await {
        Ok(response) => response,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn carry_out(
    sandbox: &Sandbox,
    api: Api,
    mut request: Request,
    drawn: Drawn,
    next: Next,
) -> Response {
    pause(drawn.before_ms).await;
    match drawn.end {
        Some(Kind::Unauthorized) => return api.refuse(&wrong_credentials()),
        Some(Kind::TooMany(after)) => return too_many(sandbox, api, after),
        Some(Kind::ErrorBefore) => return api.refuse(&broken_server()),
        Some(Kind::DropBefore) => return cut(),
        Some(Kind::Html) => return Html(HTML_PAGE).into_response(),
        _ => {}
    }
    let mode = match authenticate(&sandbox.core().settings.keys, request.headers()) {
        Ok(mode) => mode,
        Err(refusal) => return api.refuse(&refusal),
    };
    request.extensions_mut().insert(Caller {
        mode,
        lag_ms: i64::try_from(drawn.lag_ms).unwrap_or(i64::MAX),
    });
    let plain = next.run(request).await;
    pause(drawn.after_ms).await;
    let mut response = match drawn.end {
        Some(Kind::ErrorAfter) => api.refuse(&broken_server()),
        Some(Kind::DropAfter) => cut(),
        Some(Kind::HtmlAfter) => Html(HTML_PAGE).into_response(),
        Some(Kind::Empty) => StatusCode::OK.into_response(),
        _ => return plain,
    };
    if plain.extensions().get::<Committed>().is_some() {
        response.extensions_mut().insert(Committed);
    }
    response
}

/// Waits as long as a call is to take. Timers of the runtime go off one to two
/// milliseconds late; who measures a sender by a short time wants that time.
async fn pause(ms: u64) {
    let length = Duration::from_millis(ms);
    if ms > EXACT_MOST_MS {
        tokio::time::sleep(length).await;
    } else if ms > 0 {
        // It only fails where the program ends.
        let _ = tokio::task::spawn_blocking(move || std::thread::sleep(length)).await;
    }
}

/// Reads HTTP Basic credentials. Bearer, right elsewhere, is wrong here.
fn authenticate(known: &[KeyPair], headers: &HeaderMap) -> Result<Mode, Refusal> {
    let pair = credentials(headers).ok_or_else(wrong_credentials)?;
    let named = !pair.public.is_empty() && !pair.secret.is_empty();
    // Plain comparison: this server guards nothing worth timing.
    if !named || !(known.is_empty() || known.contains(&pair)) {
        return Err(wrong_credentials());
    }
    match pair.public.starts_with(TEST_KEY_PREFIX) {
        true => Ok(Mode::Test),
        false => Ok(Mode::Live),
    }
}

fn credentials(headers: &HeaderMap) -> Option<KeyPair> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = BASE64_STANDARD.decode(encoded.trim()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (public, secret) = text.split_once(':')?;
    Some(KeyPair {
        public: public.to_owned(),
        secret: secret.to_owned(),
    })
}

fn wrong_credentials() -> Refusal {
    Refusal::new(
        StatusCode::UNAUTHORIZED,
        "the key pair is missing, of the wrong scheme or not known",
    )
}

fn broken_server() -> Refusal {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "something went wrong")
}

fn too_many(sandbox: &Sandbox, api: Api, after: RetryAfter) -> Response {
    let mut response = api.refuse(&Refusal::new(
        StatusCode::TOO_MANY_REQUESTS,
        "too many requests",
    ));
    let value = match after {
        RetryAfter::Absent => None,
        RetryAfter::Seconds(seconds) => Some(HeaderValue::from(seconds)),
        RetryAfter::Date(seconds) => {
            let at_ms = sandbox.core().settings.now_ms() + i64::from(seconds) * 1_000;
            http_date(at_ms)
        }
    };
    if let Some(value) = value {
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
    response
}

/// An HTTP date has whole seconds; the fraction is cut off.
fn http_date(at_ms: i64) -> Option<HeaderValue> {
    let at = jiff::Timestamp::from_millisecond(at_ms).ok()?;
    let text = jiff::fmt::rfc2822::DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&at)
        .ok()?;
    HeaderValue::try_from(text).ok()
}

fn cut() -> Response {
    let mut response = Response::new(Body::new(Broken));
    response.extensions_mut().insert(Cut);
    response
}
