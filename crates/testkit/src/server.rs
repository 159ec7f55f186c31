//! The built `toktra-siem` binary as a child process: started, found ready, stopped gently or killed, started again.
//!
//! A [`ServerSetup`] owns what outlives one process (data directory, settings, log); a [`ServerProcess`] is one run. The server
//! listens on a port that the system chose and tells it in its first line on stdout, `{"listening":"http://127.0.0.1:PORT"}`.
//!
//! Before a server ends, the accounts of all of its connectors have to add up ([`crate::accounts`]): stopping, terminating and killing it ask, and
//! one that is dropped without having been asked fails the test.

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{
    accounts,
    client::Client,
    poll::{self, PATIENCE},
    real::environment,
};

/// The bootstrap key that a setup uses unless told otherwise. At least 32 characters, as the server demands.
pub const API_KEY: &str = "test-bootstrap-key-0123456789abcdef";

/// Where the server takes its bootstrap key from.
const KEY_VARIABLE: &str = "TOKTRA_SIEM_API_KEY";

/// How many lines of each log a failed test prints.
const TAIL: usize = 200;

/// Everything about a server that outlives one of its processes. Dropping it removes the data directory.
#[derive(Debug)]
pub struct ServerSetup {
    binary: PathBuf,
    arguments: Vec<OsString>,
    variables: Vec<(String, OsString)>,
    api_key: String,
    checked: bool,
    directory: TempDir,
    starts: AtomicU32,
}

impl ServerSetup {
    /// A setup for `binary` (pass `env!("CARGO_BIN_EXE_toktra-siem")`): `serve` on a free loopback port, a fresh data
    /// directory, [`API_KEY`], and leave to deliver to loopback. The child sees no other setting of this process.
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        let directory = tempfile::Builder::new().prefix("toktra-siem-test-").tempdir();
        let setup = Self {
            binary: binary.into(),
            arguments: vec!["serve".into()],
            variables: Vec::new(),
            api_key: API_KEY.to_owned(),
            checked: true,
            directory: directory.unwrap_or_else(|error| panic!("no temporary directory for the server: {error}")),
            starts: AtomicU32::new(0),
        };
        setup.env("TOKTRA_SIEM_LISTEN", "127.0.0.1:0").env("TOKTRA_SIEM_EGRESS_ALLOW", "127.0.0.0/8,::1/128")
    }

    /// Sets a variable of the child's environment; the last value for a name holds.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.set(name, value);
        self
    }

    /// As [`Self::env`], for the next start.
    pub fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.unset(name);
        self.variables.push((name.to_owned(), value.into()));
    }

    /// Takes a variable back: the next start does not see it.
    #[must_use]
    pub fn without_env(mut self, name: &str) -> Self {
        self.unset(name);
        self
    }

    /// As [`Self::without_env`], for the next start.
    pub fn unset(&mut self, name: &str) {
        self.variables.retain(|(present, _)| present != name);
    }

    /// Whether the servers take the bootstrap key that their client shows.
    pub fn has_bootstrap_key(&self) -> bool {
        !self.variables.iter().any(|(name, _)| name == KEY_VARIABLE)
    }

    /// Another bootstrap key than [`API_KEY`].
    #[must_use]
    pub fn api_key(mut self, key: &str) -> Self {
        key.clone_into(&mut self.api_key);
        self
    }

    /// For measuring: the accounts are not checked at the end of each process. A test has no reason to ask for it.
    #[must_use]
    pub fn without_account_checks(mut self) -> Self {
        self.checked = false;
        self
    }

    /// Other arguments than `serve`.
    #[must_use]
    pub fn arguments<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments = arguments.into_iter().map(Into::into).collect();
        self
    }

    /// The data directory; it survives every stop and kill for as long as the setup lives.
    pub fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Starts the server and waits until `/readyz` answers 200.
    pub async fn start(&self) -> ServerProcess {
        let mut process = self.spawn();
        let base = poll::within(PATIENCE, async || process.listening_or_exited()).await;
        let base = match base {
            Some(Ok(base)) => base,
            Some(Err(status)) => panic!("the server exited before it listened ({status})\n{}", process.log()),
            None => panic!("the server did not say within {PATIENCE:?} where it listens\n{}", process.log()),
        };
        process.client = Client::new(&base).with_key(&self.api_key);
        process.base = base;
        process.wait_until_ready().await;
        // Without the bootstrap key there is nobody who may ask about every org.
        let may_ask = self.checked && self.has_bootstrap_key();
        process.unchecked.store(may_ask, Ordering::Relaxed);
        if may_ask && self.starts.load(Ordering::Relaxed) > 1 {
            accounts::assert_add_up(&process.client).await;
        }
        process
    }

    /// A client with the bootstrap key, of a server that listens nowhere yet.
    pub fn client(&self) -> Client {
        Client::new("http://127.0.0.1:0").with_key(&self.api_key)
    }

    /// Starts the server, which refuses to and ends with this code; what it said.
    pub async fn refused(&self, code: i32) -> String {
        let mut process = self.spawn();
        assert_eq!(process.exited().await.code(), Some(code), "{}", process.log());
        process.whole_log()
    }

    /// Starts the server without waiting for anything.
    pub fn spawn(&self) -> ServerProcess {
        let run = self.starts.fetch_add(1, Ordering::Relaxed) + 1;
        let log = |stream: &str| self.directory.path().join(format!("server-{run}.{stream}"));
        let (stdout, stderr) = (log("stdout"), log("stderr"));
        let child = self.command(&stdout, &stderr).and_then(|mut command| command.spawn());
        let child = child.unwrap_or_else(|error| panic!("cannot run {}: {error}", self.binary.display()));
        ServerProcess {
            child,
            base: String::new(),
            client: Client::new("http://127.0.0.1:0"),
            unchecked: AtomicBool::new(false),
            stdout,
            stderr,
        }
    }

    fn command(&self, stdout: &Path, stderr: &Path) -> io::Result<Command> {
        let mut command = Command::new(&self.binary);
        command.args(&self.arguments).current_dir(self.directory.path()).env_clear();
        // What the system and the coverage tool need; the product's own settings must come from the test alone.
        for name in ["PATH", "HOME", "TMPDIR", "RUST_BACKTRACE", "LLVM_PROFILE_FILE"] {
            command.envs(environment(name).map(|value| (name, value)));
        }
        command.env("TOKTRA_SIEM_DATA_DIR", self.data_dir()).env(KEY_VARIABLE, &self.api_key);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        // Files, not pipes: nobody has to drain them, and a killed server's last words are there to be read.
        command.stdin(Stdio::null()).stdout(File::create(stdout)?).stderr(File::create(stderr)?).kill_on_drop(true);
        Ok(command)
    }
}

