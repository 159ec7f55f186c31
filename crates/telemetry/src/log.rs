//! The process's own log, on standard error: standard output belongs to what a command says.
//!
//! A record is a line, whatever is in it (log injection): control characters of an event's fields or of a SIEM's reply are
//! written as escapes. As JSON every line is an object with `timestamp`, `level`, `target`, `message`, the record's own fields beside
//! them, and `request_id` where it was written for a request.
//!
//! The id of the request under way is kept beside the task, not in a span of `tracing`: a span costs microseconds, which every request
//! would pay for the few that log anything.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Stderr, Write};

use http::HeaderValue;
use tracing_subscriber::EnvFilter;

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

tokio::task_local! {
    static REQUEST: HeaderValue;
}

/// Does what `future` does, as a part of the request with this id: letters, digits and a few signs that need no escape anywhere.
pub fn of_request<F: Future>(id: HeaderValue, future: F) -> impl Future<Output = F::Output> {
    REQUEST.scope(id, future)
}

/// Does what `future` does, in a task of its own or elsewhere, as a part of the request that this is called in.
pub fn of_same_request<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let id = REQUEST.try_with(HeaderValue::clone).unwrap_or(HeaderValue::from_static("-"));
    REQUEST.scope(id, future)
}

/// Starts logging. `filter` is as the configuration checked it; later calls change nothing.
pub fn init(format: LogFormat, filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let terminal = std::io::stderr().is_terminal();
    let escape = match format {
        LogFormat::Json => Escape::Json,
        LogFormat::Text if terminal => Escape::Coloured,
        LogFormat::Text => Escape::Text,
    };
    // A record that cannot be written is lost. Saying so on standard error would fail as well, and panic.
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .log_internal_errors(false)
        .with_writer(move || OneLine { to: io::stderr(), escape });
    // Only the first one counts, and there is nothing to do about another: tests in one process share it.
    let _ = match format {
        LogFormat::Json => {
            log_panics();
            log.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
        }
        LogFormat::Text => log.with_ansi(terminal).try_init(),
    };
}

/// A panic, too, is a line of JSON.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        let thread = std::thread::current();
        tracing::error!(
            location,
            thread = thread.name(),
            what = panic.payload_as_str().unwrap_or("(no message)"),
            "panicked"
        );
    }));
}

/// How characters are written that would end the line or steer a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escape {
    /// As in a string of JSON, where they can only be.
    Json,
    /// As in a string of Rust.
    Text,
    /// The same, but for the colours of the log itself; it escapes them where they come from a value.
    Coloured,
}

/// Passes records on, each of which comes in one call and ends with the only line break that is let through.
struct OneLine<W = Stderr> {
    to: W,
    escape: Escape,
}

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        let line = String::from_utf8_lossy(record.strip_suffix(b"\n").unwrap_or(record));
        let mut line = escaped(&line, self.escape).unwrap_or(line.into_owned());
        // Outside of a request there is no id to be written.
        let _ = REQUEST.try_with(|id| self.add_request(&mut line, id.to_str().unwrap_or_default()));
        line.push('\n');
        self.to.write_all(line.as_bytes())?;
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl<W> OneLine<W> {
    fn add_request(&self, line: &mut String, id: &str) {
        // Writing to a string does not fail.
        let _ = match self.escape {
            Escape::Json if line.ends_with('}') => {
                line.pop();
                write!(line, ",\"request_id\":\"{id}\"}}")
            }
            Escape::Json => Ok(()),
            Escape::Text | Escape::Coloured => write!(line, " request_id={id}"),
        };
    }
}

/// `line` without what would break it; `None` where nothing would.
fn escaped(line: &str, escape: Escape) -> Option<String> {
    let breaks = |c: char| match c {
        '\t' => escape == Escape::Json,
        '\u{1b}' => escape != Escape::Coloured,
        c => c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'),
    };
    if !line.contains(breaks) {
        return None;
    }
    let mut written = String::with_capacity(line.len() + 16);
    for c in line.chars() {
        match c {
            c if !breaks(c) => written.push(c),
            c if escape == Escape::Json => {
                // Every one of them is in the first plane. Writing to a string does not fail.
                let _ = write!(written, "\\u{:04x}", u32::from(c));
            }
            c => written.extend(c.escape_default()),
        }
    }
    Some(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NASTY: &str = "a\r\nb\u{1b}[31m\u{85}\u{2028}\u{2029}\u{7f}é\u{1F600}";

    fn written(record: &str, escape: Escape) -> String {
        let mut line = OneLine { to: Vec::new(), escape };
        line.write_all(record.as_bytes()).unwrap();
        String::from_utf8(line.to).unwrap()
    }

    #[test]
    fn a_record_of_text_is_one_line() {
        let line = written(&format!("{NASTY}\n"), Escape::Text);
        assert_eq!(line, "a\\r\\nb\\u{1b}[31m\\u{85}\\u{2028}\\u{2029}\\u{7f}é\u{1F600}\n");
        let line = written("\u{1b}[2mnow\u{1b}[0m a\nb\n", Escape::Coloured);
        assert_eq!(line, "\u{1b}[2mnow\u{1b}[0m a\\nb\n");
    }

    #[test]
    fn what_json_leaves_as_it_is_is_escaped_and_means_the_same() {
        let record = serde_json::json!({ "message": NASTY }).to_string() + "\n";
        let line = written(&record, Escape::Json);
        assert!(!line.trim_end().contains(|c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')), "{line}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap()["message"], NASTY);
    }

    #[tokio::test]
    async fn a_record_of_a_request_has_its_id() {
        let id = HeaderValue::from_static("abc-1");
        of_request(id, async {
            assert_eq!(
                written("{\"message\":\"x\"}\n", Escape::Json),
                "{\"message\":\"x\",\"request_id\":\"abc-1\"}\n"
            );
            assert_eq!(written("x\n", Escape::Text), "x request_id=abc-1\n");
        })
        .await;
        assert_eq!(written("x\n", Escape::Text), "x\n");
    }

    #[test]
    fn what_breaks_nothing_is_passed_on() {
        assert_eq!(written("a\tb é\n", Escape::Text), "a\tb é\n");
        assert_eq!(escaped("plain", Escape::Json), None);
    }
}
