//! Snippets as public documentation and repositories have them, shortened, with hosts and credentials of our own: what fills which setting, and
//! what is said of the rest.

use toktra_siem_core::ids::PlatformId;
use toktra_siem_platform::Registry;

const SNIPPETS: [(&str, &str); 4] = [
    ("splunk", include_str!("../../../../fixtures/pasted/splunk.txt")),
    ("datadog", include_str!("../../../../fixtures/pasted/datadog.txt")),
    ("elasticsearch", include_str!("../../../../fixtures/pasted/elasticsearch.txt")),
    ("webhook", include_str!("../../../../fixtures/pasted/webhook.txt")),
];

/// What is said, line by line. What says nothing of a connector is left out where `loosely` says so.
fn told(platform: PlatformId, text: &str, loosely: bool) -> Vec<String> {
    let understood = Registry::standard().understand(platform, text);
    let line =
        |(name, value): &(&str, String)| format!("{name} = {}", value.replace('\n', " | ")).trim_end().to_owned();
    let mut told: Vec<String> = understood.fields.iter().map(line).collect();
    for left in understood.not_understood {
        assert!(!understood.fields.iter().any(|(_, value)| value.len() > 9 && left.contains(value.as_str())), "{left}");
        let says_nothing =
            !left.contains(": ") && (left.starts_with("the setting") || left.contains("word") || left.contains("more"));
        if !(loosely && (says_nothing || left.starts_with("the command"))) {
            told.push(format!("? {left}"));
        }
    }
    told.sort();
    told
}

#[test]
fn snippets_of_public_documentation_are_understood() {
    let (mut seen, mut wrong) = (0, Vec::new());
    for (platform, snippets) in SNIPPETS {
        let platform: PlatformId = platform.parse().unwrap();
        for snippet in snippets.split("=== ").skip(1) {
            let (source, rest) = snippet.split_once('\n').unwrap();
            let (text, expected) = rest.rsplit_once("\n---\n").unwrap();
            let loosely = expected.lines().any(|line| line == "? *");
            let mut wanted: Vec<&str> = expected.lines().filter(|line| *line != "? *").collect();
            wanted.sort_unstable();
            let told = told(platform, text, loosely);
            if told != wanted {
                wrong.push(format!("{platform}, {source}:\n  told   {told:#?}\n  wanted {wanted:#?}"));
            }
            seen += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let missing: Vec<_> =
        Registry::standard().ids().filter(|id| !SNIPPETS.iter().any(|(name, _)| *name == id.as_str())).collect();
    assert!(missing.is_empty(), "fixtures/pasted lacks {missing:?}");
    assert!(seen >= 40, "{seen}");
}
