//! The end of a test: its event is looked for, gently, for a time that has an end, and without harm to the delivery.

use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::mpsc::unbounded_channel;
use toktra_siem_core::delivery::{SearchOutcome, Status};

use super::test_delivery::{only, test, test_heard, tests};
use super::*;
use crate::test_delivery::{Listener, Progress, Searched, StreamReport};

/// Between two questions at least.
const LEAST: Duration = Duration::from_millis(500);
const SEARCH: &str = "https://splunk.example:8089/services/search/jobs";

/// A Splunk whose events are searched at the management port, which `answers`, by the number of the question.
async fn searching(answers: impl Fn(u32) -> Answer + Send + 'static) -> Bench {
    let config = json!({
        "hec_url": "https://splunk.example:8088", "hec_token": "token",
        "search": { "url": "https://splunk.example:8089", "token": "search" }, "web_url": "https://splunk.example:8000",
    });
    let bench = Bench::new(SPLUNK, config).await;
    let asked = AtomicU32::new(0);
    bench.otherwise(
        move |request| {
            if request.url == SEARCH { answers(asked.fetch_add(1, Ordering::SeqCst)) } else { success() }
        },
    );
    bench
}

fn results(found: bool) -> Answer {
    reply(200, &json!({ "results": if found { vec![json!({ "_raw": "{}" })] } else { Vec::new() } }))
}

fn searches(bench: &Bench) -> Vec<Duration> {
    bench.seen().iter().filter(|seen| seen.url == SEARCH).map(|seen| seen.at).collect()
}

fn searched(report: &StreamReport) -> (&Searched, Option<bool>) {
    let stage = report.stages.iter().find(|stage| stage.name == StageName::Searchable);
    (report.searched.as_ref().unwrap(), stage.map(|stage| stage.ok))
}

