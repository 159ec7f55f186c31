//! Brings messages: by HTTP through egress, which judges every address, follows no redirect, and bounds time and answers; by mail through the
//! operator's server.

use bytes::Bytes;
use lettre::Address;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use toktra_siem_core::destination::{HeaderText, Method, OutboundRequest, Reply};
use toktra_siem_core::ids::{ChannelId, DeliveryId};
use toktra_siem_core::notice::{ChannelKind, Notice};
use toktra_siem_core::signing::{SignedRequest, SigningKeys, WEBHOOK_ID, WEBHOOK_TIMESTAMP};
use toktra_siem_core::time::Timestamp;
use toktra_siem_egress::{Endpoint, EndpointOptions, SendOptions, Transport};
use uuid::Builder;

use crate::kinds::PAGERDUTY;
use crate::letter::{Identity, letter};
use crate::reply::{Receiver, unreachable};
use crate::story::Story;
use crate::{Delivered, Mail, NotTold, Outcome, Place, Settings, Told, digest, keys, pagerduty, slack, teams, webhook};

/// The most that is read of an answer: all of them are a sentence.
const ANSWER: usize = 16 * 1024;

/// Brings messages to the channels of all orgs.
#[derive(Clone)]
pub struct Courier {
    transport: Transport,
    mail: Option<Mail>,
}

/// A request that is ready to be signed.
struct Post<'a> {
    url: String,
    body: Value,
    /// What it is signed with; nothing of the signatures is sent without.
    key: Option<&'a SecretString>,
    /// What the receiver recognises it by.
    id: [u8; 32],
}

impl Courier {
    /// Sends through `transport` and, if the operator configured a mail server, through `mail`.
    pub fn new(transport: Transport, mail: Option<Mail>) -> Self {
        Self { transport, mail }
    }

    /// Tells `notices` through a channel. PagerDuty gets a request for each; the others get all of them in one message, but a webhook at most
    /// 100 at once.
    pub async fn tell(
        &self,
        id: ChannelId,
        kind: ChannelKind,
        settings: &Settings,
        place: &Place,
        notices: &[Notice],
        now: Timestamp,
    ) -> Told {
        if notices.is_empty() {
            return Told { number: 0, failure: None };
        }
        match kind {
            ChannelKind::Email => {
                let story = Story::of(place, notices);
                match self.mail(settings, story, &Identity::of(id, notices), now).await {
                    Ok((_, failure)) => Told { number: notices.len(), failure },
                    Err(failure) => Told { number: 0, failure: Some(failure) },
                }
            }
            ChannelKind::Slack | ChannelKind::Teams => {
                let told = self.message(kind, settings, Story::of(place, notices), now).await;
                let number = if told.is_ok() { notices.len() } else { 0 };
                Told { number, failure: told.err() }
            }
            ChannelKind::Pagerduty => {
                let event = |key: &SecretString, notices: &[Notice]| {
                    notices.first().map(|notice| pagerduty::event(key, place, notice)).unwrap_or_default()
                };
                self.in_turn(id, kind, settings, notices, now, |_| 1, event).await
            }
            ChannelKind::Webhook => {
                let message = |_: &SecretString, notices: &[Notice]| webhook::message(place, notices, now);
                self.in_turn(id, kind, settings, notices, now, webhook::fits, message).await
            }
        }
    }

    /// Sends a message that says that it is a test, and what the receiver answered. `name` is the channel's.
    pub async fn test(
        &self,
        id: ChannelId,
        name: &str,
        kind: ChannelKind,
        settings: &Settings,
        place: &Place,
        now: Timestamp,
    ) -> Result<Delivered, NotTold> {
        let story = Story::test(place, name);
        match kind {
            ChannelKind::Email => match self.mail(settings, story, &Identity::test(id, now), now).await? {
                (delivered, None) => Ok(delivered),
                (_, Some(failure)) => Err(failure),
            },
            ChannelKind::Slack | ChannelKind::Teams => self.message(kind, settings, story, now).await,
            ChannelKind::Pagerduty => {
                let [trigger, resolve] = pagerduty::test(secret(settings, "routing_key")?, place, id, name, now);
                let endpoint = self.endpoint()?;
                self.post(&endpoint, kind, settings, post(kind, settings, trigger, [0; 32])?, now).await?;
                self.post(&endpoint, kind, settings, post(kind, settings, resolve, [0; 32])?, now).await?;
                let message =
                    "PagerDuty took the test incident and resolved it (202). It is in the service's list of incidents."
                        .to_owned();
                Ok(Delivered { message })
            }
            ChannelKind::Webhook => {
                let body = webhook::test(place, id, name, now);
                let of = digest(["test", &id.to_string(), &now.to_string()]);
                self.post(&self.endpoint()?, kind, settings, post(kind, settings, body, of)?, now).await
            }
        }
    }

    /// One message for all.
    async fn message(&self, kind: ChannelKind, settings: &Settings, story: Story, now: Timestamp) -> Outcome {
        let body = if kind == ChannelKind::Teams { teams::message(story) } else { slack::message(story) };
        self.post(&self.endpoint()?, kind, settings, post(kind, settings, body, [0; 32])?, now).await
    }

