//! The shell over real connections on the loopback interface.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Extension, Router};
use http::StatusCode;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::access::{Access, Caller, guard_host, require};
use super::closed;
use super::limits::{Room, WEBHOOK_MAX_BYTES, read_body};
use super::listen::{Limits, Peer, bind, serve_within};
use super::problem::Problem;
use crate::config::{Config, Env, Role};
use crate::time::{Clock, MINUTE_MS, Time};

struct Running {
    address: SocketAddr,
    stop: CancellationToken,
    served: JoinHandle<()>,
    client: reqwest::Client,
}

impl Running {
    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Sends all bytes as they are, and only then reads until the other end
    /// closes, which it has to do soon.
    async fn raw(&self, request: &[u8]) -> String {
        let exchange = async {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            stream.write_all(request).await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            String::from_utf8_lossy(&answer).into_owned()
        };
        let soon = Duration::from_secs(5);
        tokio::time::timeout(soon, exchange).await.unwrap()
    }
}

fn short() -> Limits {
    Limits {
        header: Duration::from_millis(300),
        body: Duration::from_millis(300),
        connections: 8,
        drain: Duration::from_secs(5),
    }
}

async fn start(limits: Limits, router: Router) -> Running {
    // A second installation in one process changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let served = tokio::spawn(serve_within(limits, listener, router, stop.clone()));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    Running {
        address,
        stop,
        served,
        client,
    }
}

/// The order of a webhook's answers: 405, 404, 413, 401.
async fn webhook(
    State(room): State<Room>,
    Path(source): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    if source != "stripe" {
        return Err(Problem::not_found("no such source"));
    }
    let read = read_body(request.into_body(), WEBHOOK_MAX_BYTES, &room).await?;
    if read.bytes().starts_with(b"signed") {
        return Ok(read.trust().len().to_string().into_response());
    }
    Err(Problem::unauthorized("not verified"))
}

fn public() -> Router {
    closed(
        Router::new()
            .route("/webhooks/{source}", post(webhook))
            .route(
                "/peer",
                get(|Extension(peer): Extension<Peer>| async move { peer.0.ip().to_string() }),
            )
            .route(
                "/slow",
                get(|| async {
                    tokio::time::sleep(Duration::from_millis(400)).await;
                    "done"
                }),
            ),
    )
    .with_state(Room::default())
}

async fn problem_of(response: reqwest::Response, status: u16, slug: &str) {
    assert_eq!(response.status().as_u16(), status);
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["type"], format!("urn:tributary:problem:{slug}"));
    assert_eq!(body["status"], status);
    assert!(body["title"].is_string() && body["detail"].is_string());
}

#[tokio::test]
async fn answers_come_in_their_order() {
    let up = start(Limits::default(), public()).await;
    let (known, unknown) = (up.url("/webhooks/stripe"), up.url("/webhooks/other"));
    let large = vec![b'x'; WEBHOOK_MAX_BYTES + 1];

    let response = up.client.get(&unknown).send().await.unwrap();
    assert_eq!(response.headers()["allow"], "POST");
    problem_of(response, 405, "method-not-allowed").await;
    let post = |url: &str, body: Vec<u8>| up.client.post(url).body(body).send();
    problem_of(
        post(&unknown, large.clone()).await.unwrap(),
        404,
        "not-found",
    )
    .await;
    problem_of(post(&known, large).await.unwrap(), 413, "too-large").await;
    let response = post(&known, b"forged".to_vec()).await.unwrap();
    assert_eq!(response.headers()["www-authenticate"], "Bearer");
    problem_of(response, 401, "unauthorized").await;
    let full = b"signed".iter().copied().chain(std::iter::repeat(b'.'));
    let full: Vec<u8> = full.take(WEBHOOK_MAX_BYTES).collect();
    let response = post(&known, full).await.unwrap();
    assert_eq!(
        response.text().await.unwrap(),
        WEBHOOK_MAX_BYTES.to_string()
    );
    let nowhere = up.client.get(up.url("/nowhere")).send().await.unwrap();
    problem_of(nowhere, 404, "not-found").await;
    let peer = up.client.get(up.url("/peer")).send().await.unwrap();
    assert_eq!(peer.text().await.unwrap(), "127.0.0.1");
}

