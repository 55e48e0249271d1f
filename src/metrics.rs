//! The metrics: their names, what they mean, and the recorder that `/metrics`
//! shows.
//!
//! It counts nothing itself; the code that knows calls the `metrics` macros
//! with the names from here. It opens no listener.

use std::time::Duration;

use metrics::{
    Gauge, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use tokio_util::sync::CancellationToken;

/// Deliveries by `source` and `outcome`.
pub const DELIVERIES: &str = "tributary_deliveries_total";
/// Payments by `state`.
pub const PAYMENTS: &str = "tributary_payments";
/// How long the payment that is due longest has waited, by `destination`.
pub const OLDEST_DUE: &str = "tributary_oldest_due_seconds";
/// Calls to a destination by `destination` and `outcome`.
pub const ATTEMPTS: &str = "tributary_attempts_total";
/// How long a call took.
pub const ATTEMPT_SECONDS: &str = "tributary_attempt_seconds";
/// How long a commit took.
pub const COMMIT_SECONDS: &str = "tributary_commit_seconds";
/// How many deliveries shared a commit.
pub const COMMIT_DELIVERIES: &str = "tributary_commit_deliveries";
/// Deliveries that verified, by `source` and by the `secret`'s place in the
/// list: an old secret that matches no more can go.
pub const SECRET_MATCHES: &str = "tributary_secret_matches_total";
/// Rows read of a destination's lists, by `destination` and `list`.
pub const MIRRORED: &str = "tributary_mirror_rows_total";
/// Time since all lists of a `destination` were last read to the end.
pub const MIRROR_AGE: &str = "tributary_mirror_age_seconds";
/// Questions to providers' APIs, by source and outcome.
pub const INQUIRIES: &str = "tributary_inquiries_total";
/// Time since a `source` was last heard of.
pub const SOURCE_SILENCE: &str = "tributary_source_silence_seconds";
/// Always 1, with the `version`.
pub const BUILD_INFO: &str = "tributary_build_info";

/// How often histograms are folded: without it every sample stays in memory
/// until somebody asks for the metrics.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// The recorder's reading end.
#[derive(Clone)]
pub struct Metrics {
    reader: PrometheusHandle,
}

/// Why there is no recorder.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// The bucket bounds are wrong, which is an error in this file.
    #[error("metrics: {0}")]
    Buckets(#[from] metrics_exporter_prometheus::BuildError),
    /// A process has one recorder.
    #[error("metrics: a recorder was installed before")]
    Installed,
}

impl Metrics {
    /// Installs the recorder of the process; `main` calls it once. Before that,
    /// and in tests without it, counting does nothing.
    ///
    /// # Errors
    /// A recorder is there already.
    pub fn install() -> Result<Metrics, MetricsError> {
        let recorder = recorder()?;
        let reader = recorder.handle();
        metrics::set_global_recorder(recorder).map_err(|_| MetricsError::Installed)?;
        describe();
        Ok(Metrics { reader })
    }

    /// All metrics as Prometheus text.
    #[must_use]
    pub fn render(&self) -> String {
        self.reader.render()
    }

    /// Folds histograms now and then until told to stop.
    pub async fn upkeep(&self, stop: CancellationToken) {
        let mut every = tokio::time::interval(UPKEEP_EVERY);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = every.tick() => self.reader.run_upkeep(),
            }
        }
    }
}

/// Sets a gauge to a count or to a whole number of seconds. Less than nothing
/// shows as 0 and more than `u32` holds as its end: the largest whole number
/// the metrics library takes without a float.
pub fn set(gauge: &Gauge, value: i64) {
    gauge.set(u32::try_from(value.max(0)).unwrap_or(u32::MAX));
}

/// Counts one call to a destination and the time it took, in milliseconds.
pub fn attempt(destination: &str, call: &'static str, outcome: &'static str, elapsed_ms: i64) {
    ended(destination, call, outcome);
    histogram!(ATTEMPT_SECONDS, "destination" => destination.to_owned())
        .record(milliseconds(elapsed_ms));
}

