//! The tasks of a receiver: one that accepts connections, one for each connection, and the path of a request through
//! script, rules and recorder.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::recorder::{Recorder, Recording};
use super::reply::{AnswerBody, BrokenOff, Reply};
use super::request::Received;
use super::script::{Behaviour, Decision, Delivery, Scripts};
use super::wire::Wire;
use super::{Judgement, Rules};

/// No platform takes more than this in one request; a larger one breaks the connection.
const WIRE_CAP: usize = 256 * 1024 * 1024;

pub(super) struct Shared<R: Rules> {
    pub(super) rules: R,
    pub(super) recorder: Recorder,
    pub(super) scripts: Scripts<R::Endpoint, R::Fault>,
    pub(super) tls: Option<TlsAcceptor>,
}

/// The accepting task. It owns the listener and every connection's task, so that its end is the end of all.
pub(super) struct Running {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Running {
    pub(super) fn start<R: Rules>(listener: TcpListener, shared: Arc<Shared<R>>) -> Self {
        let (stop, stopped) = oneshot::channel();
        Self { stop: Some(stop), task: tokio::spawn(accept(listener, shared, stopped)) }
    }

    pub(super) async fn stop(mut self) {
        drop(self.stop.take());
        // An error would mean that the task was aborted or panicked: it has ended either way.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept<R: Rules>(listener: TcpListener, shared: Arc<Shared<R>>, mut stopped: oneshot::Receiver<()>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                // What fails here (a peer that is gone again, no file handle left) concerns one connection only.
                if let Ok((tcp, _)) = accepted {
                    connections.spawn(connection(tcp, Arc::clone(&shared)));
                }
            }
        }
    }
    drop(listener);
    connections.shutdown().await;
}

async fn connection<R: Rules>(tcp: TcpStream, shared: Arc<Shared<R>>) {
    // Answers are small: without this each would wait for the acknowledgement of the one before.
    let _ = tcp.set_nodelay(true);
    let (wire, reset) = Wire::new(tcp);
    match shared.tls.clone() {
        // A failed handshake is the sender's refusal of our certificate, which is what such a test looks for there.
        Some(tls) => {
            if let Ok(stream) = tls.accept(wire).await {
                serve(stream, &reset, &shared).await;
            }
        }
        None => serve(wire, &reset, &shared).await,
    }
}

async fn serve<R: Rules>(io: impl AsyncRead + AsyncWrite + Unpin, reset: &AtomicBool, shared: &Shared<R>) {
    let service = service_fn(|request| shared.handle(request, reset));
    // Errors are broken connections, by the script's wish or the sender's; both are visible in the log.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(io), service).await;
}

impl<R: Rules> Shared<R> {
    async fn handle(&self, request: Request<Incoming>, reset: &AtomicBool) -> Result<Response<AnswerBody>, BrokenOff> {
        let (head, body) = request.into_parts();
        let behaviour = self.scripts.take(&self.rules.endpoint(head.uri.path()));
        if let Decision::Unread(bytes) = behaviour.decision {
            let wire = read_some(body, bytes).await;
            self.recorder.arrived(&Received::new(head, wire));
            return Err(break_off(reset));
        }
        let wire = Limited::new(body, WIRE_CAP).collect().await.map_err(|_| break_off(reset))?.to_bytes();
        let received = Received::new(head, wire);
        let order = self.recorder.arrived(&received);
        if let Some(gate) = &behaviour.before {
            gate.pass().await;
        }
        let reply = self.decide(order, &received, &behaviour);
        if let Some(gate) = &behaviour.held {
            gate.pass().await;
        }
        self.deliver(order, reply, behaviour.delivery, reset).await
    }

    fn decide(&self, order: u64, received: &Received, behaviour: &Behaviour<R::Fault>) -> Reply {
        let judgement = match &behaviour.decision {
            Decision::Strict if self.recorder.recording() == Recording::Counts => self.rules.count(received),
            Decision::Strict => self.rules.judge(received, None),
            Decision::Faulty(fault) => self.rules.judge(received, Some(fault)),
            Decision::Fixed(reply) => Judgement::of(reply.clone()),
            Decision::Nothing | Decision::Unread(_) => return Reply::empty(500),
        };
        let Judgement { reply, mut findings } = judgement;
        for event in &mut findings.accepted {
            event.request = order;
        }
        match self.recorder.found(order, findings) {
            Ok(()) => reply,
            // Without its record the oracle would count a loss that is ours: let the sender try again.
            Err(error) => Reply::text(500, "text/plain", format!("the fake receiver cannot write its record: {error}")),
        }
    }

    async fn deliver(
        &self,
        order: u64,
        reply: Reply,
        delivery: Delivery,
        reset: &AtomicBool,
    ) -> Result<Response<AnswerBody>, BrokenOff> {
        match delivery {
            Delivery::Never => std::future::pending().await,
            Delivery::CloseUnanswered => return Err(BrokenOff),
            Delivery::Whole | Delivery::Drip { .. } => {}
            Delivery::ResetMidBody | Delivery::ResetAfterHead => reset.store(true, Ordering::Release),
        }
        self.recorder.answered(order, reply.status);
        Ok(reply.into_response(|body| match delivery {
            Delivery::Drip { pause } => AnswerBody::drip(body, pause),
            Delivery::ResetMidBody => {
                let half = body.len() / 2;
                AnswerBody::cut(body, half)
            }
            Delivery::ResetAfterHead => AnswerBody::cut(body, 0),
            Delivery::Whole | Delivery::CloseUnanswered | Delivery::Never => AnswerBody::Whole(body),
        }))
    }
}

fn break_off(reset: &AtomicBool) -> BrokenOff {
    reset.store(true, Ordering::Release);
    BrokenOff
}

/// The body as far as it came before `enough` bytes had arrived.
async fn read_some(mut body: Incoming, enough: usize) -> Bytes {
    let mut read = BytesMut::new();
    while read.len() < enough {
        match body.frame().await {
            Some(Ok(frame)) => read.extend_from_slice(&frame.into_data().unwrap_or_default()),
            Some(Err(_)) | None => break,
        }
    }
    read.freeze()
}
