//! Other ids of a payment, and reversals that name one of them instead of the
//! payment: they are resolved again whenever an alias is recorded.

use std::collections::BTreeSet;

use crate::ledger::sql::params;

use super::LedgerError;
use super::record::Place;
use super::tx::Tx;
use crate::movement::Alias;

impl Tx<'_> {
    /// Adds another id of a payment. True where it was not known.
    pub(super) fn add_alias(
        &self,
        place: Place<'_>,
        alias: &Alias,
        touched: &mut BTreeSet<i64>,
    ) -> Result<bool, LedgerError> {
        let payment = self.ensure_payment(place, &alias.payment_id, false, self.now)?;
        touched.insert(payment);
        let provider = &self.terms(place.source)?.provider;
        let scope = place.scope.word();
        let added = self.run(
            "INSERT INTO aliases (provider, scope, kind, id, payment, money)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
            params![provider, scope, alias.kind, alias.id, payment, alias.money],
        )?;
        if added == 0 {
            return Ok(false);
        }
        // Payments of other sources with the same money, and reversals that
        // named this id before it was known.
        touched.extend(self.with_money_id(payment, alias)?);
        self.resolve_references(place, &alias.kind, &alias.id, touched)?;
        Ok(true)
    }

    /// Whether a payment is known by another id.
    pub(super) fn has_alias(
        &self,
        place: Place<'_>,
        payment: i64,
        alias: &Alias,
    ) -> Result<bool, LedgerError> {
        let (provider, scope) = (&self.terms(place.source)?.provider, place.scope.word());
        let known = self.one(
            "SELECT 1 FROM aliases
             WHERE id = ?1 AND kind = ?2 AND provider = ?3 AND scope = ?4 AND payment = ?5",
            params![alias.id, alias.kind, provider, scope, payment],
            |_| Ok(()),
        )?;
        Ok(known.is_some())
    }

    /// Reversals that name (kind, id) go to the one payment that carries it.
    fn resolve_references(
        &self,
        place: Place<'_>,
        kind: &str,
        id: &str,
        touched: &mut BTreeSet<i64>,
    ) -> Result<(), LedgerError> {
        let waiting = self.all(
            "SELECT fact, facts.payment FROM facts JOIN payments USING (payment)
             WHERE ref_id = ?1 AND ref_kind = ?2 AND source = ?3 AND scope = ?4",
            params![id, kind, place.source_row, place.scope.word()],
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)),
        )?;
        let stand_in = self.one(
            "SELECT payment FROM payments WHERE source = ?1 AND payment_id = ?2 AND reference = 1",
            params![place.source_row, format!("{kind}:{id}")],
            |row| row.get::<_, i64>(0),
        )?;
        if waiting.is_empty() && stand_in.is_none() {
            return Ok(());
        }
        let target = self.subject_of_reference(place, kind, id)?;
        let mut left: BTreeSet<i64> = stand_in.into_iter().filter(|it| *it != target).collect();
        for (fact, payment) in waiting {
            if payment != target {
                self.queue(
                    "UPDATE facts SET payment = ?2 WHERE fact = ?1",
                    [fact, target],
                )?;
                left.insert(payment);
            }
        }
        touched.insert(target);
        for payment in left {
            self.queue(
                "UPDATE inquiries SET payment = ?2 WHERE payment = ?1",
                [payment, target],
            )?;
            match self.drop_empty_stand_in(payment)? {
                true => touched.remove(&payment),
                false => touched.insert(payment),
            };
        }
        Ok(())
    }

    /// A stand-in that nothing points to any more goes.
    pub(super) fn drop_empty_stand_in(&self, payment: i64) -> Result<bool, LedgerError> {
        let gone = self.run(
            "DELETE FROM payments WHERE payment = ?1 AND reference = 1
               AND NOT EXISTS (SELECT 1 FROM facts WHERE facts.payment = payments.payment)
               AND NOT EXISTS (SELECT 1 FROM decisions WHERE decisions.payment = payments.payment)
               AND NOT EXISTS (SELECT 1 FROM transactions WHERE transactions.payment = payments.payment)",
            [payment],
        )? > 0;
        if gone {
            self.forget_values_of_gone()?;
        }
        Ok(gone)
    }

    /// The payment that a reference means, or the stand-in that waits for it.
    pub(super) fn subject_of_reference(
        &self,
        place: Place<'_>,
        kind: &str,
        id: &str,
    ) -> Result<i64, LedgerError> {
        let scope = place.scope.word();
        match payments_with_alias(self, place.source_row, &scope, kind, id)?.as_slice() {
            [only] => Ok(*only),
            _ => self.ensure_payment(place, &format!("{kind}:{id}"), true, self.now),
        }
    }
}

/// The payments of a source that carry an alias, by the scope of the payment or
/// of whoever stated the alias: not every document says whether it is live.
pub(super) fn payments_with_alias(
    tx: &Tx<'_>,
    source_row: i64,
    scope: &str,
    kind: &str,
    id: &str,
) -> Result<Vec<i64>, LedgerError> {
    tx.all(
        "SELECT DISTINCT payment FROM aliases JOIN payments USING (payment)
         WHERE id = ?1 AND kind = ?2 AND source = ?3
           AND ?4 IN (payments.scope, aliases.scope)",
        params![id, kind, source_row, scope],
        |row| row.get(0),
    )
}
