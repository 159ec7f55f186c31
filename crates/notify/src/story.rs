//! What is told, in sentences: notices of one topic and one cause are told together. Every kind of channel puts the same story into its own
//! format.
//!
//! Whatever comes from outside is made one line and cut here, so that no format has to deal with line breaks or texts without end.

use toktra_siem_core::destination::reply::sanitise;
use toktra_siem_core::notice::{Notice, Topic};
use toktra_siem_core::time::Timestamp;

use crate::Place;

/// What every title begins with.
const MARK: &str = "[Toktra SIEM]";
/// How many subjects are named when many share one cause.
const NAMED: usize = 3;
/// Up to so many are all named.
const ALL_NAMED: usize = 5;
/// The longest name, in characters.
const NAME: usize = 100;
/// The longest sentence that comes from outside, in characters.
const SENTENCE: usize = 800;
/// The longest address of a page.
const LINK: usize = 1000;

/// A message.
#[derive(Debug, Clone)]
pub(crate) struct Story {
    /// One line: `[Toktra SIEM] Splunk prod does not answer`.
    pub(crate) title: String,
    /// What there is to tell, the most urgent first.
    pub(crate) parts: Vec<Part>,
    /// Who it is for, and why they get it.
    pub(crate) foot: String,
}

/// What is told of one topic and one cause.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// What happened and why: "Splunk prod does not answer since 2026-11-29 01:51 UTC: 10.0.0.5:8088 refused the connection."
    pub(crate) what: String,
    /// If there are many: since when, and which: "Since 2026-11-29 01:51 UTC: A, B, C and 64 more."
    pub(crate) which: Option<String>,
    /// "What to do: …"
    pub(crate) advice: Option<String>,
    /// Where the page shows it.
    pub(crate) link: Option<String>,
    /// How many notices it stands for.
    pub(crate) notices: usize,
}

impl Part {
    /// Its lines, without the link.
    pub(crate) fn lines(&self) -> Vec<&str> {
        std::iter::once(self.what.as_str()).chain(self.which.as_deref()).chain(self.advice.as_deref()).collect()
    }
}

impl Story {
    /// The story of these notices; there has to be one.
    pub(crate) fn of(place: &Place, notices: &[Notice]) -> Self {
        let groups = groups(notices);
        let parts: Vec<Part> = groups.iter().map(|group| part(place, group)).collect();
        let first = groups.first().map(|group| headline(group)).unwrap_or_default();
        let more: usize = groups.iter().skip(1).map(Vec::len).sum();
        let more = match more {
            0 => String::new(),
            1 => ", and 1 more message".to_owned(),
            more => format!(", and {more} more messages"),
        };
        Self { title: format!("{MARK} {first}{more}"), parts, foot: foot(place) }
    }

    /// A message by which somebody tries a channel.
    pub(crate) fn test(place: &Place, channel: &str) -> Self {
        let name = name(channel);
        let part = Part {
            what: format!("This is a test of the notification channel “{name}”. Nothing is wrong."),
            which: None,
            advice: Some("What to do: nothing. Messages about SIEM connectors will look like this one.".to_owned()),
            link: link(place, ""),
            notices: 1,
        };
        Self { title: format!("{MARK} Test of the channel “{name}”"), parts: vec![part], foot: foot(place) }
    }

    /// Takes as many parts, from the first on, as `fits` says, which is handed each in turn. Says how many notices are then left out.
    pub(crate) fn cut(&mut self, mut fits: impl FnMut(&Part) -> bool) -> Option<String> {
        let kept = self.parts.iter().take_while(|part| fits(part)).count();
        let left: usize = self.parts.drain(kept..).map(|part| part.notices).sum();
        match left {
            0 => None,
            1 => Some("There is 1 more message that is too long for this one. Toktra SIEM shows it.".to_owned()),
            left => {
                Some(format!("There are {left} more messages, too many for this one. Toktra SIEM shows all of them."))
            }
        }
    }
}

fn foot(place: &Place) -> String {
    format!("Sent by Toktra SIEM for the organization {}.", name(&place.org))
}

