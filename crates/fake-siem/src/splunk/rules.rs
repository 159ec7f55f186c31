//! The collector's strict logic: authorization, channel, size, then the body as a stream of objects, of which those
//! before the first bad one are indexed.

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::json;
use serde_json::value::RawValue;

use super::acks::Acks;
use super::dialect::{self, Dialect};
use super::envelope::{self, Taken};
use super::replies;
use super::search::{self, Indexed, Rights};
use super::{Endpoint, Fault, SplunkOptions};
use crate::json::{self, Members};
use crate::receiver::{Accepted, Judgement, Received, Reply, Rules};
use crate::refresh::Refresh;

/// How a collector judges requests.
pub struct SplunkRules {
    options: SplunkOptions,
    state: Mutex<State>,
    refresh: Refresh,
}

struct State {
    token: String,
    token_enabled: bool,
    shutting_down: bool,
    acks: Acks,
    may_search: bool,
    searchable: Vec<String>,
    /// What a search may find; nothing is kept where nobody can search.
    indexed: Vec<Indexed>,
}

/// The start of a batch that was indexed, and why the stream ended there, if it did.
struct Stream {
    accepted: Vec<Accepted>,
    end: Option<Taken>,
}

impl Rules for SplunkRules {
    type Endpoint = Endpoint;
    type Fault = Fault;

    fn endpoint(&self, path: &str) -> Endpoint {
        match path {
            search::JOBS if self.options.search_token.is_some() => Endpoint::Search,
            _ => self.options.dialect.endpoint(path),
        }
    }

    fn judge(&self, request: &Received, fault: Option<&Fault>) -> Judgement {
        match (self.endpoint(request.path()), request.method()) {
            (Endpoint::Event, "POST") => {
                self.event(request, fault).map_or_else(|refusal| refusal, |taken| self.index(taken))
            }
            (Endpoint::Search, "POST") => self.search(request).unwrap_or_else(|refusal| refusal),
            (Endpoint::Ack, "POST") => self.ack(request).unwrap_or_else(|refusal| refusal),
            (Endpoint::Health, "GET") => Judgement::of(replies::reply(17)),
            (Endpoint::Other, _) => {
                Judgement::refused(Reply::html(404, "Not Found"), format!("unknown path {}", request.path()))
            }
            (_, method) => {
                Judgement::refused(Reply::html(405, "Method Not Allowed"), format!("{method} on {}", request.path()))
            }
        }
    }

    fn count(&self, request: &Received) -> Judgement {
        match self.endpoint(request.path()) {
            Endpoint::Event if request.method() == "POST" => {
                self.count_events(request).unwrap_or_else(|refusal| refusal)
            }
            _ => self.judge(request, None),
        }
    }

    fn held(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
}

impl SplunkRules {
    pub(super) fn new(options: SplunkOptions) -> Self {
        let state = State {
            token: options.token.clone(),
            token_enabled: true,
            shutting_down: false,
            acks: Acks::default(),
            may_search: true,
            searchable: options.indexes.clone(),
            indexed: Vec::new(),
        };
        Self { options, state: Mutex::new(state), refresh: Refresh::default() }
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.options.dialect
    }

    pub(super) fn set_token_enabled(&self, enabled: bool) {
        self.state.lock().token_enabled = enabled;
    }

    pub(super) fn set_token(&self, token: String) {
        self.state.lock().token = token;
    }

    pub(super) fn set_shutting_down(&self, shutting_down: bool) {
        self.state.lock().shutting_down = shutting_down;
    }

    pub(super) fn hold_acks(&self, hold: bool) {
        self.state.lock().acks.hold(hold);
    }

    pub(super) fn forget_acks(&self) {
        self.state.lock().acks.forget();
    }

    pub(super) fn hide_from(&self, searches: u32) {
        self.refresh.hide(searches);
    }

    pub(super) fn set_search_rights(&self, may_search: bool, indexes: &[&str]) {
        let mut state = self.state.lock();
        state.may_search = may_search;
        state.searchable = indexes.iter().map(|index| (*index).to_owned()).collect();
    }

    fn index(&self, taken: Judgement) -> Judgement {
        if self.options.search_token.is_some() {
            let default = self.options.indexes.first().map_or("main", String::as_str);
            self.state.lock().indexed.extend(taken.accepted().iter().map(|one| Indexed::of(one, default)));
        }
        taken
    }

