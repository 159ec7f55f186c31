//! Checks of the signatures on a recorded request, written from the product documentation's Python example and the
//! Standard Webhooks specification, independently of the code that signs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::receiver::Recorded;

/// The header of the signature over the body.
pub const SIGNATURE: &str = "x-toktra-signature";
/// The header that carries the next secret's signature during a rotation.
pub const SIGNATURE_NEXT: &str = "x-toktra-signature-next";
/// A Standard Webhooks timestamp that differs by more than this from now is refused, in seconds.
pub const TOLERANCE_SECONDS: i64 = 5 * 60;

/// Why a signature does not verify.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The header is not there.
    #[error("the request has no `{0}` header")]
    Missing(&'static str),
    /// The header is there, but not in its documented form.
    #[error("the `{0}` header is malformed")]
    Malformed(&'static str),
    /// The signature is of another secret or of other bytes.
    #[error("the `{0}` header does not match the body and secret")]
    Mismatch(&'static str),
    /// The Standard Webhooks timestamp is too old or in the future.
    #[error("`webhook-timestamp` is {0} s away from now")]
    Stale(i64),
}

/// Checks `X-Toktra-Signature` over the body's bytes as sent.
pub fn signature(request: &Recorded, secret: &str) -> Result<(), VerifyError> {
    body_signature(request, secret, SIGNATURE)
}

/// Checks `X-Toktra-Signature-Next`, which a rotation adds.
pub fn signature_next(request: &Recorded, secret: &str) -> Result<(), VerifyError> {
    body_signature(request, secret, SIGNATURE_NEXT)
}

fn body_signature(request: &Recorded, secret: &str, header: &'static str) -> Result<(), VerifyError> {
    let value = request.header(header).ok_or(VerifyError::Missing(header))?;
    let digest = value.strip_prefix("sha256=").ok_or(VerifyError::Malformed(header))?;
    // The documented examples compare with a lower-case digest.
    if digest.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(VerifyError::Malformed(header));
    }
    let digest = hex::decode(digest).map_err(|_| VerifyError::Malformed(header))?;
    mac(secret, &[&request.wire]).verify_slice(&digest).map_err(|_| VerifyError::Mismatch(header))
}

/// Checks the three Standard Webhooks headers: one of the listed signatures must be of `id.timestamp.body`. With `now`
/// (epoch seconds) the timestamp must also be fresh, within [`TOLERANCE_SECONDS`].
pub fn webhook(request: &Recorded, secret: &str, now: Option<i64>) -> Result<(), VerifyError> {
    let header = |name: &'static str| request.header(name).ok_or(VerifyError::Missing(name));
    let (id, timestamp, listed) = (header("webhook-id")?, header("webhook-timestamp")?, header("webhook-signature")?);
    let sent: i64 = timestamp.parse().map_err(|_| VerifyError::Malformed("webhook-timestamp"))?;
    if let Some(now) = now
        && now.abs_diff(sent) > TOLERANCE_SECONDS.unsigned_abs()
    {
        return Err(VerifyError::Stale(now.saturating_sub(sent)));
    }
    let mut seen = false;
    for signature in listed.split(' ').filter_map(|listed| listed.strip_prefix("v1,")) {
        let signature = STANDARD.decode(signature).map_err(|_| VerifyError::Malformed("webhook-signature"))?;
        seen = true;
        let signed = keyed(&webhook_key(secret), &[id.as_bytes(), b".", timestamp.as_bytes(), b".", &request.wire]);
        if signed.verify_slice(&signature).is_ok() {
            return Ok(());
        }
    }
    Err(if seen { VerifyError::Mismatch("webhook-signature") } else { VerifyError::Malformed("webhook-signature") })
}

/// The key of Standard Webhooks: what follows `whsec_` is base64.
fn webhook_key(secret: &str) -> Vec<u8> {
    let decoded = secret.strip_prefix("whsec_").and_then(|code| STANDARD.decode(code).ok());
    decoded.unwrap_or_else(|| secret.as_bytes().to_vec())
}

fn mac(secret: &str, parts: &[&[u8]]) -> Hmac<Sha256> {
    keyed(secret.as_bytes(), parts)
}

fn keyed(key: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue, Method, Uri};

    fn request(headers: &[(&'static str, &str)], body: &'static str) -> Recorded {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, HeaderValue::from_str(value).unwrap());
        }
        Recorded {
            order: 0,
            method: Method::POST,
            uri: Uri::from_static("/"),
            headers: map,
            wire: Bytes::from_static(body.as_bytes()),
            body: None,
            status: None,
        }
    }

    /// RFC 4231, test case 2: an answer that this code did not compute itself.
    const KNOWN: &str = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";

    #[test]
    fn the_published_test_vector_verifies() {
        assert_eq!(signature(&request(&[(SIGNATURE, KNOWN)], "what do ya want for nothing?"), "Jefe"), Ok(()));
    }

    #[test]
    fn anything_else_is_refused() {
        let with = |value: &str| signature(&request(&[(SIGNATURE, value)], "what do ya want for nothing?"), "Jefe");
        assert_eq!(with(&KNOWN.to_uppercase().replace("SHA256", "sha256")), Err(VerifyError::Malformed(SIGNATURE)));
        assert_eq!(with(&KNOWN.replace("sha256=", "sha1=")), Err(VerifyError::Malformed(SIGNATURE)));
        assert_eq!(with("sha256="), Err(VerifyError::Mismatch(SIGNATURE)));
        assert_eq!(with(&KNOWN[..KNOWN.len() - 2]), Err(VerifyError::Mismatch(SIGNATURE)));
        assert_eq!(signature(&request(&[], ""), "Jefe"), Err(VerifyError::Missing(SIGNATURE)));
        let other = request(&[(SIGNATURE, KNOWN)], "another body");
        assert_eq!(signature(&other, "Jefe"), Err(VerifyError::Mismatch(SIGNATURE)));
    }

    #[test]
    fn webhook_signatures_verify_and_go_stale() {
        // Computed with Python: base64(hmac.new(b"secret", b"msg_1.1736937000.{}", sha256).digest()).
        let good = "v1,bm90IHRoaXMgb25l v1,3+Z1bRTM/KzazlCFrpdm5nU5+3dQNp1Ct2briQF1kWg=";
        let headers = [("webhook-id", "msg_1"), ("webhook-timestamp", "1736937000"), ("webhook-signature", good)];
        let request = request(&headers, "{}");
        assert_eq!(webhook(&request, "secret", None), Ok(()));
        assert_eq!(webhook(&request, "secret", Some(1_736_937_300)), Ok(()));
        assert_eq!(webhook(&request, "secret", Some(1_736_937_301)), Err(VerifyError::Stale(301)));
        // The test vector of the libraries of Standard Webhooks.
        let headers = [
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", "1614265330"),
            ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        ];
        let published = self::request(&headers, "{\"test\": 2432232314}");
        assert_eq!(webhook(&published, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", None), Ok(()));
        assert_eq!(webhook(&request, "other", None), Err(VerifyError::Mismatch("webhook-signature")));
    }
}
