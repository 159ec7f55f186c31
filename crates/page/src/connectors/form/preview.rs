//! What a filter would have let through: "would have forwarded N of the last 7 days' events", and by which rule the others stay behind.

use axum::response::Response;
use http::Uri;
use serde_json::{Value, json};
use toktra_siem_app::{Object, preview};
use toktra_siem_core::filter::Filter;
use toktra_siem_wire::FilterPreview;

use super::draft;
use crate::answer::Result;
use crate::form::Form;
use crate::show;
use crate::visitor::Visitor;
use crate::words;

/// `GET /integrations/siem/filter/preview?severity=…&event_types=…`: the sentence alone.
pub(crate) async fn show(visitor: Visitor, uri: Uri) -> Result<Response> {
    let form = Form::parse(uri.query().unwrap_or_default().as_bytes());
    let sentence = match draft::nothing_chosen(&form) {
        Some(fault) => fault.to_owned(),
        None => of(&visitor, &draft::filter(&form)).await?,
    };
    let mut response = Response::new(axum::body::Body::from(show::escaped(&sentence)));
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/html; charset=utf-8"));
    Ok(response)
}

/// The sentence for a filter.
pub(super) async fn of(visitor: &Visitor, filter: &Value) -> Result<String> {
    let body = json!({ "filter": filter });
    let preview = preview::preview(visitor.app(), visitor.caller(), Object::of(&body)).await?;
    let filter: Filter = serde_json::from_value(filter.clone()).unwrap_or_default();
    Ok(sentence(&filter, &preview))
}

fn sentence(filter: &Filter, preview: &FilterPreview) -> String {
    let FilterPreview { days, total, matching, .. } = *preview;
    if total == 0 {
        return format!("No events came in during the last {days} days, so there is nothing to try the filter on yet.");
    }
    let text = format!(
        "Would have forwarded {} of the last {days} days' {}.",
        show::count(matching),
        show::counted(total, "event", "events")
    );
    if matching == total {
        return text;
    }
    // As the filter itself decides: severity first, then the type.
    let (mut by_severity, mut by_type, mut words) = (0, 0, Vec::new());
    for of in &preview.by_severity {
        let refused = of.total.saturating_sub(of.matching);
        if filter.severity.is_empty() || filter.severity.contains(&of.severity) {
            by_type += refused;
        } else if refused > 0 {
            by_severity += refused;
            words.push(words::severity(of.severity).to_lowercase());
        }
    }
    let mut rules = Vec::new();
    if by_severity > 0 {
        rules.push(format!("{} by severity ({})", show::count(by_severity), words.join(", ")));
    }
    if by_type > 0 {
        rules.push(format!("{} by event type", show::count(by_type)));
    }
    format!("{text} Left out: {}.", rules.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(filter: Value, by_severity: &[(&str, u64, u64)]) -> String {
        let of = |(severity, total, matching): &(&str, u64, u64)| json!({ "severity": severity, "total": total, "matching": matching });
        let sum = |of: fn(&(&str, u64, u64)) -> u64| by_severity.iter().map(of).sum::<u64>();
        let preview = json!({
            "days": 7, "total": sum(|of| of.1), "matching": sum(|of| of.2), "since": "2025-01-15T10:30:00Z",
            "by_event_type": [], "sample": [], "by_severity": by_severity.iter().map(of).collect::<Vec<_>>(),
        });
        sentence(&serde_json::from_value(filter).unwrap(), &serde_json::from_value(preview).unwrap())
    }

    #[test]
    fn it_says_how_many_and_by_which_rule_the_others_stay_behind() {
        assert_eq!(
            said(json!({}), &[]),
            "No events came in during the last 7 days, so there is nothing to try the filter on yet."
        );
        assert_eq!(said(json!({}), &[("low", 1, 1)]), "Would have forwarded 1 of the last 7 days' 1 event.");
        let filter = json!({ "severity": ["high"], "event_types": ["anomaly"] });
        assert_eq!(
            said(filter, &[("low", 1_800, 0), ("medium", 2, 0), ("high", 100, 40)]),
            "Would have forwarded 40 of the last 7 days' 1,902 events. Left out: 1,802 by severity (low, medium), 60 by event type."
        );
    }
}
