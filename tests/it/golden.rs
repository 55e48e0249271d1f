//! Recorded requests of every provider: `fixtures/<provider>/<case>.http` must
//! verify and must read as `<case>.json` says. `fixtures/README.md` explains
//! the files.
//!
//! Nothing here knows a provider. `UPDATE_FIXTURES=1` rewrites what is
//! expected; look at the difference before it is committed.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tributary::config::{Config, Env};
use tributary::movement::Reading;
use tributary::provider::{
    self, Asked, Document, Genuine, Kept, NotGenuine, Provider, Request, Secret,
};
use tributary::time::Time;

/// What `<case>.json` holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// What the case shows, for people.
    pub about: String,
    /// The settings of the source.
    #[serde(default, skip_serializing_if = "toml::Table::is_empty")]
    pub settings: toml::Table,
    /// The secrets of the source, and the index of the one that must match.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    #[serde(default)]
    pub matches: usize,
    /// When the request came in.
    pub now: String,
    /// What an answer of the provider's API (`<case>.answer`) was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
    /// One of these two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reading: Option<Reading>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
}

/// What `<case>.http` holds.
pub struct Recorded {
    pub path: String,
    pub headers: http::HeaderMap,
    pub body: Vec<u8>,
}

impl Recorded {
    /// Reads a request as HTTP writes it, with `\n` at the ends of lines. The
    /// body is every byte after the empty line.
    /// An answer of the provider's API is its body and nothing else.
    pub fn read(file: &Path) -> Recorded {
        let bytes = fs::read(file).unwrap();
        if is_answer(file) {
            return Recorded {
                path: "/webhooks/answer".to_owned(),
                headers: http::HeaderMap::new(),
                body: bytes,
            };
        }
        let end = bytes.windows(2).position(|pair| pair == b"\n\n").unwrap();
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.lines();
        let path = lines.next().unwrap().split(' ').nth(1).unwrap().to_owned();
        let mut headers = http::HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            let name: http::HeaderName = name.parse().unwrap();
            headers.append(name, value.parse().unwrap());
        }
        Recorded {
            path,
            headers,
            body: bytes[end + 2..].to_vec(),
        }
    }

    /// The request as the public listener cuts it:
    /// `/webhooks/{source}[/t/{token}][/{rest}][?query]`.
    fn request(&self) -> Request<'_> {
        let (path, query) = match self.path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (self.path.as_str(), None),
        };
        let below = path.strip_prefix("/webhooks/").unwrap();
        let rest = below.split_once('/').map(|(_, rest)| rest);
        let (path_token, path_rest) = match rest.and_then(|rest| rest.strip_prefix("t/")) {
            Some(token) => match token.split_once('/') {
                Some((token, rest)) => (Some(token), Some(rest)),
                None => (Some(token), None),
            },
            None => (None, rest),
        };
        Request {
            headers: &self.headers,
            body: &self.body,
            path_token,
            path_rest,
            query,
        }
    }
}

fn folder(provider: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(provider)
}

pub fn is_answer(case: &Path) -> bool {
    case.extension().is_some_and(|end| end == "answer")
}

/// The cases of a provider: the `.http` and `.answer` files, sorted.
pub fn cases(provider: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder(provider))
        .unwrap_or_else(|_| panic!("fixtures/{provider} is missing"))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "http") || is_answer(path))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "fixtures/{provider} holds no case");
    files
}

