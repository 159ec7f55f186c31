//! What stands behind the API of a server in this process in the place of what would deliver: it remembers what it was told, and answers.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use toktra_siem_app::{Dispatch, TemplateFailure, TemplateReport, TestFailure, TestRequest};
use toktra_siem_core::cause::Cause;
use toktra_siem_core::certificate::Certificate;
use toktra_siem_core::ids::{ConnectorId, DeliveryId, EventId, OrgId, StreamId, StreamKind};
use toktra_siem_core::time::Timestamp;
use toktra_siem_dispatch::test_delivery::{Listener, Progress, StreamReport, TestReport};
use toktra_siem_dispatch::watchdog::Verdict;
use toktra_siem_egress::{Resolver, Stage, StageName};
use toktra_siem_platform::Registry;
use toktra_siem_store::{Disk, Shortage, StoreError, Vitals, Watched};
use uuid::Uuid;

/// Remembers which connectors it was told of, and answers for every template.
#[derive(Default)]
pub struct Recorder {
    /// The connectors that were changed, in that order.
    pub changed: Mutex<Vec<(OrgId, ConnectorId)>>,
    /// Connectors whose jobs it was told of.
    pub jobs: Mutex<Vec<ConnectorId>>,
    /// What the next call for a template answers, instead of success.
    pub failure: Mutex<Option<TemplateFailure>>,
    /// Whether a call for a template panics.
    pub panics: AtomicBool,
    /// The tests that were asked for.
    pub tests: Mutex<Vec<TestRequest>>,
    /// What the next test comes to, instead of success.
    pub test_failure: Mutex<Option<TestFailure>>,
    /// Whether that happens in the middle of it, rather than before it begins.
    pub fails_late: AtomicBool,
    /// The certificate that every stream of a test refuses, and the code of the cause.
    pub refuses: Mutex<Option<(&'static str, Certificate)>>,
    /// Why streams do not move.
    pub verdict: Mutex<Option<Verdict>>,
}

impl Recorder {
    /// What comes of a test here: Datadog's metrics are refused, everything else is taken.
    fn report(request: &TestRequest) -> TestReport {
        let settings = &request.record.connector.settings;
        let event_id = EventId(Uuid::from_u128(0x7e57));
        let stage = |name, ms, detail: &str| Stage {
            name,
            ok: true,
            duration: Duration::from_millis(ms),
            detail: detail.into(),
        };
        let streams = settings.streams().iter().map(|kind| {
            let refused = *kind == StreamKind::Metrics;
            let message = "Datadog answered 403: it does not accept this API key here.";
            let cause = refused.then(|| Cause::new("datadog_api_key_refused", message));
            let mut stages =
                vec![stage(StageName::Tcp, 3, "93.184.216.34:443"), stage(StageName::Http, 20, "HTTP 200")];
            stages.push(Stage { ok: !refused, ..stage(StageName::Write, 0, "") });
            StreamReport {
                stream: *kind,
                delivered: !refused,
                delivery: request.saved.then(|| DeliveryId(Uuid::from_u128(0xde11))),
                http_status: Some(if refused { 403 } else { 200 }),
                response: Some("{}".into()),
                duration: Duration::from_millis(23),
                stages,
                hint: cause.as_ref().map(|cause| cause.message.clone()),
                cause,
                certificate: None,
                searched: None,
            }
        });
        TestReport {
            event_id,
            search: Registry::standard().search(settings, event_id),
            open_url: None,
            streams: streams.collect(),
            closed: false,
        }
    }

    /// Tells of a test as if it happened just now.
    fn tell(listener: &Listener, report: &TestReport) {
        listener.tell(|| Progress::Begun(report.event_id));
        for stream in &report.streams {
            for stage in &stream.stages {
                listener.tell(|| Progress::Stage(stream.stream, stage.clone()));
            }
        }
    }
}

#[async_trait]
impl Dispatch for Recorder {
    fn connector_changed(&self, org: OrgId, id: ConnectorId) {
        self.changed.lock().push((org, id));
    }

    fn job_changed(&self, id: ConnectorId) {
        self.jobs.lock().push(id);
    }

    fn verdict(&self, _stream: StreamId) -> Verdict {
        self.verdict.lock().clone().unwrap_or(Verdict::Moves)
    }

    async fn apply_template(&self, _org: OrgId, _id: ConnectorId) -> Result<TemplateReport, TemplateFailure> {
        assert!(!self.panics.load(Ordering::SeqCst), "a canary that no client may see");
        match self.failure.lock().take() {
            Some(failure) => Err(failure),
            None => Ok(TemplateReport { template: "toktra-security-events".into(), warning: None }),
        }
    }

    async fn test(&self, request: TestRequest) -> Result<TestReport, TestFailure> {
        let mut report = Self::report(&request);
        if let Some((code, shown)) = self.refuses.lock().clone() {
            for stream in &mut report.streams {
                stream.delivered = false;
                stream.cause = Some(Cause::new(code, "The certificate was refused."));
                stream.certificate = Some(shown.clone());
            }
        }
        let failure = self.test_failure.lock().take();
        if failure.is_none() || self.fails_late.load(Ordering::SeqCst) {
            Self::tell(&request.listener, &report);
        }
        self.tests.lock().push(request);
        match failure {
            Some(failure) => Err(failure),
            None => Ok(report),
        }
    }
}

/// The store as operators see it, and as it looks after the disk failed.
pub struct Watch {
    pub(super) store: Arc<dyn Watched>,
    /// Whether the store says that its disk has failed.
    pub poisoned: AtomicBool,
    /// What it says that there is not enough of for new events.
    pub refusing: Mutex<Option<Shortage>>,
}

#[async_trait]
impl Watched for Watch {
    fn vitals(&self) -> Vitals {
        let (poisoned, refusing) = (self.poisoned.load(Ordering::SeqCst), *self.refusing.lock());
        Vitals { poisoned, refusing, ..self.store.vitals() }
    }

    async fn disk(&self) -> Result<Disk, StoreError> {
        self.store.disk().await
    }

    async fn last_backup(&self) -> Option<Timestamp> {
        self.store.last_backup().await
    }
}

/// Knows two names: one leads to the public internet, one inside.
pub(super) struct Names;

#[async_trait]
impl Resolver for Names {
    async fn resolve(&self, name: &str) -> std::io::Result<Vec<IpAddr>> {
        match name {
            "siem.example" => Ok(vec![IpAddr::from([93, 184, 216, 34])]),
            "inside.example" => Ok(vec![IpAddr::from([10, 1, 2, 3])]),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        }
    }
}
