//! Tables of the pages that repeat what a running server says of itself: they are held to it, word for word.

use std::collections::BTreeSet;
use std::fs;

use toktra_siem_testkit::prelude::*;

/// A server that has all of it to say: it exports traces, though no collector has to be there for that.
async fn server() -> World {
    World::with(setup().env("TOKTRA_SIEM_OTLP_ENDPOINT", "http://127.0.0.1:9")).await
}

/// The rows of a page's tables that begin with a code span which is `about` what is compared.
fn rows(page: &str, about: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let text = fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"));
    let rows = text.lines().filter(|line| {
        let span = line.strip_prefix("| `").and_then(|rest| rest.split_once("` |"));
        span.is_some_and(|(span, _)| about(span))
    });
    rows.map(str::to_owned).collect()
}

/// The page has these rows and no others of their kind.
fn assert_listed(page: &str, listed: &BTreeSet<String>, said: &BTreeSet<String>) {
    let missing: Vec<_> = said.difference(listed).map(String::as_str).collect();
    let unknown: Vec<_> = listed.difference(said).map(String::as_str).collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "{page} lacks these rows:\n{}\nand these say something else than the server:\n{}",
        missing.join("\n"),
        unknown.join("\n")
    );
}

#[tokio::test]
async fn the_operations_page_lists_every_metric_and_no_other() {
    let world = server().await;
    let figures = world.anonymous().get("/metrics").await.expect_status(200).text();
    world.end().await;
    let kind = |name: &str| {
        let line = figures.lines().find_map(|line| line.strip_prefix("# TYPE ")?.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} has no type")).to_owned()
    };
    // What the kernel says of a process is had on Linux alone.
    let metric =
        |name: &str| name.starts_with("toktra_siem_") || cfg!(target_os = "linux") && name.starts_with("process_");
    let helps = figures.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split_once(' '));
    let said: BTreeSet<String> = helps
        .filter(|(name, _)| metric(name))
        .map(|(name, help)| format!("| `{name}` | {} | {help} |", kind(name)))
        .collect();
    assert!(said.len() > 40, "{said:?}");
    let page = "docs/operation.md";
    assert_listed(page, &rows(page, metric), &said);
}

#[tokio::test]
async fn the_api_page_lists_every_route_of_the_document_and_the_reference_shows_them() {
    let world = server().await;
    let client = world.anonymous();
    let document = client.get("/openapi.json").await.expect_status(200).json();
    let reference = client.get("/docs").await.expect_status(200);
    world.end().await;
    assert!(reference.header("content-type").is_some_and(|kind| kind.starts_with("text/html")), "{reference:?}");
    let reference = reference.text();
    let mut said = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        assert!(reference.contains(path.as_str()), "/docs does not show {path}");
        for (method, operation) in operations.as_object().expect("operations") {
            // What a path shares is no operation.
            let Some(summary) = operation["summary"].as_str() else { continue };
            said.insert(format!("| `{} {path}` | {summary} |", method.to_uppercase()));
        }
    }
    assert!(said.len() > 40, "{said:?}");
    let page = "docs/api.md";
    let route = |span: &str| ["GET /", "POST /", "PATCH /", "DELETE /"].iter().any(|start| span.starts_with(start));
    assert_listed(page, &rows(page, route), &said);
}
