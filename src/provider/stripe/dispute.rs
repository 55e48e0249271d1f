//! Disputes: what they took and what they gave back.
//!
//! Source: Stripe API reference, the Dispute object and its
//! `balance_transactions`. An opened dispute moves no money, and neither does
//! an inquiry (`warning_*`). The fee is not part of the payment and is left out.

use crate::money::{Currency, LARGEST_MINOR, Minor};
use crate::movement::{Basis, Class, Fact, Reading, rank};
use crate::provider::Unreadable;
use crate::time::Time;

use super::objects::{Dispute, Text};
use super::{Event, Stripe, checks, state};

/// Entries of one dispute. Stripe documents at most two; a partly reinstated
/// one can have a few more.
const ENTRIES_MAX: usize = 100;

/// The two events that say by their name that money moved.
const WITHDRAWN: &str = "charge.dispute.funds_withdrawn";
const REINSTATED: &str = "charge.dispute.funds_reinstated";

/// An entry of Stripe's books, checked.
struct Entered {
    amount: Minor,
    currency: Currency,
    at: Time,
}

/// Money that moved in one direction.
struct Moved {
    class: Class,
    rank: u8,
    amount: Minor,
    at: Time,
}

/// Reads a dispute.
pub fn read(
    stripe: &Stripe,
    event: &Event<'_>,
    dispute: &Dispute<'_>,
    reading: &mut Reading,
) -> Result<(), Unreadable> {
    let id = checks::own_id(dispute.id.as_ref())?;
    let amount = checks::amount("data.object.amount", dispute.amount)?;
    let amount = checks::needed("data.object.amount", amount)?;
    let currency = checks::currency("data.object.currency", dispute.currency.as_ref())?;
    let charge = checks::ref_id("data.object.charge", dispute.charge.as_ref())?;
    let intent = checks::ref_id(
        "data.object.payment_intent",
        dispute.payment_intent.as_ref(),
    )?;
    let entries = entries(event, dispute)?;
    let moved = match entered(&entries, amount, currency)? {
        Some(moved) => with_return(event, moved, amount),
        None => inferred(event, dispute.status.as_ref(), amount),
    };
    let Some(about) = stripe.subject(charge, intent) else {
        let why =
            "the dispute names neither a charge nor a payment intent, so it is not of a payment";
        reading.ignored = Some(why.to_owned());
        return Ok(());
    };
    for moved in moved.into_iter().filter(|moved| moved.amount > 0) {
        let fact = Fact {
            class: moved.class,
            id: id.to_owned(),
            basis: Basis::Each,
            rank: moved.rank,
            version: event.version,
            authority: event.authority,
            amount: moved.amount,
            currency,
            at: moved.at,
            partial_capture: false,
            product_key: None,
            category_key: None,
        };
        state(reading, &about, fact);
    }
    if reading.movements.is_empty() {
        reading.ignored = Some(nothing_moved(dispute.status.as_ref()).to_owned());
    }
    Ok(())
}

