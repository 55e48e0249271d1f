//! From an event to a reading: which object it is about and what that states.
//!
//! Every figure is checked before it becomes a fact; a reason never quotes the
//! body. Charges, refunds, disputes and invoices have a function each.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::objects::{
    Charge, Customer, Dispute, Entry, Event, Invoice, InvoicePayment, Loose, Metadata, Ref, Refund,
    Tagged, Text,
};
use super::{InvoiceAmount, PaymentEvent, Stripe};
use crate::money::{Currency, LARGEST_MINOR, Minor};
use crate::movement::{
    Alias, Authority, Basis, Class, Clue, Fact, Link, Movement, Reading, Scope, Subject, rank,
};
use crate::provider::Unreadable;
use crate::time::Time;

/// Stripe's limits: 50 metadata keys with values of 500 characters.
const METADATA_MOST: usize = 50;
const METADATA_VALUE_MOST_CHARS: usize = 500;

/// Ids are up to 255 characters by Stripe's own advice.
const ID_MOST_BYTES: usize = 255;

/// What every object of an event needs to know about the event.
struct Context<'a> {
    stripe: &'a Stripe,
    kind: &'a str,
    created: i64,
    created_at: Time,
}

/// The figures of a charge that its facts are made of.
#[derive(Clone, Copy)]
struct Sums {
    captured: bool,
    whole: Minor,
    taken: Minor,
    currency: Currency,
}

type Read<T> = Result<T, Unreadable>;

fn bad(field: &str) -> Unreadable {
    Unreadable(format!(
        "the field {field} is missing or is not what it should be"
    ))
}

pub(super) fn read(stripe: &Stripe, body: &[u8]) -> Read<Reading> {
    let event: Event<'_> = from_json(body, "")?;
    let kind = event
        .kind
        .as_deref()
        .filter(|kind| !kind.is_empty())
        .ok_or_else(|| bad("type"))?;
    let delivery_id = id(event.id.as_deref(), "id")?;
    let scope = Scope {
        live: event.livemode,
        account: event.account.as_deref().unwrap_or_default().to_owned(),
    };
    let mut reading = if event.object.as_deref() == Some("v2.core.event") {
        Reading::ignored(
            kind,
            "a thin event without the object; set the endpoint to the snapshot payload style",
        )
    } else {
        let created = event.created.and_then(|raw| raw.get().parse().ok());
        let created: i64 = created.ok_or_else(|| bad("created"))?;
        let context = Context {
            stripe,
            kind,
            created,
            created_at: Time::from_seconds(created).ok_or_else(|| bad("created"))?,
        };
        let object = event
            .data
            .and_then(|data| data.object)
            .ok_or_else(|| bad("data.object"))?;
        context.object(object)?
    };
    reading.event = kind.to_owned();
    reading.delivery_id = Some(delivery_id);
    reading.scope = scope;
    Ok(reading)
}

fn from_json<'a, T: Deserialize<'a>>(body: &'a [u8], at: &str) -> Read<T> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        match error.into_inner().classify() {
            serde_json::error::Category::Data => bad(&format!("{at}{path}")),
            _ => Unreadable("the body is not well-formed JSON".to_owned()),
        }
    })?;
    json.end()
        .map_err(|_| Unreadable("the body is not well-formed JSON".to_owned()))?;
    Ok(value)
}

fn part<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Read<T> {
    from_json(raw.get().as_bytes(), "data.object.")
}

fn id(text: Option<&str>, field: &str) -> Read<String> {
    match text {
        Some(id)
            if !id.is_empty() && id.len() <= ID_MOST_BYTES && !id.contains(char::is_control) =>
        {
            Ok(id.to_owned())
        }
        _ => Err(bad(field)),
    }
}

fn optional_id(reference: Option<&Ref<'_>>, field: &str) -> Read<Option<String>> {
    match reference.and_then(Ref::id) {
        Some("") | None => Ok(None),
        some => id(some, field).map(Some),
    }
}

fn amount(value: Option<Minor>, field: &str) -> Read<Minor> {
    value
        .filter(|amount| (0..=LARGEST_MINOR).contains(amount))
        .ok_or_else(|| bad(field))
}

