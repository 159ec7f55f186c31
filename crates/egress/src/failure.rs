//! Why a request got no answer, in terms that a person can act on, and what that means for the events that were in it.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError, InvalidMessage};
use toktra_siem_core::cause::Cause;
use toktra_siem_core::certificate::Certificate;
use toktra_siem_core::destination::{EndpointState, Judgement, Outcome, Verdict};

use super::egress::Forbidden;
use super::meter::Excess;
use super::refused::{Refused, Why, in_words};
use super::trace::Stage;
use super::tunnel::Blocked;
use toktra_siem_core::delivery::StageName;

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FailureKind {
    /// The policy refuses the target. Nothing was sent to it.
    Forbidden(Forbidden),
    /// The connector's `tls_ca` is not a certificate authority in PEM; the text says what is wrong with it.
    BadCa(String),
    /// The connector's client certificate or its key cannot be used; the text says why.
    BadClient(String),
    /// A header's value, usually a credential, holds characters that a header cannot. Named, never shown.
    BadHeader(Cow<'static, str>),
    /// The resolver says that the name does not exist.
    UnknownHost,
    /// The resolver did not answer.
    Dns,
    /// The operator's proxy did not open the way. Nothing was sent to the receiver.
    Blocked(Blocked),
    /// Nothing listens on the port.
    Refused,
    /// There is no route to the address.
    Unreachable,
    /// The time ran out in this stage.
    Timeout(StageName),
    /// The connection ended in this stage, before the whole answer was there.
    Reset(StageName),
    /// The server's certificate was refused.
    Certificate(Box<Refused>),
    /// The server does not accept us: it wants a client certificate, or another one. What it said.
    ClientCertificate(String),
    /// The TLS handshake failed for another reason.
    Tls(String),
    /// The port answers, but not with TLS.
    NotTls,
    /// What came back is not HTTP/1.1; whether TLS was spoken.
    NotHttp {
        /// Whether the URL says `https`.
        tls: bool,
    },
    /// What came back is HTTP/1.1, but breaks its rules: a header, a length, a chunk.
    Malformed,
    /// Far more came in this stage than an answer takes: interim answers or headers without end, padding.
    Excess(StageName),
    /// The receiver did something that was not its turn to do.
    OutOfTurn(OutOfTurn),
    /// The answers of all receivers together took too much memory, and this one had been under way longest.
    GaveWay,
    /// This machine could not (no file descriptors, no free port, …). Not the receiver's fault.
    Local(String),
}

/// What a receiver did that was not its turn to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutOfTurn {
    /// It answered with success before it had the whole request.
    Early,
    /// It switched to another protocol.
    Switched,
}

impl From<Forbidden> for FailureKind {
    fn from(refusal: Forbidden) -> Self {
        Self::Forbidden(refusal)
    }
}

/// A request without an answer. Whether the receiver has the events is unknown, unless the kind says that nothing was sent.
#[derive(Debug, Clone)]
pub struct Failure {
    /// What went wrong.
    pub kind: FailureKind,
    /// Host and port, where the URL could be read.
    pub target: Option<String>,
    /// The stages that took place; the last one failed.
    pub stages: Vec<Stage>,
    /// How long it took in all.
    pub duration: Duration,
}

impl Failure {
    /// A failure before anything was attempted.
    pub(super) fn early(kind: FailureKind) -> Self {
        Self { kind, target: None, stages: Vec::new(), duration: Duration::ZERO }
    }

    /// The stable code, and the sentences for a person.
    pub fn cause(&self) -> Cause {
        self.kind.cause(self.target.as_deref())
    }

    /// The server's certificate, if that was refused: what a person compares before trusting it.
    pub fn certificate(&self) -> Option<&Certificate> {
        match &self.kind {
            FailureKind::Certificate(refused) => {
                Some(&refused.certificate).filter(|shown| !shown.fingerprint.is_empty())
            }
            _ => None,
        }
    }

    /// Whether only a person can mend it, here or at the receiver (`misconfigured`); otherwise it is down and
    /// may come back by itself.
    pub fn misconfigured(&self) -> bool {
        self.kind.misconfigured()
    }

