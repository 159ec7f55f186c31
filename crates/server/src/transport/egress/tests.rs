//! The vectors that the policy is held to, with the expectation for a tenant's connector and for the operator's own.

use super::*;

/// What a vector expects of a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Want {
    Pass,
    BadUrl,
    Scheme,
    Userinfo,
    Plain,
    Never,
    Special,
}
use Want::{BadUrl, Never, Pass, Plain, Scheme, Special, Userinfo};

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

/// (URL, for a tenant, for the operator); nothing is listed.
const URLS: &[(&str, Want, Want)] = &[
    // Ordinary targets.
    ("https://splunk.company.com:8088", Pass, Pass),
    ("https://http-intake.logs.datadoghq.com/api/v2/logs", Pass, Pass),
    ("https://SPLUNK.Company.COM./x?y=1#z", Pass, Pass),
    ("https://8.8.8.8/", Pass, Pass),
    ("https://[2606:4700:4700::1111]/", Pass, Pass),
    ("https://bücher.example/", Pass, Pass),
    ("https://host_with_underscore.example/", Pass, Pass),
    ("https:\\\\splunk.company.com\\x", Pass, Pass),
    ("https:splunk.company.com", Pass, Pass),
    // Plain http.
    ("http://splunk.company.com:8088", Plain, Pass),
    ("http://8.8.8.8/", Plain, Pass),
    ("HTTP://8.8.8.8/", Plain, Pass),
    // Not something to connect to.
    ("", BadUrl, BadUrl),
    ("splunk.company.com:8088", Scheme, Scheme),
    ("//splunk.company.com", BadUrl, BadUrl),
    ("https://", BadUrl, BadUrl),
    ("https://:8088", BadUrl, BadUrl),
    ("https://host:0", BadUrl, BadUrl),
    ("https://host:65536", BadUrl, BadUrl),
    ("https://host:-1", BadUrl, BadUrl),
    ("https://.", BadUrl, BadUrl),
    ("https://example..com", BadUrl, BadUrl),
    ("https://example.com..", BadUrl, BadUrl),
    ("https://.example.com", BadUrl, BadUrl),
    ("https://exa mple.com", BadUrl, BadUrl),
    ("https://exa$mple.com", BadUrl, BadUrl),
    ("https://example.com%00.evil.com", BadUrl, BadUrl),
    ("https://example.com%0d%0aX:y/", BadUrl, BadUrl),
    ("https://example.com%2f@evil.com/", Userinfo, Userinfo),
    ("https://1.2.3.4.5/", BadUrl, BadUrl),
    ("https://256.0.0.1/", BadUrl, BadUrl),
    ("https://0x1ffffffff/", BadUrl, BadUrl),
    ("https://4294967296/", BadUrl, BadUrl),
    ("https://127.0.0.1.0x/", BadUrl, BadUrl),
    ("https://08.8.8.8/", BadUrl, BadUrl),
    ("https://[::1", BadUrl, BadUrl),
    ("https://[fe80::1%25eth0]/", BadUrl, BadUrl),
    ("https://[fe80::1%eth0]/", BadUrl, BadUrl),
    ("https://[::ffff:127.0.0.1%251]/", BadUrl, BadUrl),
    ("https://[127.0.0.1]/", BadUrl, BadUrl),
    ("https://[v1.fe80::a]/", BadUrl, BadUrl),
    ("ftp://example.com/", Scheme, Scheme),
    ("file:///etc/passwd", Scheme, Scheme),
    ("gopher://127.0.0.1:6379/_INFO", Scheme, Scheme),
    ("unix:/var/run/docker.sock", Scheme, Scheme),
    ("data:text/plain,x", Scheme, Scheme),
    ("ws://example.com/", Scheme, Scheme),
    ("httpss://example.com/", Scheme, Scheme),
    ("javascript:alert(1)", Scheme, Scheme),
    // Userinfo.
    ("https://user@example.com/", Userinfo, Userinfo),
    ("https://user:pass@example.com/", Userinfo, Userinfo),
    ("https://:pass@example.com/", Userinfo, Userinfo),
    ("https://example.com@127.0.0.1/", Userinfo, Userinfo),
    ("https://127.0.0.1@example.com/", Userinfo, Userinfo),
    ("https://example.com:443@169.254.169.254/", Userinfo, Userinfo),
    ("https://a@b@127.0.0.1/", Userinfo, Userinfo),
    // A backslash ends the host: what follows is path, for the one parser that there is.
    ("https://127.0.0.1\\@example.com/", Special, Pass),
    ("https://example.com\\@127.0.0.1/", Pass, Pass),
    ("https://127.0.0.1#@example.com/", Special, Pass),
    ("https://127.0.0.1?@example.com/", Special, Pass),
    // Loopback in every spelling.
    ("https://localhost/", Special, Pass),
    ("https://LOCALHOST/", Special, Pass),
    ("https://localhost./", Special, Pass),
    ("https://foo.localhost/", Special, Pass),
    ("https://foo.bar.localhost./", Special, Pass),
    ("http://localhost:8088/", Special, Pass),
    ("https://127.0.0.1/", Special, Pass),
    ("https://127.0.0.1./", Special, Pass),
    ("https://127.1/", Special, Pass),
    ("https://127.0.1/", Special, Pass),
    ("https://2130706433/", Special, Pass),
    ("https://0x7f000001/", Special, Pass),
    ("https://0X7F000001/", Special, Pass),
    ("https://0x7f.0.0.1/", Special, Pass),
    ("https://0x7f.1/", Special, Pass),
    ("https://0x7f.0x0.0x0.0x1/", Special, Pass),
    ("https://0177.0.0.1/", Special, Pass),
    ("https://0177.0.0.01/", Special, Pass),
    ("https://017700000001/", Special, Pass),
    ("https://00000177.1/", Special, Pass),
    ("https://%31%32%37.0.0.1/", Special, Pass),
    ("https://127%2e0%2e0%2e1/", Special, Pass),
    ("https://127。0。0。1/", Special, Pass),
    ("https://127.0.0.1/", Special, Pass),
    ("https://①②⑦.⓪.⓪.①/", Special, Pass),
    ("https://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/", Special, Pass),
    ("https://local\u{ad}host/", Special, Pass),
    ("https://12\t7.0.0.1/", Special, Pass),
    (" https://127.0.0.1/ ", Special, Pass),
    ("https:127.0.0.1", Special, Pass),
    ("https:////127.0.0.1/", Special, Pass),
    ("https://127.255.255.254:8443/", Special, Pass),
    ("https://[::1]/", Special, Pass),
    ("https://[0:0:0:0:0:0:0:1]/", Special, Pass),
    ("https://[0000::0001]/", Special, Pass),
    ("https://[::ffff:127.0.0.1]/", Special, Pass),
    ("https://[::ffff:7f00:1]/", Special, Pass),
    ("https://[::127.0.0.1]/", Special, Pass),
    ("https://[64:ff9b::127.0.0.1]/", Special, Pass),
    ("https://[2002:7f00:1::]/", Special, Pass),
    // Private.
    ("https://10.0.0.1/", Special, Pass),
    ("https://10.255.255.255/", Special, Pass),
    ("https://167772161/", Special, Pass),
    ("https://012.1/", Special, Pass),
    ("https://172.16.0.1/", Special, Pass),
    ("https://172.31.255.255/", Special, Pass),
    ("https://192.168.0.1/", Special, Pass),
    ("https://192.168.1/", Special, Pass),
    ("https://0xc0a80001/", Special, Pass),
    ("https://[::ffff:192.168.0.1]/", Special, Pass),
    ("https://[fc00::1]/", Special, Pass),
    ("https://[fdff:ffff::1]/", Special, Pass),
    ("http://10.0.0.1/", Special, Pass),
    // Metadata services: nobody.
    ("https://169.254.169.254/latest/meta-data/", Never, Never),
    ("http://169.254.169.254/", Never, Never),
    ("http://169.254.169.254./", Never, Never),
    ("http://2852039166/", Never, Never),
    ("http://0xa9fea9fe/", Never, Never),
    ("http://0xa9.0xfe.0xa9.0xfe/", Never, Never),
    ("http://0251.0376.0251.0376/", Never, Never),
    ("http://025177524776/", Never, Never),
    ("http://169.254.43518/", Never, Never),
    ("http://169.16689662/", Never, Never),
    ("http://[::ffff:169.254.169.254]/", Never, Never),
    ("http://[::ffff:a9fe:a9fe]/", Never, Never),
    ("http://[::ffff:0:169.254.169.254]/", Never, Never),
    ("http://[::169.254.169.254]/", Never, Never),
    ("http://[64:ff9b::a9fe:a9fe]/", Never, Never),
    ("http://[64:ff9b:1::a9fe:a9fe]/", Never, Never),
    ("http://[64:ff9b:1:a9fe:a9:fe00::]/", Never, Never),
    ("http://[2002:a9fe:a9fe::1]/", Never, Never),
    ("http://[2001:0:a9fe:a9fe::1]/", Never, Never),
    ("http://[2001:0:808:808::5601:5601]/", Never, Never),
    ("http://[2606:4700::5efe:a9fe:a9fe]/", Never, Never),
    ("http://[2606:4700::200:5efe:a9fe:a9fe]/", Never, Never),
    ("http://169.254.170.2/v2/credentials", Never, Never),
    ("http://169.254.170.23/", Never, Never),
    ("http://169.254.0.23/", Never, Never),
    ("http://169.254.42.42/", Never, Never),
    ("http://100.100.100.200/", Never, Never),
    ("http://168.63.129.16/", Never, Never),
    ("http://192.0.0.192/", Never, Never),
    ("http://[fd00:ec2::254]/", Never, Never),
    ("http://[fd00:ec2:0:0:0:0:0:254]/", Never, Never),
    ("http://[fd00:ec2::23]/", Never, Never),
    ("http://[fd20:ce::254]/", Never, Never),
    ("http://[fd00:42::42]/", Never, Never),
    ("http://metadata.google.internal/computeMetadata/v1/", Never, Never),
    ("http://METADATA.google.internal./", Never, Never),
    ("https://metadata.google.internal/", Never, Never),
    ("https://x.metadata.google.internal/", Never, Never),
    ("https://ⓜetadata.google.internal/", Never, Never),
    ("http://metadata/", Never, Never),
    ("http://metadata.goog/", Never, Never),
    ("http://instance-data/latest", Never, Never),
    ("http://instance-data.ec2.internal/", Never, Never),
    ("http://metadata.tencentyun.com/", Never, Never),
    ("https://notmetadata.google.example/", Pass, Pass),
    ("https://mymetadata/", Pass, Pass),
    // Nobody's address.
    ("https://0.0.0.0/", Never, Never),
    ("https://0/", Never, Never),
    ("https://0x0/", Never, Never),
    ("https://0.1.2.3/", Never, Never),
    ("https://[::]/", Never, Never),
    ("https://[::ffff:0.0.0.0]/", Never, Never),
    ("https://169.254.0.1/", Never, Never),
    ("https://224.0.0.1/", Never, Never),
    ("https://239.255.255.255/", Never, Never),
    ("https://255.255.255.255/", Never, Never),
    ("https://[ff02::1]/", Never, Never),
    ("https://[ff0e::1]/", Never, Never),
    ("https://[fe80::1]/", Never, Never),
    ("https://[febf::1]/", Never, Never),
    // The rest of the registries.
    ("https://100.64.0.1/", Special, Pass),
    ("https://100.127.255.255/", Special, Pass),
    ("https://192.0.0.8/", Special, Pass),
    ("https://192.0.2.1/", Special, Pass),
    ("https://192.31.196.1/", Special, Pass),
    ("https://192.52.193.1/", Special, Pass),
    ("https://192.88.99.1/", Special, Pass),
    ("https://192.175.48.1/", Special, Pass),
    ("https://198.18.0.1/", Special, Pass),
    ("https://198.19.255.255/", Special, Pass),
    ("https://198.51.100.1/", Special, Pass),
    ("https://203.0.113.1/", Special, Pass),
    ("https://240.0.0.1/", Special, Pass),
    ("https://254.255.255.255/", Special, Pass),
    ("https://[100::1]/", Special, Pass),
    ("https://[2001:2::1]/", Special, Pass),
    ("https://[2001:10::1]/", Special, Pass),
    ("https://[2001:20::1]/", Special, Pass),
    ("https://[2001:1ff::1]/", Special, Pass),
    ("https://[2001:db8::1]/", Special, Pass),
    ("https://[2620:4f:8000::1]/", Special, Pass),
    ("https://[3fff::1]/", Special, Pass),
    ("https://[3fff:fff::1]/", Special, Pass),
    ("https://[5f00::1]/", Special, Pass),
    ("https://[fec0::1]/", Special, Pass),
    ("https://[4000::1]/", Special, Pass),
    ("https://[64:ff9b::8.8.8.8]/", Special, Pass),
    ("https://[2002:808:808::1]/", Special, Pass),
    ("https://[::ffff:8.8.8.8]/", Special, Pass),
    ("https://[::8.8.8.8]/", Special, Pass),
    // Just outside the ranges.
    ("https://9.255.255.255/", Pass, Pass),
    ("https://11.0.0.0/", Pass, Pass),
    ("https://100.63.255.255/", Pass, Pass),
    ("https://100.128.0.0/", Pass, Pass),
    ("https://126.255.255.255/", Pass, Pass),
    ("https://128.0.0.1/", Pass, Pass),
    ("https://169.253.255.255/", Pass, Pass),
    ("https://169.255.0.0/", Pass, Pass),
    ("https://172.15.255.255/", Pass, Pass),
    ("https://172.32.0.0/", Pass, Pass),
    ("https://192.167.255.255/", Pass, Pass),
    ("https://192.169.0.0/", Pass, Pass),
    ("https://198.17.255.255/", Pass, Pass),
    ("https://198.20.0.0/", Pass, Pass),
    ("https://223.255.255.255/", Pass, Pass),
    ("https://[2001:200::1]/", Pass, Pass),
    ("https://[2003::1]/", Pass, Pass),
    ("https://[3fff:1000::1]/", Pass, Pass),
];

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
