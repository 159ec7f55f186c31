//! Certificates and keys as people paste them: PEM in whatever state a terminal, a YAML file, a JSON answer or a mail has left it in. What is
//! understood is kept in one form; what is not is refused with a sentence that says what to do. This is the only reader of PEM that a
//! person wrote: what it has let through, every later reader understands.

use std::ops::Range;

use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD as BASE64};
use secrecy::SecretString;
use toktra_siem_core::certificate::{Certificate, Fingerprint, Reading, fingerprints};

use crate::descriptor::Checked;

/// The largest text of certificates, in bytes.
pub(crate) const MAX_CERTIFICATES: usize = 64 * 1024;
/// The largest text of a private key, in bytes.
pub(crate) const MAX_KEY: usize = 16 * 1024;

/// The most blocks that a text may hold.
const MAX_BLOCKS: usize = 200;
/// The longest label of a block: RFC 7468 knows none of more than 22 characters.
const MAX_LABEL: usize = 40;

/// Labels that are repeated to whoever pasted such a block; whatever else stands there may be anything.
const OTHERS: [&str; 10] = [
    "PUBLIC KEY",
    "RSA PUBLIC KEY",
    "SSH2 PUBLIC KEY",
    "X509 CRL",
    "ATTRIBUTE CERTIFICATE",
    "DH PARAMETERS",
    "EC PARAMETERS",
    "PGP PUBLIC KEY BLOCK",
    "PGP MESSAGE",
    "PGP SIGNATURE",
];

/// Padding is often lost on the way.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The label of what has no armour and is no certificate.
const DER: &str = "DER";
/// How the content of a PKCS #7 bundle begins: its object identifier, `signedData`.
const SIGNED_DATA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];

const BUNDLE: &str = "holds a PKCS #7 bundle; unpack it with `openssl pkcs7 -print_certs -in bundle.p7b` (and `-inform der`, if the file is \
                      binary) and paste the result";
const NO_PEM: &str = "holds DER that is no certificate; convert it with `openssl x509 -inform der -in cert.der`, and a PKCS #12 file \
                      with `openssl pkcs12 -nokeys -in file.pfx`, and paste the result";
const CUT: &str = "holds a certificate that is cut short or not base64; paste the PEM file as it is";
const NONE: &str = "holds no certificate; paste PEM that begins with -----BEGIN CERTIFICATE-----";

/// A block between `-----BEGIN` and `-----END`.
struct Block {
    label: String,
    /// `None` if it has no end, or is not base64.
    der: Option<Vec<u8>>,
    encrypted: bool,
}

/// One or more certificates, each once, in their order.
pub(crate) fn certificates(text: &str) -> Checked {
    if text.len() > MAX_CERTIFICATES {
        return Err(format!("is longer than {MAX_CERTIFICATES} bytes; paste only the certificates that are needed"));
    }
    let mut found: Vec<Vec<u8>> = Vec::new();
    let mut other = None;
    for Block { label, der, .. } in blocks(text)? {
        match label.as_str() {
            "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE" => {
                let der = der.ok_or(CUT)?;
                let reading = Reading::of(&der).ok_or(
                    "holds something between BEGIN and END that is no certificate; paste the PEM file as it is",
                )?;
                // OpenSSL writes what it trusts a certificate for behind it.
                if reading.whole.len() < der.len() && label != "TRUSTED CERTIFICATE" {
                    return Err(
                        "holds a certificate with something else behind it; paste the PEM file as it is".to_owned()
                    );
                }
                if !found.iter().any(|known| known == reading.whole) {
                    found.push(reading.whole.to_vec());
                }
            }
            _ if label.contains("PRIVATE KEY") => {
                return Err(
                    "holds a private key; paste certificates only, and consider that key known to others".to_owned()
                );
            }
            "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => {
                other = Some(
                    "holds a request for a certificate; paste the certificate that the authority made of it".to_owned(),
                );
            }
            "PKCS7" | "CMS" => other = Some(BUNDLE.to_owned()),
            DER => other = Some(NO_PEM.to_owned()),
            known if OTHERS.contains(&known) => {
                other = other.or(Some(format!("holds a block {known}, and no certificate")));
            }
            _ => other = other.or(Some("holds a block of another kind, and no certificate".to_owned())),
        }
    }
    if found.is_empty() {
        return Err(other.unwrap_or_else(|| NONE.to_owned()));
    }
    Ok(found.iter().map(|der| armoured("CERTIFICATE", der)).collect())
}

/// What the certificates of a text say of themselves that [`certificates`] has let through.
pub fn said(text: &str) -> Vec<Certificate> {
    let blocks = blocks(text).unwrap_or_default();
    blocks.iter().filter_map(|block| Some(Reading::of(block.der.as_deref()?)?.says)).collect()
}

