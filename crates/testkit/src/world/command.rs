//! The command line, run as a process.
#![expect(clippy::return_self_not_must_use, reason = "often the exit code is all that a test asks for")]

use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::{World, program};
use crate::server::API_KEY;

/// What a command wrote, and its exit code.
#[derive(Debug)]
pub struct Said {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// `None` if a signal ended it.
    pub code: Option<i32>,
}

impl Said {
    /// The same, once it has succeeded.
    #[track_caller]
    pub fn done(self) -> Self {
        self.with_code(0)
    }

    /// The same, once it has ended with this code.
    #[track_caller]
    pub fn with_code(self, code: i32) -> Self {
        self.ends(code);
        self
    }

    /// It has ended with this code.
    #[track_caller]
    pub fn ends(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        self
    }

    /// Standard output holds these texts.
    #[track_caller]
    pub fn says(&self, texts: &[&str]) {
        assert!(texts.iter().all(|text| self.stdout.contains(text)), "{texts:?} was expected in\n{}", self.stdout);
    }

    /// Standard error holds these texts.
    #[track_caller]
    pub fn complains(&self, texts: &[&str]) {
        assert!(texts.iter().all(|text| self.stderr.contains(text)), "{texts:?} was expected in\n{}", self.stderr);
    }

    /// What it answered as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", self.stdout, self.stderr))
    }
}

/// Runs the program with these variables and no others, and gives it this on standard input.
pub async fn command(arguments: &[&str], variables: &[(&str, &str)], input: impl AsRef<[u8]>) -> Said {
    let mut command = Command::new(program());
    command.args(arguments).env_clear().envs(variables.iter().copied());
    said(command, input.as_ref()).await
}

/// Runs any program to its end, and gives it this on standard input.
pub async fn said(mut command: Command, input: &[u8]) -> Said {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    // A program that refuses its arguments does not read.
    let _ = stdin.write_all(input).await;
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Said { stdout: text(output.stdout), stderr: text(output.stderr), code: output.status.code() }
}

/// Runs a program that reads JSON on standard input and answers in JSON.
pub async fn ask(program: &Path, arguments: &[&str], input: &Value) -> Value {
    let mut command = Command::new(program);
    // Scripts of the repository are run where they stand, and leave nothing behind there.
    command.args(arguments).env("PYTHONDONTWRITEBYTECODE", "1");
    said(command, input.to_string().as_bytes()).await.done().json()
}

impl World {
    /// Runs a command that speaks to this server with the bootstrap key.
    pub async fn run(&self, arguments: &[&str], input: impl AsRef<[u8]>) -> Said {
        self.run_with(&[], arguments, input).await
    }

    /// As [`Self::run`], with further variables.
    pub async fn run_with(&self, more: &[(&str, &str)], arguments: &[&str], input: impl AsRef<[u8]>) -> Said {
        let variables = [&[("TOKTRA_SIEM_URL", self.base()), ("TOKTRA_SIEM_API_KEY", API_KEY)], more].concat();
        command(arguments, &variables, input).await
    }

    /// Runs a command that reads nothing and succeeds.
    pub async fn done(&self, arguments: &[&str]) -> Said {
        self.run(arguments, "").await.done()
    }

    /// Runs a command that opens the data directory.
    pub async fn in_dir(&self, arguments: &[&str]) -> Said {
        command(arguments, &[("TOKTRA_SIEM_DATA_DIR", self.data_dir().to_str().unwrap())], "").await
    }
}
