//! `GET /v1/siem/platforms`: what can be connected, and what each platform wants to know. Whoever makes a form, a command line or a script of
//! it needs to know no platform.

use toktra_siem_wire as wire;

use crate::doc::{Doc, Tag};

pub(super) fn list() -> Doc {
    Doc::new("listPlatforms", Tag::Connectors, "List the platforms that can be connected")
        .about(
            "Each with its settings: what they take, whether they are secret or required, their defaults and limits.",
        )
        .ok::<wire::Platforms>("Every platform.")
}