    fn search(&self, request: &Received) -> Result<Judgement, Judgement> {
        let state = self.state.lock();
        let token = self.options.search_token.as_deref().unwrap_or_default();
        let rights = Rights { token, may_search: state.may_search, indexes: &state.searchable };
        search::answer(request, &rights, &state.indexed, || self.refresh.is_over())
    }

    fn event(&self, request: &Received, fault: Option<&Fault>) -> Result<Judgement, Judgement> {
        self.authorize(request)?;
        let dialect = self.options.dialect;
        let channel = self.channel(request)?;
        let body = self.readable(request)?;
        if dialect == Dialect::Otel && fault.is_none() {
            return Ok(Judgement::of(self.success(None, None, 0)).accepting(dialect::collect(body)?));
        }
        let Stream { mut accepted, end } = self.read(body);
        if accepted.is_empty() && end.is_none() {
            return Err(Judgement::refused(replies::reply(5), "no data in the body"));
        }
        if let Some(Fault::BusyAfter(events) | Fault::InternalErrorAfter(events)) = fault
            && *events <= accepted.len()
        {
            accepted.truncate(*events);
            let reply = match fault {
                Some(Fault::BusyAfter(_)) => replies::at_event(9, *events),
                _ => replies::reply(8),
            };
            return Ok(Judgement::of(reply).accepting(accepted));
        }
        if let Some(Fault::Poison { code, text }) = fault
            && let Some(at) = accepted.iter().position(|taken| contains(&taken.event, text.as_bytes()))
        {
            accepted.truncate(at);
            return Ok(self.refused(refused_at(*code, at), accepted));
        }
        let violation = violation_of(end.as_ref());
        let judged = match end {
            Some(Taken::Refused(code, _)) => self.refused(refused_at(code, accepted.len()), accepted),
            Some(Taken::EndsSilently(_) | Taken::Event(_)) | None => {
                Judgement::of(self.success(channel.as_deref(), fault, accepted.len())).accepting(accepted)
            }
        };
        Ok(judged.violating(violation))
    }

    /// The refusal of an event behind these.
    fn refused(&self, reply: Reply, before: Vec<Accepted>) -> Judgement {
        let (reply, taken) = self.options.dialect.refusal(reply);
        Judgement::of(reply).accepting(if taken { before } else { Vec::new() })
    }

    fn count_events(&self, request: &Received) -> Result<Judgement, Judgement> {
        self.authorize(request)?;
        let channel = self.channel(request)?;
        let events = json::count_objects(self.readable(request)?, 0);
        if events == 0 {
            return Err(Judgement::refused(replies::reply(5), "no data in the body"));
        }
        Ok(Judgement::of(self.success(channel.as_deref(), None, events)).counting(events))
    }

    /// The reply table's codes 1–4, 16 and 23, in the order in which the collector looks.
    fn authorize(&self, request: &Received) -> Result<(), Judgement> {
        let own = self.options.dialect.authorize(&self.options, &self.state.lock().token, request);
        if let Some(judged) = own {
            return judged;
        }
        let refused = |code: u8, why: &str| Err(Judgement::refused(replies::reply(code), why));
        if request.query_names().any(|name| name == "token") {
            return refused(16, "the token stands in the query string");
        }
        let Some(authorization) = request.header("authorization") else {
            return refused(2, "no `Authorization` header");
        };
        let Some(token) = authorization.strip_prefix("Splunk ").filter(|token| !token.is_empty()) else {
            return refused(3, "`Authorization` is not `Splunk <token>`");
        };
        let state = self.state.lock();
        if token != state.token {
            return refused(4, "unknown token");
        }
        if !state.token_enabled {
            return Err(Judgement::of(replies::reply(1)));
        }
        if state.shutting_down {
            return Err(Judgement::of(replies::reply(23)));
        }
        Ok(())
    }

    /// The channel that an acknowledged request belongs to; `None` where acknowledgement is off.
    fn channel(&self, request: &Received) -> Result<Option<String>, Judgement> {
        if !self.options.acks {
            return Ok(None);
        }
        match request.header("x-splunk-request-channel") {
            None => Err(Judgement::refused(replies::reply(10), "acks are on, but no `X-Splunk-Request-Channel`")),
            Some(channel) if is_guid(channel) => Ok(Some(channel.to_ascii_lowercase())),
            Some(_) => Err(Judgement::refused(replies::reply(11), "`X-Splunk-Request-Channel` is not a GUID")),
        }
    }

