//! The configuration from the outside: what loads, what is refused, and that
//! every refusal names its key and never a value.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use secrecy::ExposeSecret;

use super::*;

const EXAMPLE: &str = include_str!("../../config.example.toml");
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
    assert_eq!(config.ledger.url.path(), Path::new("tributary.db"));
    assert_eq!(config.http.tokens[0].role, Role::Operator);
    assert_eq!(config.destinations["partnerstack"].mode, Mode::Live);
    let source = &config.sources["stripe"];
    assert_eq!(source.provider, "stripe");
    assert_eq!(
        source.forward_from.unwrap().to_string(),
        "2026-06-01T00:00:00Z"
    );
    assert_eq!(config.partial_refunds(source), PartialRefunds::Negative);
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
fn an_unknown_key_is_named() {
    refused(
        changed("burst = 5", "bursts = 5"),
        "destinations.partnerstack.bursts",
        "`burst`",
    );
    refused(
        changed("public = ", "publick = "),
        "http.publick",
        "no key here",
    );
    refused(
        changed("role = \"operator\"", "role = \"operator\"\nscope = 1"),
        "http.tokens[0].scope",
        "no key here",
    );
    refused(changed("[ledger]", "[leger]"), "leger", "no key here");
    let source = changed("retired = false", "path_tokn = 1").unwrap();
    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Settings {}
    let error = source.sources["stripe"]
        .read_settings::<Settings>()
        .unwrap_err();
    assert_eq!(error.key(), "sources.stripe.path_tokn");
}

#[test]
fn a_wrong_value_is_named_and_not_quoted() {
    let ps = "destinations.partnerstack";
    for (from, to, key, part) in [
        ("api = \"v2\"", "api = \"hush\"", "api", "`v2`"),
        (
            "mode = \"live\"",
            "mode = { hush = 1 }",
            "mode",
            "configuration",
        ),
        ("burst = 5", "burst = 0", "burst", "1 to 1000"),
        (
            "burst = 5",
            "burst = \"hush\"",
            "burst",
            "must be a whole number",
        ),
        (
            "timeout_seconds = 20",
            "timeout_seconds = 121",
            "timeout_seconds",
            "120",
        ),
        (
            "v2_available = true",
            "v2_available = \"hush\"",
            "v2_available",
            "true or false",
        ),
    ] {
        refused(changed(from, to), &format!("{ps}.{key}"), part);
    }
    for url in [
        "http://api.partnerstack.com",
        "https://hush:hush@host",
        "https://host/?hush=1",
        "hush",
        "ftp://x",
    ] {
        let to = format!("base_url = \"{url}\"");
        refused(
            changed("base_url = \"https://api.partnerstack.com\"", &to),
            "destinations.partnerstack.base_url",
            "must b",
        );
    }
    refused(
        changed("public = \"127.0.0.1:8080\"", "public = \"localhost\""),
        "http.public",
        "port",
    );
    refused(
        changed("2026-06-01T00:00:00Z", "hush"),
        "sources.stripe.forward_from",
        "RFC 3339",
    );
    for rule in ["metadata.", "link:", "link:A B", "phone", "", "metadata. x"] {
        let to = format!("customer_key = [\"email\", \"{rule}\"]");
        refused(
            changed("retired = false", &to),
            "sources.stripe.customer_key[1]",
            "link:KIND",
        );
    }
    refused(
        changed("retired = false", "customer_key = []"),
        "sources.stripe.customer_key",
        "one rule",
    );
}

#[test]
fn the_ledger_is_a_sqlite_file() {
    let url = |to: &str| changed("url = \"sqlite:tributary.db\"", &format!("url = {to}"));
    refused(
        url("\"postgres://user:hush@host/db\""),
        "ledger.url",
        "this version keeps its ledger in SQLite only",
    );
    refused(url("\"sqlite:\""), "ledger.url", "sqlite:PATH");
    refused(url("\"sqlite::memory:\""), "ledger.url", "outlive");
    refused(url("\"hush.db\""), "ledger.url", "sqlite:PATH");
    refused(url("\"sqlite://hush.db\""), "ledger.url", "slashes");
    refused(url("7"), "ledger.url", "sqlite:PATH");
    let absolute = url("\"sqlite:///var/lib/t.db\"").unwrap();
    assert_eq!(absolute.ledger.url.path(), Path::new("/var/lib/t.db"));
}