/// Those of one topic and one cause together, the most urgent first and otherwise in the order in which they came.
fn groups(notices: &[Notice]) -> Vec<Vec<&Notice>> {
    let mut groups: Vec<Vec<&Notice>> = Vec::new();
    let mut places = std::collections::HashMap::new();
    let mut seen = std::collections::HashSet::new();
    for notice in notices {
        // A connector with two streams is one connector for people.
        if notice.connector.is_some_and(|connector| !seen.insert((notice.topic, notice.cause.as_str(), connector))) {
            continue;
        }
        let what = (notice.topic, notice.cause.as_str(), notice.what_of_many.as_str());
        let place = *places.entry(what).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.push(notice),
            None => groups.push(vec![notice]),
        }
    }
    groups.sort_by_key(|group| group.first().map(|notice| urgency(notice.topic)));
    groups
}

/// How urgent a topic is; 0 is the most.
fn urgency(topic: Topic) -> u8 {
    match topic {
        Topic::Expiring | Topic::Disk => 0,
        Topic::Down | Topic::Misconfigured | Topic::Stalled => 1,
        Topic::Certificate | Topic::Key | Topic::Silence => 2,
        Topic::Recovered => 3,
    }
}

/// The start of a title: what is told of the first group, in short.
fn headline(group: &[&Notice]) -> String {
    let Some(first) = group.first() else { return String::new() };
    if group.len() > 1 {
        return many(group, first);
    }
    let subject = name(&first.subject);
    match first.topic {
        Topic::Down => format!("{subject} does not answer"),
        Topic::Misconfigured => format!("{subject}: action needed"),
        // Since when, and after how long, stands below.
        Topic::Recovered => format!("{subject} {}", bare(first.what.split(" since ").next().unwrap_or_default())),
        Topic::Expiring => format!("{subject}: events are about to expire"),
        Topic::Stalled => format!("{subject} makes no progress"),
        Topic::Certificate => format!("{subject}: renew the certificate"),
        Topic::Key => format!("{subject}: renew the API key"),
        Topic::Silence => format!("{subject}: no events received"),
        Topic::Disk => format!("{subject}: disk nearly full"),
    }
}

/// "67 SIEM connectors do not answer".
fn many(group: &[&Notice], first: &Notice) -> String {
    let noun = match first.topic {
        _ if group.iter().all(|notice| notice.connector.is_some()) => "SIEM connectors",
        Topic::Key => "API keys",
        Topic::Certificate => "certificates",
        _ => "organizations",
    };
    format!("{} {noun} {}", group.len(), bare(&first.what_of_many))
}

fn part(place: &Place, group: &[&Notice]) -> Part {
    let Some(first) = group.first() else {
        return Part { what: String::new(), which: None, advice: None, link: None, notices: 0 };
    };
    let happened = match group.len() {
        1 => format!("{} {}", name(&first.subject), bare(&first.what)),
        _ => many(group, first),
    };
    let cause = sentence(&first.cause);
    let what = if cause.is_empty() { format!("{happened}.") } else { format!("{happened}: {cause}") };
    let which = (group.len() > 1).then(|| which(group, first.topic));
    let advice = sentence(&first.advice);
    let same = group.iter().all(|notice| notice.advice == first.advice);
    let about = if same { String::new() } else { format!(" about {}", name(&first.subject)) };
    let advice = (!advice.is_empty()).then(|| format!("What to do{about}: {advice}"));
    Part { what, which, advice, link: link(place, path(group)), notices: group.len() }
}

/// "Since 2026-11-29 01:51 UTC: A, B, C and 64 more."
fn which(group: &[&Notice], topic: Topic) -> String {
    let shown = if group.len() > ALL_NAMED { NAMED } else { group.len() };
    let mut subjects: Vec<String> = group.iter().take(shown).map(|notice| name(&notice.subject)).collect();
    let last = match group.len() - shown {
        0 => subjects.pop().unwrap_or_default(),
        more => format!("{more} more"),
    };
    let names = format!("{} and {last}", subjects.join(", "));
    let at = time(group.iter().map(|notice| notice.at).min().unwrap_or_default());
    match topic {
        Topic::Down | Topic::Misconfigured | Topic::Stalled | Topic::Silence => format!("Since {at}: {names}."),
        Topic::Recovered => format!("From {at} on: {names}."),
        Topic::Expiring | Topic::Certificate | Topic::Key | Topic::Disk => format!("They are: {names}."),
    }
}

