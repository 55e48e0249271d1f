//! Chargify (Maxio Advanced Billing): payments, refunds and rejected direct
//! debits.
//!
//! Source: Chargify's documentation, "Webhooks", with its example payloads, and
//! Maxio's "Webhooks Reference". `payment_success` alone is a payment: Chargify
//! sends `renewal_success`, `signup_success`, statements and invoices beside it
//! for the same money. Chargebacks are not read, because no webhook tells them.

mod form;
mod signature;

use serde::Deserialize;

use self::form::{Form, needed};
use super::{Document, Genuine, NotGenuine, Provider, Request, Secret, SettingsError, Unreadable};
use crate::money::{Currency, Minor};
use crate::movement::{
    Alias, Authority, Basis, Class, Clue, Fact, Movement, Reading, Scope, Subject, rank,
};
use crate::time::{SECOND_MS, Time};

/// The name in the configuration.
pub const NAME: &str = "chargify";

/// The events that are looked into; every other one is ignored with a reason.
pub const EVENTS: &[&str] = &[
    "direct_debit_payment_rejected",
    "payment_success",
    "refund_success",
];

/// Where the customer key is looked for. An email is not among them: it can be
/// typed by anybody, so a source has to ask for it.
const LOOKUP: &[&str] = &["reference", "link:customer"];

/// The header that repeats the delivery's id.
const ID_HEADER: &str = "x-chargify-webhook-id";

/// Decimal places of a currency whose hundredths are cents. What Chargify calls
/// a cent of any other currency is documented nowhere.
const CENT_PLACES: u32 = 2;

/// The gateway of test sites: it moves no money.
const TEST_GATEWAY: &str = "bogus";

/// The id of everything in a sample that Chargify's testing panel sends.
const SAMPLE_ID: &str = "0";

/// Why a sample is ignored.
const SAMPLE: &str = "this is a sample of Chargify's webhook testing panel: it has no real ids";

/// The settings of a Chargify source.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default)]
    currency: Option<String>,
}

/// One source's view of Chargify.
#[derive(Clone, Debug)]
pub struct Chargify {
    currency: Option<Currency>,
}

impl Chargify {
    /// From a source's settings: `currency`, the currency of the site, for
    /// documents that name none.
    ///
    /// # Errors
    /// Names the key at fault.
    pub fn new(settings: toml::Table) -> Result<Chargify, SettingsError> {
        let settings: Settings = super::settings(settings)?;
        let wrong = |why: &str| SettingsError::new("currency", why);
        let currency = match settings.currency {
            None => None,
            Some(code) => Some(
                code.parse::<Currency>()
                    .map_err(|_| wrong("must be a three-letter currency code"))?,
            ),
        };
        match currency {
            Some(currency) if currency.exponent() != CENT_PLACES => Err(wrong(
                "must be a currency of two decimal places: Chargify states cents",
            )),
            currency => Ok(Chargify { currency }),
        }
    }

    /// The currency of a document: its own, else the site's.
    fn currency(&self, form: &Form<'_>) -> Result<Currency, Unreadable> {
        const FIELD: &str = "payload[subscription][currency]";
        match form.currency(FIELD)?.or(self.currency) {
            None => Err(Unreadable::field(
                FIELD,
                "is missing, and the source has no setting `currency`",
            )),
            Some(currency) if currency.exponent() != CENT_PLACES => Err(Unreadable::field(
                FIELD,
                "has no cents, so what amount_in_cents counts is not known",
            )),
            Some(currency) => Ok(currency),
        }
    }
}

impl Provider for Chargify {
    fn name(&self) -> &'static str {
        NAME
    }

    fn verify(
        &self,
        request: &Request<'_>,
        secrets: &[Secret],
        _now: Time,
    ) -> Result<Genuine, NotGenuine> {
        signature::verify(request, secrets)
    }

    fn parse(&self, document: &Document<'_>) -> Result<Reading, Unreadable> {
        let form = Form::read(document.body)?;
        let event = needed("event", form.id("event")?)?;
        let kept = document.kept.headers.get(ID_HEADER).map(|id| id.trim());
        let delivery_id = form.id("id")?.or(kept.filter(|id| !id.is_empty()));
        let mut reading = Reading {
            delivery_id: delivery_id.map(str::to_owned),
            event: event.to_owned(),
            ..Reading::default()
        };
        match event {
            "payment_success" => self.read_payment(&form, &mut reading)?,
            "refund_success" => self.read_refund(&form, &mut reading)?,
            "direct_debit_payment_rejected" => self.read_rejected(&form, &mut reading)?,
            other => reading.ignored = Some(foreign(other).to_owned()),
        }
        Ok(reading)
    }

    fn lookup(&self) -> &'static [&'static str] {
        LOOKUP
    }

    fn api(&self) -> Option<super::ask::Api> {
        None
    }

    fn key_set(&self) -> Option<&str> {
        None
    }
}

