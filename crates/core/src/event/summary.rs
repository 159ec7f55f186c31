//! A readable summary for events that came without one, from their type and details.
//!
//! It is put together from pieces of the stored form as they stand there, so that every piece is escaped already: the result is the
//! inside of a JSON string.

use super::EventType;
use super::spans::member;
use super::strict::unescape;

/// The longest piece of an event that a summary repeats, in characters.
const PIECE: usize = 100;

/// The stored values (compact JSON) that a summary may draw on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pieces<'a> {
    /// The object `details`.
    pub details: Option<&'a [u8]>,
    /// A string each, with its quotes.
    pub provider: Option<&'a [u8]>,
    /// As `provider`.
    pub model: Option<&'a [u8]>,
    /// As `provider`.
    pub policy_id: Option<&'a [u8]>,
    /// As `provider`.
    pub user_email: Option<&'a [u8]>,
    /// As `provider`.
    pub user_id: Option<&'a [u8]>,
}

/// The summary of an event of this type, as the inside of a JSON string. At most a few hundred characters.
pub fn summary(event_type: EventType, pieces: &Pieces<'_>) -> String {
    match event_type {
        EventType::PolicyViolation => policy_violation(pieces),
        EventType::Anomaly => anomaly(pieces),
        EventType::BudgetAlert => budget_alert(pieces),
        EventType::Lockout => lockout(pieces),
        EventType::TestConnection => "Test event from Toktra".to_owned(),
        EventType::Heartbeat => "Toktra is running".to_owned(),
        EventType::ConnectorAlert => "A SIEM connector needs attention".to_owned(),
    }
}

fn policy_violation(pieces: &Pieces<'_>) -> String {
    let what = match pieces.detail(&["policy_name", "policy"]).or_else(|| piece(pieces.policy_id)) {
        Some(name) => format!("Policy {name} breached"),
        None => "A usage policy was breached".to_owned(),
    };
    let actual = pieces.detail(&["actual", "value", "current"]);
    let measure = match (actual, pieces.detail(&["threshold", "limit"])) {
        (Some(actual), Some(threshold)) => format!(": {actual} against a threshold of {threshold}"),
        (Some(actual), None) => format!(": {actual}"),
        (None, Some(threshold)) => format!(": threshold {threshold}"),
        (None, None) => String::new(),
    };
    format!("{what}{measure}{}", pieces.origin())
}

fn budget_alert(pieces: &Pieces<'_>) -> String {
    let name = pieces.detail(&["budget_name", "team", "project"]).map(|n| format!(" for {n}")).unwrap_or_default();
    let unit = pieces.detail(&["currency"]).map(|c| format!(" {c}")).unwrap_or_default();
    let spent = pieces.detail(&["spend", "spent", "current_spend", "actual", "amount"]);
    let measure = match (spent, pieces.detail(&["budget", "limit", "threshold"])) {
        (Some(spent), Some(limit)) => format!("{spent} of {limit}{unit} spent"),
        (Some(spent), None) => format!("{spent}{unit} spent"),
        (None, Some(limit)) => format!("threshold {limit}{unit}"),
        (None, None) => "spend crossed a threshold".to_owned(),
    };
    let period = pieces.detail(&["period"]).map(|p| format!(" ({p})")).unwrap_or_default();
    format!("Budget alert{name}: {measure}{period}")
}

fn lockout(pieces: &Pieces<'_>) -> String {
    let who = pieces.who().unwrap_or_else(|| "an employee".to_owned());
    let reason = pieces.detail(&["reason"]).map(|r| format!(": {r}")).unwrap_or_default();
    format!("Access of {who} revoked{reason}")
}

fn anomaly(pieces: &Pieces<'_>) -> String {
    let pattern = pieces.detail(&["pattern", "anomaly_type", "kind", "description", "reason"]);
    let what = pattern.map(|p| format!(": {p}")).unwrap_or_default();
    let who = pieces.who().map(|who| format!(" by {who}")).unwrap_or_default();
    format!("Unusual usage detected{what}{who}{}", pieces.origin())
}

