//! The effective configuration, for `config check`: each setting with its value and where that comes from. Secrets only ever say that
//! they are set.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use super::settings::Kind;
use super::source::{Given, Values};
use super::{Place, settings};

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The key in the file.
    pub key: String,
    /// The variable.
    pub variable: String,
    /// `None` where nothing is set. A secret is shown as [`MASK`].
    pub value: Option<String>,
    /// The variable, the line of the file, or `default`.
    pub source: String,
}

/// What stands for a secret.
pub const MASK: &str = "(set)";

/// Whether this is the path of a file that is there, or begins as a certificate.
fn is_plain(text: &str) -> bool {
    text.trim_start().starts_with("-----BEGIN CERTIFICATE-----\n") || Path::new(text.trim()).is_file()
}

/// Every setting of the service and of the connectors that are described, as it holds.
pub fn lines(values: &Values) -> Vec<Line> {
    let line = |setting: &settings::Setting| {
        let given = values.get(setting);
        let text = given.map(Given::expose).or(setting.default);
        // A multi-line value (a certificate) would drown the rest.
        let short = |text: &str| {
            let first = text.lines().next().unwrap_or_default().replace(char::is_control, "\u{fffd}");
            first + if text.lines().nth(1).is_some() { " …" } else { "" }
        };
        // An address may have a password in it, and what is no certificate may be a key; where it may, it is not shown either.
        let masked = |text: &str| match setting.kind {
            Kind::Proxy => text.contains('@'),
            Kind::Pem if !is_plain(text) => true,
            _ => text.contains('@') && text.contains("://"),
        };
        let masked = setting.secret || text.is_some_and(masked);
        let keys = text.filter(|_| setting.kind == Kind::Keys).map_or(1, |text| text.split(',').count());
        let value = text.map(|text| match keys {
            _ if !masked => short(text),
            1 => MASK.to_owned(),
            several => format!("{MASK}, {several} keys"),
        });
        let source = given.map_or(&Place::Default, |given| &given.place).to_string();
        Line { key: setting.key.to_string(), variable: setting.variable.to_string(), value, source }
    };
    // The defaults of a connector that nobody described do not hold anywhere.
    let table = &values.table;
    let described = table.registry().descriptors().map(|platform| platform.id);
    let described = described.filter(|platform| table.of_platform(*platform).any(|s| values.get(s).is_some()));
    let platforms = described.flat_map(|platform| table.of_platform(platform));
    settings::SERVICE.iter().chain(settings::SIGNING).chain(platforms).map(line).collect()
}

/// The same for people: what is set first, then, in one line each, what could be.
pub fn text(values: &Values) -> String {
    let lines = lines(values);
    let width = |pick: fn(&Line) -> usize| lines.iter().map(pick).max().unwrap_or(0);
    let keys = width(|line| line.key.len());
    let mut text = String::new();
    for line in lines.iter().filter(|line| line.value.is_some()) {
        let value = line.value.as_deref().unwrap_or_default();
        let _ = writeln!(text, "{:keys$} = {value:32} # {}", line.key, line.source);
    }
    text.push_str("\nNot set (variable that would):\n");
    for line in lines.iter().filter(|line| line.value.is_none()) {
        let _ = writeln!(text, "{:keys$}   {}", line.key, line.variable);
    }
    text
}
