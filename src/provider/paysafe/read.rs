//! What each of Paysafe's events states about money.
//!
//! The payment's id is its settlement's where that is known, so that a
//! `PAYMENT_COMPLETED` and its `SETTLEMENT_COMPLETED` are one payment. A refund
//! names neither: it carries a reference of the merchant's.

use super::Paysafe;
use super::notice::{Notice, Payload, Scheduled, flag, minor};
use crate::money::{Currency, Minor};
use crate::movement::{
    Alias, Authority, Basis, Class, Clue, Fact, Inquiry, Movement, Reading, Subject, rank,
};
use crate::provider::checks::{self, Text, needed};
use crate::provider::{Asked, Unreadable};
use crate::time::{SECOND_MS, Time};

/// The kind of inquiry about a payment, and the kind of its alias.
pub const PAYMENT: &str = "payment";

const SETTLEMENT: &str = "settlement";
const MERCHANT_REF: &str = "merchantRefNum";

const AMOUNT: &str = "payload.amount";
const CURRENCY: &str = "payload.currencyCode";
const REFERENCE: &str = "payload.merchantRefNum";

/// Why an event whose name and status disagree is left out.
const NOT_COMPLETED: &str = "the status inside says that it is not completed";

/// Payment types that the bank can still return days after the settlement.
const BANK_DEBITS: [&str; 4] = ["ACH", "BACS", "EFT", "SEPA"];

impl Paysafe {
    /// Reads a completed payment. It is money where it says that it is settled
    /// with its authorisation; else the settlement has an event of its own.
    pub(super) fn read_payment(
        &self,
        notice: &Notice<'_>,
        reading: &mut Reading,
    ) -> Result<(), Unreadable> {
        let payload = notice.payload()?;
        if !completed(&payload) {
            reading.ignored = Some(NOT_COMPLETED.to_owned());
            return Ok(());
        }
        let settlement = checks::id("payload.settlementId", payload.settlement_id.as_ref())?;
        // The older API has no such field and no settlements.
        let settled = match flag("payload.settleWithAuth", payload.settle_with_auth)? {
            None => notice.legacy || self.count_unsettled || settlement.is_some(),
            Some(settled) => settled,
        };
        if !settled {
            reading.ignored = Some(
                "the payment does not say settleWithAuth: it counts once SETTLEMENT_COMPLETED \
                 tells of its money"
                    .to_owned(),
            );
            return Ok(());
        }
        let id = notice.id(&payload)?;
        let taken = minor("payload.settlementAmount", payload.settlement_amount)?;
        let amount = needed(AMOUNT, taken.or(minor(AMOUNT, payload.amount)?))?;
        let known = settlement.unwrap_or(&id).to_owned();
        let rank = self.capture_rank(&payload, false);
        self.state_capture(notice, &payload, (&known, rank, amount), reading)?;
        reading.aliases.extend([
            alias(&known, PAYMENT, &id, true),
            alias(&known, "purchase", &purchase(&id, amount), true),
        ]);
        Ok(())
    }

    /// Reads a settlement: the money itself.
    pub(super) fn read_settlement(
        &self,
        notice: &Notice<'_>,
        cleared: bool,
        reading: &mut Reading,
    ) -> Result<(), Unreadable> {
        let payload = notice.payload()?;
        if !completed(&payload) {
            reading.ignored = Some(NOT_COMPLETED.to_owned());
            return Ok(());
        }
        let id = notice.id(&payload)?;
        let amount = needed(AMOUNT, minor(AMOUNT, payload.amount)?)?;
        let rank = self.capture_rank(&payload, cleared);
        self.state_capture(notice, &payload, (&id, rank, amount), reading)?;
        // A payment may have several settlements, so its id is not the money's.
        // The same amount of the same payment is: it was told as a purchase.
        let payment = checks::id("payload.paymentId", payload.payment_id.as_ref())?;
        if let Some(payment) = payment.filter(|payment| *payment != id) {
            reading.aliases.extend([
                alias(&id, PAYMENT, payment, false),
                alias(&id, "purchase", &purchase(payment, amount), true),
            ]);
        }
        Ok(())
    }

