//! What goes wrong for somebody who looks at the page, and how it is said: what happened, the likeliest cause, the next step.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;

use super::icon::Icon;

/// Why a page cannot be shown, or a wish not be granted.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PageError {
    /// The API refused; its sentence is for people already.
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

/// What the API answers where it refuses (docs: `ErrorCode`).
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The HTTP status.
    pub status: StatusCode,
    /// The stable code.
    pub code: String,
    /// What happened and what to do, for a person.
    pub message: String,
    /// What is wrong, by place.
    pub fields: Vec<FieldFault>,
}

/// One fault in what was sent.
#[derive(Debug, Clone, Deserialize)]
pub struct FieldFault {
    /// Where: a JSON pointer into the body, such as `/config/hec_url`.
    pub pointer: String,
    /// What is wrong.
    pub message: String,
}

#[derive(Deserialize)]
struct Envelope {
    error: Told,
}

#[derive(Deserialize)]
struct Told {
    code: String,
    message: String,
    #[serde(default)]
    fields: Vec<FieldFault>,
}

impl Refusal {
    /// Reads an error of the API.
    pub fn read(status: StatusCode, body: &[u8]) -> Option<Self> {
        let Envelope { error: Told { code, message, fields } } = serde_json::from_slice(body).ok()?;
        Some(Self { status, code, message, fields })
    }

    /// The fault of the member at `pointer`, without the member's name before it: on a page it stands beside the field.
    pub fn of_field(&self, pointer: &str) -> Option<String> {
        let fault = self.fields.iter().find(|fault| fault.pointer == pointer)?;
        Some(sentence(&fault.message))
    }
}

/// `hec_url: is missing` as it stands beside a field: `Is missing.`
pub fn sentence(message: &str) -> String {
    let named = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.[]".contains(c));
    let bare = match message.split_once(": ") {
        Some((name, rest)) if named(name) => rest,
        _ => message,
    };
    let mut text = sentence_case(bare);
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
            Self::Unreadable(..) => "Not understood",
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
    use super::*;

    #[test]
    fn a_fault_beside_its_field_does_not_repeat_the_name() {
        assert_eq!(sentence("hec_url: is missing"), "Is missing.");
        assert_eq!(sentence("config.hec_url: must be https"), "Must be https.");
        assert_eq!(sentence("Splunk says: no"), "Splunk says: no.");
        let body = br#"{"error":{"code":"invalid","message":"Two things.","fields":[{"pointer":"/name","message":"name: is missing"}]}}"#;
        let refusal = Refusal::read(StatusCode::UNPROCESSABLE_ENTITY, body).unwrap();
        assert_eq!(refusal.of_field("/name").as_deref(), Some("Is missing."));
        assert_eq!(refusal.of_field("/other"), None);
        assert!(Refusal::read(StatusCode::BAD_GATEWAY, b"<html>").is_none());
    }
}
