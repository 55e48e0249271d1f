//! Stripe: charges (or invoices), refunds, disputes and customers.
//!
//! Facts from Stripe's documentation of webhooks, events and the Charge,
//! Refund, Dispute, Invoice and Customer objects; shapes from 2015 to 2026 are
//! read, because the shape of an event follows the endpoint's version. It makes
//! no call: what an event does not say is not known here.

mod objects;
mod reading;
mod signature;

use secrecy::SecretString;
use serde::Deserialize;

use super::{Document, Genuine, NotGenuine, Provider, Request, Unreadable};
use crate::movement::Reading;
use crate::time::Time;

/// How old a signature may be unless configured otherwise, in seconds: the
/// default of Stripe's own libraries.
const TOLERANCE_S: u32 = 300;

/// A source's own settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Which event is the payment; never both.
    #[serde(default)]
    payment_event: PaymentEvent,
    /// Which amount of an invoice counts.
    #[serde(default)]
    invoice_amount: InvoiceAmount,
    /// How far the signed time may be from now, in seconds.
    #[serde(
        default = "tolerance",
        deserialize_with = "crate::config::number::<_, 1, 86_400>"
    )]
    tolerance_seconds: u32,
}

fn tolerance() -> u32 {
    TOLERANCE_S
}

/// Which event is the payment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PaymentEvent {
    /// A captured charge.
    #[default]
    Charge,
    /// A paid invoice.
    Invoice,
}

/// Which amount of an invoice counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum InvoiceAmount {
    /// What was paid.
    #[default]
    AmountPaid,
    /// Before discounts and taxes, as PartnerStack's own integration counts.
    Subtotal,
    /// What was owed without taxes.
    TotalExcludingTax,
}

/// One source's Stripe.
pub struct Stripe {
    settings: Settings,
    switched_at: Option<Time>,
}

impl Stripe {
    /// Stripe with a source's settings. Before `switched_at` the other event
    /// was the payment.
    #[must_use]
    pub fn new(settings: Settings, switched_at: Option<Time>) -> Stripe {
        Stripe {
            settings,
            switched_at,
        }
    }

    /// Which event is the payment for money that moved at `at`.
    fn payment_event(&self, at: Time) -> PaymentEvent {
        match (self.switched_at, self.settings.payment_event) {
            (Some(since), PaymentEvent::Invoice) if at < since => PaymentEvent::Charge,
            (Some(since), PaymentEvent::Charge) if at < since => PaymentEvent::Invoice,
            (_, configured) => configured,
        }
    }

    /// True where invoices are or were the payments: then reversals of a charge
    /// may belong to an invoice.
    fn knows_invoices(&self) -> bool {
        self.settings.payment_event == PaymentEvent::Invoice || self.switched_at.is_some()
    }
}

impl Provider for Stripe {
    fn name(&self) -> &'static str {
        "stripe"
    }

    fn verify(
        &self,
        request: &Request<'_>,
        secrets: &[SecretString],
        now: Time,
    ) -> Result<Genuine, NotGenuine> {
        signature::verify(
            request,
            secrets,
            now,
            i64::from(self.settings.tolerance_seconds),
        )
    }

    fn parse(&self, document: &Document<'_>) -> Result<Reading, Unreadable> {
        reading::read(self, document.body)
    }

    fn lookup(&self) -> &'static [&'static str] {
        &[
            "metadata.customer_key",
            "metadata.customer_id",
            "link:customer",
        ]
    }
}

#[cfg(test)]
mod tests;
