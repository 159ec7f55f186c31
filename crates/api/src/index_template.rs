//! `POST …/index-template`: puts the built-in template of a platform that has one in place now (product spec, "Elasticsearch index template").

use toktra_siem_wire as wire;

use crate::doc::{Doc, Tag};
use crate::error::Code;

pub(super) fn apply() -> Doc {
    Doc::new("applyIndexTemplate", Tag::Connectors, "Create index template")
        .once()
        .about("Creates or updates the built-in template of a connector whose platform has one at its cluster, now.")
        .optional_body::<wire::NoMembers>("Nothing.")
        .ok::<wire::IndexTemplate>("What became of it.")
        .error(409, Code::Conflict, "The connector is of a platform that has no index template.")
        .error(502, Code::Unavailable, "The cluster could not be reached, or its answer was no use.")
}
