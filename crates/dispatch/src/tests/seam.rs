//! What the seam between a platform and the dispatcher takes beyond what today's platforms use: a token that is fetched and renewed, the last
//! hand on a signed request, a reply that counts without saying which, and batches that wait for company.

use std::sync::atomic::{AtomicU64, Ordering};

use toktra_siem_core::delivery::Status;
use toktra_siem_core::destination::HeaderText;
use toktra_siem_core::event::StoredEvent;
use toktra_siem_core::signing::SIGNATURE;
use toktra_siem_platform::destination::{
    Batch, BatchLimits, Confirmed, Destination, EncodeError, Encoded, Grant, Judgement, Method, OutboundRequest,
    Pacing, Receipt, Sealed, SetupStep, Verdict,
};
use toktra_siem_platform::reply::Endpoint as Spoken;
use toktra_siem_platform::{BuildError, Descriptor, Field, Plan, Platform};

use super::*;

const SEAM: PlatformId = PlatformId::fixed("seam");

struct Seam {
    descriptor: Descriptor,
    /// How often it was asked what an event takes.
    weighed: Arc<AtomicU64>,
    /// What its code does wrong.
    fault: Arc<Mutex<Fault>>,
}

/// What the code of a platform may do wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Fault {
    #[default]
    None,
    /// It panics while a request is made.
    Request,
    /// It panics while a batch is cut.
    Cut,
    /// It makes no request.
    Refusal,
}

impl Seam {
    fn new(weighed: Arc<AtomicU64>, fault: Arc<Mutex<Fault>>) -> Self {
        let number = |name, default| Field::number(name, name, 0, 1000).default(default);
        let fields = vec![Field::url("url", "URL").required(), number("linger", "0"), number("most", "3")];
        Self { descriptor: Descriptor { fields, ..Descriptor::new(SEAM, "Seam") }, weighed, fault }
    }
}

impl Platform for Seam {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn build(&self, plan: Plan<'_>) -> Result<Box<dyn Destination>, BuildError> {
        let url = plan.settings.text("url").unwrap_or_default().to_owned();
        let number = |name: &str| plan.settings.config[name].as_u64().unwrap_or_default();
        let (linger, most) = (Duration::from_secs(number("linger")), usize::try_from(number("most")).unwrap());
        let spoken = Spoken { name: "Seam", key: "seam", address: String::new(), redactor: plan.redactor };
        Ok(Box::new(Fetching {
            url,
            linger,
            most,
            spoken,
            weighed: Arc::clone(&self.weighed),
            fault: Arc::clone(&self.fault),
        }))
    }

    fn search(&self, _: &toktra_siem_core::connector::Settings, event: EventId) -> String {
        event.to_string()
    }
}

struct Fetching {
    url: String,
    linger: Duration,
    most: usize,
    spoken: Spoken,
    weighed: Arc<AtomicU64>,
    fault: Arc<Mutex<Fault>>,
}

impl Fetching {
    fn request(&self, path: &str, body: Vec<u8>) -> OutboundRequest {
        let (url, body) = (format!("{}{path}", self.url), body.into());
        OutboundRequest { method: Method::Post, url, secret_url: true, headers: vec![], body }
    }
}

impl Destination for Fetching {
    fn limits(&self) -> BatchLimits {
        BatchLimits { events: self.most, bytes: 100_000, overhead: 0 }
    }

    fn cost(&self, event: &StoredEvent) -> usize {
        assert!(*self.fault.lock() != Fault::Cut, "a bug in a platform");
        self.weighed.fetch_add(1, Ordering::Relaxed);
        event.payload.len()
    }

    fn pacing(&self) -> Pacing {
        if self.linger.is_zero() { Pacing::Live } else { Pacing::Linger { age: self.linger } }
    }

    fn encode(&self, batch: Batch<'_>, _: Timestamp) -> Result<Encoded, EncodeError> {
        assert!(*self.fault.lock() != Fault::Request, "a bug in a platform");
        let events = match batch {
            Batch::Events(events) if *self.fault.lock() != Fault::Refusal => events,
            _ => return Err(EncodeError::WrongBatch { expected: "events" }),
        };
        let body = events.iter().flat_map(|event| event.payload.to_vec()).collect();
        Ok(Encoded { request: Some(self.request("/events", body)), omitted: vec![] })
    }

