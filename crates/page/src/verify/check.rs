//! Checking a signature, and finding out why it is refused: pure functions of what was typed.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_PAD_INDIFFERENT as BASE64;
use secrecy::{ExposeSecret as _, SecretString};
use toktra_siem_core::signing;
use toktra_siem_core::time::Timestamp;

use super::finding::{Finding, Outcome, Verdict};
use super::header;
use super::variants::{self, Variant};
use crate::show;

/// From this age on libraries for Standard Webhooks refuse (docs/signatures.md, "Verifying").
const REPLAY: Duration = Duration::from_mins(5);

/// What the three headers of Standard Webhooks say.
#[derive(Debug, Clone, Default)]
pub(super) struct Webhook {
    /// `webhook-id`.
    pub id: String,
    /// `webhook-timestamp`.
    pub timestamp: String,
    /// `webhook-signature`.
    pub signature: String,
}

impl Webhook {
    /// Whether nothing was typed.
    pub(super) fn is_empty(&self) -> bool {
        self.id.is_empty() && self.timestamp.is_empty() && self.signature.is_empty()
    }
}

/// The body as it was typed, its line ends as the page sends them: a browser makes CRLF of every line end of a form, whatever it was.
pub(super) fn body(sent: &str) -> String {
    sent.replace("\r\n", "\n").replace('\r', "\n")
}

/// Checks `X-Toktra-Signature`. `body` is that of [`body`].
pub(super) fn signature(body: &str, secret: &SecretString, pasted: &str) -> Verdict {
    let read = header::read(pasted);
    let expected = Some(signing::signature(secret, body.as_bytes()));
    let Some(code) = read.code else {
        return Verdict { outcome: Outcome::Unreadable, findings: read.faults, expected };
    };
    let secrets = variants::secrets(secret.expose_secret());
    let Some(found) = search(&[code], &[], body, &secrets) else {
        let findings = read.faults.into_iter().chain(read.note).chain(unknown(body)).collect();
        return Verdict { outcome: Outcome::Invalid, findings, expected };
    };
    let outcome = if found.harmless && read.faults.is_empty() { Outcome::Valid } else { Outcome::Explained };
    let findings = read.faults.into_iter().chain(found.findings).chain(read.note).collect();
    Verdict { outcome, findings, expected }
}

/// Checks the headers of Standard Webhooks.
pub(super) fn webhook(body: &str, secret: &SecretString, webhook: &Webhook, now: Timestamp) -> Verdict {
    let [id, timestamp, signature] =
        [&webhook.id, &webhook.timestamp, &webhook.signature].map(|pasted| header::line(pasted).1);
    let mut faults = Vec::new();
    if id.is_empty() {
        faults.push(Finding::new("`webhook-id` is missing.", "Paste it: what is signed begins with it."));
    }
    let seconds = seconds(timestamp, &mut faults);
    let codes = codes(signature, &mut faults);
    let (Some(seconds), false) = (seconds, id.is_empty() || codes.is_empty()) else {
        return Verdict { outcome: Outcome::Unreadable, findings: faults, expected: None };
    };
    let prefix = format!("{id}.{seconds}.");
    let expected = Some(expected_webhook(secret, &prefix, body));
    let secrets = variants::webhook_secrets(secret);
    if let Some(found) = search(&codes, prefix.as_bytes(), body, &secrets) {
        let valid = found.harmless && faults.is_empty();
        let findings = faults.into_iter().chain(found.findings).chain(age(seconds, now)).collect();
        let outcome = if valid { Outcome::Valid } else { Outcome::Explained };
        return Verdict { outcome, findings, expected };
    }
    if search(&codes, &[], body, &secrets).is_some() {
        faults.push(Finding::new(
            "This signature is made of the body alone.",
            "Sign `id.timestamp.body`: the two headers and the body, with a full stop between each.",
        ));
        return Verdict { outcome: Outcome::Explained, findings: faults, expected };
    }
    faults.extend(unknown(body));
    Verdict { outcome: Outcome::Invalid, findings: faults, expected }
}

fn expected_webhook(secret: &SecretString, prefix: &str, body: &str) -> String {
    let code = signing::webhook_code(secret, &[prefix.as_bytes(), body.as_bytes()]);
    format!("v1,{}", BASE64.encode(code))
}

