//! Secrets: where they may stand, and that nothing shows them.

use super::*;

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

/// Whatever is written in place of any value, the error names a key on the way
/// there and does not repeat what was written.
#[test]
fn no_error_repeats_a_value() {
    let root: Table = EXAMPLE.parse().unwrap();
    let mut places = Vec::new();
    walk(&Value::Table(root.clone()), &mut Vec::new(), &mut places);
    let hush = || Value::String("whsec_hush".to_owned());
    let table = || Table::from_iter([("k".to_owned(), hush())]);
    let mut refusals = 0;
    for place in &places {
        for wrong in [
            hush(),
            Value::Array(vec![hush()]),
            Value::Table(table()),
            Value::Array(vec![Value::Table(table())]),
            Value::Integer(-7_777),
        ] {
            let mut changed = Value::Table(root.clone());
            let mut here = &mut changed;
            for step in place {
                here = match step.parse::<usize>() {
                    Ok(index) => &mut here[index],
                    Err(_) => &mut here[step.as_str()],
                };
            }
            *here = wrong;
            let text = toml::to_string(&changed).unwrap();
            if let Err(error) = load_text(&text, &env_with([])) {
                refusals += 1;
                let line = error.to_string();
                assert!(!line.contains("hush") && !line.contains("7777"), "{line}");
                assert!(line.contains(place[0].as_str()), "{place:?}: {line}");
                assert!(!line.contains('\n'), "{line}");
            }
        }
    }
    assert!(refusals > 100, "{refusals}");
}

fn walk(value: &Value, place: &mut Vec<String>, places: &mut Vec<Vec<String>>) {
    if !place.is_empty() {
        places.push(place.clone());
    }
    let inner: Vec<(String, &Value)> = match value {
        Value::Table(table) => table.iter().map(|(k, v)| (k.clone(), v)).collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(i, v)| (i.to_string(), v))
            .collect(),
        _ => Vec::new(),
    };
    for (step, value) in inner {
        place.push(step);
        walk(value, place, places);
        place.pop();
    }
}
