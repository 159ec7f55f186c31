//! Reading the signature as people paste it: the value, the whole header line, what `curl -v` or a log made of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_PAD_INDIFFERENT as BASE64;

use super::finding::Finding;

const ALGORITHM: &str = "sha256";
/// Hex digits of a SHA-256.
const DIGITS: usize = 64;

/// A signature as it was pasted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Signature {
    /// The code, where it can be read.
    pub code: Option<[u8; 32]>,
    /// How it differs from how a signature is written. Each of these makes the documented code refuse it.
    pub faults: Vec<Finding>,
    /// What is worth knowing, and no fault.
    pub note: Option<Finding>,
}

impl Signature {
    fn wrong(what: impl Into<std::borrow::Cow<'static, str>>, remedy: &'static str) -> Self {
        Self { code: None, faults: vec![Finding::new(what, remedy)], note: None }
    }
}

/// A header line, or only its value: name, where there is one, and value.
pub(super) fn line(pasted: &str) -> (Option<&str>, &str) {
    let unquoted = |text| str::trim(text).trim_matches(['"', '\'', ',', ';']).trim();
    // `curl -v` puts a sign before each line.
    let text = unquoted(pasted.trim().trim_start_matches(['<', '>']));
    let named =
        |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    match text.split_once(':') {
        Some((name, value)) if named(unquoted(name)) && !unquoted(name).eq_ignore_ascii_case(ALGORITHM) => {
            (Some(unquoted(name)), unquoted(value))
        }
        _ => (None, text),
    }
}

/// Reads `X-Toktra-Signature`.
pub(super) fn read(pasted: &str) -> Signature {
    let (name, value) = line(pasted);
    let name = name.unwrap_or_default().replace('_', "-").to_ascii_lowercase();
    let name = name.strip_prefix("http-").unwrap_or(&name);
    if value.starts_with("v1,") || name == "webhook-signature" {
        return Signature::wrong(
            "This is `webhook-signature`, the signature of Standard Webhooks, not `X-Toktra-Signature`.",
            "Paste it under “Standard Webhooks”, with `webhook-id` and `webhook-timestamp`.",
        );
    }
    if value.split([' ', ',']).filter(|part| !part.is_empty()).count() > 1 {
        return Signature::wrong(
            "This is more than one value.",
            "Paste a single one. If a proxy joined two headers, check each of the values.",
        );
    }
    let mut signature = of_value(value);
    signature.note = (name == "x-toktra-signature-next").then(|| {
        Finding::new(
            "This is `X-Toktra-Signature-Next`: it is made with the next secret of a rotation.",
            "Check it with the new secret; `X-Toktra-Signature` is made with the present one until the rotation ends.",
        )
    });
    if !matches!(name, "" | "x-toktra-signature" | "x-toktra-signature-next") {
        signature.faults.insert(
            0,
            Finding::new(format!("The header is called `{name}`."), "Toktra's is `X-Toktra-Signature`. Read that one."),
        );
    }
    signature
}

fn of_value(value: &str) -> Signature {
    let (algorithm, digits) = match value.split_once(['=', ':']) {
        // Base64 ends with the same sign.
        Some((before, after)) if !after.trim_matches('=').is_empty() || before.eq_ignore_ascii_case(ALGORITHM) => {
            (Some(before), after)
        }
        _ => (None, value),
    };
    if digits.is_empty() {
        return Signature::wrong(
            "There is no signature behind `sha256=`.",
            "Paste the whole value: `sha256=` and 64 hex digits. A connector without a signing secret sends no signature.",
        );
    }
    let mut faults = Vec::new();
    match algorithm {
        Some(ALGORITHM) if value.as_bytes().get(ALGORITHM.len()) == Some(&b'=') => {}
        Some(word) if word.eq_ignore_ascii_case(ALGORITHM) => faults.push(Finding::new(
            "The beginning of the value is not written `sha256=`.",
            "Compare the value as it came: lower case, with an equals sign.",
        )),
        Some(word) => {
            return Signature::wrong(
                format!("The value says `{word}`, not `sha256`."),
                "Toktra signs with HMAC-SHA256 only. Read the header `X-Toktra-Signature`, and accept no other algorithm.",
            );
        }
        None => faults.push(Finding::new(
            "The `sha256=` at the beginning of the value is missing.",
            "Compare with `\"sha256=\" + hexdigest`: the prefix is a part of the header.",
        )),
    }
    match code_of(digits) {
        Ok((code, fault)) => {
            faults.extend(fault);
            Signature { code: Some(code), faults, note: None }
        }
        Err(fault) => {
            faults.push(fault);
            Signature { code: None, faults, note: None }
        }
    }
}

