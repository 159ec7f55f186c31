//! The intake's strict logic common to its endpoints: path, method, key, media type, encoding, size.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::json;

use super::series::{Point, SeriesKey, SeriesStore};
use super::{DatadogOptions, Endpoint, Fault, logs, search, series};
use crate::json;
use crate::receiver::{Accepted, Judgement, Received, Reply, Rules};
use crate::refresh::Refresh;

/// How a Datadog intake judges requests.
pub struct DatadogRules {
    options: DatadogOptions,
    api_key: Mutex<String>,
    store: Mutex<SeriesStore>,
    /// What a search may find; nothing is kept where nobody can search.
    kept: Mutex<Vec<Accepted>>,
    may_read: AtomicBool,
    refresh: Refresh,
}

impl Rules for DatadogRules {
    type Endpoint = Endpoint;
    type Fault = Fault;

    fn endpoint(&self, path: &str) -> Endpoint {
        match path {
            "/api/v2/logs" => Endpoint::Logs,
            "/api/v2/series" => Endpoint::Series,
            "/api/v1/validate" => Endpoint::Validate,
            search::SEARCH => Endpoint::Search,
            _ => Endpoint::Other,
        }
    }

    fn judge(&self, request: &Received, fault: Option<&Fault>) -> Judgement {
        let judged = match (self.endpoint(request.path()), request.method()) {
            (Endpoint::Logs, "POST") => self.logs(request, fault),
            (Endpoint::Series, "POST") => self.series_request(request, fault),
            (Endpoint::Validate, "GET") => self.validate(request),
            (Endpoint::Search, "POST") => self.search(request),
            (Endpoint::Other, _) => Err(plain_refusal(404, "Not Found", format!("unknown path {}", request.path()))),
            (_, method) => Err(plain_refusal(405, "Method Not Allowed", format!("{method} on {}", request.path()))),
        };
        judged.unwrap_or_else(|refusal| refusal)
    }

    fn count(&self, request: &Received) -> Judgement {
        match self.endpoint(request.path()) {
            Endpoint::Logs if request.method() == "POST" => self.count_logs(request).unwrap_or_else(|refusal| refusal),
            _ => self.judge(request, None),
        }
    }

    fn held(&self) -> serde_json::Value {
        let series = self.series();
        series.iter().map(|(key, last)| json!({ "metric": key.metric, "tags": key.tags, "last": last })).collect()
    }
}

impl DatadogRules {
    pub(super) fn new(options: DatadogOptions) -> Self {
        let api_key = Mutex::new(options.api_key.clone());
        Self {
            options,
            api_key,
            store: Mutex::new(SeriesStore::default()),
            kept: Mutex::default(),
            may_read: AtomicBool::new(true),
            refresh: Refresh::default(),
        }
    }

    pub(super) fn set_api_key(&self, api_key: String) {
        *self.api_key.lock() = api_key;
    }

    pub(super) fn hide_from(&self, searches: u32) {
        self.refresh.hide(searches);
    }

    pub(super) fn set_may_read(&self, may_read: bool) {
        self.may_read.store(may_read, Ordering::SeqCst);
    }

    fn search(&self, request: &Received) -> Result<Judgement, Judgement> {
        self.authorize(request)?;
        let key = self.options.application_key.as_deref().unwrap_or_default();
        let may_read = self.may_read.load(Ordering::SeqCst) && !key.is_empty();
        search::answer(request, key, may_read, &self.kept.lock(), || self.refresh.is_over())
    }

    pub(super) fn series(&self) -> BTreeMap<SeriesKey, BTreeMap<i64, f64>> {
        self.store.lock().last_values()
    }

    pub(super) fn points(&self) -> Vec<Point> {
        self.store.lock().points().to_vec()
    }

    fn logs(&self, request: &Received, fault: Option<&Fault>) -> Result<Judgement, Judgement> {
        let body = self.readable_logs(request)?;
        let entries = logs::entries(body).map_err(|why| log_refusal(400, "Bad Request", why))?;
        // The documented 413 is for more than 5 MB; what too many entries get is not documented, and 413 is the answer
        // that a sender can act upon by splitting.
        if entries.len() > self.options.max_log_entries {
            let rule = format!("{} entries, {} are allowed", entries.len(), self.options.max_log_entries);
            return Err(log_refusal(413, "Payload Too Large", rule));
        }
        if let Some(reply) = fault_reply(fault, body, entries.len(), log_errors) {
            return Ok(Judgement::of(reply));
        }
        let taken = logs::take(body, &entries, self.options.max_entry_bytes, (self.options.clock)())
            .map_err(|why| log_refusal(400, "Bad Request", why))?;
        if self.options.application_key.is_some() {
            self.kept.lock().extend(taken.accepted.iter().cloned());
        }
        Ok(Judgement::of(accepted_logs()).accepting(taken.accepted).violating(taken.violations))
    }

