//! Reading and checking a connector's `config` as users write it, for a new connector and as a
//! patch laid over an existing one: members that are given replace, absent ones stay, `null` resets to the default. Which members there are,
//! and what each takes, is told by the platform's descriptor.

use std::collections::{BTreeMap, BTreeSet};

use secrecy::SecretString;
use serde_json::{Map, Value};
use toktra_siem_core::connector::{Credentials, Settings};
use toktra_siem_core::fault::{FaultCode, FieldFault, Wrong, shown};
use toktra_siem_core::ids::PlatformId;

use crate::descriptor::{Checked, Field, Kind};
use crate::registry::Registry;
use crate::{common, endpoint, group, headers};

/// What a patch makes of a connector's secrets, by name: another one, or none any more. Those that it does not name stay.
#[derive(Debug, Clone, Default)]
pub struct Changes(BTreeMap<String, Option<SecretString>>);

impl Changes {
    /// Whether all secrets stay as they are.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the patch says anything of the secret of this name.
    pub fn names(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Each name with the new secret.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&SecretString>)> {
        self.0.iter().map(|(name, secret)| (name.as_str(), secret.as_ref()))
    }

    /// The secrets that are new.
    pub fn given(&self) -> Credentials {
        self.0.iter().filter_map(|(name, secret)| Some((name.clone(), secret.clone()?))).collect()
    }
}

impl Registry {
    /// Reads the `config` of a new connector. All faults are collected; pointers begin with `/config`.
    pub fn parse_new(&self, platform: PlatformId, config: &Value) -> Result<(Settings, Credentials), Vec<FieldFault>> {
        let (settings, changes) = self.parse(platform, None, &[], config, |_| true)?;
        Ok((settings, changes.given()))
    }

    /// Reads as much of a `config` as is there. What is missing is no fault here; what is wrong is.
    pub fn parse_partly(&self, platform: PlatformId, config: &Value) -> Result<Settings, Vec<FieldFault>> {
        let of_what_is_there = |fault: &FieldFault| {
            let there = fault.pointer.strip_prefix("/config").and_then(|within| config.pointer(within));
            there.is_some_and(|value| !value.is_null()) || !fault.pointer.starts_with("/config/")
        };
        Ok(self.parse(platform, None, &[], config, of_what_is_there)?.0)
    }

    /// Lays `patch` over `current`, whose secrets of these names are stored. Where it changes the target ([`Self::target_changed`]), it must
    /// bring all of them along.
    pub fn parse_patch(
        &self,
        current: &Settings,
        stored: &[&str],
        patch: &Value,
    ) -> Result<(Settings, Changes), Vec<FieldFault>> {
        let (settings, changes) = self.parse(current.platform, Some(current), stored, patch, |_| true)?;
        let platform = self.get(settings.platform);
        let mut names: Vec<&str> = platform.map_or_else(Vec::new, |platform| {
            platform.credential(&settings.config).into_iter().chain(platform.needed(&settings.config)).collect()
        });
        let secret = |name: &&str| self.field(settings.platform, name).is_some_and(Field::is_secret);
        names.extend(stored.iter().copied().filter(secret));
        let mut seen = BTreeSet::new();
        let faults: Vec<FieldFault> = names
            .into_iter()
            .filter(|name| seen.insert(*name))
            .filter(|name| !changes.names(name) && self.moved(current, &settings, name))
            .map(|name| {
                let message = match group::path(name) {
                    // It is sent to the URL beside it alone.
                    Some((group, _)) => format!(
                        "is missing: a change of the URL in `{group}`, or of the certificates that are trusted, must bring it along, so that a \
                         stored secret is never sent to another host unseen"
                    ),
                    None => "is missing: a change of host, port, scheme, site, cloud_id, tls_ca, tls_fingerprint or tls_server_name must \
                             bring the credential along, so that a stored secret is never sent to another host unseen"
                        .to_owned(),
                };
                FieldFault::new(group::pointer(name), message)
            })
            .collect();
        if faults.is_empty() { Ok((settings, changes)) } else { Err(faults) }
    }

