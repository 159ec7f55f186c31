//! Who asks, and for which org. Every use case takes a [`Caller`] and asks it for the right that it needs before it
//! looks at anything that is stored.

use std::fmt::Display;
use std::sync::Arc;

use serde_json::Value;
use toktra_siem_core::ids::OrgId;
use toktra_siem_core::time::Timestamp;
use toktra_siem_identity::sessions::Session;
use toktra_siem_store::{AuditEntry, Scope};

use crate::App;
use crate::brief::brief;
use crate::principal::Principal;
use crate::refusal::{Refusal, Result};

/// Who asks, and for which org.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Somebody with a valid key or session.
    pub principal: Arc<Principal>,
    org: Option<OrgId>,
    names_org: bool,
}

impl Caller {
    /// `principal`, who may name the org that a request is about. A key of an org can only mean its own.
    pub async fn new(app: &App, principal: Arc<Principal>, named: Option<OrgId>) -> Result<Self> {
        let org = match named {
            None => principal.org.or(principal.fallback),
            Some(named) => {
                let known = match principal.org {
                    Some(own) => own == named,
                    None => app.org_exists(named).await.map_err(|error| Refusal::store("org", error))?,
                };
                Some(named).filter(|_| known).ok_or_else(|| Refusal::not_found("org")).map(Some)?
            }
        };
        Ok(Self { principal, org, names_org: named.is_some() })
    }

    /// All who may look at `org`: what they are shown is asked for once. They may read, and nothing else.
    pub fn onlookers(org: OrgId) -> Self {
        Self { principal: Arc::new(Principal::of_onlookers(org)), org: Some(org), names_org: false }
    }

    /// Refuses unless the caller may do what needs `scope`.
    pub fn needs(&self, scope: Scope) -> Result<()> {
        self.principal.needs(scope)
    }

    /// The org that the request is about, if the caller may do there what needs `scope`.
    pub fn org(&self, scope: Scope) -> Result<OrgId> {
        self.needs(scope)?;
        self.org.ok_or_else(|| {
            Refusal::bad_request("A platform key belongs to no org. Name the one that is meant with `?org_id=`.")
        })
    }

    /// The org that the request is about, if it is about one.
    pub fn named_org(&self) -> Option<OrgId> {
        self.org
    }

    /// Whether the request is about what concerns no org as well: that of a platform key that names none.
    pub(crate) fn asks_for_platform(&self) -> bool {
        self.principal.is_platform() && !self.names_org
    }

    /// The session of the caller; an API key has none.
    pub fn session(&self) -> Result<&Session> {
        self.principal.session.as_ref().ok_or_else(|| {
            Refusal::forbidden("This is about the session of a person who is logged in. An API key has none.")
        })
    }

    /// The line of the audit log for something that the caller did to `object`.
    pub(crate) fn audit(&self, at: Timestamp, action: &str, object: impl Display, detail: Value) -> AuditEntry {
        let actor = self.principal.actor();
        AuditEntry { at, actor, action: action.to_owned(), object: object.to_string(), detail: brief(detail) }
    }
}
