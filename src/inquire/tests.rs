//! One question at a time against an API that answers as told.

use std::collections::BTreeMap;
use std::sync::Mutex;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use tempfile::TempDir;

use super::*;
use crate::ledger::{AllTerms, Opening};
use crate::movement::Reading;
use crate::provider::{Asked, Genuine, NotGenuine, Provider, Request, Secret, Unreadable};

/// A provider that reads any answer as an ignored event of the answer's text.
struct Plain;

impl Provider for Plain {
    fn name(&self) -> &'static str {
        "plain"
    }

    fn verify(&self, _: &Request<'_>, _: &[Secret], _: Time) -> Result<Genuine, NotGenuine> {
        Err(NotGenuine::NoSecret)
    }

    fn parse(&self, document: &Document<'_>) -> Result<Reading, Unreadable> {
        let text = String::from_utf8_lossy(document.body).into_owned();
        assert!(
            document.kept.asked.is_some(),
            "an answer says what was asked"
        );
        Ok(Reading::ignored(&text, "read"))
    }

    fn lookup(&self) -> &'static [&'static str] {
        &[]
    }

    fn api(&self) -> Option<Api> {
        None
    }

    fn key_set(&self) -> Option<&str> {
        None
    }
}

/// What the API was asked: the path with its query, headers, and the body.
type Heard = Arc<Mutex<Vec<(String, HeaderMap, String)>>>;

/// An API that gives the same answer to everything but its token endpoint.
async fn api(
    status: u16,
    header: (&'static str, &'static str),
    body: &'static str,
) -> (String, Heard) {
    let heard: Heard = Arc::default();
    let hears = Arc::clone(&heard);
    let answer = move |uri: Uri, headers: HeaderMap, asked: String| {
        let path = uri.to_string();
        let token = path == "/token";
        hears.lock().unwrap().push((path, headers, asked));
        let answer = Response::builder();
        let answer = match token {
            true => answer.body(Body::from(r#"{"access_token":"tok-1","expires_in":600}"#)),
            false => answer
                .status(status)
                .header(header.0, header.1)
                .body(Body::from(body)),
        };
        async move { answer.unwrap() }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, router).await });
    (at, heard)
}

