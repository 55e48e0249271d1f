//! Settings that are refused, and fields that hold anything; what documents read
//! as is in `fixtures/chargify`.

use super::*;

#[test]
fn the_events_are_sorted() {
    assert!(EVENTS.is_sorted());
}

#[test]
fn a_currency_that_cannot_be_used_is_named() {
    let key = |text: &str| {
        let table: toml::Table = text.parse().unwrap();
        Chargify::new(table).err().map(|error| error.key)
    };
    assert_eq!(key("currency = \"usd\""), None);
    for (text, at) in [
        ("currency = \"dollars\"", "currency"),
        ("currency = \"JPY\"", "currency"),
        ("currency = 5", "currency"),
        ("curency = \"USD\"", "curency"),
    ] {
        assert_eq!(key(text).as_deref(), Some(at), "{text}");
    }
}

/// Every field that is read, each with a value that can be read.
const FIELDS: &[(&str, &str)] = &[
    ("id", "1"),
    ("payload[transaction][id]", "2"),
    ("payload[transaction][type]", "Payment"),
    ("payload[transaction][success]", "true"),
    ("payload[transaction][amount_in_cents]", "500"),
    (
        "payload[transaction][created_at]",
        "2026-06-01 08:40:02 UTC",
    ),
    ("payload[transaction][gateway_used]", "adyen"),
    ("payload[transaction][gateway_transaction_id]", "3"),
    ("payload[transaction][invoice_id]", "4"),
    ("payload[transaction][customer_id]", "5"),
    ("payload[subscription][id]", "6"),
    ("payload[subscription][currency]", "USD"),
    ("payload[subscription][customer][reference]", "acme"),
    ("payload[subscription][product][handle]", "team"),
    ("payload[refund_id]", "7"),
    ("payload[payment_id]", "2"),
    ("payload[amount_in_cents]", "100"),
    ("payload[timestamp]", "2026-06-02 08:40:02 UTC"),
    ("payload[customer_reference]", "acme"),
];

#[test]
fn any_field_may_hold_anything_and_none_is_quoted() {
    let chargify = Chargify::new(toml::Table::new()).unwrap();
    let kept = crate::provider::Kept::default();
    let read = |event: &str, odd: Option<(usize, &str)>| {
        let mut body = format!("event={event}");
        for (index, (name, value)) in FIELDS.iter().enumerate() {
            let value = odd.filter(|odd| odd.0 == index).map_or(*value, |odd| odd.1);
            body.push_str(&format!("&{name}={value}"));
        }
        let body = body.as_bytes();
        chargify.parse(&Document { body, kept: &kept })
    };
    let long = "9".repeat(600);
    for event in EVENTS {
        assert_eq!(read(event, None).unwrap().movements.len(), 1, "{event}");
        for index in 0..FIELDS.len() {
            for odd in ["", "0", "-1", "1.5", "%00", "Sentinel", " ", &long] {
                match read(event, Some((index, odd))) {
                    Ok(reading) => {
                        let money = reading.movements.iter().map(|it| it.fact.amount);
                        assert!(money.into_iter().all(|amount| (0..=500).contains(&amount)));
                    }
                    Err(error) => assert!(!error.reason.contains("Sentinel"), "{error}"),
                }
            }
        }
    }
}