/// The text of a file of certificates: as it is, or from UTF-16, which Windows writes; a file that is no text is in DER, which base64 makes one.
pub fn of_file(bytes: Vec<u8>) -> String {
    let wide = |order: fn([u8; 2]) -> u16| {
        let wide: Vec<u16> = bytes[2..].chunks_exact(2).map(|pair| order([pair[0], pair[1]])).collect();
        String::from_utf16_lossy(&wide)
    };
    match bytes.get(..2) {
        Some([0xff, 0xfe]) => return wide(u16::from_le_bytes),
        Some([0xfe, 0xff]) => return wide(u16::from_be_bytes),
        _ => {}
    }
    String::from_utf8(bytes).unwrap_or_else(|error| BASE64.encode(error.as_bytes()))
}

/// A private key that is not encrypted. The error never repeats any of it.
pub(crate) fn private_key(text: &str) -> Checked<SecretString> {
    if text.len() > MAX_KEY {
        return Err(format!("is longer than {MAX_KEY} bytes; paste the private key alone"));
    }
    let decrypt = "is encrypted with a passphrase, which this service does not ask for; decrypt it with `openssl pkey -in key.pem` and paste the result";
    let mut found = None;
    let mut certificate = false;
    for Block { label, der, encrypted } in blocks(text)? {
        match label.as_str() {
            "ENCRYPTED PRIVATE KEY" => return Err(decrypt.to_owned()),
            "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" if encrypted => return Err(decrypt.to_owned()),
            "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" => {
                let der = der.ok_or("holds a key that is cut short or not base64; paste the PEM file as it is")?;
                if found.replace(armoured(&label, &der)).is_some() {
                    return Err(
                        "holds more than one private key; paste the one that belongs to the certificate".to_owned()
                    );
                }
            }
            "CERTIFICATE" => certificate = true,
            DER => {
                return Err(
                    "holds DER; convert it with `openssl pkey -inform der -in key.der` and paste the result".to_owned()
                );
            }
            _ => {}
        }
    }
    match found {
        Some(pem) => Ok(SecretString::from(pem)),
        None if certificate => {
            Err("holds a certificate and no private key; paste the key that belongs to it".to_owned())
        }
        None => Err("holds no private key; paste PEM that begins with -----BEGIN PRIVATE KEY-----".to_owned()),
    }
}

/// Fingerprints of certificates, each once, as openssl prints them.
pub(crate) fn pins(text: &str) -> Checked {
    let read: Vec<Fingerprint> = fingerprints(text)?;
    let printed = read.iter().map(|fingerprint| toktra_siem_core::certificate::printed(fingerprint));
    Ok(printed.collect::<Vec<_>>().join(","))
}

/// A name that a server shows a certificate for: a host name or an address.
pub(crate) fn server_name(text: &str) -> Checked {
    let name = text.trim().trim_end_matches('.').to_ascii_lowercase();
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<std::net::IpAddr>() {
        return Ok(address.to_string());
    }
    let label = |label: &str| {
        let plain = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        (1..=63).contains(&label.len()) && plain && !label.starts_with('-') && !label.ends_with('-')
    };
    match name.as_str() {
        "" => Err("is empty".to_owned()),
        _ if name.contains("://") || name.contains('/') || name.contains(':') => {
            Err("holds a URL or a port; give the host name alone, such as splunk.company.com".to_owned())
        }
        _ if name.contains('*') => Err("holds a wildcard; give one name that the certificate is for".to_owned()),
        // `10.0.0.256` and `a.0x1` would be addresses, if they were any (WHATWG URL, "ends in a number").
        _ if name.len() > 253 || !name.split('.').all(label) || ends_in_number(&name) => {
            Err("is not a host name; give a name that the certificate is for, such as splunk.company.com".to_owned())
        }
        _ => Ok(name),
    }
}

/// Whether the last part of a name is a number, decimal or hexadecimal: then it is no name of a host.
fn ends_in_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    let hexadecimal = last.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
    hexadecimal || last.bytes().all(|b| b.is_ascii_digit())
}

/// Every block of a text. A text without armour is one if it is the base64 of a certificate, or of PEM as Kubernetes keeps it.
fn blocks(text: &str) -> Checked<Vec<Block>> {
    let text = plain(text);
    let mut found = cut(&text);
    if found.is_empty()
        && let Ok(der) = LENIENT.decode(bare(&text))
    {
        if let Ok(inner) = std::str::from_utf8(&der) {
            found = cut(&plain(inner));
        } else if Reading::of(&der).is_some() {
            found.push(Block { label: "CERTIFICATE".to_owned(), der: Some(der), encrypted: false });
        } else if der.len() > 40 && der[0] == 0x30 {
            let bundle = der[..40].windows(SIGNED_DATA.len()).any(|part| part == SIGNED_DATA);
            found.push(Block {
                label: if bundle { "PKCS7" } else { DER }.to_owned(),
                der: Some(der),
                encrypted: false,
            });
        }
    }
    if found.len() > MAX_BLOCKS {
        return Err(format!("holds more than {MAX_BLOCKS} blocks; paste only those that are needed"));
    }
    Ok(found)
}