/// One running server. It has to be ended by [`Self::stop`], [`Self::terminate`] or [`Self::kill`], which check its accounts; when a test panics,
/// its log is printed.
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
    base: String,
    client: Client,
    /// It has answered, and its accounts were not checked yet.
    unchecked: AtomicBool,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl ServerProcess {
    /// Where it listens, `http://127.0.0.1:PORT`.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// A client with the bootstrap key.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The process id, as long as it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// What it wrote so far: stdout, then stderr, the last lines of each.
    pub fn log(&self) -> String {
        format!("--- stdout\n{}--- stderr\n{}", tail(&self.stdout), tail(&self.stderr))
    }

    /// Everything it wrote to stdout and stderr, whole: for tests that look for what must not be there.
    pub fn whole_log(&self) -> String {
        format!("{}{}", read(&self.stdout), read(&self.stderr))
    }

    /// Asserts that the accounts of all connectors of all orgs add up (invariant D1), as long as it runs.
    pub async fn check_accounts(&mut self) {
        let running = matches!(self.child.try_wait(), Ok(None));
        if self.unchecked.swap(false, Ordering::Relaxed) && running {
            accounts::assert_add_up(&self.client).await;
        }
    }

    /// Checks its accounts, asks it to stop (SIGTERM) and returns at once.
    pub async fn terminate(&mut self) {
        self.check_accounts().await;
        // A process that has exited already needs no signal.
        let Some(pid) = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) else { return };
        kill_process(pid, Signal::TERM).unwrap_or_else(|error| panic!("cannot signal the server: {error}"));
    }

    /// Waits until it has exited by itself.
    pub async fn exited(&mut self) -> ExitStatus {
        let exited = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let status = exited.unwrap_or_else(|_| panic!("the server did not exit within {PATIENCE:?}\n{}", self.log()));
        status.unwrap_or_else(|error| panic!("cannot wait for the server: {error}"))
    }

    /// Checks its accounts, stops it gently (SIGTERM) and waits until it is gone.
    pub async fn stop(mut self) -> ExitStatus {
        self.terminate().await;
        self.exited().await
    }

    /// Checks its accounts, kills it (SIGKILL) and waits until it is gone: what it had not made durable is lost.
    pub async fn kill(mut self) {
        self.check_accounts().await;
        self.child.kill().await.unwrap_or_else(|error| panic!("cannot kill the server: {error}"));
    }

    async fn wait_until_ready(&mut self) {
        let ready = poll::within(PATIENCE, async || {
            let answer = self.client.try_send(http::Method::GET, "/readyz", &[], bytes::Bytes::new()).await;
            answer.is_ok_and(|answer| answer.status == 200).then_some(())
        });
        assert!(ready.await.is_some(), "the server was not ready within {PATIENCE:?}\n{}", self.log());
    }

    /// The address from the first line of stdout, or the status with which it exited instead.
    fn listening_or_exited(&mut self) -> Option<Result<String, ExitStatus>> {
        let exited = self.child.try_wait().ok().flatten();
        listening(&read(&self.stdout)).map(Ok).or(exited.map(Err))
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the server's log:\n{}", self.log());
            return;
        }
        assert!(
            !*self.unchecked.get_mut(),
            "a server was dropped without its accounts having been checked: end it with stop(), terminate() or kill()"
        );
    }
}

