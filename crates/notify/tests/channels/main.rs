//! Channels against receivers that this crate did not write: strict fakes of Slack, Teams and PagerDuty, the library of Standard Webhooks, and
//! the mail server of `aiosmtpd`, whose mails Python reads back.

#![expect(clippy::unwrap_used, reason = "helpers of tests too: a panic is the report")]

mod http;
mod mail;

use serde_json::Value;
use toktra_siem_core::ids::{ChannelId, ConnectorId};
use toktra_siem_core::notice::{ChannelKind, Notice, Topic};
use toktra_siem_core::time::Timestamp;
use toktra_siem_egress::{EgressPolicy, Transport};
use toktra_siem_notify::{Courier, Mail, Place, Settings, read};
use uuid::Uuid;

const CHANNEL: ChannelId = ChannelId(Uuid::from_u128(0xC));
const NOW: Timestamp = Timestamp(1_795_920_660_000);
/// What somebody chose to make trouble.
const HOSTILE: &str = "<!channel> @channel <https://evil.example|click> [click](https://evil.example) *b* `c` <at>x</at> & a\r\nBcc: mallory@evil.example\r\n\r\n.\r\nQUIT";

/// Loopback is open, as an operator may open a network of their own.
fn courier(mail: Option<Mail>) -> Courier {
    Courier::new(Transport::new(EgressPolicy::new(vec!["127.0.0.0/8".parse().unwrap()])), mail)
}

fn settings(kind: ChannelKind, config: &Value) -> Settings {
    read(kind, config.as_object().unwrap(), None).unwrap()
}

fn place() -> Place {
    Place { org: "Acme".to_owned(), public_url: Some("https://siem.company.com".to_owned()) }
}

fn down(subject: &str, number: u128) -> Notice {
    let id = Uuid::from_u128(number);
    Notice {
        key: format!("down/{id}/1"),
        topic: Topic::Down,
        thread: format!("connector/{id}"),
        connector: Some(ConnectorId(id)),
        subject: subject.to_owned(),
        at: Timestamp(1_795_917_060_000),
        what: "does not answer since 2026-11-29 01:51 UTC".to_owned(),
        what_of_many: "do not answer".to_owned(),
        cause: "10.0.0.5:8088 refused the connection.".to_owned(),
        advice: "Check whether the receiver is running.".to_owned(),
        path: format!("/integrations/siem/{id}"),
        ends: None,
    }
}

fn recovered(number: u128) -> Notice {
    Notice {
        key: format!("recovered/{number}"),
        topic: Topic::Recovered,
        what: "accepts events again since 2026-11-29 02:10 UTC".to_owned(),
        cause: String::new(),
        advice: String::new(),
        ..down("Splunk prod", number)
    }
}

/// All that a channel is handed at its worst: hostile names, and far more than any message holds.
fn crowd() -> Vec<Notice> {
    let long = format!("{HOSTILE} {}", "&<\"\u{1f512}".repeat(1_500));
    let one = |number: u128| {
        let mut notice = down(if number.is_multiple_of(2) { HOSTILE } else { &long }, number);
        for text in [&mut notice.what, &mut notice.what_of_many, &mut notice.advice] {
            text.clone_from(&long);
        }
        notice.cause = format!("{} {long}", number % 150);
        if number == 7 {
            "\u{200b}".clone_into(&mut notice.subject);
        }
        notice.thread = format!("{number} {long}");
        notice
    };
    (1..=250).map(one).collect()
}
