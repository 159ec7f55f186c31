//! The built binary as a child process.

use std::ffi::OsString;
use std::fs;
use std::net::TcpListener;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};

use super::{Account, Connector, Org, World};
use crate::json::Json;
use crate::real::environment;
use crate::server::{ServerProcess, ServerSetup};

/// The program that the tests of the e2e crate try.
const PROGRAM: &str = "toktra-siem-under-test";

/// Where the program is: cargo puts it beside the directory of the tests.
pub fn program() -> String {
    let beside_the_tests = || std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join(PROGRAM);
    environment(&format!("CARGO_BIN_EXE_{PROGRAM}")).unwrap_or_else(|| beside_the_tests().display().to_string())
}

/// The repository's root.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// A loopback address that nobody else is given: its port is below the range from which the system draws.
pub fn free_address() -> String {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = 12_000 + u16::try_from(std::process::id() % 8_000).unwrap();
    loop {
        let address = format!("127.0.0.1:{}", start + NEXT.fetch_add(1, Ordering::Relaxed) % 10_000);
        if TcpListener::bind(&address).is_ok() {
            return address;
        }
    }
}

/// A setup for the program under test.
pub fn setup() -> ServerSetup {
    ServerSetup::new(program())
}

/// A child process, and what outlives it. It is the default org of the server, seen with the bootstrap key.
#[derive(Debug)]
pub struct Process {
    setup: ServerSetup,
    running: Option<ServerProcess>,
    /// What the run before said.
    said: String,
    org: Org,
}

impl Deref for Process {
    type Target = Org;

    fn deref(&self) -> &Org {
        &self.org
    }
}

impl World {
    /// A server that has nothing but its default org.
    pub async fn start() -> Self {
        Self::with(setup()).await
    }

    /// The server of this setup.
    pub async fn with(setup: ServerSetup) -> Self {
        let mut world = Self::asleep(setup);
        world.again().await;
        world
    }

    /// The server of this setup, which was not started yet.
    pub fn asleep(setup: ServerSetup) -> Self {
        let org = Org { id: String::new(), client: setup.client() };
        Self { server: Process { setup, running: None, said: String::new(), org }, browser: None }
    }

    /// What outlives a process.
    pub fn setup(&self) -> &ServerSetup {
        &self.server.setup
    }

    /// Takes over a process of this setup that somebody else started.
    pub fn adopt(&mut self, running: ServerProcess) {
        assert!(self.server.running.is_none(), "the server runs");
        self.client.moves_to(running.base());
        self.server.running = Some(running);
    }

    /// The process, which runs.
    pub fn process(&self) -> &ServerProcess {
        self.server.running.as_ref().expect("the server was stopped")
    }

    /// Where it listens, `http://127.0.0.1:PORT`.
    pub fn base(&self) -> &str {
        self.process().base()
    }

    /// The address of a page.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.base())
    }

    /// Where its data is.
    pub fn data_dir(&self) -> PathBuf {
        self.server.setup.data_dir()
    }

    /// A file of the data directory, without white space around; `None` if there is none.
    pub fn file(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.data_dir().join(name)).ok().map(|text| text.trim().to_owned())
    }

    /// A name that no other test run has, in the letters that index names and paths allow.
    pub fn unique(&self) -> String {
        let directory = self.data_dir();
        directory.parent().and_then(|parent| parent.file_name()).unwrap().to_string_lossy().to_lowercase()
    }

    /// Everything that the server said, or, if it was stopped, its last run.
    pub fn log(&self) -> String {
        self.server.running.as_ref().map_or_else(|| self.server.said.clone(), ServerProcess::whole_log)
    }

    /// Starts another process on the same data directory, which ends at once with this code; what it said.
    pub async fn refused(&self, code: i32) -> String {
        self.server.setup.refused(code).await
    }

    /// The link to the first account, if there is one.
    pub fn first_link(&self) -> Option<String> {
        self.file("first-login-link")
    }

    /// Stops it gently: the accounts add up, and it exits in order.
    pub async fn stop(&mut self) {
        let mut running = self.take();
        running.terminate().await;
        let status = running.exited().await;
        self.server.said = running.whole_log();
        assert_eq!(status.code(), Some(0), "{}", running.log());
    }

    /// Kills it: what it had not made durable is lost.
    pub async fn kill(&mut self) {
        let running = self.take();
        self.server.said = running.whole_log();
        running.kill().await;
    }

    /// Starts it after it was stopped or killed. It listens elsewhere then, and every client of this world goes along.
    pub async fn again(&mut self) {
        let running = self.server.setup.start().await;
        self.adopt(running);
        // Without the bootstrap key nobody may ask which orgs there are.
        if self.id.is_empty() && self.server.setup.has_bootstrap_key() {
            self.server.org = Org::default_of(self.client.clone()).await;
        }
    }

    /// Stops it and starts it again.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.again().await;
    }

    /// Sets a variable of its environment for the next start.
    pub fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.server.setup.set(name, value);
    }

    /// Takes a variable back for the next start.
    pub fn unset(&mut self, name: &str) {
        self.server.setup.unset(name);
    }

    /// The end of a test: the accounts of every connector add up, and nothing was logged that an operator would have to look after.
    pub async fn end(mut self) {
        let log = self.log();
        assert!(!log.contains("ERROR"), "{log}");
        self.stop().await;
    }

    /// As [`Self::end`], once all connectors that there are have exactly these accounts.
    pub async fn end_with(self, expected: &[(&Connector, &[(&str, Account)])]) {
        for (connector, streams) in expected {
            connector.until_accounts(streams).await;
        }
        let mut found = Vec::new();
        for org in self.all("/v1/orgs?limit=100").await {
            let list = format!("/v1/siem/connectors?limit=100&org_id={}", org.id());
            found.extend(self.all(&list).await.iter().map(Json::id));
        }
        let mut known: Vec<&String> = expected.iter().map(|(connector, _)| &connector.id).collect();
        known.sort_unstable();
        found.sort_unstable();
        assert_eq!(found.iter().collect::<Vec<_>>(), known, "every connector is accounted for");
        self.end().await;
    }

    fn take(&mut self) -> ServerProcess {
        self.server.running.take().expect("the server was stopped")
    }
}