/// Counts one call to a destination whose time is of no interest.
pub fn ended(destination: &str, call: &'static str, outcome: &'static str) {
    let destination = destination.to_owned();
    counter!(ATTEMPTS, "destination" => destination, "call" => call, "outcome" => outcome)
        .increment(1);
}

/// Counts the rows of a page of a destination's list, and that it came.
pub fn mirrored(destination: &str, list: &'static str, rows: usize) {
    ended(destination, "mirror", "accepted");
    counter!(MIRRORED, "destination" => destination.to_owned(), "list" => list)
        .increment(rows as u64);
}

/// A stretch of time as histograms take it.
#[must_use]
pub fn milliseconds(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

/// Bucket bounds: without them histograms are summaries, which cannot be added
/// up over replicas. Times run from a fast commit to the longest call.
fn recorder() -> Result<PrometheusRecorder, MetricsError> {
    let seconds = [
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.5, 5.0, 10.0,
        20.0, 60.0,
    ];
    let deliveries = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];
    Ok(PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &seconds)?
        .set_buckets_for_metric(Matcher::Full(COMMIT_DELIVERIES.to_owned()), &deliveries)?
        .build_recorder())
}

fn describe() {
    describe_counter!(DELIVERIES, "Deliveries by source and outcome");
    describe_gauge!(PAYMENTS, "Payments by state");
    describe_gauge!(
        OLDEST_DUE,
        "How long the payment that is due longest has waited"
    );
    describe_counter!(ATTEMPTS, "Calls to a destination by outcome");
    describe_histogram!(ATTEMPT_SECONDS, "How long a call to a destination took");
    describe_histogram!(COMMIT_SECONDS, "How long a commit of the ledger took");
    describe_histogram!(COMMIT_DELIVERIES, "How many deliveries shared a commit");
    describe_counter!(
        SECRET_MATCHES,
        "Verified deliveries by source and place of the secret"
    );
    describe_counter!(MIRRORED, "Rows read of a destination's lists");
    describe_gauge!(
        MIRROR_AGE,
        "Time since all lists of a destination were last read to the end"
    );
    describe_counter!(INQUIRIES, "Questions to a provider's API by outcome");
    describe_gauge!(SOURCE_SILENCE, "Time since a source was last heard of");
    describe_gauge!(BUILD_INFO, "Always 1, with the version");
    set(
        &gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")),
        1,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_come_out_as_promised() {
        let recorder = recorder().unwrap();
        metrics::with_local_recorder(&recorder, || {
            describe();
            counter!(DELIVERIES, "source" => "stripe", "outcome" => "recorded").increment(1);
            set(&gauge!(PAYMENTS, "state" => "due"), 12);
            set(&gauge!(OLDEST_DUE, "destination" => "partnerstack"), -3);
            set(&gauge!(SOURCE_SILENCE, "source" => "stripe"), i64::MAX);
            histogram!(COMMIT_SECONDS).record(Duration::from_millis(2));
            histogram!(COMMIT_DELIVERIES).record(3_u32);
        });
        let text = recorder.handle().render();
        for line in [
            "tributary_deliveries_total{source=\"stripe\",outcome=\"recorded\"} 1",
            "tributary_payments{state=\"due\"} 12",
            "tributary_oldest_due_seconds{destination=\"partnerstack\"} 0",
            "tributary_source_silence_seconds{source=\"stripe\"} 4294967295",
            "tributary_commit_seconds_bucket{le=\"0.0025\"} 1",
            "tributary_commit_seconds_bucket{le=\"0.001\"} 0",
            "tributary_commit_deliveries_bucket{le=\"4\"} 1",
            "tributary_build_info{version=\"",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn a_process_has_one_recorder() {
        let metrics = Metrics::install().unwrap();
        assert!(matches!(Metrics::install(), Err(MetricsError::Installed)));
        assert!(metrics.render().contains(BUILD_INFO));
    }
}
