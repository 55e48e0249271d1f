//! Customers and partners as the destination lists them: taking rows in, finding
//! customers by them, and letting whoever waited for one go on.

use std::collections::{BTreeMap, BTreeSet};

use crate::ledger::sql::params;

use super::LedgerError;
use super::stand::CALL;
use super::tx::Tx;
use super::values::BY_VALUE;
use crate::destination::{ListedCustomer, ListedPartner};
use crate::ledger::book::SourceTerms;
use crate::ledger::mirror::{MirrorRead, MirrorTaken, is_older};
use crate::lookup::{Ask, Known};
use crate::plan::{Customer, CustomerBy};
use crate::time::Time;

/// Customers by the id that a payment provider knows them by; and by address. Left
/// to itself SQLite goes through all customers of the destination.
pub(super) const BY_PROVIDER_KEY: &str =
    "SELECT customer FROM mirrored_customers INDEXED BY mirrored_by_provider_key
    WHERE provider_key = ?1 AND provider_key IS NOT NULL AND destination = ?2 AND test = ?3
          AND gone = 0 LIMIT 2";
pub(super) const BY_EMAIL: &str =
    "SELECT customer FROM mirrored_customers INDEXED BY mirrored_by_email
    WHERE email = ?1 AND email IS NOT NULL AND destination = ?2 AND test = ?3 AND gone = 0
    LIMIT 2";

/// The partner of a customer for reports: of those listed under its key the one
/// that is still there, else the last that was.
pub(super) const PARTNER_OF_KEY: &str =
    "INSERT INTO customers (destination, customer, customer_by, partner)
     SELECT destination, customer, 'key', partner
     FROM mirrored_customers INDEXED BY mirrored_by_customer
     WHERE destination = ?1 AND customer = ?2 AND customer IS NOT NULL AND test = ?3
     ORDER BY gone, updated_at DESC, key LIMIT 1
     ON CONFLICT (destination, customer, customer_by) DO UPDATE
     SET partner = excluded.partner WHERE customers.partner IS DISTINCT FROM excluded.partner";

/// The same of customers whom payments name by their address.
pub(super) const PARTNER_OF_ADDRESS: &str =
    "INSERT INTO customers (destination, customer, customer_by, partner)
     SELECT DISTINCT destination, customer, 'email', ?4 FROM payments
     WHERE destination = ?1 AND customer IN (?2, ?3) AND customer IS NOT NULL
           AND customer_by = 'email'
     ON CONFLICT (destination, customer, customer_by) DO UPDATE
     SET partner = excluded.partner WHERE customers.partner IS DISTINCT FROM excluded.partner";

/// What is written of a customer's partner is written beside its number too.
const PARTNER_BESIDE_NUMBER: &str = "UPDATE customer_numbers SET partner =
         (SELECT max(partner) FROM customers WHERE destination = ?1 AND customer = ?2)
     WHERE destination = ?1 AND customer = ?2";

/// Whether a partner is known, by the partnership's key or by its own.
pub(super) const KNOWN_PARTNER: &str = "SELECT 1 FROM partners WHERE destination = ?1 AND key = ?2
     UNION ALL SELECT 1 FROM partners
     WHERE partner = ?3 AND partner IS NOT NULL AND destination = ?1";

/// Who waits for a customer with this value, and at which source.
pub(super) fn waiting() -> String {
    format!(
        "SELECT DISTINCT payment, sources.name
         FROM {BY_VALUE} JOIN payments USING (payment) JOIN sources USING (source)
         WHERE value = ?1 AND destination = ?2 AND frozen = 0 AND state = 'unattributed'
         LIMIT ?3"
    )
}

/// Payments folded in the transaction of one page; the others are only marked due,
/// because each is folded before it is called and intake must not wait for all.
const RELEASED_AT_ONCE: usize = 500;

/// Whom a page concerns beside the customers on it.
#[derive(Default)]
pub(super) struct Released {
    /// By destination, the provider ids and addresses that customers got or lost.
    values: BTreeMap<String, BTreeSet<String>>,
}