impl Pieces<'_> {
    /// The first of `names` that `details` holds as a string, number or boolean.
    fn detail(&self, names: &[&str]) -> Option<String> {
        let details = self.details?;
        names.iter().find_map(|name| piece(member(details, name)))
    }

    fn who(&self) -> Option<String> {
        piece(self.user_email).or_else(|| piece(self.user_id)).or_else(|| self.detail(&["employee", "user"]))
    }

    fn origin(&self) -> String {
        match (piece(self.provider), piece(self.model)) {
            (Some(provider), Some(model)) => format!(" ({provider} {model})"),
            (Some(one), None) | (None, Some(one)) => format!(" ({one})"),
            (None, None) => String::new(),
        }
    }
}

/// A scalar as the inside of a JSON string, cut where it is long; nothing for null, blank strings and containers.
fn piece(value: Option<&[u8]>) -> Option<String> {
    let text = str::from_utf8(value?).ok()?;
    let inside = match text.as_bytes() {
        [b'"', .., b'"'] => &text[1..text.len() - 1],
        [b'{' | b'[' | b'n' | b'"', ..] | [] => return None,
        _ => text,
    };
    if inside.trim().is_empty() {
        return None;
    }
    // Escapes are at least as long as what they mean, so that a short inside never means a long text.
    if inside.len() <= PIECE {
        return Some(inside.to_owned());
    }
    let meant = unescape(inside);
    if meant.chars().nth(PIECE).is_none() {
        return Some(inside.to_owned());
    }
    let cut: String = meant.chars().take(PIECE).chain(['…']).collect();
    let quoted = serde_json::Value::from(cut).to_string();
    Some(quoted[1..quoted.len() - 1].to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(event_type: EventType, pieces: &Pieces<'_>) -> String {
        serde_json::from_str(&format!("\"{}\"", summary(event_type, pieces))).unwrap()
    }

    #[test]
    fn says_what_happened() {
        let product = Pieces {
            details: Some(br#"{"policy_name":"max-tokens","threshold":100000,"actual":150000}"#),
            provider: Some(b"\"openai\""),
            model: Some(b"\"gpt-4\""),
            ..Pieces::default()
        };
        assert_eq!(
            of(EventType::PolicyViolation, &product),
            "Policy max-tokens breached: 150000 against a threshold of 100000 (openai gpt-4)"
        );
        let budget = Pieces {
            details: Some(br#"{"budget":1000,"spend":912.50,"currency":"USD","team":"R\u0026D","period":"month"}"#),
            ..Pieces::default()
        };
        assert_eq!(of(EventType::BudgetAlert, &budget), "Budget alert for R&D: 912.50 of 1000 USD spent (month)");
        let who = Pieces { user_email: Some(b"\"a@b.example\""), details: Some(br#"{"reason":"left"}"#), ..product };
        assert_eq!(of(EventType::Lockout, &who), "Access of a@b.example revoked: left");
        assert_eq!(of(EventType::Anomaly, &who), "Unusual usage detected: left by a@b.example (openai gpt-4)");
    }

    #[test]
    fn falls_back_to_a_plain_sentence_for_every_type() {
        let odd = Pieces {
            details: Some(br#"{"policy_name":{},"reason":null,"actual":[],"limit":" "}"#),
            ..Pieces::default()
        };
        for event_type in EventType::ALL {
            for pieces in [Pieces::default(), odd] {
                let text = of(*event_type, &pieces);
                assert!(text.len() > 10 && !text.ends_with([':', ' ']), "{text}");
            }
        }
    }

    proptest! {
        #[test]
        fn is_always_the_inside_of_a_json_string_and_bounded(text in "(?s).{0,400}", number: f64) {
            let details = serde_json::json!({
                "policy_name": text, "actual": text, "threshold": number, "reason": text, "team": text, "spend": text,
                "budget": text, "currency": text, "period": text, "pattern": text,
            }).to_string();
            let quoted = serde_json::Value::from(text.as_str()).to_string();
            let value = Some(quoted.as_bytes());
            let pieces = Pieces {
                details: Some(details.as_bytes()), provider: value, model: value, policy_id: value, user_email: value, user_id: value,
            };
            for event_type in EventType::ALL {
                let meant = of(*event_type, &pieces);
                prop_assert!(meant.chars().count() <= 6 * (PIECE + 1) + 60);
            }
        }
    }
}
