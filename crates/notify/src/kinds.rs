//! What each kind of channel is, and which settings it has. Page, API and command line make their forms of it.

use toktra_siem_core::notice::ChannelKind;

/// A kind of channel, described.
#[derive(Debug, Clone, Copy)]
pub struct Descriptor {
    /// Which.
    pub kind: ChannelKind,
    /// What people call it: `Microsoft Teams`.
    pub label: &'static str,
    /// Where somebody finds what is asked for, in whole sentences.
    pub preparation: &'static str,
    /// Its settings: the members of `config`.
    pub fields: &'static [Field],
}

/// A setting of a channel: a member of its `config`. Its value is a text; that of a list is an array of texts.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each says something of its own, for a form")]
pub struct Field {
    /// The name of the member.
    pub name: &'static str,
    /// What people call it.
    pub label: &'static str,
    /// What it is, in a sentence.
    pub help: &'static str,
    /// What it looks like.
    pub example: &'static str,
    /// Whether it is never shown.
    pub secret: bool,
    /// Whether a channel cannot be without it.
    pub required: bool,
    /// Whether it is a list.
    pub list: bool,
    /// Whether it is a URL that is called.
    pub url: bool,
}

/// Where PagerDuty takes events, if a channel does not say otherwise.
pub(crate) const PAGERDUTY: &str = "https://events.pagerduty.com";

const PLAIN: Field =
    Field { name: "", label: "", help: "", example: "", secret: false, required: true, list: false, url: false };
const SECRET_URL: Field = Field { name: "url", label: "Webhook URL", secret: true, url: true, ..PLAIN };

const EMAIL: Descriptor = Descriptor {
    kind: ChannelKind::Email,
    label: "E-mail",
    preparation: "Messages are sent through the mail server that your administrator configured. An address that several people read works best.",
    fields: &[Field {
        name: "to",
        label: "Recipients",
        help: "The addresses that receive the messages, 1 to 20 of them.",
        example: "soc@company.com",
        list: true,
        ..PLAIN
    }],
};

const SLACK: Descriptor = Descriptor {
    kind: ChannelKind::Slack,
    label: "Slack",
    preparation: "In Slack, create an app (api.slack.com/apps), enable Incoming Webhooks, and choose Add New Webhook to Workspace. Select the \
                  channel, and copy the webhook URL.",
    fields: &[Field {
        help: "The URL of the incoming webhook. Whoever knows it can post to the channel, so it is kept as a secret.",
        example: "https://hooks.slack.com/services/T000/B000/XXXX",
        ..SECRET_URL
    }],
};

const TEAMS: Descriptor = Descriptor {
    kind: ChannelKind::Teams,
    label: "Microsoft Teams",
    preparation: "In Teams, open the channel's menu and choose Workflows, then the template “Send webhook alerts to a channel”, which begins \
                  with “When a Teams webhook request is received”. Copy the URL that it shows at the end. The workflow stops when its owner \
                  leaves, so add a second owner.",
    fields: &[Field {
        label: "Workflow URL",
        help: "The URL of the workflow. Whoever knows it can post to the channel, so it is kept as a secret.",
        example: "https://prod-00.westeurope.logic.azure.com/workflows/…/triggers/manual/paths/invoke?…&sig=…",
        ..SECRET_URL
    }],
};

const ROUTING_KEY: Field = Field {
    name: "routing_key",
    label: "Integration key",
    help: "The integration key of an Events API V2 integration: 32 letters and digits.",
    example: "0123456789abcdef0123456789abcdef",
    secret: true,
    ..PLAIN
};

const DUTY: Descriptor = Descriptor {
    kind: ChannelKind::Pagerduty,
    label: "PagerDuty",
    preparation: "In PagerDuty, open the service, choose Integrations, and add Events API V2. Copy its Integration Key. An incident is opened \
                  for each connector, and resolved when it delivers again.",
    fields: &[
        ROUTING_KEY,
        Field {
            name: "url",
            label: "Events API",
            help: "Where PagerDuty accepts events. Accounts of the EU region use https://events.eu.pagerduty.com.",
            example: PAGERDUTY,
            required: false,
            url: true,
            ..PLAIN
        },
    ],
};

const WEBHOOK: Descriptor = Descriptor {
    kind: ChannelKind::Webhook,
    label: "Webhook",
    preparation: "Messages are posted as JSON to any URL, and signed by Standard Webhooks. The receiver answers with a status of 2xx.",
    fields: &[
        Field {
            label: "URL",
            help: "The URL that messages are posted to. It may contain a key, so it is kept as a secret.",
            example: "https://hooks.company.com/alerts",
            ..SECRET_URL
        },
        Field {
            name: "signing_secret",
            label: "Signing secret",
            help: "The secret that messages are signed with. If you do not give one, one is generated and shown once.",
            example: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            secret: true,
            required: false,
            ..PLAIN
        },
    ],
};

/// The description of `kind`.
pub fn descriptor(kind: ChannelKind) -> &'static Descriptor {
    match kind {
        ChannelKind::Email => &EMAIL,
        ChannelKind::Slack => &SLACK,
        ChannelKind::Teams => &TEAMS,
        ChannelKind::Pagerduty => &DUTY,
        ChannelKind::Webhook => &WEBHOOK,
    }
}

/// All of them, in the order in which people see them.
pub fn descriptors() -> impl Iterator<Item = &'static Descriptor> {
    ChannelKind::ALL.iter().map(|kind| descriptor(*kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_describes_itself_in_whole_sentences() {
        for (of, kind) in descriptors().zip(ChannelKind::ALL) {
            assert_eq!(of.kind, *kind);
            assert!(!of.label.is_empty() && of.preparation.ends_with('.'), "{kind:?}");
            for field in of.fields {
                assert!(!field.name.is_empty() && !field.label.is_empty() && !field.example.is_empty(), "{field:?}");
                assert!(field.help.ends_with('.'), "{field:?}");
            }
        }
    }
}
