//! Reads a request body field by field and refuses what the documented limits
//! refuse, with a message that names the field. It knows types and lengths, not
//! customers or transactions.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use http::{HeaderMap, header};
use serde_json::{Map, Value};

use super::answer::Refusal;

/// Cents either way. The documented range of a transaction's amount.
pub(super) const AMOUNT_CENTS: RangeInclusive<i64> = -50_000_000_000..=50_000_000_000;
/// Characters of a transaction key. Documented for v2.
pub(super) const TRANSACTION_KEY_CHARS: RangeInclusive<usize> = 4..=255;
/// Characters of a v1 transaction key: only the lower bound is documented there,
/// the upper one is taken from v2.
pub(super) const V1_KEY_CHARS: RangeInclusive<usize> = TRANSACTION_KEY_CHARS;
/// Characters of a key that names a customer, partner, product or category.
/// Documented for customers on a transaction; assumed for the rest.
pub(super) const KEY_CHARS: RangeInclusive<usize> = 1..=255;
/// Characters of a customer's email. Documented.
pub(super) const EMAIL_CHARS: RangeInclusive<usize> = 4..=255;
/// Characters of a customer's name. Documented.
pub(super) const NAME_CHARS: RangeInclusive<usize> = 0..=100;
/// Attributes of a transaction's metadata. Documented once as 20 and once as 25;
/// the smaller satisfies both.
pub(super) const METADATA_ATTRIBUTES_MAX: usize = 20;
/// Characters of an attribute's name in metadata. Documented.
pub(super) const METADATA_NAME_CHARS: RangeInclusive<usize> = 1..=30;
/// Characters of an attribute's value in metadata. Documented.
pub(super) const METADATA_VALUE_CHARS: RangeInclusive<usize> = 0..=100;
/// Letters of a currency. Documented as a length; that only capitals pass is the
/// strict reading, because every documented example is in capitals.
pub(super) const CURRENCY_LETTERS: usize = 3;

/// The members of a JSON body that nobody has read yet.
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// Opens a body: it must be announced as JSON and be an object.
    pub(super) fn open(headers: &HeaderMap, body: &[u8]) -> Result<Self, Refusal> {
        let announced = headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
        if !announced {
            return Err(Refusal::invalid(
                "the body must be sent as application/json",
            ));
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(members)) => Ok(Self(members)),
            Ok(_) => Err(Refusal::invalid("the body must be a JSON object")),
            Err(error) => Err(Refusal::invalid(format!("the body is not JSON: {error}"))),
        }
    }

    /// Refuses what no reader asked for. Call it last.
    pub(super) fn close(self) -> Result<(), Refusal> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => Err(Refusal::invalid(format!(
                "Additional properties are not allowed ({name:?} was unexpected)"
            ))),
        }
    }

    /// A string; absent is fine, `null` is not.
    pub(super) fn text(
        &mut self,
        name: &str,
        chars: RangeInclusive<usize>,
    ) -> Result<Option<String>, Refusal> {
        match self.0.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => sized(name, text, &chars).map(Some),
            Some(other) => Err(wrong_type(name, &other, "a string")),
        }
    }

    /// A string or `null`. The outer `None` is "not sent".
    pub(super) fn nullable_text(
        &mut self,
        name: &str,
        chars: RangeInclusive<usize>,
    ) -> Result<Option<Option<String>>, Refusal> {
        match self.0.remove(name) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(Value::String(text)) => sized(name, text, &chars).map(|text| Some(Some(text))),
            Some(other) => Err(wrong_type(name, &other, "a string or null")),
        }
    }

    /// An integer; `10.0` and `"10"` are refused.
    pub(super) fn integer(&mut self, name: &str) -> Result<Option<i64>, Refusal> {
        match self.0.remove(name) {
            None => Ok(None),
            Some(value) => match value.as_i64() {
                Some(number) => Ok(Some(number)),
                None => Err(wrong_type(name, &value, "an integer")),
            },
        }
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, name: &str) -> Result<Option<bool>, Refusal> {
        match self.0.remove(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(other) => Err(wrong_type(name, &other, "true or false")),
        }
    }

    /// An object of anything.
    pub(super) fn object(&mut self, name: &str) -> Result<Option<Map<String, Value>>, Refusal> {
        match self.0.remove(name) {
            None => Ok(None),
            Some(Value::Object(members)) => Ok(Some(members)),
            Some(other) => Err(wrong_type(name, &other, "an object")),
        }
    }

    /// The required `amount`, in cents.
    pub(super) fn amount(&mut self) -> Result<i64, Refusal> {
        let amount = required("amount", self.integer("amount")?)?;
        if !AMOUNT_CENTS.contains(&amount) {
            return Err(Refusal::invalid(format!(
                "amount: {amount} is outside {}..{}",
                AMOUNT_CENTS.start(),
                AMOUNT_CENTS.end()
            )));
        }
        Ok(amount)
    }

    /// The required `currency`.
    pub(super) fn currency(&mut self) -> Result<String, Refusal> {
        let currency = required("currency", self.text("currency", 0..=usize::MAX)?)?;
        let right = currency.len() == CURRENCY_LETTERS
            && currency.bytes().all(|letter| letter.is_ascii_uppercase());
        if !right {
            return Err(Refusal::invalid(format!(
                "currency: {currency:?} is not three capital letters"
            )));
        }
        Ok(currency)
    }

    /// `metadata`: an object of strings within three limits, or `null`.
    pub(super) fn metadata(&mut self) -> Result<BTreeMap<String, String>, Refusal> {
        let members = match self.0.remove("metadata") {
            None | Some(Value::Null) => return Ok(BTreeMap::new()),
            Some(Value::Object(members)) => members,
            Some(other) => return Err(wrong_type("metadata", &other, "an object or null")),
        };
        if members.len() > METADATA_ATTRIBUTES_MAX {
            return Err(Refusal::invalid(format!(
                "metadata: {} attributes are more than {METADATA_ATTRIBUTES_MAX}",
                members.len()
            )));
        }
        let mut metadata = BTreeMap::new();
        for (name, value) in members {
            let name = sized("metadata name", name, &METADATA_NAME_CHARS)?;
            let path = format!("metadata.{name}");
            match value {
                Value::String(text) => {
                    let text = sized(&path, text, &METADATA_VALUE_CHARS)?;
                    metadata.insert(name, text);
                }
                other => return Err(wrong_type(&path, &other, "a string")),
            }
        }
        Ok(metadata)
    }
}

/// Refuses an absent field.
pub(super) fn required<T>(name: &str, value: Option<T>) -> Result<T, Refusal> {
    value.ok_or_else(|| Refusal::invalid(format!("'{name}' is a required property")))
}

fn sized(name: &str, text: String, chars: &RangeInclusive<usize>) -> Result<String, Refusal> {
    let count = text.chars().count();
    if chars.contains(&count) {
        return Ok(text);
    }
    Err(Refusal::invalid(format!(
        "{name}: {count} characters are outside {}..{}",
        chars.start(),
        chars.end()
    )))
}

fn wrong_type(name: &str, value: &Value, wanted: &str) -> Refusal {
    let what = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "this number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    Refusal::invalid(format!("{name}: {what} is not {wanted}"))
}