/// The code that `digits` write, and how they differ from lower-case hex.
fn code_of(digits: &str) -> Result<([u8; 32], Option<Finding>), Finding> {
    let read: Option<[u8; 32]> = hex::decode(digits).ok().and_then(|bytes| bytes.try_into().ok());
    if let Some(code) = read {
        let upper = digits.bytes().any(|b| b.is_ascii_uppercase()).then(|| {
            Finding::new(
                "The hex digits are in upper case.",
                "Toktra writes them in lower case, and the documented code compares characters: convert to lower case first, or find out what \
                 changed them.",
            )
        });
        return Ok((code, upper));
    }
    if let Some(code) = BASE64.decode(digits).ok().and_then(|bytes| bytes.try_into().ok()) {
        let fault = Finding::new(
            "The code is written in base64.",
            "`X-Toktra-Signature` is in hex: use `hexdigest()` in Python, `digest(\"hex\")` in Node.js.",
        );
        return Ok((code, Some(fault)));
    }
    let count = digits.chars().count();
    if let Some((at, other)) = digits.chars().enumerate().find(|(_, c)| !c.is_ascii_hexdigit()) {
        return Err(Finding::new(
            format!(
                "Character {} of the {count} behind `sha256=` is `{}`, which is no hex digit.",
                at + 1,
                other.escape_default()
            ),
            "Copy the value again: it is 64 characters, 0 to 9 and a to f.",
        ));
    }
    let difference = match count {
        63 => "one is missing".to_owned(),
        0..DIGITS => format!("{} are missing", DIGITS - count),
        _ => format!("{} too many", count - DIGITS),
    };
    Err(Finding::new(
        format!("There are {count} hex digits behind `sha256=`, not 64: {difference}."),
        "Copy the value again, to its end. Logs and tables often cut long values.",
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEX: &str = "aa9e2e3575f5d7098b6caccd790888c36d5fdb63342a73bada2d6a51747a8494";

    fn first(pasted: &str) -> String {
        read(pasted).faults.first().map(|fault| fault.what.clone().into_owned()).unwrap_or_default()
    }

    #[test]
    fn the_header_is_read_however_it_is_pasted() {
        let value = format!("sha256={HEX}");
        for pasted in [
            value.clone(),
            format!("  {value}\n"),
            format!("X-Toktra-Signature: {value}"),
            format!("< x-toktra-signature: {value}"),
            format!("\"X-Toktra-Signature\": \"{value}\","),
            format!("HTTP_X_TOKTRA_SIGNATURE: {value}"),
            format!("'{value}'"),
        ] {
            let read = read(&pasted);
            assert_eq!((read.code.map(hex::encode).as_deref(), read.faults.len()), (Some(HEX), 0), "{pasted}");
        }
        let next = read(&format!("X-Toktra-Signature-Next: {value}"));
        assert!(next.faults.is_empty() && next.note.is_some());
    }

    #[test]
    fn what_is_wrong_with_a_header_is_said_exactly() {
        let base64 = BASE64.encode(hex::decode(HEX).unwrap());
        let said = [
            first(""),
            first("sha256="),
            first(HEX),
            first(&format!("SHA256={HEX}")),
            first(&format!("sha256:{HEX}")),
            first(&format!("sha1={}", &HEX[..40])),
            first(&format!("sha256={}", HEX.to_uppercase())),
            first(&format!("sha256={}", &HEX[..62])),
            first(&format!("sha256={HEX}0")),
            first(&format!("sha256={}", HEX.replacen('9', "o", 1))),
            first(&format!("sha256={base64}")),
            first(&base64),
            first("v1,abc="),
            first(&format!("sha256={HEX}, sha256={HEX}")),
            first(&format!("X-Hub-Signature-256: sha256={HEX}")),
        ];
        insta::assert_snapshot!(said.join("\n"));
    }

    proptest! {
        #[test]
        fn nothing_that_is_pasted_is_too_much(pasted in any::<String>()) {
            let read = read(&pasted);
            prop_assert!(read.code.is_some() || !read.faults.is_empty());
        }
    }
}
