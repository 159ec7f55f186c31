//! What requests are authorised with where there are two ways: a key of some kind, or a user name and a password.

use secrecy::SecretString;

use crate::checks;
use crate::descriptor::Checked;
use crate::read::{Given, Reader};

/// Reads a key, whose member is `key`, or `username` and `password`, or neither; a new one takes the place of the other kind.
pub(crate) fn read(reader: &mut Reader<'_>, key: &str, check: impl Fn(&str) -> Checked<SecretString>) {
    let given = reader.secret(key, check);
    let name = reader.text("username", checks::username);
    let password = reader.secret("password", checks::password);
    let stored = reader.current_text("username").map(str::to_owned);
    // The user name that is kept, and the secrets where they change.
    let (name, change) = match (given, name, password) {
        (Given::Value(_), Given::Value(_), _) | (Given::Value(_), _, Given::Value(_)) => {
            return reader.fault(key, format!("give either `{key}`, or `username` and `password`, not both"));
        }
        (Given::Value(secret), _, _) => (None, Some((Some(secret), None))),
        (_, Given::Value(name), Given::Value(password)) => (Some(name), Some((None, Some(password)))),
        (_, Given::Absent, Given::Value(password)) if stored.is_some() => (stored, Some((None, Some(password)))),
        (_, Given::Absent | Given::Reset, Given::Value(_)) => {
            return reader.fault("username", "is missing: a password needs its user name");
        }
        (_, Given::Value(name), Given::Absent) if stored.as_ref() == Some(&name) => (stored, None),
        (_, Given::Value(_), Given::Absent | Given::Reset) => {
            return reader.fault("password", "is missing: a user name needs its password");
        }
        // A null clears the credential that is in use; the other kind is not there anyway.
        (_, Given::Reset, _) | (_, _, Given::Reset) if stored.is_some() => (None, Some((None, None))),
        (Given::Reset, _, _) if stored.is_none() => (None, Some((None, None))),
        _ => (stored, None),
    };
    if let Some(name) = name {
        reader.set("username", name);
    }
    if let Some((secret, password)) = change {
        reader.set_secret(key, secret);
        reader.set_secret("password", password);
    }
}
