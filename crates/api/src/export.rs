//! The whole of a filtered history in one answer: NDJSON or CSV, page by page from the store, however long it is. What is held in memory
//! is a few pages, and a client that reads slowly slows the reading down.
//!
//! The columns of the CSV are [`COLUMNS`], in RFC 4180 with a header. A spreadsheet takes a cell that begins with `=`, `+`, `-` or `@` for
//! a formula, and what a SIEM answers stands in these cells: such a cell is given a `'` in front.

use std::borrow::Cow;

use axum::response::Response;
use bytes::Bytes;
use http::header::{CONTENT_DISPOSITION, HeaderMap, HeaderValue};
use tokio::sync::mpsc;
use toktra_siem_app::deliveries::{Export, view};
use toktra_siem_core::delivery::Delivery;
use toktra_siem_store::ListedDelivery;

use super::accept::{self, NDJSON};
use super::answer;

/// Pages that wait for a client.
const AHEAD: usize = 2;

/// The columns of the CSV.
const COLUMNS: [&str; 20] = [
    "id",
    "connector_id",
    "stream",
    "trigger",
    "status",
    "event_count",
    "delivered",
    "rejected",
    "attempt_count",
    "probe",
    "window",
    "parent_id",
    "job_id",
    "created_at",
    "next_attempt_at",
    "settled_at",
    "cause_code",
    "cause_message",
    "outage_since",
    "outage_until",
];

/// How an export is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line: what lists show of a delivery.
    Ndjson,
    /// A line for each delivery, in [`COLUMNS`].
    Csv,
}

impl Format {
    /// The one that `Accept` prefers; `None` if that is JSON, or nothing that is known here: then a page is answered as ever.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        accept::preferred(headers, |media_type| match media_type {
            NDJSON => Some(Self::Ndjson),
            "text/csv" => Some(Self::Csv),
            _ => None,
        })
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Ndjson => NDJSON,
            Self::Csv => "text/csv; charset=utf-8; header=present",
        }
    }

    fn file(self) -> &'static str {
        match self {
            Self::Ndjson => "attachment; filename=\"deliveries.ndjson\"",
            Self::Csv => "attachment; filename=\"deliveries.csv\"",
        }
    }

    fn page(self, deliveries: &[ListedDelivery], first: bool) -> Result<Bytes, Broken> {
        match self {
            Self::Ndjson => {
                let mut lines = Vec::new();
                for item in deliveries {
                    serde_json::to_writer(&mut lines, &view(&item.delivery, item.last, item.recovered_by))?;
                    lines.push(b'\n');
                }
                Ok(lines.into())
            }
            Self::Csv => {
                let header = first.then(|| COLUMNS.map(Cow::Borrowed));
                csv(header.into_iter().chain(deliveries.iter().map(|item| row(&item.delivery))))
            }
        }
    }
}

/// Why an export ends before its end. The client sees a broken transfer, never a whole one that lacks its rest.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("the history could not be read: {0}")]
    Store(#[from] toktra_siem_store::StoreError),
    #[error("a delivery could not be written: {0}")]
    Json(#[from] serde_json::Error),
    #[error("a delivery could not be written: {0}")]
    Csv(#[from] ::csv::Error),
}

fn csv<'a>(rows: impl Iterator<Item = [Cow<'a, str>; COLUMNS.len()]>) -> Result<Bytes, Broken> {
    let mut writer = ::csv::WriterBuilder::new().terminator(::csv::Terminator::CRLF).from_writer(Vec::new());
    for row in rows {
        writer.write_record(row.iter().map(|cell| inert(cell).into_owned()))?;
    }
    writer.into_inner().map(Bytes::from).map_err(|error| ::csv::Error::from(error.into_error()).into())
}

/// A cell that no spreadsheet takes for a formula.
fn inert(cell: &str) -> Cow<'_, str> {
    match cell.chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r' | '\0') => Cow::Owned(format!("'{cell}")),
        _ => Cow::Borrowed(cell),
    }
}

