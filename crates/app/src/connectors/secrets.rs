//! A connector's secrets between request and store: sealed as they come in, opened only to be hinted at.

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use subtle::ConstantTimeEq as _;
use toktra_siem_base::vault::{SIGNING_SECRET, SIGNING_SECRET_NEXT};
use toktra_siem_core::connector::{Connector, Credentials};
use toktra_siem_core::ids::OrgId;
use toktra_siem_platform::read::Changes;
use toktra_siem_platform::view::SecretView;
use toktra_siem_store::{ConnectorRecord, SealedSecret};

use crate::App;

/// All sealed secrets of a connector, on their way to be saved.
#[derive(Debug, Default)]
pub(super) struct Secrets(Vec<SealedSecret>);

impl Secrets {
    /// Those that are stored.
    pub(super) fn of(record: &ConnectorRecord) -> Self {
        Self(record.secrets.clone())
    }

    /// Seals `secret` in place of what `field` held.
    pub(super) fn set(&mut self, app: &App, connector: &Connector, field: &str, secret: &SecretString) {
        self.remove(field);
        self.0.push(app.parts.vault.seal(connector.org, connector.id, field, secret));
    }

    /// Takes the secret of `field` away.
    pub(super) fn remove(&mut self, field: &str) {
        self.0.retain(|sealed| sealed.field != field);
    }

    /// Replaces what authorises requests, whatever that was; signing secrets stay.
    pub(super) fn set_credentials(&mut self, app: &App, connector: &Connector, credentials: &Credentials) {
        self.0.retain(|sealed| is_signing(&sealed.field));
        for (field, secret) in credentials.parts() {
            self.set(app, connector, field, secret);
        }
    }

    /// Replaces and takes away what a patch names; the others stay.
    pub(super) fn change(&mut self, app: &App, connector: &Connector, changes: &Changes) {
        for (field, secret) in changes.iter() {
            match secret {
                Some(secret) => self.set(app, connector, field, secret),
                None => self.remove(field),
            }
        }
    }

    /// Lets the next signing secret take over. The seal holds for both names.
    pub(super) fn activate_next(&mut self) {
        self.remove(SIGNING_SECRET);
        for sealed in &mut self.0 {
            if sealed.field == SIGNING_SECRET_NEXT {
                SIGNING_SECRET.clone_into(&mut sealed.field);
            }
        }
    }

    /// Discards the next signing secret.
    pub(super) fn discard_next(&mut self) {
        self.remove(SIGNING_SECRET_NEXT);
    }

    /// What is to be stored.
    pub(super) fn into_sealed(self) -> Vec<SealedSecret> {
        self.0
    }
}

fn is_signing(field: &str) -> bool {
    field == SIGNING_SECRET || field == SIGNING_SECRET_NEXT
}

/// The secret of this field, as it is stored.
pub(super) fn sealed<'r>(record: &'r ConnectorRecord, field: &str) -> Option<&'r SealedSecret> {
    record.secrets.iter().find(|sealed| sealed.field == field)
}

/// Whether the connector has a secret of this field.
pub(super) fn has(record: &ConnectorRecord, field: &str) -> bool {
    sealed(record, field).is_some()
}

/// Whether a signing secret is one that the connector signs with now, or will after a rotation.
pub(crate) fn signs(app: &App, record: &ConnectorRecord, secret: &SecretString) -> bool {
    let Connector { org, id, .. } = &record.connector;
    let signing = record.secrets.iter().filter(|sealed| is_signing(&sealed.field));
    signing
        .filter_map(|sealed| app.parts.vault.open(*org, *id, sealed).ok())
        .any(|own| own.expose_secret().as_bytes().ct_eq(secret.expose_secret().as_bytes()).into())
}

/// The secrets that a change replaces, adds or takes away, by name.
pub(super) fn changed<'r>(app: &App, before: &'r ConnectorRecord, after: &'r ConnectorRecord) -> Vec<&'r str> {
    let mut names: Vec<&str> = before.secrets.iter().chain(&after.secrets).map(|sealed| &*sealed.field).collect();
    names.sort_unstable();
    names.dedup();
    names.retain(|name| !same(app, before, after, name));
    names
}

/// Adds to a line of the audit log which secrets a change replaces, adds or takes away. What an answer shows of a secret may be the same before and
/// after.
pub(super) fn told(app: &App, before: &ConnectorRecord, after: &ConnectorRecord, detail: &mut Value) {
    let names = changed(app, before, after);
    if names.iter().any(|name| !is_signing(name)) {
        detail["credential_changed"] = true.into();
    }
    if !names.is_empty() {
        detail["secrets_changed"] = names.into();
    }
}

/// Whether a secret is the same before and after. One that does not open is another one, unless it was left as it is.
fn same(app: &App, before: &ConnectorRecord, after: &ConnectorRecord, field: &str) -> bool {
    let (old, new) = (sealed(before, field), sealed(after, field));
    let Connector { org, id, .. } = &after.connector;
    let open = |sealed: Option<&SealedSecret>| app.parts.vault.open(*org, *id, sealed?).ok();
    let equal = |(old, new): (SecretString, SecretString)| {
        bool::from(old.expose_secret().as_bytes().ct_eq(new.expose_secret().as_bytes()))
    };
    old == new || open(old).zip(open(new)).is_some_and(equal)
}

/// Whether connectors of this org that have no signing secret of their own use the operator's (docs/signatures.md, "Which secret").
pub(super) fn falls_back(app: &App, org: OrgId) -> bool {
    org == app.parts.default_org && app.parts.signing_secret.is_some()
}

/// A signing secret of a new connector.
pub(super) struct Signing {
    pub(super) secret: SecretString,
    /// It was made here, so that its one appearance is the answer to the creation.
    pub(super) generated: bool,
}

/// The secret that a new connector gets for itself: the one given, or a generated one where it would otherwise send unsigned.
pub(super) fn signing_of_new(app: &App, org: OrgId, given: Option<SecretString>) -> Option<Signing> {
    match given {
        Some(secret) => Some(Signing { secret, generated: false }),
        None if falls_back(app, org) => None,
        None => Some(Signing { secret: app.parts.random.signing_secret(), generated: true }),
    }
}

/// How one stored secret appears in answers.
fn masked(app: &App, connector: &Connector, sealed: &SealedSecret) -> SecretView {
    match app.parts.vault.open(connector.org, connector.id, sealed) {
        Ok(secret) => match app.parts.registry.field(connector.settings.platform, &sealed.field) {
            Some(field) => field.view(&secret),
            None => SecretView::of(&secret),
        },
        Err(error) => {
            tracing::error!(connector = %connector.id, %error, "a connector's secret does not open");
            SecretView { set: true, usable: Some(false), ..SecretView::default() }
        }
    }
}

/// The member of `config` that stands for a stored credential.
pub(super) fn credential_view(app: &App, record: &ConnectorRecord, field: &str) -> Option<SecretView> {
    Some(masked(app, &record.connector, sealed(record, field)?))
}

/// How the signing secret of `field` appears in answers.
pub(super) fn signing_view(app: &App, record: &ConnectorRecord, field: &str) -> SecretView {
    match sealed(record, field) {
        Some(sealed) => masked(app, &record.connector, sealed),
        None if field == SIGNING_SECRET && falls_back(app, record.connector.org) => {
            SecretView { set: true, source: Some("SIEM_SIGNING_SECRET".into()), ..SecretView::default() }
        }
        None => SecretView::default(),
    }
}