    /// Reads a settlement that was cancelled or failed: whatever its payment
    /// said before, no money came.
    pub(super) fn read_unsettled(
        &self,
        notice: &Notice<'_>,
        reading: &mut Reading,
    ) -> Result<(), Unreadable> {
        let payload = notice.payload()?;
        let id = notice.id(&payload)?;
        let amount = minor(AMOUNT, payload.amount)?.unwrap_or(0);
        let currency = self.currency(payload.currency_code.as_ref())?;
        let void = Fact {
            class: Class::Void,
            rank: rank::LIVE,
            ..self.fact(notice, &payload, &id, (amount, currency))?
        };
        let failed = Fact {
            class: Class::Capture,
            rank: rank::FAILED,
            ..void.clone()
        };
        for fact in [failed, void] {
            reading.movements.push(Movement {
                about: Subject::Payment(id.clone()),
                fact,
            });
        }
        Ok(())
    }

    /// Reads a debit that the bank returned. What it states goes back like a
    /// refund; where it states nothing, the whole payment does.
    pub(super) fn read_return(
        &self,
        notice: &Notice<'_>,
        reading: &mut Reading,
    ) -> Result<(), Unreadable> {
        let payload = notice.payload()?;
        let id = notice.id(&payload)?;
        let amount = minor(AMOUNT, payload.amount)?.filter(|amount| *amount > 0);
        let currency = self.currency(payload.currency_code.as_ref())?;
        let about = self.reversed(&payload)?;
        let fact = Fact {
            class: match amount {
                Some(_) => Class::Refund,
                None => Class::Void,
            },
            rank: rank::LIVE,
            ..self.fact(notice, &payload, &id, (amount.unwrap_or(0), currency))?
        };
        if self.wait_for_cleared {
            // A debit returned before it was cleared never counts; one that was
            // cleared outranks this.
            reading.movements.push(Movement {
                about: about.clone(),
                fact: Fact {
                    class: Class::Capture,
                    rank: rank::FAILED,
                    ..fact.clone()
                },
            });
        }
        reading.movements.push(Movement { about, fact });
        Ok(())
    }

    /// Reads a refund that went through, or that did not after all.
    pub(super) fn read_refund(
        &self,
        notice: &Notice<'_>,
        rank: u8,
        reading: &mut Reading,
    ) -> Result<(), Unreadable> {
        let payload = notice.payload()?;
        if rank == rank::LIVE && !completed(&payload) {
            reading.ignored = Some(NOT_COMPLETED.to_owned());
            return Ok(());
        }
        self.read_reversal(notice, &payload, (Class::Refund, rank), reading)
    }

    /// Reads an event that the merchant says is a chargeback.
    pub(super) fn read_chargeback(
        &self,
        notice: &Notice<'_>,
        reading: &mut Reading,
    ) -> Result<(), Unreadable> {
        let class = (Class::DisputeTaken, rank::INFERRED);
        self.read_reversal(notice, &notice.payload()?, class, reading)
    }

    fn read_reversal(
        &self,
        notice: &Notice<'_>,
        payload: &Payload<'_>,
        (class, rank): (Class, u8),
        reading: &mut Reading,
    ) -> Result<(), Unreadable> {
        let id = notice.id(payload)?;
        let amount = needed(AMOUNT, minor(AMOUNT, payload.amount)?)?;
        if amount == 0 {
            reading.ignored = Some("it gives back nothing".to_owned());
            return Ok(());
        }
        let currency = self.currency(payload.currency_code.as_ref())?;
        let about = self.reversed(payload)?;
        let fact = Fact {
            class,
            rank,
            ..self.fact(notice, payload, &id, (amount, currency))?
        };
        reading.movements.push(Movement { about, fact });
        Ok(())
    }

