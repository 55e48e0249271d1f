//! Comparing transactions with the destination's own list, a page at a time, so
//! that millions of rows take the memory of one page.
//!
//! What a list showed is noted in the row itself; what no list showed is found
//! by that. Nothing here calls the destination, and nothing moves money: a
//! correction writes down what is true there, and the plan decides.

use crate::ledger::sql::{Row as SqlRow, params};

use super::tx::{Tx, from_word};
use super::{LedgerError, Store};
use crate::destination::Row as Listed;
use crate::ledger::{Comparison, Difference, Differs, Unlisted};
use crate::money::{Currency, Minor};
use crate::plan::RowState;
use crate::time::{SECOND_MS, Time};

/// Rows of one page of what no list showed.
const UNLISTED_AT_ONCE: usize = 250;

impl Store {
    /// As [`crate::ledger::Ledger::begin_comparison`].
    pub(in crate::ledger) async fn begin_comparison(
        &self,
        destination: &str,
        since: Time,
    ) -> Result<Comparison, LedgerError> {
        let destination = destination.to_owned();
        let begun = self.write(move |tx| {
            let began_at = tx.compared_from(&destination)?;
            Ok(Comparison {
                destination,
                since,
                began_at,
            })
        });
        begun.await
    }

    /// As [`crate::ledger::Ledger::compare`].
    pub(in crate::ledger) async fn compare(
        &self,
        comparison: Comparison,
        rows: Vec<Listed>,
    ) -> Result<Vec<Difference>, LedgerError> {
        self.write(move |tx| {
            let mut differences = Vec::new();
            for row in &rows {
                differences.extend(tx.compare_row(&comparison, row)?);
            }
            Ok(differences)
        })
        .await
    }

    /// As [`crate::ledger::Ledger::unlisted`].
    pub(in crate::ledger) async fn unlisted(
        &self,
        comparison: Comparison,
        after: Option<(i64, u32)>,
    ) -> Result<Unlisted, LedgerError> {
        self.read(move |tx| tx.unlisted(&comparison, after)).await
    }

    /// As [`crate::ledger::Ledger::correct`].
    pub(in crate::ledger) async fn correct(
        &self,
        differences: Vec<Difference>,
    ) -> Result<usize, LedgerError> {
        self.write(move |tx| {
            let mut corrected = 0;
            for difference in &differences {
                corrected += usize::from(tx.correct(difference)?);
            }
            Ok(corrected)
        })
        .await
    }
}

/// A transaction of ours under comparison.
struct Ours {
    payment: i64,
    seq: u32,
    source: String,
    payment_id: String,
    customer: String,
    by_key: bool,
    currency: Currency,
    amount: Minor,
    state: RowState,
    listed_at: Option<i64>,
    called_at: Option<i64>,
}

impl Ours {
    fn differs(&self, differs: Differs, key: &str, there: Minor, why: String) -> Difference {
        let believed = matches!(self.state, RowState::Live);
        Difference {
            differs,
            key: key.to_owned(),
            source: Some(self.source.clone()),
            payment_id: Some(self.payment_id.clone()),
            customer_key: Some(self.customer.clone()),
            currency: Some(self.currency),
            ledger: if believed { self.amount } else { 0 },
            destination: there,
            why,
            row: Some((self.payment, self.seq)),
        }
    }
}

const OURS: &str = "SELECT payment, seq, sources.name, payment_id, transactions.customer,
        transactions.customer_by = 'key', transactions.currency, transactions.amount,
        transactions.state, listed_at,
        (SELECT max(begun_at) FROM attempts
         WHERE attempts.payment = transactions.payment AND attempts.seq = transactions.seq
               AND call <> 'confirm'), key
    FROM transactions JOIN payments USING (payment) JOIN sources USING (source)";

fn read_ours(row: &SqlRow<'_>) -> Result<(Ours, String), LedgerError> {
    let ours = Ours {
        payment: row.get(0)?,
        seq: row.get(1)?,
        source: row.get(2)?,
        payment_id: row.get(3)?,
        customer: row.get(4)?,
        by_key: row.get(5)?,
        currency: from_word(row.get(6)?)?,
        amount: row.get(7)?,
        state: from_word(row.get(8)?)?,
        listed_at: row.get(9)?,
        called_at: row.get(10)?,
    };
    Ok((ours, row.get(11)?))
}

