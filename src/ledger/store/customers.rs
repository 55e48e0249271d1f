//! The destination's customers: who is unknown there, when to ask again, and
//! the provider's id to bind.
//!
//! A 404 blocks the customer, not one payment: one probe is made for all of its
//! payments, and whoever waited goes on when it is answered.

use crate::ledger::sql::params;

use super::begin::{LOOKS_MOST, REPORT_MS};
use super::payment::PaymentRow;
use super::stand::CALL;
use super::tx::{Tx, by_word, read_customer};
use super::{LedgerError, Store};
use crate::ledger::{Begun, Binding, Bound};
use crate::plan::{Customer, CustomerBy};
use crate::time::{DAY_MS, HOUR_MS, MINUTE_MS, Time};

/// How long an unknown customer is left alone: after a first, a second and a
/// third 404, then daily. New customers take minutes to become visible.
const PROBES_MS: [i64; 4] = [5 * MINUTE_MS, 15 * MINUTE_MS, HOUR_MS, DAY_MS];

/// How long a binding that could not be written waits.
const BIND_AGAIN_MS: i64 = 10 * MINUTE_MS;

impl Store {
    /// As [`crate::ledger::Ledger::binding`].
    pub(in crate::ledger) async fn binding(
        &self,
        destination: &str,
    ) -> Result<Option<Binding>, LedgerError> {
        let destination = destination.to_owned();
        self.read(move |tx| {
            if tx.is_copy(&destination)? {
                return Ok(None);
            }
            tx.one(
                "SELECT customer, bind FROM customers
                 WHERE destination = ?1 AND bind_state = 'due' AND bind_at <= ?2
                 ORDER BY bind_at LIMIT 1",
                params![destination, tx.now.ms()],
                |row| {
                    Ok(Binding {
                        customer_key: row.get(0)?,
                        provider_key: row.get(1)?,
                    })
                },
            )
        })
        .await
    }

    /// As [`crate::ledger::Ledger::bound`].
    pub(in crate::ledger) async fn bound(
        &self,
        destination: &str,
        binding: Binding,
        bound: Bound,
    ) -> Result<(), LedgerError> {
        let destination = destination.to_owned();
        self.write(move |tx| {
            let (word, at) = match bound {
                Bound::Done => ("done", None),
                Bound::Kept => ("kept", None),
                Bound::Refused => ("refused", None),
                Bound::Later => ("due", Some(tx.now.plus(BIND_AGAIN_MS).ms())),
            };
            tx.queue(
                "UPDATE customers SET bind_state = ?4, bind_at = ?5
                 WHERE destination = ?1 AND customer = ?2 AND customer_by = 'key' AND bind = ?3",
                params![
                    destination,
                    binding.customer_key,
                    binding.provider_key,
                    word,
                    at
                ],
            )
        })
        .await
    }
}

/// The unknown customer whose turn it is to be asked for again.
pub(super) const CUSTOMER_DUE: &str = "SELECT customer, customer_by FROM customers
    WHERE destination = ?1 AND next_probe_at <= ?2 ORDER BY next_probe_at LIMIT 1";

/// Who of an unknown customer's payments may be the probe.
pub(super) const CUSTOMER_WAITING: &str = "SELECT payment FROM payments
    WHERE destination = ?1 AND customer = ?2 AND customer_by = ?3 AND state = 'unattributed'
    ORDER BY occurred_at LIMIT ?4";

