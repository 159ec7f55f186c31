//! What is kept of a reply: `Retry-After`, and text that is clean, short, and free of our own credential.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use proptest::prelude::*;
use toktra_siem_core::cause::Cause;
use toktra_siem_core::connector::Credentials;
use toktra_siem_core::destination::reply::{EXCERPT_BYTES, Redactor, retry_after, sanitise};
use toktra_siem_core::ids::StreamKind;
use toktra_siem_platform::destination::{Reply, Verdict};
use toktra_siem_platform::registry::Registry;

use crate::support::{
    NOW, SECRET, all_streams, asking, causes, elasticsearch_settings, reply, show, splunk_settings, stream,
};

#[test]
fn retry_after_is_read_in_both_forms_and_however_absurd() {
    let secs = |n: u64| Some(Duration::from_secs(n));
    for (text, expected) in [
        ("0", secs(0)),
        ("7", secs(7)),
        (" 120 ", secs(120)),
        ("99999999999999999999999999", secs(u64::from(u32::MAX))),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        // NOW is 10:30:00.
        ("Wed, 15 Jan 2025 10:30:09 GMT", secs(9)),
        ("Wed, 15 Jan 2025 10:29:00 GMT", secs(0)),
        ("Wed, 15 Jan 1969 10:29:00 GMT", None),
        ("Wednesday, 15-Jan-25 10:30:30 GMT", secs(30)),
        ("Fri, 31 Dec 9999 23:59:59 GMT", secs(251_665_363_799)),
        ("Wed, 15 Jan 2025 10:30:09 CET", None),
    ] {
        assert_eq!(retry_after(&asking(reply(429, ""), text), NOW), expected, "{text}");
    }
    assert_eq!(retry_after(&reply(429, ""), NOW), None);
}

#[test]
fn text_is_one_clean_line() {
    for (text, clean) in [
        ("plain", "plain"),
        ("  a\r\n\tb  ", "a b"),
        ("\u{1b}[31mred\u{7}", "[31mred"),
        ("left\u{202e}thgir\u{feff}", "leftthgir"),
        ("line\u{2028}break", "line break"),
        ("nul\0", "nul"),
    ] {
        assert_eq!(sanitise(text, 100), clean, "{text:?}");
    }
    assert_eq!(sanitise("aä b", 3), "aä");
    assert_eq!(sanitise("äää", 5), "ää");
}

