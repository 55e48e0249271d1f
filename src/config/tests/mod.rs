//! The configuration from the outside: what loads, what is refused, and that
//! every refusal names its key and never a value.

mod refusals;
mod secrets;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use secrecy::ExposeSecret;

use super::*;

const EXAMPLE: &str = include_str!("../../../config.example.toml");
const PROVIDERS: &[&str] = &["stripe"];
const TOKEN: &str = "0123456789abcdef";

fn environment() -> [(&'static str, &'static str); 4] {
    [
        ("TRIBUTARY_OPS_TOKEN", TOKEN),
        ("PARTNERSTACK_PUBLIC_KEY", "pk_hush"),
        ("PARTNERSTACK_SECRET_KEY", "sk_hush"),
        ("STRIPE_WEBHOOK_SECRET", "whsec_hush"),
    ]
}

fn env_with<const N: usize>(more: [(&str, &str); N]) -> Env {
    Env(Arc::new(
        environment()
            .into_iter()
            .chain(more)
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    ))
}

fn load_text(text: &str, env: &Env) -> Result<Config, ConfigError> {
    let config = Config::parse(PathBuf::from("test.toml"), text, env, PROVIDERS)?;
    config.reload_secrets()?;
    Ok(config)
}

fn load_with<const N: usize>(more: [(&str, &str); N]) -> Result<Config, ConfigError> {
    load_text(EXAMPLE, &env_with(more))
}

/// The example with one line changed.
fn changed(from: &str, to: &str) -> Result<Config, ConfigError> {
    assert!(EXAMPLE.contains(from), "the example has no {from}");
    load_text(&EXAMPLE.replace(from, to), &env_with([]))
}

#[track_caller]
fn refused(result: Result<Config, ConfigError>, key: &str, part: &str) {
    let error = result.expect_err("this loads");
    let text = error.to_string();
    assert_eq!(error.key(), key, "{text}");
    assert!(text.contains(part), "{text}");
    assert!(!text.contains('\n'), "{text}");
    assert!(!text.contains("hush"), "{text}");
}

#[test]
fn the_example_loads_and_says_what_it_holds() {
    let config = load_with([]).unwrap();
    assert_eq!(config.ledger.url.path(), Some(Path::new("tributary.db")));
    assert_eq!(config.http.tokens[0].role, Role::Operator);
    assert_eq!(config.destinations["partnerstack"].mode, Mode::Live);
    let source = &config.sources["stripe"];
    assert_eq!(source.provider, "stripe");
    assert_eq!(
        source.forward_from.unwrap().to_string(),
        "2026-06-01T00:00:00Z"
    );
    assert_eq!(
        config.partial_refunds(source),
        crate::plan::Policy::Negative
    );
    let secrets = config.secrets();
    assert_eq!(secrets.source("stripe")[0].expose_secret(), "whsec_hush");
    assert!(secrets.source("other").is_empty());
    let keys = secrets.destination("partnerstack").unwrap();
    assert_eq!(keys.secret_key.expose_secret(), "sk_hush");
    assert_eq!(secrets.tokens().len(), 1);
}

#[test]
fn the_example_names_every_key_and_its_default() {
    // Keys that are commented out count; prose never looks like `# key = …`.
    let text: String = EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if rest.split_once(" = ").is_some_and(|(k, _)| is_key(k)) => rest,
            _ => line,
        })
        .map(|line| format!("{line}\n"))
        .collect();
    let root: Table = text.parse().unwrap();
    let names =
        |value: &Value| -> BTreeSet<String> { value.as_table().unwrap().keys().cloned().collect() };
    let code = |keys: &[&str]| -> BTreeSet<String> { keys.iter().map(|k| (*k).into()).collect() };
    assert_eq!(names(&root["ledger"]), code(read::keys_of::<Ledger>()));
    assert_eq!(names(&root["http"]), code(read::keys_of::<Http>()));
    assert_eq!(
        names(&root["http"]["tokens"][0]),
        code(read::keys_of::<Token>())
    );
    assert_eq!(
        names(&root["destinations"]["partnerstack"]),
        code(read::keys_of::<Destination>())
    );
    assert_eq!(
        names(&root["sources"]["stripe"]),
        code(read::keys_of::<Source>())
    );
    assert_eq!(
        names(&root["sources"]["stripe"]["api"]),
        code(read::keys_of::<ProviderApi>())
    );

    let least = r#"
        [[http.tokens]]
        name = "ops"
        role = "operator"
        token = { env = "TRIBUTARY_OPS_TOKEN" }
        [destinations.partnerstack]
        public_key = { env = "PARTNERSTACK_PUBLIC_KEY" }
        secret_key = { env = "PARTNERSTACK_SECRET_KEY" }
        [sources.stripe]
        provider = "stripe"
        destination = "partnerstack"
        secrets = [{ env = "STRIPE_WEBHOOK_SECRET" }]
        forward_from = 2026-06-01T00:00:00Z
    "#;
    let least = load_text(least, &env_with([])).unwrap();
    assert_eq!(least.effective(), load_with([]).unwrap().effective());
}

