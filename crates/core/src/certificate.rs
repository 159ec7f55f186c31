//! What an X.509 certificate says of itself, and the fingerprint that tells it from every other one.
//!
//! This reads a certificate for people and for pinning (RFC 5280, section 4.1). It verifies nothing: whether a certificate is trusted is
//! decided in egress. It also reads certificates of version 1, which TLS libraries refuse and Splunk ships.

use std::net::{Ipv4Addr, Ipv6Addr};

use jiff::civil;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::destination::reply::sanitise;
use crate::time::Timestamp;

/// Characters of a name that are shown.
const NAME_CHARS: usize = 120;
/// Characters of one value in it: as long as X.520 lets a common name be, and shorter than a printed fingerprint, which nobody may put
/// in the place of the real one.
const VALUE_CHARS: usize = 64;
/// Alternative names that are shown.
const NAMES: usize = 20;
/// Certificates that one setting may pin.
const PINS: usize = 20;

/// What a certificate says of itself. Names are the receiver's text: short, and without control or direction characters.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Certificate {
    /// Whose it is: `CN=splunk.company.com, O=Company`. Empty if it names nobody.
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// The hosts that it is for: its subject alternative names.
    pub names: Vec<String>,
    /// From when on it is valid; `null` if it does not say so in a form that can be read.
    pub not_before: Option<Timestamp>,
    /// Until when it is valid.
    pub not_after: Option<Timestamp>,
    /// The SHA-256 fingerprint, as `openssl x509 -noout -fingerprint -sha256` prints it.
    pub fingerprint: String,
    /// The version of X.509: 1 or 3.
    pub version: u8,
    /// Whether subject and issuer are the same.
    pub self_signed: bool,
}

/// A certificate that was read.
#[derive(Debug, Clone)]
pub struct Reading<'d> {
    /// What it says.
    pub says: Certificate,
    /// Its own bytes, without what may follow them.
    pub whole: &'d [u8],
    /// Its public key: the DER of the `SubjectPublicKeyInfo`.
    pub public_key: &'d [u8],
    /// Whether it may vouch for others: it is a certificate authority, or signed itself and is of version 1, which cannot say.
    pub may_issue: bool,
}

impl<'d> Reading<'d> {
    /// Reads the certificate that `der` begins with; `None` if there is none. The fingerprint is that of all of `der`, since a certificate is
    /// pinned as it is sent.
    pub fn of(der: &'d [u8]) -> Option<Self> {
        let (outer, after) = expect(SEQUENCE, der)?;
        let whole = &der[..der.len() - after.len()];
        let (mut rest, signature) = expect(SEQUENCE, outer)?;
        let (_, signature) = expect(SEQUENCE, signature)?;
        expect(BIT_STRING, signature)?;
        let mut version = 1;
        if let Some((CONTEXT_0, content, after)) = element(rest) {
            let (digits, _) = expect(INTEGER, content)?;
            version = digits.last()?.checked_add(1)?;
            rest = after;
        }
        let (_, rest) = expect(INTEGER, rest)?;
        let (_, rest) = expect(SEQUENCE, rest)?;
        let (issuer, rest) = expect(SEQUENCE, rest)?;
        let (validity, rest) = expect(SEQUENCE, rest)?;
        let (subject, rest) = expect(SEQUENCE, rest)?;
        let (_, after_key) = expect(SEQUENCE, rest)?;
        let public_key = &rest[..rest.len() - after_key.len()];
        let (_, not_before, validity) = element(validity)?;
        let (_, not_after, _) = element(validity)?;
        let extensions = Extensions::of(after_key);
        let self_signed = subject == issuer && !subject.is_empty();
        let says = Certificate {
            subject: name(subject),
            issuer: name(issuer),
            names: extensions.names,
            not_before: moment(not_before),
            not_after: moment(not_after),
            fingerprint: printed(Sha256::digest(der).as_slice()),
            version,
            self_signed,
        };
        Some(Self { says, whole, public_key, may_issue: extensions.authority || (version == 1 && self_signed) })
    }

