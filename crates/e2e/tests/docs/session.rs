//! One shell in which the blocks of a page run, one after another, as in the terminal of somebody who pastes them.
//!
//! The shell reads one line at a time from us and says when a block is done: what happens to the world in between (a server that becomes
//! ready, a SIEM that goes down) is up to the runner.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use toktra_siem_testkit::poll::PATIENCE;

/// A running shell. Dropping it kills everything that was started in it.
pub(crate) struct Session {
    child: Child,
    /// Everything that was started in it. Known from the start: a shell that has exited has no id any more, but may leave a server behind.
    group: Option<Pid>,
    stdin: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    steps: PathBuf,
    count: usize,
}

/// What a block wrote.
#[derive(Debug)]
pub(crate) struct Said {
    /// Its exit code: zero unless it was run with [`Session::run_failing`].
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

/// A block that failed, with what it wrote.
pub(crate) type Failed = Said;

impl Session {
    /// A shell in `home`, with these variables and no others. `steps` takes the blocks and what they write.
    pub(crate) async fn start(home: &Path, steps: &Path, variables: &[(&str, String)]) -> Self {
        let mut command = Command::new("bash");
        command.args(["--noprofile", "--norc"]).current_dir(home).env_clear().process_group(0).kill_on_drop(true);
        command.envs(variables.iter().map(|(name, value)| (*name, value.as_str())));
        let errors = fs::File::create(steps.join("shell.stderr")).expect("a file for what the shell says");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("no bash: {error}"));
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let stdin = child.stdin.take().expect("a pipe");
        let answers = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut session = Self { child, group, stdin, answers, steps: steps.to_owned(), count: 0 };
        session.tell("set -euo pipefail").await;
        session
    }

    /// Runs a block to its end; the first command that fails ends it, and the shell.
    pub(crate) async fn run(&mut self, block: &str) -> Result<Said, Failed> {
        let step = self.step(block);
        self.finish(&step, &format!(". {0}.sh >{0}.out 2>{0}.err </dev/null; echo 0", step.display())).await
    }

    /// Runs a block that is meant to fail, in a shell of its own.
    pub(crate) async fn run_failing(&mut self, block: &str) -> Result<Said, Failed> {
        let step = self.step(block);
        let shell = format!("( set -e; . {0}.sh ) >{0}.out 2>{0}.err </dev/null", step.display());
        self.finish(&step, &format!("set +e; {shell}; code=$?; set -e; echo $code")).await
    }

    /// Starts a block that goes on by itself. What it has written so far is in the file with this name.
    pub(crate) async fn run_behind(&mut self, block: &str) -> PathBuf {
        let step = self.step(block);
        let line = format!(". {0}.sh >{0}.out 2>{0}.err </dev/null & behind=$!; echo 0", step.display());
        assert!(self.finish(&step, &line).await.is_ok(), "starting something behind the shell cannot fail");
        step
    }

    /// Waits until what was started last behind the shell has ended; its exit code.
    pub(crate) async fn wait_behind(&mut self) -> i32 {
        let step = self.step("");
        let waited = self.finish(&step, "set +e; wait $behind; code=$?; set -e; echo $code");
        waited.await.map_or_else(|failed| failed.code, |said| said.code)
    }

    /// Writes a block down; its path without ending.
    fn step(&mut self, block: &str) -> PathBuf {
        self.count += 1;
        let step = self.steps.join(self.count.to_string());
        for (ending, text) in [("sh", block), ("out", ""), ("err", "")] {
            fs::write(step.with_extension(ending), text).expect("the directory for steps takes files");
        }
        step
    }

    async fn finish(&mut self, step: &Path, line: &str) -> Result<Said, Failed> {
        self.tell(line).await;
        let answer = tokio::time::timeout(PATIENCE, self.answers.next_line()).await;
        let said = |code| Said { code, stdout: read(step, "out"), stderr: read(step, "err") };
        match answer {
            Ok(Ok(Some(code))) => Ok(said(code.parse().unwrap_or(-1))),
            // The shell is gone: `set -e` ended it.
            Ok(_) => Err(said(self.child.wait().await.ok().and_then(|status| status.code()).unwrap_or(-1))),
            Err(elapsed) => panic!("a block did not end within {PATIENCE:?} ({elapsed}): {:?}", said(-1)),
        }
    }

    async fn tell(&mut self, line: &str) {
        // A shell that is gone is found out by its answer.
        let _ = self.stdin.write_all(format!("{line}\n").as_bytes()).await;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// What a step has written so far.
pub(crate) fn read(step: &Path, ending: &str) -> String {
    fs::read(step.with_extension(ending)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
