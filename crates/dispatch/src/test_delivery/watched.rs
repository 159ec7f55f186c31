//! What happens on the way of a test, while it happens: noted for the report, and told to whoever watches.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use toktra_siem_core::certificate::Certificate;
use toktra_siem_core::ids::{EventId, StreamKind};
use toktra_siem_core::signing::SignedRequest;
use toktra_siem_egress::Stage;

use crate::link::{SendLimits, Sender, Sent};

/// Something that happened in a test that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// It has begun, with this event.
    Begun(EventId),
    /// A stage of this stream has ended. Where the endpoint is prepared first, a stage comes once for each request, each time with all
    /// that it took so far; the last one stands in the report.
    Stage(StreamKind, Stage),
    /// The event is looked for in this stream, since so long.
    Searching(StreamKind, Duration),
}

/// Who hears of a test while it is under way; by default nobody. The test goes on to its end whether somebody listens or not. What is told
/// is little: a few stages for each of a few requests.
#[derive(Debug, Clone, Default)]
pub struct Listener {
    sender: Option<UnboundedSender<Progress>>,
    closing: CancellationToken,
}

impl Listener {
    /// Whoever has the other end.
    pub fn new(sender: UnboundedSender<Progress>) -> Self {
        Self { sender: Some(sender), ..Self::default() }
    }

    /// The same, which goes away when `closing` says so.
    #[must_use]
    pub fn until(self, closing: CancellationToken) -> Self {
        Self { closing, ..self }
    }

    /// Returns once the listener has gone, or the service or the connector ends. If there never was a listener, the caller may still wait for the
    /// outcome.
    pub(super) async fn gone(&self) {
        let closed = async {
            match &self.sender {
                Some(sender) => sender.closed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.closing.cancelled() => {}
            () = closed => {}
        }
    }

    /// Tells what `progress` gives, if somebody listens.
    pub fn tell(&self, progress: impl FnOnce() -> Progress) {
        if let Some(sender) = &self.sender {
            // Who has gone away does not want to know any more.
            let _ = sender.send(progress());
        }
    }
}

/// Notes the stages of every request on its way through, and lets none last longer than the test.
pub(super) struct Watched {
    sender: Arc<dyn Sender>,
    until: Instant,
    noted: Arc<Noted>,
}

struct Noted {
    stream: StreamKind,
    listener: Listener,
    /// `None` once the report has them: a question whether the event is indexed is no stage of its way.
    stages: Mutex<Option<Vec<Stage>>>,
    /// The certificate that was refused, if one was.
    certificate: Mutex<Option<Certificate>>,
}

impl Watched {
    /// A sender that goes on through `sender`.
    pub(super) fn new(sender: Arc<dyn Sender>, until: Instant, stream: StreamKind, listener: Listener) -> Arc<Self> {
        let noted =
            Arc::new(Noted { stream, listener, stages: Mutex::new(Some(Vec::new())), certificate: Mutex::default() });
        Arc::new(Self { sender, until, noted })
    }

    /// One of each stage so far, in their order. What comes afterwards is not noted.
    pub(super) fn stages(&self) -> Vec<Stage> {
        let mut stages = self.noted.stages.lock().take().unwrap_or_default();
        stages.sort_by_key(|stage| stage.name);
        stages
    }

    /// The certificate that was refused, if one was.
    pub(super) fn certificate(&self) -> Option<Certificate> {
        self.noted.certificate.lock().clone()
    }
}

impl Noted {
    fn note(&self, stage: &Stage) {
        let mut stages = self.stages.lock();
        let Some(stages) = stages.as_mut() else { return };
        let merged = merge(stages, stage);
        self.listener.tell(|| Progress::Stage(self.stream, merged.clone()));
    }
}

#[async_trait]
impl Sender for Watched {
    async fn send(&self, request: SignedRequest, limits: SendLimits) -> Sent {
        let left = self.until.saturating_duration_since(Instant::now());
        let limits = SendLimits { deadline: limits.deadline.min(left), ..limits };
        let noted = self.noted.clone();
        let sent = self.sender.send_watched(request, limits, Arc::new(move |stage| noted.note(stage))).await;
        self.noted.certificate.lock().clone_from(&sent.certificate);
        sent
    }
}

/// One of each stage. Where an endpoint was prepared first there were several requests: their times add up, and what the last one said
/// stands.
fn merge<'a>(stages: &'a mut Vec<Stage>, stage: &Stage) -> &'a Stage {
    let at = stages.iter().position(|present| present.name == stage.name).unwrap_or(stages.len());
    match stages.get_mut(at) {
        Some(present) => *present = Stage { duration: present.duration + stage.duration, ..stage.clone() },
        None => stages.push(stage.clone()),
    }
    &stages[at]
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::unbounded_channel;
    use toktra_siem_core::destination::Reply;

    use super::*;
    use toktra_siem_egress::StageName::{Dns, Http, Tcp};

    fn stage(name: toktra_siem_egress::StageName, ms: u64, detail: &str) -> Stage {
        Stage { name, ok: true, duration: Duration::from_millis(ms), detail: detail.to_owned() }
    }

    struct Silent;

    #[async_trait]
    impl Sender for Silent {
        async fn send(&self, _request: SignedRequest, _limits: SendLimits) -> Sent {
            Ok(Reply::default()).into()
        }
    }

    #[tokio::test]
    async fn several_requests_make_one_list_and_each_stage_is_told_as_it_stands() {
        let (sender, mut told) = unbounded_channel();
        let watched = Watched::new(Arc::new(Silent), Instant::now(), StreamKind::Events, Listener::new(sender));
        let seen =
            [stage(Tcp, 2, "a"), stage(Dns, 1, "1 address"), stage(Http, 3, "HTTP 200"), stage(Http, 4, "HTTP 403")];
        for stage in &seen {
            watched.noted.note(stage);
        }
        let expected = [stage(Dns, 1, "1 address"), stage(Tcp, 2, "a"), stage(Http, 7, "HTTP 403")];
        assert_eq!(watched.stages(), expected);
        watched.noted.note(&stage(Http, 1, "a question afterwards"));
        drop(watched);
        let mut heard = Vec::new();
        while let Some(progress) = told.recv().await {
            heard.push(progress);
        }
        let [.., last] = &seen;
        let last = Stage { duration: Duration::from_millis(7), ..last.clone() };
        let told =
            [&seen[0], &seen[1], &seen[2], &last].map(|stage| Progress::Stage(StreamKind::Events, stage.clone()));
        assert_eq!(heard, told);
    }
}
