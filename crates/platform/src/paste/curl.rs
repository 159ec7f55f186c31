//! A `curl` example, read as curl reads it: which options take a value is curl's own table, so that no value is taken for the address of a
//! SIEM.

/// The long options that take a value, of curl 7.88 to 8.17.
const TAKE_A_VALUE: &[&str] = &[
    "abstract-unix-socket",
    "alt-svc",
    "aws-sigv4",
    "cacert",
    "capath",
    "cert",
    "cert-type",
    "ciphers",
    "config",
    "connect-timeout",
    "connect-to",
    "continue-at",
    "cookie",
    "cookie-jar",
    "create-file-mode",
    "crlfile",
    "curves",
    "data",
    "data-ascii",
    "data-binary",
    "data-raw",
    "data-urlencode",
    "delegation",
    "dns-interface",
    "dns-ipv4-addr",
    "dns-ipv6-addr",
    "dns-servers",
    "doh-url",
    "dump-header",
    "ech",
    "egd-file",
    "engine",
    "etag-compare",
    "etag-save",
    "expect100-timeout",
    "form",
    "form-string",
    "ftp-account",
    "ftp-alternative-to-user",
    "ftp-method",
    "ftp-port",
    "ftp-ssl-ccc-mode",
    "happy-eyeballs-timeout-ms",
    "haproxy-clientip",
    "header",
    "hostpubmd5",
    "hostpubsha256",
    "hsts",
    "interface",
    "ip-tos",
    "ipfs-gateway",
    "json",
    "keepalive-cnt",
    "keepalive-time",
    "key",
    "key-type",
    "krb",
    "libcurl",
    "limit-rate",
    "local-port",
    "login-options",
    "mail-auth",
    "mail-from",
    "mail-rcpt",
    "max-filesize",
    "max-redirs",
    "max-time",
    "netrc-file",
    "noproxy",
    "oauth2-bearer",
    "out-null",
    "output",
    "output-dir",
    "parallel-max",
    "parallel-max-host",
    "pass",
    "pinnedpubkey",
    "preproxy",
    "proto",
    "proto-default",
    "proto-redir",
    "proxy",
    "proxy-cacert",
    "proxy-capath",
    "proxy-cert",
    "proxy-cert-type",
    "proxy-ciphers",
    "proxy-crlfile",
    "proxy-header",
    "proxy-key",
    "proxy-key-type",
    "proxy-pass",
    "proxy-pinnedpubkey",
    "proxy-service-name",
    "proxy-tls13-ciphers",
    "proxy-tlsauthtype",
    "proxy-tlspassword",
    "proxy-tlsuser",
    "proxy-user",
    "proxy1.0",
    "pubkey",
    "quote",
    "random-file",
    "range",
    "rate",
    "referer",
    "request",
    "request-target",
    "resolve",
    "retry",
    "retry-delay",
    "retry-max-time",
    "sasl-authzid",
    "service-name",
    "sigalgs",
    "socks4",
    "socks4a",
    "socks5",
    "socks5-gssapi-service",
    "socks5-hostname",
    "speed-limit",
    "speed-time",
    "stderr",
    "telnet-option",
    "tftp-blksize",
    "time-cond",
    "tls-max",
    "tls13-ciphers",
    "tlsauthtype",
    "tlspassword",
    "tlsuser",
    "trace",
    "trace-ascii",
    "trace-config",
    "unix-socket",
    "upload-file",
    "upload-flags",
    "url",
    "url-query",
    "user",
    "user-agent",
    "variable",
    "vlan-priority",
    "write-out",
];
/// The short options that take a value, with their long names.
const SHORT: [(char, &str); 26] = [
    ('A', "user-agent"),
    ('b', "cookie"),
    ('c', "cookie-jar"),
    ('C', "continue-at"),
    ('d', "data"),
    ('D', "dump-header"),
    ('e', "referer"),
    ('E', "cert"),
    ('F', "form"),
    ('H', "header"),
    ('K', "config"),
    ('m', "max-time"),
    ('o', "output"),
    ('P', "ftp-port"),
    ('Q', "quote"),
    ('r', "range"),
    ('t', "telnet-option"),
    ('T', "upload-file"),
    ('u', "user"),
    ('U', "proxy-user"),
    ('w', "write-out"),
    ('x', "proxy"),
    ('X', "request"),
    ('y', "speed-time"),
    ('Y', "speed-limit"),
    ('z', "time-cond"),
];