    fn parse(
        &self,
        id: PlatformId,
        current: Option<&Settings>,
        stored: &[&str],
        config: &Value,
        counts: impl Fn(&FieldFault) -> bool,
    ) -> Result<(Settings, Changes), Vec<FieldFault>> {
        let Some(platform) = self.get(id) else {
            let known = self.listed();
            let message = format!("`{id}` is not a platform that this version knows; known are {known}");
            return Err(vec![FieldFault::new("/platform", message)]);
        };
        let Value::Object(members) = config else {
            return Err(vec![FieldFault::new("/config", "must be an object")]);
        };
        let flat = current.map(flat);
        let (members, wrong) = group::flat(members, &self.fields(id));
        let mut reader = Reader {
            members: &members,
            current: flat.as_ref(),
            stored,
            config: Map::new(),
            changes: Changes::default(),
            faults: Vec::new(),
        };
        for (name, wrong) in wrong {
            reader.fault(&name, wrong);
        }
        reader.refuse_unknown(id, self.fields(id));
        platform.read(&mut reader);
        reader.fields(self.common());
        common::together(&mut reader);
        let Reader { mut config, changes, mut faults, .. } = reader;
        faults.retain(counts);
        if !faults.is_empty() {
            return Err(faults);
        }
        let streams = current.map_or(platform.descriptor().streams, Settings::streams);
        config.insert("platform".to_owned(), id.to_string().into());
        config.insert("streams".to_owned(), serde_json::json!(streams));
        let settings = serde_json::from_value(Value::Object(config));
        let settings =
            settings.map_err(|error| vec![FieldFault::new("/config", format!("cannot be kept: {error}"))])?;
        Ok((settings, changes))
    }
}

/// Settings as one object, as they are stored.
fn flat(settings: &Settings) -> Map<String, Value> {
    match serde_json::to_value(settings) {
        Ok(Value::Object(members)) => members,
        _ => Map::new(),
    }
}

/// What was said about one member.
#[derive(Debug)]
pub enum Given<T> {
    /// Nothing.
    Absent,
    /// `null`: back to the default.
    Reset,
    /// This.
    Value(T),
    /// Refused; the fault is recorded.
    Wrong,
}

/// Reads the members of a `config`, and collects what is wrong with them.
pub struct Reader<'v> {
    members: &'v Map<String, Value>,
    current: Option<&'v Map<String, Value>>,
    /// The secrets that are there already.
    stored: &'v [&'v str],
    config: Map<String, Value>,
    changes: Changes,
    faults: Vec<FieldFault>,
}

