//! The mail server that the operator configured, and one dialogue with it for each message.
//!
//! The address is the operator's own, so that the policy for outbound connections is not asked. The dialogue is led here, command by command,
//! because one address that the server refuses must not keep the others from being told.

use std::error::Error as _;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use lettre::Address;
use lettre::message::Mailbox;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters, TlsParametersBuilder,
};
use lettre::transport::smtp::commands::{Data, Mail as From, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};
use lettre::transport::smtp::response::{Response, Severity};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::{ExposeSecret as _, SecretString};
use toktra_siem_core::cause::Cause;
use toktra_siem_core::destination::reply::{QUOTE_BYTES, Redactor, sanitise};
use url::{Host, Url};

use crate::{Delivered, NotTold};

/// The longest that one message may take.
const DEADLINE: Duration = Duration::from_secs(30);
/// The longest that connecting may take.
const CONNECT: Duration = Duration::from_secs(10);

/// How the connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protection {
    /// TLS from the first byte.
    Tls,
    /// TLS after STARTTLS, and nothing without it.
    StartTls,
    /// None.
    Plain,
}

/// A mail server, and who the mails come from.
#[derive(Clone)]
pub struct Mail {
    host: String,
    port: u16,
    protection: Protection,
    login: Option<(String, SecretString)>,
    hello: ClientId,
    from: Mailbox,
    /// Whom the connection trusts, unless it is plain. Read once: the machine's store is a directory of files.
    tls: Option<TlsParameters>,
}

impl std::fmt::Debug for Mail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mail").field("server", &self.server()).field("from", &self.from).finish_non_exhaustive()
    }
}

/// What a URL of a mail server looks like.
const FORMS: &str =
    "smtps://user:password@mail.company.com:465 or smtp://user:password@mail.company.com:587?tls=required";

impl Mail {
    /// Reads `TOKTRA_SIEM_SMTP_URL` and `TOKTRA_SIEM_SMTP_FROM`.
    ///
    /// `smtps://` is TLS from the first byte, `smtp://` TLS after STARTTLS. Without TLS a server is used on loopback, or if the URL ends with
    /// `?tls=none`. User and password are percent-encoded. A path is the name by which we greet the server; without one that is the
    /// domain of `from`. The error says what is wrong and never repeats the URL.
    pub fn of(url: &SecretString, from: &str) -> Result<Self, String> {
        let from: Mailbox = from.trim().parse().map_err(|_| {
            "the sender must be an address such as siem@company.com or Toktra SIEM <siem@company.com>".to_owned()
        })?;
        let url = Url::parse(url.expose_secret().trim())
            .map_err(|error| format!("the URL of the mail server cannot be read ({error}); write it as {FORMS}"))?;
        let host = match url.host() {
            Some(Host::Ipv6(address)) => address.to_string(),
            Some(host) => host.to_string(),
            None => String::new(),
        };
        if host.is_empty() {
            return Err(format!("the URL of the mail server names no host; write it as {FORMS}"));
        }
        let protection = protection(&url, &host)?;
        let port = url.port().unwrap_or(match protection {
            Protection::Tls => 465,
            Protection::StartTls => 587,
            Protection::Plain => 25,
        });
        let hello = url.path().trim_matches('/');
        let hello = if hello.is_empty() { from.email.domain() } else { hello };
        let tls = if protection == Protection::Plain { None } else { Some(trust(&host, &[])?) };
        let hello = ClientId::Domain(hello.to_owned());
        Ok(Self { host, port, protection, login: login(&url)?, hello, from, tls })
    }

    /// The same server, whose certificate may also be of one of these authorities (PEM).
    pub fn trusting(mut self, pem: &str) -> Result<Self, String> {
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        let authorities = read.map_err(|error| format!("the mail server's CA is not PEM ({error})"))?;
        if authorities.is_empty() || !authorities.iter().all(is_usable) {
            return Err("the mail server's CA must be one or more certificates of authorities in PEM".to_owned());
        }
        if self.tls.is_some() {
            self.tls = Some(trust(&self.host, &authorities)?);
        }
        Ok(self)
    }