/// Four times the limit, so that much is still on its way when the answer is
/// known: it has to arrive all the same.
#[tokio::test]
async fn an_early_answer_arrives_although_nobody_reads_the_body() {
    let up = start(Limits::default(), public()).await;
    for (path, status) in [
        ("/webhooks/stripe", "413"),
        ("/webhooks/other", "404"),
        ("/peer", "405"),
    ] {
        let wanted = format!("HTTP/1.1 {status} ");
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        let size = 4 * WEBHOOK_MAX_BYTES;
        let mut announced = format!("{head}Content-Length: {size}\r\n\r\n").into_bytes();
        announced.resize(announced.len() + size, b'x');
        let answer = up.raw(&announced).await;
        assert!(answer.starts_with(&wanted), "{path}: {answer}");

        let mut streamed = format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
        for _ in 0..size / 0x10_000 {
            streamed.extend_from_slice(b"10000\r\n");
            streamed.resize(streamed.len() + 0x10_000, b'x');
            streamed.extend_from_slice(b"\r\n");
        }
        streamed.extend_from_slice(b"0\r\n\r\n");
        let answer = up.raw(&streamed).await;
        assert!(answer.starts_with(&wanted), "{path}: {answer}");
    }
}

#[tokio::test]
async fn an_announced_body_is_refused_before_it_is_sent() {
    let up = start(Limits::default(), public()).await;
    let head = "POST /webhooks/stripe HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n";
    let answer = up.raw(head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn slow_peers_are_let_go() {
    let up = start(short(), public()).await;
    for head in ["", "POST /webhooks/stripe HTTP/1.1\r\nHo"] {
        let answer = up.raw(head.as_bytes()).await;
        assert!(!answer.starts_with("HTTP/1.1 2"));
    }
    let slow = "POST /webhooks/stripe HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nsign";
    let answer = up.raw(slow.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("urn:tributary:problem:request-timeout"));

    // A byte now and then does not stretch the limit.
    let (mut read, mut write) = TcpStream::connect(up.address).await.unwrap().into_split();
    let trickle = tokio::spawn(async move {
        let head = "POST /webhooks/stripe HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n";
        write.write_all(head.as_bytes()).await.unwrap();
        while write.write_all(b"s").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut answer = [0_u8; 13];
    let soon = Duration::from_secs(1);
    let got = tokio::time::timeout(soon, read.read_exact(&mut answer)).await;
    got.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408 ");
    trickle.abort();
}

#[tokio::test]
async fn a_running_request_is_answered_before_the_end() {
    let up = start(Limits::default(), public()).await;
    let request = tokio::spawn(up.client.get(up.url("/slow")).send());
    tokio::time::sleep(Duration::from_millis(150)).await;
    up.stop.cancel();
    let answer = request.await.unwrap().unwrap();
    assert_eq!(answer.text().await.unwrap(), "done");
    tokio::time::timeout(Duration::from_secs(5), up.served)
        .await
        .unwrap()
        .unwrap();
    assert!(TcpStream::connect(up.address).await.is_err());
}

#[tokio::test]
async fn draining_has_an_end_and_dropping_is_clean() {
    let limits = Limits {
        drain: Duration::from_millis(50),
        ..Limits::default()
    };
    let up = start(limits, public()).await;
    let request = tokio::spawn(up.client.get(up.url("/slow")).send());
    tokio::time::sleep(Duration::from_millis(150)).await;
    up.stop.cancel();
    assert!(request.await.unwrap().is_err());

    let up = start(Limits::default(), public()).await;
    let request = tokio::spawn(up.client.get(up.url("/slow")).send());
    tokio::time::sleep(Duration::from_millis(150)).await;
    up.served.abort();
    assert!(request.await.unwrap().is_err());
}

#[tokio::test]
async fn connections_over_the_cap_wait() {
    let limits = Limits {
        connections: 1,
        ..short()
    };
    let up = start(limits, public()).await;
    let idle = TcpStream::connect(up.address).await.unwrap();
    // The idle one is closed after the header limit, and its place is free.
    let answer = up.client.get(up.url("/peer")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    drop(idle);
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let up = start(Limits::default(), public()).await;
    let error = bind(up.address).await.unwrap_err().to_string();
    assert!(error.contains(&up.address.to_string()), "{error}");
    assert!(!error.contains('\n'));
}

const OPERATOR: &str = "operator-token-0001";
const VIEWER: &str = "viewer-token-000001";
const LINKER: &str = "linker-token-000001";

fn access(clock: Clock) -> Arc<Access> {
    let text = r#"
        [http]
        tokens = [
            { name = "op", role = "operator", token = { env = "OP" } },
            { name = "view", role = "viewer", token = { env = "VIEW" } },
            { name = "link", role = "linker", token = { env = "LINK" } },
        ]
    "#;
    let env = Env::of([("OP", OPERATOR), ("VIEW", VIEWER), ("LINK", LINKER)]);
    let config = Config::parse(PathBuf::from("t.toml"), text, &env, &[]).unwrap();
    config.reload_secrets().unwrap();
    Arc::new(Access::new(&config, clock))
}

fn admin(access: &Arc<Access>, address: SocketAddr) -> Router {
    let who = |Extension(caller): Extension<Caller>| async move { caller.name.to_string() };
    let read = require(Role::Viewer, access, Router::new().route("/read", get(who)));
    let link = require(Role::Linker, access, Router::new().route("/link", put(who)));
    let act = require(
        Role::Operator,
        access,
        Router::new().route("/act", post(who)),
    );
    let all = Router::new().merge(read).merge(link).merge(act);
    guard_host(address, closed(all))
}

#[tokio::test]
async fn each_role_opens_its_own_doors() {
    let up = start(
        Limits::default(),
        admin(&access(Clock::default()), "127.0.0.1:0".parse().unwrap()),
    )
    .await;
    for (token, read, link, act) in [
        (OPERATOR, 200, 200, 200),
        (VIEWER, 200, 403, 403),
        (LINKER, 403, 200, 403),
        ("no-such-token-at-all", 401, 401, 401),
    ] {
        for (request, wanted) in [
            (up.client.get(up.url("/read")), read),
            (up.client.put(up.url("/link")), link),
            (up.client.post(up.url("/act")), act),
        ] {
            let answer = request.bearer_auth(token).send().await.unwrap();
            assert_eq!(answer.status().as_u16(), wanted);
        }
    }
    let get = |path: &str| up.client.get(up.url(path));
    let answer = get("/read").bearer_auth(VIEWER).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "view");
    let answer = get("/read").send().await.unwrap();
    assert_eq!(answer.headers()["www-authenticate"], "Bearer");
    problem_of(answer, 401, "unauthorized").await;
    let basic = get("/read").basic_auth("op", Some(OPERATOR));
    assert_eq!(basic.send().await.unwrap().status(), 401);
    let twice = get("/read").bearer_auth(VIEWER).bearer_auth(OPERATOR);
    assert_eq!(twice.send().await.unwrap().status(), 401);
    problem_of(get("/act").send().await.unwrap(), 405, "method-not-allowed").await;
    problem_of(get("/nowhere").send().await.unwrap(), 404, "not-found").await;
}

#[test]
fn tokens_change_when_secrets_are_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, VIEWER).unwrap();
    let text = format!(
        "[http]\ntokens = [{{ name = \"v\", role = \"viewer\", token = {{ file = \"{}\" }} }}]",
        file.display()
    );
    let config = Config::parse(PathBuf::from("t.toml"), &text, &Env::of([]), &[]).unwrap();
    let access = Access::new(&config, Clock::default());
    let knows = |token: &str| access.find(&token.into()).is_some();
    assert!(!knows(VIEWER), "secrets that were never read open nothing");
    config.reload_secrets().unwrap();
    access.reload(&config);
    assert!(knows(VIEWER));
    std::fs::write(&file, LINKER).unwrap();
    config.reload_secrets().unwrap();
    access.reload(&config);
    assert!(knows(LINKER) && !knows(VIEWER));
    assert!(!format!("{access:?}").contains(LINKER));
}

#[tokio::test]
async fn guessing_is_limited_and_the_right_token_is_not() {
    let clock = Clock::held(Time(1_000));
    let up = start(
        Limits::default(),
        admin(&access(clock.clone()), "127.0.0.1:0".parse().unwrap()),
    )
    .await;
    let guess = |token: &'static str| up.client.get(up.url("/read")).bearer_auth(token).send();
    for _ in 0..20 {
        assert_eq!(guess("wrong").await.unwrap().status(), 401);
    }
    let limited = guess("wrong").await.unwrap();
    assert_eq!(limited.headers()["retry-after"], "61");
    problem_of(limited, 429, "too-many-requests").await;
    assert_eq!(guess(VIEWER).await.unwrap().status(), 200);
    clock.advance(MINUTE_MS);
    assert_eq!(guess("wrong").await.unwrap().status(), 401);
}

#[tokio::test]
async fn a_strange_host_name_is_refused_on_loopback() {
    let access = access(Clock::default());
    let here = start(
        Limits::default(),
        admin(&access, "127.0.0.1:0".parse().unwrap()),
    )
    .await;
    let status = async |up: &Running, hosts: &str| {
        let request = format!(
            "GET /read HTTP/1.1\r\n{hosts}Connection: close\r\nAuthorization: Bearer {VIEWER}\r\n\r\n"
        );
        let answer = up.raw(request.as_bytes()).await;
        answer.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    for host in [
        "localhost",
        "LocalHost:99",
        "127.0.0.1:1",
        "127.9.9.9",
        "[::1]:8081",
    ] {
        assert_eq!(
            status(&here, &format!("Host: {host}\r\n")).await,
            "200",
            "{host}"
        );
    }
    for hosts in [
        "Host: evil.example\r\n",
        "Host: localhost.evil.example\r\n",
        "Host: 127.0.0.1.evil.example\r\n",
        "Host: localhost@evil.example\r\n",
        "Host: evil@localhost\r\n",
        "Host: 10.0.0.1\r\n",
        "Host: \r\n",
        "Host: localhost\r\nHost: evil.example\r\n",
        "",
    ] {
        let got = status(&here, hosts).await;
        assert!(got == "421" || got == "400", "{hosts:?}: {got}");
    }
    let open = start(
        Limits::default(),
        admin(&access, "0.0.0.0:0".parse().unwrap()),
    )
    .await;
    assert_eq!(status(&open, "Host: admin.example\r\n").await, "200");
}

#[tokio::test]
async fn every_problem_has_its_own_type() {
    let all = [
        (Problem::bad_request("d"), 400),
        (Problem::unauthorized("d"), 401),
        (Problem::forbidden("d"), 403),
        (Problem::not_found("d"), 404),
        (Problem::method_not_allowed(), 405),
        (Problem::request_timeout("d"), 408),
        (Problem::conflict("d"), 409),
        (Problem::too_large(1), 413),
        (Problem::misdirected("d"), 421),
        (Problem::unprocessable("d"), 422),
        (Problem::too_many("d", 3), 429),
        (Problem::unavailable("d", 3), 503),
    ];
    let mut types = std::collections::BTreeSet::new();
    for (problem, status) in all {
        assert_eq!(problem.status().as_u16(), status);
        let response = problem.into_response();
        let waits = response.headers().contains_key("retry-after");
        assert_eq!(waits, status == 429 || status == 503);
        let bytes = http_body_util::BodyExt::collect(response.into_body())
            .await
            .unwrap()
            .to_bytes();
        let body: Value = serde_json::from_slice(&bytes).unwrap();
        assert!(types.insert(body["type"].as_str().unwrap().to_owned()));
    }
}
