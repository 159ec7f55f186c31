//! A `curl` example, read as curl reads it: which options take a value is curl's own table, so that no value is taken for the address of a
//! SIEM (finding S11).

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
pub(crate) enum Part {
    /// An option, by its long name if it takes a value, which follows.
    Option(String, Option<String>),
    /// Anything else: where the request goes.
    Address(String),
}

/// Whether `text` is a `curl` command.
pub(crate) fn is_curl(text: &str) -> bool {
    let first = text.trim_start_matches(['$', '#', '>', ' ']);
    first
        .strip_prefix("curl")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(|c: char| c.is_whitespace() || c == '.'))
}

/// The parts of a `curl` command, without what another command does before or behind it.
pub(crate) fn parts(text: &str) -> Vec<Part> {
    let mut words = shell_words(text).into_iter().skip_while(|word| !word.starts_with("curl")).skip(1).peekable();
    let (mut parts, mut only_addresses) = (Vec::new(), false);
    while let Some(word) = words.next() {
        if ["|", "||", "&&", ";", "&", ">", ">>", "<", "<<"].contains(&word.as_str()) {
            break;
        }
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

/// The words of a shell's command line, as far as examples need it: quotes, backslashes, and lines that go on.
fn shell_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut open, mut quote) = (String::new(), false, None);
    let mut letters = text.chars().peekable();
    while let Some(c) = letters.next() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                open = true;
            }
            (Some('\''), c) => word.push(c),
            // A line that goes on; a browser may have made a blank of its end, or nothing.
            (None, '\\') if letters.peek().is_none_or(|next| next.is_whitespace() || *next == '-') => {}
            (_, '\\') => {
                if let Some(next) = letters.next() {
                    word.push(next);
                }
            }
            (None, c) if c.is_whitespace() => {
                if open || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                open = false;
            }
            (_, c) => word.push(c),
        }
    }
    if open || !word.is_empty() {
        words.push(word);
    }
    words
}

/// Whether `value` stands for what somebody is to put in its place: `$HEC_TOKEN`, `<token>`, `{{token}}`, `%TOKEN%`, `YOUR_API_KEY`, `xxxx-…`.
pub(crate) fn is_placeholder(value: &str) -> bool {
    let value = value.trim();
    let between = |open: &str, close: &str| {
        value.strip_prefix(open).and_then(|rest| rest.strip_suffix(close)).is_some_and(|inner| !inner.is_empty())
    };
    let name = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    };
    let variable = value.strip_prefix('$').is_some_and(|rest| {
        rest.starts_with('{') || rest.starts_with('(') || rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    });
    let lower = value.to_ascii_lowercase();
    let yours = ["your", "my_", "my-", "replace", "insert", "changeme", "<"].iter().any(|word| lower.starts_with(word))
        && ["key", "token", "password", "secret", "here", "me"].iter().any(|word| lower.ends_with(word));
    let blotted = value.len() >= 3 && value.chars().all(|c| matches!(c, 'x' | 'X' | '*' | '.' | '…' | '-' | '•'));
    variable
        || between("<", ">")
        || between("{{", "}}")
        || between("[", "]")
        || yours
        || blotted
        || value.strip_prefix('%').and_then(|rest| rest.strip_suffix('%')).is_some_and(name)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn read(text: &str) -> Vec<String> {
        let shown = |part| match part {
            Part::Option(name, Some(value)) => format!("--{name}={value}"),
            Part::Option(name, None) => format!("--{name}"),
            Part::Address(word) => word,
        };
        parts(text).into_iter().map(shown).collect()
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
            let said = line.split("--").nth(1).unwrap_or_default();
            let (name, rest) = said.split_once(' ').unwrap_or((said, ""));
            let takes = rest.starts_with('<') || rest.starts_with("[protocol");
            if takes && name != "help" && !TAKE_A_VALUE.contains(&name) {
                missing.push(name.to_owned());
            }
        }
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn what_stands_for_something_else_is_told_from_it() {
        for placeholder in [
            "$HEC_TOKEN",
            "${DD_API_KEY}",
            "$(cat token)",
            "<token>",
            "<YOUR_API_KEY>",
            "{{ token }}",
            "%TOKEN%",
            "YOUR_API_KEY",
            "your-token-here",
            "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx",
            "********",
            "...",
            "[token]",
            "REPLACE_ME",
        ] {
            assert!(is_placeholder(placeholder), "{placeholder}");
        }
        for real in
            ["11111111-2222-3333-4444-555555555555", "aWQ6a2V5", "p$ss", "$1a!", "%41bc%", "yourself", "x", "key"]
        {
            assert!(!is_placeholder(real), "{real}");
        }
    }
}
