//! What is refused: every refusal names its key.

use super::*;

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
    for rule in ["metadata.", "link:", "link:A B", "a b", "", "metadata. x"] {
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
fn the_ledger_is_a_file_or_a_server_and_no_password_stands_in_its_url() {
    let url = |to: &str| changed("url = \"sqlite:tributary.db\"", &format!("url = {to}"));
    for holds in [
        "postgres://user:hush@host/db",
        "postgresql://user:hush@host/db",
        "postgres://user:hu@sh@host/db",
        "postgres://host/db?user=u&password=hush",
        "postgres://host/db?PassWord=hush",
    ] {
        refused(
            url(&format!("\"{holds}\"")),
            "ledger.url",
            "a password is never written here",
        );
    }
    refused(url("\"sqlite:\""), "ledger.url", "sqlite:PATH");
    refused(url("\"sqlite::memory:\""), "ledger.url", "outlive");
    refused(url("\"hush.db\""), "ledger.url", "sqlite:PATH");
    refused(url("\"sqlite://hush.db\""), "ledger.url", "slashes");
    refused(url("7"), "ledger.url", "sqlite:PATH");
    let absolute = url("\"sqlite:///var/lib/t.db\"").unwrap();
    assert_eq!(absolute.ledger.url.path(), Some(Path::new("/var/lib/t.db")));
    let server = url("\"postgres://user@host:5432/db?sslmode=require\"").unwrap();
    assert_eq!(server.ledger.url.path(), None);
    assert_eq!(
        server.ledger_url().unwrap().expose_secret(),
        "postgres://user@host:5432/db?sslmode=require"
    );
}

#[test]
fn the_password_of_a_server_is_put_into_its_url_and_shown_nowhere() {
    let place = |url: &str| {
        let both = format!("url = \"{url}\"\npassword = {{ env = \"STRIPE_WEBHOOK_SECRET\" }}");
        changed("url = \"sqlite:tributary.db\"", &both).unwrap()
    };
    let server = place("postgres://user@host,other/db");
    let url = server.ledger_url().unwrap();
    let password = server.secrets().source("stripe")[0]
        .expose_secret()
        .to_owned();
    let escaped = password.replace('_', "%5F");
    assert_eq!(
        url.expose_secret(),
        format!("postgres://user:{escaped}@host,other/db")
    );
    assert!(!format!("{server:?}{}", server.effective()).contains(&password));
    for (url, why) in [
        ("postgres://host/db", "needs a user"),
        ("sqlite:t.db", "a file has no password"),
    ] {
        let error = place(url).ledger_url().unwrap_err();
        assert_eq!(error.key(), "ledger.password");
        assert!(error.to_string().contains(why), "{error}");
    }
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
    // Where the keys are published none has to be written down.
    changed(line, "jwks_url = \"https://keys.example/jwks\"").unwrap();
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
