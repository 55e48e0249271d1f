//! What a reference to another object of Stripe's must be; the rest is checked
//! as every JSON document is.

pub use crate::provider::checks::*;

use super::objects::Ref;
use crate::provider::Unreadable;

/// The id of another object, if there is one.
pub fn ref_id<'t>(field: &str, object: Option<&'t Ref<'_>>) -> Result<Option<&'t str>, Unreadable> {
    id(field, object.and_then(|object| object.id.as_ref()))
}

/// The id that must be there.
pub fn own_id<'t>(text: Option<&'t Text<'_>>) -> Result<&'t str, Unreadable> {
    needed_id("data.object.id", text)
}
