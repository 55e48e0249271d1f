//! What the fold of one payment asks the ledger for: who an external id belongs to, whom
//! the destination lists, what the provider is asked, and what may stand there already.
//!
//! It only reads; where the payment stands is decided in `book`.

use super::payment::PaymentRow;
use super::tx::{Tx, by_word};
use crate::ledger::LedgerError;
use crate::ledger::book::Directory;
use crate::ledger::sql::params;
use crate::lookup::{Ask, Known};
use crate::plan::Customer;
use crate::position::Captured;
use crate::time::Time;

/// What the fold asks the ledger for, in this payment's scope.
pub(super) struct Shelf<'t> {
    pub tx: &'t Tx<'t>,
    pub payment: &'t PaymentRow,
}

impl Directory for Shelf<'_> {
    type Error = LedgerError;

    fn link(&mut self, kind: &str, external_id: &str) -> Result<Option<String>, LedgerError> {
        // The word of a person or of the API stands under the empty scope, which
        // sorts first.
        let found = self.tx.one(
            "SELECT customer FROM links
             WHERE external_id = ?1 AND kind = ?2 AND source = ?3 AND scope IN ('', ?4)
             ORDER BY scope LIMIT 1",
            params![
                external_id,
                kind,
                self.payment.source_row,
                self.payment.scope
            ],
            |row| row.get::<_, Option<String>>(0),
        )?;
        Ok(found.flatten())
    }

    fn mirrored(&mut self, ask: Ask<'_>) -> Result<Known, LedgerError> {
        self.tx.mirrored(self.tx.terms(&self.payment.source)?, ask)
    }

    fn asked(&mut self, kind: &str, external_id: &str) -> Result<Option<String>, LedgerError> {
        let place = (self.payment.source_row, self.payment.scope.as_str());
        self.tx
            .asked_for_link(&self.payment.source, place, (kind, external_id))
    }

    fn blocked(&mut self, customer: &Customer) -> Result<Option<String>, LedgerError> {
        let found = self.tx.one(
            "SELECT unknown_since, probes, next_probe_at FROM customers
             WHERE destination = ?1 AND customer = ?2 AND customer_by = ?3
                   AND unknown_since IS NOT NULL",
            params![
                self.payment.destination,
                customer.value,
                by_word(customer.by)
            ],
            |row| {
                Ok((
                    row.get::<_, i64>(0)?,
                    row.get::<_, i64>(1)?,
                    row.get::<_, Option<i64>>(2)?,
                ))
            },
        )?;
        Ok(found.map(|(since, probes, next)| {
            unknown_there(self.payment, customer, (since, probes, next))
        }))
    }

    fn read_back(
        &mut self,
        customer: &Customer,
        capture: &Captured,
    ) -> Result<Option<String>, LedgerError> {
        self.tx.perhaps_there(self.payment, customer, capture)
    }
}

fn unknown_there(
    payment: &PaymentRow,
    customer: &Customer,
    (since, probes, next): (i64, i64, Option<i64>),
) -> String {
    let asked = if probes == 1 {
        "once".to_owned()
    } else {
        format!("{probes} times")
    };
    let again = next.map_or(String::new(), |at| {
        format!("; it is asked again at {}", Time(at))
    });
    format!(
        "the destination \"{}\" does not know the customer {} (asked {asked}, first at {}){again}",
        payment.destination,
        crate::lookup::mask_email(&customer.value),
        Time(since),
    )
}