    /// What becomes of the `sent` events: all are retried, or held until a person has acted.
    pub fn verdict(&self, sent: usize) -> Verdict {
        let cause = self.cause();
        let (outcome, endpoint) = if self.misconfigured() {
            (Outcome::Held(cause.clone()), EndpointState::Misconfigured(cause))
        } else {
            (Outcome::Retry(cause), EndpointState::Backoff { after: None })
        };
        Verdict { judgement: Judgement::all(sent, outcome), endpoint, confirm: None }
    }
}

impl FailureKind {
    fn misconfigured(&self) -> bool {
        match self {
            Self::Forbidden(_)
            | Self::BadCa(_)
            | Self::BadClient(_)
            | Self::BadHeader(_)
            | Self::Certificate(_)
            | Self::ClientCertificate(_)
            | Self::NotTls
            // Tried every few seconds, a wrong password locks the account at many proxies.
            | Self::Blocked(Blocked::Answered(401 | 407)) => true,
            Self::UnknownHost
            | Self::Dns
            | Self::Blocked(_)
            | Self::Refused
            | Self::Unreachable
            | Self::Timeout(_)
            | Self::Reset(_)
            | Self::Tls(_)
            | Self::NotHttp { .. }
            | Self::Malformed
            | Self::Excess(_)
            | Self::OutOfTurn(_)
            | Self::GaveWay
            | Self::Local(_) => false,
        }
    }