impl<'v> Reader<'v> {
    /// The settings that are there already; `None` for a new connector.
    pub fn current(&self) -> Option<&'v Map<String, Value>> {
        self.current
    }

    /// A text among the settings that are there already.
    pub fn current_text(&self, name: &str) -> Option<&'v str> {
        self.current?.get(name)?.as_str()
    }

    /// Whether the member is given as `null`.
    pub fn resets(&self, name: &str) -> bool {
        self.members.get(name).is_some_and(Value::is_null)
    }

    /// What has been read of a setting so far.
    pub fn has_read(&self, name: &str) -> Option<&Value> {
        self.config.get(name)
    }

    /// Whether anything is given for the member.
    pub fn names(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// What was made of a text.
    pub fn read_text(&self, name: &str) -> Option<&str> {
        self.config.get(name)?.as_str()
    }

    /// What becomes of a secret: another one, none any more, or nothing.
    pub fn changed(&self, name: &str) -> Given<()> {
        match self.changes.0.get(name) {
            Some(Some(_)) => Given::Value(()),
            Some(None) => Given::Reset,
            None => Given::Absent,
        }
    }

    /// Whether something is wrong with a member.
    pub fn faulted(&self, name: &str) -> bool {
        let pointer = group::pointer(name);
        self.faults.iter().any(|fault| fault.pointer == pointer)
    }

    /// Records what is wrong with a member.
    pub fn fault(&mut self, name: &str, wrong: impl Into<Wrong>) {
        self.faults.push(FieldFault::new(group::pointer(name), wrong));
    }

    /// Sets a member.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.config.insert(name.to_owned(), value.into());
    }

    /// Sets a secret, or takes it away.
    pub fn set_secret(&mut self, name: &str, secret: Option<SecretString>) {
        self.changes.0.insert(name.to_owned(), secret);
    }

    fn refuse_unknown<'f>(&mut self, platform: PlatformId, fields: impl Iterator<Item = &'f Field> + Clone) {
        let unknown: Vec<&String> =
            self.members.keys().filter(|name| fields.clone().all(|field| field.name != **name)).collect();
        let known = fields.map(|field| field.name).collect::<Vec<_>>().join(", ");
        for name in unknown.into_iter().take(10) {
            let message = format!("`{}` is not a setting of {platform}; known are {known}", shown(name));
            self.fault(name, Wrong::new(FaultCode::Unknown, message).with("given", shown(name)));
        }
    }

    /// Reads each of these for itself, the secrets last.
    #[expect(clippy::needless_pass_by_value, reason = "callers hand an iterator over, which is walked twice")]
    pub fn fields<'f>(&mut self, fields: impl IntoIterator<Item = &'f Field> + Clone) {
        for secret in [false, true] {
            for field in fields.clone().into_iter().filter(|field| field.is_secret() == secret) {
                self.field(field);
            }
        }
    }

    /// Reads one by its own rules.
    pub fn field(&mut self, field: &Field) {
        let given = match field.kind {
            Kind::Secret(check) => return self.own_secret(field, check),
            Kind::SecretUrl(check) => return self.own_secret(field, |text| check(text).map(SecretString::from)),
            Kind::Headers => {
                let given = self.member(field.name, headers::read);
                return self.keep_secret(field, given);
            }
            Kind::Url(check) | Kind::Text(check) | Kind::Pem(check) => self.text(field.name, check).map(Value::from),
            Kind::Choice { words, read } => self.choice(field.name, words, read),
            Kind::Flag => self.member(field.name, |value| match value {
                Value::Bool(flag) => Ok(Value::from(*flag)),
                _ => Err(Wrong::malformed("true or false")),
            }),
            Kind::Number { min, max } => self.member(field.name, |value| match value.as_u64() {
                Some(number) if (min..=max).contains(&number) => Ok(Value::from(number)),
                _ => Err(Wrong::range(min, max)),
            }),
        };
        let stored = self.current.and_then(|current| current.get(field.name));
        let stored = stored.filter(|stored| !self.is_outgrown(field, stored)).cloned();
        let required = field.is_required(&self.config);
        let value = match given {
            Given::Value(value) => Some(value),
            Given::Wrong => None,
            Given::Absent if stored.is_some() => stored,
            Given::Absent | Given::Reset if !required => field.default_beside(&self.config),
            Given::Absent => {
                self.fault(field.name, Wrong::missing());
                None
            }
            Given::Reset => {
                self.fault(field.name, reset());
                None
            }
        };
        if let Some(value) = value {
            self.set(field.name, value);
        }
    }

    /// Whether what is stored of a setting is its default, and that does not apply any more.
    fn is_outgrown(&self, field: &Field, stored: &Value) -> bool {
        let before = self.current.is_some_and(|current| field.may_be_absent(current));
        let default = self.current.and_then(|current| field.default_beside(current));
        before != field.may_be_absent(&self.config) && default.as_ref() == Some(stored)
    }

    /// Whether nothing is there of a secret that nothing is said about.
    fn is_lacking(&self, field: &Field) -> bool {
        // What could not be absent before is there.
        self.current.is_none_or(|current| field.may_be_absent(current) && !self.stored.contains(&field.name))
    }

    /// The member `name`, as `check` has it.
    fn member<T>(&mut self, name: &str, check: impl Fn(&Value) -> Result<T, Wrong>) -> Given<T> {
        let checked = match self.members.get(name) {
            None => return Given::Absent,
            Some(Value::Null) => return Given::Reset,
            Some(value) => check(value),
        };
        match checked {
            Ok(value) => Given::Value(value),
            Err(wrong) => {
                self.fault(name, wrong);
                Given::Wrong
            }
        }
    }

    /// The member `name`, which must be a string that passes `check`. The value is never repeated in a fault by this function, since it
    /// reads secrets as well.
    pub fn text<T, E: Into<Wrong>>(&mut self, name: &str, check: impl Fn(&str) -> Result<T, E>) -> Given<T> {
        self.member(name, |value| match value {
            Value::String(text) => check(text).map_err(Into::into),
            _ => Err(Wrong::malformed("a string")),
        })
    }

    /// A text, for which `true` and `false` may be written too.
    pub fn word(&mut self, name: &str, check: impl Fn(&str) -> Checked) -> Given<String> {
        self.member(name, |value| match value {
            Value::String(text) => check(text).map_err(Into::into),
            Value::Bool(flag) => check(if *flag { "true" } else { "false" }).map_err(Into::into),
            _ => Err(Wrong::malformed("a string, true or false")),
        })
    }

    fn choice(&mut self, name: &str, words: &[(&str, &str)], read: Option<fn(&str) -> Checked>) -> Given<Value> {
        let known = |text: &str| match words.iter().find(|(word, _)| *word == text) {
            Some((word, _)) => Ok((*word).to_owned()),
            None => Err(not_among(text, words)),
        };
        self.text(name, |text| read.map_or_else(|| known(text), |read| read(text).map_err(Wrong::from)))
            .map(Value::from)
    }

    /// A secret as it was given.
    pub fn secret(&mut self, name: &str, check: impl Fn(&str) -> Checked<SecretString>) -> Given<SecretString> {
        if let Some(Value::Object(_)) = self.members.get(name) {
            self.fault(name, "is write-only: leave it out to keep the stored one, or give a new one as a string");
            return Given::Wrong;
        }
        self.text(name, check)
    }

    fn own_secret(&mut self, field: &Field, check: impl Fn(&str) -> Checked<SecretString>) {
        let given = self.secret(field.name, check);
        self.keep_secret(field, given);
    }

    /// Keeps what was given of a secret. The origin of a URL stands among the settings, since it is shown.
    fn keep_secret(&mut self, field: &Field, given: Given<SecretString>) {
        let is_url = matches!(field.kind, Kind::SecretUrl(_));
        let required = field.is_required(&self.config);
        match given {
            Given::Value(secret) => {
                if let Some(origin) = endpoint::origin(&secret).filter(|_| is_url) {
                    self.set(field.name, origin);
                }
                self.set_secret(field.name, Some(secret));
            }
            Given::Absent if required && self.is_lacking(field) => self.fault(field.name, Wrong::missing()),
            Given::Reset if required => self.fault(field.name, reset()),
            Given::Reset => self.set_secret(field.name, None),
            Given::Absent => {
                if let Some(origin) = self.current_text(field.name).filter(|_| is_url) {
                    self.set(field.name, origin);
                }
            }
            Given::Wrong => {}
        }
    }
}

impl<T> Given<T> {
    fn map<U>(self, change: impl Fn(T) -> U) -> Given<U> {
        match self {
            Self::Absent => Given::Absent,
            Self::Reset => Given::Reset,
            Self::Value(value) => Given::Value(change(value)),
            Self::Wrong => Given::Wrong,
        }
    }
}

fn reset() -> Wrong {
    Wrong::new(FaultCode::Null, "is required and cannot be null")
}

fn not_among(text: &str, words: &[(&str, &str)]) -> Wrong {
    let message = if let [(one, _), (other, _)] = words {
        format!("`{}` is neither `{one}` nor `{other}`", shown(text))
    } else {
        let known = words.iter().map(|(word, _)| format!("`{word}`")).collect::<Vec<_>>().join(", ");
        format!("`{}` is none of {known}", shown(text))
    };
    let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    Wrong::new(FaultCode::NotOneOf, message).with("given", shown(text)).with("expected", known.join(", "))
}
