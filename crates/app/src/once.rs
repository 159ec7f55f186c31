//! What is done once, however often it is asked for. Whoever asks gives a key of their own; what came of it is kept under seal for a day,
//! and given again. A second request that comes while the first is under way waits for it, and the first goes on if its client has gone: a
//! browser that sends a form twice breaks off the first time, and shows what the second is answered.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use parking_lot::Mutex;
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;
use toktra_siem_core::ids::{ConnectorId, OrgId};
use toktra_siem_store::{Kept, KeptKind, SealedSecret};
use toktra_siem_telemetry::log;
use uuid::Uuid;

use crate::{App, Caller, Code, Refusal, Result, secrets};

/// The longest key.
const LONGEST: usize = 255;
/// How long an answer is kept.
const KEPT_FOR: Duration = Duration::from_hours(24);
/// How long a request waits for the same one that is under way.
const PATIENCE: Duration = Duration::from_secs(30);
/// Where answers show a secret, which is there as long as secrets can be shown again.
const SECRETS: [&str; 4] = ["/key", "/password", "/signing_secret/value", "/signing_secret_next/value"];

/// Requests with a key that are under way: whoever has the turn of one does it.
#[derive(Default)]
pub(crate) struct Turns(Mutex<HashMap<[u8; 32], Arc<tokio::sync::Mutex<()>>>>);

/// A place in the queue for a turn. The last one to leave forgets the turn, however it leaves.
struct Place {
    app: App,
    id: [u8; 32],
}

impl Place {
    fn new(app: &App, id: [u8; 32]) -> (Self, Arc<tokio::sync::Mutex<()>>) {
        let turn = Arc::clone(app.once.0.lock().entry(id).or_default());
        (Self { app: app.clone(), id }, turn)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut turns = self.app.once.0.lock();
        // One is the map's: whoever waits, or has the turn, holds another.
        if turns.get(&self.id).is_some_and(|turn| Arc::strong_count(turn) == 1) {
            turns.remove(&self.id);
        }
    }
}

/// A request that is to be done once.
pub struct Once {
    owner: Uuid,
    org: Option<OrgId>,
    id: [u8; 32],
    /// A code of all that it says, under each encryption key, the newest first: what it says may be a password.
    about: Vec<String>,
}

/// What a request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was done.
    Done,
    /// Nothing was done, so the same key may try again.
    Undone,
    /// Nobody knows.
    Unsure,
}

/// An answer as it is kept: a status, headers, and a body of JSON.
#[derive(Clone, Serialize, Deserialize)]
pub struct Told {
    /// The HTTP status.
    pub status: u16,
    /// Headers that belong to the answer.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
    /// Whether it showed a secret then that is not in it any more.
    #[serde(skip)]
    pub hidden: bool,
}

/// What [`Once::run`] comes to.
pub enum Ran<T> {
    /// It was run now.
    Now(T),
    /// It was run before, and answered so.
    Before(Told),
}

/// A hash of parts, none of which can be mistaken for another.
fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

impl Once {
    /// What `caller` asks for under `key` at `place` (a route, or a form), and all that it says there.
    ///
    /// # Errors
    ///
    /// If the key is none.
    pub fn new(app: &App, caller: &Caller, key: &[u8], place: &[&[u8]], said: &[&[u8]]) -> Result<Self> {
        if key.is_empty() || key.len() > LONGEST || !key.iter().all(|byte| (b' '..=b'~').contains(byte)) {
            return Err(Refusal::bad_request(
                "`Idempotency-Key` must be one value of 1 to 255 printable ASCII characters.",
            ));
        }
        let (owner, org) = (caller.principal.id, caller.named_org());
        let named = org.map(|org| org.0).unwrap_or_default();
        let mut parts: Vec<&[u8]> = vec![owner.as_bytes(), named.as_bytes()];
        parts.extend(place);
        parts.push(key);
        let about = app.parts.vault.codes("once", said).iter().map(hex::encode).collect();
        Ok(Self { owner, org, id: hash(&parts), about })
    }

