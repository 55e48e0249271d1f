//! Stripe's export of payments ("unified payments"), in both layouts, with any
//! choice of columns and metadata behind them.
//!
//! Source: the header lines of Stripe's dashboard exports; the meaning of the
//! values follows `provider::stripe`, and amounts are in major units of the
//! charge's own currency (Stripe's documentation, "Currencies", says which have
//! no minor unit there). What a row does not say is not guessed: it has no ids
//! of refunds and disputes, so those are totals, and it does not say whether an
//! open dispute has taken money, so that moves none until a webhook tells.

use std::borrow::Cow;

use super::amount::Convention;
use super::cells::{Cells, Fault};
use super::header::Header;
use super::moment;
use super::own::{alias, clue, file_version, missing};
use super::row::{Refused, Told};
use crate::money::{Currency, Minor};
use crate::movement::{Authority, Basis, Class, Fact, Movement, Reading, Scope, Subject, rank};
use crate::time::{SECOND_MS, Time};

/// What the names of metadata columns end in.
const METADATA: &str = "(metadata)";

/// The names that usually hold the customer key go first, as for webhooks.
const KEYS_FIRST: [&str; 2] = ["customer_key", "customer_id"];

/// Stripe counts these otherwise than ISO 4217 does. Source: Stripe's
/// documentation, "Currencies": zero-decimal currencies and special cases.
const EXPONENTS: [(&str, u32); 3] = [("ISK", 2), ("MGA", 0), ("UGX", 2)];

/// How far a charge got, by the words of `Status`, lower case and plain.
const CAPTURED: [&str; 8] = [
    "paid",
    "succeeded",
    "refunded",
    "partiallyrefunded",
    "partialrefund",
    "disputed",
    "refundpending",
    "complete",
];
const PENDING: [&str; 9] = [
    "pending",
    "processing",
    "uncaptured",
    "requirescapture",
    "requiresaction",
    "requiresconfirmation",
    "requirespaymentmethod",
    "incomplete",
    "blocked",
];
const FAILED: [&str; 5] = ["failed", "canceled", "cancelled", "expired", "declined"];

/// Which column holds what.
struct Columns {
    id: usize,
    created: usize,
    amount: usize,
    currency: usize,
    status: usize,
    captured: Option<usize>,
    refunded: Option<usize>,
    refunded_at: Option<usize>,
    disputed: Option<usize>,
    dispute_status: Option<usize>,
    disputed_at: Option<usize>,
    mode: Option<usize>,
    customer: Option<usize>,
    email: Option<usize>,
    intent: Option<usize>,
    invoice: Option<usize>,
    metadata: Vec<(usize, String)>,
}

/// A file of Stripe's.
pub struct Stripe {
    at: Columns,
    amounts: Convention,
    refunds: Convention,
    disputes: Convention,
    scope: Scope,
    product: Option<usize>,
    category: Option<usize>,
}

/// A row, checked.
struct Charge<'c> {
    id: &'c str,
    created: Time,
    currency: Currency,
    exponent: u32,
}

impl Stripe {
    /// The columns of `header`.
    ///
    /// # Errors
    /// What is missing or twice there.
    pub fn new(header: &Header, told: &Told<'_>) -> Result<Stripe, Refused> {
        let mut metadata = header.suffixed(METADATA)?;
        let named = |name: &str| {
            let found = metadata.iter().find(|(_, known)| known == name);
            found.map(|(column, _)| *column)
        };
        let (product, category) = (named("product_key"), named("category_key"));
        metadata.sort_by_key(|(column, name)| {
            let first = KEYS_FIRST.iter().position(|key| key == name);
            (first.unwrap_or(KEYS_FIRST.len()), *column)
        });
        let created = ["createddate(utc)", "created(utc)"];
        let decimal = told.options.decimal;
        Ok(Stripe {
            at: Columns {
                id: header.needed(&["id"], "id")?,
                created: header.needed(&created, "Created date (UTC) or Created (UTC)")?,
                amount: header.needed(&["amount"], "Amount")?,
                currency: header.needed(&["currency"], "Currency")?,
                status: header.needed(&["status"], "Status")?,
                captured: header.find(&["captured"])?,
                refunded: header.find(&["amountrefunded"])?,
                refunded_at: header.find(&["refundeddate(utc)"])?,
                disputed: header.find(&["disputedamount"])?,
                dispute_status: header.find(&["disputestatus"])?,
                disputed_at: header.find(&["disputedate(utc)"])?,
                mode: header.find(&["mode"])?,
                customer: header.find(&["customerid"])?,
                email: header.find(&["customeremail"])?,
                intent: header.find(&["paymentintentid"])?,
                invoice: header.find(&["invoiceid"])?,
                metadata,
            },
            amounts: Convention::new(decimal),
            refunds: Convention::new(decimal),
            disputes: Convention::new(decimal),
            scope: told.options.scope.clone(),
            product,
            category,
        })
    }

