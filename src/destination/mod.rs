//! A destination: one account of a PartnerStack-style API, and what its answers
//! mean in our own words.

mod backoff;
mod key;

pub use backoff::delay_ms;
pub use key::transaction_key;
