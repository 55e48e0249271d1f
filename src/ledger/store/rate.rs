//! The rate of calls that all replicas on one server share.
//!
//! A row for each destination says when its next call may be made (the generic cell rate
//! algorithm). Taking a slot is one statement of its own in the server's time: it waits
//! for no writer of the ledger, and none waits for it. A ledger in a file has no such
//! row, because one process forwards there.

use std::time::Duration;

use super::begin::PAUSED_UNTIL;
use super::home::Link;
use super::{LedgerError, Store, lock};
use crate::destination::{Rate, Slot};
use crate::ledger::sql::Value;
use crate::time::Time;

/// A second, in the microseconds of the table.
const SECOND_US: i64 = 1_000_000;

/// The server's time. `now()` would be that of the transaction's begin.
macro_rules! now {
    () => {
        "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)"
    };
}

/// Takes the next slot and answers how long it is until then, in microseconds: less than
/// nothing where it could have been taken before. No row where the destination asked to
/// be left alone. `?2` is the time between two calls, `?3` that of a whole burst.
const TAKE: &str = concat!(
    "INSERT INTO rates (destination, next_at)
     SELECT CAST(?1 AS TEXT), ",
    now!(),
    " - CAST(?3 AS BIGINT) + CAST(?2 AS BIGINT)
     WHERE NOT EXISTS (SELECT 1 FROM destinations
         WHERE name = CAST(?1 AS TEXT) AND paused_until > ",
    now!(),
    " / 1000)
     ON CONFLICT (destination) DO UPDATE
     SET next_at = greatest(rates.next_at, excluded.next_at - CAST(?2 AS BIGINT))
                   + CAST(?2 AS BIGINT)
     RETURNING next_at - CAST(?2 AS BIGINT) - ",
    now!()
);

impl Store {
    /// As [`crate::ledger::Ledger::is_shared`].
    pub(in crate::ledger) fn is_shared(&self) -> bool {
        self.home.file().is_none()
    }

    /// As [`crate::destination::Budget::slot`].
    pub(in crate::ledger) async fn slot(
        &self,
        destination: &str,
        rate: Rate,
    ) -> Result<Slot, LedgerError> {
        if !self.is_shared() {
            return Err(LedgerError::Unusable(
                "a file has no rate to share".to_owned(),
            ));
        }
        let kept = lock(&self.pacer).take();
        let (home, serving) = (self.home.clone(), self.shared.serving);
        let destination = destination.to_owned();
        let work = move || {
            let link = match kept.filter(|link| !link.has_ended()) {
                Some(link) => link,
                None => home.connect(serving)?,
            };
            let slot = take(&link, &destination, rate)?;
            Ok((link, slot))
        };
        let taken = tokio::task::spawn_blocking(work).await;
        let cut_off = |_| Err(LedgerError::Unavailable("it was cut off".to_owned()));
        // A connection that failed is not kept.
        let (link, slot) = taken.unwrap_or_else(cut_off)?;
        *lock(&self.pacer) = Some(link);
        Ok(slot)
    }
}

fn take(link: &Link, destination: &str, rate: Rate) -> Result<Slot, LedgerError> {
    let Link::Server(client) = link else {
        return Err(LedgerError::Unusable("no server".to_owned()));
    };
    let between = SECOND_US / i64::from(rate.per_second.get());
    let burst = between.saturating_mul(i64::from(rate.burst.get()) - 1);
    let values = [
        Value::Text(destination),
        Value::Int(between),
        Value::Int(burst),
    ];
    let found = client.borrow_mut().query(TAKE, &values)?;
    Ok(match found.first().map(|row| row.value(0)).transpose()? {
        Some(Value::Int(us)) => Slot::After(Duration::from_micros(u64::try_from(us).unwrap_or(0))),
        _ => {
            let found = client.borrow_mut().query(PAUSED_UNTIL, &values[..1])?;
            match found.first().map(|row| row.value(0)).transpose()? {
                Some(Value::Int(ms)) => Slot::Paused(Time(ms)),
                // It was taken back between the two: asked again a moment later.
                _ => Slot::Paused(Time(0)),
            }
        }
    })
}