impl Tx<'_> {
    /// When a comparison begins, which is what it is told apart from others by: of two that
    /// are asked for in one millisecond, one begins later. Only that little later, because
    /// what was called after it began is not judged by it.
    fn compared_from(&self, destination: &str) -> Result<Time, LedgerError> {
        let last: Option<Option<i64>> = self.one(
            "SELECT compared_at FROM destinations WHERE name = ?1",
            [destination],
            |row| row.get(0),
        )?;
        let last = last.flatten().map(Time);
        let just_now = last.filter(|it| (0..SECOND_MS).contains(&it.since(self.now)));
        let began_at = just_now.map_or(self.now, |last| last.plus(1));
        self.queue(
            "INSERT INTO destinations (name, compared_at) VALUES (?1, ?2)
             ON CONFLICT (name) DO UPDATE SET compared_at = excluded.compared_at",
            params![destination, began_at.ms()],
        )?;
        Ok(began_at)
    }

    pub(super) fn compare_row(
        &self,
        comparison: &Comparison,
        listed: &Listed,
    ) -> Result<Option<Difference>, LedgerError> {
        let sql = format!("{OURS} WHERE transactions.destination = ?1 AND key = ?2");
        let found = self.one(&sql, params![comparison.destination, listed.key], read_ours)?;
        if listed.archived {
            // What is archived counts no more; a row that we believe live stays
            // unseen and is found missing.
            return Ok(None);
        }
        let there = listed.amount.unwrap_or_default();
        let Some((ours, key)) = found else {
            return Ok(Some(self.not_ours(listed, there)));
        };
        let began = comparison.began_at.ms();
        if ours.called_at.is_some_and(|at| at >= began) {
            return Ok(None);
        }
        self.queue(
            "UPDATE transactions SET listed_at = ?3 WHERE payment = ?1 AND seq = ?2",
            params![ours.payment, ours.seq, began],
        )?;
        if ours.listed_at == Some(began) {
            let why = "the destination holds this key more than once".to_owned();
            return Ok(Some(ours.differs(Differs::Twice, &key, there, why)));
        }
        Ok(match ours.state {
            // Somebody is reading these back already.
            RowState::PostUnknown | RowState::DeleteUnknown => None,
            RowState::Live => changed(&ours, &key, listed),
            RowState::Gone | RowState::Absent | RowState::Missing | RowState::Suspect => {
                let why = match ours.state {
                    RowState::Gone => "we deleted it, and the destination holds it",
                    RowState::Suspect => "a person has yet to decide about it",
                    _ => "it is not known to be there, and the destination holds it",
                };
                Some(ours.differs(Differs::Extra, &key, there, why.to_owned()))
            }
        })
    }

    /// A key that the ledger does not know: made by one of our sources, or by
    /// somebody else.
    pub(super) fn not_ours(&self, listed: &Listed, there: Minor) -> Difference {
        let source = listed.key.split_once(':').map(|(source, _)| source);
        let source = source.filter(|source| self.all_terms().contains_key(*source));
        let (differs, why) = match source {
            Some(_) => (
                Differs::Unknown,
                "a key of ours that this ledger does not know: it was restored from an older copy, \
                 or another Tributary posts here",
            ),
            None => (Differs::Foreign, "a transaction that we never made"),
        };
        Difference {
            differs,
            key: listed.key.clone(),
            source: source.map(str::to_owned),
            payment_id: None,
            customer_key: listed.customer_external_key.clone(),
            currency: listed.currency,
            ledger: 0,
            destination: there,
            why: why.to_owned(),
            row: None,
        }
    }

    fn unlisted(
        &self,
        comparison: &Comparison,
        after: Option<(i64, u32)>,
    ) -> Result<Unlisted, LedgerError> {
        let (payment, seq) = after.unwrap_or((0, 0));
        let sql = format!(
            "{OURS} WHERE (transactions.payment, transactions.seq) > (?1, ?2)
               AND transactions.destination = ?3 AND transactions.state = 'live'
               AND transactions.created_at >= ?4 AND coalesce(listed_at, 0) <> ?5
             ORDER BY transactions.payment, transactions.seq LIMIT ?6"
        );
        let began = comparison.began_at.ms();
        let rows = self.all(
            &sql,
            params![
                payment,
                seq,
                comparison.destination,
                comparison.since.ms(),
                began,
                i64::try_from(UNLISTED_AT_ONCE).unwrap_or(i64::MAX)
            ],
            read_ours,
        )?;
        let next = match rows.len() {
            UNLISTED_AT_ONCE => rows.last().map(|(ours, _)| (ours.payment, ours.seq)),
            _ => None,
        };
        let before = |ours: &Ours| ours.called_at.is_none_or(|at| at < began);
        let differences = rows
            .iter()
            .filter(|(ours, _)| before(ours))
            .map(|(ours, key)| {
                let why = "we believe it live, and the destination does not list it".to_owned();
                ours.differs(Differs::Missing, key, 0, why)
            });
        Ok(Unlisted {
            differences: differences.collect(),
            next,
        })
    }

    /// Writes down what the destination holds, and folds the payment: what is
    /// missing or changed is held, what is there too much is owed its correction.
    /// Never posts a missing row again by itself.
    pub(super) fn correct(&self, difference: &Difference) -> Result<bool, LedgerError> {
        let Some((payment, seq)) = difference.row else {
            return Ok(false);
        };
        let (state, seen) = match difference.differs {
            Differs::Missing => (RowState::Missing, None),
            Differs::Changed | Differs::Twice => (RowState::Suspect, Some(difference.destination)),
            Differs::Extra => (RowState::Live, None),
            Differs::Unknown | Differs::Foreign => return Ok(false),
        };
        let note = format!("reconcile: {}", difference.why);
        self.set_row(payment, seq, state, Some(&note))?;
        self.queue(
            "UPDATE transactions SET seen_amount = ?3 WHERE payment = ?1 AND seq = ?2",
            params![payment, seq, seen],
        )?;
        self.fold(payment)?;
        Ok(true)
    }
}

/// What differs about a row that both believe live.
fn changed(ours: &Ours, key: &str, listed: &Listed) -> Option<Difference> {
    let there = listed.amount.unwrap_or(ours.amount);
    let currency = listed.currency.unwrap_or(ours.currency);
    let customer = listed.customer_external_key.as_deref();
    let why = if currency != ours.currency {
        format!(
            "the destination holds {} and the ledger {}",
            currency.show(there),
            ours.currency.show(ours.amount)
        )
    } else if there != ours.amount {
        format!("the destination holds {}", currency.show(there))
    } else if ours.by_key && customer.is_some_and(|customer| customer != ours.customer) {
        "it stands under another customer there".to_owned()
    } else {
        return None;
    };
    Some(ours.differs(Differs::Changed, key, there, why))
}
