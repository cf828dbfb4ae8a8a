//! How to send, as opposed to what: the part that a request, a statement and a command have in common.

use crate::Effect;

/// What is not said is taken from the operation, when it goes out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Delivery {
    pub(crate) effect: Option<Effect>,
    pub(crate) summary: Option<String>,
    pub(crate) repeatable: Option<bool>,
    pub(crate) delay_ms: u32,
    pub(crate) options: Vec<(String, String)>,
}

/// The methods that say it. They are methods of each type, so that an author finds them where the rest is.
macro_rules! delivered {
    ($type:ty) => {
        impl $type {
            #[must_use]
            pub fn effect(mut self, effect: $crate::Effect) -> Self {
                self.delivery.effect = Some(effect);
                self
            }

            /// One line for the person who approves it: "refund 20.00 EUR of charge ch_123".
            #[must_use]
            pub fn summary(mut self, summary: impl Into<String>) -> Self {
                self.delivery.summary = Some(summary.into());
                self
            }

            /// Sent twice, it does what it does sent once.
            #[must_use]
            pub fn repeatable(mut self, repeatable: bool) -> Self {
                self.delivery.repeatable = Some(repeatable);
                self
            }

            /// How long the host waits before it sends, as between two polls.
            #[must_use]
            pub fn delay_ms(mut self, ms: u32) -> Self {
                self.delivery.delay_ms = ms;
                self
            }

            /// An option of delivery by name. A host that does not know the name refuses to send.
            #[must_use]
            pub fn option(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
                self.delivery.options.push((name.into(), value.into()));
                self
            }
        }
    };
}
pub(crate) use delivered;
