//! The policy, held to the [`vectors`] and to what they cannot say.

use super::*;

#[path = "vectors.rs"]
mod vectors;

use vectors::URLS;
use vectors::Want::{self, BadUrl, Never, Pass, Plain, Scheme, Special, Userinfo};

fn verdict(result: &Result<Target, Forbidden>) -> Want {
    match result {
        Ok(_) => Pass,
        Err(Forbidden::Url(_)) => BadUrl,
        Err(Forbidden::Scheme) => Scheme,
        Err(Forbidden::Userinfo) => Userinfo,
        Err(Forbidden::PlainHttp) => Plain,
        Err(Forbidden::Never(_)) => Never,
        Err(Forbidden::Special(_)) => Special,
        Err(Forbidden::Mixed) => panic!("a URL by itself is never mixed"),
    }
}

const TENANT: Trust = Trust { operator_owned: false };
const OPERATOR: Trust = Trust { operator_owned: true };

#[test]
fn every_vector_is_judged_as_written_down() {
    assert!(URLS.len() >= 150, "{} vectors", URLS.len());
    let policy = EgressPolicy::default();
    let mut wrong = Vec::new();
    for (url, tenant, operator) in URLS {
        for (trust, want) in [(TENANT, tenant), (OPERATOR, operator)] {
            let got = verdict(&policy.check_url(url, trust));
            if got != *want {
                wrong.push(format!("{url:?} operator_owned={}: {got:?}, not {want:?}", trust.operator_owned));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn listed_ranges_are_open_to_all_and_metadata_stays_closed() {
    let listed =
        ["10.1.0.0/16", "127.0.0.0/8", "::1/128", "169.254.0.0/16", "fd00::/8", "100.64.0.0/10", "64:ff9b::/96"];
    let policy = EgressPolicy::new(listed.iter().map(|net| net.parse().unwrap()).collect());
    let cases = [
        ("https://10.1.2.3/", Pass),
        ("http://10.1.2.3/", Pass),
        ("http://127.0.0.1:8088/", Pass),
        ("http://localhost:8088/", Pass),
        ("http://[::1]:8088/", Pass),
        ("https://10.2.0.1/", Special),
        ("http://10.2.0.1/", Special),
        ("http://8.8.8.8/", Plain),
        // A name is judged by its addresses once it is dialled.
        ("http://splunk.internal/", Pass),
        ("https://[fd12::1]/", Pass),
        ("http://169.254.169.254/", Never),
        ("http://[fd00:ec2::254]/", Never),
        ("http://100.100.100.200/", Never),
        ("http://metadata.google.internal/", Never),
        // NAT64 leads to public hosts, and to private ones only where they are listed themselves.
        ("https://[64:ff9b::8.8.8.8]/", Pass),
        ("https://[64:ff9b::10.1.2.3]/", Pass),
        ("https://[64:ff9b::10.2.0.1]/", Special),
        ("https://[64:ff9b::a9fe:a9fe]/", Never),
        // Another spelling of a listed address is not listed.
        ("https://[::ffff:10.1.2.3]/", Special),
    ];
    for (url, want) in cases {
        assert_eq!(verdict(&policy.check_url(url, TENANT)), want, "{url}");
    }
}

#[test]
fn an_address_is_dialled_without_tls_only_where_listed_or_the_operators() {
    let policy = EgressPolicy::new(vec!["10.0.0.0/8".parse().unwrap()]);
    let check = |ip: &str, trust| policy.check_address(ip.parse().unwrap(), false, trust);
    assert_eq!(check("10.0.0.1", TENANT), Ok(()));
    assert_eq!(check("1.1.1.1", TENANT), Err(Forbidden::PlainHttp));
    assert_eq!(check("1.1.1.1", OPERATOR), Ok(()));
    assert_eq!(check("192.168.0.1", TENANT), Err(Forbidden::Special("a private address")));
}

#[test]
fn a_target_keeps_what_the_request_needs() {
    let target = |url| EgressPolicy::default().check_url(url, OPERATOR).unwrap();
    let splunk = target("https://Splunk.Company.COM.:8088/services/collector/event?channel=1#x");
    assert_eq!(splunk.host, TargetHost::Name("splunk.company.com".into()));
    assert_eq!(splunk.path, "/services/collector/event?channel=1");
    assert_eq!(splunk.authority(), "splunk.company.com:8088");
    assert_eq!(target("https://a.example").authority(), "a.example");
    assert_eq!(target("http://a.example:443").authority(), "a.example:443");
    assert_eq!(target("http://[::1]:80/").authority(), "[::1]");
    assert_eq!(target("https://0x7f.1:9200").authority(), "127.0.0.1:9200");
    assert_eq!(target("https://a.example").path, "/");
}

#[test]
fn refusals_of_names_do_not_tell_addresses() {
    for refusal in [Forbidden::Mixed, Forbidden::Special("a private address"), Forbidden::Never(METADATA)] {
        assert!(!refusal.to_string().contains(|c: char| c.is_ascii_digit()), "{refusal}");
    }
}
