//! The report of an import: one line for each row, as CSV.
//!
//! Cells that a spreadsheet would calculate are guarded, as in an export.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use super::guard::guarded;
use crate::ledger::rows::RowTold;

/// The columns, in their order.
const COLUMNS: [&str; 3] = ["line", "outcome", "reason"];

/// A report that is being written.
pub struct Report(csv::Writer<BufWriter<File>>);

impl Report {
    /// Begins a report; a file of that name is replaced.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn create(path: &Path) -> Result<Report, String> {
        let file = File::create(path).map_err(|error| error.to_string())?;
        let mut writer = csv::Writer::from_writer(BufWriter::new(file));
        let begun = writer.write_record(COLUMNS);
        begun.map_err(|error| error.to_string())?;
        Ok(Report(writer))
    }

    /// Adds a row.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn row(&mut self, told: &RowTold) -> Result<(), String> {
        let reason = guarded(told.reason.as_deref().unwrap_or_default());
        let line = told.line.to_string();
        let cells = [line.as_str(), told.outcome.word(), &reason];
        let written = self.0.write_record(cells);
        written.map_err(|error| error.to_string())
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn finish(mut self) -> Result<(), String> {
        self.0.flush().map_err(|error| error.to_string())
    }
}
