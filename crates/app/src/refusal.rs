//! What a client is told when something does not work: one envelope with a stable code. Internals, and the
//! chain of sources, go to the log instead; a secret goes nowhere.

use std::ops::Deref;

use http::StatusCode;
use serde_json::{Map, Value};
use toktra_siem_base::vault::VaultError;
use toktra_siem_core::fault::FieldFault;
use toktra_siem_core::ids::OrgId;
use toktra_siem_egress::Forbidden;
use toktra_siem_store::StoreError;
pub use toktra_siem_wire::Code;
use toktra_siem_wire::{Problem, Refused};

use crate::once::Verdict;

/// What a use case comes to.
pub type Result<T, E = Refusal> = std::result::Result<T, E>;

/// The parameter that says when to try again.
const RETRY: &str = "retry_after";

/// The most faults that one answer lists.
pub const LISTED: usize = 100;

/// Why a request is not done: the problem as data, and the HTTP status that goes with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .problem.message)]
pub struct Refusal {
    /// What kind of refusal it is, in HTTP's terms.
    pub status: StatusCode,
    /// What went wrong.
    pub problem: Problem,
    /// Whether it may have been done all the same.
    unsure: bool,
}

impl Deref for Refusal {
    type Target = Problem;

    fn deref(&self) -> &Problem {
        &self.problem
    }
}

impl Refusal {
    /// An error with a sentence for a person: what happened, the likeliest cause, the next step.
    pub fn new(status: StatusCode, code: Code, message: impl Into<String>) -> Self {
        let (message, fields, parameters) = (message.into(), Vec::new(), Map::new());
        Self { status, problem: Problem { code, message, fields, parameters }, unsure: false }
    }

    /// With one of the figures of its message.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.problem.parameters.insert(name.to_owned(), value.into());
        self
    }

    /// It may be tried again after so many seconds; also said by the `Retry-After` header.
    #[must_use]
    fn retry_after(self, seconds: u64) -> Self {
        self.with(RETRY, seconds)
    }

    /// 400: the request cannot be read.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code::BadRequest, message)
    }

    /// 413: more than the route takes.
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, Code::BadRequest, message)
    }

    /// 415: a content type or encoding that is not understood.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::BadRequest, message)
    }

    /// 422: what is wrong, by place.
    pub fn invalid(fields: Vec<FieldFault>) -> Self {
        let found = fields.len();
        Self::invalid_among(fields, found)
    }

    /// 422 where `found` things are wrong, of which `fields` are the first. Lists at most [`LISTED`] of them.
    pub fn invalid_among(mut fields: Vec<FieldFault>, found: usize) -> Self {
        fields.truncate(LISTED);
        let message = match fields.as_slice() {
            [only] if found == 1 => format!("The request was refused as a whole: {only}"),
            listed if listed.len() < found => {
                format!(
                    "The request was refused as a whole: {found} things have to be corrected first; `fields` names the first {}.",
                    listed.len()
                )
            }
            _ => format!(
                "The request was refused as a whole: {found} things have to be corrected first; `fields` names them."
            ),
        };
        let mut error = Self::new(StatusCode::UNPROCESSABLE_ENTITY, Code::Invalid, message).with("found", found);
        error.problem.fields = fields;
        error
    }

    /// 401.
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, Code::Unauthorized, message)
    }

    /// 403: the key may not do this.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, Code::Forbidden, message)
    }

    /// 404. The same for what is not there and for what is another org's.
    pub fn not_found(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            Code::NotFound,
            format!("There is no such {what}. Check the id, and that it belongs to this org."),
        )
    }

    /// 409.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, Code::Conflict, message)
    }

    /// 412: `If-Match` names another revision.
    pub fn stale() -> Self {
        let message = "It was changed in the meantime, so `If-Match` does not fit any more. Read it again, and repeat the change.";
        Self::new(StatusCode::PRECONDITION_FAILED, Code::Conflict, message)
    }

    /// 429: the store's queue is full, or there is no memory for the body.
    pub fn queue_full() -> Self {
        let message = "The service takes in as much as it can at the moment. Nothing of this request was kept: send it again shortly.";
        Self::new(StatusCode::TOO_MANY_REQUESTS, Code::QueueFull, message).retry_after(1)
    }

    /// 429: as many test deliveries as there may be are under way.
    pub fn tests_full() -> Self {
        let message = "Many test deliveries are under way at this moment, probably to receivers that do not answer. Try again in a few seconds.";
        Self::new(StatusCode::TOO_MANY_REQUESTS, Code::QueueFull, message).retry_after(5)
    }

    /// 429: the org has as many undelivered events as it may have.
    pub fn backlog_full(org: OrgId) -> Self {
        let message = format!(
            "The org {org} has as many undelivered events as it may have, probably because one of its connectors is down. Nothing of \
             this request was kept. Bring the connector back, or switch it off; then send it again."
        );
        Self::new(StatusCode::TOO_MANY_REQUESTS, Code::QueueFull, message).retry_after(10)
    }

    /// 429: the key's requests are used up. `after` is in seconds.
    pub fn rate_limited(after: u64) -> Self {
        let message = format!("This key has used up its requests. The next one is possible in {after} s.");
        Self::new(StatusCode::TOO_MANY_REQUESTS, Code::RateLimited, message).retry_after(after)
    }

    /// 429: the org searches already, and as many searches wait as may.
    pub fn searches_limited() -> Self {
        let message = "Your org has many searches under way. Wait for their answers, then search again.";
        Self::new(StatusCode::TOO_MANY_REQUESTS, Code::RateLimited, message).retry_after(1)
    }

    /// 429: the secrets of a connector or notification channel, which `what` says, were compared too often. `after` is in seconds.
    pub fn comparisons_limited(what: &str, after: u64) -> Self {
        let message = format!(
            "The secrets of this {what} were compared too often within a minute. The next comparison is possible in {after} s."
        );
        Self::new(StatusCode::TOO_MANY_REQUESTS, Code::RateLimited, message).retry_after(after)
    }

    /// 429: an org sends too many test messages. `after` is in seconds.
    pub fn channel_tests_limited(after: u64) -> Self {
        let message =
            format!("Your org has sent many test messages within a minute. The next one is possible in {after} s.");
        Self::new(StatusCode::TOO_MANY_REQUESTS, Code::RateLimited, message).retry_after(after)
    }

    /// 429: too many wrong passwords. `after` is in seconds.
    pub fn guesses_limited(after: u64) -> Self {
        let message = format!(
            "Too many wrong passwords, for this account or from this address. The next attempt is possible in {after} s; until then even the \
             right password is refused. Browsers that logged in before, sessions and API keys go on working."
        );
        Self::new(StatusCode::TOO_MANY_REQUESTS, Code::RateLimited, message).retry_after(after)
    }

    /// 503.
    pub fn unavailable() -> Self {
        Self::unavailable_because(
            "The service cannot do this at the moment. Try again shortly; if it lasts, its log says why.",
        )
    }

    /// 503, with a reason that the client can do something about.
    pub fn unavailable_because(message: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, message).retry_after(1)
    }

    /// 500: a defect of the service. What it was stands in the log.
    pub fn internal() -> Self {
        let message = "The service failed to answer this request. Its log says why; please report it.";
        Self { unsure: true, ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Unavailable, message) }
    }

    /// Whether what was asked for was not done, or may have been.
    pub fn verdict(&self) -> Verdict {
        if self.unsure { Verdict::Unsure } else { Verdict::Undone }
    }

    /// The body of the answer; a line of it, if that had begun already.
    pub fn envelope(&self) -> Refused {
        Refused { error: self.problem.clone() }
    }

    /// Seconds until it may be tried again, if that is known.
    pub fn seconds_to_wait(&self) -> Option<u64> {
        self.problem.parameters.get(RETRY).and_then(Value::as_u64)
    }

    /// What the store's answer means for a request about `what`. Logs what a client is not told.
    pub fn store(what: &str, error: StoreError) -> Self {
        match error {
            StoreError::Busy => Self::queue_full(),
            StoreError::Full => {
                let message = "There is no room on the disk, so nothing can be taken in. Whoever runs the service: if the file system of \
                               the data directory is full, make room there; otherwise the disk budget is used up: raise \
                               TOKTRA_SIEM_MAX_DISK, or bring connectors with a backlog back.";
                let full = Self::new(StatusCode::INSUFFICIENT_STORAGE, Code::DiskFull, message);
                full.retry_after(60)
            }
            StoreError::TooMany(what) => {
                let message = format!(
                    "As many {what} as one caller may have in one org are under way, or failed in the middle in the last ten minutes. Try \
                     again in a minute."
                );
                Self::new(StatusCode::TOO_MANY_REQUESTS, Code::RateLimited, message).retry_after(60)
            }
            StoreError::Conflict(message) => Self::conflict(format!("It cannot be done as things stand: {message}.")),
            StoreError::NotFound => Self::not_found(what),
            StoreError::Fenced | StoreError::Stale => {
                tracing::warn!(%error, what, "a request met a change of ownership");
                Self::unavailable()
            }
            StoreError::Unaccounted(_)
            | StoreError::Damaged(_)
            | StoreError::Unusable(_)
            | StoreError::Unavailable { .. } => {
                tracing::error!(error = &error as &dyn std::error::Error, what, "the store failed a request");
                Self { unsure: true, ..Self::unavailable() }
            }
        }
    }
}