#[test]
fn a_secret_is_never_inline() {
    refused(
        changed("{ env = \"PARTNERSTACK_SECRET_KEY\" }", "\"sk_hush\""),
        "destinations.partnerstack.secret_key",
        "never written here",
    );
    refused(
        changed("[{ env = \"STRIPE_WEBHOOK_SECRET\" }]", "\"whsec_hush\""),
        "sources.stripe.secrets",
        "array",
    );
    refused(
        changed("[{ env = \"STRIPE_WEBHOOK_SECRET\" }]", "[\"whsec_hush\"]"),
        "sources.stripe.secrets[0]",
        "never written here",
    );
    refused(
        changed("{ env = \"TRIBUTARY_OPS_TOKEN\" }", "{ value = \"hush\" }"),
        "http.tokens[0].token",
        "never written here",
    );
    refused(
        changed("\"STRIPE_WEBHOOK_SECRET\"", "\"whsec_hush\""),
        "sources.stripe.secrets[0]",
        "not set",
    );
    refused(
        changed(
            "{ env = \"STRIPE_WEBHOOK_SECRET\" }",
            "{ file = \"whsec_hush\" }",
        ),
        "sources.stripe.secrets[0]",
        "cannot read its file",
    );
    let broken = EXAMPLE.replace("{ env = \"PARTNERSTACK_SECRET_KEY\" }", "sk_hush");
    let error = load_text(&broken, &env_with([])).unwrap_err().to_string();
    assert!(error.contains("key secret_key"), "{error}");
    assert!(!error.contains("hush"), "{error}");
}

#[test]
fn sources_are_checked_against_the_rest() {
    let live = "sources.stripe.forward_from";
    refused(
        changed("forward_from = \"2026-06-01T00:00:00Z\"", ""),
        live,
        "live",
    );
    let text = EXAMPLE
        .replace("forward_from = \"2026-06-01T00:00:00Z\"", "")
        .replace("mode = \"live\"", "mode = \"test\"");
    load_text(&text, &env_with([])).unwrap();
    refused(
        changed("provider = \"stripe\"", "provider = \"hush\""),
        "sources.stripe.provider",
        "one of: stripe",
    );
    refused(
        changed("destination = \"partnerstack\"", "destination = \"hush\""),
        "sources.stripe.destination",
        "no [destinations]",
    );
    refused(
        changed("provider = \"stripe\"", ""),
        "sources.stripe.provider",
        "is required",
    );
    let none = "secrets = []";
    let line = "secrets = [{ env = \"STRIPE_WEBHOOK_SECRET\" }]";
    refused(changed(line, none), "sources.stripe.secrets", "believed");
    refused(changed(line, ""), "sources.stripe.secrets", "believed");
    let closed = EXAMPLE.replace(line, none).replace("= false", "= true");
    load_text(&closed, &env_with([])).unwrap();
}

#[test]
fn names_have_one_form() {
    for name in ["Stripe", "a", "-ab", "a_b", "\"a.b\"", &"x".repeat(33)] {
        let result = changed("[sources.stripe]", &format!("[sources.{name}]"));
        let key = format!("sources.{}", name.trim_matches('"'));
        refused(result, &key, "small letters");
    }
    refused(
        changed("[sources.stripe]", "[sources.api]"),
        "sources.api",
        "kept",
    );
    refused(
        changed("[destinations.partnerstack]", "[destinations.P]"),
        "destinations.P",
        "names",
    );
}