/// The page of all of them: their own if it is the same, else the one above it.
fn path<'a>(group: &[&'a Notice]) -> &'a str {
    let Some(first) = group.first() else { return "" };
    if group.iter().all(|notice| notice.path == first.path) {
        return &first.path;
    }
    let above = |path: &'a str| path.rsplit_once('/').map_or("", |(above, _)| above);
    let shared = above(&first.path);
    if group.iter().all(|notice| above(&notice.path) == shared) { shared } else { "" }
}

/// Where the page shows it. What could end an address, or hold one that no browser opens, is left out.
pub(crate) fn link(place: &Place, path: &str) -> Option<String> {
    let base = place.public_url.as_deref()?.trim_end_matches('/');
    let url = url::Url::parse(&format!("{base}{path}")).ok()?;
    let web = matches!(url.scheme(), "https" | "http");
    // What the parser leaves as it is, and what a format could read as its own.
    let text = url.as_str().replace('|', "%7C").replace('(', "%28").replace(')', "%29");
    (web && text.len() <= LINK).then_some(text)
}

/// A name on one line, cut. One of which nothing can be seen is named as such.
pub(crate) fn name(text: &str) -> String {
    let name = cut(text, NAME);
    if name.is_empty() { "(no name)".to_owned() } else { name }
}

/// Sentences on one line, cut, with their full stop.
pub(crate) fn sentence(text: &str) -> String {
    let mut text = cut(text, SENTENCE);
    if !text.is_empty() && !text.ends_with(['.', '!', '?', '…', '”', '"']) {
        text.push('.');
    }
    text
}

/// Part of a sentence, without a full stop.
fn bare(text: &str) -> String {
    cut(text, SENTENCE).trim_end_matches(['.', ' ']).to_owned()
}

/// `text` on one line, without what nobody sees, at most `most` characters long.
pub(crate) fn cut(text: &str, most: usize) -> String {
    // A character has at most four bytes: what is read is enough to see that there is more.
    let clean = sanitise(text, 4 * (most + 2));
    if clean.chars().count() <= most {
        return clean;
    }
    let mut short: String = clean.chars().take(most.saturating_sub(1)).collect();
    short.truncate(short.trim_end().len());
    short.push('…');
    short
}

/// `2026-11-29 01:51 UTC`.
pub(crate) fn time(at: Timestamp) -> String {
    let text = at.to_string();
    let minutes = text.get(..16).unwrap_or(&text).replacen('T', " ", 1);
    format!("{minutes} UTC")
}

#[cfg(test)]
pub(crate) mod tests {
    use toktra_siem_core::ids::ConnectorId;
    use uuid::Uuid;

    use super::*;

    /// Somewhere with a page.
    pub(crate) fn place() -> Place {
        Place { org: "Acme".to_owned(), public_url: Some("https://siem.company.com".to_owned()) }
    }

    /// A connector that does not answer.
    pub(crate) fn down(subject: &str, number: u128) -> Notice {
        let id = Uuid::from_u128(number);
        Notice {
            key: format!("down/{id}/1"),
            topic: Topic::Down,
            thread: format!("connector/{id}"),
            connector: Some(ConnectorId(id)),
            subject: subject.to_owned(),
            at: Timestamp(1_795_917_060_000),
            what: "does not answer since 2026-11-29 01:51 UTC".to_owned(),
            what_of_many: "do not answer".to_owned(),
            cause: "10.0.0.5:8088 refused the connection.".to_owned(),
            advice: "Check whether the receiver is running.".to_owned(),
            path: format!("/integrations/siem/{id}"),
            ends: None,
        }
    }

    /// The same one, which accepts events again.
    pub(crate) fn recovered(subject: &str, number: u128) -> Notice {
        Notice {
            key: format!("recovered/{number}"),
            topic: Topic::Recovered,
            what: "accepts events again since 2026-11-29 02:10 UTC".to_owned(),
            what_of_many: "accept events again".to_owned(),
            cause: String::new(),
            advice: String::new(),
            ..down(subject, number)
        }
    }