    fn count_logs(&self, request: &Received) -> Result<Judgement, Judgement> {
        let body = self.readable_logs(request)?;
        Ok(Judgement::of(accepted_logs()).counting(json::count_objects(body, 1)))
    }

    fn readable_logs<'a>(&self, request: &'a Received) -> Result<&'a Bytes, Judgement> {
        match self.key_of(request) {
            Key::Valid => {}
            Key::Missing => return Err(log_refusal(401, "Unauthorized", "no `DD-API-KEY` header")),
            Key::Wrong => return Err(log_refusal(403, "Forbidden", "unknown API key")),
        }
        if request.media_type() != "application/json" {
            return Err(log_refusal(415, "Unsupported Media Type", "the content type is not application/json"));
        }
        let body = request.body().map_err(|why| log_refusal(400, "Bad Request", why.to_string()))?;
        if body.len() > self.options.max_log_bytes {
            let rule = format!("a body of {} bytes, {} are allowed", body.len(), self.options.max_log_bytes);
            return Err(log_refusal(413, "Payload Too Large", rule));
        }
        Ok(body)
    }

    fn series_request(&self, request: &Received, fault: Option<&Fault>) -> Result<Judgement, Judgement> {
        self.authorize(request)?;
        if request.media_type() != "application/json" {
            return Err(plain_refusal(415, "Unsupported Media Type", "the content type is not application/json"));
        }
        if request.wire().len() > self.options.max_series_bytes {
            let rule = format!("{} bytes, {} are allowed", request.wire().len(), self.options.max_series_bytes);
            return Err(plain_refusal(413, "Payload too large", rule));
        }
        let body = request.body().map_err(|why| plain_refusal(400, "Bad Request", why.to_string()))?;
        if body.len() > self.options.max_series_inflated {
            let rule = format!("{} bytes inflated, {} are allowed", body.len(), self.options.max_series_inflated);
            return Err(plain_refusal(413, "Payload too large", rule));
        }
        let sent = series::parse(body).map_err(|why| plain_refusal(400, &why, why.clone()))?;
        if let Some(reply) = fault_reply(fault, body, sent.len(), plain_errors) {
            return Ok(Judgement::of(reply));
        }
        let violations = self.store.lock().take(&sent, (self.options.clock)());
        Ok(Judgement::of(Reply::json(202, &json!({ "errors": [] }))).violating(violations))
    }

    fn validate(&self, request: &Received) -> Result<Judgement, Judgement> {
        self.authorize(request)?;
        Ok(Judgement::of(Reply::json(200, &json!({ "valid": true }))))
    }

    fn authorize(&self, request: &Received) -> Result<(), Judgement> {
        match self.key_of(request) {
            Key::Valid => Ok(()),
            Key::Missing => Err(plain_refusal(403, "Forbidden", "no `DD-API-KEY` header")),
            Key::Wrong => Err(plain_refusal(403, "Forbidden", "unknown API key")),
        }
    }

    fn key_of(&self, request: &Received) -> Key {
        match request.header("dd-api-key") {
            None => Key::Missing,
            Some(key) if key == *self.api_key.lock() => Key::Valid,
            Some(_) => Key::Wrong,
        }
    }
}

enum Key {
    Valid,
    Missing,
    Wrong,
}

fn accepted_logs() -> Reply {
    Reply::json(202, &json!({}))
}

fn fault_reply(fault: Option<&Fault>, body: &Bytes, members: usize, shape: fn(u16, &str) -> Reply) -> Option<Reply> {
    match fault? {
        Fault::Poison(texts) => {
            let body = String::from_utf8_lossy(body);
            texts.iter().any(|text| body.contains(text)).then(|| shape(400, "Bad Request"))
        }
        Fault::TooLargeOver(most) => (members > *most).then(|| shape(413, "Payload too large")),
    }
}

/// The logs intake's error shape (`HTTPLogErrors` of the API reference).
pub(super) fn log_errors(status: u16, title: &str) -> Reply {
    Reply::json(status, &json!({ "errors": [{ "status": status.to_string(), "title": title, "detail": title }] }))
}

/// The error shape of the rest of the API (`APIErrorResponse`).
pub(super) fn plain_errors(status: u16, message: &str) -> Reply {
    Reply::json(status, &json!({ "errors": [message] }))
}

fn log_refusal(status: u16, title: &str, rule: impl Into<String>) -> Judgement {
    let rule = rule.into();
    let error = json!({ "status": status.to_string(), "title": title, "detail": rule });
    Judgement::refused(Reply::json(status, &json!({ "errors": [error] })), rule)
}

pub(super) fn plain_refusal(status: u16, message: &str, rule: impl Into<String>) -> Judgement {
    Judgement::refused(plain_errors(status, message), rule)
}