/// Why an event is not looked into.
fn foreign(event: &str) -> &'static str {
    match event {
        "test" => "this is Chargify's test of the endpoint",
        "renewal_success" | "signup_success" => {
            "the money behind it is reported by its own payment_success"
        }
        "statement_settled" | "statement_closed" => {
            "a statement lists payments that payment_success has reported one by one"
        }
        "payment_failure" | "renewal_failure" | "signup_failure" => {
            "no money was taken, so there is nothing to count and nothing to give back"
        }
        "refund_failure" => "the refund did not go through, so the payment stays as it is",
        "direct_debit_payment_pending" => {
            "the direct debit is under way; payment_success tells of the money"
        }
        "direct_debit_payment_paid_out" => {
            "the bank has paid out what payment_success has reported"
        }
        "customer_create" | "customer_update" => {
            "a customer changed; the customer key is read from the payment itself"
        }
        _ => "events of this type say nothing about payments and refunds",
    }
}

impl Chargify {
    /// Reads a payment.
    fn read_payment(&self, form: &Form<'_>, reading: &mut Reading) -> Result<(), Unreadable> {
        const ID: &str = "payload[transaction][id]";
        const AT: &str = "payload[transaction][created_at]";
        const AMOUNT: &str = "payload[transaction][amount_in_cents]";
        needed(ID, form.sent(ID)?)?;
        reading.scope = scope(form.text("payload[transaction][gateway_used]")?);
        let id = real(form.id(ID)?).filter(|_| !sampled(form, "payload[subscription][id]"));
        let Some(id) = id else {
            reading.ignored = Some(SAMPLE.to_owned());
            return Ok(());
        };
        if let Some(why) = no_payment(form)? {
            reading.ignored = Some(why.to_owned());
            return Ok(());
        }
        let amount = needed(AMOUNT, form.cents(AMOUNT)?)?;
        if amount == 0 {
            reading.ignored = Some("the payment is of nothing".to_owned());
            return Ok(());
        }
        let at = needed(AT, form.time(AT)?)?;
        let named = |field: &str| Ok(form.clue(field)?.map(str::to_owned));
        let fact = Fact {
            product_key: named("payload[subscription][product][handle]")?,
            category_key: named("payload[subscription][product][product_family][handle]")?,
            ..fact(
                Class::Capture,
                rank::CAPTURED,
                id,
                amount,
                self.currency(form)?,
                at,
            )
        };
        state(reading, id, fact);
        name_payment(form, id, reading)?;
        let customer = [
            ("reference", "payload[subscription][customer][reference]"),
            ("customer", "payload[subscription][customer][id]"),
            ("customer", "payload[transaction][customer_id]"),
            ("email", "payload[subscription][customer][email]"),
        ];
        add_clues(form, id, seconds(at), &customer, reading)
    }

    /// Reads a refund. It is flat: no subscription and so no currency.
    fn read_refund(&self, form: &Form<'_>, reading: &mut Reading) -> Result<(), Unreadable> {
        const PAYMENT: &str = "payload[payment_id]";
        const ID: &str = "payload[refund_id]";
        const AT: &str = "payload[timestamp]";
        const AMOUNT: &str = "payload[amount_in_cents]";
        needed(PAYMENT, form.sent(PAYMENT)?)?;
        reading.scope = scope(form.text("payload[gateway_used]")?);
        let payment =
            real(form.id(PAYMENT)?).filter(|_| !sampled(form, "payload[subscription_id]"));
        let Some(payment) = payment else {
            reading.ignored = Some(SAMPLE.to_owned());
            return Ok(());
        };
        let id = needed(ID, real(form.id(ID)?))?;
        let amount = needed(AMOUNT, form.cents(AMOUNT)?)?;
        if amount == 0 {
            reading.ignored = Some("the refund is of nothing".to_owned());
            return Ok(());
        }
        let at = needed(AT, form.time(AT)?)?;
        let fact = Fact {
            version: seconds(at),
            ..fact(
                Class::Refund,
                rank::LIVE,
                id,
                amount,
                self.currency(form)?,
                at,
            )
        };
        state(reading, payment, fact);
        // What the payment itself says of its customer goes before this,
        // whichever comes first: hence the oldest version there is.
        let customer = [
            ("reference", "payload[customer_reference]"),
            ("customer", "payload[customer_id]"),
            ("email", "payload[customer_email]"),
        ];
        add_clues(form, payment, 0, &customer, reading)
    }

