//! A server, nginx in front of it, a relay in between that counts connections, and curl.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use toktra_siem_identity::guesses::PER_PAIR;
use toktra_siem_testkit::prelude::*;
use toktra_siem_testkit::real;

/// Longer than anything here may take.
const PATIENCE: Duration = Duration::from_mins(2);
/// The address that may read what needs no credentials.
pub(crate) const INSIDE: &str = "127.0.3.1";
/// Wrong passwords until nobody listens any more.
pub(crate) const GUESSES: usize = PER_PAIR as usize;

/// What curl speaks with nginx.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    One,
    Two,
}

/// Both.
pub(crate) const VERSIONS: [Version; 2] = [Version::One, Version::Two];

impl Version {
    /// curl's option, and its word for what came of it.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::One => ("--http1.1", "1.1"),
            Self::Two => ("--http2", "2"),
        }
    }
}

/// The whole of it.
pub(crate) struct Front {
    pub(crate) world: World,
    pub(crate) relay: Relay,
    nginx: Nginx,
    curl: PathBuf,
    origin: String,
    files: TempDir,
    numbered: AtomicUsize,
}

impl Front {
    /// `None` after saying what is skipped.
    pub(crate) async fn up() -> Option<Self> {
        Self::up_with(false).await
    }

    /// As [`Self::up`]; nginx may hold answers back as far as the server lets it.
    pub(crate) async fn up_with(buffers: bool) -> Option<Self> {
        let (program, curl) = (Nginx::program()?, real::CURL.path()?);
        let address = free_address();
        let (setup, origin) = behind_nginx(with_admin(setup()), &address);
        let world = World::with(setup).await;
        let relay = Relay::to(world.base().trim_start_matches("http://").to_owned()).await;
        let nginx =
            Nginx::start(&program, Place { front: &address, server: &relay.address, inside: INSIDE, buffers }).await;
        let files = tempfile::tempdir().unwrap();
        Some(Self { world, relay, nginx, curl, origin, files, numbered: AtomicUsize::new(0) })
    }

    /// A client without cookies.
    pub(crate) fn curl(&self, version: Version) -> Curl<'_> {
        let jar = self.file("cookies");
        Curl { front: self, version, jar, more: Vec::new() }
    }

    /// A path that nobody else has.
    fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(format!("{name}-{}", self.numbered.fetch_add(1, Ordering::Relaxed)))
    }

    /// The end of a test: nginx had nothing to complain of, and the accounts add up.
    pub(crate) async fn end(self) {
        let log = self.nginx.log();
        let complaints: Vec<&str> = log
            .lines()
            .filter(|line| ["[emerg]", "[alert]", "[crit]"].iter().any(|word| line.contains(word)))
            .collect();
        assert!(complaints.is_empty(), "{complaints:?}");
        drop(self.nginx);
        self.world.end().await;
    }
}

/// Passes bytes on to the server, and can end all of its connections.
pub(crate) struct Relay {
    address: String,
    opened: Arc<AtomicUsize>,
    cut: Arc<Notify>,
    _serving: AbortOnDropHandle<()>,
}

impl Relay {
    async fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (opened, cut) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let (counted, ended) = (Arc::clone(&opened), Arc::clone(&cut));
        let serving = tokio::spawn(async move {
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
                let (server, ended) = (server.clone(), Arc::clone(&ended));
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(server).await.unwrap();
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        () = ended.notified() => {}
                    }
                });
            }
        });
        Self { address, opened, cut, _serving: AbortOnDropHandle::new(serving) }
    }

    /// How many connections nginx has opened so far.
    pub(crate) fn opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }

    /// Ends them all, as a server does that has waited long enough.
    pub(crate) fn cut(&self) {
        self.cut.notify_waiters();
    }
}

/// A client with a jar for cookies.
pub(crate) struct Curl<'a> {
    front: &'a Front,
    version: Version,
    jar: PathBuf,
    more: Vec<String>,
}