#[test]
fn a_credential_that_is_echoed_is_removed_in_every_form() {
    let settings = elasticsearch_settings(true);
    let pair = BASE64.encode("key-id:the-key-itself");
    let password = "pass\"word";
    for (credentials, echoed) in [
        (Credentials::of("hec_token", SECRET.to_owned()), vec![format!("Authorization: Splunk {SECRET}")]),
        (Credentials::of("api_key", pair.clone()), vec![pair, "the-key-itself".into()]),
        (
            Credentials::of("password", password.to_owned()),
            vec![password.into(), r#"pass\"word"#.into(), BASE64.encode(format!("toktra:{password}"))],
        ),
    ] {
        let mut settings = settings.clone();
        if credentials.get("hec_token").is_some() {
            settings = splunk_settings(false);
        }
        let redactor = Registry::standard().redactor(&settings, &credentials);
        for secret in echoed {
            let shown = redactor.excerpt(&reply(400, &format!("you sent {secret}, twice {secret}."))).unwrap();
            assert!(shown.contains("[redacted]") && !shown.contains(&secret), "{shown}");
            assert!(shown.ends_with("[redacted]."), "{shown}");
        }
    }
    let redactor = Redactor::new([SECRET.to_owned()]);
    let hidden = SECRET.replace("canary", "can\u{200b}ary");
    assert_eq!(redactor.excerpt(&reply(400, &format!("<{hidden}>"))).unwrap(), "<[redacted]>");
    assert_eq!(Redactor::default().excerpt(&reply(200, " \n")), None);
}

/// A proxy's log line or an access page shows what it was asked in capitals, in small letters, or as a part of an address.
#[test]
fn a_credential_that_is_echoed_otherwise_spelled_is_removed() {
    let secret = "Pass/Word+1 é=";
    let redactor = Redactor::new([secret.to_owned()]);
    for echoed in [
        secret.to_ascii_uppercase(),
        secret.to_ascii_lowercase(),
        "Pass%2FWord%2B1+%C3%A9%3D".to_owned(),
        "Pass%2FWord%2B1%20%C3%A9%3D".to_owned(),
        "pass%2fword%2b1%20%c3%a9%3d".to_owned(),
        "PASS%2FWORD%2B1%20%C3%A9%3D".to_owned(),
        // PHP, Java's Gson, Go's templates, a mixture of them, and base64 without its padding.
        r"Pass\/Word+1 \u00e9=".to_owned(),
        r"Pass/Word+1 é\u003d".to_owned(),
        "Pass/Word&#43;1 é&#61;".to_owned(),
        r"Pass&#x2F;Word%2B1+&#0233;\u003D".to_owned(),
        "Pass/Word+1 é".to_owned(),
    ] {
        let said = format!("<{echoed}>, then <{echoed}>");
        let shown = redactor.excerpt(&reply(400, &said)).unwrap();
        let whole = "<[redacted]>, then <[redacted]>";
        assert_eq!(shown, whole, "{echoed}");
        let headers = vec![("x-echo".to_owned(), Bytes::from(said))];
        let scrubbed = redactor.scrub(Reply { headers, ..reply(400, "") });
        assert_eq!(scrubbed.headers[0].1, whole, "{echoed}");
    }
}

#[test]
fn causes_never_quote_the_credential() {
    let echo =
        format!(r#"{{"text":"token {SECRET} is wrong","errors":["key {SECRET}"],"error":{{"reason":"{SECRET}"}}}}"#);
    for destination in all_streams() {
        for status in 200..600 {
            for body in [echo.as_str(), SECRET] {
                let verdict = destination.classify(&reply(status, body), 2, NOW);
                assert!(causes(&verdict).iter().all(|cause| !cause.message.contains(SECRET)), "{status}");
            }
        }
    }
}

#[test]
fn every_cause_is_a_sentence_with_a_code() {
    for destination in all_streams() {
        for status in 200..600 {
            for Cause { code, message } in causes(&destination.classify(&reply(status, "{}"), 2, NOW)) {
                assert!(code.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'), "{code}");
                assert!(message.contains(&format!(" answered {status}: ")) && message.ends_with('.'), "{message}");
            }
        }
    }
}

#[test]
fn without_an_answer_events_wait_or_are_held() {
    let cause = || Cause::new("network_refused", "why");
    assert_eq!(show(&Verdict::unreachable(cause(), false, 3)), "3 retry network_refused | backoff");
    assert_eq!(show(&Verdict::unreachable(cause(), true, 3)), "3 held network_refused | misconfigured network_refused");
    assert_eq!(show(&Verdict::unreachable(cause(), false, 0)), " | backoff");
}

#[test]
fn an_html_error_is_not_quoted_in_a_cause() {
    let splunk = stream(&splunk_settings(false), StreamKind::Events);
    let page = Reply { content_type: Some("Text/HTML; charset=utf-8".into()), ..reply(503, "Service <b>down</b>") };
    for page in [page, reply(503, "\n <html>down")] {
        assert!(!causes(&splunk.classify(&page, 1, NOW))[0].message.contains("It said"));
    }
    let text = splunk.classify(&reply(503, "upstream connect error"), 1, NOW);
    assert!(causes(&text)[0].message.ends_with("It said: “upstream connect error”"));
}

proptest! {
    #[test]
    fn no_part_of_a_credential_survives_at_the_edge(before in 0usize..9_000, truncated: bool, cut in 0usize..30) {
        let mut body = "x ".repeat(before / 2).into_bytes();
        body.extend_from_slice(SECRET.as_bytes());
        body.truncate(body.len() - cut.min(SECRET.len()) * usize::from(truncated));
        let redactor = Redactor::new([SECRET.to_owned()]);
        let reply = Reply { body: Bytes::from(body), truncated, ..Reply::default() };
        let shown = redactor.excerpt(&reply).unwrap_or_default();
        prop_assert!(shown.len() <= EXCERPT_BYTES);
        prop_assert!(!shown.contains(&SECRET[..4]), "{shown}");
    }

    #[test]
    fn any_bytes_make_a_clean_excerpt(body: Vec<u8>) {
        let reply = Reply { body: body.into(), ..Reply::default() };
        let shown = Redactor::default().excerpt(&reply).unwrap_or_default();
        prop_assert!(!shown.chars().any(char::is_control));
    }
}
