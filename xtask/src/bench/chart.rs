//! The figures as a picture: bars of the medians with their spread, readable on light and on dark ground.

use std::fmt::Write as _;

use super::cases::Table;
use super::figures::{Figure, Spread};
use super::report::{Measured, Report};

/// What the picture shows of the cases of a table, one chart below the other.
const CHARTS: &[(Table, Figure, &str)] = &[
    (Table::Flow, Figure::Delivered, "Delivered, events a second"),
    (Table::Flow, Figure::Cpu, "Processor time of the server for each event"),
    (Table::Paced, Figure::ArrivedP99, "From accepted to received, 99th percentile"),
];
/// Width of the picture, of its titles, and of the longest bar.
const WIDTH: f64 = 860.0;
const TITLES: f64 = 370.0;
const LONGEST: f64 = 290.0;
/// Height of a bar with the gap below it.
const STEP: f64 = 22.0;
const BAR: f64 = 14.0;

/// The picture.
pub(super) fn svg(report: &Report) -> String {
    let (mut body, mut y) = (String::new(), 0.0);
    for (table, figure, title) in CHARTS {
        let cases = report.cases.iter().filter(|measured| measured.is_of(*table));
        let bars: Vec<_> = cases.flat_map(|measured| bars(measured, *figure)).collect();
        if !bars.is_empty() {
            chart(*figure, title, &bars, &mut body, &mut y);
        }
    }
    // Colours of the frame of the page follow the reader's choice, in a picture as well.
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y:.0}\" font-family=\"system-ui, sans-serif\" font-size=\"12\">\n\
         <style>text {{ fill: #1f2328 }} .spread {{ stroke: #1f2328 }} .s0 {{ fill: #4c8dd6 }} .s1 {{ fill: #d68a3c }} .s2 {{ fill: #5aa469 }}\n\
         @media (prefers-color-scheme: dark) {{ text {{ fill: #e6edf3 }} .spread {{ stroke: #e6edf3 }} }}</style>\n{body}</svg>\n"
    )
}

/// A bar: its title, its colour, its figure.
type Bar = (String, usize, Spread);

fn bars(measured: &Measured, figure: Figure) -> Vec<Bar> {
    let spread = |(number, server): (usize, &super::report::Server)| {
        server.figures.spread(figure).map(|spread| (measured.title(number), number % 3, spread))
    };
    measured.servers.iter().enumerate().filter_map(spread).collect()
}

fn chart(figure: Figure, title: &str, bars: &[Bar], body: &mut String, y: &mut f64) {
    let most = bars.iter().map(|(_, _, spread)| spread.most).fold(f64::MIN_POSITIVE, f64::max);
    let x = |value: f64| TITLES + value / most * LONGEST;
    *y += 2.0 * STEP;
    // Writing to a `String` cannot fail.
    let _ = writeln!(body, "<text x=\"0\" y=\"{:.0}\" font-weight=\"600\">{}</text>", *y - 8.0, escaped(title));
    for (title, colour, spread) in bars {
        let (middle, base) = (*y + BAR / 2.0, *y + BAR - 3.0);
        let _ = writeln!(
            body,
            "<text x=\"{:.0}\" y=\"{base:.0}\" text-anchor=\"end\">{}</text>",
            TITLES - 8.0,
            escaped(title)
        );
        let _ = writeln!(
            body,
            "<rect class=\"s{colour}\" x=\"{TITLES}\" y=\"{:.0}\" width=\"{:.1}\" height=\"{BAR}\" rx=\"2\"/>",
            *y,
            x(spread.median) - TITLES
        );
        if spread.most > spread.least {
            let (from, to) = (x(spread.least), x(spread.most));
            let _ = writeln!(
                body,
                "<line class=\"spread\" x1=\"{from:.1}\" x2=\"{to:.1}\" y1=\"{middle:.0}\" y2=\"{middle:.0}\"/>"
            );
        }
        let told = figure.told(Spread { least: spread.median, most: spread.median, ..*spread });
        let _ =
            writeln!(body, "<text x=\"{:.1}\" y=\"{base:.0}\">{told}</text>", x(spread.most.max(spread.median)) + 8.0);
        *y += STEP;
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::tests::sample;

    #[test]
    fn every_case_and_server_has_a_bar_and_what_varied_shows_how_far() {
        let picture = svg(&sample());
        assert_eq!(picture.matches("<rect").count(), 8);
        assert_eq!(picture.matches("<line").count(), 4, "the second server never varied");
        assert!(picture.contains("after &amp; later") && picture.contains("prefers-color-scheme: dark"));
        assert!(!picture.contains("99th percentile"), "nothing was measured of it");
    }
}