    /// Who the mails come from.
    pub(crate) fn from(&self) -> &Mailbox {
        &self.from
    }

    /// Host and port, for people.
    fn server(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Hands `message` over for all of `to`. What the server answered, and for which addresses it refused it though it took it for others.
    pub(crate) async fn send(&self, to: &[Address], message: &[u8]) -> Result<(Delivered, Option<NotTold>), NotTold> {
        match tokio::time::timeout(DEADLINE, self.dialogue(to, message)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(NotTold::later(
                "smtp_timeout",
                format!(
                    "The mail server {} did not answer within {} seconds. It is probably overloaded, or a firewall in between drops packets: \
                     check the network and the server's log.",
                    self.server(),
                    DEADLINE.as_secs()
                ),
            )),
        }
    }

    async fn dialogue(&self, to: &[Address], message: &[u8]) -> Result<(Delivered, Option<NotTold>), NotTold> {
        let mut connection = self.connect().await?;
        if let Some((user, password)) = &self.login {
            let credentials = Credentials::new(user.clone(), password.expose_secret().to_owned());
            connection
                .auth(DEFAULT_MECHANISMS, &credentials)
                .await
                .map_err(|error| self.failed(Step::Login, &error))?;
        }
        let foreign =
            !self.from.email.to_string().is_ascii() || to.iter().any(|address| !address.to_string().is_ascii());
        let parameters = if foreign { vec![MailParameter::SmtpUtfEight] } else { Vec::new() };
        if foreign && !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
            return Err(NotTold::for_a_person(
                "smtp_not_ascii",
                format!(
                    "The mail server {} only takes addresses of ASCII letters, and one of the addresses has others. Use another address.",
                    self.server()
                ),
            ));
        }
        let from = From::new(Some(self.from.email.clone()), parameters);
        connection.command(from).await.map_err(|error| self.failed(Step::Sender, &error))?;
        let mut refused: Vec<(&Address, NotTold)> = Vec::new();
        for address in to {
            if let Err(error) = connection.command(Rcpt::new(address.clone(), Vec::new())).await {
                let not_told = self.failed(Step::Recipient(address), &error);
                if error.status().is_none() {
                    // The connection broke.
                    return Err(not_told);
                }
                refused.push((address, not_told));
            }
        }
        let taken: Vec<&Address> = to.iter().filter(|one| refused.iter().all(|(other, _)| other != one)).collect();
        if taken.is_empty() {
            connection.abort().await;
            // One that may be accepted later decides: it is tried again soon.
            let later = refused.iter().position(|(_, not_told)| !not_told.needs_a_person);
            return Err(refused.swap_remove(later.unwrap_or(0)).1);
        }
        connection.command(Data).await.map_err(|error| self.failed(Step::Message, &error))?;
        let answer = connection.message(message).await.map_err(|error| self.failed(Step::Message, &error))?;
        // It has the message: how the farewell ends changes nothing.
        let _ = connection.quit().await;
        Ok((self.taken(&answer, &taken), Self::partly(&refused)))
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, NotTold> {
        let at_once = self.tls.clone().filter(|_| self.protection == Protection::Tls);
        let server = (self.host.as_str(), self.port);
        let connected = AsyncSmtpConnection::connect_tokio1(server, Some(CONNECT), &self.hello, at_once, None).await;
        let mut connection = connected.map_err(|error| self.failed(Step::Connection, &error))?;
        let starting = self.tls.clone().filter(|_| self.protection == Protection::StartTls);
        let Some(tls) = starting else { return Ok(connection) };
        if !connection.can_starttls() {
            connection.abort().await;
            return Err(NotTold::for_a_person(
                "smtp_no_starttls",
                format!(
                    "The mail server {} does not offer STARTTLS, so that mails and the password would travel unencrypted. Ask whoever runs this \
                     server to enable TLS on the mail server, or to use its port for TLS with smtps:// in TOKTRA_SIEM_SMTP_URL.",
                    self.server()
                ),
            ));
        }
        connection.starttls(tls, &self.hello).await.map_err(|error| self.failed(Step::Connection, &error))?;
        Ok(connection)
    }

    fn taken(&self, answer: &Response, to: &[&Address]) -> Delivered {
        let others = match to.len() {
            0 | 1 => String::new(),
            many => format!(" and {} more", many - 1),
        };
        let first = to.first().map(ToString::to_string).unwrap_or_default();
        Delivered {
            message: format!(
                "The mail server {} took the message for {first}{others} ({}).",
                self.server(),
                answer.code()
            ),
        }
    }

    fn partly(refused: &[(&Address, NotTold)]) -> Option<NotTold> {
        let (_, first) = refused.first()?;
        let names: Vec<String> = refused.iter().map(|(address, _)| address.to_string()).collect();
        let Cause { code, message } = first.cause.clone();
        let message = format!("The message arrived, but not at {}. {message}", names.join(", "));
        let needs_a_person = refused.iter().any(|(_, not_told)| not_told.needs_a_person);
        Some(NotTold { cause: Cause { code, message }, needs_a_person, pause: None })
    }

    /// What went wrong in this step: what happened, the likeliest cause, the next step.
    fn failed(&self, step: Step<'_>, error: &Error) -> NotTold {
        let server = self.server();
        let said = self.said(error, &step);
        let Some(code) = error.status() else { return self.without_answer(error, step) };
        let lasting = code.severity == Severity::PermanentNegativeCompletion;
        let what = match step {
            Step::Login if lasting => format!(
                "The mail server {server} refused the login ({code}): {said} The user name or password is probably wrong. Ask whoever runs this \
                 server to correct TOKTRA_SIEM_SMTP_URL."
            ),
            Step::Sender if lasting => format!(
                "The mail server {server} refused the sender {} ({code}): {said} The login probably may not send as this address, or there is no \
                 login. Ask whoever runs this server to correct TOKTRA_SIEM_SMTP_FROM or TOKTRA_SIEM_SMTP_URL.",
                self.from.email
            ),
            Step::Recipient(address) if lasting => format!(
                "The mail server {server} refused the address {address} ({code}): {said} It probably does not exist, or the server does not \
                 forward mail to it. Check the address."
            ),
            Step::Recipient(address) => format!(
                "The mail server {server} does not take mail for {address} now ({code}): {said} The mailbox is probably full, or its server busy. \
                 If it keeps happening, check the address."
            ),
            Step::Message if lasting => format!(
                "The mail server {server} refused the message ({code}): {said} A filter for unwanted mail is the likeliest reason. Ask whoever \
                 runs the mail server to let messages of {} pass.",
                self.from.email
            ),
            Step::Connection | Step::Login | Step::Sender | Step::Message => format!(
                "The mail server {server} does not take the message now ({code}): {said} It is probably overloaded or limits how much it takes. \
                 The message is sent again by itself."
            ),
        };
        NotTold { cause: Cause::coded(&format!("smtp_{code}"), what), needs_a_person: lasting, pause: None }
    }

    /// What the server said, quoted. It may repeat the password.
    fn said(&self, error: &Error, step: &Step<'_>) -> String {
        // A server that repeats the command of a login repeats the password, in whatever form it was sent.
        if matches!(step, Step::Login) {
            return "what it says of a login is not repeated here.".to_owned();
        }
        let redactor = Redactor::new(self.login.iter().map(|(_, password)| password.expose_secret().to_owned()));
        let text = redactor.quote(&error.source().map(ToString::to_string).unwrap_or_default());
        if text.is_empty() { "it gave no reason.".to_owned() } else { format!("“{text}”.") }
    }

    fn without_answer(&self, error: &Error, step: Step<'_>) -> NotTold {
        let server = self.server();
        if let Some(tls) = source::<rustls::Error>(error).map(ToString::to_string) {
            return NotTold::for_a_person(
                "smtp_tls",
                format!(
                    "The TLS connection to the mail server {server} could not be set up: {}. Its certificate is probably not trusted or for another \
                     host. Ask whoever runs this server to correct the host in TOKTRA_SIEM_SMTP_URL, or to trust the certificate's authority.",
                    sanitise(&tls, QUOTE_BYTES)
                ),
            );
        }
        if matches!(step, Step::Login) && error.is_client() {
            return NotTold::for_a_person(
                "smtp_login",
                format!(
                    "The mail server {server} does not offer a login with user name and password on this connection (PLAIN or LOGIN). Ask whoever \
                     runs this server to correct TOKTRA_SIEM_SMTP_URL."
                ),
            );
        }
        let io = source::<io::Error>(error).map(io::Error::kind);
        let (code, why) = match io {
            Some(io::ErrorKind::ConnectionRefused) => (
                "smtp_refused",
                "refused the connection: nothing listens on this port. It is probably down, or the port is not the right one.",
            ),
            Some(io::ErrorKind::TimedOut) => (
                "smtp_timeout",
                "did not answer the connection in time. A firewall that drops packets is the likeliest reason, or the host is down.",
            ),
            Some(io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe) => (
                "smtp_reset",
                "closed the connection. The port probably expects TLS where none is spoken, or the other way round.",
            ),
            Some(_) => ("smtp_unreachable", "cannot be reached: its name is not known, or there is no way to it."),
            None => (
                "smtp_answer",
                "gave an answer that is not SMTP, or none. The port probably belongs to another service, or expects TLS.",
            ),
        };
        NotTold::later(
            code,
            format!(
                "The mail server {server} {why} Ask whoever runs this server to check TOKTRA_SIEM_SMTP_URL and the mail server."
            ),
        )
    }
}

/// How far a dialogue came.
#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    Connection,
    Login,
    Sender,
    Recipient(&'a Address),
    Message,
}

/// The first error of this type below `error`; those of TLS are inside of those of I/O.
fn source<E: std::error::Error + 'static>(error: &Error) -> Option<&E> {
    let mut next = error.source();
    while let Some(error) = next {
        let within = error.downcast_ref::<io::Error>().and_then(|io| io.get_ref());
        let found = error.downcast_ref::<E>().or_else(|| within.and_then(|inner| inner.downcast_ref::<E>()));
        if found.is_some() {
            return found;
        }
        next = error.source();
    }
    None
}

