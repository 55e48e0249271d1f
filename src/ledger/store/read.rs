//! Reading for people: one payment as a line, figures. Lists are in `list`;
//! nothing here writes.

use std::collections::BTreeMap;

use crate::ledger::sql::{Owned as Value, Row as SqlRow, params, unexpected};

use super::tx::{Tx, from_word};
use super::{LedgerError, Store};
use crate::ledger::story::PaymentView;
use crate::ledger::{BooksLine, Filter, Summary};
use crate::money::Minor;
use crate::time::Time;

/// The columns of a [`PaymentView`], in the order of [`read_view`].
const VIEW: &str = "payment, sources.name, payment_id, sources.provider, destination, customer, \
     currency, gross, reversed, forwarded, state, reason, occurred_at, live, due_at, \
     (SELECT max(partner) FROM customers WHERE customers.destination = payments.destination \
      AND customers.customer = payments.customer)";

/// When the payment became due that is due longest. Left to itself SQLite goes
/// through the whole backlog by another index.
pub(super) const OLDEST_DUE: &str = "SELECT due_since FROM payments INDEXED BY payments_oldest_due
     WHERE destination = ?1 AND turn > 0 ORDER BY due_since LIMIT 1";

/// How many payments are in each state, in the order of the index, which needs no
/// sorting.
const STATES_BY_SOURCE: &str =
    "SELECT source, state, count(*) FROM payments INDEXED BY payments_by_source
     GROUP BY source, state";

impl Store {
    /// As [`crate::ledger::Ledger::summary`].
    pub(in crate::ledger) async fn summary(&self) -> Result<Summary, LedgerError> {
        self.read(|tx| tx.summary()).await
    }
}

impl Tx<'_> {
    /// The SQL condition of a filter, and its values, for what goes through all
    /// payments anyway. A search is no part of it: [`Tx::listed`] finds by that.
    pub(super) fn condition(&self, filter: &Filter) -> Result<(String, Vec<Value>), LedgerError> {
        if filter.search.is_some() {
            let why = "what is searched for is listed, and not gone through";
            return Err(LedgerError::Refused(why.to_owned()));
        }
        let mut parts = vec!["1 = 1".to_owned()];
        let mut values = Vec::new();
        let mut add = |part: &str, value: Value| {
            values.push(value);
            parts.push(part.replace('?', &format!("?{}", values.len())));
        };
        if let Some(state) = filter.state {
            add("state = ?", Value::from(state.word().to_owned()));
        }
        if let Some(source) = &filter.source {
            add("payments.source = ?", Value::from(self.source_row(source)?));
        }
        if let Some(provider) = &filter.provider {
            let of = "payments.source IN (SELECT source FROM sources WHERE provider = ?)";
            add(of, Value::from(provider.clone()));
        }
        if let Some(payment_id) = &filter.payment_id {
            add("payment_id = ?", Value::from(payment_id.clone()));
        }
        if let Some(customer) = &filter.customer {
            add("customer = ?", Value::from(customer.clone()));
        }
        if let Some(since) = filter.since {
            add("occurred_at >= ?", Value::from(since.ms()));
        }
        if let Some(until) = filter.until {
            add("occurred_at < ?", Value::from(until.ms()));
        }
        Ok((parts.join(" AND "), values))
    }

    /// One payment as a line.
    pub(super) fn view(&self, payment: i64) -> Result<PaymentView, LedgerError> {
        let sql =
            format!("SELECT {VIEW} FROM payments JOIN sources USING (source) WHERE payment = ?1");
        self.one(&sql, [payment], read_view)?
            .ok_or_else(|| LedgerError::NotFound("no such payment".to_owned()))
    }

    fn summary(&self) -> Result<Summary, LedgerError> {
        let times = |sql: &str| -> Result<BTreeMap<String, Time>, LedgerError> {
            let rows = self.all(sql, [], |row| Ok((row.get(0)?, Time(row.get(1)?))))?;
            Ok(rows.into_iter().collect())
        };
        let mut summary = Summary {
            states: self
                .all(STATES_BY_SOURCE, [], |row| {
                    Ok((row.get::<_, String>(1)?, row.get::<_, i64>(2)?))
                })?
                .into_iter()
                .fold(BTreeMap::new(), |mut states, (state, count)| {
                    *states.entry(state).or_default() += count;
                    states
                }),
            last_delivery: times("SELECT name, coalesce(last_delivery, first_seen) FROM sources")?,
            paused_until: times("SELECT name, paused_until FROM destinations")?,
            ..Summary::default()
        };
        for source in self.all_terms().values() {
            let oldest = self.one(OLDEST_DUE, [&source.destination], |row| {
                Ok(Time(row.get(0)?))
            })?;
            if let Some(oldest) = oldest {
                summary
                    .oldest_due
                    .insert(source.destination.clone(), oldest);
            }
        }
        let deliveries = self.all(
            "SELECT name, status, count(*) + sum(resends) FROM deliveries JOIN sources USING (source)
             GROUP BY source, name, status",
            [],
            |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)),
        )?;
        summary.deliveries = deliveries.into_iter().collect();
        let status = self.all(
            "SELECT name, status FROM destinations WHERE status IS NOT NULL",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        summary.status = status.into_iter().collect();
        for source in self.all_terms().values() {
            if let Some(copied_at) = self.copied_at(&source.destination)? {
                let status = crate::ledger::copied_sentence(copied_at);
                summary.status.insert(source.destination.clone(), status);
            }
        }
        summary.books = self.all(
            "SELECT provider, currency, count(*), sum(gross), sum(reversed), sum(forwarded)
             FROM payments JOIN sources USING (source)
             WHERE currency IS NOT NULL AND state <> 'ignored'
             GROUP BY provider, currency ORDER BY provider, currency",
            params![],
            |row| {
                Ok(BooksLine {
                    provider: row.get(0)?,
                    currency: from_word(row.get(1)?)?,
                    payments: row.get(2)?,
                    gross: row.get(3)?,
                    reversed: row.get(4)?,
                    forwarded: row.get(5)?,
                })
            },
        )?;
        Ok(summary)
    }
}

fn read_view(row: &SqlRow<'_>) -> Result<PaymentView, LedgerError> {
    let currency: Option<String> = row.get(6)?;
    let state: String = row.get(10)?;
    let gross: Option<Minor> = row.get(7)?;
    let reversed: Option<Minor> = row.get(8)?;
    Ok(PaymentView {
        row: row.get(0)?,
        source: row.get(1)?,
        payment_id: row.get(2)?,
        provider: row.get(3)?,
        destination: row.get(4)?,
        customer_key: row.get(5)?,
        partner_key: row.get(15)?,
        currency: currency.map(from_word).transpose()?,
        gross,
        reversed,
        net: gross
            .zip(reversed)
            .map(|(gross, reversed)| gross - reversed),
        forwarded: row.get(9)?,
        state: crate::ledger::book::State::from_word(&state)
            .ok_or_else(|| unexpected("a word"))?
            .word(),
        reason: row.get(11)?,
        occurred_at: Time(row.get(12)?).to_string(),
        live: row.get(13)?,
        due_at: row
            .get::<_, Option<i64>>(14)?
            .map(|at| Time(at).to_string()),
    })
}
