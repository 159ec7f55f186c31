//! `/v1/notification-channels`, and what somebody knows of an outage.

use toktra_siem_wire as wire;

use crate::doc::{Doc, Tag};
use crate::error::Code;

const NAME_TAKEN: &str = "The org has a notification channel of this name already.";

pub(super) fn list() -> Doc {
    Doc::new("listNotificationChannels", Tag::Channels, "List notification channels")
        .paged()
        .ok::<wire::List<wire::Channel>>("A page of notification channels, oldest first.")
}

pub(super) fn create() -> Doc {
    Doc::new("createNotificationChannel", Tag::Channels, "Create a notification channel")
        .about("It is told what happens from now on.")
        .body::<wire::NewChannel>("The notification channel.")
        .created::<wire::Channel>(
            "The notification channel was made. If its signing secret was made as well, this answer is the only one that shows it.",
        )
        .once()
        .error(403, Code::DestinationForbidden, crate::connectors::doc::FORBIDDEN)
        .error(409, Code::Conflict, NAME_TAKEN)
}

pub(super) fn get() -> Doc {
    Doc::new("getNotificationChannel", Tag::Channels, "Show a notification channel")
        .ok::<wire::Channel>("The notification channel.")
}

pub(super) fn change() -> Doc {
    Doc::new("updateNotificationChannel", Tag::Channels, "Change a notification channel")
        .about("Fields that you send replace the stored ones. Fields that you leave out do not change, and neither do those inside `config`. A channel that was failing is tried again at once.")
        .optional_body::<wire::ChannelChange>("What is to change.")
        .ok::<wire::Channel>("The notification channel as it is now.")
        .error(403, Code::DestinationForbidden, crate::connectors::doc::FORBIDDEN)
        .error(409, Code::Conflict, NAME_TAKEN)
}

pub(super) fn delete() -> Doc {
    Doc::new("deleteNotificationChannel", Tag::Channels, "Remove a notification channel")
        .about("What it was not yet told is not told any more.")
        .ok::<wire::ChannelDeleted>("It is gone.")
}

pub(super) fn compare() -> Doc {
    Doc::new("compareNotificationChannelSecrets", Tag::Channels, "Compare secrets of a notification channel")
        .about(
            "Takes the members of a change and names the secrets among them that differ from the stored ones, so that a tool knows whether \
             it has to write them. Nothing is changed. Each channel allows 30 comparisons a minute; more are answered with 429.",
        )
        .optional_body::<wire::ChannelChange>("A change with secrets.")
        .ok::<wire::SecretsCompared>("The secrets that differ.")
}

pub(super) fn test() -> Doc {
    Doc::new("testNotificationChannel", Tag::Channels, "Test a notification channel")
        .about("Sends a message that says that it is a test.")
        .ok::<wire::ChannelTest>("What the receiver answered, or why the message did not get there.")
}

pub(super) fn acknowledge() -> Doc {
    Doc::new("acknowledgeConnector", Tag::Channels, "Acknowledge an outage")
        .about(
            "Somebody knows: until the end that you give, notification channels are not told that this connector is down, misconfigured or \
             stalled. If it still fails then, they are told. You can say so before the outage begins.",
        )
        .body::<wire::Acknowledge>("What is known, and until when.")
        .ok::<wire::Health>("How the connector stands.")
}

pub(super) fn take_back() -> Doc {
    Doc::new("unacknowledgeConnector", Tag::Channels, "End an acknowledgement")
        .about("Notification channels are told of this connector again.")
        .ok::<wire::Health>("How the connector stands.")
}
