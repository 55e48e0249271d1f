//! How the money of some customers or partners went, day by day: for the few names
//! on a page, from the roll-ups.

use crate::ledger::sql::params;

use super::tx::from_word;
use super::{LedgerError, Store};
use crate::day::Day;
use crate::ledger::Trends;
use crate::report::By;

/// The net by customer and day.
pub(super) const BY_CUSTOMER: &str = "
    SELECT customer, currency, day, sum(gross - reversed) FROM customer_days
    WHERE day BETWEEN ?1 AND ?2 AND customer IN (SELECT value FROM json_each(?3))
    GROUP BY 1, 2, 3";

/// The same by partner, as known now.
pub(super) const BY_PARTNER: &str = "
    WITH brought AS (
        SELECT destination, customer, max(partner) AS partner FROM customers
        GROUP BY destination, customer)
    SELECT partner, currency, day, sum(gross - reversed)
    FROM customer_days JOIN brought USING (destination, customer)
    WHERE day BETWEEN ?1 AND ?2 AND partner IN (SELECT value FROM json_each(?3))
    GROUP BY 1, 2, 3";

impl Store {
    /// As [`crate::ledger::Ledger::trends`].
    pub(in crate::ledger) async fn trends(
        &self,
        by: By,
        (from, to): (Day, Day),
        keys: Vec<String>,
    ) -> Result<Trends, LedgerError> {
        let sql = match by {
            By::Customer => BY_CUSTOMER,
            By::Partner => BY_PARTNER,
            By::Source | By::Day | By::Month => return Ok(Trends::new()),
        };
        let keys = serde_json::to_string(&keys);
        let keys = keys.map_err(|error| LedgerError::Unusable(error.to_string()))?;
        self.read(move |tx| {
            let mut trends = Trends::new();
            let lines = tx.all(sql, params![from.number(), to.number(), keys], |row| {
                let currency = from_word(row.get(1)?)?;
                let day = super::days::day(row.get(2)?)?;
                Ok(((row.get(0)?, currency), day, row.get(3)?))
            })?;
            for (whose, day, net) in lines {
                trends.entry(whose).or_default().insert(day, net);
            }
            Ok(trends)
        })
        .await
    }
}
