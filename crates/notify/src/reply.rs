//! What receivers answer over HTTP, in words: what happened, the likeliest cause, the next step. The statuses that mean the same everywhere
//! stand here; what is a receiver's own stands in its own file.

use std::time::Duration;

use toktra_siem_core::cause::Cause;
use toktra_siem_core::destination::Reply;
use toktra_siem_core::destination::reply::{Redactor, retry_after};
use toktra_siem_core::time::Timestamp;
use toktra_siem_egress::{Failure, FailureKind, Forbidden};
use toktra_siem_platform::endpoint::secret_forms;
use toktra_siem_platform::reply::Endpoint;

use crate::{NotTold, Settings};

/// The longest pause that a receiver is granted.
const LONGEST: Duration = Duration::from_hours(1);

/// Who answers.
pub(crate) struct Receiver<'s> {
    name: &'static str,
    /// The first word of its causes' codes.
    key: &'static str,
    settings: &'s Settings,
}

/// What a status means: the end of the cause's code, and why, with the next step.
pub(crate) type Meaning = (&'static str, &'static str);

impl<'s> Receiver<'s> {
    /// A receiver of this name. What it says may repeat the secrets of `settings`.
    pub(crate) fn new(name: &'static str, key: &'static str, settings: &'s Settings) -> Self {
        Self { name, key, settings }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// The answer says that the message did not arrive. `own` is what the receiver's own documentation says of it.
    pub(crate) fn refused(&self, reply: &Reply, own: Option<Meaning>, now: Timestamp) -> NotTold {
        let (what, why) = own.filter(|_| !is_page(reply)).unwrap_or_else(|| shared(reply));
        // Slack says that its words are HTML.
        let reply = &Reply { content_type: reply.content_type.clone().filter(|_| is_page(reply)), ..reply.clone() };
        let needs_a_person = !matches!(reply.status, 408 | 425 | 429 | 500..=599);
        let pause = retry_after(reply, now).filter(|_| !needs_a_person).map(|pause| pause.min(LONGEST));
        let redactor = Redactor::new(self.settings.secrets.values().flat_map(secret_forms));
        let endpoint = Endpoint { name: self.name, key: self.key, address: String::new(), redactor };
        NotTold { cause: endpoint.cause(what, reply, why), needs_a_person, pause }
    }
}

/// No answer came.
pub(crate) fn unreachable(failure: &Failure) -> NotTold {
    let Cause { code, message } = failure.cause();
    let message = match &failure.kind {
        FailureKind::Forbidden(refusal) => forbidden(refusal),
        FailureKind::Certificate(_) => certificate(failure),
        FailureKind::ClientCertificate(_) => {
            let at = failure.target.as_deref().unwrap_or("The receiver");
            format!(
                "{at} asks for a client certificate, which a notification channel does not have. Use a URL that works without one."
            )
        }
        _ => message,
    };
    NotTold { cause: Cause { code, message }, needs_a_person: failure.misconfigured(), pause: None }
}

/// Whether the answer is a page for a browser. Its type alone says little: Slack's own answers are `text/html`.
pub(crate) fn is_page(reply: &Reply) -> bool {
    reply.body.trim_ascii_start().starts_with(b"<")
}

/// Why the address of a channel is not called. The words of egress are about connectors.
pub fn forbidden(refusal: &Forbidden) -> String {
    match refusal {
        Forbidden::PlainHttp => "Plain http would send the message and its key unencrypted. Use https. For a receiver in the private network, \
                                 ask whoever runs this server to list its address in TOKTRA_SIEM_EGRESS_ALLOW."
            .to_owned(),
        Forbidden::Never(what) => format!("The URL leads to {what}, which is never called. Check the host in the URL."),
        Forbidden::Special(what) => format!(
            "The URL leads to {what}. Notification channels may only reach public addresses. If the receiver is in the private network, ask \
             whoever runs this server to list its address in TOKTRA_SIEM_EGRESS_ALLOW."
        ),
        Forbidden::Mixed => "The host name has addresses that channels may reach and others that they may not. Correct its DNS records, so \
                             that they all lead to the receiver."
            .to_owned(),
        Forbidden::Url(_) | Forbidden::Scheme | Forbidden::Userinfo => refusal.to_string(),
    }
}

/// A certificate that is not trusted. A channel has no settings for certificates: the receiver's has to be right.
fn certificate(failure: &Failure) -> String {
    let at = failure.target.as_deref().unwrap_or("the receiver");
    let whose = failure.certificate().map(|shown| format!(" It was issued to {} by {}.", shown.subject, shown.issuer));
    let whose = whose.unwrap_or_default();
    format!(
        "The certificate of {at} is not trusted: it is expired, for another host, or signed by an authority that this server does not \
         know.{whose} Install a valid one on the receiver, or ask whoever runs this server to trust its authority."
    )
}

const PAGE: &str = "a web page came back, so this is not its own answer. A proxy, gateway or login page in between probably refuses the request, \
                    or the URL is one for people. Check the URL, and let this service's requests pass.";

/// What a status says by itself.
fn shared(reply: &Reply) -> Meaning {
    match reply.status {
        200..=403 | 405..=499 if is_page(reply) => ("web_page", PAGE),
        200..=299 => (
            "unexpected_success",
            "this is not how it takes a message. Something else probably answers at the URL. Check the URL.",
        ),
        300..=399 => (
            "redirect",
            "it redirects to another address, and redirects are never followed. Enter the address that accepts messages as the URL.",
        ),
        400 | 422 => {
            ("http_400", "it could not read the message. The URL probably belongs to another service. Check the URL.")
        }
        401 | 403 => (
            "http_403",
            "it does not accept the credential. It was probably revoked or entered incompletely. Enter it again, then test.",
        ),
        404 | 405 => (
            "wrong_path",
            "nothing accepts messages at this address. It was probably deleted, or entered incompletely. Enter it again, then test.",
        ),
        407 => {
            ("http_407", "a proxy in between wants its own login. Let this service's requests pass, then test again.")
        }
        408 => (
            "http_408",
            "it did not get the message in time. The network in between is probably slow. The message is sent again by itself.",
        ),
        410 => (
            "gone",
            "it wants no more messages. It was probably deleted. Create a new URL there and enter it, or delete the channel.",
        ),
        413 => (
            "too_large",
            "the message is too large for it. A proxy in between probably has a lower limit than usual. Raise the limit there.",
        ),
        429 => (
            "busy",
            "it accepts no more messages for now. The message is sent again by itself. If this lasts, use a channel with fewer topics.",
        ),
        425 | 500..=599 => (
            "server_error",
            "it, or a proxy in front of it, is overloaded, restarting or broken. The message is sent again by itself. If this lasts, look at \
             its status page or log.",
        ),
        400..=499 => (
            "refused",
            "it refuses the message. A proxy in between is the likeliest source. Check the URL, then test again.",
        ),
        _ => (
            "no_http",
            "this is no HTTP status that is known. Something else probably answers at the URL. Check the URL.",
        ),
    }
}
