//! Why a shadow request is refused, in the codes and texts that AWS IoT documents.

use thiserror::Error;

/// Says why a request is refused. Its text is the `message` of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ShadowError {
    /// The payload is no JSON object.
    #[error("Invalid JSON")]
    InvalidJson,
    /// There is no `state`.
    #[error("Missing required node: state")]
    MissingState,
    /// `state` is neither an object nor null.
    #[error("State node must be an object")]
    StateNotObject,
    /// `state.desired` is neither an object nor null.
    #[error("Desired node must be an object")]
    DesiredNotObject,
    /// `state.reported` is neither an object nor null.
    #[error("Reported node must be an object")]
    ReportedNotObject,
    /// `version` is no whole number.
    #[error("Invalid version")]
    InvalidVersion,
    /// `clientToken` is no text of at most 64 bytes.
    #[error("Invalid clientToken")]
    InvalidClientToken,
    /// A section is nested too deep.
    #[error("JSON contains too many levels of nesting; maximum is 6")]
    TooDeep,
    /// `state` has another key than the two sections, or a null in an array.
    #[error("State contains an invalid node: '{0}'")]
    InvalidNode(String),
    /// The thing's or the shadow's name has a wrong character or length.
    #[error("Invalid name")]
    InvalidName,
    /// The certificate's owner may not write this section.
    #[error("Forbidden")]
    Forbidden,
    /// There is no such shadow.
    #[error("No shadow exists with name: '{0}'")]
    NoShadow(String),
    /// The request was made for another version.
    #[error("Version conflict")]
    VersionConflict,
    /// The shadow would be larger than a shadow may be.
    #[error("The payload exceeds the maximum size allowed")]
    TooLarge,
    /// The payload is no UTF-8. (The text is spelled so by AWS.)
    #[error("Unsupported documented encoding; supported encoding is UTF-8")]
    Encoding,
    /// More requests are under way on this connection than may be.
    #[error("Too many requests")]
    TooManyRequests,
    /// Our own store failed.
    #[error("Internal service failure")]
    Internal,
}

impl ShadowError {
    /// Returns the code of the answer, an HTTP status.
    pub const fn code(&self) -> u16 {
        match self {
            Self::InvalidJson
            | Self::MissingState
            | Self::StateNotObject
            | Self::DesiredNotObject
            | Self::ReportedNotObject
            | Self::InvalidVersion
            | Self::InvalidClientToken
            | Self::TooDeep
            | Self::InvalidNode(_)
            | Self::InvalidName => 400,
            Self::Forbidden => 403,
            Self::NoShadow(_) => 404,
            Self::VersionConflict => 409,
            Self::TooLarge => 413,
            Self::Encoding => 415,
            Self::TooManyRequests => 429,
            Self::Internal => 500,
        }
    }

    /// Returns the name of the exception in AWS's data API.
    pub const fn exception(&self) -> &'static str {
        match self.code() {
            403 => "UnauthorizedException",
            404 => "ResourceNotFoundException",
            409 => "ConflictException",
            413 => "RequestEntityTooLargeException",
            415 => "UnsupportedDocumentEncodingException",
            429 => "ThrottlingException",
            500 => "InternalFailureException",
            _ => "InvalidRequestException",
        }
    }
}