fn currency(text: Option<&Text<'_>>) -> Read<Currency> {
    text.and_then(|code| code.parse().ok())
        .ok_or_else(|| bad("data.object.currency"))
}

fn seconds(value: Option<i64>, otherwise: Time) -> Time {
    value.and_then(Time::from_seconds).unwrap_or(otherwise)
}

/// A metadata value that is of use: text, outer white space removed, not empty.
fn text(value: &Option<Loose>) -> Option<String> {
    let text = match value.as_ref()? {
        Loose::Text(text) => text.trim().to_owned(),
        Loose::Number(number) => number.to_string(),
        Loose::Truth(truth) => truth.to_string(),
        Loose::Other(_) => return None,
    };
    let fits = (1..=METADATA_VALUE_MOST_CHARS).contains(&text.chars().count());
    fits.then_some(text)
}

fn entry(metadata: Option<&Metadata>, name: &str) -> Option<String> {
    text(metadata?.get(name)?)
}

impl Context<'_> {
    fn object(&self, raw: &RawValue) -> Read<Reading> {
        let tagged: Tagged<'_> = part(raw)?;
        let is = tagged.object.as_deref().unwrap_or_default();
        match (self.kind, is) {
            ("customer.created" | "customer.updated", _) => self.customer(&part(raw)?),
            ("customer.deleted", _) => Ok(Reading::ignored(
                "",
                "a customer was deleted; the link stays, because later refunds still need it",
            )),
            // The object decides: charge.refund.updated carries a refund.
            (
                "charge.refund.updated"
                | "refund.created"
                | "refund.updated"
                | "refund.failed"
                | "charge.refunded",
                "refund",
            ) => self.refund(&part(raw)?),
            ("charge.succeeded" | "charge.captured" | "charge.refunded", "charge" | "") => {
                self.charge(&part(raw)?)
            }
            (kind, "dispute" | "") if kind.starts_with("charge.dispute.") => {
                self.dispute(&part(raw)?)
            }
            ("invoice.paid" | "invoice.payment_succeeded", "invoice" | "") => {
                self.invoice(&part(raw)?)
            }
            ("invoice_payment.paid", _) => self.invoice_payment(&part(raw)?),
            _ => Ok(Reading::ignored(
                "",
                "this event tells nothing about captured or returned money",
            )),
        }
    }

    fn fact(&self, class: Class, id: String, amount: Minor, currency: Currency) -> Fact {
        Fact {
            class,
            id,
            basis: Basis::Each,
            rank: rank::LIVE,
            version: self.created,
            authority: Authority::Webhook,
            amount,
            currency,
            at: self.created_at,
            partial_capture: false,
            product_key: None,
            category_key: None,
        }
    }

    fn customer(&self, customer: &Customer<'_>) -> Read<Reading> {
        let external_id = id(customer.id.as_deref(), "data.object.id")?;
        Ok(match self.link(&external_id, customer) {
            Some(link) => Reading {
                links: vec![link],
                ..Reading::default()
            },
            None => Reading::ignored(
                "",
                "the customer's metadata has no customer_key or customer_id; a link that is known stays",
            ),
        })
    }

    fn link(&self, external_id: &str, customer: &Customer<'_>) -> Option<Link> {
        let metadata = customer.metadata.as_ref();
        let key = entry(metadata, "customer_key").or_else(|| entry(metadata, "customer_id"))?;
        Some(Link {
            kind: "customer".to_owned(),
            external_id: external_id.to_owned(),
            customer_key: key,
            version: self.created,
        })
    }

    fn clue(&self, payment_id: &str, field: &str, value: String) -> Clue {
        Clue {
            payment_id: payment_id.to_owned(),
            field: field.to_owned(),
            value,
            version: self.created,
        }
    }

    /// The values that lookup rules may use.
    fn clues(
        &self,
        payment_id: &str,
        metadata: Option<&Metadata>,
        customer: Option<&Ref<'_>>,
        email: Option<&str>,
    ) -> Read<Vec<Clue>> {
        let mut clues = Vec::new();
        for (name, value) in metadata.into_iter().flatten().take(METADATA_MOST) {
            if let Some(value) = text(value) {
                clues.push(self.clue(payment_id, &format!("metadata.{name}"), value));
            }
        }
        if let Some(customer) = optional_id(customer, "data.object.customer")? {
            clues.push(self.clue(payment_id, "customer", customer));
        }
        if let Some(email) = email.map(str::trim).filter(|email| email.contains('@')) {
            let email: String = email.chars().take(METADATA_VALUE_MOST_CHARS).collect();
            clues.push(self.clue(payment_id, "email", email));
        }
        Ok(clues)
    }

    /// What a charge's snapshot says, whichever event carries it.
    fn charge(&self, charge: &Charge<'_>) -> Read<Reading> {
        let charge_id = id(charge.id.as_deref(), "data.object.id")?;
        let currency = currency(charge.currency.as_ref())?;
        let whole = amount(charge.amount, "data.object.amount")?;
        let created_at = seconds(charge.created, self.created_at);
        let status = charge.status.as_deref();
        let paid = charge.paid != Some(false) && !matches!(status, Some("failed" | "pending"));
        let captured = charge.captured.unwrap_or(true) && paid;
        let taken = match (captured, charge.amount_captured) {
            (false, _) => 0,
            (true, Some(_)) => amount(charge.amount_captured, "data.object.amount_captured")?,
            (true, None) => whole,
        };
        let sums = Sums {
            captured,
            whole,
            taken,
            currency,
        };
        if self.stripe.payment_event(created_at) == PaymentEvent::Invoice {
            return self.charge_of_an_invoice(charge, &charge_id, sums);
        }
        let about = Subject::Payment(charge_id.clone());
        let mut reading = Reading {
            movements: vec![Movement {
                about: about.clone(),
                fact: self.capture(charge, &charge_id, sums, created_at),
            }],
            ..Reading::default()
        };
        if captured {
            self.refunds_of(charge, &charge_id, &about, sums, &mut reading)?;
        }
        let email = charge
            .billing_details
            .as_ref()
            .and_then(|billing| billing.email.as_deref());
        let email = email.or(charge.receipt_email.as_deref());
        let metadata = charge.metadata.as_ref();
        reading.clues = self.clues(&charge_id, metadata, charge.customer.as_ref(), email)?;
        if let Some(Ref::Object(customer)) = &charge.customer
            && let Some(external_id) = customer.id.as_deref()
        {
            reading.links.extend(self.link(external_id, customer));
        }
        let intent = optional_id(charge.payment_intent.as_ref(), "data.object.payment_intent")?;
        let invoice = optional_id(charge.invoice.as_ref(), "data.object.invoice")?;
        let ids = [
            ("charge", Some(charge_id.clone()), true),
            ("payment_intent", intent, true),
            ("invoice", invoice, false),
        ];
        reading.aliases = aliases(&charge_id, &ids);
        Ok(reading)
    }

    fn capture(&self, charge: &Charge<'_>, charge_id: &str, sums: Sums, created_at: Time) -> Fact {
        let mut capture = self.fact(
            Class::Capture,
            charge_id.to_owned(),
            sums.taken,
            sums.currency,
        );
        // Ties between snapshots take the larger amount and the later time.
        capture.version = 0;
        capture.at = if self.kind == "charge.captured" {
            self.created_at
        } else {
            created_at
        };
        capture.rank = rank::CAPTURED;
        capture.partial_capture = sums.captured && sums.taken < sums.whole;
        capture.product_key = entry(charge.metadata.as_ref(), "product_key");
        capture.category_key = entry(charge.metadata.as_ref(), "category_key");
        if !sums.captured {
            capture.rank = rank::PENDING;
            capture.amount = sums.whole;
        }
        capture
    }

    /// The refunds that a charge's snapshot lists, and their sum so far.
    fn refunds_of(
        &self,
        charge: &Charge<'_>,
        charge_id: &str,
        about: &Subject,
        sums: Sums,
        reading: &mut Reading,
    ) -> Read<()> {
        if let Some(refunded) = charge.amount_refunded {
            let refunded = amount(Some(refunded), "data.object.amount_refunded")?;
            // What a partial capture released was never taken.
            let total = (refunded - (sums.whole - sums.taken)).max(0);
            if total > 0 {
                let mut fact = self.fact(Class::Refund, charge_id.to_owned(), total, sums.currency);
                fact.basis = Basis::Total;
                reading.movements.push(Movement {
                    about: about.clone(),
                    fact,
                });
            }
        }
        // Old shapes list the released part as a refund.
        let listed = match sums.taken < sums.whole {
            true => &[],
            false => charge
                .refunds
                .as_ref()
                .map_or(&[][..], |list| list.refunds()),
        };
        for refund in listed {
            let mut fact = self.refund_fact(refund, Some(sums.currency), "data.object.refunds")?;
            if refund.status.is_none() {
                // The oldest shapes list only what went through.
                fact.rank = rank::LIVE;
            }
            reading.movements.push(Movement {
                about: about.clone(),
                fact,
            });
        }
        Ok(())
    }

    /// Where invoices are the payments a charge states no capture; what went
    /// back on it is stated about the invoice, by the ids that tie them.
    fn charge_of_an_invoice(
        &self,
        charge: &Charge<'_>,
        charge_id: &str,
        sums: Sums,
    ) -> Read<Reading> {
        let mut reading = Reading::default();
        let invoice = optional_id(charge.invoice.as_ref(), "data.object.invoice")?;
        let intent = optional_id(charge.payment_intent.as_ref(), "data.object.payment_intent")?;
        let about = match (&invoice, &intent) {
            (Some(invoice), _) => Subject::Payment(invoice.clone()),
            (None, Some(intent)) => reference("payment_intent", intent),
            (None, None) => reference("charge", charge_id),
        };
        if sums.captured {
            self.refunds_of(charge, charge_id, &about, sums, &mut reading)?;
        }
        if let Some(invoice) = invoice {
            let ids = [
                ("charge", Some(charge_id.to_owned()), true),
                ("payment_intent", intent, true),
            ];
            reading.aliases = aliases(&invoice, &ids);
        }
        if reading.movements.is_empty() {
            reading.ignored =
                Some("invoices are the payments of this source, not charges".to_owned());
        }
        Ok(reading)
    }

    fn refund_fact(
        &self,
        refund: &Refund<'_>,
        of_charge: Option<Currency>,
        field: &str,
    ) -> Read<Fact> {
        let refund_id = id(refund.id.as_deref(), &format!("{field}.id"))?;
        let minor = amount(refund.amount, &format!("{field}.amount"))?;
        let currency = match (&refund.currency, of_charge) {
            (None, Some(currency)) => currency,
            (code, _) => currency(code.as_ref())?,
        };
        let mut fact = self.fact(Class::Refund, refund_id, minor, currency);
        fact.at = seconds(refund.created, self.created_at);
        fact.rank = match refund.status.as_deref() {
            Some("succeeded") => rank::LIVE,
            Some("failed" | "canceled") => rank::UNDONE,
            _ => rank::ANNOUNCED,
        };
        Ok(fact)
    }

    fn refund(&self, refund: &Refund<'_>) -> Read<Reading> {
        let mut fact = self.refund_fact(refund, None, "data.object")?;
        if self.kind == "refund.failed" {
            fact.rank = rank::UNDONE;
        }
        self.about_a_charge(
            refund.charge.as_ref(),
            refund.payment_intent.as_ref(),
            vec![fact],
        )
    }

    /// Facts about a charge that an object names by its id or by its intent.
    fn about_a_charge(
        &self,
        charge: Option<&Ref<'_>>,
        intent: Option<&Ref<'_>>,
        facts: Vec<Fact>,
    ) -> Read<Reading> {
        let charge = optional_id(charge, "data.object.charge")?;
        let intent = optional_id(intent, "data.object.payment_intent")?;
        let about = match (charge, intent) {
            (Some(charge), _) if !self.stripe.knows_invoices() => Subject::Payment(charge),
            // An invoice is tied to its intent, an old one also to its charge.
            (_, Some(intent)) => reference("payment_intent", &intent),
            (Some(charge), None) => reference("charge", &charge),
            (None, None) => {
                return Ok(Reading::ignored(
                    "",
                    "it names neither a charge nor a payment intent",
                ));
            }
        };
        Ok(Reading {
            movements: facts
                .into_iter()
                .map(|fact| Movement {
                    about: about.clone(),
                    fact,
                })
                .collect(),
            ..Reading::default()
        })
    }

    fn dispute(&self, dispute: &Dispute<'_>) -> Read<Reading> {
        let dispute_id = id(dispute.id.as_deref(), "data.object.id")?;
        let whole = amount(dispute.amount, "data.object.amount")?;
        let currency = currency(dispute.currency.as_ref())?;
        let entries = entries(dispute, whole, currency);
        let (rank, taken, returned) = match entries {
            Some((taken, returned)) => (rank::ENTERED, taken, returned),
            None => {
                let status = dispute.status.as_deref().unwrap_or_default();
                let taken = self.kind.ends_with(".funds_withdrawn") || status == "lost";
                let returned = self.kind.ends_with(".funds_reinstated") || status == "won";
                let if_so = |so| if so { whole } else { 0 };
                (rank::INFERRED, if_so(taken), if_so(returned))
            }
        };
        let mut facts = Vec::new();
        for (class, minor) in [
            (Class::DisputeTaken, taken),
            (Class::DisputeReturned, returned),
        ] {
            if minor > 0 {
                let minor = amount(Some(minor), "data.object.balance_transactions")?;
                let mut fact = self.fact(class, dispute_id.clone(), minor, currency);
                fact.rank = rank;
                facts.push(fact);
            }
        }
        if facts.is_empty() {
            return Ok(Reading::ignored(
                "",
                "a dispute moved no money yet; it counts once funds are withdrawn",
            ));
        }
        self.about_a_charge(
            dispute.charge.as_ref(),
            dispute.payment_intent.as_ref(),
            facts,
        )
    }

    fn invoice(&self, invoice: &Invoice<'_>) -> Read<Reading> {
        let invoice_id = id(invoice.id.as_deref(), "data.object.id")?;
        let currency = currency(invoice.currency.as_ref())?;
        let paid_at = invoice
            .status_transitions
            .as_ref()
            .and_then(|times| times.paid_at);
        let paid_at = seconds(paid_at, self.created_at);
        if self.stripe.payment_event(paid_at) == PaymentEvent::Charge {
            return Ok(Reading::ignored(
                "",
                "charges are the payments of this source, not invoices",
            ));
        }
        let paid = amount(invoice.amount_paid, "data.object.amount_paid")?;
        if invoice.paid_out_of_band == Some(true) && paid == 0 {
            return Ok(Reading::ignored("", "the invoice was paid outside Stripe"));
        }
        let minor = match self.stripe.settings.invoice_amount {
            InvoiceAmount::AmountPaid => paid,
            InvoiceAmount::Subtotal => amount(invoice.subtotal, "data.object.subtotal")?,
            InvoiceAmount::TotalExcludingTax => {
                let without = invoice.total_excluding_tax.or(invoice.total);
                amount(without, "data.object.total_excluding_tax")?
            }
        };
        let mut capture = self.fact(Class::Capture, invoice_id.clone(), minor, currency);
        capture.version = 0;
        capture.rank = rank::CAPTURED;
        capture.at = paid_at;
        capture.product_key =
            entry(invoice.metadata.as_ref(), "product_key").or_else(|| product(invoice));
        capture.category_key = entry(invoice.metadata.as_ref(), "category_key");
        let charge = optional_id(invoice.charge.as_ref(), "data.object.charge")?;
        let intent = optional_id(
            invoice.payment_intent.as_ref(),
            "data.object.payment_intent",
        )?;
        let ids = [
            ("invoice", Some(invoice_id.clone()), false),
            ("charge", charge, true),
            ("payment_intent", intent, true),
        ];
        Ok(Reading {
            aliases: aliases(&invoice_id, &ids),
            clues: self.clues_of_an_invoice(invoice, &invoice_id)?,
            movements: vec![Movement {
                about: Subject::Payment(invoice_id),
                fact: capture,
            }],
            ..Reading::default()
        })
    }

    /// The invoice's own values, then its subscription's where it has none.
    fn clues_of_an_invoice(&self, invoice: &Invoice<'_>, invoice_id: &str) -> Read<Vec<Clue>> {
        let email = invoice.customer_email.as_deref();
        let own = invoice.metadata.as_ref();
        let mut clues = self.clues(invoice_id, own, invoice.customer.as_ref(), email)?;
        let parent = invoice
            .parent
            .as_ref()
            .and_then(|parent| parent.subscription_details.as_ref());
        for details in [parent, invoice.subscription_details.as_ref()]
            .into_iter()
            .flatten()
        {
            for clue in self.clues(invoice_id, details.metadata.as_ref(), None, None)? {
                if !clues.iter().any(|known| known.field == clue.field) {
                    clues.push(clue);
                }
            }
        }
        Ok(clues)
    }

    fn invoice_payment(&self, paid: &InvoicePayment<'_>) -> Read<Reading> {
        if !self.stripe.knows_invoices() {
            return Ok(Reading::ignored(
                "",
                "charges are the payments of this source, not invoices",
            ));
        }
        let invoice = optional_id(paid.invoice.as_ref(), "data.object.invoice")?;
        let invoice = invoice.ok_or_else(|| bad("data.object.invoice"))?;
        let by = paid.payment.as_ref();
        let intent = by.and_then(|by| by.payment_intent.as_ref());
        let charge = by.and_then(|by| by.charge.as_ref());
        Ok(Reading {
            aliases: aliases(
                &invoice,
                &[
                    (
                        "payment_intent",
                        optional_id(intent, "data.object.payment.payment_intent")?,
                        true,
                    ),
                    (
                        "charge",
                        optional_id(charge, "data.object.payment.charge")?,
                        true,
                    ),
                ],
            ),
            ..Reading::default()
        })
    }
}

