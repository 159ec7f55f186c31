//! The body that makes a connector.

use secrecy::SecretString;
use serde_json::json;
use toktra_siem_core::connector::{Credentials, Settings};
use toktra_siem_core::fault::{FaultCode, Wrong};
use toktra_siem_core::filter::Filter;
use toktra_siem_core::ids::PlatformId;
use toktra_siem_platform::Registry;

use super::filter;
use crate::object::Member;
use crate::{Object, Refusal, Result};

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
pub(super) fn read(registry: &Registry, mut object: Object) -> Result<Draft> {
    let name = object.name(true);
    let platform = required_platform(registry, &mut object);
    let config = object.value("config").unwrap_or_else(|| json!({}));
    let parsed = platform.and_then(|platform| match registry.parse_new(platform, &config) {
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
        _ => Err(Refusal::internal()),
    }
}

/// The platform that is named; that none is, is a fault as well.
pub(crate) fn required_platform(registry: &Registry, object: &mut Object) -> Option<PlatformId> {
    let platform = platform(registry, object);
    if platform.is_none() && !object.faulted("platform") {
        let known = registry.listed();
        object.fault("platform", Wrong::new(FaultCode::Missing, format!("is missing: {known}")));
    }
    platform
}

/// The platform that is named; one that is not there is a fault.
pub(super) fn platform(registry: &Registry, object: &mut Object) -> Option<PlatformId> {
    let known = registry.listed();
    let platform = object.word::<PlatformId>("platform", &known)?;
    if registry.get(platform).is_none() {
        object.fault("platform", Wrong::not_one_of(platform.as_str(), &known));
        return None;
    }
    Some(platform)
}
