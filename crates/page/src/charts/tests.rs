//! Whatever the numbers are: a chart is well formed, stays within its frame, and says what it shows.

use std::time::Duration;

use proptest::prelude::*;
use toktra_siem_core::time::Timestamp;

use super::*;
use crate::show::Html;

const NOON: Timestamp = Timestamp(1_736_942_400_000);

/// What is wrong with a piece of HTML as XML, if anything.
fn fault(html: &str) -> Option<String> {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        if let Some(text) = bare(&rest[..start]) {
            return Some(text);
        }
        let Some(end) = rest[start..].find('>') else { return Some("a tag does not end".to_owned()) };
        let tag = &rest[start + 1..start + end];
        rest = &rest[start + end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            if open.pop() != Some(name) {
                return Some(format!("</{name}> closes what is not open"));
            }
            continue;
        }
        let (name, attributes) = tag.trim_end_matches('/').split_once(' ').unwrap_or((tag.trim_end_matches('/'), ""));
        if attributes.matches('"').count() % 2 != 0 || attributes.contains(" style=") || attributes.contains(" on") {
            return Some(format!("attributes of <{tag}>"));
        }
        if !tag.ends_with('/') {
            open.push(name);
        }
    }
    bare(rest).or_else(|| open.pop().map(|name| format!("<{name}> is not closed")))
}

/// What is no text.
fn bare(text: &str) -> Option<String> {
    let entity = |rest: &str| ["amp;", "lt;", "gt;", "quot;", "#39;"].iter().any(|known| rest.starts_with(known));
    let loose = text.contains('>') || text.split('&').skip(1).any(|rest| !entity(rest));
    loose.then(|| format!("in the text {text:?}"))
}

/// The values of an attribute.
fn attributes<'a>(html: &'a str, name: &str) -> Vec<&'a str> {
    let start = format!(" {name}=\"");
    html.split(&start).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

fn number(text: &str) -> f64 {
    let n: f64 = text.parse().unwrap_or_else(|_| panic!("{text:?} is no number"));
    assert!(n.is_finite(), "{text}");
    n
}

/// Every coordinate is a number within the frame.
fn within(svg: &str, width: f64, height: f64) {
    let near = |n: f64, end: f64| assert!((-0.01..=end + 0.02).contains(&n), "{n} is outside of 0..{end} in {svg}");
    let rects = svg.split("<rect").skip(1);
    for rect in rects {
        let of = |name| number(attributes(rect, name)[0]);
        near(of("x"), width);
        near(of("y"), height);
        near(of("x") + of("width"), width);
        near(of("y") + of("height"), height);
        assert!(of("width") >= 0.0 && of("height") >= 0.0);
    }
    for path in attributes(svg, "d") {
        let spaced: String =
            path.chars().flat_map(|c| if c.is_ascii_alphabetic() { vec![' ', c, ' '] } else { vec![c] }).collect();
        let mut words = spaced.split_whitespace();
        while let Some(command) = words.next() {
            let mut next = || number(words.next().unwrap());
            match command {
                "M" | "L" => {
                    near(next(), width);
                    near(next(), height);
                }
                "H" => near(next(), width),
                "V" => near(next(), height),
                "Z" => {}
                other => panic!("{other:?} is no command that charts use"),
            }
        }
    }
}

fn svg(html: &str) -> &str {
    let start = html.find("<svg").unwrap();
    &html[start..html.find("</svg>").unwrap()]
}

/// Small numbers, none, and all that there are.
fn numbers() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 0..50_u64, 0..1_000_000_u64, any::<u64>()]
}

fn buckets() -> impl Strategy<Value = Vec<Bucket>> {
    let one =
        (numbers(), numbers(), numbers(), numbers(), proptest::option::of(numbers()), proptest::option::of(numbers()));
    proptest::collection::vec(one, 0..70).prop_map(|all| {
        let bucket = |(n, (delivered, failed, rejected, lag, p50_ms, p99_ms))| {
            let at = NOON.plus(Duration::from_mins(30 * n));
            Bucket { at, delivered, failed, rejected, lag, p50_ms, p99_ms }
        };
        (0_u64..).zip(all).map(bucket).collect()
    })
}

