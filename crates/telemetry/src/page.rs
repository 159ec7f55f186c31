//! The text that Prometheus reads (exposition format 0.0.4): families of one name, each with its help, its type and its samples.

use std::fmt::{Display, Write as _};

use toktra_siem_core::histogram::Reading;

/// The content type of the format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A label of a sample.
pub(super) type Label<'a> = (&'static str, &'a str);

/// A page that is being written. Families follow each other; samples of a family are written before the next one begins.
#[derive(Default)]
pub(super) struct Page {
    text: String,
}

/// A family that is being written.
pub(super) struct Family<'p> {
    text: &'p mut String,
    name: &'static str,
}

impl Page {
    /// What only grows, until the process is started again. The name ends in `_total`.
    pub(super) fn counter(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "counter", help)
    }

    /// What goes up and down.
    pub(super) fn gauge(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "gauge", help)
    }

    /// Observations by size.
    pub(super) fn histogram(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "histogram", help)
    }

    fn family(&mut self, name: &'static str, kind: &str, help: &str) -> Family<'_> {
        // Writing to a string does not fail.
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        Family { text: &mut self.text, name }
    }

    /// The finished page.
    pub(super) fn finish(self) -> String {
        self.text
    }
}

impl Family<'_> {
    /// The only sample of a family without labels.
    pub(super) fn value(&mut self, value: impl Display) {
        self.sample("", &[], None, value);
    }

    /// A sample.
    pub(super) fn with(&mut self, labels: &[Label<'_>], value: impl Display) {
        self.sample("", labels, None, value);
    }

    /// The samples of a histogram.
    pub(super) fn reading(&mut self, labels: &[Label<'_>], reading: &Reading) {
        for (bound, count) in &reading.buckets {
            self.sample("_bucket", labels, Some(&bound.to_string()), count);
        }
        self.sample("_bucket", labels, Some("+Inf"), reading.count);
        self.sample("_sum", labels, None, reading.sum);
        self.sample("_count", labels, None, reading.count);
    }

    fn sample(&mut self, suffix: &str, labels: &[Label<'_>], bound: Option<&str>, value: impl Display) {
        let Self { text, name } = self;
        let _ = write!(text, "{name}{suffix}");
        let labels = labels.iter().copied().chain(bound.map(|bound| ("le", bound)));
        let mut opened = false;
        for (label, value) in labels {
            let _ = write!(text, "{}{label}=\"{}\"", if opened { ',' } else { '{' }, escaped(value));
            opened = true;
        }
        let _ = writeln!(text, "{} {value}", if opened { "}" } else { "" });
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use toktra_siem_core::histogram::Histogram;

    use super::*;

    #[test]
    fn every_kind_of_family_is_written_as_the_format_says() {
        let mut page = Page::default();
        page.counter("a_total", "Things.").value(3);
        let mut gauge = page.gauge("b", "Places.");
        gauge.with(&[("x", "1"), ("y", "a\"b\\c\nd")], 0.5);
        gauge.with(&[("x", "2")], -1);
        let histogram = Histogram::new(&[0.1, 1.0]);
        histogram.observe(0.05);
        histogram.observe(2.0);
        page.histogram("c_seconds", "Times.").reading(&[("x", "1")], &histogram.read());
        insta::assert_snapshot!(page.finish());
    }
}
