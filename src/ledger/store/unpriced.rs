//! Captures whose amount no document says: kept until a link names it. An answer
//! of the provider's API needs none of this: it states the capture itself.

use std::collections::BTreeSet;

use crate::ledger::sql::{params, unexpected};

use super::LedgerError;
use super::record::{Origin, Place};
use super::tx::{Tx, from_word};
use crate::ledger::book::Unsaid;
use crate::movement::{Fact, Unpriced};

/// Captures without an amount, the link that may say it and who took its amount.
pub(super) const UNPRICED: &str =
    "SELECT DISTINCT link_kind, coalesce(clues.value, ''), taker.payment_id FROM unpriced
             JOIN payments USING (payment)
             LEFT JOIN clues ON clues.payment = unpriced.payment AND clues.field = link_kind
             LEFT JOIN links ON links.external_id = clues.value AND links.kind = link_kind
                  AND links.source = payments.source AND links.scope = ''
             LEFT JOIN payments AS taker ON taker.payment = links.priced
             WHERE unpriced.payment = ?1";
/// Those whose link says it.
pub(super) const PRICED: &str =
    "SELECT link_kind, fact, unpriced.delivery, links.amount, links.currency, clues.value
             FROM unpriced
             JOIN payments USING (payment)
             JOIN clues ON clues.payment = unpriced.payment AND clues.field = link_kind
             JOIN links ON links.external_id = clues.value AND links.kind = link_kind
                  AND links.source = payments.source AND links.scope = ''
             WHERE unpriced.payment = ?1 AND links.amount IS NOT NULL
                   AND coalesce(links.priced, unpriced.payment) = unpriced.payment";

impl Tx<'_> {
    /// Keeps a capture whose amount is not said.
    pub(super) fn add_unpriced(
        &self,
        place: Place<'_>,
        unpriced: &Unpriced,
        origin: Origin<'_>,
        touched: &mut BTreeSet<i64>,
    ) -> Result<(), LedgerError> {
        let mut capture = unpriced.capture.clone();
        capture.at = capture.at.known_or(origin.said_at);
        let at = capture.at;
        let payment = self.ensure_payment(place, &unpriced.payment_id, false, at)?;
        touched.insert(payment);
        let fact = serde_json::to_string(&capture)
            .map_err(|_| LedgerError::Unusable("a fact that cannot be written".to_owned()))?;
        self.queue(
            "INSERT INTO unpriced (payment, link_kind, fact, delivery) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO NOTHING",
            params![payment, unpriced.link_kind, fact, origin.delivery],
        )
    }

    /// The captures without an amount: the link that may say it, and who took
    /// its amount where another payment did.
    pub(super) fn unpriced(&self, payment: i64) -> Result<Vec<Unsaid>, LedgerError> {
        self.all(UNPRICED, [payment], |row| {
            Ok(Unsaid {
                link_kind: row.get(0)?,
                id: row.get(1)?,
                taken_by: row.get(2)?,
            })
        })
    }

    /// Gives every capture its amount whose link says one: from then on it is a
    /// fact like any other, and what the provider's API says beats it. An order's
    /// amount is taken by one payment: a second one would pay the partner twice.
    pub(super) fn price(&self, payment: i64) -> Result<(), LedgerError> {
        let priced = self.all(PRICED, [payment], |row| {
            let (kind, text): (String, String) = (row.get(0)?, row.get(1)?);
            let mut fact: Fact = serde_json::from_str(&text).map_err(|_| unexpected("a word"))?;
            fact.amount = row.get(3)?;
            if let Some(code) = row.get::<_, Option<String>>(4)? {
                fact.currency = from_word(code)?;
            }
            Ok((
                kind,
                text,
                row.get::<_, i64>(2)?,
                fact,
                row.get::<_, String>(5)?,
            ))
        })?;
        for (kind, text, delivery, fact, id) in priced {
            let origin = Origin {
                delivery: Some(delivery),
                said_by: None,
                said_at: self.now,
            };
            self.add_fact(payment, &fact, origin, None)?;
            self.queue(
                "DELETE FROM unpriced WHERE payment = ?1 AND link_kind = ?2 AND fact = ?3",
                params![payment, kind, text],
            )?;
            self.queue(
                "UPDATE links SET priced = ?1 WHERE external_id = ?2 AND kind = ?3 AND scope = ''
                   AND source = (SELECT source FROM payments WHERE payment = ?1)",
                params![payment, id, kind],
            )?;
        }
        Ok(())
    }
}