/// The public authorities, those of the machine, and `own`: as for receivers of events.
fn trust(host: &str, own: &[CertificateDer<'static>]) -> Result<TlsParameters, String> {
    let machine = rustls_native_certs::load_native_certs().certs;
    // A machine's store often holds some that cannot be used.
    let mut usable = machine.iter().filter(|authority| is_usable(authority)).chain(own);
    let parameters = TlsParameters::builder(host.to_owned()).certificate_store(CertificateStore::WebpkiRoots);
    usable
        .try_fold(parameters, |parameters, authority| {
            Ok(parameters.add_root_certificate(Certificate::from_der(authority.to_vec())?))
        })
        .and_then(TlsParametersBuilder::build_rustls)
        .map_err(|error: Error| format!("TLS to the mail server cannot be set up ({error})"))
}

/// Whether it can be read as that of an authority.
fn is_usable(authority: &CertificateDer<'static>) -> bool {
    RootCertStore::empty().add(authority.clone()).is_ok()
}

fn protection(url: &Url, host: &str) -> Result<Protection, String> {
    let asked: Vec<_> = url.query_pairs().collect();
    if let Some((name, _)) = asked.iter().find(|(name, _)| name != "tls") {
        return Err(format!("`{}` is not a setting in the URL of the mail server; only `tls` is", sanitise(name, 40)));
    }
    let tls = asked.first().map(|(_, value)| value.as_ref());
    let local =
        host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    match (url.scheme(), tls) {
        ("smtps", None | Some("required")) => Ok(Protection::Tls),
        ("smtp", None) if local => Ok(Protection::Plain),
        ("smtp", None | Some("required")) => Ok(Protection::StartTls),
        ("smtp", Some("none")) => Ok(Protection::Plain),
        ("smtp" | "smtps", Some(_)) => {
            Err("`tls` in the URL of the mail server must be `required`, or `none` with smtp://".to_owned())
        }
        _ => Err(format!("the URL of the mail server must begin with smtps:// or smtp://, as in {FORMS}")),
    }
}

fn login(url: &Url) -> Result<Option<(String, SecretString)>, String> {
    let decoded = |text: &str| {
        let bytes: Vec<u8> = percent(text);
        String::from_utf8(bytes)
            .map_err(|_| "user and password in the URL of the mail server must be percent-encoded UTF-8".to_owned())
    };
    match (url.username(), url.password()) {
        ("", None) => Ok(None),
        ("", Some(_)) => Err("the URL of the mail server has a password and no user".to_owned()),
        (_, None) => Err("the URL of the mail server has a user and no password".to_owned()),
        (user, Some(password)) => Ok(Some((decoded(user)?, decoded(password)?.into()))),
    }
}

/// Percent-decoding; what is no code stays as it is.
fn percent(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let code =
            text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%').and_then(|code| u8::from_str_radix(code, 16).ok());
        out.push(code.unwrap_or(bytes[at]));
        at += if code.is_some() { 3 } else { 1 };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(url: &str) -> Result<Mail, String> {
        Mail::of(&url.into(), "siem@company.com")
    }

    #[test]
    fn a_server_is_read_from_its_url() {
        for (url, server, protection) in [
            ("smtps://u:p@mail.company.com", "mail.company.com:465", Protection::Tls),
            ("smtps://u:p@mail.company.com:2465?tls=required", "mail.company.com:2465", Protection::Tls),
            ("smtp://mail.company.com", "mail.company.com:587", Protection::StartTls),
            ("smtp://mail.company.com?tls=required", "mail.company.com:587", Protection::StartTls),
            ("smtp://mail.company.com:25?tls=none", "mail.company.com:25", Protection::Plain),
            ("smtp://localhost", "localhost:25", Protection::Plain),
            ("smtp://127.0.0.1:1025", "127.0.0.1:1025", Protection::Plain),
            ("smtp://[::1]:1025", "[::1]:1025", Protection::Plain),
            ("smtp://localhost?tls=required", "localhost:587", Protection::StartTls),
        ] {
            let mail = of(url).unwrap();
            assert_eq!((mail.server().as_str(), mail.protection), (server, protection), "{url}");
        }
        let mail = of("smtps://jo%40company.com:p%2Fw%25%C3%A9%@mail.company.com/siem.company.com").unwrap();
        let (user, password) = mail.login.unwrap();
        assert_eq!((user.as_str(), password.expose_secret()), ("jo@company.com", "p/w%é%"));
        assert_eq!(mail.hello, ClientId::Domain("siem.company.com".to_owned()));
        assert_eq!(of("smtp://localhost").unwrap().hello, ClientId::Domain("company.com".to_owned()));
    }

    #[test]
    fn what_is_wrong_with_a_url_is_said_without_repeating_it() {
        for (url, part) in [
            ("hunter2", "cannot be read"),
            ("https://u:hunter2@mail.company.com", "smtps:// or smtp://"),
            ("smtps://u:hunter2@", "cannot be read"),
            ("smtps:hunter2", "names no host"),
            ("smtp://hunter2@mail.company.com", "a user and no password"),
            ("smtp://:hunter2@mail.company.com", "a password and no user"),
            ("smtp://u:hunter2%ff@mail.company.com", "percent-encoded UTF-8"),
            ("smtp://u:hunter2@mail.company.com?tls=opportunistic", "`required`"),
            ("smtps://u:hunter2@mail.company.com?tls=none", "`required`"),
            ("smtp://u:hunter2@mail.company.com?starttls=1", "only `tls` is"),
        ] {
            let error = of(url).unwrap_err();
            assert!(error.contains(part) && !error.contains("hunter2"), "{url}: {error}");
        }
        assert!(Mail::of(&"smtp://localhost".into(), "nobody").unwrap_err().contains("the sender"));
        let ca = of("smtp://localhost").unwrap().trusting("nothing").unwrap_err();
        assert!(ca.contains("certificates of authorities"), "{ca}");
    }
}
