//! Reading the `config` of a channel as people write it, for a new one and as a patch laid over one that exists: members that are given
//! replace, absent ones stay, `null` takes away.

use secrecy::SecretString;
use serde_json::{Map, Value};
use toktra_siem_base::random::Random;
use toktra_siem_core::fault::{FaultCode, FieldFault, Wrong, segment, shown};
use toktra_siem_core::notice::ChannelKind;
use toktra_siem_core::people::{Email, NotAnEmail};
use toktra_siem_platform::endpoint;

use crate::Settings;
use crate::kinds::{Descriptor, Field, PAGERDUTY, descriptor};

/// The most addresses that a channel sends to.
const ADDRESSES: usize = 20;

/// Reads `given` for a channel of this kind, laid over what is `kept` of it. All faults are collected; pointers begin below `config`, and no
/// message repeats a secret.
pub fn read(
    kind: ChannelKind,
    given: &Map<String, Value>,
    kept: Option<&Settings>,
) -> Result<Settings, Vec<FieldFault>> {
    let of = descriptor(kind);
    let mut settings = kept.cloned().unwrap_or_default();
    let mut faults = unknown(of, given);
    for field in of.fields {
        match given.get(field.name) {
            None => {
                if field.required && !has(&settings, field) {
                    faults.push(FieldFault::of(field.name, Wrong::missing()));
                }
            }
            Some(Value::Null) if field.required => {
                let wrong = Wrong::new(FaultCode::Null, "is required and cannot be null");
                faults.push(FieldFault::of(field.name, wrong));
            }
            Some(Value::Null) => {
                settings.config.remove(field.name);
                settings.secrets.remove(field.name);
            }
            Some(value) => match take(kind, field, value) {
                Ok(Taken::Open(value)) => drop(settings.config.insert(field.name.to_owned(), value)),
                Ok(Taken::Secret(secret)) => drop(settings.secrets.insert(field.name.to_owned(), secret)),
                Err(wrong) => faults.extend(wrong),
            },
        }
    }
    faults.extend(unseen(kind, given, kept, &settings));
    if faults.is_empty() { Ok(settings) } else { Err(faults) }
}

/// What the service makes for a channel that nobody gave it: the secret that a webhook's messages are signed with.
pub fn made(kind: ChannelKind, settings: &Settings, random: &dyn Random) -> Option<(&'static str, SecretString)> {
    let needed = kind == ChannelKind::Webhook && !settings.secrets.contains_key("signing_secret");
    needed.then(|| ("signing_secret", random.signing_secret()))
}

/// What was read of a member.
enum Taken {
    Open(Value),
    Secret(SecretString),
}

fn has(settings: &Settings, field: &Field) -> bool {
    if field.secret { settings.secrets.contains_key(field.name) } else { settings.config.contains_key(field.name) }
}

fn unknown(of: &Descriptor, given: &Map<String, Value>) -> Vec<FieldFault> {
    let known: Vec<&str> = of.fields.iter().map(|field| field.name).collect();
    let strange = given.keys().filter(|name| !known.contains(&name.as_str())).take(10);
    let fault = |name: &String| {
        let distance = |known: &&str| strsim::damerau_levenshtein(&name.to_lowercase(), known);
        let near = known.iter().copied().min_by_key(distance).filter(|near| distance(near) <= 1 + near.len() / 4);
        let hint = near.map_or_else(String::new, |near| format!(". Did you mean `{near}`?"));
        let name = shown(name);
        let message =
            format!("`{name}` is not a setting of {}; known are {}{hint}", of.kind.as_str(), known.join(", "));
        FieldFault::new(segment(&name), Wrong::new(FaultCode::Unknown, message).with("given", name))
    };
    strange.map(fault).collect()
}

