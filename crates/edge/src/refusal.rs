//! Why a request is answered here, before any route has seen it.

use http::StatusCode;

/// Why a request goes no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Refusal {
    /// It is not HTTP/1.1.
    Malformed = 1,
    /// Another version of HTTP.
    Version,
    /// A line ends without a carriage return.
    BareLineFeed,
    /// `Host` is missing, there twice, or no host.
    Host,
    /// `Content-Length` is no number, or there twice.
    Length,
    /// `Content-Length` and `Transfer-Encoding` together.
    LengthAndCoding,
    /// `Transfer-Encoding` does not end in one `chunked`.
    Coding,
    /// A transfer coding that is not known here.
    UnknownCoding,
    /// More lines or bytes than a head may have.
    HeadTooLarge,
    /// The address alone is longer than a head may be.
    TargetTooLong,
    /// The address is neither a path nor a whole address that begins with `http` or `https`.
    Target,
    /// The head did not come to its end in time.
    HeadTooSlow,
    /// The address cannot be decoded: a `%` without two hex digits behind it, or what is no UTF-8.
    Address,
    /// Its client has as many connections as it may have.
    Connections,
    /// Whatever should have answered it panicked.
    Panicked,
}

impl Refusal {
    const ALL: [Self; 15] = [
        Self::Malformed,
        Self::Version,
        Self::BareLineFeed,
        Self::Host,
        Self::Length,
        Self::LengthAndCoding,
        Self::Coding,
        Self::UnknownCoding,
        Self::HeadTooLarge,
        Self::TargetTooLong,
        Self::Target,
        Self::HeadTooSlow,
        Self::Address,
        Self::Connections,
        Self::Panicked,
    ];

    /// The one with this number.
    pub(crate) fn of(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|refusal| *refusal as u8 == number)
    }

    /// The status of the answer (RFC 9110, 9112).
    pub fn status(self) -> StatusCode {
        match self {
            Self::Malformed
            | Self::BareLineFeed
            | Self::Host
            | Self::Length
            | Self::LengthAndCoding
            | Self::Coding
            | Self::Target
            | Self::Address => StatusCode::BAD_REQUEST,
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::UnknownCoding => StatusCode::NOT_IMPLEMENTED,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Connections => StatusCode::SERVICE_UNAVAILABLE,
            Self::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What happened and what to do, for a person.
    pub fn message(self) -> &'static str {
        match self {
            Self::Malformed => "The request cannot be read: it is not HTTP/1.1 as RFC 9112 describes it.",
            Self::Version => "The request is of another version of HTTP. Send it as HTTP/1.1.",
            Self::BareLineFeed => "A line of the request's head ends with a line feed alone. End each with CR LF.",
            Self::Host => "The request must have one `Host` header, which names a host, and a port up to 65535 if any.",
            Self::Length => "The `Content-Length` of the request is not one number, or larger than any body can be.",
            Self::LengthAndCoding => {
                "The request has a `Content-Length` and a `Transfer-Encoding`, which contradict each other. Send one of them."
            }
            Self::Coding => {
                "The `Transfer-Encoding` of the request does not end in `chunked`, once, as HTTP/1.1 demands it."
            }
            Self::UnknownCoding => {
                "The `Transfer-Encoding` of the request is not supported. Send the body with `chunked` alone, or with a `Content-Length`; \
                 compressed events have `Content-Encoding: gzip`."
            }
            Self::HeadTooLarge => "The head of the request is too large: it may have 100 headers and 32 KiB.",
            Self::TargetTooLong => "The address of the request is too long: the head of a request may have 32 KiB.",
            Self::Target => {
                "The address of the request cannot be read. Send a path, such as `/v1/events`, or an address that begins with `http://` or `https://`."
            }
            Self::HeadTooSlow => "The head of the request did not arrive in time. Send the request again.",
            Self::Address => {
                "The address of the request cannot be decoded: each `%` must be followed by two hex digits, and the result must be UTF-8."
            }
            Self::Connections => {
                "Too many connections are open from your address. Close those that you do not use, and send requests one after another over the same one."
            }
            Self::Panicked => "The service failed to answer this request. Its log says why; please report it.",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lead_back() {
        for refusal in Refusal::ALL {
            assert_eq!(Refusal::of(refusal as u8), Some(refusal));
            assert!(refusal.message().ends_with('.') && !refusal.status().is_success());
        }
        assert_eq!(Refusal::of(0), None);
    }
}
