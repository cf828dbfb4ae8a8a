use kv_sdk::{Failure, Io, Reply};

use crate::params::{self, Metadata};

#[kv_sdk::input(open)]
pub(crate) struct Create {
    /// The charge to refund, `ch_...`; or say `payment_intent`.
    charge: Option<String>,
    /// The payment intent to refund, `pi_...`; or say `charge`.
    payment_intent: Option<String>,
    /// In the currency's smallest unit: 2000 is 20.00 EUR. All that is left when not said.
    amount: Option<u64>,
    reason: Option<Reason>,
    /// Only for refunds from a customer's cash balance: three letters, ISO 4217.
    currency: Option<String>,
    /// Whose cash balance it comes from; with `origin`.
    customer: Option<String>,
    origin: Option<String>,
    /// Give the application fee back too.
    refund_application_fee: Option<bool>,
    /// Take the money back from the connected account too.
    reverse_transfer: Option<bool>,
    instructions_email: Option<String>,
    metadata: Option<Metadata>,
    expand: Option<Vec<String>>,
}

#[kv_sdk::input]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reason {
    Duplicate,
    Fraudulent,
    RequestedByCustomer,
}

/// Create a refund
///
/// Gives a payment back, whole or in part.
#[kv_sdk::operation(
    name = "refunds.create", effect = Write, suggest = Ask, repeatable, endpoint = "POST /v1/refunds",
    facts(amount = "/amount", currency = "/currency"),
)]
pub(crate) async fn create(io: &Io, input: Create) -> Result<Reply, Failure> {
    let what = match (input.charge, input.payment_intent) {
        (Some(charge), _) => format!("charge {charge}"),
        (None, Some(intent)) => format!("payment {intent}"),
        (None, None) => {
            input.customer.map_or_else(|| "a payment".to_owned(), |customer| format!("customer {customer}"))
        }
    };
    // Without the charge its currency is not known, and a number that looks like another amount would be worse than none.
    let amount =
        input.amount.map_or_else(|| "all that is left".to_owned(), |amount| format!("{amount} (smallest unit)"));
    let request = params::post(io, &["v1", "refunds"], &[])?;
    io.forward_success(request.summary(format!("refund {amount} of {what}"))).await
}
