//! What the reader of PEM takes, and how it says what it does not.

use secrecy::ExposeSecret as _;

use super::*;

const PEM: &str = include_str!("../../../../fixtures/certificates/self-signed.pem");
const CA: &str = include_str!("../../../../fixtures/certificates/splunk-ca.pem");

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
    let big: Vec<u8> = [0xfe, 0xff].into_iter().chain(PEM.encode_utf16().flat_map(u16::to_be_bytes)).collect();
    let der = BASE64.decode(body(PEM)).unwrap();
    for bytes in [PEM.as_bytes().to_vec(), wide, big, der] {
        assert_eq!(certificates(&of_file(bytes)).as_deref(), Ok(PEM));
    }
}

/// What is no PEM is taken, or it is said how to convert it.
#[test]
fn other_encodings_are_told_how_to_be_converted() {
    let without_mark: String = PEM.chars().flat_map(|c| [c, '\0']).collect();
    assert_eq!(certificates(&without_mark).as_deref(), Ok(PEM));
    let mut bundle = vec![0x30, 0x80];
    bundle.extend(SIGNED_DATA);
    bundle.extend([0; 40]);
    assert!(certificates(&BASE64.encode(&bundle)).unwrap_err().contains("pkcs7 -print_certs"));
    let other = BASE64.encode([&[0x30, 0x82, 1, 0][..], &[0; 60]].concat());
    assert!(certificates(&other).unwrap_err().contains("openssl x509 -inform der"));
    assert!(private_key(&other).unwrap_err().contains("openssl pkey -inform der"));
    assert_eq!(
        certificates(&PEM.replace("-----BEGIN CERTIFICATE-----", "-----begin certificate-----")).as_deref(),
        Ok(PEM)
    );
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