    /// What somebody chose to make trouble.
    pub(crate) const HOSTILE: &str = "<!channel> @channel <https://evil.example|click> [click](https://evil.example) *b* `c` <at>x</at> & a\r\nBcc: mallory@evil.example";

    /// A connector of a hostile name, org and cause.
    pub(crate) fn hostile() -> (Place, Vec<Notice>) {
        let long = format!("{HOSTILE} {}", "&<>".repeat(5_000));
        let mut notices = vec![down(HOSTILE, 1), down(&long, 2)];
        for notice in &mut notices {
            notice.cause.clone_from(&long);
            notice.advice.clone_from(&long);
            notice.what.clone_from(&long);
            notice.what_of_many.clone_from(&long);
        }
        (Place { org: HOSTILE.to_owned(), ..place() }, notices)
    }

    fn told(place: &Place, notices: &[Notice]) -> String {
        let story = Story::of(place, notices);
        let part = |part: &Part| {
            let link = part.link.clone().unwrap_or_default();
            format!("{}\n{link}\n", part.lines().join("\n"))
        };
        let parts: Vec<String> = story.parts.iter().map(part).collect();
        format!("{}\n\n{}\n{}", story.title, parts.join("\n"), story.foot)
    }

    #[test]
    fn one_notice_reads_as_one_sentence() {
        insta::assert_snapshot!(told(&place(), &[down("Splunk prod", 1)]));
        let nowhere = Place { public_url: None, ..place() };
        insta::assert_snapshot!(told(&nowhere, &[recovered("Splunk prod", 1)]));
    }

    #[test]
    fn many_of_one_cause_read_as_one() {
        let notices: Vec<Notice> = (1..=67).map(|number| down(&format!("Splunk {number}"), number)).collect();
        insta::assert_snapshot!(told(&place(), &notices));
    }

    #[test]
    fn what_differs_is_told_apart_the_most_urgent_first() {
        let other = Notice {
            cause: "Splunk answered 403: invalid token".to_owned(),
            topic: Topic::Misconfigured,
            ..down("EU", 3)
        };
        let mut expiring = down("US", 4);
        expiring.topic = Topic::Expiring;
        expiring.what = "has 1,200 events that expire at 2026-11-30 01:51 UTC".to_owned();
        expiring.cause = String::new();
        let notices = [recovered("Lab", 9), down("A", 1), down("B", 2), other, expiring];
        insta::assert_snapshot!(told(&place(), &notices));
    }

    #[test]
    fn what_comes_from_outside_stays_on_its_line_and_short() {
        let (place, notices) = hostile();
        for story in [Story::of(&place, &notices), Story::test(&place, HOSTILE)] {
            assert!(!story.title.contains(['\r', '\n']) && story.title.chars().count() < 1_200);
            for part in &story.parts {
                assert!(part.lines().iter().all(|line| !line.contains(['\r', '\n']) && line.chars().count() < 2_000));
            }
        }
    }

    #[test]
    fn links_are_of_the_web_and_hold_nothing_that_ends_one() {
        let at = |base: &str| Place { public_url: Some(base.to_owned()), ..place() };
        assert_eq!(link(&at("https://s.example/"), "/a b|c>").as_deref(), Some("https://s.example/a%20b%7Cc%3E"));
        assert_eq!(link(&at("javascript:alert(1)"), ""), None);
        assert_eq!(link(&at("nothing"), "/x"), None);
        assert_eq!(link(&at("https://s.example"), &"x".repeat(LINK)), None);
    }

    #[test]
    fn times_are_in_utc_and_have_their_date() {
        assert_eq!(time(Timestamp(1_736_937_000_120)), "2025-01-15 10:30 UTC");
    }

    #[test]
    fn a_connector_with_two_streams_is_one_for_people() {
        let (logs, metrics) = (down("Datadog", 1), Notice { key: "another".to_owned(), ..down("Datadog", 1) });
        let story = Story::of(&place(), &[logs.clone(), metrics.clone()]);
        assert_eq!(story.title, "[Toktra SIEM] Datadog does not answer");
        let story = Story::of(&place(), &[logs, metrics, recovered("Splunk", 2)]);
        assert_eq!(story.title, "[Toktra SIEM] Datadog does not answer, and 1 more message");
    }
}