proptest! {
    #[test]
    fn charts_are_well_formed_and_within_their_frame(buckets in buckets(), seconds in 0..2_000_000_u64) {
        let steps = Steps { buckets, step: Duration::from_secs(seconds) };
        for chart in [outcomes(&steps), latency(&steps), lag(&steps)] {
            let html = chart.as_str();
            prop_assert_eq!(fault(html), None, "{}", html);
            prop_assert!(!html.contains("NaN") && !html.contains("inf"));
            if html.contains("<svg") {
                within(svg(html), parts::WIDTH, parts::HEIGHT);
                prop_assert!(html.contains("role=\"img\"><title>") && html.contains("<desc>"));
            } else {
                prop_assert!(html.contains("in this time."));
            }
        }
        prop_assert_eq!(fault(table(&steps).as_str()), None);
    }

    #[test]
    fn sparklines_are_well_formed_and_within_their_frame(bars in proptest::collection::vec((numbers(), numbers()), 0..300)) {
        let bars: Vec<Bar> = bars.into_iter().map(|(delivered, failed)| Bar { delivered, failed }).collect();
        let line = sparkline(&bars, "a <day> & a night");
        prop_assert_eq!(fault(line.as_str()), None);
        within(svg(line.as_str()), 120.0, 24.0);
    }
}

#[test]
fn the_check_for_well_formed_html_finds_faults() {
    for (html, well) in [
        ("<p class=\"a\">1 &amp; 2</p>", true),
        ("<svg><path d=\"M0 0\"/></svg>", true),
        ("<p>1 & 2</p>", false),
        ("<p><b></p></b>", false),
        ("<p", false),
        ("<p>", false),
        ("<p class=\"a>x</p>", false),
        ("<p id=\"a\" style=\"color:red\">x</p>", false),
        ("a > b", false),
    ] {
        assert_eq!(fault(html).is_none(), well, "{html}: {:?}", fault(html));
    }
}

/// A morning: quiet, busy, an outage, and what it left behind.
fn morning() -> Steps {
    let step = Duration::from_hours(6);
    let bucket = |n: u64, delivered, failed, rejected, lag, times: Option<(u64, u64)>| Bucket {
        at: NOON.plus(step * u32::try_from(n).unwrap()),
        delivered,
        failed,
        rejected,
        lag,
        p50_ms: times.map(|(p50, _)| p50),
        p99_ms: times.map(|(_, p99)| p99),
    };
    let buckets = vec![
        bucket(0, 0, 0, 0, 0, None),
        bucket(1, 1_204, 3, 0, 12, Some((120, 900))),
        bucket(2, 0, 40, 0, 312, None),
        bucket(3, 800, 0, 1, 312, Some((140, 61_000))),
    ];
    Steps { buckets, step }
}

#[test]
fn charts_say_what_they_show() {
    let steps = morning();
    let shown =
        [outcomes(&steps), latency(&steps), lag(&steps), table(&steps)].map(|html| html.as_str().replace("><", ">\n<"));
    insta::assert_snapshot!(shown.join("\n\n"));
}

#[test]
fn a_sparkline_says_what_it_shows() {
    let bar = |delivered, failed| Bar { delivered, failed };
    let lines = [vec![bar(10, 0), bar(0, 0), bar(1_000, 1), bar(0, 4)], vec![bar(1, 0)], vec![bar(0, 0); 3], vec![]];
    let shown = lines.map(|bars| sparkline(&bars, "the last 24 hours").as_str().replace("><", ">\n<"));
    insta::assert_snapshot!(shown.join("\n\n"));
}

#[test]
fn where_nothing_happened_a_sentence_says_so() {
    let steps = Steps {
        buckets: vec![Bucket { at: NOON, delivered: 0, failed: 0, rejected: 0, lag: 0, p50_ms: None, p99_ms: None }],
        step: Duration::from_hours(1),
    };
    for chart in [outcomes(&steps), latency(&steps)] {
        assert!(chart.as_str().contains("Nothing was delivered in this time."), "{chart}");
    }
    assert!(lag(&steps).as_str().contains("Nothing waited in this time."));
    assert_eq!(table(&steps), Html::default());
}