fn take(kind: ChannelKind, field: &Field, value: &Value) -> Result<Taken, Vec<FieldFault>> {
    if field.list {
        return addresses(field.name, value).map(Taken::Open);
    }
    let one = |wrong: Wrong| vec![FieldFault::of(field.name, wrong)];
    match value {
        Value::String(text) if field.secret => secret(field, text).map(Taken::Secret).map_err(one),
        Value::String(text) => open(kind, text).map(|text| Taken::Open(text.into())).map_err(|why| one(why.into())),
        Value::Object(_) if field.secret => {
            let why = "is write-only: leave it out to keep the stored one, or give a new one as a string";
            Err(one(why.into()))
        }
        _ => Err(one(Wrong::malformed("a string"))),
    }
}

fn secret(field: &Field, text: &str) -> Result<SecretString, Wrong> {
    if field.url {
        let url = endpoint::whole(text).map_err(|why| with_example(field, &why))?;
        return Ok(SecretString::from(String::from(url)));
    }
    let secret = text.trim();
    match field.name {
        "routing_key" if secret.len() != 32 || !secret.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            Err(ROUTING_KEY.into())
        }
        "signing_secret" if !(8..=512).contains(&secret.len()) || !secret.bytes().all(|b| b.is_ascii_graphic()) => {
            Err(Wrong::length(8, 512, "printable ASCII characters"))
        }
        _ => Ok(SecretString::from(secret)),
    }
}

const ROUTING_KEY: &str =
    "must be the 32 letters and digits of an Events API V2 integration key; a REST API key does not work here";

/// The words for connectors name a SIEM as an example.
fn with_example(field: &Field, why: &str) -> String {
    match why.split_once("; give") {
        Some((why, _)) => format!("{why}; give one such as {}", field.example),
        None => why.to_owned(),
    }
}

/// A URL that may be shown: where PagerDuty takes events. Its documentation names the whole address, which is fine too.
fn open(kind: ChannelKind, text: &str) -> Result<String, String> {
    let url = endpoint::base_url(text)?;
    Ok(match kind {
        ChannelKind::Pagerduty => url.strip_suffix("/v2/enqueue").unwrap_or(&url).to_owned(),
        _ => url,
    })
}

fn addresses(name: &str, value: &Value) -> Result<Value, Vec<FieldFault>> {
    let Value::Array(items) = value else {
        return Err(vec![FieldFault::of(name, Wrong::malformed("an array of e-mail addresses"))]);
    };
    if items.is_empty() || items.len() > ADDRESSES {
        let message = format!("must have 1 to {ADDRESSES} addresses");
        let wrong = Wrong::new(FaultCode::Length, message).with("min", 1).with("max", ADDRESSES);
        return Err(vec![FieldFault::of(name, wrong)]);
    }
    let (mut read, mut faults): (Vec<Email>, Vec<FieldFault>) = (Vec::new(), Vec::new());
    for (at, item) in items.iter().enumerate() {
        let pointer = format!("{}/{at}", segment(name));
        match item.as_str().map(address) {
            Some(Ok(address)) if read.contains(&address) => {
                faults.push(FieldFault::new(pointer, Wrong::new(FaultCode::Repeated, "is given more than once")));
            }
            Some(Ok(address)) => read.push(address),
            Some(Err(why)) => faults.push(FieldFault::new(pointer, why.to_string())),
            None => faults.push(FieldFault::new(pointer, Wrong::malformed("a string"))),
        }
    }
    if faults.is_empty() { Ok(read.iter().map(Email::as_str).collect()) } else { Err(faults) }
}

/// An address that a mail can be sent to: what SMTP cannot carry is refused here, and not when somebody should be told.
fn address(text: &str) -> Result<Email, NotAnEmail> {
    let email: Email = text.parse()?;
    let sendable = email.as_str().parse::<lettre::Address>().is_ok();
    if sendable { Ok(email) } else { Err(NotAnEmail) }
}

