//! `GET /v1/siem/platforms`: what can be connected, and what each platform wants to know. Whoever makes a form, a command line or a script of
//! it needs to know no platform.

use toktra_siem_platform::{Descriptor, Field, Registry};
use toktra_siem_store::Scope;
use toktra_siem_wire as wire;

use crate::{App, Caller, Result};

/// `GET /v1/siem/platforms`.
#[expect(clippy::unused_async, reason = "asked like every other use case")]
pub async fn list(app: &App, caller: &Caller) -> Result<wire::Platforms> {
    caller.needs(Scope::SiemRead)?;
    let registry = &app.parts.registry;
    let items = registry.descriptors().map(|descriptor| platform(registry, descriptor)).collect();
    Ok(wire::Platforms { items })
}

fn platform(registry: &Registry, descriptor: &Descriptor) -> wire::PlatformDescription {
    wire::PlatformDescription {
        id: descriptor.id,
        label: descriptor.label.to_owned(),
        leads_to: descriptor.leads_to.to_owned(),
        needs: descriptor.needs.iter().map(|need| (*need).to_owned()).collect(),
        preparation: descriptor.preparation.to_owned(),
        fields: registry.fields(descriptor.id).map(field).collect(),
        streams: descriptor.streams.to_vec(),
        recognises_duplicates: descriptor.recognises,
        icon: format!("<svg viewBox=\"0 0 16 16\" width=\"16\" height=\"16\">{}</svg>", descriptor.icon),
    }
}

fn field(field: &Field) -> wire::PlatformField {
    wire::PlatformField {
        name: field.name.to_owned(),
        label: field.label.to_owned(),
        kind: field.kind.word().to_owned(),
        secret: field.is_secret(),
        required: field.required,
        unless: field.unless.map(|unless| wire::FieldUnless {
            setting: unless.choice.to_owned(),
            values: unless.words.iter().map(|word| (*word).to_owned()).collect(),
        }),
        default: field.default_value(),
        help: field.help.to_owned(),
        limits: field.limits_told(),
    }
}