    /// What its key is for: the content of the `AlgorithmIdentifier`, as libraries name it.
    pub fn key_algorithm(&self) -> Option<&'d [u8]> {
        let (key, _) = expect(SEQUENCE, self.public_key)?;
        expect(SEQUENCE, key).map(|(algorithm, _)| algorithm)
    }

    /// How many bits its RSA key has; `None` if its key is another one.
    pub fn rsa_bits(&self) -> Option<usize> {
        element(self.key_algorithm()?).filter(|(_, id, _)| *id == RSA_ENCRYPTION)?;
        let (key, _) = expect(SEQUENCE, self.public_key)?;
        let (_, key) = expect(SEQUENCE, key)?;
        // Behind the number of unused bits.
        let (_, key) = expect(BIT_STRING, key)?.0.split_first()?;
        let (key, _) = expect(SEQUENCE, key)?;
        let (modulus, _) = expect(INTEGER, key)?;
        let first = modulus.iter().position(|byte| *byte != 0)?;
        let unused = usize::try_from(modulus[first].leading_zeros()).ok()?;
        Some((modulus.len() - first) * 8 - unused)
    }
}

/// 1.2.840.113549.1.1.1 (RFC 8017, appendix C).
const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const BMP_STRING: u8 = 0x1e;
const SEQUENCE: u8 = 0x30;
const CONTEXT_0: u8 = 0xa0;
const CONTEXT_3: u8 = 0xa3;

/// The first DER element: its tag, its content, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |len, digit| len << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, after) = rest.split_at_checked(len)?;
    Some((*tag, content, after))
}

/// The content of the first element, which has this tag, and what follows it.
fn expect(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    element(der).filter(|(found, ..)| *found == tag).map(|(_, content, after)| (content, after))
}

/// Every element, up to the first that is none.
fn elements(mut der: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (tag, content, after) = element(der)?;
        der = after;
        Some((tag, content))
    })
}

/// What the extensions say that matters here.
#[derive(Default)]
struct Extensions {
    names: Vec<String>,
    authority: bool,
}

impl Extensions {
    fn of(after_key: &[u8]) -> Self {
        let mut found = Self::default();
        let Some((_, wrapped)) = elements(after_key).find(|(tag, _)| *tag == CONTEXT_3) else { return found };
        let Some((all, _)) = expect(SEQUENCE, wrapped) else { return found };
        for (_, extension) in elements(all) {
            let mut parts = elements(extension);
            let Some((_, id)) = parts.next() else { continue };
            let Some((_, value)) = parts.find(|(tag, _)| *tag == OCTET_STRING) else { continue };
            let Some((value, _)) = expect(SEQUENCE, value) else { continue };
            match id {
                // Subject alternative name.
                [0x55, 0x1d, 0x11] => found.names = elements(value).filter_map(alternative).take(NAMES).collect(),
                // Basic constraints: their first member says whether this is an authority.
                [0x55, 0x1d, 0x13] => found.authority = matches!(element(value), Some((0x01, [0xff], _))),
                _ => {}
            }
        }
        found
    }
}

/// A host among the alternative names.
fn alternative((tag, value): (u8, &[u8])) -> Option<String> {
    match tag {
        0x82 => Some(value.iter().take(NAME_CHARS).map(|byte| host_character(*byte)).collect()),
        0x87 => match value.len() {
            4 => <[u8; 4]>::try_from(value).ok().map(|bytes| Ipv4Addr::from(bytes).to_string()),
            16 => <[u8; 16]>::try_from(value).ok().map(|bytes| Ipv6Addr::from(bytes).to_string()),
            _ => None,
        },
        _ => None,
    }
}

/// What stands in names of hosts as it is; whatever else somebody wrote there shows as a question mark.
fn host_character(byte: u8) -> char {
    let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'*');
    if plain { char::from(byte) } else { '?' }
}

fn clean(text: &str) -> String {
    sanitise(text, usize::MAX).chars().take(VALUE_CHARS).collect()
}

/// A name for people: common name, organisation and unit.
fn name(name: &[u8]) -> String {
    let mut parts = Vec::new();
    for (_, attribute) in elements(name).flat_map(|(_, set)| elements(set)) {
        let mut pair = elements(attribute);
        let (Some((_, kind)), Some((tag, value))) = (pair.next(), pair.next()) else { continue };
        let label = match kind {
            [0x55, 0x04, 0x03] => "CN",
            [0x55, 0x04, 0x0a] => "O",
            [0x55, 0x04, 0x0b] => "OU",
            _ => continue,
        };
        let wide = || value.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect::<Vec<_>>();
        let text = if tag == BMP_STRING {
            String::from_utf16_lossy(&wide())
        } else {
            String::from_utf8_lossy(value).into_owned()
        };
        parts.push(format!("{label}={}", clean(&text)));
    }
    // The common name says most: first, whatever its place.
    parts.sort_by_key(|part| !part.starts_with("CN="));
    parts.join(", ").chars().take(NAME_CHARS).collect()
}