    /// Reads a payment of the scheduler. It names no currency: the source's
    /// setting does, else the payment itself is asked for.
    pub(super) fn read_scheduled(
        &self,
        notice: &Notice<'_>,
        scheduled: &Scheduled<'_>,
        reading: &mut Reading,
    ) -> Result<(), Unreadable> {
        const AT: &str = "scheduledPayment.processedPaymentDetails";
        let Some(payload) = &scheduled.processed_payment_details else {
            reading.ignored = Some("the scheduled payment has not been made yet".to_owned());
            return Ok(());
        };
        if payload.status.is_none() || !completed(payload) {
            reading.ignored = Some("the scheduled payment is not completed".to_owned());
            return Ok(());
        }
        let id = needed(AT, checks::id(AT, payload.id.as_ref())?)?;
        let amount = minor("scheduledPayment.amount", scheduled.amount)?;
        let amount = needed("scheduledPayment.amount", amount)?;
        let named = payload.currency_code.as_ref();
        let named = named.or(scheduled.currency_code.as_ref());
        if named.is_none() && self.currency.is_none() {
            reading.inquiries.push(Inquiry {
                kind: PAYMENT.to_owned(),
                id: id.to_owned(),
                about: Some(Subject::Payment(id.to_owned())),
            });
        } else {
            let fact = Fact {
                class: Class::Capture,
                rank: rank::CAPTURED,
                ..self.fact(notice, payload, id, (amount, self.currency(named)?))?
            };
            reading.movements.push(Movement {
                about: Subject::Payment(id.to_owned()),
                fact,
            });
        }
        reading.aliases.extend([
            alias(id, SETTLEMENT, id, true),
            alias(id, PAYMENT, id, true),
        ]);
        let version = seconds(notice.changed_at(payload)?);
        if let Some(Text(subscription)) = &scheduled.subscription_id {
            add_clue(id, "subscription", subscription, version, reading);
        }
        // The scheduler puts its own id where a merchant's reference would be.
        let own = checks::id("scheduledPayment.id", scheduled.id.as_ref())?;
        let reference = payload.merchant_ref_num.as_ref();
        if own.is_some() && reference.map(|it| it.0.as_ref()) == own {
            return Ok(());
        }
        describe(payload, id, version, reading)
    }

    /// Reads what the API says of a payment that was asked for.
    pub(super) fn read_answer(&self, asked: &Asked, body: &str) -> Result<Reading, Unreadable> {
        let payload: Payload<'_> = checks::object("", body)?;
        let mut reading = Reading {
            event: asked.kind.clone(),
            scope: asked.scope.clone(),
            ..Reading::default()
        };
        if needed("id", checks::id("id", payload.id.as_ref())?)? != asked.id {
            return Err(Unreadable::field("id", "is not the id that was asked for"));
        }
        let settled = flag("settleWithAuth", payload.settle_with_auth)?;
        if payload.status.is_none() || !completed(&payload) || settled == Some(false) {
            reading.ignored = Some("the API says that the payment is not settled".to_owned());
            return Ok(reading);
        }
        let amount = needed("amount", minor("amount", payload.amount)?)?;
        let currency = self.currency(payload.currency_code.as_ref())?;
        let notice = Notice::unnamed();
        let fact = Fact {
            class: Class::Capture,
            rank: rank::CAPTURED,
            authority: Authority::Api,
            ..self.fact(&notice, &payload, &asked.id, (amount, currency))?
        };
        reading.movements.push(Movement {
            about: Subject::Payment(asked.id.clone()),
            fact,
        });
        Ok(reading)
    }

    /// The rank of a capture: a bank debit may have to be cleared first.
    fn capture_rank(&self, payload: &Payload<'_>, cleared: bool) -> u8 {
        let kind = payload.payment_type.as_ref();
        let debit = kind.is_some_and(|Text(kind)| {
            BANK_DEBITS
                .iter()
                .any(|debit| kind.eq_ignore_ascii_case(debit))
        });
        match self.wait_for_cleared && debit && !cleared {
            true => rank::PENDING,
            false => rank::CAPTURED,
        }
    }

    /// States the money of a payment or a settlement, and what it is known by.
    fn state_capture(
        &self,
        notice: &Notice<'_>,
        payload: &Payload<'_>,
        (id, rank, amount): (&str, u8, Minor),
        reading: &mut Reading,
    ) -> Result<(), Unreadable> {
        let currency = self.currency(payload.currency_code.as_ref())?;
        let fact = Fact {
            class: Class::Capture,
            rank,
            at: notice.made_at(payload)?,
            ..self.fact(notice, payload, id, (amount, currency))?
        };
        let version = fact.version;
        reading.movements.push(Movement {
            about: Subject::Payment(id.to_owned()),
            fact,
        });
        reading.aliases.push(alias(id, SETTLEMENT, id, true));
        describe(payload, id, version, reading)
    }