    fn readable<'a>(&self, request: &'a Received) -> Result<&'a Bytes, Judgement> {
        if !["identity", "gzip"].contains(&request.encoding().as_str()) {
            let rule = format!("content encoding `{}`", request.encoding());
            return Err(Judgement::refused(Reply::html(415, "Unsupported Media Type"), rule));
        }
        let body = request.body().map_err(|why| Judgement::refused(replies::reply(6), why.to_string()))?;
        let largest = body.len().max(request.wire().len());
        if largest > self.options.max_bytes {
            let rule = format!("a body of {largest} bytes, {} are allowed", self.options.max_bytes);
            return Err(Judgement::refused(Reply::html(413, "Content-Length of request is too large"), rule));
        }
        Ok(body)
    }

    /// Reads object after object until the end or the first bad one.
    fn read(&self, body: &Bytes) -> Stream {
        let mut stream = Stream { accepted: Vec::new(), end: None };
        for value in serde_json::Deserializer::from_slice(body).into_iter::<&RawValue>() {
            let Ok(value) = value else {
                stream.end = Some(Taken::Refused(6, "not JSON".to_owned()));
                return stream;
            };
            // "An array works too": its elements are taken like objects in a row.
            let objects = match serde_json::from_str::<Vec<&RawValue>>(value.get()) {
                Ok(elements) => elements,
                Err(_) => vec![value],
            };
            for object in objects {
                match envelope::take(body, object, stream.accepted.len(), &self.options.indexes) {
                    Taken::Event(event) => match self.options.dialect.refuses(&event) {
                        None => stream.accepted.push(event),
                        Some((code, why)) => {
                            stream.end = Some(Taken::Refused(code, why.to_owned()));
                            return stream;
                        }
                    },
                    end => {
                        stream.end = Some(end);
                        return stream;
                    }
                }
            }
        }
        stream
    }

    fn success(&self, channel: Option<&str>, fault: Option<&Fault>, events: usize) -> Reply {
        if let Some(own) = self.options.dialect.success(events) {
            return own;
        }
        let code = if let Some(Fault::NearCapacity(code)) = fault { *code } else { 0 };
        match channel {
            Some(channel) => replies::with_ack(code, self.state.lock().acks.issue(channel)),
            None => replies::reply(code),
        }
    }

    fn ack(&self, request: &Received) -> Result<Judgement, Judgement> {
        self.authorize(request)?;
        let Some(channel) = self.channel(request)? else {
            return Err(Judgement::refused(replies::reply(14), "polled for acks, which are off"));
        };
        if request.encoding() != "identity" {
            return Err(Judgement::refused(replies::reply(6), "a compressed ack query"));
        }
        let malformed = || Judgement::refused(replies::reply(6), "an ack query is `{\"acks\":[<id>, …]}`");
        let text = std::str::from_utf8(request.wire()).map_err(|_| malformed())?;
        let members = Members::parse(text).map_err(|_| malformed())?;
        let acks = members.get("acks").filter(|_| members.names().count() == 1).ok_or_else(malformed)?;
        let ids: Vec<u64> = serde_json::from_str(acks.get()).map_err(|_| malformed())?;
        let answers = self.state.lock().acks.poll(&channel, &ids);
        Ok(Judgement::of(Reply::json(200, &json!({ "acks": answers }))))
    }
}

/// The reply to a body of which the event at `number` is refused. Measured: code 7 reports one too high.
fn refused_at(code: u8, number: usize) -> Reply {
    replies::at_event(code, if code == 7 { number + 1 } else { number })
}

fn contains(event: &[u8], text: &[u8]) -> bool {
    event.windows(text.len().max(1)).any(|window| window == text)
}

fn violation_of(end: Option<&Taken>) -> Option<String> {
    match end {
        Some(Taken::Refused(code, why)) => Some(format!("code {code}: {why}")),
        Some(Taken::EndsSilently(why)) => Some(why.clone()),
        Some(Taken::Event(_)) | None => None,
    }
}

/// Eight, four, four, four and twelve hexadecimal digits.
fn is_guid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.len() == 5
        && groups.iter().zip([8, 4, 4, 4, 12]).all(|(group, digits)| group.len() == digits)
        && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}
