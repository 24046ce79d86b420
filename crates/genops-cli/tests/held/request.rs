//! What is asked with each key, and what has to come of it. All of it follows from the key's number.

use serde_json::{Value, json};

/// How many keys a round has.
pub const KEYS: u64 = 24;

/// What all of a round's requests together may spend: too little for all of them, so that the outcome of many depends on
/// the order. US dollars.
pub const ROUND_LIMIT: &str = "0.3";

/// The number of a key, which says everything about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(pub u64);

/// What kind of work a key stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A call of a model, priced by its tokens.
    Tokens,
    /// Dollars.
    Dollars,
    /// Dollars, of work that fails and costs all the same.
    Failing,
    /// Dollars, of work that ends and nobody knows what it cost.
    Unknown,
    /// Dollars, of work that is never sent.
    NeverSent,
    /// Dollars, given back.
    GivenBack,
    /// A unit of our own, and dollars.
    Seconds,
    /// More than its budget has.
    Refused,
}

impl Key {
    /// What is sent as `Idempotency-Key`.
    pub fn text(self) -> String {
        format!("held-{}", self.0)
    }

    /// What kind of work it stands for.
    pub fn kind(self) -> Kind {
        match self.0 % 8 {
            0 => Kind::Tokens,
            1 => Kind::Dollars,
            2 => Kind::Failing,
            3 => Kind::Unknown,
            4 => Kind::NeverSent,
            5 => Kind::GivenBack,
            6 => Kind::Seconds,
            _ => Kind::Refused,
        }
    }

    /// The body of the proposal.
    pub fn proposal(self) -> Value {
        let (unit, bound) = match self.kind() {
            Kind::Tokens => ("USD", json!({"input_tokens": 20_000, "output_tokens": 10_000})),
            Kind::Seconds => {
                ("compute_seconds", json!({"quantities": {"compute_seconds": "3600", "USD": "0.02"}}))
            }
            Kind::Refused => ("USD", json!({"quantities": {"USD": "1"}})),
            _ => ("USD", json!({"quantities": {"USD": self.reserved()}})),
        };
        let feature = if self.kind() == Kind::Refused { "forbidden".to_owned() } else { self.feature() };
        let mut body = json!({
            "operation": {"name": "job", "type": "training"},
            "customer_id": format!("round-{}", self.0 / KEYS),
            "feature": feature,
            "bound": bound,
            "accounting_unit": unit,
            "within_seconds": 86_400,
        });
        if self.kind() == Kind::Tokens {
            body["provider"] = json!("stand-in");
            body["model"] = json!("small");
        }
        body
    }

    /// Something else than the proposal.
    pub fn other_proposal(self) -> Value {
        let mut body = self.proposal();
        body["within_seconds"] = json!(86_401);
        body
    }

    fn feature(self) -> String {
        format!("feature-{}", self.0 % 5)
    }

    /// What it settles with; `None` where it is given back.
    pub fn settlement(self) -> Option<Value> {
        let dollars = || json!({"quantities": {"USD": self.charged()}});
        Some(match self.kind() {
            Kind::GivenBack => return None,
            Kind::Tokens => {
                let (input, output) = self.used_tokens();
                json!({"end": "completed", "usage": {"input_tokens": input, "output_tokens": output}})
            }
            Kind::Dollars | Kind::Refused => {
                json!({"end": "completed", "usage": dollars(), "latency_ms": 7})
            }
            Kind::Failing => json!({"end": "failed", "usage": dollars()}),
            Kind::Unknown => json!({"end": "completed"}),
            Kind::NeverSent => json!({"end": "never_sent"}),
            Kind::Seconds => {
                let used = json!({"compute_seconds": self.charged(), "USD": "0.015"});
                json!({"end": "completed", "usage": {"quantities": used}})
            }
        })
    }

    const fn used_tokens(self) -> (u64, u64) {
        (self.0 % 20_000, self.0 % 10_000)
    }

    /// What is reserved in the accounting unit.
    pub fn reserved(self) -> String {
        match self.kind() {
            Kind::Tokens => "0.04".to_owned(),
            Kind::Seconds => "3600".to_owned(),
            Kind::Refused => "1".to_owned(),
            _ => "0.05".to_owned(),
        }
    }

    /// What is charged in the accounting unit.
    pub fn charged(self) -> String {
        match self.kind() {
            Kind::Tokens => {
                let (input, output) = self.used_tokens();
                format!("0.{:06}", input + 2 * output)
            }
            Kind::Dollars | Kind::Failing => format!("0.{:06}", 20_000 + self.0 % 30_000),
            Kind::Unknown => self.reserved(),
            Kind::Seconds => format!("{}.25", self.0 % 3_600),
            Kind::NeverSent | Kind::GivenBack | Kind::Refused => "0".to_owned(),
        }
    }
}