/// The address in the first line of `stdout`, once that line is complete.
fn listening(stdout: &str) -> Option<String> {
    let (line, _) = stdout.split_once('\n')?;
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    line["listening"].as_str().map(|base| base.trim_end_matches('/').to_owned())
}

fn read(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

fn tail(path: &Path) -> String {
    let text = read(path);
    let lines: Vec<&str> = text.lines().collect();
    let shown = &lines[lines.len().saturating_sub(TAIL)..];
    shown.iter().fold(String::new(), |all, line| all + line + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_once_its_line_is_complete() {
        assert_eq!(listening(r#"{"listening":"http://127.0.0.1:80"#), None);
        assert_eq!(
            listening("{\"listening\":\"http://127.0.0.1:8080\"}\n{}").as_deref(),
            Some("http://127.0.0.1:8080")
        );
        assert_eq!(listening("something else\n"), None);
    }

    /// A stand-in for the server: a shell that says what it was given, and then waits.
    fn shell(script: &str) -> ServerSetup {
        ServerSetup::new("/bin/sh").arguments(["-c", script])
    }

    #[tokio::test]
    async fn the_child_sees_its_own_settings_and_a_gentle_stop_reaches_it() {
        let setup =
            shell("trap 'exit 7' TERM; echo $TOKTRA_SIEM_LISTEN $A $TOKTRA_SIEM_API_KEY; while :; do sleep 0.01; done")
                .env("A", "1")
                .env("A", "2");
        let process = setup.spawn();
        let expected = format!("127.0.0.1:0 2 {API_KEY}\n");
        poll::until("the child has spoken", async || (process.whole_log() == expected).then_some(())).await;
        assert_eq!(process.stop().await.code(), Some(7));
    }

    #[tokio::test]
    async fn a_kill_is_a_kill() {
        let setup = shell("trap '' TERM; echo up; while :; do sleep 0.01; done");
        let process = setup.spawn();
        poll::until("the child is up", async || process.whole_log().contains("up").then_some(())).await;
        let pid = process.pid().and_then(|id| Pid::from_raw(i32::try_from(id).unwrap())).unwrap();
        process.kill().await;
        assert!(rustix::process::test_kill_process(pid).is_err(), "the process is still there");
    }

    /// A stand-in that is ready, and shows one account.
    fn with_account(accepted: u32) -> ServerSetup {
        let answers = format!(
            r#"import http.server, json, sys
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        places = ["rejected", "failed", "expired", "damaged", "discarded", "skipped", "pending", "filtered"]
        stream = dict({{p: 0 for p in places}}, stream="events", delivered=2, accepted={accepted})
        items = [dict(id="o")] if "orgs" in self.path else [dict(streams=[stream], adds_up=True)]
        body = json.dumps(dict(items=items, next_cursor=None, has_more=False)).encode()
        self.send_response(200); self.send_header("content-length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *a): pass
s = http.server.HTTPServer(("127.0.0.1", 0), H)
print(json.dumps(dict(listening="http://127.0.0.1:%d" % s.server_port)), flush=True)
s.serve_forever()"#
        );
        ServerSetup::new("/usr/bin/env").arguments(["python3", "-c", &answers])
    }

    #[tokio::test]
    async fn an_account_that_adds_up_lets_a_server_end() {
        let setup = with_account(2);
        setup.start().await.stop().await;
        setup.start().await.kill().await;
    }

    #[tokio::test]
    #[should_panic(expected = "D1")]
    async fn an_account_that_does_not_add_up_fails_the_test_at_the_end() {
        with_account(3).start().await.stop().await;
    }

    #[tokio::test]
    #[should_panic(expected = "D1")]
    async fn and_before_a_kill() {
        with_account(3).start().await.kill().await;
    }

    #[tokio::test]
    #[should_panic(expected = "without its accounts having been checked")]
    async fn a_server_that_is_merely_dropped_fails_the_test() {
        drop(with_account(2).start().await);
    }

    #[tokio::test]
    #[should_panic(expected = "exited before it listened")]
    async fn a_server_that_exits_at_once_is_reported_with_its_log() {
        shell("echo no such setting >&2; exit 3").start().await;
    }
}
