//! Rewards as the destination lists them, and what they come to by day.
//!
//! As with payments, what a reward has put into the roll-up is compared with what
//! it comes to now, and the difference is put in, in the same transaction; so
//! reports never read rewards. Which of them count is said by
//! [`is_commission`]; this adds up.

use std::collections::BTreeMap;

use crate::ledger::sql::params;

use super::LedgerError;
use super::roll_up::{Difference, Statements};
use super::tx::{Tx, from_word};
use crate::destination::{ListedReward, read_key};
use crate::ledger::mirror::{MirrorRead, is_commission, is_older};
use crate::money::{Currency, Minor};
use crate::time::Time;

/// A reward as it is kept.
#[derive(Clone, PartialEq, Eq)]
struct Stored {
    customer: String,
    partner: String,
    partnership: String,
    transaction_key: String,
    source: String,
    currency: Option<Currency>,
    amount: Minor,
    status: Option<String>,
    archived: bool,
    created_at: Time,
    updated_at: Option<Time>,
    gone: bool,
    counts: bool,
}

/// What the rows of `commission_days` are told apart by, but for the destination.
type DayKey = (i64, String, String);
/// And those of `customer_commission_days`.
type CustomerKey = (i64, [String; 3], String);
/// An amount and a number of rewards.
type Sum = (Minor, i64);

/// What is to change in the roll-ups.
#[derive(Default)]
struct Changes {
    days: BTreeMap<DayKey, Sum>,
    customers: BTreeMap<CustomerKey, Sum>,
}

fn difference((amount, rewards): Sum) -> Difference {
    match (amount, rewards) {
        (0, 0) => Difference::Nothing,
        (_, ..0) => Difference::Less,
        _ => Difference::Change,
    }
}

const DAYS: Statements = Statements {
    change: "UPDATE commission_days SET amount = amount + ?5, rewards = rewards + ?6
             WHERE day = ?1 AND destination = ?2 AND source = ?3 AND currency = ?4",
    add: "INSERT INTO commission_days (day, destination, source, currency, amount, rewards)
          VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    drop: "DELETE FROM commission_days
           WHERE day = ?1 AND destination = ?2 AND source = ?3 AND currency = ?4
                 AND rewards = 0",
};

const CUSTOMER_DAYS: Statements = Statements {
    change: "UPDATE customer_commission_days SET amount = amount + ?7, rewards = rewards + ?8
             WHERE day = ?1 AND destination = ?2 AND customer = ?3 AND partner = ?4
                   AND partnership = ?5 AND currency = ?6",
    add: "INSERT INTO customer_commission_days (day, destination, customer, partner,
               partnership, currency, amount, rewards)
          VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    drop: "DELETE FROM customer_commission_days
           WHERE day = ?1 AND destination = ?2 AND customer = ?3 AND partner = ?4
                 AND partnership = ?5 AND currency = ?6 AND rewards = 0",
};

