//! What goes wrong for somebody who looks at the page, and how it is said: what happened, the likeliest cause, the next step.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::Value;
use toktra_siem_app::Refusal;
use toktra_siem_core::fault::{FaultCode, FieldFault};

use super::icon::Icon;

/// Why a page cannot be shown, or a wish not be granted.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PageError {
    /// It was refused; the sentence is for people already.
    #[error("{}", .0.message)]
    Refused(Refusal),
    /// Nobody is logged in, or not any more.
    #[error("there is no session")]
    LoggedOut,
    /// There is no such page.
    #[error("there is no such page")]
    Missing,
    /// It could not be told that the form was this page's own: title and sentence.
    #[error("{0}")]
    Foreign(&'static str),
    /// The request is none that the page makes.
    #[error("{1}")]
    Unreadable(StatusCode, &'static str),
    /// Our own failure, which is in the log.
    #[error("the page could not be made")]
    Broken,
}

impl From<Refusal> for PageError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// What stands beside the field of the member at `pointer`.
pub fn of_field(refusal: &Refusal, pointer: &str) -> Option<String> {
    refusal.fields.iter().find(|fault| fault.pointer == pointer).map(beside)
}

/// The page's words for a fault, as they stand beside its field. The page's one table of them; what has no words of its own here is said in
/// the API's.
pub fn beside(fault: &FieldFault) -> String {
    labelled(fault, None)
}

/// The same beside a field that has this label.
pub fn labelled(fault: &FieldFault, label: Option<&str>) -> String {
    let figure = |name: &str| fault.parameters.get(name).and_then(Value::as_u64);
    match (fault.code, figure("min"), figure("max")) {
        // What else the API says of it, such as why it is needed, is worth reading.
        (FaultCode::Missing, ..) if fault.bare() == "is missing" => format!("Enter {}.", wanted(fault, label)),
        (FaultCode::Null, ..) => format!("Enter {}.", wanted(fault, label)),
        (FaultCode::Invalid, ..) if fault.bare() == "is empty" => format!("Enter {}.", wanted(fault, label)),
        (FaultCode::Length, Some(min), Some(max)) if fault.pointer == "/name" => {
            format!("Enter {} ({min}–{max} characters).", wanted(fault, label))
        }
        // The API speaks of its members; here they have labels.
        (FaultCode::Conflict, ..) if fault.pointer == "/from" => "The range ends before it begins.".to_owned(),
        (FaultCode::Range, Some(min), Some(max)) => format!("Enter a whole number from {min} to {max}."),
        _ => sentence(fault.bare()),
    }
}

/// What a field is to be filled with.
fn wanted(fault: &FieldFault, label: Option<&str>) -> String {
    match (label, fault.pointer.as_str()) {
        // A word is written small within a sentence, an abbreviation is not.
        (Some(label), _) if label.chars().nth(1).is_some_and(char::is_lowercase) => {
            format!("the {}{}", label[..1].to_lowercase(), &label[1..])
        }
        (Some(label), _) => format!("the {label}"),
        (None, "/name") => "a name".to_owned(),
        (None, "/email") => "an e-mail address".to_owned(),
        (None, "/password" | "/new") => "a password".to_owned(),
        (None, "/current") => "the current password".to_owned(),
        (None, _) => "a value".to_owned(),
    }
}

/// `text` as a sentence: a capital letter, and a full stop.
pub fn sentence(text: &str) -> String {
    let mut text = sentence_case(text);
    if !text.ends_with(['.', '!', '?']) {
        text.push('.');
    }
    text
}

/// With a capital letter at its beginning.
pub fn sentence_case(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

impl PageError {
    /// The status that the answer has.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Refused(refusal) => refusal.status,
            Self::LoggedOut => StatusCode::UNAUTHORIZED,
            Self::Missing => StatusCode::NOT_FOUND,
            Self::Foreign(_) => StatusCode::FORBIDDEN,
            Self::Unreadable(status, _) => *status,
            Self::Broken => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// In a few words.
    pub fn title(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => match refusal.status {
                StatusCode::FORBIDDEN => "Not allowed",
                StatusCode::NOT_FOUND => "Not found",
                StatusCode::TOO_MANY_REQUESTS => "Too many requests",
                status if status.is_server_error() => "Not possible at the moment",
                _ => "Not possible",
            },
            Self::LoggedOut => "Your session has ended",
            Self::Missing => "Not found",
            Self::Foreign(_) => "This form was not accepted",
            Self::Unreadable(..) => "Not possible",
            Self::Broken => "The page could not be made",
        }
    }

    /// What happened, and what to do.
    pub fn message(&self) -> &str {
        match self {
            Self::Refused(refusal) => &refusal.message,
            Self::LoggedOut => {
                "Log in again in another tab, then go back one step here: what you typed is still there. Send it once more."
            }
            Self::Missing => "There is nothing at this address. It may have been deleted, or the address is mistyped.",
            Self::Foreign(why) | Self::Unreadable(_, why) => why,
            Self::Broken => {
                "The server failed to make this page. Its log says why. Nothing was changed; try again in a moment."
            }
        }
    }

    /// Its picture: something to find, to wait for, or to be allowed.
    pub fn icon(&self) -> Icon {
        match self.status() {
            StatusCode::NOT_FOUND => Icon::Search,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Icon::Key,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => Icon::Clock,
            _ => Icon::Warning,
        }
    }

    /// Our own failure: what it is goes to the log.
    pub fn broken(error: &dyn std::error::Error) -> Self {
        tracing::error!(error = %error, "a page could not be made");
        Self::Broken
    }
}

/// The guard makes the page of it: it knows who looks.
impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status();
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use toktra_siem_app::Code;
    use toktra_siem_core::fault::Wrong;

    use super::*;

    #[test]
    fn a_fault_beside_its_field_does_not_repeat_the_name() {
        assert_eq!(beside(&FieldFault::of("hec_url", "must be https")), "Must be https.");
        assert_eq!(beside(&FieldFault::of("hec_url", Wrong::missing())), "Enter a value.");
        assert_eq!(beside(&FieldFault::of("from", Wrong::not_before("to"))), "The range ends before it begins.");
        assert_eq!(beside(&FieldFault::of("days", Wrong::range(1, 30))), "Enter a whole number from 1 to 30.");
        assert_eq!(
            beside(&FieldFault::of("name", Wrong::length(1, 100, "characters"))),
            "Enter a name (1–100 characters)."
        );
        assert_eq!(labelled(&FieldFault::of("hec_token", "is empty"), Some("HEC token")), "Enter the HEC token.");
        assert_eq!(labelled(&FieldFault::of("username", Wrong::null()), Some("User name")), "Enter the user name.");
        assert_eq!(beside(&FieldFault::of("email", Wrong::missing())), "Enter an e-mail address.");
        assert_eq!(sentence("Splunk says: no"), "Splunk says: no.");
        let mut refusal = Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, Code::Invalid, "Two things.");
        refusal.problem.fields = vec![FieldFault::of("name", Wrong::missing())];
        assert_eq!(of_field(&refusal, "/name").as_deref(), Some("Enter a name."));
        assert_eq!(of_field(&refusal, "/other"), None);
    }
}
