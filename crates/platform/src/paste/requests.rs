//! Requests, as commands and calls make them: of curl and wget, HTTPie, PowerShell, and of code in some language.

use super::curl::Part;
use super::pasted::Pasted;
use super::settings::{self, Reader, Setting, unquoted};

/// What a command of curl says.
pub(super) fn of_curl(parts: Vec<Part>, pasted: &mut Pasted) {
    for part in parts {
        let (option, value) = match part {
            Part::Address(word) => {
                if !pasted.address(&word) {
                    pasted.words.push(word);
                }
                continue;
            }
            Part::Option(option, value) => (option, value.unwrap_or_default()),
        };
        match option.as_str() {
            "header" => match value.split_once(':') {
                Some((name, said)) => pasted.headers.push((name.trim().to_ascii_lowercase(), said.trim().to_owned())),
                None if value.starts_with('@') => pasted.leave("the file of headers: write its headers themselves"),
                None => {}
            },
            "user" => {
                let (name, password) = value.split_once(':').unwrap_or((&value, ""));
                pasted.user = Some((name.to_owned(), password.to_owned()));
            }
            "oauth2-bearer" => pasted.headers.push(("authorization".to_owned(), format!("Bearer {value}"))),
            "url" if !pasted.address(&value) => pasted.words.push(value),
            "proxy" | "proxy-user" | "preproxy" | "socks4" | "socks4a" | "socks5" | "socks5-hostname" | "proxy1.0" => {
                pasted.leave("the proxy: the operator of this service sets one for all connectors");
            }
            "cacert" | "capath" => {
                pasted.leave("the certificate authority: paste the file itself into its own field");
            }
            "cert" | "key" => pasted.leave("the client certificate: paste the files into their own fields"),
            "k" | "insecure" | "no-check-certificate" => pasted.leave("--insecure: certificates are always verified"),
            "pinnedpubkey" => {
                pasted.leave("--pinnedpubkey: it is the hash of a key; give the certificate's SHA-256 fingerprint");
            }
            "config" => pasted.leave("--config: paste what stands in that file"),
            "n" | "netrc" | "netrc-file" | "netrc-optional" => {
                pasted.leave("--netrc: give user name and password in their own fields");
            }
            "resolve" | "connect-to" | "doh-url" | "dns-servers" => {
                pasted.leave("--resolve and the like: hosts are looked up in DNS");
            }
            "unix-socket" | "abstract-unix-socket" => pasted.leave("--unix-socket: a connector needs a URL"),
            "cookie" => pasted.leave("the cookie: give a token, or a user name and password"),
            "digest" | "ntlm" | "negotiate" | "anyauth" | "aws-sigv4" | "delegation" => {
                pasted.leave("the way to log in: give a token, or a user name and password");
            }
            _ => {}
        }
    }
}

/// `http POST URL Name:value`.
pub(super) fn of_httpie(words: impl Iterator<Item = String>, pasted: &mut Pasted) {
    let mut words = words.peekable();
    let mut addressed = false;
    while let Some(word) = words.next() {
        if let Some(option) = word.strip_prefix('-') {
            let (name, glued) =
                option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value.to_owned())));
            match name {
                "a" | "-auth" => {
                    let value = glued.or_else(|| words.next()).unwrap_or_default();
                    let (name, password) = value.split_once(':').unwrap_or((&value, ""));
                    pasted.user = Some((name.to_owned(), password.to_owned()));
                }
                "-verify" => {
                    if matches!(glued.or_else(|| words.next()).as_deref(), Some("no" | "false")) {
                        pasted.leave("--insecure: certificates are always verified");
                    }
                }
                _ => {}
            }
        } else if !addressed {
            let method = word.bytes().all(|b| b.is_ascii_uppercase());
            addressed = !method && pasted.address(&word);
        } else if let Some((name, value)) = word.split_once(':').filter(|(name, _)| !name.contains('=')) {
            pasted.headers.push((name.to_ascii_lowercase(), value.trim_start_matches('=').trim().to_owned()));
        }
    }
}

/// `Invoke-RestMethod -Uri URL -Headers @{Name = "value"}`.
pub(super) fn of_powershell(text: &str, words: impl Iterator<Item = String>, pasted: &mut Pasted, reader: &mut Reader) {
    for table in text.split("@{").skip(1) {
        let inner = table.split('}').next().unwrap_or_default();
        for member in inner.split([';', '\n']) {
            if let Some((name, value)) = member.split_once('=') {
                let name = format!("headers.{}", unquoted(name).to_ascii_lowercase());
                reader.found.push(Setting { name, value: unquoted(value).to_owned() });
            }
        }
    }
    let mut words = words.peekable();
    while let Some(word) = words.next() {
        if word.eq_ignore_ascii_case("-uri") {
            if let Some(address) = words.next() {
                pasted.address(&address);
            }
        } else if word.eq_ignore_ascii_case("-skipcertificatecheck") {
            pasted.leave("--insecure: certificates are always verified");
        } else if word.contains("://") {
            pasted.address(&word);
        }
    }
}

/// A command that is no request: what it is given as environment or as settings counts.
pub(super) fn of_another(
    command: &str,
    words: impl Iterator<Item = String>,
    pasted: &mut Pasted,
    reader: &mut Reader,
    assigns: bool,
) {
    for word in words {
        let given = word
            .strip_prefix("--env=")
            .or_else(|| word.strip_prefix("-e").filter(|rest| rest.contains('=')))
            .unwrap_or(&word);
        if let Some((name, value)) = given.split_once('=') {
            let name = name.trim_start_matches('-').to_ascii_lowercase();
            if !name.is_empty() && name.len() <= 80 && !name.contains(char::is_whitespace) {
                let value = value.trim_matches(['"', '\'', ';']);
                let name = if settings::is_variable(&name) { name } else { format!("{command}.{name}") };
                reader.found.push(Setting { name, value: value.to_owned() });
            }
        }
    }
    if !assigns && !matches!(command, "jq" | "cat" | "tee" | "echo" | "export" | "set" | "sleep" | "ls" | "unset") {
        pasted.leave("the command: it is no request; only the settings that it is given count");
    }
}

/// A call in some language: addresses and pairs among its quoted texts count.
pub(super) fn of_code(line: &str, pasted: &mut Pasted, reader: &mut Reader) {
    let mut texts = Vec::new();
    let mut rest = line;
    while let Some(at) = rest.find(['"', '\'']) {
        let quote = &rest[at..=at];
        let Some(len) = rest[at + 1..].find(quote) else { break };
        let behind = rest[at + 1 + len + 1..].trim_start();
        texts.push((
            &rest[at + 1..at + 1 + len],
            behind.starts_with([':', '=']) || behind.starts_with(", ") || behind.starts_with(",\""),
        ));
        rest = &rest[at + 1 + len + 1..];
    }
    let mut texts = texts.into_iter().peekable();
    while let Some((text, named)) = texts.next() {
        let header = text.eq_ignore_ascii_case("authorization")
            || (text.contains('-') && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
        if text.contains("://") {
            pasted.address(text);
        } else if named
            && header
            && let Some((value, _)) = texts.next()
        {
            reader
                .found
                .push(Setting { name: format!("headers.{}", text.to_ascii_lowercase()), value: value.to_owned() });
        }
    }
}
