//! `connector test`: a test delivery, as a person wants to read it.

use clap::Args;
use toktra_siem_wire::{Lenient, SampleTest, StreamTest, TestOfConnector};

use super::change::ChangeOptions;
use super::{find, path};
use crate::answer::{Answer, Test};
use crate::client::Call;
use crate::output::{Output, one_line, table};
use crate::{CliError, World, cells};

/// Which connector, with which changes.
#[derive(Debug, Args)]
pub struct TestOptions {
    /// The connector: its name or id
    connector: String,
    /// Send a sample of each event type that producers post, marked as samples, instead of one test event
    #[arg(long)]
    samples: bool,
    #[command(flatten)]
    change: ChangeOptions,
    #[command(flatten)]
    call: Call,
}

pub(super) async fn run(options: TestOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let client = options.call.server.client(world)?;
    let body = TestOfConnector { samples: options.samples, change: options.change.patch(world)? };
    let connector = find(&client, &options.connector).await?;
    let answer = client.post(&path(&connector, "/test"), &body).await?;
    show(&answer, options.call.output, world)
}

/// Prints the outcome of a test; not delivered is a failure.
pub(super) fn show(answer: &Answer<Test>, output: Output, world: &mut World<'_>) -> Result<(), CliError> {
    output.show(world, answer, describe)?;
    if answer.read()?.delivered {
        return Ok(());
    }
    Err(CliError::Failed(match answer.read()?.samples.len() {
        0 => "The test event was not delivered.".to_owned(),
        _ => "Not every sample was delivered.".to_owned(),
    }))
}

fn describe(test: &Test) -> String {
    if !test.samples.is_empty() {
        return test.samples.iter().map(sampled).collect::<Vec<_>>().join("\n");
    }
    let one = |stream: &StreamTest<Lenient>| match test.streams.len() {
        // An answer about one stream is told without naming it.
        1 => told(stream),
        _ => format!("{}:\n{}", stream.stream, told(stream)),
    };
    let streams: String = test.streams.iter().map(one).collect();
    let delivered = test.streams.iter().any(|stream| stream.delivered);
    let mut lines = vec![format!("{streams}Event: {}", test.event_id)];
    if test.temporary_secret {
        lines.push(
            "It was signed with a secret made for this test: a receiver that verifies signatures refuses it."
                .to_owned(),
        );
    }
    if let Some(looked) = &test.searchable {
        let mark = if looked.searchable_after_ms.is_some() { "✓ " } else { "" };
        let first = looked.outcome.known().map_or("Search", |outcome| outcome.label());
        lines.push(format!("{mark}{first}: {}", one_line(&looked.message).trim()));
    }
    if delivered {
        lines.push(format!("Find it with: {}", test.search));
    }
    lines.extend(test.open_url.iter().map(|open| format!("Open it with: {open}")));
    lines.join("\n")
}

/// A sample on a line: whether it arrived, and what finds it; or why it did not.
fn sampled(sample: &SampleTest<Lenient>) -> String {
    if sample.delivered {
        let place = sample.open_url.as_ref().unwrap_or(&sample.search);
        return format!("✓ {} {} delivered. Find it with: {place}", sample.event_type, sample.event_id);
    }
    let failed = sample.streams.iter().find(|stream| !stream.delivered);
    let why = failed.and_then(|stream| stream.hint.as_deref()).unwrap_or_default();
    format!("✗ {} {} not delivered. {}", sample.event_type, sample.event_id, one_line(why).trim())
}

fn told(stream: &StreamTest<Lenient>) -> String {
    let stages = stream.stages.iter().map(|stage| {
        let (mark, word) = if stage.ok { ("✓", "ok") } else { ("✗", "failed") };
        // What the hint says anyway need not be said twice.
        let again = stream.hint.as_ref() == Some(&stage.detail);
        let detail = if again { word.to_owned() } else { format!("{word}: {}", stage.detail) };
        cells![mark, stage.stage, format!("{} ms", stage.duration_ms), detail]
    });
    let stages = table([" ", "STAGE", "TIME", "DETAIL"], stages);
    let verdict = if stream.delivered { "✓ Delivered" } else { "✗ Not delivered" };
    let status = stream.http_status.map_or(String::new(), |status| format!(", HTTP {status}"));
    let mut text = vec![format!("{stages}{verdict} in {} ms{status}.\n", stream.duration_ms)];
    for (name, said) in [("Answer", &stream.response), ("Hint", &stream.hint)] {
        if let Some(said) = said {
            text.push(format!("{name}: {}\n", one_line(said).trim()));
        }
    }
    if let Some(command) = &stream.reproduce {
        text.push(format!("Reproduce with curl:\n{command}\n"));
    }
    text.concat()
}