/// The time of the attempt.
fn seconds(timestamp: &str, faults: &mut Vec<Finding>) -> Option<i64> {
    let number: Option<i64> = timestamp.parse().ok().filter(|_| timestamp.bytes().all(|b| b.is_ascii_digit()));
    match number {
        Some(millis) if timestamp.len() == 13 => {
            faults.push(Finding::new(
                "`webhook-timestamp` is in milliseconds.",
                "It is sent, and signed, in whole seconds since 1970: take the header as it came.",
            ));
            Some(millis / 1000)
        }
        Some(seconds) if timestamp.len() < 13 => Some(seconds),
        _ => {
            let what = if timestamp.is_empty() {
                "`webhook-timestamp` is missing."
            } else {
                "`webhook-timestamp` is no number of seconds."
            };
            faults.push(Finding::new(what, "Paste it as it came: ten digits, the seconds since 1970."));
            None
        }
    }
}

/// The codes of `webhook-signature`: one for each secret that is valid.
fn codes(signature: &str, faults: &mut Vec<Finding>) -> Vec<[u8; 32]> {
    let mut codes = Vec::new();
    for part in signature.split_whitespace() {
        let read = |bytes: Option<Vec<u8>>| bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let Some(code) = part.strip_prefix("v1,") else {
            faults.push(Finding::new(
                "A part of `webhook-signature` does not begin with `v1,`.",
                "Paste the whole header: `v1,` and 44 characters of base64, once or twice. Ignore other versions.",
            ));
            codes.extend(read(BASE64.decode(part).ok()));
            continue;
        };
        if let Some(code) = read(BASE64.decode(code).ok()) {
            codes.push(code);
        } else if let Some(code) = read(hex::decode(code).ok()) {
            codes.push(code);
            faults.push(Finding::new(
                "A part of `webhook-signature` is in hex.",
                "Standard Webhooks writes base64; hex is for `X-Toktra-Signature`.",
            ));
        } else {
            faults.push(Finding::new(
                "A part of `webhook-signature` is not the base64 of 32 bytes.",
                "Copy the value again, to its end: 44 characters behind `v1,`, the last of them `=`.",
            ));
        }
    }
    if signature.is_empty() {
        faults.push(Finding::new("`webhook-signature` is missing.", "Paste it: `v1,` and 44 characters of base64."));
    }
    codes
}

/// What a library makes of the time, which says nothing about the signature.
fn age(seconds: i64, now: Timestamp) -> Option<Finding> {
    let at = Timestamp(seconds.saturating_mul(1000));
    let (past, future) = (now.since(at), at.since(now));
    if past.max(future) <= REPLAY {
        return None;
    }
    Some(Finding::new(
        format!("Its time is {}.", show::ago(at, now)),
        "Libraries for Standard Webhooks refuse what is more than five minutes off, against replay. If yours refused it when it came, compare \
         the clocks of the two machines.",
    ))
}

/// What was found.
struct Found {
    findings: Vec<Finding>,
    /// Nothing in it is a mistake.
    harmless: bool,
}

/// Looks for what `codes` were made of: first body and secret as typed, then with one thing changed, then with two.
fn search(codes: &[[u8; 32]], prefix: &[u8], body: &str, secrets: &[Variant]) -> Option<Found> {
    let bodies = variants::bodies(body);
    let mut pairs: Vec<(&Variant, &Variant)> = Vec::new();
    for secret in secrets {
        pairs.extend(bodies.iter().map(|body| (body, secret)));
    }
    pairs.sort_by_key(|(body, secret)| usize::from(body.finding.is_some()) + usize::from(secret.finding.is_some()));
    let (body, secret) = pairs.into_iter().find(|(body, secret)| {
        codes.iter().any(|code| signing::is_code_of(&secret.bytes, &[prefix, &body.bytes], code))
    })?;
    let findings = [&body.finding, &secret.finding].into_iter().flatten().cloned().collect();
    Some(Found { findings, harmless: body.harmless && secret.harmless })
}

/// What to try where nothing that is known explains it.
fn unknown(body: &str) -> Vec<Finding> {
    let mut all = vec![Finding::new(
        "This secret and this body do not make this signature, nor do they with any of the usual mistakes undone.",
        "Check that the secret is this connector's: it is shown once, when it is made, and the connector's page says how it ends. During a \
         rotation try the other one.",
    )];
    if body.contains('\u{fffd}') || body.chars().any(|c| c.is_control() && !c.is_whitespace()) {
        all.push(Finding::new(
            "The body holds bytes that are no text: it looks compressed.",
            "Paste the bytes in base64 instead (`base64 < body`): what is signed is the body as it was sent, before it is inflated.",
        ));
    } else {
        all.push(Finding::new(
            "Somebody may have changed the body on its way: a member that was dropped, another order, a number written anew.",
            "Check the raw bytes of the request. Where the connector compresses (`Content-Encoding: gzip`), paste the compressed bytes in base64.",
        ));
    }
    all
}

#[cfg(test)]
mod tests;