/// `UTCTime`, whose year has two digits, or `GeneralizedTime` (RFC 5280, section 4.1.2.5).
fn moment(text: &[u8]) -> Option<Timestamp> {
    let digits = text.strip_suffix(b"Z")?;
    let number = |part: &[u8]| {
        std::str::from_utf8(part).ok().filter(|t| t.bytes().all(|b| b.is_ascii_digit()))?.parse::<i16>().ok()
    };
    let (year, rest) = match digits.len() {
        12 => {
            let short = number(&digits[..2])?;
            (if short < 50 { 2000 + short } else { 1900 + short }, &digits[2..])
        }
        14 => (number(&digits[..4])?, &digits[4..]),
        _ => return None,
    };
    let part = |at: usize| i8::try_from(number(&rest[at..at + 2])?).ok();
    let date = civil::DateTime::new(year, part(0)?, part(2)?, part(4)?, part(6)?, part(8)?, 0).ok()?;
    let zoned = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(Timestamp(zoned.timestamp().as_millisecond()))
}

/// A SHA-256 fingerprint of a certificate.
pub type Fingerprint = [u8; 32];

/// `AB:CD:…`, as openssl prints it.
pub fn printed(fingerprint: &[u8]) -> String {
    fingerprint.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

/// Reads fingerprints as people have them: 64 hex digits, with or without colons, also behind `sha256 Fingerprint=`; several are
/// separated by commas or lines. The error is a sentence about the text.
pub fn fingerprints(text: &str) -> Result<Vec<Fingerprint>, String> {
    let mut found: Vec<Fingerprint> = Vec::new();
    for part in text.split([',', ';', '\n', '\r']) {
        let part = part.rsplit_once('=').map_or(part, |(_, value)| value);
        let digits: String = part.chars().filter(|c| !c.is_whitespace() && !matches!(c, ':' | '"' | '\'')).collect();
        if digits.is_empty() {
            continue;
        }
        let bytes = hex::decode(&digits).map_err(|_| wrong_fingerprint(&digits))?;
        let fingerprint = Fingerprint::try_from(bytes).map_err(|_| wrong_fingerprint(&digits))?;
        if !found.contains(&fingerprint) {
            if found.len() == PINS {
                return Err(format!("holds more than {PINS} fingerprints"));
            }
            found.push(fingerprint);
        }
    }
    if found.is_empty() { Err("holds no fingerprint".to_owned()) } else { Ok(found) }
}

fn wrong_fingerprint(digits: &str) -> String {
    let what = match (digits.len(), digits.bytes().all(|b| b.is_ascii_hexdigit())) {
        (_, false) => "holds something that is not hexadecimal".to_owned(),
        (40, _) => "holds a SHA-1 fingerprint".to_owned(),
        (32, _) => "holds an MD5 fingerprint".to_owned(),
        (digits, _) => format!("holds {digits} hexadecimal digits, and a SHA-256 fingerprint has 64"),
    };
    format!("{what}; paste what `openssl x509 -in cert.pem -noout -fingerprint -sha256` prints")
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD as BASE64;

    use super::*;

    /// Made with `openssl x509 -req` without extensions, as Splunk's own script does: version 1, no alternative name.
    const V1: &str = include_str!("../../../fixtures/certificates/splunk-default-v1.pem");
    /// Made with `openssl req -x509 -addext subjectAltName=DNS:siem.test,IP:127.0.0.1`: version 3, `CA:TRUE`.
    const SELF_SIGNED: &str = include_str!("../../../fixtures/certificates/self-signed.pem");

    fn der(pem: &str) -> Vec<u8> {
        let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        BASE64.decode(body).unwrap()
    }

    #[test]
    fn version_1_is_read() {
        let der = der(V1);
        let Reading { says, whole, public_key, may_issue } = Reading::of(&der).unwrap();
        assert_eq!(says.subject, "CN=SplunkServerDefaultCert, O=SplunkUser");
        assert_eq!(says.issuer, "CN=SplunkCommonCA, O=Splunk");
        assert_eq!((says.version, says.self_signed, may_issue), (1, false, false));
        assert!(says.names.is_empty() && whole == der && public_key[0] == 0x30);
        assert_eq!(says.not_after.unwrap().to_string(), "2036-11-26T08:34:27.000Z");
        assert_eq!(fingerprints(&says.fingerprint).unwrap()[0][..], Sha256::digest(&der)[..]);
    }

    #[test]
    fn what_openssl_req_makes_is_an_authority_with_names() {
        let der = der(SELF_SIGNED);
        let reading = Reading::of(&der).unwrap();
        assert_eq!(reading.says.names, ["siem.test", "127.0.0.1"]);
        assert_eq!((reading.says.version, reading.says.self_signed, reading.may_issue), (3, true, true));
    }

    #[test]
    fn the_fingerprint_is_that_of_what_was_sent() {
        let mut sent = der(V1);
        sent.extend(b"behind it");
        let reading = Reading::of(&sent).unwrap();
        assert_eq!(fingerprints(&reading.says.fingerprint).unwrap()[0][..], Sha256::digest(&sent)[..]);
        assert_eq!(reading.whole, der(V1));
    }

    #[test]
    fn rsa_keys_tell_their_length() {
        assert_eq!(Reading::of(&der(V1)).unwrap().rsa_bits(), Some(2048));
    }

    /// DER of one element.
    fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
        let len = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x82], &len[..], content].concat()
    }

    fn named(values: &[(u8, &str)]) -> Vec<u8> {
        let attribute = |(kind, value): &(u8, &str)| {
            tlv(0x31, &tlv(SEQUENCE, &[tlv(0x06, &[0x55, 0x04, *kind]), tlv(0x0c, value.as_bytes())].concat()))
        };
        values.iter().flat_map(attribute).collect()
    }

    #[test]
    fn a_name_pretends_to_be_nothing_else() {
        let forged = printed(&[0xab; 32]);
        for (given, shown) in [
            (forged.as_str(), &forged[..VALUE_CHARS]),
            ("a\u{202e}b\u{2066}c\u{200b}d\u{feff}", "abcd"),
            ("a\nb\u{7}\tc", "a b c"),
            ("Ünïcode GmbH", "Ünïcode GmbH"),
        ] {
            assert_eq!(name(&named(&[(3, given)])), format!("CN={shown}"));
        }
        assert!(!name(&named(&[(3, &forged), (10, &forged), (11, &forged)])).contains(&forged));
        let host = |given: &str| alternative((0x82, given.as_bytes())).unwrap();
        for (given, shown) in [
            ("*.siem_1.test", "*.siem_1.test"),
            ("siem.test\u{202e}", "siem.test???"),
            ("a, b “c”\n", "a??b????c????"),
            (&*forged, &*forged.replace(':', "?")),
        ] {
            assert_eq!(host(given), shown);
        }
    }

    #[test]
    fn what_is_no_certificate_is_not_read() {
        let der = der(V1);
        for len in 0..der.len() {
            assert!(Reading::of(&der[..len]).is_none(), "{len}");
        }
        for place in 0..der.len() {
            let mut other = der.clone();
            other[place] ^= 0xff;
            // Whatever it makes of it, it ends.
            Reading::of(&other);
        }
        assert!(Reading::of(b"\x30\x84\xff\xff\xff\xff").is_none());
    }

    #[test]
    fn fingerprints_are_read_as_they_are_printed() {
        let plain = "ab".repeat(32);
        let colons = printed(&[0xab; 32]);
        for text in [
            plain.clone(),
            plain.to_uppercase(),
            colons.clone(),
            format!("sha256 Fingerprint={colons}\n"),
            format!("SHA256 Fingerprint={colons}"),
            format!(" {colons} , {plain},"),
        ] {
            assert_eq!(fingerprints(&text).unwrap(), [[0xab; 32]], "{text}");
        }
        assert_eq!(fingerprints(&format!("{plain},{}", "cd".repeat(32))).unwrap().len(), 2);
        let many = |count: usize| (0..count).map(|n| format!("{n:064x}")).collect::<Vec<_>>().join(",");
        assert_eq!(fingerprints(&many(PINS)).unwrap().len(), PINS);
        // Compared with each other, so many would take hours.
        assert!(fingerprints(&many(1 << 18)).unwrap_err().contains("more than 20"));
        let sha1 = "ab".repeat(20);
        for (text, said) in [
            ("", "no fingerprint"),
            (sha1.as_str(), "SHA-1"),
            ("abc", "3 hexadecimal digits"),
            ("xyz", "not hexadecimal"),
        ] {
            assert!(fingerprints(text).unwrap_err().contains(said), "{text}");
        }
    }
}