impl Curl<'_> {
    /// The same, which shows the bootstrap key.
    pub(crate) fn with_key(mut self) -> Self {
        self.more.extend(["--header".to_owned(), format!("authorization: Bearer {API_KEY}")]);
        self
    }

    /// The same, at another address of this machine.
    pub(crate) fn from(mut self, address: &str) -> Self {
        self.more.extend(["--interface".to_owned(), address.to_owned()]);
        self
    }

    fn command(&self, path: &str, more: &[&str]) -> Command {
        let mut command = Command::new(&self.front.curl);
        command.args(["--disable", "--silent", "--show-error", "--ipv4", "--noproxy", "*", self.version.words().0]);
        command.arg("--cacert").arg(self.front.nginx.certificate());
        command.arg("--cookie").arg(&self.jar).arg("--cookie-jar").arg(&self.jar);
        command.args(&self.more).args(more).arg(format!("{}{path}", self.front.origin));
        command
    }

    /// A request without a body, unless `more` says otherwise.
    pub(crate) async fn ask(&self, path: &str, more: &[&str]) -> Seen {
        self.exchange(path, more, "").await
    }

    /// A request with this body of JSON.
    pub(crate) async fn send(&self, path: &str, body: &str, more: &[&str]) -> Seen {
        self.exchange(path, &[&JSON, more].concat(), body).await
    }

    /// The same request again and again over one connection: the status of each answer.
    pub(crate) async fn send_often(&self, path: &str, body: &str, times: usize) -> Vec<u16> {
        let more =
            [&JSON[..2], &["--data-raw", body, "--output", "/dev/null", "--write-out", "%{http_code}\\n"]].concat();
        let said = said(self.command(&format!("{path}#[1-{times}]"), &more), b"").await.done();
        said.stdout.lines().map(|status| status.parse().unwrap()).collect()
    }

    async fn exchange(&self, path: &str, more: &[&str], body: &str) -> Seen {
        let (head, answer) = (self.front.file("head"), self.front.file("body"));
        let mut command = self.command(path, more);
        command.arg("--dump-header").arg(&head).arg("--output").arg(&answer);
        command.args(["--write-out", "%{http_code} %{http_version}"]);
        let said = said(command, body.as_bytes()).await.done();
        let (status, version) = said.stdout.split_once(' ').unwrap();
        assert_eq!(version, self.version.words().1, "{path}");
        // The last one: before it may come that the body is wanted.
        let heads = std::fs::read_to_string(head).unwrap();
        let head = heads.trim_end().rsplit("\r\n\r\n").next().unwrap().to_owned();
        let body = std::fs::read(answer).unwrap_or_default();
        // Of an answer to `HEAD` curl takes the head for the body.
        let body = body.strip_prefix(heads.as_bytes()).map_or(body.clone(), <[u8]>::to_vec);
        Seen { status: status.parse().unwrap(), head, body }
    }

    /// The value of a cookie.
    pub(crate) fn cookie(&self, name: &str) -> Option<String> {
        let jar = std::fs::read_to_string(&self.jar).unwrap_or_default();
        let mut fields = jar.lines().map(|line| line.split('\t').collect::<Vec<_>>());
        fields.find(|fields| fields.get(5) == Some(&name)).map(|fields| fields[6].to_owned())
    }

    /// Sends a form of the page.
    pub(crate) async fn form(&self, path: &str, fields: &[(&str, &str)], more: &[&str]) -> Seen {
        self.form_from(&self.front.origin, path, fields, more).await
    }

    /// Sends what looks like a form of the page, from this site.
    pub(crate) async fn form_from(&self, origin: &str, path: &str, fields: &[(&str, &str)], more: &[&str]) -> Seen {
        let form = self.filled_in(origin, fields);
        let form: Vec<&str> = form.iter().map(String::as_str).chain(more.iter().copied()).collect();
        self.ask(path, &form).await
    }

    fn filled_in(&self, origin: &str, fields: &[(&str, &str)]) -> Vec<String> {
        let csrf = self.cookie("__Host-toktra-csrf").expect("a page was loaded before the form");
        let mut options = vec!["--header".to_owned(), format!("origin: {origin}")];
        for (name, value) in fields.iter().copied().chain([("csrf", &*csrf)]) {
            options.extend(["--data-urlencode".to_owned(), format!("{name}={value}")]);
        }
        options
    }

    /// Logs the admin in.
    pub(crate) async fn log_in(&self) {
        assert_eq!(self.ask("/login", &[]).await.status, 200);
        let fields = [("email", ADMIN), ("password", PASSWORD)];
        let answer = self.form("/login", &fields, &[]).await;
        assert_eq!((answer.status, answer.header("location")), (303, Some("/integrations/siem")), "{}", answer.text());
        assert!(self.cookie("__Host-toktra-session").is_some());
    }

    /// Begins a request whose answer is read while it comes.
    pub(crate) async fn follow(&self, path: &str, more: &[&str]) -> Flow {
        let mut command = self.command(path, more);
        command.args(["--no-buffer", "--include"]).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut curl = command.spawn().unwrap();
        let lines = BufReader::new(curl.stdout.take().unwrap()).lines();
        let mut flow = Flow { curl, lines };
        let status = format!("HTTP/{} 200", self.version.words().1);
        let begun = flow.line().await;
        assert!(begun.as_ref().is_some_and(|line| line.starts_with(&status)), "{begun:?}");
        flow
    }

    /// As [`Self::follow`], for a form that htmx sends.
    pub(crate) async fn follow_form(&self, path: &str, fields: &[(&str, &str)], more: &[&str]) -> Flow {
        let form = self.filled_in(&self.front.origin, fields);
        let htmx = ["--header", "hx-request: true"];
        let form: Vec<&str> = form.iter().map(String::as_str).chain(htmx).chain(more.iter().copied()).collect();
        self.follow(path, &form).await
    }
}

/// The options of a body of JSON, which comes by standard input.
const JSON: [&str; 4] = ["--header", "content-type: application/json", "--data-binary", "@-"];

/// An answer.
pub(crate) struct Seen {
    pub(crate) status: u16,
    /// Its head.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text()))
    }
}

/// An answer while it comes.
pub(crate) struct Flow {
    curl: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Flow {
    /// The next line; `None` at the end.
    pub(crate) async fn line(&mut self) -> Option<String> {
        timeout(PATIENCE, self.lines.next_line()).await.expect("something comes").unwrap()
    }

    /// The next line that holds this.
    pub(crate) async fn until(&mut self, text: &str) -> String {
        loop {
            let line = self.line().await.unwrap_or_else(|| panic!("the answer ended before `{text}` came"));
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Whether more may come.
    pub(crate) fn is_open(&mut self) -> bool {
        self.curl.try_wait().unwrap().is_none()
    }

    /// It ends in order.
    pub(crate) async fn ends(mut self) {
        while self.line().await.is_some() {}
        assert!(self.curl.wait().await.unwrap().success());
    }
}
