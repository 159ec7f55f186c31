//! Mail, against `aiosmtpd`; what arrives is read by Python's own `email` package.

use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use toktra_siem_core::notice::ChannelKind;
use toktra_siem_notify::{Mail, Settings, Told};
use toktra_siem_testkit::real;

use crate::{CHANNEL, HOSTILE, NOW, courier, crowd, down, place, recovered, settings};

const FROM: &str = "Toktra SIEM <siem@company.com>";
const PASSWORD: &str = "p@ss:w/rd é";
/// The same, percent-encoded.
const ENCODED: &str = "p%40ss%3Aw%2Frd%20%C3%A9";

/// A running mail server.
struct Server {
    _child: Child,
    _input: ChildStdin,
    mails: UnboundedReceiver<Value>,
    port: u64,
    /// Its authority in PEM.
    ca: String,
    _files: TempDir,
}

impl Server {
    /// A server of this mode; `None` if there is no Python at hand.
    async fn start(mode: &str, login: bool, refuse: Value) -> Option<Self> {
        let python = real::PYTHON.path()?;
        let files = tempfile::tempdir().unwrap();
        let (ca, cert, key) = certificate();
        for (name, text) in [("cert.pem", &cert), ("key.pem", &key)] {
            std::fs::write(files.path().join(name), text).unwrap();
        }
        let settings = json!({
            "mode": mode,
            "cert": files.path().join("cert.pem"),
            "key": files.path().join("key.pem"),
            "login": if login { json!(["siem", PASSWORD]) } else { Value::Null },
            "refuse": refuse,
        });
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/channels/mailbox.py");
        let mut command = Command::new(python);
        command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(format!("{settings}\n").as_bytes()).await.unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let started = lines.next_line().await.unwrap().expect("the server says its port");
        let port = serde_json::from_str::<Value>(&started).unwrap()["port"].as_u64().unwrap();
        // The server waits while nobody reads what it writes.
        let (sender, mails) = unbounded_channel();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let _ = sender.send(serde_json::from_str(&line).unwrap());
            }
        });
        Some(Self { _child: child, _input: input, mails, port, ca, _files: files })
    }

    fn url(&self, scheme: &str, login: &str, query: &str) -> String {
        format!("{scheme}://{login}127.0.0.1:{}{query}", self.port)
    }

    fn mail(&self, scheme: &str, login: &str, query: &str) -> Mail {
        Mail::of(&self.url(scheme, login, query).into(), FROM).unwrap().trusting(&self.ca).unwrap()
    }

    async fn next(&mut self) -> Value {
        self.mails.recv().await.expect("a mail")
    }
}

/// An authority, a certificate of it for 127.0.0.1, and its key.
fn certificate() -> (String, String, String) {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    let mut authority = CertificateParams::new(Vec::<String>::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    (authority.pem(), leaf.pem(), key.serialize_pem())
}

fn to(addresses: &[&str]) -> Settings {
    settings(ChannelKind::Email, &json!({ "to": addresses }))
}

fn header<'m>(mail: &'m Value, name: &str) -> Vec<&'m str> {
    let headers = mail["headers"].as_array().unwrap();
    headers.iter().filter(|header| header[0] == name).map(|header| header[1].as_str().unwrap()).collect()
}

fn login() -> String {
    format!("siem:{ENCODED}@")
}

#[tokio::test]
async fn a_mail_is_whole_in_every_way_to_bring_it() {
    for (mode, scheme, query) in [("tls", "smtps", ""), ("starttls", "smtp", "?tls=required"), ("plain", "smtp", "")] {
        let Some(mut server) = Server::start(mode, true, json!({})).await else { return };
        let mail = server.mail(scheme, &login(), query);
        let told = courier(Some(mail.clone()))
            .tell(
                CHANNEL,
                ChannelKind::Email,
                &to(&["soc@company.com", "jo@company.com"]),
                &place(),
                &[down("Splunk prod", 1)],
                NOW,
            )
            .await;
        assert_eq!(told, Told { number: 1, failure: None }, "{mode}");
        let got = server.next().await;
        assert_eq!((&got["tls"], &got["user"]), (&json!(mode != "plain"), &json!("siem")));
        assert_eq!(
            (&got["from"], &got["to"]),
            (&json!("siem@company.com"), &json!(["soc@company.com", "jo@company.com"]))
        );
        assert_eq!(got["defects"], json!([]));
        assert_eq!(header(&got, "Auto-Submitted"), ["auto-generated"]);
        assert_eq!(header(&got, "Date"), ["Sun, 29 Nov 2026 02:51:00 +0000"]);
        if mode == "tls" {
            insta::assert_json_snapshot!(got);
        }
        let test = courier(Some(mail))
            .test(CHANNEL, "SOC", ChannelKind::Email, &to(&["soc@company.com"]), &place(), NOW)
            .await
            .unwrap();
        let server_name = format!("127.0.0.1:{}", server.port);
        assert_eq!(test.message, format!("The mail server {server_name} took the message for soc@company.com (250)."));
        assert!(server.next().await["text"].as_str().unwrap().contains("Nothing is wrong."));
    }
}

