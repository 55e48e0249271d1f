//! Settings that are refused, each by its key, and what a rule does at its
//! limits. The cases in `fixtures/custom` show what is read.

use super::*;
use crate::provider::Kept;

/// The least that reads a payment.
const LEAST: &str = r#"
signature = { scheme = "hmac", header = "x-sign" }
event = { name = "/type", time = "/at" }
[[rules]]
movement = "payment"
payment_id = "/id"
amount = "/amount"
currency = "EUR"
"#;

fn key_at_fault(text: &str) -> Option<String> {
    Custom::new(text.parse().unwrap()).err().map(|it| it.key)
}

/// The least with one text changed.
fn changed(from: &str, to: &str) -> Option<String> {
    assert!(LEAST.contains(from), "{from}");
    key_at_fault(&LEAST.replace(from, to))
}

#[test]
fn a_setting_at_fault_is_named() {
    assert_eq!(key_at_fault(""), None);
    assert_eq!(key_at_fault(LEAST), None);
    for (from, to, key) in [
        ("name = \"/type\", ", "", "event.name"),
        ("/type", "{/type", "event.name"),
        (
            "event = {",
            "event = { id_header = \"x-id\",",
            "event.id_header",
        ),
        (", time = \"/at\"", "", "rules[0].time"),
        ("\"payment\"", "\"sale\"", "rules[0].movement"),
        ("\"payment\"", "\"refund\"", "rules[0].id"),
        ("\"payment\"", "\"customer\"", "rules[0].link"),
        ("payment_id = \"/id\"", "", "rules[0].payment_id"),
        ("amount = \"/amount\"", "", "rules[0].amount"),
        ("\"/amount\"", "\"amount\"", "rules[0].amount"),
        ("\"/amount\"", "[]", "rules[0].amount"),
        ("currency = \"EUR\"", "", "rules[0].currency"),
        ("\"EUR\"", "\"euro\"", "rules[0].currency"),
        ("\"EUR\"", "\"EUR\"\nbasis = \"total\"", "rules[0].basis"),
        (
            "\"EUR\"",
            "\"EUR\"\nclues = { \"link:x\" = \"/x\" }",
            "rules[0].clues",
        ),
        (
            "\"EUR\"",
            "\"EUR\"\nclues = { \"a b\" = \"/x\" }",
            "rules[0].clues",
        ),
        (
            "\"EUR\"",
            "\"EUR\"\nwhen = { type = \"paid\" }",
            "rules[0].when.type",
        ),
        ("\"EUR\"", "\"EUR\"\nsum = \"/x\"", "rules[0].sum"),
        (
            "\"EUR\"",
            "\"EUR\"\nreference = { kind = \"order\", id = \"/x\" }",
            "rules[0].reference",
        ),
    ] {
        assert_eq!(changed(from, to).as_deref(), Some(key), "{from} -> {to}");
    }
}

#[test]
fn a_signature_that_proves_nothing_is_refused() {
    let least = "scheme = \"hmac\", header = \"x-sign\"";
    for (to, key) in [
        ("header = \"x-sign\"", "scheme"),
        ("hash = \"sha512\"", "scheme"),
        ("scheme = \"md5\"", "scheme"),
        ("scheme = \"hmac\"", "header"),
        ("scheme = \"hmac\", header = \"x sign\"", "header"),
        ("scheme = \"basic\", header = \"x-sign\"", "header"),
        ("scheme = \"basic\", hash = \"sha1\"", "scheme"),
        ("scheme = \"token\", template = \"{body}\"", "scheme"),
        ("scheme = \"public-key\", header = \"x-sign\"", "algorithm"),
        (
            "scheme = \"public-key\", header = \"x\", algorithm = \"ed25519\", hash = \"sha1\"",
            "hash",
        ),
    ] {
        let key = format!("signature.{key}");
        assert_eq!(changed(least, to), Some(key), "{to}");
    }
    for (more, key) in [
        ("template = \"{timestamp}\"", "template"),
        ("template = \"{timestamp}{body}\"", "template"),
        ("template = \"{body\"", "template"),
        ("template = \"{bodies}{body}\"", "template"),
        ("template = \"{header:a b}{body}\"", "template"),
        ("template = \"{id}{body}\"", "id_header"),
        ("template = \"{url}{body}\"", "url"),
        ("timestamp_header = \"x-time\"", "template"),
        (
            "fields = { signature = \"v1\", timestamp = \"t\" }",
            "template",
        ),
        ("tolerance_seconds = 60", "tolerance_seconds"),
        (
            "template = \"{timestamp}{body}\", timestamp_header = \"x\", tolerance_seconds = 0",
            "tolerance_seconds",
        ),
        ("separator = \"\"", "separator"),
        ("algorithm = \"ed25519\"", "algorithm"),
        ("hash = \"md5\"", "hash"),
        ("key = \"ascii\"", "key"),
        ("output = \"hexadecimal\"", "output"),
        ("secret = \"x\"", "secret"),
    ] {
        let key = format!("signature.{key}");
        assert_eq!(
            changed(least, &format!("{least}, {more}")),
            Some(key),
            "{more}"
        );
    }
}

fn parse(text: &str, body: &str) -> Result<Reading, Unreadable> {
    let custom = Custom::new(text.parse().unwrap()).unwrap();
    let kept = Kept::default();
    custom.parse(&Document {
        body: body.as_bytes(),
        kept: &kept,
    })
}

#[test]
fn a_decimal_is_read_as_it_is_written() {
    let text = LEAST.replace("\"EUR\"", "\"/currency\"\namount_form = \"decimal\"");
    for (amount, currency, minor) in [
        ("49.99", "EUR", Some(4_999)),
        ("\"0.1\"", "EUR", Some(10)),
        ("1000", "JPY", Some(1_000)),
        ("10.5", "JPY", None),
        ("29.990", "KWD", Some(29_990)),
        ("29.990", "USD", Some(2_999)),
        ("29.991", "USD", None),
        ("4e1", "USD", None),
    ] {
        let body =
            format!(r#"{{"type":"paid","id":1,"at":5,"amount":{amount},"currency":"{currency}"}}"#);
        let read = parse(&text, &body).ok();
        let found = read.map(|reading| reading.movements[0].fact.amount);
        assert_eq!(found, minor, "{amount} {currency}");
    }
}

#[test]
fn a_list_has_a_limit() {
    let text = LEAST.replace("\"EUR\"", "\"EUR\"\neach = \"/all\"");
    let body = |members: usize| {
        let member = r#"{"id":1,"amount":5}"#;
        let all = vec![member; members].join(",");
        format!(r#"{{"type":"paid","at":5,"all":[{all}]}}"#)
    };
    let read = parse(&text, &body(1_000)).unwrap();
    assert_eq!(read.movements.len(), 1_000);
    let error = parse(&text, &body(1_001)).unwrap_err();
    assert_eq!(error.reason, "rules[0].each: has more than 1000 members");
}

#[test]
fn what_nothing_says_of_live_is_not_known() {
    let text = LEAST.replace(
        "event = {",
        "event = { live = { pointer = \"/live\", equals = [true, \"yes\", 1] },",
    );
    for (live, found) in [
        ("true", Some(true)),
        ("\"yes\"", Some(true)),
        ("1", Some(true)),
        ("false", Some(false)),
        ("null", None),
        ("{}", None),
    ] {
        let body = format!(r#"{{"type":"seen","live":{live},"id":1,"at":5,"amount":1}}"#);
        assert_eq!(parse(&text, &body).unwrap().scope.live, found, "{live}");
    }
}
