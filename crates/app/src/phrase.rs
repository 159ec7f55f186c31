//! Small pieces of sentences for people: what a cause comes to in two or three words, how long ago something was, how many events.

use std::time::Duration;

use toktra_siem_core::cause::Cause;
use toktra_siem_core::ids::PlatformId;

/// What those causes come to that a person meets most. All others are named by their code, in words.
const KNOWN: [(&str, &str); 34] = [
    ("invalid_token", "token rejected"),
    ("token_disabled", "token disabled"),
    ("token_required", "token missing"),
    ("unauthorized", "credential rejected"),
    ("destination_forbidden", "target not allowed"),
    ("forbidden", "permission missing"),
    ("api_key_refused", "API key rejected"),
    ("http_401", "credential rejected"),
    ("http_403", "permission missing"),
    ("incorrect_index", "index not allowed or missing"),
    ("not_hec", "not the HTTP Event Collector"),
    ("wrong_path", "wrong address"),
    ("gone", "endpoint closed"),
    ("disk_flood_stage", "its disk is full"),
    ("connector_unusable", "settings cannot be used"),
    ("network_unknown_host", "host name unknown"),
    ("network_dns", "host name not found"),
    ("network_refused", "connection refused"),
    ("network_unreachable", "no route to it"),
    ("network_connect_timeout", "no connection in time"),
    ("network_timeout", "no answer in time"),
    ("network_reset", "connection closed"),
    ("network_not_http", "not an HTTP server"),
    ("network_malformed", "malformed HTTP"),
    ("network_excess", "an answer without end"),
    ("local_memory", "its long answer gave way"),
    ("tls_expired", "certificate expired"),
    ("tls_untrusted", "certificate not trusted"),
    ("tls_version_1", "certificate of X.509 version 1"),
    ("tls_key_unfit", "certificate with an unfit key"),
    ("tls_fingerprint_changed", "certificate has changed"),
    ("tls_client_certificate", "client certificate wanted"),
    ("tls_wrong_host", "certificate of another host"),
    ("tls_not_spoken", "TLS not spoken there"),
];

/// What a cause comes to, in a few words.
pub(crate) fn of(cause: &Cause, platform: Option<PlatformId>) -> String {
    let code = cause.code.as_ref();
    let known = KNOWN
        .iter()
        .find(|(end, _)| code.strip_suffix(end).is_some_and(|before| before.is_empty() || before.ends_with('_')));
    known.map_or_else(|| in_words(code, platform), |(_, phrase)| (*phrase).to_owned())
}

/// Whether it says that a connector cannot be used at all.
pub(crate) fn is_unusable(cause: &Cause) -> bool {
    cause.code == "connector_unusable"
}

/// Without the platform's word in front and the number behind it: `x_9_server_busy` is "server busy", `x_http_503` is "HTTP 503".
fn in_words(code: &str, platform: Option<PlatformId>) -> String {
    let own = platform.and_then(|platform| code.strip_prefix(platform.as_str())?.strip_prefix('_'));
    let code = own.filter(|rest| !rest.is_empty()).unwrap_or(code);
    let mut parts: Vec<&str> = code.split('_').filter(|part| !part.is_empty()).collect();
    if parts.len() > 1 && matches!(parts[0], "network" | "tls") {
        parts.remove(0);
    }
    if parts.len() > 1 && parts[0].bytes().all(|b| b.is_ascii_digit()) {
        parts.remove(0);
    }
    parts.join(" ").replace("http ", "HTTP ")
}

/// A duration in its largest unit: `12 s`, `4 min`, `3 h`, `2 d`.
pub(crate) fn long(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// `1 event`, `1,312 events`.
pub(crate) fn events(count: u64) -> String {
    format!("{} {}", number(count), if count == 1 { "event" } else { "events" })
}

/// Digits in groups of three.
fn number(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_in_a_few_words() {
        for (code, phrase) in [
            ("splunk_4_invalid_token", "token rejected"),
            ("splunk_9_busy", "busy"),
            ("splunk_18_unhealthy_queues_full", "unhealthy queues full"),
            ("datadog_api_key_refused", "API key rejected"),
            ("datadog_http_503", "HTTP 503"),
            ("elasticsearch_forbidden", "permission missing"),
            ("elasticsearch_mapper_parsing_exception", "mapper parsing exception"),
            ("destination_forbidden", "target not allowed"),
            ("network_refused", "connection refused"),
            ("tls_not_yet_valid", "not yet valid"),
            ("retention", "retention"),
        ] {
            let platform = code.split('_').next().and_then(PlatformId::new);
            assert_eq!(of(&Cause::coded(code, ""), platform), phrase, "{code}");
        }
    }

    #[test]
    fn durations_and_numbers_are_for_people() {
        let shown = |seconds| long(Duration::from_secs(seconds));
        assert_eq!([shown(0), shown(59), shown(60), shown(7199)], ["0 s", "59 s", "1 min", "1 h"]);
        assert_eq!([shown(172_799), shown(172_800)], ["47 h", "2 d"]);
        assert_eq!(
            [events(0), events(1), events(312), events(1_234_567)],
            ["0 events", "1 event", "312 events", "1,234,567 events"]
        );
    }
}
