//! `GET /v1/siem/platforms`: what can be connected, and what each platform wants to know. Whoever makes a form, a command line or a script of
//! it needs to know no platform.

use axum::extract::State;
use axum::response::Response;
use http::{StatusCode, Uri};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use toktra_siem_core::ids::{PlatformId, StreamKind};
use toktra_siem_platform::{Descriptor, Field, Registry};

use super::answer;
use super::error::Result;
use super::query::Query;
use super::state::AppState;

/// `GET /v1/siem/platforms`.
pub(super) async fn list(State(state): State<AppState>, uri: Uri) -> Result<Response> {
    Query::of(&uri).finish()?;
    let registry = &state.parts.registry;
    let items = registry.descriptors().map(|descriptor| PlatformView::of(registry, descriptor)).collect();
    Ok(answer::json(StatusCode::OK, &Platforms { items }))
}

/// What can be connected.
#[derive(Serialize, JsonSchema)]
struct Platforms {
    /// Each platform, in the order in which people see them.
    items: Vec<PlatformView>,
}

/// A platform that events can go to.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PlatformDescription")]
struct PlatformView {
    /// The word that stands for it.
    id: PlatformId,
    /// How it writes its own name.
    label: &'static str,
    /// What a connector leads to.
    leads_to: &'static str,
    /// What somebody has to have at hand, item by item.
    needs: Vec<&'static str>,
    /// Where what is needed is found there; whole sentences.
    preparation: &'static str,
    /// Its settings: the members of `config`.
    fields: Vec<FieldView>,
    /// The streams of a connector.
    streams: Vec<StreamKind>,
    /// Whether it takes an event that it has already for the same one, so that sending it again doubles nothing.
    recognises_duplicates: bool,
    /// Its mark, as an SVG.
    icon: String,
}

/// A setting of a platform.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PlatformField")]
struct FieldView {
    /// The name of the member of `config`.
    name: &'static str,
    /// What people call it.
    label: &'static str,
    /// What it takes: `url`, `text`, `secret`, `boolean`, `number`, `choice` or `pem`.
    kind: &'static str,
    /// Whether its value is never shown.
    secret: bool,
    /// Whether a connector cannot be without it.
    required: bool,
    /// What applies where nothing is given; not there where nothing does.
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<Value>,
    /// What it does.
    help: &'static str,
    /// What limits its values: `minimum` and `maximum` of a number, the `values` of a choice, `max_length` and `pattern` of a text.
    #[schemars(with = "Map<String, Value>")]
    limits: Value,
}

impl PlatformView {
    fn of(registry: &Registry, descriptor: &Descriptor) -> Self {
        Self {
            id: descriptor.id,
            label: descriptor.label,
            leads_to: descriptor.leads_to,
            needs: descriptor.needs.to_vec(),
            preparation: descriptor.preparation,
            fields: registry.fields(descriptor.id).map(FieldView::of).collect(),
            streams: descriptor.streams.to_vec(),
            recognises_duplicates: descriptor.recognises,
            icon: format!("<svg viewBox=\"0 0 16 16\" width=\"16\" height=\"16\">{}</svg>", descriptor.icon),
        }
    }
}

impl FieldView {
    fn of(field: &Field) -> Self {
        Self {
            name: field.name,
            label: field.label,
            kind: field.kind.word(),
            secret: field.is_secret(),
            required: field.required,
            default: field.default_value(),
            help: field.help,
            limits: field.limits_told(),
        }
    }
}

/// What this route says of itself.
pub(super) mod doc {
    use super::super::doc::{Doc, Tag};
    use super::Platforms;

    pub(crate) fn list() -> Doc {
        Doc::new("listPlatforms", Tag::Connectors, "List the platforms that can be connected")
            .about("Each with its settings: what they take, whether they are secret or required, their defaults and limits.")
            .ok::<Platforms>("Every platform.")
    }
}