#[test]
fn the_admin_listener_is_not_left_open() {
    let open = EXAMPLE.replace("127.0.0.1:8081", "0.0.0.0:8081");
    load_text(&open, &env_with([])).unwrap();
    refused(
        load_text(&open, &env_with([("TRIBUTARY__HTTP__TOKENS", "[]")])),
        "http.admin",
        "needs http.tokens",
    );
    let token = "[[http.tokens]]\nname = \"ops\"\nrole = \"viewer\"\ntoken = { env = \"T\" }\n";
    let two = EXAMPLE.replace("[[http.tokens]]", &format!("{token}[[http.tokens]]"));
    refused(
        load_text(&two, &env_with([("T", "another-long-token")])),
        "http.tokens[1].name",
        "same name",
    );
    let two = two.replacen("name = \"ops\"", "name = \"one\"", 1);
    refused(
        load_text(&two, &env_with([("T", TOKEN)])),
        "http.tokens[1].token",
        "same value",
    );
    refused(
        load_text(&two, &env_with([("T", "short-hush")])),
        "http.tokens[0].token",
        "at least 16",
    );
    refused(
        load_text(&two, &env_with([("T", "long enough, with spaces: hush")])),
        "http.tokens[0].token",
        "without spaces",
    );
    refused(
        changed("127.0.0.1:8081", "127.0.0.1:8080"),
        "http.admin",
        "differ",
    );
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
    assert_eq!(source.customer_key, Some(vec![KeyRule::Email]));
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
fn the_effective_configuration_loads_again_and_shows_no_secret() {
    let text = EXAMPLE.replace(
        "retired = false",
        "api_key = \"inline-hush\"\nclient = { password = \"hush\", id = 5 }\nreader = { env = \"R\" }",
    );
    let env = env_with([("R", "reader-hush")]);
    let config = load_text(&text, &env).unwrap();
    let shown = config.effective();
    assert!(!shown.contains("hush"), "{shown}");
    assert!(shown.contains("secret_key = { env = \"PARTNERSTACK_SECRET_KEY\" }  # set"));
    assert!(shown.contains("api_key = \"********\""), "{shown}");
    assert!(!format!("{config:?}").contains("hush"));
    assert!(!format!("{env:?}").contains("hush"));
    let secrets = config.secrets();
    assert_eq!(
        secrets.setting("stripe", "reader").unwrap().expose_secret(),
        "reader-hush"
    );
    let again = load_text(&shown, &env).unwrap();
    assert_eq!(again.effective(), shown);

    let text = EXAMPLE.replace("\"PARTNERSTACK_SECRET_KEY\"", "\"sk_hush\"");
    let unread = Config::parse(PathBuf::from("test.toml"), &text, &env, PROVIDERS).unwrap();
    assert!(!unread.effective().contains("hush"));
    assert!(unread.effective().contains("# not read"));
    assert!(!format!("{unread:?}").contains("hush"));
}

#[test]
fn secrets_are_read_again_all_or_none() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("one"), folder.path().join("two"));
    fs::write(&first, "whsec_one\n").unwrap();
    fs::write(&second, "whsec_two\r\n").unwrap();
    let list = format!(
        "[{{ file = \"{}\" }}, {{ file = \"{}\" }}]",
        first.display(),
        second.display()
    );
    let config = changed("[{ env = \"STRIPE_WEBHOOK_SECRET\" }]", &list).unwrap();
    let texts = || -> Vec<String> {
        let secrets = config.secrets();
        let all = secrets.source("stripe").iter();
        all.map(|s| s.expose_secret().to_owned()).collect()
    };
    assert_eq!(texts(), ["whsec_one", "whsec_two"]);
    fs::write(&first, "whsec_new").unwrap();
    fs::write(&second, "\n").unwrap();
    let error = config.reload_secrets().unwrap_err();
    assert_eq!(error.key(), "sources.stripe.secrets[1]");
    assert_eq!(texts(), ["whsec_one", "whsec_two"]);
    fs::write(&second, "whsec_two").unwrap();
    config.reload_secrets().unwrap();
    assert_eq!(texts(), ["whsec_new", "whsec_two"]);
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