fn reference(kind: &str, id: &str) -> Subject {
    Subject::Reference {
        kind: kind.to_owned(),
        id: id.to_owned(),
    }
}

fn aliases(payment_id: &str, ids: &[(&str, Option<String>, bool)]) -> Vec<Alias> {
    let known = ids.iter().filter_map(|(kind, id, money)| {
        Some(Alias {
            payment_id: payment_id.to_owned(),
            kind: (*kind).to_owned(),
            id: id.clone()?,
            money: *money,
        })
    });
    known.collect()
}

/// The product of the first line, in the new shape or the old one.
fn product(invoice: &Invoice<'_>) -> Option<String> {
    let lines = invoice.lines.as_ref()?.data.as_ref()?;
    let first = lines.first()?;
    let price = first
        .pricing
        .as_ref()
        .and_then(|pricing| pricing.price_details.as_ref());
    let product = price.or(first.price.as_ref())?.product.as_ref()?.id()?;
    (1..=ID_MOST_BYTES)
        .contains(&product.len())
        .then(|| product.to_owned())
}

/// What the balance's entries say a dispute took and gave back, in the
/// dispute's currency. Entries in the settlement currency are scaled so that
/// the first withdrawal is the dispute's amount, rounded half up.
fn entries(dispute: &Dispute<'_>, whole: Minor, own: Currency) -> Option<(Minor, Minor)> {
    let listed: Vec<(Minor, Currency)> = dispute
        .balance_transactions
        .iter()
        .flatten()
        .filter_map(|entry| match entry {
            Entry::Full { amount, currency } => {
                let code = currency.as_ref().and_then(|code| code.parse().ok());
                Some((*amount, code.unwrap_or(own)))
            }
            Entry::Other(_) => None,
        })
        .collect();
    if listed.is_empty() {
        return None;
    }
    let (mut taken, mut returned) = (0_i128, 0_i128);
    for (minor, currency) in &listed {
        let mut value = i128::from(*minor);
        if *currency != own {
            let first = listed
                .iter()
                .find(|(other, code)| *other < 0 && code == currency)?;
            let unit = -i128::from(first.0);
            let scaled = (value.abs() * i128::from(whole) * 2 + unit) / (unit * 2);
            value = scaled * value.signum();
        }
        match value < 0 {
            true => taken -= value,
            false => returned += value,
        }
    }
    Some((
        Minor::try_from(taken).ok()?,
        Minor::try_from(returned).ok()?,
    ))
}