    /// Reads a direct debit that the bank rejected. Where it names the payment,
    /// the whole of it is undone; the documentation shows no body of it.
    fn read_rejected(&self, form: &Form<'_>, reading: &mut Reading) -> Result<(), Unreadable> {
        const AT: &str = "payload[timestamp]";
        const CREATED: &str = "payload[transaction][created_at]";
        let flat = form.text("payload[gateway_used]")?;
        let gateway = form.text("payload[transaction][gateway_used]")?.or(flat);
        reading.scope = scope(gateway);
        let flat = form.id("payload[payment_id]")?;
        let payment = form.id("payload[transaction][id]")?.or(flat);
        let Some(payment) = payment else {
            reading.ignored = Some(
                "the direct debit was rejected, and the event does not say which payment it was"
                    .to_owned(),
            );
            return Ok(());
        };
        if payment == SAMPLE_ID {
            reading.ignored = Some(SAMPLE.to_owned());
            return Ok(());
        }
        let flat = form.cents("payload[amount_in_cents]")?;
        let amount = form
            .cents("payload[transaction][amount_in_cents]")?
            .or(flat);
        let at = form.time(AT)?;
        let at = needed(AT, at.or(form.time(CREATED)?))?;
        let fact = Fact {
            version: seconds(at),
            ..fact(
                Class::Void,
                rank::LIVE,
                payment,
                amount.unwrap_or(0),
                self.currency(form)?,
                at,
            )
        };
        state(reading, payment, fact);
        Ok(())
    }
}

/// Why a `payment_success` is not a payment that went through.
fn no_payment(form: &Form<'_>) -> Result<Option<&'static str>, Unreadable> {
    const SUCCESS: &str = "payload[transaction][success]";
    const KIND: &str = "payload[transaction][type]";
    let kind = needed(KIND, form.text(KIND)?)?;
    match needed(SUCCESS, form.text(SUCCESS)?)? {
        "true" if kind == "Payment" => Ok(None),
        "true" => Ok(Some("the transaction is not of the type Payment")),
        "false" => Ok(Some("the transaction did not go through")),
        _ => Err(Unreadable::field(SUCCESS, "is neither true nor false")),
    }
}

/// An id, unless it is a sample's.
fn real(id: Option<&str>) -> Option<&str> {
    id.filter(|id| *id != SAMPLE_ID)
}

/// Whether a field has the id of a sample.
fn sampled(form: &Form<'_>, field: &str) -> bool {
    form.text(field) == Ok(Some(SAMPLE_ID))
}

/// Chargify has no mark for tests; only its own test gateway gives one away.
fn scope(gateway: Option<&str>) -> Scope {
    Scope {
        live: gateway
            .filter(|gateway| gateway.eq_ignore_ascii_case(TEST_GATEWAY))
            .map(|_| false),
        account: String::new(),
    }
}

fn seconds(at: Time) -> i64 {
    at.ms().div_euclid(SECOND_MS)
}

/// One fact; a capture needs no version, because Chargify never changes one.
fn fact(class: Class, rank: u8, id: &str, amount: Minor, currency: Currency, at: Time) -> Fact {
    Fact {
        class,
        id: id.to_owned(),
        basis: Basis::Each,
        rank,
        version: 0,
        authority: Authority::Webhook,
        amount,
        currency,
        at,
        partial_capture: false,
        product_key: None,
        category_key: None,
    }
}

/// Adds a movement about a payment.
fn state(reading: &mut Reading, payment: &str, fact: Fact) {
    reading.movements.push(Movement {
        about: Subject::Payment(payment.to_owned()),
        fact,
    });
}

/// The other ids of a payment.
fn name_payment(form: &Form<'_>, id: &str, reading: &mut Reading) -> Result<(), Unreadable> {
    let gateway = form.id("payload[transaction][gateway_used]")?;
    let at_gateway = match (
        gateway,
        form.id("payload[transaction][gateway_transaction_id]")?,
    ) {
        (Some(gateway), Some(id)) => Some(format!("{gateway}:{id}")),
        _ => None,
    };
    let of_transaction = form.id("payload[transaction][subscription_id]")?;
    let subscription = form.id("payload[subscription][id]")?.or(of_transaction);
    let named = [
        ("transaction", Some(id), true),
        ("gateway", at_gateway.as_deref(), true),
        (
            "invoice",
            form.id("payload[transaction][invoice_id]")?,
            false,
        ),
        ("subscription", subscription, false),
    ];
    for (kind, other, money) in named {
        let Some(other) = other else {
            continue;
        };
        reading.aliases.push(Alias {
            payment_id: id.to_owned(),
            kind: kind.to_owned(),
            id: other.to_owned(),
            money,
        });
    }
    Ok(())
}

/// Adds what the fields say of the customer, the first that speaks for each.
fn add_clues(
    form: &Form<'_>,
    payment: &str,
    version: i64,
    fields: &[(&str, &str)],
    reading: &mut Reading,
) -> Result<(), Unreadable> {
    for (clue, field) in fields {
        let Some(value) = form.clue(field)? else {
            continue;
        };
        if reading.clues.iter().any(|other| other.field == *clue) {
            continue;
        }
        reading.clues.push(Clue {
            payment_id: payment.to_owned(),
            field: (*clue).to_owned(),
            value: value.to_owned(),
            version,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