fn is_key(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

#[test]
fn a_variable_overrides_a_key() {
    let text = EXAMPLE
        .replace("partnerstack]", "my-account]")
        .replace("\"partnerstack\"", "\"my-account\"");
    let config = load_text(
        &text,
        &env_with([
            ("TRIBUTARY__DESTINATIONS__MY_ACCOUNT__BURST", "7"),
            ("TRIBUTARY__DESTINATIONS__MY_ACCOUNT__V2_AVAILABLE", "false"),
            ("TRIBUTARY__HTTP__TOKENS__0__NAME", "42"),
            ("TRIBUTARY__SOURCES__STRIPE__CUSTOMER_KEY", "[\"email\"]"),
            ("TRIBUTARY__SOURCES__STRIPE__ACCOUNT", "0123"),
            (
                "TRIBUTARY__SOURCES__STRIPE__SECRETS",
                "[{ env = \"A\" }, { env = \"B\" }]",
            ),
            ("A", "one"),
            ("B", "two"),
            ("TRIBUTARY_LOG", "debug"),
            ("TRIBUTARY_SOMETHING", "not a key"),
        ]),
    )
    .unwrap();
    let destination = &config.destinations["my-account"];
    assert_eq!((destination.burst, destination.v2_available), (7, false));
    assert_eq!(config.http.tokens[0].name, "42");
    let source = &config.sources["stripe"];
    assert_eq!(source.customer_key, Some(vec![crate::lookup::Rule::Email]));
    assert_eq!(source.settings["account"].as_str(), Some("0123"));
    assert_eq!(config.secrets().source("stripe").len(), 2);
}

#[test]
fn a_wrong_variable_is_named() {
    let name = "TRIBUTARY__DESTINATIONS__PARTNERSTACK__BURST";
    refused(
        load_with([(name, "hush")]),
        "destinations.partnerstack.burst",
        name,
    );
    refused(
        load_with([("TRIBUTARY__SOURCES__STRIPE__SECRETS", "[hush")]),
        "TRIBUTARY__SOURCES__STRIPE__SECRETS",
        "TOML",
    );
    refused(
        load_with([("TRIBUTARY__LEDGER__URL__X", "hush")]),
        "TRIBUTARY__LEDGER__URL__X",
        "no table",
    );
    refused(
        load_with([("TRIBUTARY__LEDGER____URL", "hush")]),
        "TRIBUTARY__LEDGER____URL",
        "no key",
    );
    refused(
        load_with([("TRIBUTARY__LEDGER__NOPE", "hush")]),
        "ledger.nope",
        "TRIBUTARY__LEDGER__NOPE",
    );
    refused(
        load_with([("TRIBUTARY__HTTP", "hush")]),
        "http",
        "must be a table",
    );
}

#[test]
fn the_file_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let default = folder.path().join("tributary.toml");
    let env = Env::of([("TRIBUTARY_CONFIG", "other.toml")]);
    let named = which_file(Some(Path::new("x.toml")), &env, &default).unwrap();
    assert_eq!(named, Path::new("x.toml"));
    assert_eq!(
        which_file(None, &env, &default).unwrap(),
        Path::new("other.toml")
    );
    let error = which_file(None, &Env::of([]), &default).unwrap_err();
    assert!(error.to_string().contains("TRIBUTARY_CONFIG"));
    fs::write(&default, EXAMPLE).unwrap();
    assert_eq!(which_file(None, &env, &default).unwrap(), default);

    let config = Config::load(Some(&default), &env_with([]), PROVIDERS).unwrap();
    assert_eq!(config.file, default);
    let missing = folder.path().join("missing.toml");
    let error = Config::load(Some(&missing), &Env::of([]), PROVIDERS).unwrap_err();
    assert!(error.to_string().contains("cannot be read"), "{error}");
}

#[test]
fn a_loopback_destination_may_speak_http() {
    for host in [
        "http://127.0.0.1:9",
        "http://localhost:9/",
        "http://[::1]:9/x/",
    ] {
        let to = format!("base_url = \"{host}\"");
        let config = changed("base_url = \"https://api.partnerstack.com\"", &to).unwrap();
        let base = &config.destinations["partnerstack"].base_url;
        assert_eq!(base, host.trim_end_matches('/'));
    }
}