    /// Runs `doing` unless that was done before, and keeps what `told` makes of it. It is run to its end, whether or not somebody waits.
    ///
    /// # Errors
    ///
    /// If the key was used for something else, or what came of it is not known.
    pub async fn run<T: Send + 'static>(
        self,
        app: &App,
        doing: impl Future<Output = T> + Send + 'static,
        told: impl FnOnce(&T) -> (Verdict, Option<Told>) + Send + 'static,
    ) -> Result<Ran<T>> {
        let (place, turn) = Place::new(app, self.id);
        let Ok(turn) = timeout(PATIENCE, turn.lock_owned()).await else { return Err(Earlier::UnderWay.into()) };
        let app = app.clone();
        let work = async move {
            // Dropped in this order at the end, and after a panic as well: the turn, then the place.
            let (_place, _turn) = (place, turn);
            if let Some(before) = self.begin(&app).await? {
                return Ok(Ran::Before(before));
            }
            let outcome = doing.await;
            let (verdict, told) = told(&outcome);
            self.end(&app, verdict, told).await;
            Ok(Ran::Now(outcome))
        };
        tokio::spawn(log::of_same_request(work)).await.map_err(|error| {
            tracing::error!(%error, "a request with an idempotency key ended abnormally");
            Refusal::internal()
        })?
    }

    /// What was answered before; `None` if it has to be done now, which is noted.
    async fn begin(&self, app: &App) -> Result<Option<Told>> {
        let (id, owner, org, now) = (self.id, self.owner, self.org, app.now());
        let about = self.about.first().cloned().unwrap_or_default();
        let (kind, until) = (KeptKind::Answer, now.plus(KEPT_FOR));
        let begun = Kept { id, owner, org, kind, about, at: now, until, sealed: None };
        let known = app.parts.store.keep(begun).await.map_err(|error| Refusal::store("request", error))?;
        match known {
            None => Ok(None),
            Some(known) if !self.about.contains(&known.about) => Err(Earlier::Other.into()),
            Some(Kept { sealed: None, .. }) => Err(Earlier::Unknown.into()),
            Some(Kept { sealed: Some(sealed), at, .. }) => {
                let opened = open(app, owner, org, &sealed)?;
                let mut told: Told = serde_json::from_str(opened.expose_secret()).map_err(|_| Refusal::internal())?;
                if at.plus(secrets::SHOWN_FOR) <= now {
                    told.hide();
                }
                Ok(Some(told))
            }
        }
    }

    /// Notes what came of it. It is answered in any case.
    async fn end(&self, app: &App, verdict: Verdict, told: Option<Told>) {
        let noted = match (verdict, told) {
            (Verdict::Undone, _) => app.parts.store.forget_kept(self.id).await,
            (Verdict::Done, Some(told)) => {
                let text = SecretString::from(serde_json::to_string(&told).unwrap_or_default());
                app.parts.store.seal_kept(self.id, seal(app, self.owner, self.org, self.id, &text)).await
            }
            (Verdict::Done | Verdict::Unsure, _) => Ok(()),
        };
        if let Err(error) = noted {
            tracing::warn!(%error, "what came of a request with an idempotency key could not be noted");
        }
    }
}

impl Told {
    /// Takes secrets out of it.
    fn hide(&mut self) {
        let Ok(mut body) = serde_json::from_str::<Value>(&self.body) else { return };
        let mut hidden = false;
        for pointer in SECRETS {
            let (parent, name) = pointer.rsplit_once('/').unwrap_or_default();
            if let Some(Value::Object(members)) = body.pointer_mut(parent) {
                hidden |= members.remove(name).is_some();
            }
        }
        if hidden {
            self.body = body.to_string();
            self.hidden = true;
        }
    }
}