    /// The stable code.
    fn code(&self) -> &'static str {
        match self {
            Self::Forbidden(_) => "destination_forbidden",
            Self::BadCa(_) => "tls_ca_invalid",
            Self::BadClient(_) => "tls_client_invalid",
            Self::BadHeader(_) => "header_invalid",
            Self::UnknownHost => "network_unknown_host",
            Self::Dns => "network_dns",
            Self::Blocked(blocked) => blocked.code(),
            Self::Refused => "network_refused",
            Self::Unreachable => "network_unreachable",
            Self::Timeout(StageName::Dns) => "network_dns_timeout",
            Self::Timeout(StageName::Tcp) => "network_connect_timeout",
            Self::Timeout(StageName::Tls) => "network_tls_timeout",
            Self::Timeout(StageName::Http | StageName::Write | StageName::Searchable) => "network_timeout",
            Self::Reset(_) => "network_reset",
            Self::Certificate(refused) => refused.code(),
            Self::ClientCertificate(_) => "tls_client_certificate",
            Self::Tls(_) => "tls_failed",
            Self::NotTls => "tls_not_spoken",
            Self::NotHttp { .. } => "network_not_http",
            Self::Malformed => "network_malformed",
            Self::Excess(_) => "network_excess",
            Self::OutOfTurn(_) => "network_out_of_turn",
            Self::GaveWay => "local_memory",
            Self::Local(_) => "local_network",
        }
    }

    pub(super) fn cause(&self, target: Option<&str>) -> Cause {
        Cause::new(self.code(), self.sentence(target.unwrap_or("The receiver")))
    }

    /// What happened, the likeliest cause, the next step.
    fn sentence(&self, at: &str) -> String {
        match self {
            Self::Forbidden(refusal) => refusal.to_string(),
            Self::BadCa(what) => format!(
                "The connector's CA certificate cannot be used: {what}. Paste the CA's certificate in PEM form, from \
                 -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----."
            ),
            Self::BadClient(what) => format!(
                "The connector's client certificate (tls_client_cert) cannot be used: {what}. Paste certificate and key in PEM form."
            ),
            Self::BadHeader(name) => format!(
                "The value for the header {name} holds characters that a header cannot carry, such as a line break or a \
                 non-ASCII letter. It was probably pasted with something around it: enter the credential again."
            ),
            Self::UnknownHost => format!(
                "{at}: this host name does not exist. There is probably a typing mistake in the URL, or the name is only known in \
                 another network: check the host."
            ),
            Self::Dns => format!(
                "{at}: the host name could not be looked up. The DNS server of the machine that runs Toktra SIEM does not answer, \
                 or the domain's own does not: check name resolution there."
            ),
            Self::Blocked(blocked) => blocked.sentence(at),
            Self::Refused => format!(
                "{at} refused the connection: nothing listens on this port. The receiver is probably down, or the port in the URL \
                 is not the right one: check both."
            ),
            Self::Unreachable => format!(
                "{at} cannot be reached: there is no route to its address. A firewall or a VPN that is down is the likeliest \
                 reason: check the network between this server and the receiver."
            ),
            Self::Timeout(stage) => timeout_sentence(at, *stage),
            Self::Reset(StageName::Tls) => format!(
                "{at} closed the connection during the TLS handshake. The port probably does not speak TLS, or a firewall cuts \
                 the connection: check the port and whether the URL should start with https."
            ),
            Self::Reset(_) => format!(
                "{at} closed the connection before its answer was complete. It was probably restarted, or a proxy in between gave \
                 up: if it keeps happening, look into the receiver's log."
            ),
            Self::Certificate(refused) => refused.sentence(at),
            Self::ClientCertificate(said) => format!(
                "{at} wants to know who connects, and refused it with “{said}”. Enter a client certificate that it trusts and its private key \
                 (tls_client_cert, tls_client_key), or, if there are some, check on the receiver which authority it accepts and whether the \
                 certificate has expired."
            ),
            Self::Tls(what) => format!(
                "The TLS connection to {at} could not be set up: {what}. The receiver probably asks for a client certificate or \
                 only offers TLS older than 1.2: check its TLS settings."
            ),
            Self::NotTls => format!(
                "{at} does not speak TLS on this port. The URL says https, the receiver probably expects http: enable TLS there, \
                 or check the port."
            ),
            Self::NotHttp { tls: true } => format!(
                "{at} answered with something that is not HTTP/1.1. The port probably belongs to another service: check the port."
            ),
            Self::NotHttp { tls: false } => format!(
                "{at} answered with something that is not HTTP/1.1. It probably expects TLS: write the URL with https, or check \
                 the port."
            ),
            Self::Malformed => format!(
                "{at} answered with HTTP that breaks the protocol's rules: a header, a length or a chunk is malformed. The receiver or a \
                 proxy in between is probably faulty: look into their logs."
            ),
            Self::Excess(StageName::Tls) => format!(
                "{at} sent far more than a TLS handshake takes, and the connection was given up. The port probably belongs to another \
                 service: check the port."
            ),
            Self::Excess(_) => format!(
                "{at} sent far more than an answer takes (over 64 KiB, or over 100 lines, of headers and interim answers, or padding in its \
                 body), and the connection was given up. The receiver or a proxy in between is probably faulty: look into their logs."
            ),
            Self::OutOfTurn(OutOfTurn::Early) => format!(
                "{at} answered with success before it had the whole request, so it cannot have the events. Something that does not read \
                 what it is sent probably answers on this port: check the URL, and proxies in between."
            ),
            Self::OutOfTurn(OutOfTurn::Switched) => format!(
                "{at} switched to another protocol (HTTP 101), which it was not asked to. The URL probably leads to another service: check \
                 host, port and path."
            ),
            Self::GaveWay => format!(
                "The answer of {at} was given up: it was long and came slowly, while the answers of all receivers together took more \
                 memory than is set aside for them. If it keeps happening, look at the receiver's load."
            ),
            Self::Local(what) => format!(
                "The machine that runs Toktra SIEM could not open the connection: {what}. It has probably run out of file \
                 descriptors or ports: raise its limits."
            ),
        }
    }
}