#[tokio::test(start_paused = true)]
async fn the_event_is_looked_for_until_it_is_found_and_the_delivery_is_settled_before() {
    let bench = searching(|asked| results(asked == 4)).await;
    let (sender, mut told) = unbounded_channel();
    let report = test_heard(&bench, SPLUNK, true, Listener::new(sender)).await;
    assert!(
        report.open_url.as_ref().is_some_and(|url| url.starts_with("https://splunk.example:8000/en-US/app/search/"))
    );
    let report = only(report);
    let (found, stage) = searched(&report);
    assert_eq!(
        (found.outcome, found.message.as_str(), stage),
        (SearchOutcome::Found, "searchable after 2.0 s", Some(true))
    );
    let took = found.after.unwrap();
    assert!(
        took >= Duration::from_secs(2) && report.duration < LEAST,
        "the search is no part of the delivery: {report:?}"
    );
    assert_eq!(report.stages.last().map(|stage| stage.name), Some(StageName::Searchable));
    let mut heard = Vec::new();
    while let Ok(progress) = told.try_recv() {
        heard.push(progress);
    }
    let first = heard.iter().position(|told| matches!(told, Progress::Searching(StreamKind::Events, _))).unwrap();
    let written =
        heard.iter().position(|told| matches!(told, Progress::Stage(_, stage) if stage.name == StageName::Write));
    assert!(written.is_some_and(|written| written < first), "{heard:?}");
    let since = heard.iter().filter_map(|told| match told {
        Progress::Searching(StreamKind::Events, since) => Some(*since),
        _ => None,
    });
    let since: Vec<Duration> = since.collect();
    assert!(since.is_sorted() && since.len() > 4 && since.last() >= Some(&Duration::from_secs(1)), "{since:?}");
    let asked = bench.seen().into_iter().find(|seen| seen.url == SEARCH).unwrap();
    let body = String::from_utf8_lossy(&asked.body);
    assert!(body.contains("search=search+index%3Dtoktra+%22") && body.contains("exec_mode=oneshot"), "{body}");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_found_was_delivered_all_the_same_and_the_questions_grow_rare() {
    let bench = searching(|_| results(false)).await;
    let report = only(test(&bench, SPLUNK, true).await);
    let (lost, stage) = searched(&report);
    assert_eq!(
        (report.delivered, lost.outcome, stage, &report.hint),
        (true, SearchOutcome::NotFound, Some(false), &None)
    );
    assert!(lost.message.contains("may not search the index “toktra”"), "{}", lost.message);
    assert!(tests(&bench).await.iter().all(|(delivery, _)| delivery.status == Status::Delivered));
    let asked = searches(&bench);
    assert!(asked.len() < 20 && asked.last().is_some_and(|last| *last <= bench.ctx.timing.search), "{asked:?}");
    let pauses: Vec<Duration> = asked.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
    // Tokio's clock has steps of a millisecond.
    let most = Duration::from_millis(5_010);
    assert!(pauses.is_sorted() && pauses[0] >= LEAST && pauses.iter().all(|pause| *pause <= most), "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn who_may_not_search_is_told_what_to_grant_and_a_limit_is_respected() {
    let refused = || reply(403, &json!({ "messages": [{ "type": "ERROR", "text": "insufficient permission" }] }));
    let bench = searching(move |_| refused()).await;
    let report = only(test(&bench, SPLUNK, true).await);
    let (no, stage) = searched(&report);
    assert_eq!(
        (report.delivered, no.outcome, stage, searches(&bench).len()),
        (true, SearchOutcome::SearchRefused, Some(false), 1)
    );
    assert!(
        no.message.contains("capability search") && no.message.contains("insufficient permission"),
        "{}",
        no.message
    );

    let bench = searching(|asked| match asked {
        0 => Ok(Reply { status: 429, retry_after: Some("20".to_owned()), ..Reply::default() }),
        _ => results(true),
    });
    let bench = bench.await;
    let report = only(test(&bench, SPLUNK, true).await);
    assert_eq!(searched(&report).0.message, "searchable after 20.0 s");

    let untrusted = || Unreached { cause: Cause::new("tls_untrusted", "Nobody vouches for it."), misconfigured: true };
    let bench = searching(move |_| Err(untrusted())).await;
    let report = only(test(&bench, SPLUNK, true).await);
    let (no, _) = searched(&report);
    assert_eq!(
        (report.delivered, no.outcome, no.message.as_str()),
        (true, SearchOutcome::NotSearched, "Nobody vouches for it.")
    );
    assert_eq!((&report.certificate, searches(&bench).len()), (&None, 1));
}

#[tokio::test(start_paused = true)]
async fn nobody_searches_for_somebody_who_has_gone() {
    let bench = searching(|_| results(false)).await;
    let (sender, told) = unbounded_channel();
    let listener = Listener::new(sender);
    let closing = CancellationToken::new();
    let gone = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        drop(told);
    };
    let (report, ()) = tokio::join!(test_heard(&bench, SPLUNK, true, listener), gone);
    assert_eq!(only(report).searched.unwrap().outcome, SearchOutcome::NotSearched);
    assert!(searches(&bench).last().is_some_and(|last| *last <= Duration::from_secs(3)));

    let listener = Listener::default().until(closing.clone());
    closing.cancel();
    let before = searches(&bench).len();
    assert!(only(test_heard(&bench, SPLUNK, true, listener).await).delivered);
    assert_eq!(searches(&bench).len(), before, "the service is being stopped");
}

#[tokio::test(start_paused = true)]
async fn without_a_credential_nothing_is_asked_or_the_login_is_tried_for_a_moment() {
    let bench = Bench::splunk().await;
    bench.otherwise(|_| success());
    let report = only(test(&bench, SPLUNK, true).await);
    let (without, stage) = searched(&report);
    assert_eq!(
        (without.outcome, without.after, stage, bench.seen().len()),
        (SearchOutcome::NotSearched, None, None, 1)
    );

    let config = json!({"url": "https://elasticsearch.example:9200", "manage_template": false});
    let bench = Bench::new(ELASTICSEARCH, config).await;
    let answer = Arc::new(Mutex::new(json!({ "hits": { "hits": [] } })));
    let says = answer.clone();
    bench.otherwise(move |request| {
        if request.url.ends_with("/_bulk") {
            return reply(200, &json!({ "errors": false, "items": [{ "create": { "status": 201 } }] }));
        }
        assert_eq!(request.url, "https://elasticsearch.example:9200/toktra-security-events-*/_search");
        let status = if says.lock().get("error").is_some() { 403 } else { 200 };
        reply(status, &says.lock())
    });
    let started = bench.since.elapsed();
    let report = only(test(&bench, ELASTICSEARCH, true).await);
    assert_eq!((searched(&report).0.outcome, searched(&report).1), (SearchOutcome::NotFound, None));
    assert!(bench.since.elapsed().saturating_sub(started) <= bench.ctx.timing.search_unasked);

    *answer.lock() = json!({ "error": { "type": "security_exception", "reason": "action is unauthorized" } });
    let report = only(test(&bench, ELASTICSEARCH, true).await);
    let (no, stage) = searched(&report);
    assert_eq!((no.outcome, stage), (SearchOutcome::NotSearched, None), "nobody promised that it may");
    assert!(no.message.contains(r#"{"names":["toktra-security-events-*"],"privileges":["read"]}"#), "{}", no.message);

    // What answers everything as if it were a bulk request, as some receivers do, has no search.
    *answer.lock() = json!({ "errors": false, "items": [] });
    let report = only(test(&bench, ELASTICSEARCH, true).await);
    assert_eq!((report.delivered, searched(&report).0.outcome), (true, SearchOutcome::NotSearched));
}
