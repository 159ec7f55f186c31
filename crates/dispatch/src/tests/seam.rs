//! What the seam between a platform and the dispatcher takes beyond what today's platforms use: a token that is fetched and renewed, the last
//! hand on a signed request, a reply that counts without saying which, and batches that wait for company.

use toktra_siem_core::cause::Cause;
use toktra_siem_core::delivery::Status;
use toktra_siem_core::destination::HeaderText;
use toktra_siem_core::event::StoredEvent;
use toktra_siem_core::signing::SIGNATURE;
use toktra_siem_platform::destination::{
    Batch, BatchLimits, Destination, EncodeError, Encoded, Grant, Judgement, Method, OutboundRequest, Pacing, Sealed,
    SetupStep, Verdict,
};
use toktra_siem_platform::reply::Endpoint as Spoken;
use toktra_siem_platform::{BuildError, Descriptor, Field, Plan, Platform};

use super::*;

const SEAM: PlatformId = PlatformId::fixed("seam");

struct Seam(Descriptor);

impl Seam {
    fn new() -> Self {
        let fields = vec![Field::url("url", "URL").required(), Field::number("linger", "Linger", 0, 60).default("0")];
        Self(Descriptor { fields, ..Descriptor::new(SEAM, "Seam") })
    }
}

impl Platform for Seam {
    fn descriptor(&self) -> &Descriptor {
        &self.0
    }

    fn build(&self, plan: Plan<'_>) -> Result<Box<dyn Destination>, BuildError> {
        let url = plan.settings.text("url").unwrap_or_default().to_owned();
        let linger = plan.settings.config["linger"].as_u64().unwrap_or_default();
        let spoken = Spoken { name: "Seam", key: "seam", address: String::new(), redactor: plan.redactor };
        Ok(Box::new(Fetching { url, linger: Duration::from_secs(linger), spoken }))
    }

    fn search(&self, _: &toktra_siem_core::connector::Settings, event: EventId) -> String {
        event.to_string()
    }
}

struct Fetching {
    url: String,
    linger: Duration,
    spoken: Spoken,
}

impl Fetching {
    fn request(&self, path: &str, body: Vec<u8>) -> OutboundRequest {
        let (url, body) = (format!("{}{path}", self.url), body.into());
        OutboundRequest { method: Method::Post, url, secret_url: true, headers: vec![], body }
    }
}

impl Destination for Fetching {
    fn limits(&self) -> BatchLimits {
        BatchLimits { events: 3, bytes: 100_000, overhead: 0 }
    }

    fn cost(&self, event: &StoredEvent) -> usize {
        event.payload.len()
    }

    fn pacing(&self) -> Pacing {
        if self.linger.is_zero() { Pacing::Live } else { Pacing::Linger { age: self.linger } }
    }

    fn encode(&self, batch: Batch<'_>, _: Timestamp) -> Result<Encoded, EncodeError> {
        let Batch::Events(events) = batch else { return Err(EncodeError::WrongBatch { expected: "events" }) };
        let body = events.iter().flat_map(|event| event.payload.to_vec()).collect();
        Ok(Encoded { request: Some(self.request("/events", body)), omitted: vec![] })
    }

    fn classify(&self, reply: &Reply, sent: usize, now: Timestamp) -> Verdict {
        match (reply.status, reply.body.as_ref()) {
            (200, b"\"all\"") => Verdict::delivered(sent, None),
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
            sealed.headers.push(("authorization".into(), HeaderText::Secret(grant.secret.clone())));
        }
    }

    fn refuses_grant(&self, reply: &Reply) -> bool {
        reply.status == 401
    }
}

/// Tokens in turn, and to events what `answer` says of their token.
fn with_tokens(bench: &Bench, answer: impl Fn(&str) -> Answer + Send + 'static) {
    let fetched = std::sync::atomic::AtomicU64::new(0);
    bench.otherwise(move |request| {
        if request.url.ends_with("/token") {
            let number = fetched.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            return reply(200, &json!(format!("token-{number}")));
        }
        let header = |wanted: &str| request.headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
        let Some(HeaderText::Secret(token)) = header("authorization") else { panic!("no token: {request:?}") };
        let Some(HeaderText::Plain(over)) = header("x-over") else { panic!("not finished: {request:?}") };
        assert!(over.ends_with(&format!("/events over 1 signature and {} bytes", request.body.len())), "{over}");
        answer(secrecy::ExposeSecret::expose_secret(token))
    });
}

async fn seam(linger: u64) -> Bench {
    let config = json!({ "url": "https://seam.example/secret-path", "linger": linger });
    Bench::with(Registry::standard().with(Seam::new()), SEAM, config).await
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