    /// A fact of an object, at the time when its status became what it is.
    fn fact(
        &self,
        notice: &Notice<'_>,
        payload: &Payload<'_>,
        id: &str,
        (amount, currency): (Minor, Currency),
    ) -> Result<Fact, Unreadable> {
        let at = notice.changed_at(payload)?;
        Ok(Fact {
            class: Class::Capture,
            id: id.to_owned(),
            basis: Basis::Each,
            rank: rank::PENDING,
            version: seconds(at),
            authority: Authority::Webhook,
            amount,
            currency,
            at,
            partial_capture: false,
            product_key: None,
            category_key: None,
        })
    }

    /// The currency that is named, else the source's.
    fn currency(&self, named: Option<&Text<'_>>) -> Result<Currency, Unreadable> {
        let Some(Text(code)) = named else {
            return self.currency.ok_or_else(|| {
                let why = "is missing, and the source has no setting `currency`";
                Unreadable::field(CURRENCY, why)
            });
        };
        checks::currency(CURRENCY, Some(&Text(code.to_ascii_uppercase().into())))
    }

    /// What a reversal gives back: the settlement or the payment that it names,
    /// else the payments that carry its reference.
    fn reversed(&self, payload: &Payload<'_>) -> Result<Subject, Unreadable> {
        let settlement = checks::id("payload.settlementId", payload.settlement_id.as_ref())?;
        let payment = checks::id("payload.paymentId", payload.payment_id.as_ref())?;
        let (kind, id) = match (settlement, payment) {
            (Some(settlement), _) => (SETTLEMENT, settlement.to_owned()),
            (None, Some(payment)) => (PAYMENT, payment.to_owned()),
            (None, None) => {
                let whole = checks::needed_id(REFERENCE, payload.merchant_ref_num.as_ref())?;
                let part = self.refund_reference.as_ref().and_then(|it| it.part(whole));
                (MERCHANT_REF, part.unwrap_or_else(|| whole.to_owned()))
            }
        };
        Ok(Subject::Reference {
            kind: kind.to_owned(),
            id,
        })
    }
}

/// Whether the object says that it is done, or leaves it to the event's name.
fn completed(payload: &Payload<'_>) -> bool {
    payload.status.as_ref().is_none_or(|Text(status)| {
        ["COMPLETED", "CLEARED"]
            .iter()
            .any(|done| status.eq_ignore_ascii_case(done))
    })
}

/// The name of a purchase: an amount of a payment.
fn purchase(payment: &str, amount: Minor) -> String {
    format!("{payment}:{amount}")
}

fn seconds(at: Time) -> i64 {
    at.ms().div_euclid(SECOND_MS)
}

fn alias(payment: &str, kind: &str, id: &str, money: bool) -> Alias {
    Alias {
        payment_id: payment.to_owned(),
        kind: kind.to_owned(),
        id: id.to_owned(),
        money,
    }
}

/// The merchant's reference and the payer's address, for refunds and rules.
fn describe(
    payload: &Payload<'_>,
    id: &str,
    version: i64,
    reading: &mut Reading,
) -> Result<(), Unreadable> {
    if let Some(reference) = checks::id(REFERENCE, payload.merchant_ref_num.as_ref())? {
        reading
            .aliases
            .push(alias(id, MERCHANT_REF, reference, false));
        add_clue(id, MERCHANT_REF, reference, version, reading);
    }
    let email = payload.profile.as_ref().and_then(|it| it.email.as_ref());
    if let Some(Text(email)) = email {
        add_clue(id, "email", email, version, reading);
    }
    Ok(())
}

fn add_clue(payment: &str, field: &str, value: &str, version: i64, reading: &mut Reading) {
    let Some(value) = checks::clue(value) else {
        return;
    };
    reading.clues.push(Clue {
        payment_id: payment.to_owned(),
        field: field.to_owned(),
        value: value.to_owned(),
        version,
    });
}
