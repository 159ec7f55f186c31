//! `connector test`: a test delivery, as a person wants to read it.

use clap::Args;
use toktra_siem_wire::{Lenient, StreamTest};

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
    #[command(flatten)]
    change: ChangeOptions,
    #[command(flatten)]
    call: Call,
}

pub(super) async fn run(options: TestOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let client = options.call.server.client(world)?;
    let patch = options.change.patch(world)?;
    let connector = find(&client, &options.connector).await?;
    let answer = client.post(&path(&connector, "/test"), &patch).await?;
    show(&answer, options.call.output, world)
}

/// Prints the outcome of a test; not delivered is a failure.
pub(super) fn show(answer: &Answer<Test>, output: Output, world: &mut World<'_>) -> Result<(), CliError> {
    output.show(world, answer, describe)?;
    if answer.read()?.delivered {
        return Ok(());
    }
    Err(CliError::Failed("The test event was not delivered.".to_owned()))
}

fn describe(test: &Test) -> String {
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