/// Why a dispute states nothing.
fn nothing_moved(status: Option<&Text<'_>>) -> &'static str {
    match status.map_or("", |status| status.0.as_ref()) {
        "prevented" => "the dispute was prevented; no money moves",
        status if status.starts_with("warning_") => {
            "this is an inquiry, not yet a dispute; no money moves"
        }
        _ => "a dispute was opened; no money moves until funds are withdrawn",
    }
}

/// The entries that carry an amount.
fn entries(event: &Event<'_>, dispute: &Dispute<'_>) -> Result<Vec<Entered>, Unreadable> {
    let Some(list) = &dispute.balance_transactions else {
        return Ok(Vec::new());
    };
    if list.0.len() > ENTRIES_MAX {
        let path = "data.object.balance_transactions";
        return Err(Unreadable::field(path, "holds more than 100 entries"));
    }
    let mut entries = Vec::new();
    for (index, entry) in list.0.iter().enumerate() {
        let field = |name: &str| format!("data.object.balance_transactions[{index}].{name}");
        let Some(amount) = checks::signed(&field("amount"), entry.amount)? else {
            continue;
        };
        entries.push(Entered {
            amount,
            currency: checks::currency(&field("currency"), entry.currency.as_ref())?,
            at: checks::time(&field("created"), entry.created)?.unwrap_or(event.at),
        });
    }
    Ok(entries)
}

/// What the entries say, in the dispute's currency. `None` where they say
/// nothing, or where an entry in the settlement currency has no withdrawal
/// beside it that would give the rate.
fn entered(
    entries: &[Entered],
    disputed: Minor,
    currency: Currency,
) -> Result<Option<Vec<Moved>>, Unreadable> {
    if entries.is_empty() {
        return Ok(None);
    }
    let (mut taken, mut returned) = (Vec::new(), Vec::new());
    for entry in entries {
        let value = match entry.currency == currency {
            true => entry.amount.abs(),
            false => match withdrawal(entries, entry.currency) {
                Some(withdrawal) => scaled(entry.amount.abs(), disputed, withdrawal)?,
                None => return Ok(None),
            },
        };
        match entry.amount < 0 {
            true => taken.push((value, entry.at)),
            false => returned.push((value, entry.at)),
        }
    }
    let first = taken.iter().map(|(_, at)| *at).min();
    let last = returned.iter().map(|(_, at)| *at).max();
    let mut moved = Vec::new();
    for (class, values, at) in [
        (Class::DisputeTaken, taken, first),
        (Class::DisputeReturned, returned, last),
    ] {
        if let Some(at) = at {
            moved.push(Moved {
                class,
                rank: rank::ENTERED,
                amount: sum(&values)?,
                at,
            });
        }
    }
    Ok(Some(moved))
}

/// The first withdrawal in `currency`, as a positive amount.
fn withdrawal(entries: &[Entered], currency: Currency) -> Option<Minor> {
    entries
        .iter()
        .find(|entry| entry.currency == currency && entry.amount < 0)
        .map(|entry| entry.amount.abs())
}

fn sum(values: &[(Minor, Time)]) -> Result<Minor, Unreadable> {
    let sum = values.iter().map(|(value, _)| i128::from(*value)).sum();
    within_limit(sum)
}

/// `value` at the rate that makes `withdrawal` the disputed amount, rounded
/// half up. `withdrawal` is positive.
fn scaled(value: Minor, disputed: Minor, withdrawal: Minor) -> Result<Minor, Unreadable> {
    let (value, disputed) = (i128::from(value), i128::from(disputed));
    let withdrawal = i128::from(withdrawal.max(1));
    within_limit((2 * value * disputed + withdrawal) / (2 * withdrawal))
}

fn within_limit(value: i128) -> Result<Minor, Unreadable> {
    match Minor::try_from(value) {
        Ok(minor) if minor <= LARGEST_MINOR => Ok(minor),
        _ => Err(Unreadable::field(
            "data.object.balance_transactions",
            "add up to more than any payment",
        )),
    }
}

/// Adds the return that the event announces where its entry is not listed yet:
/// no later event may come to tell, and an entry that does come replaces this.
fn with_return(event: &Event<'_>, mut moved: Vec<Moved>, amount: Minor) -> Vec<Moved> {
    let listed = moved
        .iter()
        .any(|moved| moved.class == Class::DisputeReturned);
    if event.name == REINSTATED && !listed {
        moved.push(Moved {
            class: Class::DisputeReturned,
            rank: rank::INFERRED,
            amount,
            at: event.at,
        });
    }
    moved
}

/// What the event's name and the status say, where the entries are missing.
fn inferred(event: &Event<'_>, status: Option<&Text<'_>>, amount: Minor) -> Vec<Moved> {
    let status = status.map_or("", |status| status.0.as_ref());
    let taken = event.name == WITHDRAWN || status == "lost";
    let returned = event.name == REINSTATED || status == "won";
    [
        (taken, Class::DisputeTaken),
        (returned, Class::DisputeReturned),
    ]
    .into_iter()
    .filter(|(applies, _)| *applies)
    .map(|(_, class)| Moved {
        class,
        rank: rank::INFERRED,
        amount,
        at: event.at,
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_so_that_the_withdrawal_is_the_dispute() {
        assert_eq!(scaled(4_512, 5_000, 4_512), Ok(5_000));
        assert_eq!(scaled(1, 1, 2), Ok(1));
        assert_eq!(scaled(1, 1, 3), Ok(0));
        assert_eq!(scaled(2_256, 5_000, 4_512), Ok(2_500));
        assert!(scaled(LARGEST_MINOR, LARGEST_MINOR, 1).is_err());
    }
}
