//! `POST /v1/siem/filter/preview`: how many, and which, of the last days' events a filter would forward.

use toktra_siem_wire as wire;

use crate::doc::{Doc, Tag};

pub(super) fn preview() -> Doc {
    Doc::new("previewFilter", Tag::Connectors, "Preview a filter")
        .about("How many, and which, of the last days' events it would have forwarded. Nothing is saved.")
        .optional_body::<wire::FilterTrial>("The filter.")
        .ok::<wire::FilterPreview>("What it would have done.")
}
