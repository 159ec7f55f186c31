//! Signatures over the exact bytes that leave (product spec, "Signature verification"; docs/signatures.md).

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD as BASE64};
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::destination::{Header, HeaderText, Method, OutboundRequest};
use crate::ids::DeliveryId;
use crate::time::Timestamp;

/// `sha256=<hex>` over the body, with the connector's current secret.
pub const SIGNATURE: &str = "x-toktra-signature";
/// The same with the next secret, while a rotation is under way.
pub const SIGNATURE_NEXT: &str = "x-toktra-signature-next";
/// Standard Webhooks: the delivery's id.
pub const WEBHOOK_ID: &str = "webhook-id";
/// Standard Webhooks: the time of the attempt, in whole seconds since the epoch.
pub const WEBHOOK_TIMESTAMP: &str = "webhook-timestamp";
/// Standard Webhooks: `v1,<base64>` over `id.timestamp.body`, one per valid secret, separated by spaces.
pub const WEBHOOK_SIGNATURE: &str = "webhook-signature";

/// What the secrets of Standard Webhooks begin with.
pub const WEBHOOK_PREFIX: &str = "whsec_";
/// Base64, whether its padding is there or not, and whatever its last bits are: the libraries of Standard Webhooks do not look at them.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The secrets that a connector signs with: none (only a connector of the environment may be without), one, or two during a rotation.
#[derive(Debug, Clone, Default)]
pub struct SigningKeys {
    /// The secret that receivers know.
    pub current: Option<SecretString>,
    /// The secret that takes over at the end of the rotation.
    pub next: Option<SecretString>,
}

/// A request whose exact final bytes are signed. Transport accepts nothing else, so that nothing unsigned can leave by accident.
#[derive(Debug, Clone)]
pub struct SignedRequest {
    /// The HTTP method.
    pub method: Method,
    /// Absolute URL.
    pub url: String,
    /// See [`OutboundRequest::secret_url`].
    pub secret_url: bool,
    /// All headers but those that HTTP itself needs. What is added after signing is for those who sign over headers themselves.
    pub headers: Vec<Header>,
    /// The bytes that were signed and that are sent.
    pub body: Bytes,
}

impl SignedRequest {
    /// Signs `request` as it stands. Each attempt is sealed anew: its timestamp is the attempt's.
    pub fn seal(request: OutboundRequest, keys: &SigningKeys, id: DeliveryId, at: Timestamp) -> Self {
        let OutboundRequest { method, url, secret_url, mut headers, body } = request;
        let mut plain =
            |name: &'static str, value: String| headers.push((name.into(), HeaderText::Plain(value.into())));
        let (id, seconds) = (id.to_string(), at.as_secs());
        plain(WEBHOOK_ID, id.clone());
        plain(WEBHOOK_TIMESTAMP, seconds.to_string());
        let prefix = format!("{id}.{seconds}.");
        let mut webhook = String::new();
        for (name, secret) in [(SIGNATURE, &keys.current), (SIGNATURE_NEXT, &keys.next)] {
            let Some(secret) = secret else { continue };
            plain(name, signature(secret, &body));
            if !webhook.is_empty() {
                webhook.push(' ');
            }
            webhook.push_str("v1,");
            webhook.push_str(&BASE64.encode(webhook_code(secret, &[prefix.as_bytes(), &body])));
        }
        if !webhook.is_empty() {
            plain(WEBHOOK_SIGNATURE, webhook);
        }
        Self { method, url, secret_url, headers, body }
    }
}

/// The value of `X-Toktra-Signature` for `payload`.
pub fn signature(secret: &SecretString, payload: &[u8]) -> String {
    format!("sha256={}", hex::encode(digest(secret, &[payload])))
}

/// Whether `header` is the signature of `payload`: the algorithm is fixed and the comparison takes constant time.
pub fn verify(secret: &SecretString, payload: &[u8], header: &str) -> bool {
    signature(secret, payload).as_bytes().ct_eq(header.as_bytes()).into()
}

/// The key of `webhook-signature`. Standard Webhooks writes a secret as `whsec_` and the key in base64, and its libraries decode that. Any
/// other secret is the key by its bytes, as for `X-Toktra-Signature`, which never decodes anything: the product spec's verifiers do not.
pub fn webhook_key(secret: &SecretString) -> Vec<u8> {
    let text = secret.expose_secret();
    let decoded =
        text.strip_prefix(WEBHOOK_PREFIX).filter(|code| !code.is_empty()).and_then(|code| LENIENT.decode(code).ok());
    decoded.unwrap_or_else(|| text.as_bytes().to_vec())
}

/// What `webhook-signature` says, before base64, of `parts`: `id.timestamp.` and the body.
pub fn webhook_code(secret: &SecretString, parts: &[&[u8]]) -> [u8; 32] {
    mac(&webhook_key(secret), parts)
}

/// Whether `code` is the HMAC-SHA256 of `parts`, one after the other, with this key; compared in constant time. For whoever looks for what
/// a signature was made of: unlike a secret that is configured, the key may be any bytes.
pub fn is_code_of(key: &[u8], parts: &[&[u8]], code: &[u8; 32]) -> bool {
    mac(key, parts).ct_eq(code).into()
}

fn digest(secret: &SecretString, parts: &[&[u8]]) -> [u8; 32] {
    mac(secret.expose_secret().as_bytes(), parts)
}

fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any key length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn secret(text: &str) -> SecretString {
        SecretString::from(text.to_owned())
    }

    #[test]
    fn matches_a_digest_made_elsewhere() {
        // printf '{"a":1}' | openssl dgst -sha256 -hmac secret
        assert_eq!(
            signature(&secret("secret"), br#"{"a":1}"#),
            "sha256=aa9e2e3575f5d7098b6caccd790888c36d5fdb63342a73bada2d6a51747a8494"
        );
    }

    #[test]
    fn refuses_everything_but_the_exact_signature() {
        let (key, body) = (secret("s3cret"), b"body");
        let good = signature(&key, body);
        assert!(verify(&key, body, &good));
        for bad in ["", "sha256=", "none", &good[..70], &good.to_uppercase(), &good.replace("sha256=", "sha1=")] {
            assert!(!verify(&key, body, bad), "{bad}");
        }
        assert!(!verify(&key, b"bodx", &good));
    }

    proptest! {
        #[test]
        fn what_was_signed_verifies_and_nothing_else_does(key in ".{1,40}", body in any::<Vec<u8>>(), at in any::<usize>(), flip in 1u8..) {
            let header = signature(&secret(&key), &body);
            prop_assert!(verify(&secret(&key), &body, &header));
            let other_key = secret(&(key.clone() + "x"));
            prop_assert!(!verify(&other_key, &body, &header));
            let mut other = body.clone();
            match other.len() {
                0 => other.push(flip),
                len => other[at % len] ^= flip,
            }
            prop_assert!(!verify(&secret(&key), &other, &header));
            let code: [u8; 32] = hex::decode(&header[7..]).unwrap().try_into().unwrap();
            let (start, end) = body.split_at(at % (body.len() + 1));
            prop_assert!(is_code_of(key.as_bytes(), &[start, end], &code));
            prop_assert!(!is_code_of(key.as_bytes(), &[&other], &code));
            let mut forged = header.clone().into_bytes();
            let place = at % forged.len();
            forged[place] ^= (flip & 0x0f) | 1;
            prop_assert!(!verify(&secret(&key), &body, &String::from_utf8_lossy(&forged)));
        }
    }

    /// The test vector of the libraries of Standard Webhooks.
    #[test]
    fn a_secret_of_standard_webhooks_signs_as_their_libraries_verify() {
        let whsec = secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let request = OutboundRequest {
            method: Method::Post,
            url: "https://siem.example/x".into(),
            secret_url: false,
            headers: vec![],
            body: Bytes::from_static(br#"{"test": 2432232314}"#),
        };
        let prefix = "msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.";
        let code = webhook_code(&whsec, &[prefix.as_bytes(), &request.body]);
        assert_eq!(BASE64.encode(code), "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let keys = SigningKeys { current: Some(whsec.clone()), next: None };
        let signed = SignedRequest::seal(request.clone(), &keys, DeliveryId(Uuid::nil()), Timestamp(1_000));
        let value = |name: &str| match &signed.headers.iter().find(|(found, _)| found == name).unwrap().1 {
            HeaderText::Plain(value) => value.to_string(),
            HeaderText::Secret(_) => panic!("not a secret"),
        };
        assert!(verify(&whsec, &request.body, &value(SIGNATURE)), "the characters as they are");
        let prefix = format!("{}.1.", Uuid::nil());
        let key = BASE64.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let code = BASE64.encode(mac(&key, &[prefix.as_bytes(), &request.body]));
        assert_eq!(value(WEBHOOK_SIGNATURE), format!("v1,{code}"));
    }

    #[test]
    fn other_secrets_are_keys_by_their_bytes() {
        for text in ["secret", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_", "whsec_not base64!", "WHSEC_aaaa"] {
            assert_eq!(webhook_key(&secret(text)), text.as_bytes());
        }
        assert_eq!(webhook_key(&secret("whsec_YQ==")), b"a");
        assert_eq!(webhook_key(&secret("whsec_YQ")), b"a");
        assert_eq!(webhook_key(&secret("whsec_YR==")), b"a");
    }

    #[test]
    fn carries_both_secrets_during_a_rotation_and_none_without() {
        let request = OutboundRequest {
            method: Method::Post,
            url: "https://siem.example/x".into(),
            secret_url: false,
            headers: vec![],
            body: Bytes::from_static(b"{}"),
        };
        let names = |r: &SignedRequest| r.headers.iter().map(|(n, _)| n.to_string()).collect::<Vec<_>>();
        let id = DeliveryId(Uuid::nil());
        let unsigned = SignedRequest::seal(request.clone(), &SigningKeys::default(), id, Timestamp(1_000));
        assert_eq!(names(&unsigned), [WEBHOOK_ID, WEBHOOK_TIMESTAMP]);
        let keys = SigningKeys { current: Some(secret("a")), next: Some(secret("b")) };
        let both = SignedRequest::seal(request, &keys, id, Timestamp(1_000));
        assert_eq!(names(&both), [WEBHOOK_ID, WEBHOOK_TIMESTAMP, SIGNATURE, SIGNATURE_NEXT, WEBHOOK_SIGNATURE]);
        let HeaderText::Plain(webhook) = &both.headers[4].1 else { panic!("not a secret") };
        assert_eq!(webhook.split(' ').filter(|part| part.starts_with("v1,")).count(), 2);
    }
}
