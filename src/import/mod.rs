//! Files of old payments.
//!
//! [`row`] is the door: the bytes of a CSV file go in, and each row comes out as
//! the [`crate::movement::Reading`] that its webhook would have been, or with a
//! reason why it could not be read. Nothing in here knows a ledger; who records
//! the rows decides what to do with them.

pub mod amount;
pub mod cells;
pub mod guard;
pub mod header;
pub mod lines;
pub mod moment;
pub mod own;
pub mod partnerstack;
pub mod recurly;
pub mod row;
pub mod stripe;
