//! What the API sees of the part that delivers.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use toktra_siem_core::connector::PlatformConfig;
use toktra_siem_core::destination::template_step;
use toktra_siem_core::ids::{ConnectorId, OrgId, StreamId, StreamKind};

use crate::api::{Dispatch, TemplateFailure, TemplateReport};
use crate::clock::Clock;
use crate::dispatch::hub::HubHandle;
use crate::dispatch::link::{LinkError, Links as _, Prepared, SendLimits, run_setup};
use crate::links::{StoredLinks, open_credentials};
use crate::random::Random;
use toktra_siem_core::cause::Cause;

/// The hub, and the way to an endpoint for what is done on request.
pub(super) struct Dispatching {
    pub(super) handle: HubHandle,
    /// Wakes who gives up what is parked.
    pub(super) discards: Arc<Notify>,
    pub(super) links: Arc<StoredLinks>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    /// Of one request.
    pub(super) deadline: Duration,
}

#[async_trait]
impl Dispatch for Dispatching {
    fn connector_changed(&self, org: OrgId, id: ConnectorId) {
        self.handle.connector_changed(org, id);
    }

    fn job_changed(&self, id: ConnectorId) {
        self.handle.job_changed(id);
        self.discards.notify_one();
    }

    async fn apply_template(&self, org: OrgId, id: ConnectorId) -> Result<TemplateReport, TemplateFailure> {
        let record = self.links.store.connector(org, id).await?;
        let settings = &record.connector.settings;
        let PlatformConfig::Elasticsearch(config) = &settings.platform else {
            return Err(TemplateFailure::Unsupported);
        };
        let unusable = |why: String| TemplateFailure::Endpoint(Cause::new("connector_unusable", why));
        let credentials = open_credentials(&self.links.vault, &record).map_err(|error| unusable(error.to_string()))?;
        if template_step(settings, &credentials, &[]).is_none() {
            return Err(unusable("its stored credential is not one of Elasticsearch. Enter it again".to_owned()));
        }
        let link = match self.links.link(org, StreamId { connector: id, kind: StreamKind::Events }).await {
            Ok(link) => link,
            Err(LinkError::Store(error)) => return Err(error.into()),
            Err(error) => return Err(unusable(error.to_string())),
        };
        let limits = SendLimits { deadline: self.deadline };
        let next = |seen: &[_]| {
            // It was there for an empty list, and whether it is does not depend on the replies.
            template_step(settings, &credentials, seen)
                .unwrap_or(toktra_siem_core::destination::SetupStep::Done { warning: None })
        };
        let send = |request| link.set_up(request, &*self.clock, &*self.random, limits);
        match run_setup(next, send).await {
            Prepared::Ready { warning } => Ok(TemplateReport { template: config.index_prefix.clone(), warning }),
            Prepared::Hold { cause, .. } => Err(TemplateFailure::Endpoint(cause)),
        }
    }
}