    fn classify(&self, reply: &Reply, sent: usize, now: Timestamp) -> Verdict {
        match (reply.status, reply.body.as_ref()) {
            (200, b"\"all\"") => Verdict::delivered(sent, None),
            (202, _) => Verdict { confirm: Some(Receipt(json!("a receipt"))), ..Verdict::delivered(sent, None) },
            (200, _) => {
                let cause = Cause::new("seam_partly", "some were too old");
                let judgement = Judgement::Counted { delivered: sent - 1, refused: 1, cause };
                Verdict { judgement, ..Verdict::delivered(sent, None) }
            }
            _ => self.spoken.by_status(reply, sent, now),
        }
    }

    fn setup(&self, seen: &[Reply], now: Timestamp) -> SetupStep {
        match seen {
            [] => SetupStep::Send(self.request("/token", vec![])),
            [token, ..] => {
                let secret = String::from_utf8_lossy(&token.body).trim_matches('"').to_owned().into();
                let until = Some(now.plus(Duration::from_mins(1)));
                SetupStep::Done { warning: None, grant: Some(Grant { secret, until }) }
            }
        }
    }

    fn finish(&self, sealed: Sealed<'_>, grant: Option<&Grant>, _: Timestamp) {
        if let Some(grant) = grant {
            let signed = sealed.headers.iter().filter(|(name, _)| name == SIGNATURE).count();
            let over = format!("{} over {signed} signature and {} bytes", sealed.url, sealed.body.len());
            sealed.headers.push(("x-over".into(), HeaderText::Plain(over.into())));
            let plain = secrecy::ExposeSecret::expose_secret(&grant.secret).to_owned();
            sealed.headers.push(("x-plain".into(), HeaderText::Plain(plain.into())));
            sealed.headers.push(("authorization".into(), HeaderText::Secret(grant.secret.clone())));
        }
    }

    fn confirm(&self, _: &[Receipt]) -> Option<OutboundRequest> {
        Some(self.request("/acks", vec![]))
    }

    fn confirmed(&self, reply: &Reply, receipts: &[Receipt]) -> Confirmed {
        let is_indexed = reply.body.as_ref() == b"\"indexed\"";
        Confirmed { receipts: if is_indexed { receipts.to_vec() } else { vec![] }, never: None }
    }

    fn refuses_grant(&self, reply: &Reply) -> bool {
        reply.status == 401
    }
}

/// Tokens in turn, and to events what `answer` says of their token.
fn with_tokens(bench: &Bench, answer: impl Fn(&str) -> Answer + Send + 'static) {
    with_answers(bench, move |_, token| answer(token));
}

/// Tokens in turn, and to everything else what `answer` says of its path and token.
fn with_answers(bench: &Bench, answer: impl Fn(&str, &str) -> Answer + Send + 'static) {
    let fetched = AtomicU64::new(0);
    bench.otherwise(move |request| {
        if request.url.ends_with("/token") {
            let number = fetched.fetch_add(1, Ordering::Relaxed);
            return reply(200, &json!(format!("token-{number}")));
        }
        let header = |wanted: &str| request.headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
        let Some(HeaderText::Secret(token)) = header("authorization") else { panic!("no token: {request:?}") };
        let Some(HeaderText::Plain(over)) = header("x-over") else { panic!("not finished: {request:?}") };
        assert!(over.ends_with(&format!(" over 1 signature and {} bytes", request.body.len())), "{over}");
        let path = request.url.rsplit('/').next().unwrap();
        answer(path, secrecy::ExposeSecret::expose_secret(token))
    });
}

async fn seam(linger: u64) -> Bench {
    weighing(linger, 3).await.0
}

/// The same with so many events in a batch, and how often one was looked at.
async fn weighing(linger: u64, most: u64) -> (Bench, Arc<AtomicU64>) {
    let config = json!({ "url": "https://seam.example/secret-path", "linger": linger, "most": most });
    let weighed = Arc::<AtomicU64>::default();
    (Bench::with(Registry::standard().with(Seam::new(weighed.clone(), Arc::default())), SEAM, config).await, weighed)
}