    /// As many of the notices in each request as `fit` says, until one does not arrive.
    #[expect(clippy::too_many_arguments, reason = "what `tell` got, and what differs")]
    async fn in_turn(
        &self,
        id: ChannelId,
        kind: ChannelKind,
        settings: &Settings,
        notices: &[Notice],
        now: Timestamp,
        fit: impl Fn(&[Notice]) -> usize,
        body: impl Fn(&SecretString, &[Notice]) -> Value,
    ) -> Told {
        let mut number = 0;
        let channel = id.to_string();
        let all = async {
            let endpoint = self.endpoint()?;
            let field = if kind == ChannelKind::Pagerduty { "routing_key" } else { "url" };
            let key = secret(settings, field)?;
            while number < notices.len() {
                let rest = &notices[number..];
                let some = &rest[..fit(rest).clamp(1, rest.len())];
                let id = digest(std::iter::once(channel.as_str()).chain(keys(some)));
                self.post(&endpoint, kind, settings, post(kind, settings, body(key, some), id)?, now).await?;
                number += some.len();
            }
            Ok(())
        };
        let failure: Option<NotTold> = all.await.err();
        Told { number, failure }
    }

    /// Connections of this one message.
    fn endpoint(&self) -> Result<Endpoint, NotTold> {
        self.transport.endpoint(EndpointOptions::default()).map_err(|failure| unreachable(&failure))
    }

    async fn post(
        &self,
        endpoint: &Endpoint,
        kind: ChannelKind,
        settings: &Settings,
        post: Post<'_>,
        now: Timestamp,
    ) -> Outcome {
        let Post { url, body, key, id } = post;
        let request = OutboundRequest {
            method: Method::Post,
            url,
            secret_url: kind != ChannelKind::Pagerduty,
            headers: vec![("content-type".into(), HeaderText::Plain("application/json".into()))],
            body: Bytes::from(body.to_string()),
        };
        let keys = SigningKeys { current: key.cloned(), next: None };
        let mut id16 = [0; 16];
        id16.copy_from_slice(&id[..16]);
        let id = DeliveryId(Builder::from_custom_bytes(id16).into_uuid());
        let mut request = SignedRequest::seal(request, &keys, id, now);
        if key.is_none() {
            request.headers.retain(|(name, _)| name != WEBHOOK_ID && name != WEBHOOK_TIMESTAMP);
        }
        let options = SendOptions { body_cap: ANSWER, ..SendOptions::default() };
        let exchange = endpoint.send(request, options).await.map_err(|failure| unreachable(&failure))?;
        judge(kind, settings, &exchange.reply, now)
    }

    async fn mail(
        &self,
        settings: &Settings,
        story: Story,
        identity: &Identity,
        now: Timestamp,
    ) -> Result<(Delivered, Option<NotTold>), NotTold> {
        let Some(mail) = &self.mail else {
            return Err(NotTold::for_a_person(
                "smtp_not_configured",
                "No mail server is configured, so no mail can be sent. Ask whoever runs this server to set TOKTRA_SIEM_SMTP_URL and \
                 TOKTRA_SIEM_SMTP_FROM, or use another kind of channel.",
            ));
        };
        let to = settings.config.get("to").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let to: Vec<Address> = to.iter().filter_map(|address| address.as_str()?.parse().ok()).collect();
        if to.is_empty() {
            return Err(incomplete("to"));
        }
        let letter = letter(mail.from(), &to, story, identity, now).map_err(|error| {
            NotTold::for_a_person(
                "mail_unwritable",
                format!("The mail could not be written: {error}. Check the addresses of the channel."),
            )
        })?;
        mail.send(&to, &letter.formatted()).await
    }
}

/// Where a body goes, and how it is signed.
fn post(kind: ChannelKind, settings: &Settings, body: Value, id: [u8; 32]) -> Result<Post<'_>, NotTold> {
    let (url, key) = match kind {
        ChannelKind::Pagerduty => (format!("{}/v2/enqueue", settings.text("url").unwrap_or(PAGERDUTY)), None),
        ChannelKind::Webhook => {
            let key = secret(settings, "signing_secret")?;
            (secret(settings, "url")?.expose_secret().to_owned(), Some(key))
        }
        ChannelKind::Email | ChannelKind::Slack | ChannelKind::Teams => {
            (secret(settings, "url")?.expose_secret().to_owned(), None)
        }
    };
    Ok(Post { url, body, key, id })
}

fn judge(kind: ChannelKind, settings: &Settings, reply: &Reply, now: Timestamp) -> Outcome {
    let receiver = |name, key| Receiver::new(name, key, settings);
    match kind {
        ChannelKind::Slack => slack::judge(&receiver("Slack", "slack"), reply, now),
        ChannelKind::Teams => teams::judge(&receiver("Teams", "teams"), reply, now),
        ChannelKind::Pagerduty => pagerduty::judge(&receiver("PagerDuty", "pagerduty"), reply, now),
        ChannelKind::Webhook | ChannelKind::Email => webhook::judge(&receiver("The receiver", "webhook"), reply, now),
    }
}

fn secret<'a>(settings: &'a Settings, field: &'static str) -> Result<&'a SecretString, NotTold> {
    settings.secrets.get(field).ok_or_else(|| incomplete(field))
}

fn incomplete(field: &str) -> NotTold {
    NotTold::for_a_person(
        "channel_incomplete",
        format!("The channel has no `{field}`, so nothing can be sent. Enter it, then test again."),
    )
}