/// Whom the certificates of a text were issued to, if there are some and none of them may vouch for others.
pub(crate) fn without_authority(text: &str) -> Option<Vec<String>> {
    let blocks = blocks(text).ok()?;
    let readings: Vec<_> = blocks.iter().filter_map(|block| Reading::of(block.der.as_deref()?)).collect();
    let vouches = readings.is_empty() || readings.iter().any(|reading| reading.may_issue);
    (!vouches).then(|| readings.into_iter().map(|reading| reading.says.subject).collect())
}

/// Line ends that were written out, and dashes that a word processor made, as they were.
fn plain(text: &str) -> String {
    text.replace('\0', "")
        .replace("\\r", "\n")
        .replace("\\n", "\n")
        .replace("\\/", "/")
        .replace(['\u{2010}', '\u{2011}', '\u{2012}', '\u{2013}', '\u{2014}', '\u{2212}'], "-")
}

/// Base64 without what stands around and between its lines: white space, quotes, quotation marks of mails, invisible characters.
fn bare(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '=') || *c == '/' || is_foreign(*c))
        .collect()
}

/// Whether a character has no place in PEM at all, so that it must not be passed over.
fn is_foreign(c: char) -> bool {
    let passed_over = c.is_whitespace()
        || c.is_control()
        || matches!(
            c,
            '"' | '\'' | '`' | '\\' | ',' | '>' | '|' | '\u{feff}' | '\u{200b}' | '\u{200c}' | '\u{200d}' | '\u{2060}'
        );
    !passed_over
}

/// The blocks between markers. Every character is looked at a bounded number of times.
fn cut(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, usize)> = None;
    let unended = |(label, _)| Block { label, der: None, encrypted: false };
    for Marker { begins, label, from, after } in markers(text) {
        if begins {
            blocks.extend(open.replace((label, after)).map(unended));
        } else if let Some((label, begin)) = open.take() {
            // Two markers may share the dashes between them.
            let body = &text[begin..from.max(begin)];
            let encrypted = body.contains("ENCRYPTED");
            // Headers of old formats stand in lines of their own.
            let lines = body.lines().filter(|line| !line.contains(':')).collect::<Vec<_>>().join("\n");
            let der = LENIENT.decode(bare(&lines)).ok().filter(|der| !der.is_empty());
            blocks.push(Block { label, der, encrypted });
        }
    }
    blocks.extend(open.map(unended));
    blocks
}

/// The places of the blocks of certificates and keys in a text; one without an end takes the rest.
pub(crate) fn spans(text: &str) -> Vec<Range<usize>> {
    let (mut spans, mut open) = (Vec::new(), None);
    for marker in markers(text) {
        if marker.begins {
            let known = ["CERTIFICATE", "KEY", "PKCS7", "CMS"].iter().any(|kind| marker.label.contains(kind));
            spans.extend(std::mem::replace(&mut open, known.then_some(marker.from)).map(|from| from..marker.from));
        } else {
            spans.extend(open.take().map(|from| from..marker.after));
        }
    }
    spans.extend(open.map(|from| from..text.len()));
    spans.truncate(MAX_BLOCKS);
    spans
}

/// A line such as `-----BEGIN CERTIFICATE-----`.
struct Marker {
    /// It begins a block; otherwise it ends one.
    begins: bool,
    label: String,
    /// The position of its first dash.
    from: usize,
    /// The position of its end.
    after: usize,
}

/// Every marker of a text, in their order.
fn markers(text: &str) -> Vec<Marker> {
    // Same offsets: only ASCII changes.
    let upper = text.to_ascii_uppercase();
    let mut words: Vec<(usize, &str)> = upper.match_indices("BEGIN ").chain(upper.match_indices("END ")).collect();
    words.sort_unstable();
    let mut markers: Vec<Marker> = Vec::new();
    for (found, word) in words {
        let names = found + word.len();
        let of_label = |b: &u8| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b' ';
        let len = upper[names..].bytes().take(MAX_LABEL + 1).take_while(of_label).count();
        let in_label = markers.last().is_some_and(|last| found < last.after);
        let before = upper[..found].trim_end_matches(' ');
        if in_label || len > MAX_LABEL || !before.ends_with('-') {
            continue;
        }
        let behind = names + len;
        // Two markers may stand in one line: the dashes between them are shared out.
        let dashes = upper[behind..].bytes().take(5).take_while(|b| *b == b'-').count();
        if dashes > 0 {
            let label = upper[names..behind].trim().to_owned();
            let from = before.trim_end_matches('-').len();
            markers.push(Marker { begins: word == "BEGIN ", label, from, after: behind + dashes });
        }
    }
    markers
}

fn armoured(label: &str, der: &[u8]) -> String {
    let encoded = BASE64.encode(der);
    let lines: Vec<&str> = encoded.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

#[cfg(test)]
mod tests;