pub fn expected(case: &Path) -> Expected {
    let file = case.with_extension("json");
    let text =
        fs::read_to_string(&file).unwrap_or_else(|_| panic!("{} is missing", file.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn secrets(texts: &[String]) -> Vec<Secret> {
    texts
        .iter()
        .map(|text| Secret::from(text.as_str()))
        .collect()
}

#[allow(
    clippy::disallowed_methods,
    reason = "a switch of this test, not of the product"
)]
pub fn updating() -> bool {
    std::env::var("UPDATE_FIXTURES").is_ok_and(|value| value == "1")
}

/// Whether the case proves itself by the secret that it says, and by none where
/// there is none.
fn verify(
    case: &Path,
    built: &dyn Provider,
    recorded: &Recorded,
    expected: &Expected,
) -> Result<(), String> {
    let now = Time::parse(&expected.now).unwrap();
    let proof = built.verify(&recorded.request(), &secrets(&expected.secrets), now);
    let secret = expected.matches;
    if proof != Ok(Genuine { secret }) {
        return Err(format!("{}: verify says {proof:?}", case.display()));
    }
    let none = built.verify(&recorded.request(), &[], now);
    assert_eq!(none, Err(NotGenuine::NoSecret), "{}", case.display());
    Ok(())
}

/// Verifies, reads and compares one case; says what differs.
fn check(provider: &str, case: &Path) -> Result<(), String> {
    let recorded = Recorded::read(case);
    let mut expected = expected(case);
    let built = provider::build(provider, expected.settings.clone()).unwrap();
    assert_eq!(
        is_answer(case),
        expected.asked.is_some(),
        "{}",
        case.display()
    );
    if !is_answer(case) {
        verify(case, built.as_ref(), &recorded, &expected)?;
    }
    let mut kept = Kept::of(&recorded.request());
    kept.asked.clone_from(&expected.asked);
    let read = built.parse(&Document {
        kept: &kept,
        body: &recorded.body,
    });
    let (reading, unreadable) = match read {
        Ok(reading) => (Some(reading), None),
        Err(error) => (None, Some(error.reason)),
    };
    if let Some(reading) = &reading {
        sane(case, built.as_ref(), reading);
    }
    if (&reading, &unreadable) == (&expected.reading, &expected.unreadable) {
        return Ok(());
    }
    if updating() {
        (expected.reading, expected.unreadable) = (reading, unreadable);
        let text = serde_json::to_string_pretty(&expected).unwrap() + "\n";
        fs::write(case.with_extension("json"), text).unwrap();
        return Ok(());
    }
    let found = json!({"reading": reading, "unreadable": unreadable});
    Err(format!(
        "{} reads otherwise than expected:\n{found:#}",
        case.display()
    ))
}

/// What every reading owes the ledger.
fn sane(case: &Path, provider: &dyn Provider, reading: &Reading) {
    let case = case.display();
    let silent = reading.movements.is_empty()
        && reading.aliases.is_empty()
        && reading.clues.is_empty()
        && reading.links.is_empty()
        && reading.inquiries.is_empty()
        && reading.unpriced.is_empty();
    assert_eq!(
        silent,
        reading.ignored.is_some(),
        "{case}: a reading states something or says why not"
    );
    let askable = provider.api().map_or(Vec::new(), |api| api.kinds);
    for inquiry in &reading.inquiries {
        assert!(
            askable.iter().any(|kind| kind.kind == inquiry.kind),
            "{case}: nothing says how to ask for {inquiry:?}"
        );
    }
    for movement in &reading.movements {
        assert!(movement.fact.amount >= 0, "{case}: a negative amount");
    }
    for clue in &reading.clues {
        assert!(
            !clue.value.is_empty() && clue.value.trim() == clue.value,
            "{case}: {clue:?}"
        );
    }
}

#[test]
fn every_case_reads_as_expected() {
    let wrong: Vec<String> = provider::NAMES
        .iter()
        .flat_map(|provider| {
            cases(provider)
                .into_iter()
                .map(move |case| (provider, case))
        })
        .filter_map(|(provider, case)| check(provider, &case).err())
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn every_expectation_has_its_request() {
    for provider in provider::NAMES {
        for entry in fs::read_dir(folder(provider)).unwrap() {
            let path = entry.unwrap().path();
            let known = path
                .file_name()
                .is_some_and(|name| name == "signatures.json")
                || path.extension().is_some_and(|end| end == "toml");
            let request = ["http", "answer"]
                .iter()
                .any(|end| path.with_extension(end).exists());
            assert!(
                known || request,
                "{} has no .http or .answer beside it",
                path.display()
            );
        }
    }
}

/// `fixtures/custom/<sender>.toml` is what a person copies, so the cases
/// `<sender>-….json` must be read by exactly its settings.
#[test]
fn an_example_is_what_its_cases_are_read_by() {
    for entry in fs::read_dir(folder("custom")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|end| end != "toml") {
            continue;
        }
        let sender = path.file_stem().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        loads_whole(&path, &text);
        let whole: toml::Table = text.parse().unwrap();
        let mut source = whole["sources"][sender].as_table().unwrap().clone();
        source.retain(|key, _| ["signature", "event", "rules"].contains(&key));
        let read_by: Vec<PathBuf> = cases("custom")
            .into_iter()
            .filter(|case| {
                let stem = case.file_stem().unwrap().to_str().unwrap();
                stem.starts_with(&format!("{sender}-"))
            })
            .collect();
        assert!(read_by.len() > 3, "{sender} has {} cases", read_by.len());
        for case in read_by {
            assert_eq!(expected(&case).settings, source, "{}", case.display());
        }
    }
}

/// An example stands beside a destination as it is.
fn loads_whole(file: &Path, text: &str) {
    let destination = r#"
        [destinations.partnerstack]
        public_key = { env = "PUBLIC" }
        secret_key = { env = "SECRET" }
    "#;
    let text = format!("{destination}\n{text}");
    let config = Config::parse(file.to_owned(), &text, &Env::of([]), provider::NAMES);
    assert!(config.is_ok(), "{}: {:?}", file.display(), config.err());
}

#[test]
fn every_event_in_the_code_has_a_case() {
    for provider in provider::NAMES {
        let seen: Vec<String> = cases(provider)
            .iter()
            .filter_map(|case| expected(case).reading)
            .map(|reading| reading.event)
            .collect();
        let missing: Vec<_> = provider::events(provider)
            .iter()
            .filter(|event| !seen.iter().any(|name| name == *event))
            .collect();
        assert!(
            missing.is_empty(),
            "{provider} has no fixture of {missing:?}"
        );
    }
}

/// One signature and whether it counts.
#[derive(Deserialize)]
struct Vector {
    name: String,
    /// The settings of the source, where the signature needs some.
    #[serde(default)]
    settings: toml::Table,
    headers: std::collections::BTreeMap<String, String>,
    body: String,
    secrets: Vec<String>,
    now: i64,
    /// The index of the secret that matches, or the reason in one word.
    expect: Value,
}

#[test]
fn every_signature_is_judged_as_expected() {
    let mut judged = 0;
    for provider in provider::NAMES {
        let Ok(text) = fs::read_to_string(folder(provider).join("signatures.json")) else {
            continue;
        };
        let vectors: Vec<Vector> = serde_json::from_str(&text).unwrap();
        for vector in vectors {
            let built = provider::build(provider, vector.settings).unwrap();
            let mut headers = http::HeaderMap::new();
            for (name, value) in &vector.headers {
                let name: http::HeaderName = name.parse().unwrap();
                headers.append(name, value.parse().unwrap());
            }
            let request = Request {
                headers: &headers,
                body: vector.body.as_bytes(),
                path_token: None,
                path_rest: None,
                query: None,
            };
            let now = Time::from_seconds(vector.now).unwrap();
            let answer = match built.verify(&request, &secrets(&vector.secrets), now) {
                Ok(genuine) => json!(genuine.secret),
                Err(why) => json!(why.word()),
            };
            assert_eq!(answer, vector.expect, "{provider}: {}", vector.name);
            judged += 1;
        }
    }
    assert!(judged >= 16, "only {judged} signatures");
}

/// A text that no reason may quote.
const SENTINEL: &str = "Sentinel";

/// Reads `body` and forgets what it says: only a panic fails.
fn survive(provider: &dyn Provider, asked: Option<&Asked>, body: &[u8]) {
    let kept = Kept {
        asked: asked.cloned(),
        ..Kept::default()
    };
    if let Err(error) = provider.parse(&Document { body, kept: &kept }) {
        assert!(!error.reason.is_empty() && error.reason.len() < 200);
        assert!(!error.reason.contains(SENTINEL), "{}", error.reason);
    }
}

/// A provider with the settings of a case, what the case was asked for and its
/// body.
type Body = (Box<dyn Provider>, Option<Asked>, Vec<u8>);

/// The bodies of all cases.
fn bodies() -> Vec<Body> {
    let mut bodies = Vec::new();
    for provider in provider::NAMES {
        for case in cases(provider) {
            let expected = expected(&case);
            let built = provider::build(provider, expected.settings).unwrap();
            bodies.push((built, expected.asked, Recorded::read(&case).body));
        }
    }
    bodies
}

#[test]
fn a_body_cut_anywhere_is_survived() {
    for (provider, asked, body) in bodies() {
        for end in 0..body.len() {
            survive(provider.as_ref(), asked.as_ref(), &body[..end]);
        }
    }
}

/// The pointers of all scalars and containers in `value`.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Array(members) => {
            for (index, member) in members.iter().enumerate() {
                pointers(member, &format!("{at}/{index}"), found);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                let name = name.replace('~', "~0").replace('/', "~1");
                pointers(member, &format!("{at}/{name}"), found);
            }
        }
        _ => {}
    }
}

