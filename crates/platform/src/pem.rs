//! Certificates and keys as people paste them: PEM in whatever state a terminal, a YAML file, a JSON answer or a mail has left it in. What is
//! understood is kept in one form; what is not is refused with a sentence that says what to do. This is the only reader of PEM that a
//! person wrote: what it has let through, every later reader understands.

use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD as BASE64};
use secrecy::SecretString;
use toktra_siem_core::certificate::{Fingerprint, Reading, fingerprints};

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
            "PKCS7" | "CMS" => {
                other = Some("holds a PKCS #7 bundle; unpack it with `openssl pkcs7 -print_certs -in bundle.p7b` and paste the result".to_owned());
            }
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

/// The text of a file of certificates: as it is, or from UTF-16, which Windows writes; a file that is no text is in DER, which base64 makes one.
pub fn of_file(bytes: Vec<u8>) -> String {
    if let Some(wide) = bytes.strip_prefix(&[0xff, 0xfe]) {
        let wide: Vec<u16> = wide.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
        return String::from_utf16_lossy(&wide);
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
    text.replace("\\r", "\n")
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
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    const PEM: &str = include_str!("../../../fixtures/certificates/self-signed.pem");
    const CA: &str = include_str!("../../../fixtures/certificates/splunk-ca.pem");

    fn body(pem: &str) -> String {
        pem.lines().filter(|line| !line.starts_with("-----")).collect()
    }

    #[test]
    fn every_spelling_is_kept_in_one_form() {
        let lines = |change: &dyn Fn(&str) -> String| PEM.lines().map(change).collect::<Vec<_>>().join("\n");
        let quoted_lines = lines(&|line| format!("\"{line}\\n\" "));
        for (how, text) in [
            ("as it is", PEM.to_owned()),
            ("one line", PEM.replace('\n', "")),
            ("one line, with blanks", PEM.replace('\n', " ")),
            ("byte order mark", format!("\u{feff}{PEM}")),
            ("CRLF", PEM.replace('\n', "\r\n")),
            ("CR", PEM.replace('\n', "\r")),
            ("indented", lines(&|line| format!("      {line}"))),
            ("tabs and trailing blanks", lines(&|line| format!("\t{line}  "))),
            ("no-break spaces", lines(&|line| format!("\u{a0}{line}\u{200b}"))),
            ("quoted", format!("\"{PEM}\"")),
            ("single quotes", format!("'{}'", PEM.trim())),
            ("literal \\n", PEM.replace('\n', "\\n")),
            ("literal \\r\\n, quoted", format!("\"{}\"", PEM.replace('\n', "\\r\\n"))),
            ("literal \\\\n", PEM.replace('\n', "\\\\n")),
            ("JSON's slashes", PEM.replace('/', "\\/")),
            ("lines in quotes", quoted_lines),
            ("a list of lines", lines(&|line| format!("  \"{line}\","))),
            ("a mail", lines(&|line| format!("> {line}"))),
            ("no last newline", PEM.trim_end().to_owned()),
            ("a blank line after each", PEM.replace('\n', "\n\n")),
            ("text around", format!("Certificate:\n  Data:\n    Version: 3\n{PEM}\nthat is all: yes")),
            ("YAML", format!("tls_ca: |\n{}", lines(&|line| format!("  {line}")))),
            ("typeset dashes", PEM.replace("-----", "\u{2014}\u{2014}-")),
            ("small letters", PEM.replace("BEGIN CERTIFICATE", "begin certificate")),
            ("old name", PEM.replace("CERTIFICATE", "X509 CERTIFICATE")),
            ("twice", format!("{PEM}{PEM}")),
            ("twice, no newline", format!("{}{}", PEM.trim_end(), PEM.trim_end())),
            ("base64 of DER", body(PEM)),
            (
                "base64 of DER in lines",
                lines(&|line| line.replace("-----BEGIN CERTIFICATE-----", "").replace("-----END CERTIFICATE-----", "")),
            ),
            ("base64 of PEM", BASE64.encode(PEM)),
            ("no padding", PEM.replace('=', "")),
        ] {
            assert_eq!(certificates(&text).as_deref(), Ok(PEM), "{how}: {text}");
        }
    }

    #[test]
    fn files_are_read_whatever_wrote_them() {
        let wide: Vec<u8> = [0xff, 0xfe].into_iter().chain(PEM.encode_utf16().flat_map(u16::to_le_bytes)).collect();
        let der = BASE64.decode(body(PEM)).unwrap();
        for bytes in [PEM.as_bytes().to_vec(), wide, der] {
            assert_eq!(certificates(&of_file(bytes)).as_deref(), Ok(PEM));
        }
    }

    #[test]
    fn several_blocks_stay_in_their_order() {
        for text in [format!("{PEM}{CA}"), format!("{}{}", PEM.trim_end(), CA), format!("{PEM}# the CA\n{CA}{PEM}")] {
            assert_eq!(certificates(&text).unwrap(), format!("{PEM}{CA}"));
        }
    }

    #[test]
    fn openssl_s_trusted_certificate_is_a_certificate() {
        let mut der = BASE64.decode(body(PEM)).unwrap();
        der.extend(b"\x30\x0c\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01");
        assert_eq!(certificates(&armoured("TRUSTED CERTIFICATE", &der)).as_deref(), Ok(PEM));
        assert!(certificates(&armoured("CERTIFICATE", &der)).unwrap_err().contains("something else behind it"));
    }

    #[test]
    fn what_is_not_understood_says_what_to_do() {
        let key = armoured("PRIVATE KEY", b"canary");
        for (text, said) in [
            (String::new(), "no certificate"),
            ("https://splunk.company.com".to_owned(), "no certificate"),
            (PEM[..200].to_owned(), "cut short"),
            (PEM[28..].to_owned(), "no certificate"),
            (format!("{}{CA}", &PEM[..200]), "cut short"),
            (PEM.replacen("MII", "M*I", 1), "not base64"),
            (armoured("CERTIFICATE", b"\0\x01\x02"), "no certificate"),
            (format!("{PEM}{key}"), "private key"),
            (armoured("CERTIFICATE REQUEST", b"x"), "request"),
            (armoured("PKCS7", b"x"), "pkcs7 -print_certs"),
            (armoured("PUBLIC KEY", b"x"), "PUBLIC KEY"),
            (armoured("CANARY", b"x"), "of another kind"),
            (armoured("PGP PRIVATE KEY BLOCK", b"x"), "private key"),
            (armoured(&"CANARY ".repeat(9), b"x"), "no certificate"),
            ("-BEGIN -".repeat(MAX_BLOCKS + 1), "more than 200 blocks"),
            ("x".repeat(MAX_CERTIFICATES + 1), "longer than"),
        ] {
            let error = certificates(&text).unwrap_err();
            assert!(error.contains(said) && !error.to_lowercase().contains("canary"), "{error}\n{text}");
        }
    }

    /// Texts that look like many blocks: whoever looks at each character once for each other one is not done for hours.
    #[test]
    fn a_text_takes_as_long_as_it_is_long() {
        let half = 1 << 20;
        let much = |part: &str| part.repeat(half / part.len());
        for (parts, blocks) in [
            (["-BEGIN -", "END "], half / 8),
            (["-BEGIN -", "-END -"], half / 8),
            (["BEGIN ", "-"], 0),
            (["-BEGIN ", "A"], half / 7 - 1),
            (["-BEGIN A", "-END A"], half / 8),
            (["- ", "BEGIN "], 0),
            (["-", " BEGIN A"], 0),
            ([" ", "-BEGIN A-"], half / 9),
            (["-----BEGIN X----------END X-----", "-----BEGIN X-----"], half / 32 + half / 17),
        ] {
            assert_eq!(cut(&parts.map(much).concat()).len(), blocks, "{parts:?}");
        }
    }

    #[test]
    fn keys_are_kept_in_one_form_and_never_repeated() {
        let pem = armoured("PRIVATE KEY", &[7; 120]);
        for text in [
            pem.clone(),
            pem.replace('\n', ""),
            pem.replace('\n', "\\n"),
            format!("{CA}{pem}"),
            format!("\u{feff}\"{pem}\""),
        ] {
            assert_eq!(private_key(&text).unwrap().expose_secret(), pem);
        }
        let parameters = armoured("EC PARAMETERS", &[6, 1, 1]);
        let ec = armoured("EC PRIVATE KEY", &[7; 60]);
        assert_eq!(private_key(&format!("{parameters}{ec}")).unwrap().expose_secret(), ec);
        let old = pem.replace(
            "PRIVATE KEY-----\nBw",
            "RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nBw",
        );
        for (text, said) in [
            (armoured("ENCRYPTED PRIVATE KEY", &[7; 60]), "openssl pkey"),
            (old, "openssl pkey"),
            (CA.to_owned(), "a certificate and no private key"),
            (format!("{pem}{ec}"), "more than one"),
            (pem[..60].to_owned(), "cut short"),
            ("hunter2".to_owned(), "no private key"),
            (String::new(), "no private key"),
        ] {
            let error = private_key(&text).unwrap_err();
            assert!(error.contains(said) && !error.contains("hunter2") && !error.contains("BwcH"), "{error}");
        }
    }

    #[test]
    fn server_names_are_hosts_or_addresses() {
        for (text, kept) in [
            (" Splunk.Company.com. ", "splunk.company.com"),
            ("SplunkServerDefaultCert", "splunkserverdefaultcert"),
            ("10.0.0.1", "10.0.0.1"),
            ("[::1]", "::1"),
            ("3com.0x1g", "3com.0x1g"),
            ("10.0.0.a", "10.0.0.a"),
        ] {
            assert_eq!(server_name(text).as_deref(), Ok(kept));
        }
        for bad in [
            "",
            " ",
            "https://splunk.company.com",
            "splunk:8088",
            "a b",
            "*.company.com",
            "-a",
            "ä.de",
            "a..b",
            &"a.".repeat(200),
            "10.0.0.256",
            "123",
            "a.0x1",
            "a.0X",
            "siem.7",
        ] {
            assert!(server_name(bad).is_err(), "{bad}");
        }
    }
}