impl Tx<'_> {
    /// Takes a page of rewards in; answers how many were new or changed.
    pub(super) fn take_rewards(
        &self,
        read: &MirrorRead,
        rows: Vec<ListedReward>,
        otherwise: Option<Currency>,
    ) -> Result<usize, LedgerError> {
        let (mut changes, mut changed) = (Changes::default(), 0);
        for row in rows {
            let key = row.key.clone();
            let after = self.as_kept(read, row, otherwise)?;
            let before = self.stored_reward(&read.destination, &key)?;
            let older =
                |before: &Stored| !before.gone && is_older(after.updated_at, before.updated_at);
            if before
                .as_ref()
                .is_some_and(|before| *before == after || older(before))
            {
                self.queue(
                    "UPDATE rewards SET listed_at = ?3 WHERE destination = ?1 AND key = ?2",
                    params![read.destination, key, read.began_at.ms()],
                )?;
                continue;
            }
            if let Some(before) = &before {
                self.put(&mut changes, before, -1);
            }
            self.put(&mut changes, &after, 1);
            self.store_reward(read, &key, &after)?;
            let named = |text: &'_ str| (!text.is_empty()).then(|| text.to_owned());
            let (partner, partnership) = (named(&after.partner), named(&after.partnership));
            self.want_partner_named(
                &read.destination,
                partner.as_deref(),
                partnership.as_deref(),
            )?;
            changed += 1;
        }
        self.roll_up(&read.destination, &changes)?;
        Ok(changed)
    }

    /// Writes rewards down as gone that a complete list did not show.
    pub(super) fn sweep_rewards(&self, read: &MirrorRead, most: i64) -> Result<usize, LedgerError> {
        let unlisted: Vec<String> = self.all(
            "SELECT key FROM rewards INDEXED BY rewards_unlisted
             WHERE destination = ?1 AND listed_at < ?2 AND gone = 0 LIMIT ?3",
            params![read.destination, read.began_at.ms(), most],
            |row| row.get(0),
        )?;
        let mut changes = Changes::default();
        for key in &unlisted {
            if let Some(before) = self.stored_reward(&read.destination, key)? {
                self.put(&mut changes, &before, -1);
            }
            self.queue(
                "UPDATE rewards SET gone = 1, counts = 0 WHERE destination = ?1 AND key = ?2",
                params![read.destination, key],
            )?;
        }
        self.roll_up(&read.destination, &changes)?;
        Ok(unlisted.len())
    }

    fn as_kept(
        &self,
        read: &MirrorRead,
        row: ListedReward,
        otherwise: Option<Currency>,
    ) -> Result<Stored, LedgerError> {
        let transaction_key = row.transaction_key.unwrap_or_default();
        // What the reward says itself, then a person, then the sale that it is for.
        let mut currency = row.currency.or(otherwise).or(row.transaction_currency);
        if currency.is_none() && !transaction_key.is_empty() {
            currency = self.one(
                "SELECT currency FROM transactions WHERE destination = ?1 AND key = ?2",
                params![read.destination, transaction_key],
                |row| from_word(row.get(0)?),
            )?;
        }
        let source = read_key(&transaction_key).map(|(source, ..)| source);
        let source = source.filter(|source| self.all_terms().contains_key(*source));
        Ok(Stored {
            counts: currency.is_some() && is_commission(row.status.as_deref(), row.archived),
            customer: row.customer.unwrap_or_default(),
            partner: row.partner_key.unwrap_or_default(),
            partnership: row.partnership_key.unwrap_or_default(),
            source: source.unwrap_or_default().to_owned(),
            transaction_key,
            currency,
            amount: row.amount,
            status: row.status,
            archived: row.archived,
            created_at: row.created_at,
            updated_at: row.updated_at,
            gone: false,
        })
    }

    fn put(&self, changes: &mut Changes, row: &Stored, times: i64) {
        let Some(currency) = row.currency.filter(|_| row.counts) else {
            return;
        };
        let (day, code) = (
            self.zone.day_of(row.created_at).number(),
            currency.code().to_owned(),
        );
        let whose = [&row.customer, &row.partner, &row.partnership].map(String::clone);
        let add = |sum: &mut Sum| {
            sum.0 += times * row.amount;
            sum.1 += times;
        };
        let key = (day, row.source.clone(), code.clone());
        add(changes.days.entry(key).or_default());
        add(changes.customers.entry((day, whose, code)).or_default());
    }

    fn roll_up(&self, destination: &str, changes: &Changes) -> Result<(), LedgerError> {
        for ((day, source, currency), sum) in &changes.days {
            let (amount, rewards) = sum;
            let key = params![day, destination, source, currency];
            let all = params![day, destination, source, currency, amount, rewards];
            self.roll_up_row(&DAYS, &difference(*sum), all, key)?;
        }
        for ((day, [customer, partner, partnership], currency), sum) in &changes.customers {
            let (amount, rewards) = sum;
            let key = params![day, destination, customer, partner, partnership, currency];
            let all = params![
                day,
                destination,
                customer,
                partner,
                partnership,
                currency,
                amount,
                rewards
            ];
            self.roll_up_row(&CUSTOMER_DAYS, &difference(*sum), all, key)?;
        }
        Ok(())
    }

    fn stored_reward(&self, destination: &str, key: &str) -> Result<Option<Stored>, LedgerError> {
        self.one(
            "SELECT customer, partner, partnership, transaction_key, source, currency, amount,
                    status, archived, created_at, updated_at, gone, counts
             FROM rewards WHERE destination = ?1 AND key = ?2",
            params![destination, key],
            |row| {
                let currency: Option<String> = row.get(5)?;
                Ok(Stored {
                    customer: row.get(0)?,
                    partner: row.get(1)?,
                    partnership: row.get(2)?,
                    transaction_key: row.get(3)?,
                    source: row.get(4)?,
                    currency: currency.map(from_word).transpose()?,
                    amount: row.get(6)?,
                    status: row.get(7)?,
                    archived: row.get(8)?,
                    created_at: Time(row.get(9)?),
                    updated_at: row.get::<_, Option<i64>>(10)?.map(Time),
                    gone: row.get(11)?,
                    counts: row.get(12)?,
                })
            },
        )
    }

    fn store_reward(&self, read: &MirrorRead, key: &str, row: &Stored) -> Result<(), LedgerError> {
        self.queue(
            "INSERT INTO rewards (destination, key, customer, partner, partnership,
                 transaction_key, source, currency, amount, status, archived, created_at,
                 updated_at, gone, counts, listed_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
             ON CONFLICT (destination, key) DO UPDATE
             SET customer = excluded.customer, partner = excluded.partner,
                 partnership = excluded.partnership, transaction_key = excluded.transaction_key,
                 source = excluded.source, currency = excluded.currency,
                 amount = excluded.amount, status = excluded.status,
                 archived = excluded.archived, created_at = excluded.created_at,
                 updated_at = excluded.updated_at, gone = excluded.gone,
                 counts = excluded.counts, listed_at = excluded.listed_at",
            params![
                read.destination,
                key,
                row.customer,
                row.partner,
                row.partnership,
                row.transaction_key,
                row.source,
                row.currency.map(|it| it.code().to_owned()),
                row.amount,
                row.status,
                row.archived,
                row.created_at.ms(),
                row.updated_at.map(Time::ms),
                row.gone,
                row.counts,
                read.began_at.ms(),
            ],
        )
    }
}
