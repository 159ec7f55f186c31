//! How far a long command has come: a bar on a terminal, a line now and then elsewhere. On standard error, so that it never mixes with
//! what a script reads.

use std::io::Write;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use super::CliError;

/// The time between two lines where there is no terminal. What is done before the first is due says nothing.
const PACE: Duration = Duration::from_secs(10);

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes, shown as MiB and the like.
    Bytes,
    /// Events.
    Events,
}

/// The progress of one piece of work.
pub struct Progress {
    bar: Option<ProgressBar>,
    what: String,
    unit: Unit,
    total: Option<u64>,
    spoke: Instant,
}

impl Progress {
    /// Of `what`, out of `total` where that is known.
    pub fn new(terminal: bool, what: &str, unit: Unit, total: Option<u64>) -> Self {
        let bar = terminal.then(|| bar(what, unit, total));
        Self { bar, what: what.to_owned(), unit, total, spoke: Instant::now() }
    }

    /// The total is known now, or has changed.
    pub fn total(&mut self, total: u64) {
        self.total = Some(total);
        if let Some(bar) = &self.bar {
            bar.set_length(total);
        }
    }

    /// It has come so far; `said` is shown beside it.
    pub fn at(&mut self, stderr: &mut dyn Write, done: u64, said: &str) -> Result<(), CliError> {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            bar.set_message(said.to_owned());
            return Ok(());
        }
        if self.spoke.elapsed() >= PACE {
            self.spoke = Instant::now();
            writeln!(stderr, "{}", self.line(done, said))?;
        }
        Ok(())
    }

    fn line(&self, done: u64, said: &str) -> String {
        let share = match self.total {
            Some(total) if total > 0 => format!("{} %", done.saturating_mul(100) / total),
            _ if self.unit == Unit::Events => format!("{done} events"),
            _ => format!("{} MiB", done >> 20),
        };
        let beside = if said.is_empty() { String::new() } else { format!(", {said}") };
        format!("{}: {share}{beside}", self.what)
    }

    /// Takes the bar away: what follows is the result.
    pub fn end(self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(what: &str, unit: Unit, total: Option<u64>) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(8));
    let template = match (unit, total) {
        (Unit::Bytes, Some(_)) => "{prefix} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta} {msg}",
        (Unit::Bytes, None) => "{prefix} {spinner} {bytes} {bytes_per_sec} {msg}",
        (Unit::Events, _) => "{prefix} {wide_bar} {pos}/{len} {per_sec} {eta} {msg}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_prefix(what.to_owned());
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn without_a_terminal_a_line_is_said_only_where_it_takes_long() {
        let mut stderr = Vec::new();
        let mut progress = Progress::new(false, "import", Unit::Bytes, Some(200));
        progress.at(&mut stderr, 10, "").unwrap();
        tokio::time::advance(PACE).await;
        progress.at(&mut stderr, 50, "7 accepted").unwrap();
        progress.at(&mut stderr, 60, "8 accepted").unwrap();
        progress.end();
        assert_eq!(String::from_utf8(stderr).unwrap(), "import: 25 %, 7 accepted\n");
    }

    #[test]
    fn the_templates_of_all_bars_are_valid() {
        // A template that cannot be read panics.
        for (unit, total) in [(Unit::Bytes, Some(1)), (Unit::Bytes, None), (Unit::Events, Some(1))] {
            let bar = bar("x", unit, total);
            assert_eq!(bar.length(), total);
            bar.finish_and_clear();
        }
    }
}
