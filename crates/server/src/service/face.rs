//! What the use cases see of the part that delivers.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::broadcast;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use toktra_siem_app::{Dispatch, TemplateFailure, TemplateReport, TestFailure, TestRequest};
use toktra_siem_core::cause::Cause;
use toktra_siem_core::filter::FilterTimeline;
use toktra_siem_core::ids::{ConnectorId, OrgId, StreamId, StreamKind};
use toktra_siem_core::time::Timestamp;
use toktra_siem_dispatch::Context;
use toktra_siem_dispatch::hub::HubHandle;
use toktra_siem_dispatch::link::{Link, LinkError, Links as _, Prepared, run_setup};
use toktra_siem_dispatch::links::StoredLinks;
use toktra_siem_dispatch::test_delivery::{self, TestOrder, TestReport};
use toktra_siem_dispatch::watchdog::Verdict;
use toktra_siem_platform::destination::{OnRequest, SetupStep};
use toktra_siem_store::{ConnectorRecord, StoreError};

use super::places::Places;

/// The hub, and the way to an endpoint for what is done on request.
pub(super) struct Dispatching {
    pub(super) handle: HubHandle,
    pub(super) links: Arc<StoredLinks>,
    pub(super) context: Arc<Context>,
    /// Places for test deliveries.
    pub(super) tests: Places,
    /// Ends what people wait for.
    pub(super) closing: CancellationToken,
    /// Ends the searches of tests whose connector is removed.
    pub(super) removed: broadcast::Sender<ConnectorId>,
}

#[async_trait]
impl Dispatch for Dispatching {
    fn connector_changed(&self, org: OrgId, id: ConnectorId) {
        self.handle.connector_changed(org, id);
    }

    async fn connector_removed(&self, org: OrgId, id: ConnectorId) {
        // Nobody may be listening.
        let _ = self.removed.send(id);
        self.handle.connector_removed(org, id).await;
    }

    fn job_changed(&self, id: ConnectorId) {
        self.handle.job_changed(id);
    }

    async fn apply_template(&self, org: OrgId, id: ConnectorId) -> Result<TemplateReport, TemplateFailure> {
        let record = self.links.store.connector(org, id).await?;
        let unusable = |why: String| TemplateFailure::Endpoint(Cause::new("connector_unusable", why));
        let Some(stream) = record.connector.streams().next() else { return Err(TemplateFailure::Unsupported) };
        let link = match self.links.link(org, stream).await {
            Ok(link) => link,
            Err(LinkError::Store(error)) => return Err(error.into()),
            Err(error) => return Err(unusable(error.to_string())),
        };
        let Some(OnRequest { name, .. }) = link.destination.setup_on_request(&[]) else {
            return Err(TemplateFailure::Unsupported);
        };
        let context = &self.context;
        let until = Instant::now() + context.timing.request;
        // It was there for an empty list, and whether it is does not depend on the replies.
        let next =
            |seen: &[_]| link.destination.setup_on_request(seen).map_or_else(SetupStep::done, |asked| asked.step);
        let send = |request| link.set_up(request, &*context.clock, &*context.random, until);
        match run_setup(&mut Vec::new(), next, send).await {
            Prepared::Ready { warning, .. } => {
                context.warnings.prepared(stream, warning.clone());
                Ok(TemplateReport { template: name, warning })
            }
            Prepared::Hold { cause, .. } => Err(TemplateFailure::Endpoint(cause)),
        }
    }

    fn warning(&self, stream: StreamId) -> Option<Cause> {
        self.context.warnings.of(stream)
    }

    fn failing(&self, stream: StreamId) -> Option<(Timestamp, Cause)> {
        self.context.warnings.failing(stream)
    }

    fn verdict(&self, stream: StreamId) -> Verdict {
        self.context.watch.of(stream)
    }

    async fn test(&self, request: TestRequest) -> Result<TestReport, TestFailure> {
        let TestRequest { record, saved, sample, audit, listener } = request;
        let (org, id) = (record.connector.org, record.connector.id);
        let place = self.tests.take(org).ok_or(TestFailure::Busy)?;
        let links = self.links_of(&record)?;
        // Not in the request's own task: whoever asked may go away, and what was opened has to be settled.
        let stop = self.closing.child_token();
        let mut removed = self.removed.subscribe();
        let ends = stop.clone();
        let watch = AbortOnDropHandle::new(tokio::spawn(async move {
            while removed.recv().await.is_ok_and(|other| other != id) {}
            ends.cancel();
        }));
        let listener = listener.until(stop);
        let order = TestOrder { links, kept: saved, sample, audit, listener };
        let (context, handle) = (self.context.clone(), self.handle.clone());
        let task = tokio::spawn(async move {
            let (_place, _watch) = (place, watch);
            let report = test_delivery::run(context, order).await;
            if report.as_ref().is_ok_and(|report| report.closed) {
                handle.connector_changed(org, id);
            }
            report
        });
        let report = task.await.map_err(|panicked| {
            let context = "making a test delivery";
            StoreError::Unavailable { context, source: Box::new(panicked) }
        })??;
        Ok(report)
    }
}

impl Dispatching {
    /// New links to the streams that a test tries: those that are enabled, also where the connector is off. The filter plays no part.
    fn links_of(&self, record: &ConnectorRecord) -> Result<Vec<(StreamKind, Link)>, TestFailure> {
        let settings = &record.connector.settings;
        let kinds = settings.streams().iter().copied().filter(|kind| settings.sends(*kind));
        let links = kinds.map(|kind| match self.links.assemble(record.clone(), FilterTimeline::default(), kind) {
            Ok(link) => Ok((kind, link)),
            Err(LinkError::Store(error)) => Err(error.into()),
            Err(LinkError::Unusable(why)) => Err(TestFailure::Unusable(why)),
            Err(LinkError::Gone) => Err(StoreError::NotFound.into()),
        });
        links.collect()
    }
}
