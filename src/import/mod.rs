//! Files of old payments.
//!
//! [`row`] is the door of the reading half: the bytes of a CSV file go in, and each
//! row comes out as the [`crate::movement::Reading`] that its webhook would have
//! been, or with a reason why it could not be read. Nothing there knows a ledger.
//! [`run`] is the recording half: it hands the rows to the ledger and counts what
//! became of them. Neither prints; the command line and the API do.

pub mod amount;
pub mod cells;
pub mod guard;
pub mod header;
pub mod lines;
pub mod moment;
pub mod own;
pub mod partnerstack;
pub mod progress;
pub mod queue;
pub mod recurly;
pub mod report;
pub mod row;
pub mod run;
pub mod settings;
pub mod stripe;
pub mod view;