impl Tx<'_> {
    /// One payment of a customer whom the destination did not know, once it is
    /// time to ask again: its post is the probe for all of them.
    pub(super) fn begin_probe(&self, destination: &str) -> Result<Option<Begun>, LedgerError> {
        let due = self.one(CUSTOMER_DUE, params![destination, self.now.ms()], |row| {
            read_customer(row, 0)
        })?;
        let Some(customer) = due.flatten() else {
            return Ok(None);
        };
        // Unknown no more until the probe says so again; the count stays.
        self.queue(
            "UPDATE customers SET unknown_since = NULL, next_probe_at = NULL
             WHERE destination = ?1 AND customer = ?2 AND customer_by = ?3",
            params![destination, customer.value, by_word(customer.by)],
        )?;
        let waiting = self.all(
            CUSTOMER_WAITING,
            params![
                destination,
                customer.value,
                by_word(customer.by),
                LOOKS_MOST
            ],
            |row| row.get(0),
        )?;
        for payment in waiting {
            let folded = self.fold(payment)?;
            if let Some(begun) = self.begin_call(&folded)? {
                // The others wait for the probe, not for one call each.
                self.block(
                    destination,
                    &customer,
                    self.now.plus(begun.deadline.since(self.now) + REPORT_MS),
                )?;
                return Ok(Some(begun));
            }
        }
        Ok(None)
    }

    /// Writes that a customer is unknown until somebody asks again at `again`.
    fn block(
        &self,
        destination: &str,
        customer: &Customer,
        again: Time,
    ) -> Result<(), LedgerError> {
        self.queue(
            "INSERT INTO customers (destination, customer, customer_by, unknown_since, next_probe_at)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (destination, customer, customer_by) DO UPDATE
             SET unknown_since = coalesce(customers.unknown_since, excluded.unknown_since),
                 next_probe_at = excluded.next_probe_at",
            params![destination, customer.value, by_word(customer.by), self.now.ms(), again.ms()],
        )
    }

    fn row_customer(&self, payment: i64, seq: u32) -> Result<Option<Customer>, LedgerError> {
        let found = self.one(
            "SELECT customer, customer_by FROM transactions WHERE payment = ?1 AND seq = ?2",
            params![payment, seq],
            |row| read_customer(row, 0),
        )?;
        Ok(found.flatten())
    }

    pub(super) fn customer_is_unknown(
        &self,
        payment: i64,
        seq: u32,
        before: &PaymentRow,
    ) -> Result<(), LedgerError> {
        let Some(customer) = self.row_customer(payment, seq)? else {
            return Ok(());
        };
        let probes: Option<i64> = self.one(
            "SELECT probes FROM customers WHERE destination = ?1 AND customer = ?2 AND customer_by = ?3",
            params![before.destination, customer.value, by_word(customer.by)],
            |row| row.get(0),
        )?;
        let done = usize::try_from(probes.unwrap_or(0)).unwrap_or(0);
        let wait = PROBES_MS[done.min(PROBES_MS.len() - 1)];
        self.block(&before.destination, &customer, self.now.plus(wait))?;
        self.queue(
            "UPDATE customers SET probes = probes + 1
             WHERE destination = ?1 AND customer = ?2 AND customer_by = ?3",
            params![before.destination, customer.value, by_word(customer.by)],
        )
    }

    /// A post was taken: whoever waited for this customer goes on, and the
    /// provider's id of the customer may be written to the destination.
    pub(super) fn customer_is_known(
        &self,
        payment: i64,
        seq: u32,
        before: &PaymentRow,
    ) -> Result<(), LedgerError> {
        let Some(customer) = self.row_customer(payment, seq)? else {
            return Ok(());
        };
        self.unblock(&before.destination, &customer)?;
        let source = self.terms(&before.source)?;
        if !source.bind_provider_key || customer.by != CustomerBy::Key {
            return Ok(());
        }
        let provider_key: Option<String> = self.one(
            "SELECT value FROM clues WHERE payment = ?1 AND field = 'customer'",
            [payment],
            |row| row.get(0),
        )?;
        if let Some(provider_key) = provider_key {
            // The first id wins: two of them must not flip it for ever.
            self.queue(
                "INSERT INTO customers (destination, customer, customer_by, bind, bind_state, bind_at)
                 VALUES (?1, ?2, 'key', ?3, 'due', ?4)
                 ON CONFLICT (destination, customer, customer_by) DO UPDATE
                 SET bind = excluded.bind, bind_state = 'due', bind_at = excluded.bind_at
                 WHERE customers.bind IS NULL",
                params![before.destination, customer.value, provider_key, self.now.ms()],
            )?;
        }
        Ok(())
    }

    /// A post was refused for another reason than its customer. That does not prove
    /// that the customer is known, but one payment that nobody will ever take must not
    /// be the probe for all others: each of them asks for itself now, and the first
    /// 404 lets the rest wait again, as long as the count of probes says.
    pub(super) fn customer_was_heard(
        &self,
        payment: i64,
        seq: u32,
        before: &PaymentRow,
    ) -> Result<(), LedgerError> {
        match self.row_customer(payment, seq)? {
            Some(customer) => self.let_go_on(&before.destination, &customer, "probes"),
            _ => Ok(()),
        }
    }

    /// Everybody who waited for a customer is due.
    pub(super) fn unblock(
        &self,
        destination: &str,
        customer: &Customer,
    ) -> Result<(), LedgerError> {
        self.let_go_on(destination, customer, "0")
    }

    /// The same; `probes` is what the count of probes becomes.
    fn let_go_on(
        &self,
        destination: &str,
        customer: &Customer,
        probes: &str,
    ) -> Result<(), LedgerError> {
        let sql = format!(
            "UPDATE customers SET unknown_since = NULL, next_probe_at = NULL, probes = {probes}
             WHERE destination = ?1 AND customer = ?2 AND customer_by = ?3
                   AND (unknown_since IS NOT NULL OR probes > 0)"
        );
        let was = self.run(
            &sql,
            params![destination, customer.value, by_word(customer.by)],
        )?;
        if was > 0 {
            // Each is folded again before it is called, so a plain update will do.
            self.queue(
                "UPDATE payments SET state = 'due', turn = ?4, due_at = ?5, due_since = ?5, reason = NULL
                 WHERE destination = ?1 AND customer = ?2 AND customer_by = ?3
                       AND state = 'unattributed'",
                params![
                    destination,
                    customer.value,
                    by_word(customer.by),
                    CALL,
                    self.now.ms()
                ],
            )?;
        }
        Ok(())
    }
}