#[test]
fn any_value_may_be_of_another_kind() {
    let others = [
        json!(null),
        json!(""),
        json!(-1),
        json!(0),
        json!(true),
        json!("\u{0}"),
        json!(SENTINEL),
        json!({SENTINEL: SENTINEL}),
        json!("9".repeat(300)),
        json!(u64::MAX),
        json!(i64::MIN),
        json!([]),
        json!({}),
        json!([[null]]),
        serde_json::from_str("10.5").unwrap(),
    ];
    for (provider, asked, body) in bodies() {
        let Ok(whole) = serde_json::from_slice::<Value>(&body) else {
            continue;
        };
        let mut all = Vec::new();
        pointers(&whole, "", &mut all);
        for pointer in all {
            for other in &others {
                let mut changed = whole.clone();
                *changed.pointer_mut(&pointer).unwrap() = other.clone();
                survive(
                    provider.as_ref(),
                    asked.as_ref(),
                    changed.to_string().as_bytes(),
                );
            }
        }
    }
}

/// Deeper than any stack that recurses once for each level would bear.
const DEEP: usize = 10_000;

#[test]
fn deep_nesting_is_survived() {
    let open = "[".repeat(DEEP);
    let lists = format!("{open}{}", "]".repeat(DEEP));
    let objects = format!("{}1{}", "{\"id\":".repeat(DEEP), "}".repeat(DEEP));
    for (index, (provider, asked, body)) in bodies().into_iter().enumerate() {
        // One body in eight takes all three: the shapes repeat, the time adds up.
        let deep: &[&String] = match index % 8 {
            0 => &[&open, &lists, &objects],
            _ => &[&open],
        };
        let whole = serde_json::from_slice::<Value>(&body).unwrap_or_default();
        let mut all = Vec::new();
        pointers(&whole, "", &mut all);
        for (pointer, deep) in all
            .iter()
            .flat_map(|at| deep.iter().map(move |deep| (at, deep)))
        {
            let mut changed = whole.clone();
            *changed.pointer_mut(pointer).unwrap() = json!("@@");
            let text = changed.to_string().replace("\"@@\"", deep);
            survive(provider.as_ref(), asked.as_ref(), text.as_bytes());
        }
    }
}