fn row(delivery: &Delivery) -> [Cow<'_, str>; COLUMNS.len()] {
    fn shown<'a>(value: &impl ToString) -> Cow<'a, str> {
        Cow::Owned(value.to_string())
    }
    fn optional<'a>(value: Option<&impl ToString>) -> Cow<'a, str> {
        value.map(shown).unwrap_or_default()
    }
    let cause = delivery.cause.as_ref();
    [
        shown(&delivery.id),
        shown(&delivery.stream.connector),
        delivery.stream.kind.as_str().into(),
        delivery.trigger.as_str().into(),
        delivery.status.as_str().into(),
        shown(&delivery.events()),
        shown(&delivery.delivered),
        shown(&delivery.rejected),
        shown(&delivery.attempts),
        shown(&delivery.probe),
        optional(delivery.window.as_ref().map(|window| &window.start)),
        optional(delivery.parent.as_ref()),
        optional(delivery.job.as_ref()),
        shown(&delivery.created_at),
        optional(delivery.due_at.as_ref()),
        optional(delivery.settled_at.as_ref()),
        cause.map(|cause| cause.code.as_ref().into()).unwrap_or_default(),
        cause.map(|cause| cause.message.as_str().into()).unwrap_or_default(),
        optional(delivery.outage.as_ref().map(|outage| &outage.since)),
        optional(delivery.outage.as_ref().and_then(|outage| outage.until.as_ref())),
    ]
}

/// The answer that brings the whole of `export`.
pub fn answer(export: Export, format: Format) -> Response {
    let (pages, taken) = mpsc::channel(AHEAD);
    tokio::spawn(read(export, format, pages));
    let mut response = answer::pieces(format.content_type(), taken);
    response.headers_mut().insert(CONTENT_DISPOSITION, HeaderValue::from_static(format.file()));
    response
}

/// Reads page after page, as fast as the client takes them; ends with it.
async fn read(mut export: Export, format: Format, pages: mpsc::Sender<Result<Bytes, Broken>>) {
    let mut first = true;
    loop {
        let written = match export.next().await {
            Ok(None) => return,
            Ok(Some(deliveries)) => format.page(&deliveries, first),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "an export could not be finished");
                Err(error.into())
            }
        };
        let over = written.is_err();
        if pages.send(written).await.is_err() || over {
            return;
        }
        first = false;
    }
}

#[cfg(test)]
mod tests {
    use http::header::ACCEPT;
    use proptest::prelude::*;

    use super::*;

    fn accepted(value: &'static str) -> Option<Format> {
        Format::of(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(value))]))
    }

    #[test]
    fn the_preferred_known_type_decides_and_what_is_unknown_gets_json() {
        for (value, expected) in [
            ("text/csv", Some(Format::Csv)),
            ("Text/CSV; charset=utf-8, */*;q=0.1", Some(Format::Csv)),
            ("application/x-ndjson", Some(Format::Ndjson)),
            ("text/csv;q=0, application/x-ndjson", Some(Format::Ndjson)),
            ("application/json, text/csv", None),
            ("application/json;q=0.5, text/csv", Some(Format::Csv)),
            ("text/csv ; q=0.2, */*; q=0.1, application/x-ndjson; Q=0.3", Some(Format::Ndjson)),
            ("text/csv;q=0.9, application/json", None),
            ("text/csv;q=0.9;header=present, text/;q, application/x-ndjson;q=high", Some(Format::Ndjson)),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", None),
            ("image/png", None),
            ("", None),
        ] {
            assert_eq!(accepted(value), expected, "{value}");
        }
        assert_eq!(Format::of(&HeaderMap::new()), None);
    }

    proptest! {
        /// Whatever a cell holds, a reader of CSV gets it back, and a spreadsheet sees no formula in it.
        #[test]
        fn cells_come_back_and_are_never_formulas(
            cells in prop::collection::vec(prop::collection::vec("[=+@\t\0-]?[ -~\r\n\u{e9}\"',]{0,12}", COLUMNS.len()), 1..5)
        ) {
            let rows: Vec<[Cow<'_, str>; COLUMNS.len()]> = cells
                .iter()
                .map(|row| std::array::from_fn(|at| Cow::Borrowed(row[at].as_str())))
                .collect();
            let written = csv(rows.into_iter()).unwrap();
            let mut reader = ::csv::ReaderBuilder::new().has_headers(false).from_reader(&written[..]);
            let read: Vec<::csv::StringRecord> = reader.records().collect::<Result<_, _>>().unwrap();
            prop_assert_eq!(read.len(), cells.len());
            for (row, expected) in read.iter().zip(&cells) {
                for (cell, expected) in row.iter().zip(expected) {
                    prop_assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\0']), "{cell:?}");
                    let plain = cell.strip_prefix('\'').filter(|_| cell != expected).unwrap_or(cell);
                    prop_assert_eq!(plain, expected);
                }
            }
        }
    }
}