fn timeout_sentence(at: &str, stage: StageName) -> String {
    match stage {
        StageName::Dns => format!(
            "{at}: looking up the host name took too long. The DNS server of the machine that runs Toktra SIEM is slow or \
             unreachable: check name resolution there."
        ),
        StageName::Tcp => format!(
            "{at} did not answer the connection in time. A firewall that drops packets is the likeliest reason, or the host is \
             down: check that this server may reach the port."
        ),
        StageName::Tls => format!(
            "{at} accepted the connection but did not finish the TLS handshake in time. It is probably overloaded, or the port \
             does not speak TLS: check the receiver and the port."
        ),
        StageName::Http | StageName::Write | StageName::Searchable => format!(
            "{at} did not answer completely in time. It is probably overloaded: look at its load, and at proxies in between."
        ),
    }
}

/// The meaning of an I/O error in `stage`.
pub(super) fn from_io(error: &io::Error, stage: StageName) -> FailureKind {
    use io::ErrorKind as Io;
    if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return from_rustls(tls);
    }
    // rustls has no name for messages that outgrow its buffer.
    if error.get_ref().is_some_and(|inner| inner.is::<Excess>() || inner.to_string() == "message buffer full") {
        return FailureKind::Excess(stage);
    }
    match error.kind() {
        Io::ConnectionRefused => FailureKind::Refused,
        Io::HostUnreachable | Io::NetworkUnreachable => FailureKind::Unreachable,
        Io::TimedOut => FailureKind::Timeout(stage),
        Io::ConnectionReset | Io::ConnectionAborted | Io::BrokenPipe | Io::UnexpectedEof | Io::NotConnected => {
            FailureKind::Reset(stage)
        }
        // What is left of the operating system's errors comes from our own side: file descriptors, ports, memory, permissions.
        _ if error.raw_os_error().is_some() => FailureKind::Local(error.to_string()),
        _ => FailureKind::Reset(stage),
    }
}

/// The meaning of hyper's error: of a request on its way, or of an answer that broke off.
pub(super) fn from_hyper(error: &hyper::Error, tls: bool) -> FailureKind {
    if error.is_parse_too_large() {
        return FailureKind::Excess(StageName::Http);
    }
    if error.is_parse() {
        // The version is what an answer begins with; hyper has a name for this, but no function that tells it.
        let version = error.to_string().contains("HTTP version");
        return if version { FailureKind::NotHttp { tls } } else { FailureKind::Malformed };
    }
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            return match from_io(io, StageName::Http) {
                // hyper wraps bad chunk sizes and the like as I/O errors of these kinds.
                FailureKind::Reset(_)
                    if matches!(io.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) =>
                {
                    FailureKind::Malformed
                }
                kind => kind,
            };
        }
        source = inner.source();
    }
    FailureKind::Reset(StageName::Http)
}

fn from_rustls(error: &rustls::Error) -> FailureKind {
    use AlertDescription as Alert;
    use rustls::Error as Is;
    match error {
        Is::InvalidCertificate(CertificateError::Other(other)) if other.0.is::<Refused>() => {
            match other.0.downcast_ref::<Refused>() {
                Some(refused) => FailureKind::Certificate(Box::new(refused.clone())),
                None => FailureKind::Tls("its certificate was refused".to_owned()),
            }
        }
        Is::InvalidCertificate(other) => {
            FailureKind::Certificate(Box::new(Refused { why: Why::of(other), certificate: Certificate::default() }))
        }
        Is::InvalidMessage(InvalidMessage::InvalidContentType) => FailureKind::NotTls,
        // What a server says of a client's certificate, and never of anything else.
        Is::AlertReceived(
            alert @ (Alert::CertificateRequired
            | Alert::NoCertificate
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied),
        ) => FailureKind::ClientCertificate(in_words(alert)),
        Is::AlertReceived(alert) => {
            FailureKind::Tls(format!("it ended the handshake with the alert “{}”", in_words(alert)))
        }
        Is::PeerIncompatible(why) => {
            FailureKind::Tls(format!("it does not support what is needed ({})", in_words(why)))
        }
        Is::PeerMisbehaved(why) => FailureKind::Tls(format!("it broke the rules of TLS ({})", in_words(why))),
        Is::InvalidMessage(why) => {
            FailureKind::Tls(format!("it sent a message that cannot be read ({})", in_words(why)))
        }
        other => FailureKind::Tls(other.to_string()),
    }
}
