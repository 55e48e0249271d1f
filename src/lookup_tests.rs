//! The rules: which names a customer, what each came to, and what is no rule.

use std::convert::Infallible;

use super::*;

fn rules(texts: &[&str]) -> Vec<Rule> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn run(clues: &[(&str, &str)], links: &[(&str, &str)]) -> Finding {
    let rules = rules(&["metadata.customer_key", "link:customer", "email"]);
    let get = |list: &[(&str, &str)], name: &str| {
        list.iter()
            .find(|it| it.0 == name)
            .map(|it| it.1.to_owned())
    };
    let known = |ask: Ask<'_>| match ask {
        Ask::Link { id, .. } => get(links, id).map_or(Known::Nobody, Known::Customer),
        _ => Known::Nobody,
    };
    let found = find::<Infallible>(&rules, |f| get(clues, f), |ask| Ok(known(ask)));
    found.unwrap_or_default()
}

#[test]
fn the_first_rule_that_names_a_customer_wins_and_all_are_kept() {
    let clues = [("customer", "cus_A"), ("email", "jenny@example.com")];
    let finding = run(&clues, &[("cus_A", "acme-42")]);
    assert_eq!(finding.customer, Some(Customer::key("acme-42")));
    assert_eq!(finding.tried.len(), 2);
    let finding = run(&clues, &[]);
    assert_eq!(finding.customer.map(|it| it.by), Some(CustomerBy::Email));
    assert_eq!(finding.tried[1].came_to, CameTo::NotLinked);
    assert!(finding.tried[2].sentence().contains("j***@***.com"));
}

#[test]
fn a_key_that_cannot_fit_is_not_a_key() {
    let long = "x".repeat(256);
    let finding = run(&[("metadata.customer_key", &long)], &[]);
    assert_eq!(finding.customer, None);
    assert_eq!(finding.tried[0].came_to, CameTo::TooLong);
}

#[test]
fn a_pattern_takes_a_part() {
    let run = |rule: &str, value: &str| {
        let rules = rules(&[rule]);
        let ask = |ask: Ask<'_>| match ask {
            Ask::Link { id: "42", .. } | Ask::ProviderKey("42") => {
                Ok(Known::Customer("acme".to_owned()))
            }
            _ => Ok(Known::Nobody),
        };
        let found = find::<Infallible>(&rules, |_| Some(value.to_owned()), ask);
        let finding = found.unwrap_or_default();
        (
            finding.customer.map(|it| it.value),
            finding.tried[0].came_to.clone(),
        )
    };
    let whole = run("metadata.ref ~ ^cust_[0-9]+", "cust_42~order_9");
    assert_eq!(whole.0.as_deref(), Some("cust_42"));
    let linked = run("link:order ~ ^cust_([0-9]+)", "cust_42~order_9");
    assert_eq!(linked.0.as_deref(), Some("acme"));
    let mirrored = run("mirror:order ~ ^cust_([0-9]+)", "cust_42~order_9");
    assert_eq!(mirrored.0.as_deref(), Some("acme"));
    assert_eq!(
        run("metadata.ref ~ ^cust_([0-9]+)", "guest").1,
        CameTo::NoMatch
    );
    assert_eq!(rules(&["a ~ ^x$"])[0].to_string(), "a ~ ^x$");
    for wrong in ["a ~ (", "~ x", "a ~ x{1000}{1000}"] {
        assert!(wrong.parse::<Rule>().is_err(), "{wrong}");
    }
}

#[test]
fn a_customer_of_the_mirror_is_named_only_where_it_is_the_only_one() {
    let rules = rules(&["mirror:customer", "mirror:email"]);
    let clue = |field: &str| match field {
        EMAIL => Some(" Ann@Example.COM ".to_owned()),
        "customer" => Some("cus_A".to_owned()),
        _ => None,
    };
    let run = |by_key: Known, by_email: Known| {
        let ask = |ask: Ask<'_>| match ask {
            Ask::ProviderKey("cus_A") => Ok(by_key.clone()),
            Ask::Email("ann@example.com") => Ok(by_email.clone()),
            other => Err(format!("{other:?}")),
        };
        find(&rules, clue, ask).unwrap()
    };
    let acme = || Known::Customer("acme".to_owned());
    let found = run(acme(), Known::Nobody);
    assert_eq!(found.customer, Some(Customer::key("acme")));
    let sentence = found.tried[0].sentence();
    assert!(sentence.contains("cus_A is the provider_key of the customer acme"));
    let found = run(Known::Several, acme());
    assert_eq!(found.customer, Some(Customer::key("acme")));
    assert_eq!(found.tried[0].came_to, CameTo::Ambiguous);
    let sentence = found.tried[1].sentence();
    assert!(!sentence.to_lowercase().contains("ann@"), "{sentence}");
    let found = run(Known::Keyless, Known::Nobody);
    assert_eq!(found.customer, None);
    let came: Vec<_> = found.tried.into_iter().map(|it| it.came_to).collect();
    assert_eq!(came, [CameTo::Keyless, CameTo::NotMirrored]);
}

#[test]
fn refuses_what_is_no_rule() {
    for text in [
        "",
        "mirror:",
        "mirror:a b",
        "link:",
        "metadata.",
        "a b",
        "link:a/b",
    ] {
        assert!(text.parse::<Rule>().is_err(), "{text}");
    }
}
