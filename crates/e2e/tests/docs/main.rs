//! The documentation, run. Every fenced block of README.md and docs/ is a command that works, or data that can be read, or says why not; every
//! link leads somewhere; every setting, route, command and cause that is named exists. How pages are written for this: docs/adr/0024.
#![cfg(test)]

mod blocks;
mod data;
mod desk;
mod expect;
mod frames;
mod hints;
mod log_lines;
mod map;
mod page;
mod producers;
mod prose;
mod reference;
mod session;
mod sources;
mod spec;

/// One test for each page, so that a failure names its page and one page can be run alone: `cargo test --test docs api`.
macro_rules! pages {
    ($($name:ident => $path:literal),+ $(,)?) => {
        /// Where the pages are that a test runs, below the repository's root.
        const PAGES: &[&str] = &[$($path),+];

        $(
            #[tokio::test]
            async fn $name() {
                page::run($path).await;
            }
        )+
    };
}

pages! {
    readme => "README.md",
    index => "docs/README.md",
    quick_start => "docs/quick-start.md",
    concepts => "docs/concepts.md",
    splunk => "docs/splunk.md",
    datadog => "docs/datadog.md",
    elasticsearch => "docs/elasticsearch.md",
    webhook => "docs/webhook.md",
    delivery_guarantees => "docs/delivery-guarantees.md",
    signatures => "docs/signatures.md",
    specification => "docs/spec.md",
    api => "docs/api.md",
    the_page => "docs/page.md",
    installing => "docs/installing.md",
    kubernetes => "docs/kubernetes.md",
    security => "SECURITY.md",
    notifications => "docs/notifications.md",
    operation => "docs/operation.md",
    troubleshooting => "docs/troubleshooting.md",
    upgrading => "docs/upgrading.md",
    connectors_as_code => "docs/connectors-as-code.md",
    command_line => "docs/command-line.md",
    configuration => "docs/configuration.md",
    performance => "docs/performance.md",
    reliability => "docs/reliability.md",
    ops => "ops/README.md",
}
