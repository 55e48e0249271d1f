//! How far an import has come, with its rate and the time left: a bar on a
//! terminal, a line now and then elsewhere.

use indicatif::{ProgressBar, ProgressStyle};

use super::run::Came;
use crate::time::{DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS};

/// The time between two lines where there is no terminal, in milliseconds.
const LINE_EVERY_MS: i64 = 10 * SECOND_MS;

/// The progress of one import.
pub struct Progress {
    bar: Option<ProgressBar>,
    /// Bytes of the file, where it has an end.
    total: Option<u64>,
    begun_ms: i64,
    told_ms: i64,
}

impl Progress {
    /// Begins at `now_ms` since boot. `total` is the file's length in bytes.
    #[must_use]
    pub fn new(total: Option<u64>, terminal: bool, now_ms: i64) -> Progress {
        let bar = terminal.then(|| match total {
            Some(total) => {
                let bar = ProgressBar::new(total);
                let style = ProgressStyle::with_template("{bar:30} {percent}%  {msg}");
                bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
                bar
            }
            None => ProgressBar::new_spinner(),
        });
        Progress {
            bar,
            total,
            begun_ms: now_ms,
            told_ms: now_ms,
        }
    }

    /// Shows how far it is; answers a line to be said where there is no terminal.
    pub fn came(&mut self, came: &Came, now_ms: i64) -> Option<String> {
        let text = self.text(came, now_ms);
        if let Some(bar) = &self.bar {
            bar.set_position(came.bytes);
            bar.set_message(text);
            return None;
        }
        if now_ms - self.told_ms < LINE_EVERY_MS {
            return None;
        }
        self.told_ms = now_ms;
        Some(text)
    }

    /// Takes the bar away.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn text(&self, came: &Came, now_ms: i64) -> String {
        let elapsed_ms = (now_ms - self.begun_ms).max(1);
        let rows = i64::try_from(came.rows).unwrap_or(i64::MAX);
        let rate = rows.saturating_mul(SECOND_MS) / elapsed_ms;
        let left = self.left_ms(came.bytes, elapsed_ms);
        let left = left.map_or(String::new(), |ms| format!(", about {} left", span(ms)));
        format!(
            "{} rows, {} a second{left}",
            thousands(rows),
            thousands(rate)
        )
    }

    fn left_ms(&self, read: u64, elapsed_ms: i64) -> Option<i64> {
        let left = i128::from(self.total?.saturating_sub(read));
        let read = i128::from(read).max(1);
        i64::try_from(i128::from(elapsed_ms) * left / read).ok()
    }
}

/// A number with its thousands apart.
#[must_use]
pub fn thousands(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut told = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if number < 0 {
        told.push('-');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            told.push(',');
        }
        told.push(digit);
    }
    told
}

/// A time as people say it: in the largest unit of which there are two.
#[must_use]
pub fn span(ms: i64) -> String {
    let units = [(DAY_MS, "days"), (HOUR_MS, "hours"), (MINUTE_MS, "minutes")];
    let found = units.iter().find(|(unit, _)| ms >= 2 * unit);
    let (unit, name) = found.copied().unwrap_or((SECOND_MS, "seconds"));
    let rounded = (ms.saturating_add(unit / 2)) / unit;
    format!("{} {name}", thousands(rounded))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_numbers_are_told_as_people_say_them() {
        // Ten million rows at two a second.
        assert_eq!(span(5_000_000 * SECOND_MS), "58 days");
        assert_eq!(span(90 * SECOND_MS), "90 seconds");
        assert_eq!(span(3 * HOUR_MS), "3 hours");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(thousands(-999), "-999");
    }

    #[test]
    fn the_time_left_follows_from_the_bytes_read() {
        let mut progress = Progress::new(Some(1_000), false, 0);
        let came = Came {
            rows: 500,
            bytes: 250,
            ..Came::default()
        };
        assert_eq!(progress.came(&came, SECOND_MS), None);
        let told = progress.came(&came, 20 * SECOND_MS);
        let expected = "500 rows, 25 a second, about 60 seconds left";
        assert_eq!(told.as_deref(), Some(expected));
    }
}
