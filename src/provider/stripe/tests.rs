//! Robustness: whatever the bytes, no panic, and no amount that is not one.

use super::*;

fn stripe() -> Stripe {
    let settings: Settings = toml::Table::new().try_into().unwrap();
    Stripe::new(settings, None)
}

fn parse(body: &[u8]) -> Result<Reading, Unreadable> {
    stripe().parse(&Document { body })
}

#[test]
fn nonsense_is_unreadable_and_says_where() {
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for body in [
        &b""[..],
        b"\xff\xfe",
        b"{",
        b"null",
        b"[]",
        b"\"x\"",
        deep.as_bytes(),
    ] {
        assert!(parse(body).is_err());
    }
    let charge = |amount: &str| {
        format!(
            r#"{{"id":"evt_1","type":"charge.succeeded","created":1,"livemode":true,"data":{{"object":{{"id":"ch_1","object":"charge","amount":{amount},"currency":"usd"}}}}}}"#
        )
    };
    for amount in [
        "-1",
        "49.99",
        "\"4999\"",
        "null",
        "99999999999999999999",
        "100000000000000",
    ] {
        let error = parse(charge(amount).as_bytes()).unwrap_err();
        assert!(error.0.contains("amount"), "{amount}: {error}");
        assert!(!error.0.contains("4999"), "quotes the body: {error}");
    }
    assert!(parse(charge("4999").as_bytes()).is_ok());
}
