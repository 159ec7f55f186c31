//! The kinds of fields that a mapping knows: what each takes, and what it refuses as real nodes do (Elasticsearch 7.17 to 9.2, OpenSearch
//! 2.19 and 3.4 were asked).

use jiff::civil::{Date, DateTime};
use serde_json::Value;

use super::Flavour;

/// The longest term in bytes that an index can hold.
const LONGEST_TERM: usize = 32_766;

/// Why a document is refused: the error's type where it is not that of parsing, and its reason.
#[derive(Debug)]
pub(super) struct Misfit {
    pub(super) kind: Option<&'static str>,
    pub(super) reason: String,
}

impl From<String> for Misfit {
    fn from(reason: String) -> Self {
        Self { kind: None, reason }
    }
}

impl Misfit {
    /// The index itself cannot hold the term, which Lucene says after parsing.
    fn immense(field: &str) -> Self {
        let reason = format!("Document contains at least one immense term in field=\"{field}\"");
        Self { kind: Some("illegal_argument_exception"), reason }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Field {
    /// With its own word on what is not mapped below it.
    Object(Option<Dynamic>),
    Flat(Flat),
    Scalar(Scalar),
    /// A type, or `enabled: false`, for which this fake has no rule.
    Unchecked,
}

/// `flattened` or `flat_object`: any object, within limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flat {
    pub(super) kind: &'static str,
    deepest: usize,
    /// In characters; longer values are left out of the index.
    ignore_above: usize,
}

/// One value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scalar {
    kind: Kind,
    ignore_malformed: bool,
    /// Whether a long value is left out of the index instead of refused.
    ignore_above: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Date,
    Text,
    Keyword,
    Long,
    Float,
    Boolean,
}

/// What becomes of fields that are not mapped yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Dynamic {
    #[default]
    Mapped,
    Ignored,
    Refused,
}

impl Dynamic {
    /// What an object's definition says of it.
    pub(super) fn declared(definition: &Value) -> Option<Self> {
        match &definition["dynamic"] {
            Value::String(word) if word == "strict" => Some(Self::Refused),
            Value::String(word) if word == "false" => Some(Self::Ignored),
            Value::Bool(false) => Some(Self::Ignored),
            Value::Null => None,
            _ => Some(Self::Mapped),
        }
    }
}

impl Scalar {
    pub(super) fn name(self) -> &'static str {
        match self.kind {
            Kind::Date => "date",
            Kind::Text => "text",
            Kind::Keyword => "keyword",
            Kind::Long => "long",
            Kind::Float => "float",
            Kind::Boolean => "boolean",
        }
    }

    /// Whether a value that is no object fits; with `ignore_malformed` it is left out of the index instead.
    pub(super) fn takes(self, path: &str, value: &Value) -> Result<bool, Misfit> {
        let fits = match self.kind {
            Kind::Date => is_date(value),
            Kind::Keyword => {
                let immense = value.as_str().is_some_and(|text| text.len() > LONGEST_TERM);
                return if immense && !self.ignore_above { Err(Misfit::immense(path)) } else { Ok(true) };
            }
            Kind::Text => true,
            // Numbers in strings are coerced, fractions of a long are cut off: `coerce` is on by default.
            Kind::Long | Kind::Float => match value {
                Value::Number(_) => true,
                Value::String(text) => text.trim().parse::<f64>().is_ok(),
                _ => false,
            },
            Kind::Boolean => match value {
                Value::Bool(_) => true,
                Value::String(text) => ["true", "false", ""].contains(&text.as_str()),
                _ => false,
            },
        };
        Ok(fits || self.ignore_malformed)
    }
}

impl Flat {
    /// Whether the index can hold every leaf of `value`, an object in the field `name`.
    pub(super) fn takes(&self, name: &str, value: &Value) -> Result<(), Misfit> {
        self.walk(name, "", value, 0)
    }

    fn walk(&self, name: &str, path: &str, value: &Value, depth: usize) -> Result<(), Misfit> {
        match value {
            Value::Object(members) => {
                if depth >= self.deepest {
                    let deepest = self.deepest;
                    return Err(format!(
                        "The provided [flattened] field [{name}] exceeds the maximum depth limit of [{deepest}]."
                    )
                    .into());
                }
                members.iter().try_for_each(|(key, inner)| {
                    if self.kind == "flattened" && key.contains('\0') {
                        let reason =
                            format!("Keys in [flattened] fields cannot contain the reserved character \\0. Offending key: [{key}].");
                        return Err(reason.into());
                    }
                    self.walk(name, &super::mapping::join(path, key), inner, depth + 1)
                })
            }
            Value::Array(values) => values.iter().try_for_each(|inner| self.walk(name, path, inner, depth)),
            Value::String(text) if text.chars().count() <= self.ignore_above => self.leaf(name, path, text.len()),
            Value::String(_) | Value::Null => Ok(()),
            other => self.leaf(name, path, other.to_string().len()),
        }
    }

