//! The body that makes a connector.

use secrecy::SecretString;
use serde_json::json;
use toktra_siem_core::connector::{Credentials, Platform, Settings, config};
use toktra_siem_core::fault::{FaultCode, Wrong};
use toktra_siem_core::filter::Filter;

use super::filter;
use crate::error::{ApiError, Result};
use crate::object::{Member, Object};

/// A new connector as it was asked for.
pub(super) struct Draft {
    pub(super) name: String,
    pub(super) settings: Settings,
    pub(super) credentials: Credentials,
    pub(super) filter: Filter,
    pub(super) signing_secret: Option<SecretString>,
    pub(super) active: bool,
}

/// Reads the body; all faults are named at once.
pub(super) fn read(mut object: Object) -> Result<Draft> {
    let name = object.name(true);
    let platform = object.word::<Platform>("platform", "splunk, datadog or elasticsearch");
    if platform.is_none() && !object.faulted("platform") {
        object.fault("platform", Wrong::new(FaultCode::Missing, "is missing: splunk, datadog or elasticsearch"));
    }
    let config = object.value("config").unwrap_or_else(|| json!({}));
    let parsed = platform.and_then(|platform| match config::parse_new(platform, &config) {
        Ok(parsed) => Some(parsed),
        Err(faults) => {
            object.add(faults);
            None
        }
    });
    let filter = filter::read(&mut object).unwrap_or_default();
    let signing_secret = match object.secret("signing_secret") {
        Member::Value(secret) => Some(secret),
        Member::Null | Member::Absent => None,
    };
    let active = object.flag("active").unwrap_or(false);
    // A new connector has nothing that could wait; said here, it changes nothing.
    object.word::<toktra_siem_store::Resume>("resume", "backlog or now");
    object.finish()?;
    match (name, parsed) {
        (Some(name), Some((settings, credentials))) => {
            Ok(Draft { name, settings, credentials, filter, signing_secret, active })
        }
        _ => Err(ApiError::internal()),
    }
}
