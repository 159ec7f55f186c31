//! What the routes of connectors say of themselves.

use toktra_siem_wire as wire;

use crate::doc::{Doc, Tag};
use crate::error::Code;

pub(super) const READ_ONLY: &str = "The connector is managed by the environment, and read-only here.";
const NAME_TAKEN: &str = "The org has a connector of this name already.";
pub(crate) const FORBIDDEN: &str =
    "It leads where the service does not connect to, such as a private network, or plain `http`.";

pub(crate) fn list() -> Doc {
    Doc::new("listConnectors", Tag::Connectors, "List connectors")
        .paged()
        .ok::<wire::List<wire::Connector>>("A page of connectors, oldest first.")
}

pub(crate) fn create() -> Doc {
    Doc::new("createConnector", Tag::Connectors, "Create a connector").once()
        .about("It forwards what matches its filter from now on, once it is active.")
        .body::<wire::NewConnector>("The connector.")
        .created::<wire::Connector>(
            "The connector was created. If its signing secret was created as well, this answer is the only one that shows it.",
        )
        .etag()
        .sets("Location", "The connector's path.")
        .error(403, Code::DestinationForbidden, FORBIDDEN)
        .error(409, Code::Conflict, NAME_TAKEN)
}

pub(crate) fn get() -> Doc {
    Doc::new("getConnector", Tag::Connectors, "Show a connector").ok::<wire::Connector>("The connector.").etag()
}

pub(crate) fn change() -> Doc {
    Doc::new("updateConnector", Tag::Connectors, "Change a connector")
        .about(
            "A filter applies to events that are accepted from then on. Any change closes the breakers of its streams.",
        )
        .if_match()
        .optional_body::<wire::ConnectorChange>("What is to change.")
        .ok::<wire::ConnectorChanged>("The connector as it is now.")
        .etag()
        .error(403, Code::DestinationForbidden, FORBIDDEN)
        .error(409, Code::Conflict, NAME_TAKEN)
        .error(409, Code::Conflict, READ_ONLY)
}

pub(crate) fn delete() -> Doc {
    Doc::new("deleteConnector", Tag::Connectors, "Remove a connector")
        .about("Gives up what waits for it.")
        .if_match()
        .ok::<wire::ConnectorRemoved>("It is gone.")
        .error(409, Code::Conflict, READ_ONLY)
}

pub(crate) fn compare() -> Doc {
    Doc::new("compareConnectorSecrets", Tag::Connectors, "Compare secrets")
        .about(
            "Takes the members of a change and names the secrets among them that differ from the stored ones, so that a tool knows whether \
             it has to write them. Nothing is changed. Each connector allows 30 comparisons a minute; more are answered with 429.",
        )
        .optional_body::<wire::ConnectorChange>("A change with secrets.")
        .ok::<wire::SecretsCompared>("The secrets that differ.")
}

pub(crate) fn rotate() -> Doc {
    Doc::new("rotateSigningSecret", Tag::Connectors, "Rotate signing secret").once()
        .about(
            "From now on requests carry `X-Toktra-Signature` (old secret) and `X-Toktra-Signature-Next` (new secret), until the new one \
             is activated or the grace period ends; then the new one signs alone.",
        )
        .if_match()
        .optional_body::<wire::RotationInput>("How it is to go.")
        .ok::<wire::RotationBegun>("Both secrets sign. This answer is the only one that shows the new one.")
        .etag()
        .error(409, Code::Conflict, "A change is under way already and `replace` is not set, or the connector has no signing secret of its own.")
        .error(409, Code::Conflict, READ_ONLY)
}

pub(crate) fn cancel() -> Doc {
    Doc::new("cancelSigningSecret", Tag::Connectors, "Cancel rotation of signing secret")
        .about("Discards the new secret. The current one goes on signing alone.")
        .once()
        .if_match()
        .optional_body::<wire::NoMembers>("Nothing.")
        .ok::<wire::RotationEnded>("The current secret signs alone.")
        .etag()
        .error(409, Code::Conflict, "No change is under way.")
        .error(409, Code::Conflict, READ_ONLY)
}

pub(crate) fn activate() -> Doc {
    Doc::new("activateSigningSecret", Tag::Connectors, "Activate new signing secret")
        .once()
        .if_match()
        .optional_body::<wire::NoMembers>("Nothing.")
        .ok::<wire::RotationEnded>("The new secret signs alone.")
        .etag()
        .error(409, Code::Conflict, "No change is under way.")
        .error(409, Code::Conflict, READ_ONLY)
}