    /// The columns with decimals, and what they have shown.
    pub fn decimals(&mut self) -> Vec<(Option<usize>, &mut Convention)> {
        vec![
            (Some(self.at.amount), &mut self.amounts),
            (self.at.refunded, &mut self.refunds),
            (self.at.disputed, &mut self.disputes),
        ]
    }

    /// What a row states.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn read(&mut self, cells: Cells<'_>) -> Result<Reading, Fault> {
        let id_at = Some(self.at.id);
        let id = cells.id(id_at)?.ok_or_else(|| missing(id_at))?;
        let rank = self.standing(cells)?;
        let mut reading = Reading {
            scope: self.scope_of(cells)?,
            ..Reading::default()
        };
        if id.starts_with("pi_") {
            return match rank {
                rank::CAPTURED => Err(Fault::at(id_at, "names a payment intent and no charge")),
                _ => {
                    let why = "a payment intent without a charge; no money has moved";
                    reading.ignored = Some(why.to_owned());
                    Ok(reading)
                }
            };
        }
        let currency_at = Some(self.at.currency);
        let code = cells
            .text(currency_at)?
            .ok_or_else(|| missing(currency_at))?;
        let currency: Currency = code
            .parse()
            .map_err(|_| Fault::at(currency_at, "is not a three-letter currency code"))?;
        let created = self.moment(cells, Some(self.at.created))?;
        let charge = Charge {
            id: &id,
            created: created.ok_or_else(|| missing(Some(self.at.created)))?,
            currency,
            exponent: exponent(currency),
        };
        let amount = money(&mut self.amounts, cells, Some(self.at.amount), &charge)?;
        let amount = amount.ok_or_else(|| missing(Some(self.at.amount)))?;
        let capture = Fact {
            product_key: cells.clue(self.product)?.map(Cow::into_owned),
            category_key: cells.clue(self.category)?.map(Cow::into_owned),
            version: 0,
            ..charge.fact(Class::Capture, rank, amount, charge.created)
        };
        reading.movements.push(charge.movement(Fact {
            basis: Basis::Each,
            ..capture
        }));
        if rank == rank::CAPTURED {
            self.take_back(cells, &charge, &mut reading)?;
        }
        self.name(cells, &charge, &mut reading)?;
        Ok(reading)
    }

    /// How far the charge got. A cancelled authorisation was never captured.
    fn standing(&self, cells: Cells<'_>) -> Result<u8, Fault> {
        let column = Some(self.at.status);
        let status = cells.text(column)?.ok_or_else(|| missing(column))?;
        let word = super::header::plain(&status);
        let captured = cells.flag(self.at.captured)?;
        let is = |words: &[&str]| words.contains(&word.as_str());
        let rank = match () {
            () if is(&CAPTURED) => rank::CAPTURED,
            () if is(&PENDING) => rank::PENDING,
            () if is(&FAILED) => rank::FAILED,
            () => {
                let why =
                    "is a status that is not known here, so it cannot be said whether money moved";
                return Err(Fault::at(column, why));
            }
        };
        match (rank, captured) {
            (rank::CAPTURED, Some(false)) => Ok(rank::PENDING),
            (rank, _) => Ok(rank),
        }
    }

    fn scope_of(&self, cells: Cells<'_>) -> Result<Scope, Fault> {
        let mode = cells.text(self.at.mode)?;
        let live = match mode.as_deref().map(str::to_ascii_lowercase).as_deref() {
            None => self.scope.live,
            Some("live") => Some(true),
            Some("test") => Some(false),
            Some(_) => return Err(Fault::at(self.at.mode, "is neither Live nor Test")),
        };
        Ok(Scope {
            live,
            account: self.scope.account.clone(),
        })
    }

    fn moment(&self, cells: Cells<'_>, column: Option<usize>) -> Result<Option<Time>, Fault> {
        let Some(text) = cells.text(column)? else {
            return Ok(None);
        };
        let at = moment::read(&text, Some(&jiff::tz::TimeZone::UTC));
        at.map(Some).map_err(|why| Fault::at(column, why))
    }

    /// What went back: totals, because the row names no refund and no dispute.
    fn take_back(
        &mut self,
        cells: Cells<'_>,
        charge: &Charge<'_>,
        reading: &mut Reading,
    ) -> Result<(), Fault> {
        let refunded = money(&mut self.refunds, cells, self.at.refunded, charge)?;
        let refunded = refunded.filter(|amount| *amount > 0);
        let at = self.moment(cells, self.at.refunded_at)?;
        if let Some(amount) = refunded {
            // The older layout has no date; the payment's own is the nearest.
            let at = at.unwrap_or(charge.created);
            let fact = charge.fact(Class::Refund, rank::LIVE, amount, at);
            reading.movements.push(charge.movement(fact));
        }
        let disputed = money(&mut self.disputes, cells, self.at.disputed, charge)?;
        let at = self.moment(cells, self.at.disputed_at)?;
        let Some(amount) = disputed.filter(|amount| *amount > 0) else {
            return Ok(());
        };
        let at = at.unwrap_or(charge.created);
        let status = cells.text(self.at.dispute_status)?.unwrap_or_default();
        let status = super::header::plain(&status);
        let classes: &[Class] = match status.as_str() {
            "lost" => &[Class::DisputeTaken],
            "won" => &[Class::DisputeTaken, Class::DisputeReturned],
            _ => &[],
        };
        for class in classes {
            let fact = charge.fact(*class, rank::INFERRED, amount, at);
            reading.movements.push(charge.movement(fact));
        }
        if classes.is_empty() {
            let why = match status.as_str() {
                "prevented" => "the dispute was prevented; it takes nothing",
                status if status.starts_with("warning") => {
                    "an inquiry is no dispute; it takes nothing"
                }
                _ => {
                    "a dispute is open; it takes nothing until a webhook or a later export says so"
                }
            };
            reading.partly = Some(why.to_owned());
        }
        Ok(())
    }

    /// The ids of a charge and what lookup rules may use.
    fn name(
        &self,
        cells: Cells<'_>,
        charge: &Charge<'_>,
        reading: &mut Reading,
    ) -> Result<(), Fault> {
        let id = charge.id;
        reading.aliases.push(alias(id, "charge", id, true));
        let others = [
            ("payment_intent", self.at.intent, true),
            ("invoice", self.at.invoice, false),
        ];
        for (kind, column, money) in others {
            if let Some(other) = cells.id(column)? {
                reading.aliases.push(alias(id, kind, &other, money));
            }
        }
        let version = file_version(charge.created);
        for (column, name) in &self.at.metadata {
            // Metadata is anybody's text: what cannot be used is left out, as
            // for webhooks.
            if let Ok(Some(value)) = cells.clue(Some(*column)) {
                let field = format!("metadata.{name}");
                reading.clues.push(clue(id, &field, &value, version));
            }
        }
        for (field, column) in [("customer", self.at.customer), ("email", self.at.email)] {
            if let Some(value) = cells.clue(column)? {
                reading.clues.push(clue(id, field, &value, version));
            }
        }
        Ok(())
    }
}