fn inquirer(at: &str, auth: Auth) -> (Inquirer, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(Opening {
        url: format!("sqlite:{}", folder.path().join("ledger.db").display()),
        terms: AllTerms::new(),
        clock: Clock::Machine,
        report_zone: crate::day::Zone::utc(),
        serve: false,
    });
    let source = Source {
        provider: Box::new(Plain),
        destination: "ps".to_owned(),
        retired: false,
        keys: None,
        refused: crate::app::Refused::default(),
    };
    let settings = Settings {
        source: "shop".to_owned(),
        base_url: at.to_owned(),
        key: "user:pass".into(),
        requests_per_minute: NonZeroU32::MIN,
    };
    let api = Api {
        base_url: None,
        auth,
        headers: vec![("x-version", "7".to_owned())],
        account_header: Some("x-account"),
        kinds: vec![
            Kind::at("thing", "/things/{id}"),
            Kind {
                body: Some(r#"{"ids":["{id}"]}"#),
                ..Kind::at("search", "/search")
            },
        ],
    };
    let sources = Arc::new(BTreeMap::from([("shop".to_owned(), source)]));
    let made = Inquirer::new(settings, api, sources, ledger.unwrap(), Clock::Machine);
    (made.unwrap(), folder)
}

fn asking(kind: &str, id: &str) -> Asking {
    Asking {
        inquiry: 1,
        raised: 1,
        source: "shop".to_owned(),
        asked: Asked {
            kind: kind.to_owned(),
            id: id.to_owned(),
            scope: Scope {
                live: Some(true),
                account: "acct_1".to_owned(),
            },
            at: Time(1),
        },
        tries: 0,
    }
}

#[tokio::test]
async fn an_answer_is_read_and_named_after_what_was_asked() {
    let (at, heard) = api(200, ("x-any", "1"), "fine").await;
    let (mut inquirer, _folder) = inquirer(&at, Auth::Bearer);
    let Answer::Told(delivery) = inquirer.ask(&asking("thing", "a/b")).await else {
        panic!("the answer is not told");
    };
    let reading = delivery.reading.unwrap();
    assert_eq!(reading.event, "fine");
    assert!(reading.delivery_id.unwrap().starts_with("thing:a/b:"));
    // It speaks of where it was asked about.
    assert_eq!(reading.scope.account, "acct_1");
    let (path, headers, _) = heard.lock().unwrap().remove(0);
    assert_eq!(path, "/things/a%2Fb");
    for (name, value) in [
        ("authorization", "Bearer user:pass"),
        ("x-version", "7"),
        ("x-account", "acct_1"),
        ("accept", "application/json"),
    ] {
        assert_eq!(headers[name], value, "{name}");
    }
}

#[tokio::test]
async fn a_search_is_posted() {
    let (at, heard) = api(200, ("x-any", "1"), "fine").await;
    let (mut inquirer, _folder) = inquirer(&at, Auth::Header("x-key"));
    inquirer.ask(&asking("search", "\"")).await;
    let (path, headers, body) = heard.lock().unwrap().remove(0);
    assert_eq!(
        (path.as_str(), body.as_str()),
        ("/search", r#"{"ids":["\""]}"#)
    );
    assert_eq!(headers["x-key"], "user:pass");
    assert!(!headers.contains_key("authorization"));
}

#[tokio::test]
async fn every_way_to_show_the_key() {
    let (at, heard) = api(200, ("x-any", "1"), "fine").await;
    // user:pass, and the whole key as the user without a password.
    for (auth, shown) in [
        (Auth::Basic, "Basic dXNlcjpwYXNz"),
        (Auth::BasicUser, "Basic dXNlcjpwYXNzOg=="),
    ] {
        let (mut inquirer, _folder) = inquirer(&at, auth);
        inquirer.ask(&asking("thing", "1")).await;
        assert_eq!(
            heard.lock().unwrap().pop().unwrap().1["authorization"],
            shown
        );
    }
    let auth = Auth::ClientCredentials {
        path: "/token".to_owned(),
        scope: Some("read all".to_owned()),
    };
    let (mut inquirer, _folder) = inquirer(&at, auth);
    for _ in 0..2 {
        inquirer.ask(&asking("thing", "1")).await;
    }
    let heard: Vec<_> = heard.lock().unwrap().drain(..).collect();
    let paths: Vec<&str> = heard.iter().map(|(path, _, _)| path.as_str()).collect();
    assert_eq!(
        paths,
        ["/token", "/things/1", "/things/1"],
        "one token for both"
    );
    assert_eq!(heard[0].1["authorization"], "Basic dXNlcjpwYXNz");
    assert_eq!(heard[0].2, "grant_type=client_credentials&scope=read+all");
    assert_eq!(heard[1].1["authorization"], "Bearer tok-1");
}

#[tokio::test]
async fn what_is_no_answer_is_asked_for_later_or_never() {
    let long = Box::leak("x".repeat(ANSWER_MOST_BYTES + 1).into_boxed_str());
    for (status, header, body, expected) in [
        (
            404,
            ("x-any", "1"),
            "",
            "missing: it knows no such thing (404)",
        ),
        (
            410,
            ("x-any", "1"),
            "",
            "missing: it knows no such thing (410)",
        ),
        (
            401,
            ("x-any", "1"),
            "",
            "later: it refused our key (401): check sources.shop.api.key",
        ),
        (
            429,
            ("retry-after", "90"),
            "",
            "later, floored: it asked to come later (429)",
        ),
        (500, ("x-any", "1"), "user:pass", "later: it answered 500"),
        (204, ("x-any", "1"), "", "later: it answered 204"),
        // A redirect is not followed: it could lead anywhere.
        (302, ("location", "/things/2"), "", "later: it answered 302"),
        (
            200,
            ("x-any", "1"),
            &*long,
            "never: its answer is longer than 1 MiB",
        ),
    ] {
        let (at, heard) = api(status, header, body).await;
        let (mut inquirer, _folder) = inquirer(&at, Auth::Bearer);
        let came_to = match inquirer.ask(&asking("thing", "1")).await {
            Answer::Told(_) => "told".to_owned(),
            Answer::Missing(why) => format!("missing: {why}"),
            Answer::Later {
                why,
                not_before: None,
            } => format!("later: {why}"),
            Answer::Later { why, .. } => format!("later, floored: {why}"),
            Answer::Never(why) => format!("never: {why}"),
        };
        assert_eq!(came_to, expected);
        assert_eq!(heard.lock().unwrap().len(), 1, "{expected}: asked once");
    }
    let (mut gone, _folder) = inquirer("http://127.0.0.1:1", Auth::Bearer);
    let answer = gone.ask(&asking("thing", "1")).await;
    assert!(matches!(answer, Answer::Later { why, .. } if why == "no connection could be made"));
    assert!(matches!(
        gone.ask(&asking("thing", "..")).await,
        Answer::Never(_)
    ));
    assert!(matches!(
        gone.ask(&asking("other", "1")).await,
        Answer::Never(_)
    ));
}
