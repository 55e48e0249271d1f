//! Every recorded request through the real listener's routes and a real ledger:
//! taken once, known again, and refused when it is forged, stale or signed with
//! something else. What each says is `golden`'s to check.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use toml::Table;
use tower::ServiceExt as _;
use tributary::app::App;
use tributary::config::{Config, Env};
use tributary::http::webhooks;
use tributary::provider;
use tributary::time::{Clock, DAY_MS, Time};

use crate::golden::{Expected, Recorded, cases, expected, is_answer};

/// A service with one source, and its clock.
struct Taker {
    router: axum::Router,
    app: App,
    clock: Clock,
    _folder: tempfile::TempDir,
}

impl Taker {
    fn new(provider: &str, settings: &Table, secrets: &[String]) -> Taker {
        let folder = tempfile::tempdir().unwrap();
        let mut source = settings.clone();
        source.insert("provider".to_owned(), provider.into());
        source.insert("destination".to_owned(), "ps".into());
        source.insert("forward_from".to_owned(), "2000-01-01".into());
        let keep = |name: &str, secret: &str| {
            let file = folder.path().join(name);
            std::fs::write(&file, secret).unwrap();
            let file = toml::Value::String(file.display().to_string());
            toml::Value::Table(Table::from_iter([("file".to_owned(), file)]))
        };
        let references = secrets.iter().enumerate();
        let references = references.map(|(index, secret)| keep(&format!("secret-{index}"), secret));
        let references = references.collect();
        source.insert("secrets".to_owned(), toml::Value::Array(references));
        let ledger = format!("sqlite:{}", folder.path().join("ledger.db").display());
        let mut root: Table = format!(
            "[ledger]\nurl = {}\n[destinations.ps]\nbase_url = \"http://127.0.0.1:1\"\n\
             public_key = {key}\nsecret_key = {key}",
            toml::Value::String(ledger),
            key = keep("key", "key"),
        )
        .parse()
        .unwrap();
        let sources = Table::from_iter([("shop".to_owned(), source.into())]);
        root.insert("sources".to_owned(), sources.into());
        let file = folder.path().join("test.toml");
        let config = Config::parse(file, &root.to_string(), &Env::of([]), provider::NAMES)
            .unwrap_or_else(|error| panic!("{provider} {settings:?}: {error}"));
        config.reload_secrets().unwrap();
        let clock = Clock::held(Time(0));
        let app = App::open(config.into(), clock.clone(), false).unwrap();
        Taker {
            router: webhooks::router(app.clone(), CancellationToken::new()),
            app,
            clock,
            _folder: folder,
        }
    }

    async fn post(&self, recorded: &Recorded, body: Vec<u8>, now: Time) -> (StatusCode, Value) {
        self.clock.advance(now.since(self.clock.now()));
        // The recorded path names the provider where this source has its own name.
        let below = recorded.path.strip_prefix("/webhooks/").unwrap();
        let rest = below.find(['/', '?']).map_or("", |at| &below[at..]);
        let mut request = Request::post(format!("/webhooks/shop{rest}"));
        for (name, value) in &recorded.headers {
            request = request.header(name, value);
        }
        let sent = request.body(Body::from(body)).unwrap();
        let answer = self.router.clone().oneshot(sent).await.unwrap();
        let status = answer.status();
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    async fn deliveries(&self) -> i64 {
        let summary = self.app.ledger.summary().await.unwrap();
        summary.deliveries.values().sum()
    }
}

/// The scheme of a custom source, by its settings.
fn scheme(settings: &Table) -> Option<&str> {
    settings.get("signature")?.get("scheme")?.as_str()
}

/// Whether the bytes of the body are what the proof is about.
fn signs_the_body(provider: &str, expected: &Expected, recorded: &Recorded) -> bool {
    match provider {
        "chargebee" | "paysight" => false,
        "recurly" => recorded.headers.contains_key("recurly-signature"),
        "custom" => !matches!(scheme(&expected.settings), Some("basic" | "token")),
        _ => true,
    }
}

/// Whether the proof holds a time that grows old.
fn signs_a_time(provider: &str, expected: &Expected, recorded: &Recorded) -> bool {
    let session = expected
        .settings
        .get("scheme")
        .and_then(toml::Value::as_str);
    match provider {
        "stripe" => true,
        "recurly" => recorded.headers.contains_key("recurly-signature"),
        "pyng" => session == Some("session") && !expected.settings.contains_key("allow_untimed"),
        "custom" => {
            let template = expected
                .settings
                .get("signature")
                .and_then(|it| it.get("template"));
            let timed = template
                .and_then(toml::Value::as_str)
                .is_some_and(|it| it.contains("{timestamp}"));
            timed || scheme(&expected.settings) == Some("standard-webhooks")
        }
        _ => false,
    }
}

/// One case at one service: 200 and known again, and 401 where it does not prove
/// itself.
async fn judge(provider: &str, case: &std::path::Path, taker: &Taker, stranger: &Taker) {
    let (name, recorded, expected) = (case.display(), Recorded::read(case), expected(case));
    let now = Time::parse(&expected.now).unwrap();
    let body = recorded.body.clone();
    let before = taker.deliveries().await;
    if signs_the_body(provider, &expected, &recorded) {
        let mut forged = body.clone();
        forged.push(b' ');
        let (status, answer) = taker.post(&recorded, forged, now).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{name} forged: {answer}");
    }
    if signs_a_time(provider, &expected, &recorded) {
        let late = now.plus(2 * DAY_MS);
        let (status, answer) = taker.post(&recorded, body.clone(), late).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{name} stale: {answer}");
    }
    let (status, answer) = stranger.post(&recorded, body.clone(), now).await;
    assert_eq!(
        status,
        StatusCode::UNAUTHORIZED,
        "{name} by a stranger: {answer}"
    );
    assert_eq!(
        stranger.deliveries().await + taker.deliveries().await,
        before,
        "{name}"
    );

    let (status, answer) = taker.post(&recorded, body.clone(), now).await;
    assert_eq!(status, StatusCode::OK, "{name}: {answer}");
    let took = match (&expected.reading, &expected.unreadable) {
        (Some(reading), _) if reading.ignored.is_some() => "ignored",
        (Some(_), _) => "recorded",
        (None, _) => "unreadable",
    };
    // Two cases may show one delivery in two wrappings; and when a source switched
    // is what its ledger says, not its settings.
    let free = answer["status"] == "duplicate" || expected.settings.contains_key("switched_at");
    assert!(free || answer["status"] == took, "{name}: {answer}");
    let known = taker.deliveries().await;
    let (status, answer) = taker.post(&recorded, body, now).await;
    assert_eq!(
        (status, &answer["status"]),
        (StatusCode::OK, &"duplicate".into()),
        "{name} again"
    );
    // It is counted, as one that came again.
    assert_eq!(taker.deliveries().await, known + 1, "{name} again");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recorded_request_is_taken_once_and_only_with_its_proof() {
    for provider in provider::NAMES {
        let mut services: BTreeMap<String, (Taker, Taker)> = BTreeMap::new();
        for case in cases(provider).into_iter().filter(|case| !is_answer(case)) {
            let expected = expected(&case);
            let group = format!("{:?} {:?}", expected.settings, expected.secrets);
            let (taker, stranger) = services.entry(group).or_insert_with(|| {
                let others: Vec<String> = vec!["somebody-elses-secret".to_owned()];
                (
                    Taker::new(provider, &expected.settings, &expected.secrets),
                    Taker::new(provider, &expected.settings, &others),
                )
            });
            judge(provider, &case, taker, stranger).await;
        }
    }
}