/// A part of a command line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// An option, by its long name if it takes a value, which follows.
    Option(String, Option<String>),
    /// Anything else: where the request goes.
    Address(String),
}

/// The parts of a `curl` command: the words behind its name.
pub(super) fn parts(words: impl IntoIterator<Item = String>) -> Vec<Part> {
    let mut words = words.into_iter();
    let (mut parts, mut only_addresses) = (Vec::new(), false);
    while let Some(word) = words.next() {
        let option = word.strip_prefix('-').filter(|rest| !rest.is_empty() && !only_addresses);
        match option.map(|rest| rest.strip_prefix('-').ok_or(rest)) {
            None => parts.push(Part::Address(word)),
            Some(Ok("")) => only_addresses = true,
            Some(Ok(long)) => {
                let (name, glued) = match long.split_once('=') {
                    Some((name, value)) if TAKE_A_VALUE.contains(&name) => (name, Some(value.to_owned())),
                    _ => (long, None),
                };
                let value = if TAKE_A_VALUE.contains(&name) { glued.or_else(|| words.next()) } else { None };
                parts.push(Part::Option(name.to_owned(), value));
            }
            Some(Err(short)) => {
                // Several stand together; what follows one that takes a value is its value.
                for (at, letter) in short.char_indices() {
                    let Some((_, name)) = SHORT.iter().find(|(short, _)| *short == letter) else {
                        parts.push(Part::Option(letter.to_string(), None));
                        continue;
                    };
                    let rest = &short[at + letter.len_utf8()..];
                    let value = if rest.is_empty() { words.next() } else { Some(rest.to_owned()) };
                    parts.push(Part::Option((*name).to_owned(), value));
                    break;
                }
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::super::shell::{self, Variables};
    use super::*;

    fn read(text: &str) -> Vec<String> {
        let shown = |part| match part {
            Part::Option(name, Some(value)) => format!("--{name}={value}"),
            Part::Option(name, None) => format!("--{name}"),
            Part::Address(word) => word,
        };
        let words = shell::command(text, 0, &Variables::default()).words;
        parts(words.into_iter().skip(1)).into_iter().map(shown).collect()
    }

    #[test]
    fn a_value_is_never_an_address() {
        for (example, expected) in [
            ("curl --connect-timeout 10 https://a", vec!["--connect-timeout=10", "https://a"]),
            ("curl --proxy http://p:3128 https://a", vec!["--proxy=http://p:3128", "https://a"]),
            ("curl -x http://p:3128 -sSk https://a", vec!["--proxy=http://p:3128", "--s", "--S", "--k", "https://a"]),
            ("curl -XPOST -ume:pw -d@f https://a", vec!["--request=POST", "--user=me:pw", "--data=@f", "https://a"]),
            ("curl -sH 'A: b' --resolve a:443:1.2.3.4 a", vec!["--s", "--header=A: b", "--resolve=a:443:1.2.3.4", "a"]),
            ("curl --header='A: b' -- -odd", vec!["--header=A: b", "-odd"]),
            (
                "curl https://a -w '%{http_code}' | jq . && curl https://b",
                vec!["https://a", "--write-out=%{http_code}"],
            ),
            (
                "curl --retry 3 --interface eth0 https://a -H",
                vec!["--retry=3", "--interface=eth0", "https://a", "--header"],
            ),
        ] {
            assert_eq!(read(example), expected, "{example}");
        }
    }

    /// Not by us: what the curl of this machine says of itself, if there is one.
    #[test]
    fn the_table_has_what_curl_itself_lists() {
        let Ok(help) = Command::new("curl").args(["--help", "all"]).output() else { return };
        let help = String::from_utf8_lossy(&help.stdout).into_owned();
        let mut missing = Vec::new();
        for line in help.lines().filter(|line| line.trim_start().starts_with('-')) {
            let (before, said) = line.split_once("--").unwrap_or_default();
            let (name, rest) = said.split_once(' ').unwrap_or((said, ""));
            let takes = rest.starts_with('<') || rest.starts_with("[protocol");
            // `--help` takes one if there is one, and says so in other words.
            if name != "help" && takes != TAKE_A_VALUE.contains(&name) {
                missing.push(name.to_owned());
            }
            let letter = before.trim().strip_prefix('-').and_then(|short| short.chars().next());
            if name != "help" && letter.is_some_and(|letter| takes != SHORT.contains(&(letter, name))) {
                missing.push(before.trim().to_owned());
            }
        }
        assert!(missing.is_empty(), "{missing:?}");
    }
}
