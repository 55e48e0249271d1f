//! What a link would do, payment by payment and in money, before it is saved.

use std::collections::BTreeMap;

use serde::Serialize;

use super::story::PaymentView;
use crate::money::{Currency, Minor};

/// What links would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WhatIf {
    /// Links that are not so already.
    pub changed: usize,
    /// Links that would be refused.
    pub refused: Vec<NotLinked>,
    /// Every payment that was looked at again, as it would stand.
    pub payments: Vec<Moved>,
    /// Payments that wait for the same id beyond those: they would go on one by one
    /// as their turn comes, so where each would stand is not known before.
    pub not_looked_at: usize,
}

/// A link that would be refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct NotLinked {
    /// The source.
    pub source: String,
    /// The kind of id.
    pub kind: String,
    /// The id.
    pub external_id: String,
    /// Why.
    pub why: String,
}

/// How one payment would move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Moved {
    /// The source.
    pub source: String,
    /// The payment's id.
    pub payment_id: String,
    /// Its state now.
    #[schema(value_type = super::book::State)]
    pub before: &'static str,
    /// The state it would have.
    #[schema(value_type = super::book::State)]
    pub after: &'static str,
    /// Why it would stand so, for a person.
    pub reason: Option<String>,
    /// Whose it is now.
    pub customer_before: Option<String>,
    /// Whose it would be.
    pub customer_after: Option<String>,
    /// The currency of its amounts.
    pub currency: Option<Currency>,
    /// What it would come to, in minor units: a link may say an amount.
    pub net: Option<Minor>,
}

/// Payments that would move alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct MovedSum {
    /// Their state now.
    #[schema(value_type = super::book::State)]
    pub before: &'static str,
    /// The state they would have.
    #[schema(value_type = super::book::State)]
    pub after: &'static str,
    /// Whose they would be.
    pub customer_key: Option<String>,
    /// The currency.
    pub currency: Option<Currency>,
    /// How many.
    pub payments: u64,
    /// What they would come to, in minor units.
    pub net: Option<Minor>,
}

impl Moved {
    /// The difference between how a payment stands and how it would.
    pub(super) fn of(before: PaymentView, after: PaymentView) -> Moved {
        Moved {
            source: before.source,
            payment_id: before.payment_id,
            before: before.state,
            after: after.state,
            reason: after.reason,
            customer_before: before.customer_key,
            customer_after: after.customer_key,
            currency: after.currency,
            net: after.net,
        }
    }
}

impl WhatIf {
    pub(super) fn add(&mut self, moved: Moved) {
        self.payments.push(moved);
    }

    /// Adds what further links would do, each part tried by itself.
    pub fn merge(&mut self, other: WhatIf) {
        self.changed += other.changed;
        self.refused.extend(other.refused);
        self.payments.extend(other.payments);
        self.not_looked_at += other.not_looked_at;
    }

    /// The payments by how they would move; those that would stand as they do are
    /// told too.
    #[must_use]
    pub fn sums(&self) -> Vec<MovedSum> {
        let mut sums: BTreeMap<_, (u64, Option<Minor>)> = BTreeMap::new();
        for moved in &self.payments {
            let key = (
                moved.before,
                moved.after,
                &moved.customer_after,
                moved.currency,
            );
            let slot = sums.entry(key).or_default();
            slot.0 += 1;
            if let Some(net) = moved.net {
                *slot.1.get_or_insert(0) += net;
            }
        }
        sums.into_iter()
            .map(
                |((before, after, customer, currency), (payments, net))| MovedSum {
                    before,
                    after,
                    customer_key: customer.clone(),
                    currency,
                    payments,
                    net,
                },
            )
            .collect()
    }
}
