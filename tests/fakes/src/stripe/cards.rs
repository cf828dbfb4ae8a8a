//! Stripe's test cards by the names that its documentation gives them, and what each one does.

/// What happens when a card is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Decline(Decline),
    /// The bank wants the customer to confirm.
    NeedsAction,
    Succeed,
}

/// A card's no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decline {
    pub code: &'static str,
    pub decline_code: Option<&'static str>,
    pub param: Option<&'static str>,
    pub message: &'static str,
}

/// One test card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Card {
    /// As in `pm_card_<name>` and `tok_<name>`.
    pub name: &'static str,
    pub brand: &'static str,
    pub last4: &'static str,
    pub outcome: Outcome,
}

/// The card behind `pm_card_...` or `tok_...`.
pub fn find(id: &str) -> Option<&'static Card> {
    let name = id.strip_prefix("pm_card_").or_else(|| id.strip_prefix("tok_"))?;
    CARDS.iter().find(|card| card.name == name)
}

const fn good(name: &'static str, brand: &'static str, last4: &'static str) -> Card {
    Card { name, brand, last4, outcome: Outcome::Succeed }
}

const fn declined(name: &'static str, last4: &'static str, decline_code: &'static str) -> Card {
    let message = match decline_code.as_bytes() {
        b"insufficient_funds" => "Your card has insufficient funds.",
        _ => "Your card was declined.",
    };
    let decline = Decline { code: "card_declined", decline_code: Some(decline_code), param: None, message };
    Card { name, brand: "visa", last4, outcome: Outcome::Decline(decline) }
}

const fn faulty(
    name: &'static str,
    last4: &'static str,
    code: &'static str,
    message: &'static str,
    param: Option<&'static str>,
) -> Card {
    Card { name, brand: "visa", last4, outcome: Outcome::Decline(Decline { code, decline_code: None, param, message }) }
}

pub const CARDS: &[Card] = &[
    good("visa", "visa", "4242"),
    good("visa_debit", "visa", "5556"),
    good("mastercard", "mastercard", "4444"),
    good("mastercard_debit", "mastercard", "3222"),
    good("amex", "amex", "0005"),
    good("discover", "discover", "1117"),
    good("diners", "diners", "3237"),
    good("jcb", "jcb", "0505"),
    good("unionpay", "unionpay", "0005"),
    good("bypassPending", "visa", "0077"),
    declined("chargeDeclined", "0002", "generic_decline"),
    declined("visa_chargeDeclined", "0002", "generic_decline"),
    declined("chargeDeclinedInsufficientFunds", "9995", "insufficient_funds"),
    declined("visa_chargeDeclinedInsufficientFunds", "9995", "insufficient_funds"),
    declined("visa_chargeDeclinedLostCard", "9987", "lost_card"),
    declined("visa_chargeDeclinedStolenCard", "9979", "stolen_card"),
    declined("chargeDeclinedFraudulent", "0019", "fraudulent"),
    declined("radarBlock", "0019", "fraudulent"),
    declined("visa_chargeDeclinedVelocityLimitExceeded", "6975", "card_velocity_exceeded"),
    faulty("chargeDeclinedExpiredCard", "0069", "expired_card", "Your card has expired.", Some("exp_month")),
    faulty(
        "chargeDeclinedIncorrectCvc",
        "0127",
        "incorrect_cvc",
        "Your card's security code is incorrect.",
        Some("cvc"),
    ),
    faulty(
        "chargeDeclinedProcessingError",
        "0119",
        "processing_error",
        "An error occurred while processing your card. Try again in a little bit.",
        None,
    ),
    Card { name: "authenticationRequired", brand: "visa", last4: "3184", outcome: Outcome::NeedsAction },
    Card { name: "threeDSecure2Required", brand: "visa", last4: "3220", outcome: Outcome::NeedsAction },
];