impl From<Forbidden> for Refusal {
    fn from(refusal: Forbidden) -> Self {
        Self::new(StatusCode::FORBIDDEN, Code::DestinationForbidden, refusal.to_string())
    }
}

impl From<VaultError> for Refusal {
    fn from(error: VaultError) -> Self {
        tracing::error!(%error, "a connector's secret does not open");
        Self::conflict(format!("The connector cannot be used: {error}."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_store_cannot_do_has_its_own_status_and_code() {
        let gone = || StoreError::Unavailable { context: "x", source: "disk path /secret/place".into() };
        for (error, status, code, retry) in [
            (StoreError::Busy, 429, Code::QueueFull, true),
            (StoreError::Full, 507, Code::DiskFull, true),
            (StoreError::TooMany("requests"), 429, Code::RateLimited, true),
            (gone(), 503, Code::Unavailable, true),
            (StoreError::Damaged("page 7".into()), 503, Code::Unavailable, true),
            (StoreError::NotFound, 404, Code::NotFound, false),
            (StoreError::Conflict("x".into()), 409, Code::Conflict, false),
        ] {
            let told = Refusal::store("event", error);
            assert_eq!(
                (told.status.as_u16(), told.problem.code, told.problem.parameters.contains_key(RETRY)),
                (status, code, retry)
            );
            assert!(
                !told.problem.message.contains("secret") && !told.problem.message.contains("page"),
                "{}",
                told.problem.message
            );
        }
    }

    #[test]
    fn every_code_is_shown_by_its_word() {
        for code in Code::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }

    #[test]
    fn long_lists_of_faults_are_cut_and_say_so() {
        let faults = (0..250).map(|n| FieldFault::new(format!("/{n}"), "is wrong")).collect();
        let error = Refusal::invalid(faults);
        assert_eq!(error.problem.fields.len(), LISTED);
        assert!(
            error.problem.message.contains("250") && error.problem.message.contains("first 100"),
            "{}",
            error.problem.message
        );
    }
}