fn paths(bench: &Bench) -> Vec<String> {
    bench.seen().iter().map(|seen| seen.url.rsplit('/').next().unwrap().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_token_is_fetched_once_and_again_when_it_runs_out() {
    let mut bench = seam(0).await;
    with_tokens(&bench, |_| reply(200, &json!("all")));
    for _ in 0..2 {
        bench.send(1).await;
        bench.pass(Duration::from_secs(5)).await;
    }
    assert_eq!(paths(&bench), ["token", "events", "events"]);
    bench.pass(Duration::from_mins(1)).await;
    bench.send(1).await;
    bench.pass(Duration::from_secs(5)).await;
    assert_eq!(paths(&bench), ["token", "events", "events", "token", "events"]);
    let history = bench.history().await;
    let sent = history[0].1[0].request.as_ref();
    assert!(sent.is_none_or(|sent| sent.url == "https://seam.example/[redacted]"), "{sent:?}");
    assert_eq!(bench.events_account().await.counts.delivered, 3);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_refused_is_fetched_once_more_within_the_attempt() {
    let mut bench = seam(0).await;
    with_tokens(&bench, |_| reply(200, &json!("all")));
    bench.send(1).await;
    bench.pass(Duration::from_secs(5)).await;
    // It is withdrawn; the next one is good.
    with_tokens(&bench, |token| if token == "token-0" { reply(200, &json!("all")) } else { reply(401, &json!("no")) });
    bench.answer([reply(401, &json!("withdrawn"))]);
    bench.send(1).await;
    bench.pass(Duration::from_secs(5)).await;
    assert_eq!(paths(&bench), ["token", "events", "events", "token", "events"]);
    let history = bench.history().await;
    assert_eq!((history[1].0.status, history[1].1.len()), (Status::Delivered, 1), "one attempt: {history:?}");
    // Nothing helps: the verdict on the fresh one stands, and no request is made for ever.
    with_tokens(&bench, |_| reply(401, &json!("no")));
    bench.send(1).await;
    bench.pass(Duration::from_millis(500)).await;
    assert_eq!(paths(&bench)[5..], ["events", "token", "events"]);
    assert_eq!(bench.events_account().await.pending(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_only_counts_delivers_with_a_warning_and_refuses_a_single_event() {
    let mut bench = seam(2).await;
    with_tokens(&bench, |_| reply(200, &json!("partly")));
    bench.send(3).await;
    bench.pass(Duration::from_secs(10)).await;
    bench.send(1).await;
    bench.pass(Duration::from_secs(10)).await;
    let history = bench.history().await;
    let cause = history[0].0.cause.clone().unwrap();
    assert_eq!((history[0].0.status, cause.code.as_ref()), (Status::Delivered, "seam_partly"));
    assert!(cause.message.starts_with("1 of 3 events were refused"), "{}", cause.message);
    assert_eq!(history[1].0.status, Status::Rejected);
    let counts = bench.events_account().await.counts;
    assert_eq!((counts.delivered, counts.rejected), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn batches_wait_for_company_until_they_are_full_or_old() {
    let mut bench = seam(30).await;
    with_tokens(&bench, |_| reply(200, &json!("all")));
    bench.send(2).await;
    bench.pass(Duration::from_secs(20)).await;
    assert_eq!(bench.history().await.len(), 0, "they are young and not many");
    bench.send(2).await;
    bench.pass(Duration::from_secs(2)).await;
    let sizes = |history: &[(Delivery, Vec<Attempt>)]| history.iter().map(|(d, _)| d.events()).collect::<Vec<_>>();
    assert_eq!(sizes(&bench.history().await), [3], "a full batch goes at once, the rest waits");
    bench.pass(Duration::from_secs(20)).await;
    assert_eq!(sizes(&bench.history().await), [3]);
    bench.pass(Duration::from_secs(20)).await;
    assert_eq!(sizes(&bench.history().await), [3, 1]);
    assert_eq!(bench.events_account().await.counts.delivered, 4);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_a_wrong_clock_accepted_does_not_wait_for_company_until_its_time_has_come() {
    let mut bench = seam(30).await;
    with_tokens(&bench, |_| reply(200, &json!("all")));
    bench.ahead.store(86_400, Ordering::SeqCst);
    bench.send(2).await;
    bench.ahead.store(0, Ordering::SeqCst);
    bench.pass(Duration::from_secs(35)).await;
    assert_eq!(bench.events_account().await.counts.delivered, 2);
}

#[tokio::test(start_paused = true)]
async fn events_that_wait_for_company_are_read_again_only_when_they_go() {
    let (mut bench, weighed) = weighing(30, 100).await;
    with_tokens(&bench, |_| reply(200, &json!("all")));
    for _ in 0..50 {
        bench.send(1).await;
        bench.pass(Duration::from_millis(100)).await;
    }
    let looked_at = weighed.load(Ordering::Relaxed);
    assert!(looked_at < 150, "{looked_at}");
    bench.send(50).await;
    bench.pass(Duration::from_secs(1)).await;
    let history = bench.history().await;
    assert_eq!((history.len(), history[0].0.events()), (1, 100), "they are full before their time is over");
}

#[tokio::test(start_paused = true)]
async fn what_was_fetched_is_in_nothing_that_is_kept() {
    let mut bench = seam(0).await;
    with_tokens(&bench, |token| {
        let said = format!("{token} is {token}").into();
        let headers = vec![("x-echo".to_owned(), said), (format!("x-{token}"), Bytes::from_static(b"x"))];
        Ok(Reply { headers, content_type: Some(token.to_owned()), ..reply(400, &json!({ "error": token })).unwrap() })
    });
    bench.send(1).await;
    bench.pass(Duration::from_secs(1)).await;
    let history = format!("{:?}", bench.history().await);
    assert!(history.contains("x-echo") && history.contains("x-plain") && history.contains("[redacted]"), "{history}");
    assert!(!history.contains("token-0"), "{history}");
}

#[tokio::test(start_paused = true)]
async fn acknowledgements_are_asked_for_with_a_token_that_is_good() {
    let mut bench = seam(0).await;
    with_answers(&bench, |path, token| match (path, token) {
        ("events", _) => reply(202, &json!("accepted")),
        // This one runs out in the meantime, and the next is withdrawn.
        (_, "token-0") => reply(200, &json!("not yet")),
        (_, "token-1") => reply(401, &json!("withdrawn")),
        _ => reply(200, &json!("indexed")),
    });
    bench.send(1).await;
    bench.pass(Duration::from_secs(90)).await;
    let history = bench.history().await;
    assert_eq!(history[0].0.status, Status::Delivered, "{history:?}");
    assert_eq!(paths(&bench)[paths(&bench).len() - 4..], ["token", "acks", "token", "acks"]);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_has_its_time_with_everything_that_goes_before_it() {
    let mut bench = seam(0).await;
    with_tokens(&bench, |_| reply(200, &json!("all")));
    bench.pass(Duration::from_secs(61)).await;
    *bench.endpoint.takes.lock() = Duration::from_secs(20);
    bench.send(1).await;
    bench.pass(Duration::from_secs(31)).await;
    let history = bench.history().await;
    let [attempt] = history[0].1.as_slice() else { panic!("{history:?}") };
    assert_eq!((attempt.duration_ms, attempt.cause.as_ref().unwrap().code.as_ref()), (30_000, "network_timeout"));
    // The token is there by now.
    bench.pass(Duration::from_secs(25)).await;
    assert_eq!(bench.events_account().await.counts.delivered, 1);
}

/// A bug in a platform's code does not run in circles: the pauses grow, health says since when it has been so, and what waits is delivered once
/// the bug is gone.
#[tokio::test(start_paused = true)]
async fn code_of_a_platform_that_fails_is_tried_less_and_less_often_and_shown() {
    for wrong in [Fault::Request, Fault::Cut, Fault::Refusal] {
        let fault = Arc::new(Mutex::new(wrong));
        let registry = Registry::standard().with(Seam::new(Arc::default(), fault.clone()));
        let config = json!({ "url": "https://seam.example/path", "linger": 0, "most": 3 });
        let mut bench = Bench::with(registry, SEAM, config).await;
        with_tokens(&bench, |_| reply(200, &json!("all")));
        let stream = StreamId { connector: CONNECTOR, kind: StreamKind::Events };
        bench.send(2).await;
        let mut shown = Vec::new();
        for _ in 0..30 {
            bench.pass(Duration::from_secs(20)).await;
            shown.push(bench.ctx.warnings.failing(stream).map(|(since, _)| since));
        }
        assert!(shown.iter().all(|since| since.is_some() && *since == shown[0]), "{wrong:?}: {shown:?}");
        *fault.lock() = Fault::None;
        bench.pass(Duration::from_mins(2)).await;
        assert_eq!(bench.ctx.warnings.failing(stream), None, "{wrong:?}");
        assert_eq!(bench.events_account().await.counts.delivered, 2, "{wrong:?}");
    }
}