    fn leaf(&self, name: &str, path: &str, length: usize) -> Result<(), Misfit> {
        if self.kind == "flattened" {
            let keyed = path.len() + 1 + length;
            let reason = || {
                format!(
                    "Flattened field [{name}] contains one immense field whose keyed encoding is longer than the allowed max length of \
                     {LONGEST_TERM} bytes."
                )
            };
            return if keyed > LONGEST_TERM { Err(reason().into()) } else { Ok(()) };
        }
        if length > LONGEST_TERM {
            return Err(Misfit::immense(&format!("{name}._value")));
        }
        if name.len() + 1 + path.len() + 1 + length > LONGEST_TERM {
            return Err(Misfit::immense(&format!("{name}._valueAndPath")));
        }
        Ok(())
    }
}

/// Why an object must not have a member of this name, where it is parsed at all.
pub(super) fn wrong_name(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("field name cannot be an empty string".to_owned());
    }
    if name.chars().all(|c| c == '.') {
        return Some("field name cannot contain only dots".to_owned());
    }
    let blank = |part: &str| part.chars().all(char::is_whitespace);
    name.split('.').any(blank).then(|| format!("field name cannot contain only whitespace: ['{name}']"))
}

/// The field that a template's definition makes.
pub(super) fn declared(definition: &Value) -> Field {
    if definition["enabled"] == Value::Bool(false) {
        return Field::Unchecked;
    }
    let limit = |name: &str| definition[name].as_u64().map(|number| usize::try_from(number).unwrap_or(usize::MAX));
    let scalar = |kind| {
        let ignore_malformed = definition["ignore_malformed"] == Value::Bool(true);
        Field::Scalar(Scalar { kind, ignore_malformed, ignore_above: limit("ignore_above").is_some() })
    };
    match definition["type"].as_str() {
        None | Some("object") => Field::Object(Dynamic::declared(definition)),
        Some("flattened") => Field::Flat(Flat {
            kind: "flattened",
            deepest: limit("depth_limit").unwrap_or(20),
            ignore_above: limit("ignore_above").unwrap_or(usize::MAX),
        }),
        Some("flat_object") => Field::Flat(Flat { kind: "flat_object", deepest: usize::MAX, ignore_above: usize::MAX }),
        Some("date") => scalar(Kind::Date),
        Some("keyword") if definition["index"] == Value::Bool(false) => Field::Unchecked,
        Some("keyword") => scalar(Kind::Keyword),
        Some("text" | "match_only_text" | "wildcard" | "constant_keyword") => scalar(Kind::Text),
        Some("long" | "integer" | "short" | "byte") => scalar(Kind::Long),
        Some("double" | "float" | "half_float" | "scaled_float") => scalar(Kind::Float),
        Some("boolean") => scalar(Kind::Boolean),
        Some(_) => Field::Unchecked,
    }
}

/// The type that dynamic mapping gives a value; `None` for null, which maps nothing.
pub(super) fn natural_type(value: &Value, detect_dates: bool) -> Option<Field> {
    let kind = match value {
        Value::Null | Value::Array(_) => return None,
        Value::Object(_) => return Some(Field::Object(None)),
        Value::Bool(_) => Kind::Boolean,
        Value::Number(number) if number.is_f64() => Kind::Float,
        Value::Number(_) => Kind::Long,
        Value::String(text) if detect_dates && is_iso_date(text) => Kind::Date,
        Value::String(_) => Kind::Text,
    };
    Some(Field::Scalar(Scalar { kind, ignore_malformed: false, ignore_above: false }))
}

/// How deep an array of arrays may be, which OpenSearch limits and Elasticsearch does not.
pub(super) fn deepest_array(flavour: Flavour) -> usize {
    if flavour == Flavour::OpenSearch { 20 } else { usize::MAX }
}

/// `strict_date_optional_time||epoch_millis`, the default format.
fn is_date(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_i64() || number.is_u64(),
        Value::String(text) => is_iso_date(text) || text.parse::<i64>().is_ok(),
        _ => false,
    }
}

fn is_iso_date(text: &str) -> bool {
    let plausible = text.len() >= 10 && text.as_bytes()[4] == b'-' && !text.contains(' ');
    let separated = text.len() == 10 || text.as_bytes().get(10) == Some(&b'T');
    plausible
        && separated
        && (text.parse::<jiff::Timestamp>().is_ok() || text.parse::<DateTime>().is_ok() || text.parse::<Date>().is_ok())
}
