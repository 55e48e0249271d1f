//! Reading the payments that have no customer, newest first and only so many at a
//! time. What they are put together by is `ledger::unattributed`'s.

use super::list::Order;
use super::tx::{Tx, from_word};
use super::{LedgerError, Store};
use crate::ledger::book::State;
use crate::ledger::list::{Cursor, Filter};
use crate::ledger::sql::unexpected;
use crate::ledger::unattributed::{Groups, Sorted, Stray};
use crate::lookup::Tried;
use crate::money::{Currency, Minor};
use crate::time::Time;

/// Payments that one answer is made of: at a million of them it still takes a few
/// hundredths of a second, and what is left goes on by the cursor.
const LOOKED_AT_MOST: usize = 2_000;

impl Store {
    /// As [`crate::ledger::Ledger::unattributed`].
    pub(in crate::ledger) async fn unattributed(
        &self,
        filter: Filter,
    ) -> Result<Groups, LedgerError> {
        let filter = Filter {
            state: Some(State::Unattributed),
            ..filter
        };
        self.read(move |tx| tx.unattributed(&filter)).await
    }
}

impl Tx<'_> {
    fn unattributed(&self, filter: &Filter) -> Result<Groups, LedgerError> {
        let mut places = self
            .listed(filter, LOOKED_AT_MOST + 1, Order::NewestFirst)?
            .places;
        let more = places.len() > LOOKED_AT_MOST;
        places.truncate(LOOKED_AT_MOST);
        let next = places.last().filter(|_| more).copied().map(Cursor::after);
        let mut sorted = Sorted::default();
        for place in places {
            let stray = self.one(
                "SELECT name, customer, currency, gross, reversed, occurred_at, tried
                 FROM payments JOIN sources USING (source) WHERE payment = ?1",
                [place.payment],
                |row| {
                    let currency: Option<String> = row.get(2)?;
                    let currency: Option<Currency> = currency.map(from_word).transpose()?;
                    let (gross, reversed): (Option<Minor>, Option<Minor>) =
                        (row.get(3)?, row.get(4)?);
                    let net = gross.zip(reversed).map(|(gross, back)| gross - back);
                    let tried: Option<String> = row.get(6)?;
                    Ok(Stray {
                        source: row.get(0)?,
                        customer: row.get(1)?,
                        money: currency.zip(net),
                        moved_at: Time(row.get(5)?),
                        tried: read_tried(tried.as_deref())?,
                    })
                },
            )?;
            if let Some(stray) = stray {
                sorted.add(stray);
            }
        }
        Ok(sorted.finish(next))
    }
}

fn read_tried(tried: Option<&str>) -> Result<Vec<Tried>, LedgerError> {
    let Some(tried) = tried else {
        return Ok(Vec::new());
    };
    serde_json::from_str(tried).map_err(|_| unexpected("a word"))
}