/// A stored secret never goes to another host unseen: whoever changes the URL that it goes to has to know it.
fn unseen(
    kind: ChannelKind,
    given: &Map<String, Value>,
    kept: Option<&Settings>,
    settings: &Settings,
) -> Option<FieldFault> {
    let kept = kept.filter(|_| kind == ChannelKind::Pagerduty)?;
    let origin =
        |settings: &Settings| url::Url::parse(settings.text("url").unwrap_or(PAGERDUTY)).ok().map(|url| url.origin());
    let moved = kept.secrets.contains_key("routing_key") && origin(kept) != origin(settings);
    (moved && !given.contains_key("routing_key")).then(|| {
        let message = "is missing: a change of the URL must bring it along, so that a stored secret is never sent to another host unseen";
        FieldFault::of("routing_key", Wrong::new(FaultCode::Missing, message))
    })
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;
    use serde_json::json;
    use toktra_siem_base::random::SeededRandom;

    use super::*;

    const KEY: &str = "0123456789abcdef0123456789ABCDEF";

    fn members(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn new(kind: ChannelKind, value: &Value) -> Result<Settings, Vec<FieldFault>> {
        read(kind, &members(value), None)
    }

    fn patched(kind: ChannelKind, kept: &Settings, value: &Value) -> Result<Settings, Vec<FieldFault>> {
        read(kind, &members(value), Some(kept))
    }

    fn places(faults: &[FieldFault]) -> Vec<(&str, FaultCode)> {
        faults.iter().map(|fault| (fault.pointer.as_str(), fault.code)).collect()
    }

    #[test]
    fn each_kind_is_read_and_its_secrets_are_set_apart() {
        let email = new(ChannelKind::Email, &json!({ "to": ["SOC@Company.com ", "jo@company.com"] })).unwrap();
        assert_eq!(email.config["to"], json!(["soc@company.com", "jo@company.com"]));
        for kind in [ChannelKind::Slack, ChannelKind::Teams, ChannelKind::Webhook] {
            let read = new(kind, &json!({ "url": "https://hooks.example/services/x?sig=a%2Fb" })).unwrap();
            assert!(read.config.is_empty());
            assert_eq!(read.secrets["url"].expose_secret(), "https://hooks.example/services/x?sig=a%2Fb");
        }
        let url = "https://events.eu.pagerduty.com/v2/enqueue";
        let duty = new(ChannelKind::Pagerduty, &json!({ "routing_key": KEY, "url": url })).unwrap();
        assert_eq!(duty.text("url"), Some("https://events.eu.pagerduty.com"));
        assert_eq!(duty.secrets["routing_key"].expose_secret(), KEY);
    }

    #[test]
    fn every_fault_is_named_at_once_with_its_place() {
        let many: Vec<String> = (0..21).map(|number| format!("a{number}@company.com")).collect();
        for (kind, given, expected) in [
            (ChannelKind::Email, json!({}), vec![("/to", FaultCode::Missing)]),
            (ChannelKind::Email, json!({ "to": "jo@company.com" }), vec![("/to", FaultCode::Malformed)]),
            (ChannelKind::Email, json!({ "to": [] }), vec![("/to", FaultCode::Length)]),
            (ChannelKind::Email, json!({ "to": many }), vec![("/to", FaultCode::Length)]),
            (
                ChannelKind::Email,
                json!({ "to": ["jo@company.com", "x\r\nBcc: y@z.com", 7, "JO@company.com", "a..b@company.com"], "cc": [] }),
                vec![
                    ("/cc", FaultCode::Unknown),
                    ("/to/1", FaultCode::Invalid),
                    ("/to/2", FaultCode::Malformed),
                    ("/to/3", FaultCode::Repeated),
                    ("/to/4", FaultCode::Invalid),
                ],
            ),
            (ChannelKind::Slack, json!({ "url": null }), vec![("/url", FaultCode::Null)]),
            (ChannelKind::Teams, json!({ "url": { "set": true } }), vec![("/url", FaultCode::Invalid)]),
            (
                ChannelKind::Pagerduty,
                json!({ "routing_key": "u+abc", "url": "ftp://x" }),
                vec![("/routing_key", FaultCode::Invalid), ("/url", FaultCode::Invalid)],
            ),
            (
                ChannelKind::Webhook,
                json!({ "url": "https://u:p@x.example", "signing_secret": "short" }),
                vec![("/url", FaultCode::Invalid), ("/signing_secret", FaultCode::Length)],
            ),
        ] {
            assert_eq!(places(&new(kind, &given).unwrap_err()), expected, "{given}");
        }
    }

    #[test]
    fn a_name_that_is_nearly_right_is_answered_with_the_right_one() {
        let faults = new(ChannelKind::Pagerduty, &json!({ "routing_key": KEY, "routingkey": KEY })).unwrap_err();
        assert_eq!(
            faults[0].message,
            "`routingkey` is not a setting of pagerduty; known are routing_key, url. Did you mean `routing_key`?"
        );
        let faults = new(ChannelKind::Email, &json!({ "to": ["a@b.com"], "recipients": [] })).unwrap_err();
        assert!(!faults[0].message.contains("Did you mean"), "{}", faults[0].message);
    }

    #[test]
    fn no_fault_repeats_a_secret() {
        for (kind, given) in [
            (ChannelKind::Slack, json!({ "url": "ftp://hunter2.example/hunter2" })),
            (ChannelKind::Slack, json!({ "url": "hunter2 hunter2" })),
            (ChannelKind::Teams, json!({ "url": "https://hunter2@x.example/#hunter2" })),
            (ChannelKind::Pagerduty, json!({ "routing_key": "hunter2 hunter2" })),
            (ChannelKind::Webhook, json!({ "url": "https://", "signing_secret": "hunter2é" })),
        ] {
            let faults = new(kind, &given).unwrap_err();
            assert!(faults.iter().all(|fault| !fault.message.contains("hunter2")), "{faults:?}");
        }
    }

    #[test]
    fn a_patch_keeps_what_it_does_not_name_and_null_takes_away() {
        let kept = new(ChannelKind::Webhook, &json!({ "url": "https://a.example/x", "signing_secret": KEY })).unwrap();
        let same = patched(ChannelKind::Webhook, &kept, &json!({})).unwrap();
        assert_eq!(same.secrets["url"].expose_secret(), "https://a.example/x");
        assert_eq!(same.secrets["signing_secret"].expose_secret(), KEY);
        let without = patched(ChannelKind::Webhook, &kept, &json!({ "signing_secret": null })).unwrap();
        assert!(!without.secrets.contains_key("signing_secret"));
    }

    #[test]
    fn a_stored_key_is_never_sent_to_another_host_unseen() {
        let kept = new(ChannelKind::Pagerduty, &json!({ "routing_key": KEY })).unwrap();
        let elsewhere = json!({ "url": "https://evil.example" });
        assert_eq!(
            places(&patched(ChannelKind::Pagerduty, &kept, &elsewhere).unwrap_err()),
            [("/routing_key", FaultCode::Missing)]
        );
        let both = json!({ "url": "https://evil.example", "routing_key": KEY });
        assert!(patched(ChannelKind::Pagerduty, &kept, &both).is_ok());
        let same = json!({ "url": "https://EVENTS.pagerduty.com:443/v2/enqueue" });
        assert!(patched(ChannelKind::Pagerduty, &kept, &same).is_ok(), "the default, spelled out");
        let eu = new(ChannelKind::Pagerduty, &json!({ "routing_key": KEY, "url": "https://eu.example" })).unwrap();
        assert!(patched(ChannelKind::Pagerduty, &eu, &json!({ "url": null })).is_err(), "back to the default");
    }

    #[test]
    fn a_webhook_gets_a_secret_to_sign_with_unless_it_has_one() {
        let random = SeededRandom::new(7);
        let bare = new(ChannelKind::Webhook, &json!({ "url": "https://a.example/x" })).unwrap();
        let (field, secret) = made(ChannelKind::Webhook, &bare, &random).unwrap();
        assert!(field == "signing_secret" && secret.expose_secret().starts_with("whsec_"));
        let given = new(ChannelKind::Webhook, &json!({ "url": "https://a.example/x", "signing_secret": KEY })).unwrap();
        assert!(made(ChannelKind::Webhook, &given, &random).is_none());
        assert!(made(ChannelKind::Slack, &bare, &random).is_none());
    }
}