#[tokio::test]
async fn mails_of_one_thing_are_one_thread_and_the_same_mail_has_the_same_id() {
    let Some(mut server) = Server::start("plain", false, json!({})).await else { return };
    let courier = courier(Some(server.mail("smtp", "", "")));
    let mut seen = Vec::new();
    for notices in [vec![down("A", 1)], vec![down("A", 1)], vec![recovered(1)], vec![down("A", 1), down("B", 2)]] {
        let told = courier.tell(CHANNEL, ChannelKind::Email, &to(&["soc@company.com"]), &place(), &notices, NOW).await;
        assert_eq!(told.failure, None);
        let mail = server.next().await;
        let one = |name| header(&mail, name).first().map(|value| (*value).to_owned());
        assert_eq!(one("In-Reply-To"), one("References"));
        seen.push((one("Message-ID").unwrap(), one("References")));
    }
    assert_eq!(seen[0], seen[1], "sent again");
    assert!(seen[0].0 != seen[2].0 && seen[0].1 == seen[2].1 && seen[0].1.is_some(), "one thread: {seen:?}");
    assert_eq!(seen[3].1, None, "two things");
}

#[tokio::test]
async fn no_name_ends_a_header_or_the_mail() {
    let Some(mut server) = Server::start("plain", false, json!({})).await else { return };
    let courier = courier(Some(server.mail("smtp", "", "")));
    let mut place = place();
    place.org = HOSTILE.to_owned();
    for notices in [vec![down(HOSTILE, 1)], vec![down("Zürich 🔒", 2)], crowd()] {
        let told = courier.tell(CHANNEL, ChannelKind::Email, &to(&["soc@company.com"]), &place, &notices, NOW).await;
        assert_eq!(told, Told { number: notices.len(), failure: None });
        let mail = server.next().await;
        assert_eq!((&mail["defects"], &mail["to"]), (&json!([]), &json!(["soc@company.com"])));
        assert!(header(&mail, "Bcc").is_empty() && header(&mail, "Subject")[0].starts_with("[Toktra SIEM] "));
        assert_eq!((&mail["ascii"], mail["longest"].as_u64().unwrap() <= 998), (&json!(true), true));
    }
    // A service tells in tasks of its own.
    let told = tokio::spawn({
        let (courier, place) = (courier.clone(), place.clone());
        async move {
            courier
                .tell(CHANNEL, ChannelKind::Email, &to(&["soc@company.com"]), &place, &[down("Zürich 🔒", 2)], NOW)
                .await
        }
    });
    assert_eq!(told.await.unwrap().failure, None);
    server.next().await;
    let told = courier
        .tell(CHANNEL, ChannelKind::Email, &to(&["soc@company.com"]), &place, &[down("Zürich 🔒", 2)], NOW)
        .await;
    assert_eq!(told.failure, None);
    let mail = server.next().await;
    assert_eq!(header(&mail, "Subject"), ["[Toktra SIEM] Zürich 🔒 does not answer"]);
    assert!(mail["text"].as_str().unwrap().starts_with("Zürich 🔒 does not answer"));
}

/// One address that has gone must not keep the others from being told.
#[tokio::test]
async fn an_address_that_is_refused_does_not_keep_the_others_from_being_told() {
    let refuse = json!({ "gone@company.com": "550 5.1.1 No such user" });
    let Some(mut server) = Server::start("plain", false, refuse).await else { return };
    let courier = courier(Some(server.mail("smtp", "", "")));
    let both = to(&["gone@company.com", "soc@company.com"]);
    let notices = [down("A", 1), down("B", 2)];
    let told = courier.tell(CHANNEL, ChannelKind::Email, &both, &place(), &notices, NOW).await;
    assert_eq!(told.number, 2);
    let failure = told.failure.unwrap();
    assert_eq!((failure.cause.code.as_ref(), failure.needs_a_person), ("smtp_550", true));
    assert!(failure.cause.message.starts_with("The message arrived, but not at gone@company.com."), "{failure:?}");
    assert_eq!(server.next().await["to"], json!(["soc@company.com"]));
    assert!(courier.test(CHANNEL, "SOC", ChannelKind::Email, &both, &place(), NOW).await.is_err());
}