proptest! {
    #[test]
    fn random_bytes_are_survived(body in proptest::collection::vec(any::<u8>(), 0..512)) {
        for name in provider::NAMES {
            let provider = provider::build(name, toml::Table::new()).unwrap();
            survive(provider.as_ref(), None, &body);
        }
    }

    #[test]
    fn spoiled_bodies_are_survived(which in any::<prop::sample::Index>(), spoils in
        proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        thread_local! {
            static BODIES: Vec<Body> = bodies();
        }
        BODIES.with(|bodies| {
            let (provider, asked, body) = which.get(bodies);
            let mut body = body.clone();
            for (at, byte) in &spoils {
                let at = at.index(body.len());
                body[at] = *byte;
            }
            survive(provider.as_ref(), asked.as_ref(), &body);
        });
    }

    #[test]
    fn random_headers_are_survived(value in "[ -~]{0,200}") {
        for name in provider::NAMES {
            let provider = provider::build(name, toml::Table::new()).unwrap();
            let mut headers = http::HeaderMap::new();
            for header in [
                "stripe-signature",
                "x-pyng-signature",
                "x-signature",
                "recurly-signature",
                "signature",
                "x-chargify-webhook-signature-hmac-sha-256",
                "authorization",
                "webhook-signature",
            ] {
                headers.insert(header, value.parse().unwrap());
            }
            let request = Request {
                headers: &headers,
                body: b"{}",
                path_token: Some(&value),
                path_rest: Some(&value),
                query: Some(&value),
            };
            let held = [Secret::from("held")];
            prop_assert!(provider.verify(&request, &held, Time(0)).is_err());
        }
    }
}