/// Runs a use case once for `once`; one that was run before comes to what it came to then.
///
/// # Errors
///
/// Those of the use case and of [`Once::run`]; and if a secret was shown then that is not shown any more.
pub async fn run<T>(app: &App, once: Once, doing: impl Future<Output = Result<T>> + Send + 'static) -> Result<T>
where
    T: Serialize + DeserializeOwned + Send + 'static,
{
    let told = |outcome: &Result<T>| match outcome {
        Ok(value) => {
            let (status, headers) = (StatusCode::OK.as_u16(), Vec::new());
            (Verdict::Done, serde_json::to_string(value).ok().map(|body| Told { status, headers, body, hidden: false }))
        }
        Err(refusal) => (refusal.verdict(), None),
    };
    match once.run(app, doing, told).await? {
        Ran::Now(outcome) => outcome,
        Ran::Before(told) if told.hidden => Err(Earlier::Hidden.into()),
        Ran::Before(told) => serde_json::from_str(&told.body).map_err(|error| {
            tracing::error!(%error, "an answer that was kept cannot be read");
            Refusal::internal()
        }),
    }
}

/// Seals something for its owner.
pub(crate) fn seal(app: &App, owner: Uuid, org: Option<OrgId>, id: [u8; 32], text: &SecretString) -> SealedSecret {
    app.parts.vault.seal(org.unwrap_or(OrgId(Uuid::nil())), ConnectorId(owner), &Kept::field(&id), text)
}

/// Opens what was sealed for its owner.
pub(crate) fn open(app: &App, owner: Uuid, org: Option<OrgId>, sealed: &SealedSecret) -> Result<SecretString> {
    let opened = app.parts.vault.open(org.unwrap_or(OrgId(Uuid::nil())), ConnectorId(owner), sealed);
    opened.map_err(|error| {
        tracing::error!(%error, "what was kept does not open");
        Refusal::conflict("It was kept with an encryption key that is not configured any more.")
    })
}

/// What stands in the way of a request: an earlier one with its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Earlier {
    /// It is still under way.
    UnderWay,
    /// Nobody knows what came of it.
    Unknown,
    /// It said something else.
    Other,
    /// It was done, and showed a secret that is not shown any more.
    Hidden,
}

impl Earlier {
    /// All of them, with the word that a refusal has for each in the parameter `earlier_request`.
    const WORDS: [(Self, &'static str); 4] = [
        (Self::UnderWay, "under_way"),
        (Self::Unknown, "unknown"),
        (Self::Other, "other"),
        (Self::Hidden, "secret_hidden"),
    ];
    /// That parameter.
    const PARAMETER: &'static str = "earlier_request";

    /// What stands in the way, if a refusal says so.
    pub fn of(refusal: &Refusal) -> Option<Self> {
        let word = refusal.parameters.get(Self::PARAMETER)?.as_str()?;
        Self::WORDS.iter().find(|(_, known)| *known == word).map(|(earlier, _)| *earlier)
    }
}

impl From<Earlier> for Refusal {
    fn from(earlier: Earlier) -> Self {
        let refusal = match earlier {
            Earlier::UnderWay => Self::conflict(
                "The same request, with this `Idempotency-Key`, is still under way. Wait a moment, and repeat it.",
            ),
            Earlier::Unknown => Self::conflict(
                "The same request, with this `Idempotency-Key`, was begun before, but what came of it is not known: the service stopped or \
                 failed in the middle of it. Look whether it was done, and if not, send it with a new key.",
            ),
            Earlier::Other => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                Code::IdempotencyMismatch,
                "This `Idempotency-Key` was used with another request in the last 24 hours. Use a new key for each thing that is to be done; \
                 repeat the very same request to see its answer again.",
            ),
            Earlier::Hidden => {
                Self::conflict("This was done before, and its secret was shown then. It is not shown any more.")
            }
        };
        let word = Earlier::WORDS.iter().find(|(known, _)| *known == earlier).map_or("", |(_, word)| word);
        refusal.with(Earlier::PARAMETER, word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_old_shows_no_secret() {
        for (body, left) in [
            (r#"{"id":1,"key":"s"}"#, r#"{"id":1}"#),
            (r#"{"password":"s","signing_secret":{"set":true,"value":"s"}}"#, r#"{"signing_secret":{"set":true}}"#),
            (r#"{"signing_secret_next":{"value":"s"}}"#, r#"{"signing_secret_next":{}}"#),
            (r#"{ "name": "key" }"#, r#"{ "name": "key" }"#),
            ("no JSON", "no JSON"),
        ] {
            let mut told = Told { status: 201, headers: Vec::new(), body: body.to_owned(), hidden: false };
            told.hide();
            assert_eq!((told.body.as_str(), told.hidden), (left, body != left));
        }
    }
}
