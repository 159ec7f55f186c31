//! `/notifications`: who is told when something is wrong, and whether that works. Everybody sees it; admins change it.

pub(super) mod delete;
mod draft;
pub(super) mod form;
pub(super) mod list;

use serde_json::Value;
use toktra_siem_app::{channels, named};
use toktra_siem_core::ids::ChannelId;
use toktra_siem_core::notice::{ChannelKind, Topic};
use toktra_siem_core::time::Timestamp;
use toktra_siem_notify::descriptor;
use toktra_siem_platform::view::SecretView;
use toktra_siem_wire::Channel;

use super::answer::Result;
use super::error::sentence;
use super::show::{self, Html, Mood};
use super::visitor::Visitor;

/// Where the list is.
const LIST: &str = "/notifications";

/// What a topic is called, and what it means.
fn topic(topic: Topic) -> (&'static str, &'static str) {
    match topic {
        Topic::Down => ("SIEM down", "A SIEM does not answer."),
        Topic::Misconfigured => {
            ("Action needed", "A SIEM refuses events until somebody changes something, such as a token.")
        }
        Topic::Recovered => (
            "Recovered",
            "A SIEM that people were told about accepts events again, or something else that they were told about is over.",
        ),
        Topic::Expiring => {
            ("Events about to be lost", "Events have not arrived, and will soon be older than they are kept.")
        }
        Topic::Stalled => ("Stalled", "Events wait and none is sent, although the SIEM answers."),
        Topic::Certificate => ("Certificates", "A certificate of a connector expires soon."),
        Topic::Key => ("API keys", "An API key expires soon."),
        Topic::Silence => ("No events", "Your applications have sent no event for a day."),
        Topic::Disk => ("Disk", "The disk is nearly full, and events are about to be refused."),
    }
}

/// What a kind is called.
fn label(kind: ChannelKind) -> &'static str {
    descriptor(kind).label
}

/// Whom a channel reaches, as far as that may be told: recipients, the host of a URL, and how secrets end.
fn reaches(channel: &Channel) -> String {
    let said = descriptor(channel.kind).fields.iter().filter_map(|field| match channel.config.get(field.name)? {
        Value::String(text) => Some(text.clone()),
        Value::Array(items) => Some(items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")),
        value if field.required => serde_json::from_value::<SecretView>(value.clone()).ok()?.told(),
        _ => None,
    });
    said.collect::<Vec<_>>().join(", ")
}

/// What it is told, in few words.
fn told(channel: &Channel) -> String {
    let names = |told: bool| {
        let topics = Topic::ALL.iter().filter(move |topic| channel.events.contains(topic) == told);
        topics.map(|one| topic(*one).0).collect::<Vec<_>>().join(", ")
    };
    match (channel.events.len(), Topic::ALL.len()) {
        (some, all) if some == all => "Everything".to_owned(),
        (some, all) if some * 2 > all => format!("Everything but: {}", names(false)),
        _ => names(true),
    }
}

/// How it stands: a badge, and what goes with it.
fn standing(channel: &Channel, now: Timestamp) -> Html {
    let ago = |at: Timestamp| show::time(at, &show::ago(at, now), false);
    let (mood, word, rest) = match (&channel.failing, channel.last_sent_at) {
        _ if !channel.active => (Mood::Off, "Off", "Nobody is told through it.".to_owned()),
        (Some(failing), _) => {
            let next = failing.next_attempt_at;
            let why = show::sentence(&sentence(&failing.cause.message));
            // Nothing waits: the last message got through, though not to everybody.
            if channel.last_sent_at.is_some_and(|sent| sent >= next) {
                let rest = "The others were told. The next message goes to all of them.";
                return badged(Mood::Degraded, "Works in part", &format!("since {}: {why} {rest}", ago(failing.since)));
            }
            let next = if next > now { format!("Next attempt {}.", ago(next)) } else { "Next attempt now.".to_owned() };
            (Mood::Failed, "Fails", format!("since {}: {why} {next}", ago(failing.since)))
        }
        (None, Some(last)) => (Mood::Good, "Works", format!("last message {}", ago(last))),
        (None, None) => (Mood::Waiting, "Ready", "nothing was sent yet".to_owned()),
    };
    badged(mood, word, &rest)
}

fn badged(mood: Mood, word: &str, rest: &str) -> Html {
    Html::trusted(format!("{} <span>{rest}</span>", show::badge(mood, word)))
}

async fn channel(visitor: &Visitor, id: &str) -> Result<Channel> {
    let id: ChannelId = named(id)?;
    Ok(channels::get(visitor.app(), visitor.caller(), id).await?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use toktra_siem_core::cause::Cause;
    use toktra_siem_wire::ChannelFailure;

    use super::*;

    fn channel(config: &Value) -> Channel {
        let now = Timestamp(1_736_937_000_000);
        Channel {
            id: ChannelId(uuid::Uuid::nil()),
            name: "SOC".to_owned(),
            kind: ChannelKind::Pagerduty,
            config: config.as_object().unwrap().clone(),
            events: Topic::ALL.to_vec(),
            active: true,
            created_at: now,
            updated_at: now,
            last_sent_at: None,
            failing: None,
        }
    }

    #[test]
    fn a_channel_is_told_in_words_without_its_secrets() {
        let config =
            json!({ "routing_key": { "set": true, "hint": "…cdef" }, "url": "https://events.eu.pagerduty.com" });
        let one = channel(&config);
        assert_eq!(reaches(&one), "ends in …cdef, https://events.eu.pagerduty.com");
        assert_eq!(told(&one), "Everything");
        assert_eq!(
            told(&Channel { events: vec![Topic::Down, Topic::Recovered], ..one.clone() }),
            "SIEM down, Recovered"
        );
        let most = Topic::ALL.iter().copied().filter(|topic| *topic != Topic::Silence).collect();
        assert_eq!(told(&Channel { events: most, ..one }), "Everything but: No events");
    }

    #[test]
    fn how_it_stands_is_said_with_its_times_and_its_cause_is_text() {
        let one = channel(&json!({}));
        let now = one.created_at.plus(std::time::Duration::from_hours(3));
        let said = |channel: &Channel| standing(channel, now).to_string();
        assert!(said(&one).contains("Ready") && said(&one).contains("nothing was sent yet"));
        let sent = Channel { last_sent_at: Some(one.created_at), ..one.clone() };
        assert!(
            said(&sent).contains("Works")
                && said(&sent).contains("last message <time")
                && said(&sent).contains("3 h ago")
        );
        let failing = ChannelFailure {
            since: one.created_at,
            attempts: 2,
            next_attempt_at: now.plus(std::time::Duration::from_mins(5)),
            cause: Cause::new("http_404", "<b>Slack</b> answered 404 no_service"),
        };
        let fails = said(&Channel { failing: Some(failing), ..sent.clone() });
        assert!(fails.contains("Fails") && fails.contains("&lt;b&gt;Slack") && fails.contains("in 5 min"), "{fails}");
        let cause = Cause::new("smtp_refused", "jo@company.com was refused");
        let partly = ChannelFailure { since: one.created_at, attempts: 2, next_attempt_at: now, cause };
        let partly = said(&Channel { failing: Some(partly), last_sent_at: Some(now), ..sent.clone() });
        assert!(partly.contains("Works in part") && partly.contains("company.com was refused"), "{partly}");
        assert!(partly.contains("The others were told.") && !partly.contains("Next attempt"), "{partly}");
        assert!(said(&Channel { active: false, ..sent }).contains("Off"));
    }
}
