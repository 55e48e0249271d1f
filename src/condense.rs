//! Sees to it that the days that are over have segments, from which reports by
//! customer are read at once. The ledger makes them, a few at a time; here is when.
//!
//! Nothing depends on it: a day without a segment is read row by row.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::ledger::Ledger;

/// Between two turns while there is more to do: long enough for others to write, and
/// a year is done in a few seconds.
const BREATH: Duration = Duration::from_millis(50);

/// Before looking again where there was nothing to do: a day that changed is read by
/// its rows for so long, which takes milliseconds.
const PAUSE: Duration = Duration::from_secs(5);

/// Makes segments until it is told to stop.
pub async fn run(ledger: Ledger, stop: CancellationToken) {
    loop {
        let pause = match ledger.condense().await {
            Ok(true) => BREATH,
            Ok(false) => PAUSE,
            Err(error) => {
                // Whoever writes payments tells of the trouble; this only waits.
                tracing::debug!(%error, "no segments were made");
                PAUSE
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}
