//! What happens in a provider's part of the demo: requests of the provider, and
//! what the merchant's own back end says beside them.

use crate::money::Minor;
use crate::time::Time;

/// The headers that prove a request, from the secret, the body and the time.
pub(super) type Sign = fn(&str, &str, Time) -> Vec<(&'static str, String)>;

/// One thing that happens.
#[derive(Clone)]
pub(super) struct Event {
    /// The source it concerns.
    pub source: &'static str,
    /// What happens.
    pub what: What,
}

/// The kinds of things that happen.
#[derive(Clone)]
pub(super) enum What {
    /// The provider sends a request.
    Delivery(Delivery),
    /// The merchant's back end links an id to a customer.
    Link {
        /// The kind of id.
        kind: &'static str,
        /// The id.
        id: String,
        /// The customer's key.
        customer: &'static str,
        /// What the order amounts to, where the provider will not say.
        amount: Option<(Minor, &'static str)>,
    },
}

/// A request of a provider's, not yet signed.
#[derive(Clone)]
pub(super) struct Delivery {
    pub body: String,
    pub sign: Sign,
    /// What follows the source or the token in the path.
    pub rest: Option<&'static str>,
    /// What the provider's API answers from now on: the path with its query, and
    /// the answer. A POST is answered by its path alone.
    pub answers: Vec<(String, String)>,
}

impl Event {
    /// A request of a provider's.
    pub fn delivery(source: &'static str, body: String, sign: Sign) -> Event {
        Event {
            source,
            what: What::Delivery(Delivery {
                body,
                sign,
                rest: None,
                answers: Vec::new(),
            }),
        }
    }

    /// The request goes to a URL of its own kind.
    #[expect(dead_code, reason = "the next provider has such URLs")]
    pub fn to(mut self, rest: &'static str) -> Event {
        if let What::Delivery(delivery) = &mut self.what {
            delivery.rest = Some(rest);
        }
        self
    }

    /// From now on the provider's API gives this answer.
    pub fn answered(mut self, path: String, answer: String) -> Event {
        if let What::Delivery(delivery) = &mut self.what {
            delivery.answers.push((path, answer));
        }
        self
    }

    /// The merchant's back end links an id.
    pub fn link(
        source: &'static str,
        kind: &'static str,
        id: String,
        customer: &'static str,
        amount: Option<(Minor, &'static str)>,
    ) -> Event {
        Event {
            source,
            what: What::Link {
                kind,
                id,
                customer,
                amount,
            },
        }
    }
}
