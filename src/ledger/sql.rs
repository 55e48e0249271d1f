//! What a statement is given, or a column holds: the same for either store. This
//! builds no SQL and knows no table.

/// A value. Money is never anything but an integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// Nothing.
    Null,
    /// Also a truth: 0 or 1.
    Int(i64),
    /// Text.
    Text(&'a str),
    /// Bytes.
    Blob(&'a [u8]),
}