#[tokio::test]
async fn what_a_mail_server_refuses_is_told_in_words() {
    let refusals = [
        (json!({ "MAIL": "451 4.7.1 Greylisted" }), "smtp_451", false, "does not take the message now"),
        (json!({ "MAIL": "553 5.7.1 Sender not allowed" }), "smtp_553", true, "TOKTRA_SIEM_SMTP_FROM"),
        (json!({ "soc@company.com": "452 4.2.2 Mailbox full" }), "smtp_452", false, "soc@company.com now (452)"),
        (
            json!({ "soc@company.com": "550 5.1.1 No such user" }),
            "smtp_550",
            true,
            "soc@company.com (550): “5.1.1 No such user”",
        ),
        (json!({ "DATA": "421 4.3.2 Shutting down" }), "smtp_421", false, "sent again by itself"),
        (json!({ "DATA": "554 5.7.1 Looks like spam" }), "smtp_554", true, "A filter for unwanted mail"),
    ];
    for (refuse, code, person, part) in refusals {
        let Some(server) = Server::start("plain", false, refuse).await else { return };
        let courier = courier(Some(server.mail("smtp", "", "")));
        let told =
            courier.tell(CHANNEL, ChannelKind::Email, &to(&["soc@company.com"]), &place(), &[down("A", 1)], NOW).await;
        let failure = told.failure.unwrap();
        assert_eq!(
            (told.number, failure.cause.code.as_ref(), failure.needs_a_person),
            (0, code, person),
            "{failure:?}"
        );
        assert!(failure.cause.message.contains(part) && failure.cause.message.contains("127.0.0.1:"), "{failure:?}");
    }
}

#[tokio::test]
async fn what_is_wrong_on_the_way_is_told_without_the_password() {
    let Some(server) = Server::start("starttls", true, json!({})).await else { return };
    let Some(plain) = Server::start("plain", false, json!({})).await else { return };
    let untrusted =
        |server: &Server, scheme, login: &str, query| Mail::of(&server.url(scheme, login, query).into(), FROM).unwrap();
    let nowhere = Mail::of(&"smtp://siem:hunter2@127.0.0.1:1".into(), FROM).unwrap();
    for (mail, code, person, part) in [
        (server.mail("smtp", "siem:hunter2@", "?tls=required"), "smtp_535", true, "refused the login (535)"),
        (untrusted(&server, "smtp", &login(), "?tls=required"), "smtp_tls", true, "TLS connection"),
        (plain.mail("smtp", &login(), "?tls=required"), "smtp_no_starttls", true, "does not offer STARTTLS"),
        (plain.mail("smtp", &login(), ""), "smtp_login", true, "does not offer a login"),
        (untrusted(&plain, "smtps", "", ""), "smtp_tls", true, "TLS connection"),
        (nowhere, "smtp_refused", false, "refused the connection"),
    ] {
        let shown = format!("{mail:?}");
        assert!(!shown.contains("hunter2") && !shown.contains(PASSWORD), "{shown}");
        let failed = courier(Some(mail))
            .test(CHANNEL, "SOC", ChannelKind::Email, &to(&["soc@company.com"]), &place(), NOW)
            .await
            .unwrap_err();
        assert_eq!((failed.cause.code.as_ref(), failed.needs_a_person), (code, person), "{failed:?}");
        assert!(failed.cause.message.contains(part) && failed.cause.message.contains("127.0.0.1:"), "{failed:?}");
        assert!(!failed.cause.message.contains("hunter2") && !failed.cause.message.contains(PASSWORD), "{failed:?}");
    }
    let failed = courier(None)
        .test(CHANNEL, "SOC", ChannelKind::Email, &to(&["soc@company.com"]), &place(), NOW)
        .await
        .unwrap_err();
    assert_eq!((failed.cause.code.as_ref(), failed.needs_a_person), ("smtp_not_configured", true));
    assert!(failed.cause.message.contains("TOKTRA_SIEM_SMTP_URL and TOKTRA_SIEM_SMTP_FROM"));
}

/// A server that repeats what it does not take, as some do: the command of a login holds the password.
async fn parrot() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (lines, mut out) = stream.into_split();
        let mut lines = BufReader::new(lines).lines();
        out.write_all(b"220 parrot\r\n").await.unwrap();
        while let Ok(Some(line)) = lines.next_line().await {
            let reply = if line.starts_with("EHLO") {
                "250-parrot\r\n250 AUTH PLAIN LOGIN\r\n".to_owned()
            } else {
                format!("535 5.7.8 bad command: {line}\r\n")
            };
            out.write_all(reply.as_bytes()).await.unwrap();
        }
    });
    address.to_string()
}

#[tokio::test]
async fn a_server_that_repeats_the_login_gives_away_nothing() {
    let url = format!("smtp://siem:hunter2%40pass@{}?tls=none", parrot().await);
    let mail = Mail::of(&url.into(), FROM).unwrap();
    let to = to(&["soc@company.com"]);
    let failed = courier(Some(mail)).test(CHANNEL, "SOC", ChannelKind::Email, &to, &place(), NOW).await.unwrap_err();
    let said = failed.cause.message;
    assert_eq!(failed.cause.code, "smtp_535");
    assert!(!said.contains("AUTH") && !said.contains("bad command") && !said.contains("hunter2"), "{said}");
}
