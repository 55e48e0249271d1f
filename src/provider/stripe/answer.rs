//! Objects as Stripe's API answers them.
//!
//! Source: Stripe API reference, retrieving each object and listing refunds. An
//! answer is the same object as in an event, without the event: it carries no
//! version, so the moment of asking is its version. That is the moment whose
//! state it is, and what events say of later moments comes after it.

use serde::Deserialize;

use super::objects::{Customer, Invoice, Kind, List, Refund, Text};
use super::thin::REFUNDS;
use super::{Event, Stripe, charge, checks, customer, ignore_if_silent, read_object};
use crate::money::Minor;
use crate::movement::{Authority, Basis, Fact, Reading, Subject, rank};
use crate::provider::{Asked, Unreadable};
use crate::time::SECOND_MS;

/// A list of refunds.
#[derive(Deserialize)]
struct Refunds<'a> {
    #[serde(borrow)]
    data: Option<List<Refund<'a>>>,
    has_more: Option<bool>,
}

/// What every answer but a list says of itself.
#[derive(Deserialize)]
struct Own<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
}

/// Reads the answer to what was asked.
pub fn read(stripe: &Stripe, asked: &Asked, body: &str) -> Result<Reading, Unreadable> {
    let name = format!("inquiry.{}", asked.kind);
    let event = Event {
        name: &name,
        at: asked.at,
        version: asked.at.ms() / SECOND_MS,
        authority: Authority::Api,
    };
    let mut reading = Reading {
        event: name.clone(),
        scope: asked.scope.clone(),
        ..Reading::default()
    };
    match asked.kind.as_str() {
        REFUNDS => refunds(&event, asked, body, &mut reading)?,
        kind => {
            let Own { id } = checks::decode("", body)?;
            if checks::needed_id("id", id.as_ref())? != asked.id {
                return Err(Unreadable::field("id", "is not the one that was asked for"));
            }
            object(stripe, &event, kind, body, &mut reading)?;
        }
    }
    Ok(reading)
}

/// One object, which must be of the kind that was asked for.
fn object(
    stripe: &Stripe,
    event: &Event<'_>,
    kind: &str,
    body: &str,
    reading: &mut Reading,
) -> Result<(), Unreadable> {
    let said: Kind<'_> = checks::decode("", body)?;
    if said.object.is_some_and(|Text(said)| said != kind) {
        return Err(Unreadable::field(
            "object",
            "is not of the kind that was asked for",
        ));
    }
    let why = match kind {
        "customer" => {
            let customer: Customer<'_> = checks::decode("", body)?;
            (customer.deleted == Some(true)).then_some(customer::DELETED)
        }
        "invoice" => {
            let invoice: Invoice<'_> = checks::decode("", body)?;
            let paid = invoice.status.is_none_or(|Text(status)| status == "paid");
            (!paid).then_some("an invoice counts once it is paid")
        }
        _ => None,
    };
    match why {
        Some(why) => reading.ignored = Some(why.to_owned()),
        None => read_object(stripe, event, kind, body, reading)?,
    }
    Ok(())
}

/// All refunds of one charge, each by itself.
fn refunds(
    event: &Event<'_>,
    asked: &Asked,
    body: &str,
    reading: &mut Reading,
) -> Result<(), Unreadable> {
    let Refunds { data, has_more } = checks::decode("", body)?;
    if has_more == Some(true) {
        let why = "says that there are more than 100 refunds";
        return Err(Unreadable::field("has_more", why));
    }
    let listed = checks::needed("data", data)?.0;
    let about = Subject::Payment(asked.id.clone());
    for (index, refund) in listed.iter().enumerate() {
        let path = format!("data[{index}]");
        let charge = checks::ref_id(&format!("{path}.charge"), refund.charge.as_ref())?;
        if charge.is_some_and(|charge| charge != asked.id) {
            let why = "is not the charge that was asked for";
            return Err(Unreadable::field(&format!("{path}.charge"), why));
        }
        charge::state_refund(event, &path, refund, &about, reading)?;
    }
    state_whole(event, &asked.id, &about, reading);
    ignore_if_silent(reading, "Stripe lists no refund of this charge");
    Ok(())
}

/// States that this was the list of all refunds, which tells it from the answer about
/// a single one. It counts for nothing: of a partial capture old lists name what was
/// released as well.
fn state_whole(event: &Event<'_>, charge: &str, about: &Subject, reading: &mut Reading) {
    let facts = || reading.movements.iter().map(|it| &it.fact);
    let standing = facts().filter(|fact| fact.rank == rank::LIVE);
    let amount = standing
        .map(|fact| fact.amount)
        .fold(0, Minor::saturating_add);
    let Some(first) = facts().next() else {
        return;
    };
    let whole = Fact {
        id: charge.to_owned(),
        basis: Basis::Total,
        rank: rank::ANNOUNCED,
        amount,
        at: event.at,
        ..first.clone()
    };
    super::state(reading, about, whole);
}