impl Charge<'_> {
    /// A total, which is what most of a row is.
    fn fact(&self, class: Class, rank: u8, amount: Minor, at: Time) -> Fact {
        Fact {
            class,
            id: self.id.to_owned(),
            basis: Basis::Total,
            rank,
            version: at.ms() / SECOND_MS,
            authority: Authority::Csv,
            amount,
            currency: self.currency,
            at,
            partial_capture: false,
            product_key: None,
            category_key: None,
        }
    }

    fn movement(&self, fact: Fact) -> Movement {
        Movement {
            about: Subject::Payment(self.id.to_owned()),
            fact,
        }
    }
}

/// How many decimal places Stripe gives a currency's minor unit.
fn exponent(currency: Currency) -> u32 {
    let own = EXPONENTS.iter().find(|(code, _)| *code == currency.code());
    own.map_or(currency.exponent(), |(_, exponent)| *exponent)
}

/// An amount that is not negative, if there is one.
fn money(
    convention: &mut Convention,
    cells: Cells<'_>,
    column: Option<usize>,
    charge: &Charge<'_>,
) -> Result<Option<Minor>, Fault> {
    let Some(text) = cells.text(column)? else {
        return Ok(None);
    };
    match convention.read(&text, charge.exponent) {
        Ok(minor) if minor < 0 => Err(Fault::at(column, "is negative")),
        Ok(minor) => Ok(Some(minor)),
        Err(why) => Err(Fault::at(column, why)),
    }
}
