//! Events as Toktra's backend would post them: a small company, a few people, and what they do with AI models.

use serde_json::{Value, json};

use toktra_siem_base::random::Random;

/// People of the demo company.
const PEOPLE: [(&str, &str); 6] = [
    ("8a1f6c1e-53c1-4b8e-9d55-0a2f6f1c7b01", "ada.keller@example.com"),
    ("8a1f6c1e-53c1-4b8e-9d55-0a2f6f1c7b02", "bruno.silva@example.com"),
    ("8a1f6c1e-53c1-4b8e-9d55-0a2f6f1c7b03", "chen.wei@example.com"),
    ("8a1f6c1e-53c1-4b8e-9d55-0a2f6f1c7b04", "dana.okafor@example.com"),
    ("8a1f6c1e-53c1-4b8e-9d55-0a2f6f1c7b05", "emil.novak@example.com"),
    ("8a1f6c1e-53c1-4b8e-9d55-0a2f6f1c7b06", "farah.haddad@example.com"),
];

/// Models that they use.
const MODELS: [(&str, &str); 4] =
    [("openai", "gpt-4"), ("anthropic", "claude-sonnet-4"), ("google", "gemini-2.5-pro"), ("mistral", "mistral-large")];

/// The `n`th event of a demo. Types alternate, so that a short demo shows all of them; people, models and numbers vary.
pub(super) fn sample(n: usize, random: &dyn Random) -> Value {
    let (user_id, user_email) = pick(&PEOPLE, random);
    let (provider, model) = pick(&MODELS, random);
    let mut event = match n % 4 {
        0 => policy_violation(random),
        1 => anomaly(random),
        2 => budget_alert(random),
        _ => lockout(random),
    };
    event["user_id"] = json!(user_id);
    event["user_email"] = json!(user_email);
    if n % 4 < 3 {
        event["provider"] = json!(provider);
        event["model"] = json!(model);
    }
    event["tags"] = json!({ "team": pick(&["research", "sales", "support", "platform"], random), "env": "demo" });
    event
}

fn policy_violation(random: &dyn Random) -> Value {
    let threshold = 100_000;
    let actual = threshold + between(1_000, 90_000, random);
    json!({
        "event_type": "policy_violation",
        "severity": if actual > 150_000 { "high" } else { "medium" },
        "policy_id": "max-tokens",
        "details": { "policy_name": "max-tokens", "threshold": threshold, "actual": actual },
    })
}

fn anomaly(random: &dyn Random) -> Value {
    json!({
        "event_type": "anomaly",
        "severity": pick(&["medium", "high", "critical"], random),
        "summary": "Usage far above the person's own baseline, two weeks before their last day",
        "details": { "pattern": "pre_departure", "baseline_tokens": 12_000, "observed_tokens": between(90_000, 400_000, random) },
    })
}

fn budget_alert(random: &dyn Random) -> Value {
    let percent = between(80, 130, random);
    json!({
        "event_type": "budget_alert",
        "severity": if percent >= 100 { "high" } else { "medium" },
        "details": { "budget_usd": 5_000, "spent_usd": 50 * percent, "percent": percent },
    })
}

fn lockout(random: &dyn Random) -> Value {
    json!({
        "event_type": "lockout",
        "severity": "critical",
        "summary": "Access to all AI models was revoked",
        "details": { "reason": pick(&["offboarding", "repeated violations", "compromised credential"], random) },
    })
}

fn pick<T: Copy>(from: &[T], random: &dyn Random) -> T {
    from[index(from.len(), random)]
}

fn between(low: usize, high: usize, random: &dyn Random) -> usize {
    low + index(high - low, random)
}

fn index(len: usize, random: &dyn Random) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a jitter is in 0..1, and the lists are short"
    )]
    let at = (random.jitter() * len as f64) as usize;
    at.min(len - 1)
}

#[cfg(test)]
mod tests {
    use toktra_siem_core::event::EventType;

    use super::*;
    use toktra_siem_base::random::SeededRandom;

    #[test]
    fn every_type_that_can_be_posted_occurs() {
        let random = SeededRandom::new(1);
        let types: Vec<String> =
            (0..4).map(|n| sample(n, &random)["event_type"].as_str().unwrap().to_owned()).collect();
        for event_type in EventType::ALL.iter().filter(|t| t.is_posted()) {
            assert!(types.contains(&event_type.as_str().to_owned()), "{event_type}");
        }
    }
}