impl Released {
    fn add(&mut self, destination: &str, row: &Stored) {
        let values = self.values.entry(destination.to_owned()).or_default();
        values.extend(row.provider_key.clone());
        values.extend(row.email.clone());
    }
}

/// A mirrored customer as it is kept.
#[derive(Clone, Default, PartialEq, Eq)]
struct Stored {
    customer: Option<String>,
    partner: Option<String>,
    partnership: Option<String>,
    provider_key: Option<String>,
    email: Option<String>,
    name: Option<String>,
    test: bool,
    updated_at: Option<Time>,
    gone: bool,
}

impl Tx<'_> {
    /// Takes one customer in; true where it changed anything.
    pub(super) fn take_customer(
        &self,
        read: &MirrorRead,
        row: ListedCustomer,
        released: &mut Released,
    ) -> Result<bool, LedgerError> {
        let address = row.email.as_deref().map(|it| it.trim().to_lowercase());
        let after = Stored {
            email: address
                .clone()
                .filter(|_| self.keeps_emails(&read.destination)),
            customer: row.customer_key,
            partner: row.partner_key,
            partnership: row.partnership_key,
            provider_key: row.provider_key,
            name: row.name,
            test: row.test,
            updated_at: row.updated_at,
            gone: row.archived,
        };
        let before = self.stored_customer(&read.destination, &row.key)?;
        let older = |before: &Stored| !before.gone && is_older(after.updated_at, before.updated_at);
        if let Some(before) = before
            .as_ref()
            .filter(|before| **before == after || older(before))
        {
            self.touch_customer(read, &row.key)?;
            self.tell_partner_of_address(read, before, row.email.as_deref(), address)?;
            return Ok(false);
        }
        self.store_customer(read, &row.key, &after)?;
        for known in before.iter().chain([&after]) {
            if let Some(customer) = &known.customer {
                self.tell_partner(&read.destination, customer)?;
            }
        }
        self.tell_partner_of_address(read, &after, row.email.as_deref(), address)?;
        self.want_partner(&read.destination, &after)?;
        let same_ids = before.as_ref().is_some_and(|before| {
            let ids = |it: &Stored| {
                let it = it.clone();
                (it.customer, it.provider_key, it.email, it.test, it.gone)
            };
            ids(before) == ids(&after)
        });
        if !same_ids {
            for known in before.iter().chain([&after]) {
                released.add(&read.destination, known);
            }
            self.customer_appeared(&read.destination, &after, row.email)?;
        }
        Ok(true)
    }

    /// Whoever waited because the destination did not know this customer goes on.
    fn customer_appeared(
        &self,
        destination: &str,
        row: &Stored,
        email: Option<String>,
    ) -> Result<(), LedgerError> {
        if row.gone || row.test == self.is_live(destination) {
            return Ok(());
        }
        if let Some(key) = &row.customer {
            self.unblock(destination, &Customer::key(key.clone()))?;
        }
        if let Some(email) = email {
            let by = CustomerBy::Email;
            self.unblock(destination, &Customer { by, value: email })?;
        }
        Ok(())
    }

    fn stored_customer(&self, destination: &str, key: &str) -> Result<Option<Stored>, LedgerError> {
        self.one(
            "SELECT customer, partner, partnership, provider_key, email, name, test, updated_at, gone
             FROM mirrored_customers WHERE destination = ?1 AND key = ?2",
            params![destination, key],
            |row| {
                Ok(Stored {
                    customer: row.get(0)?,
                    partner: row.get(1)?,
                    partnership: row.get(2)?,
                    provider_key: row.get(3)?,
                    email: row.get(4)?,
                    name: row.get(5)?,
                    test: row.get(6)?,
                    updated_at: row.get::<_, Option<i64>>(7)?.map(Time),
                    gone: row.get(8)?,
                })
            },
        )
    }

    fn store_customer(
        &self,
        read: &MirrorRead,
        key: &str,
        row: &Stored,
    ) -> Result<(), LedgerError> {
        self.queue(
            "INSERT INTO mirrored_customers (destination, key, customer, partner,
                 partnership, provider_key, email, name, test, updated_at, gone, listed_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
             ON CONFLICT (destination, key) DO UPDATE
             SET customer = excluded.customer, partner = excluded.partner,
                 partnership = excluded.partnership, provider_key = excluded.provider_key,
                 email = excluded.email, name = excluded.name, test = excluded.test,
                 updated_at = excluded.updated_at, gone = excluded.gone,
                 listed_at = excluded.listed_at",
            params![
                read.destination,
                key,
                row.customer,
                row.partner,
                row.partnership,
                row.provider_key,
                row.email,
                row.name,
                row.test,
                row.updated_at.map(Time::ms),
                row.gone,
                read.began_at.ms(),
            ],
        )
    }

    fn touch_customer(&self, read: &MirrorRead, key: &str) -> Result<(), LedgerError> {
        self.queue(
            "UPDATE mirrored_customers SET listed_at = ?3 WHERE destination = ?1 AND key = ?2",
            params![read.destination, key, read.began_at.ms()],
        )
    }

    /// Writes down for reports which partner brought a customer.
    fn tell_partner(&self, destination: &str, customer: &str) -> Result<(), LedgerError> {
        self.queue(
            PARTNER_OF_KEY,
            params![destination, customer, !self.is_live(destination)],
        )?;
        self.queue(PARTNER_BESIDE_NUMBER, [destination, customer])
    }

    /// The same where payments name the customer by its address.
    fn tell_partner_of_address(
        &self,
        read: &MirrorRead,
        row: &Stored,
        written: Option<&str>,
        address: Option<String>,
    ) -> Result<(), LedgerError> {
        if row.test == self.is_live(&read.destination) || row.gone || written.is_none() {
            return Ok(());
        }
        self.queue(
            PARTNER_OF_ADDRESS,
            params![read.destination, written, address, row.partner],
        )?;
        for customer in [written, address.as_deref()].into_iter().flatten() {
            self.queue(PARTNER_BESIDE_NUMBER, [read.destination.as_str(), customer])?;
        }
        Ok(())
    }

    /// Asks for the partners to be read, where a row names one that is not known and
    /// nobody is about to.
    pub(super) fn want_partner_named(
        &self,
        destination: &str,
        partner: Option<&str>,
        partnership: Option<&str>,
    ) -> Result<(), LedgerError> {
        let named = partner.is_some() || partnership.is_some();
        let known = !named
            || self
                .one(
                    KNOWN_PARTNER,
                    params![destination, partnership, partner],
                    |_| Ok(()),
                )?
                .is_some();
        if !known {
            self.queue(
                "INSERT INTO mirror_reads (destination, kind, wanted) VALUES (?1, 'partners', 1)
                 ON CONFLICT (destination, kind) DO UPDATE SET wanted = 1
                 WHERE mirror_reads.wanted = 0 AND mirror_reads.began_at IS NULL",
                [destination],
            )?;
        }
        Ok(())
    }

    fn want_partner(&self, destination: &str, row: &Stored) -> Result<(), LedgerError> {
        let (partner, partnership) = (row.partner.as_deref(), row.partnership.as_deref());
        self.want_partner_named(destination, partner, partnership)
    }

    /// Takes one partnership in; true where it changed anything.
    pub(super) fn take_partner(
        &self,
        read: &MirrorRead,
        row: ListedPartner,
    ) -> Result<bool, LedgerError> {
        let same = self.run(
            "UPDATE partners SET listed_at = ?5
             WHERE destination = ?1 AND key = ?2 AND partner IS NOT DISTINCT FROM ?3
                   AND name IS NOT DISTINCT FROM ?4 AND gone = 0",
            params![
                read.destination,
                row.key,
                row.partner_key,
                row.name,
                read.began_at.ms()
            ],
        )?;
        if same > 0 {
            return Ok(false);
        }
        self.queue(
            "INSERT INTO partners (destination, key, partner, name, listed_at)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (destination, key) DO UPDATE
             SET partner = excluded.partner, name = excluded.name,
                 listed_at = excluded.listed_at, gone = 0",
            params![
                read.destination,
                row.key,
                row.partner_key,
                row.name,
                read.began_at.ms()
            ],
        )?;
        Ok(true)
    }

    /// Writes customers down as gone that a complete list did not show.
    pub(super) fn sweep_customers(
        &self,
        read: &MirrorRead,
        most: i64,
        released: &mut Released,
    ) -> Result<usize, LedgerError> {
        let unlisted: Vec<String> = self.all(
            "SELECT key FROM mirrored_customers INDEXED BY mirrored_unlisted
             WHERE destination = ?1 AND listed_at < ?2 AND gone = 0 LIMIT ?3",
            params![read.destination, read.began_at.ms(), most],
            |row| row.get(0),
        )?;
        for key in &unlisted {
            if let Some(row) = self.stored_customer(&read.destination, key)? {
                released.add(&read.destination, &row);
                self.queue(
                    "UPDATE mirrored_customers SET gone = 1 WHERE destination = ?1 AND key = ?2",
                    params![read.destination, key],
                )?;
                if let Some(customer) = &row.customer {
                    self.tell_partner(&read.destination, customer)?;
                }
            }
        }
        Ok(unlisted.len())
    }

    /// The same of partners, all at once: there are few.
    pub(super) fn sweep_partners(&self, read: &MirrorRead) -> Result<usize, LedgerError> {
        self.run(
            "UPDATE partners SET gone = 1
             WHERE destination = ?1 AND listed_at < ?2 AND gone = 0",
            params![read.destination, read.began_at.ms()],
        )
    }

    /// Folds the payments again that are nobody's and name what customers got or
    /// lost, so that they go on, or say why not.
    pub(super) fn release(
        &self,
        released: Released,
        taken: &mut MirrorTaken,
    ) -> Result<(), LedgerError> {
        let mut payments = BTreeSet::new();
        if !released.values.is_empty() {
            self.put_values_in()?;
        }
        for (destination, values) in &released.values {
            for value in values {
                let room = RELEASED_AT_ONCE.saturating_sub(payments.len());
                let waiting: Vec<(i64, String)> = self.all(
                    &waiting(),
                    params![
                        value,
                        destination,
                        i64::try_from(room + 1).unwrap_or(i64::MAX)
                    ],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )?;
                if waiting.len() > room {
                    self.mark_due(destination, value, taken)?;
                }
                // Without a destination for it the API's payments stay as they are.
                let ours = waiting.into_iter().take(room);
                let ours = ours.filter(|(_, source)| self.all_terms().contains_key(source));
                payments.extend(ours.map(|(payment, _)| payment));
            }
        }
        taken.payments += payments.len();
        taken.due |= self.fold_all(&payments)?;
        Ok(())
    }

    fn mark_due(
        &self,
        destination: &str,
        value: &str,
        taken: &mut MirrorTaken,
    ) -> Result<(), LedgerError> {
        let mark = format!(
            "UPDATE payments SET state = 'due', turn = ?4, due_at = ?3, due_since = ?3, reason = NULL
             WHERE destination = ?1 AND frozen = 0 AND state = 'unattributed' AND payment IN
                   (SELECT payment FROM {BY_VALUE} WHERE value = ?2)"
        );
        let marked = self.run(&mark, params![destination, value, self.now.ms(), CALL])?;
        taken.payments += marked;
        taken.due |= marked > 0;
        Ok(())
    }

    /// Whom the destination of a source lists with what is asked for. A test
    /// customer is nobody to live money, and the other way round.
    pub(super) fn mirrored(
        &self,
        source: &SourceTerms,
        ask: Ask<'_>,
    ) -> Result<Known, LedgerError> {
        let (sql, value) = match ask {
            Ask::Link { .. } => return Ok(Known::Nobody),
            Ask::ProviderKey(value) => (BY_PROVIDER_KEY, value),
            Ask::Email(value) => (BY_EMAIL, value),
        };
        let found: Vec<Option<String>> = self.all(
            sql,
            params![value, source.destination, !source.live],
            |row| row.get(0),
        )?;
        Ok(match found.as_slice() {
            [] => Known::Nobody,
            [Some(key)] => Known::Customer(key.clone()),
            [None] => Known::Keyless,
            _ => Known::Several,
        })
    }
}
