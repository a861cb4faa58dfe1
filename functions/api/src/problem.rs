//! What went wrong, as RFC 9457 tells it: one table of codes, one shape of answer. Details are for callers and hold no
//! internals.

use std::borrow::Cow;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::command_view::CommandView;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal, $status:ident, $title:literal;)*) => {
        /// Why a request was refused. Stable: clients switch on the text.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code {
            $($(#[$doc])* $variant,)*
        }

        impl Code {
            /// Every code there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable text.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The status of the answer.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)* }
            }

            const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }
        }
    };
}

codes! {
    /// Parts of the request are not what they must be; `errors` says which.
    ValidationFailed = "VALIDATION_FAILED", BAD_REQUEST, "The request is not valid";
    /// The body is no JSON object.
    MalformedBody = "MALFORMED_BODY", BAD_REQUEST, "The body is not a JSON object";
    /// The cursor is foreign, altered or of another query.
    InvalidCursor = "INVALID_CURSOR", BAD_REQUEST, "The cursor is not valid here";
    /// The token names no person that could own anything.
    CallerNotIdentified = "CALLER_NOT_IDENTIFIED", FORBIDDEN, "The token does not identify a caller";
    /// No such resource, or none of this caller's.
    NotFound = "NOT_FOUND", NOT_FOUND, "There is no such resource";
    /// The resource has no such method.
    MethodNotAllowed = "METHOD_NOT_ALLOWED", METHOD_NOT_ALLOWED, "The method is not allowed";
    /// Only a personal owner can be erased.
    NotErasable = "NOT_ERASABLE", METHOD_NOT_ALLOWED, "This owner cannot be erased";
    /// The owner is being erased.
    OwnerBeingErased = "OWNER_BEING_ERASED", CONFLICT, "The owner is being erased";
    /// The token allows no call back.
    CallbackNotAllowed = "CALLBACK_NOT_ALLOWED", UNAUTHORIZED, "The call back is not allowed";
    /// Enabling needs a connected installation.
    IntegrationRequired = "INTEGRATION_REQUIRED", CONFLICT, "A GitHub integration is required";
    /// Enabling needs an installation whose alerts the App may read.
    IntegrationPermissionMissing = "INTEGRATION_PERMISSION_MISSING", CONFLICT, "The GitHub integration lacks a permission";
    /// The configuration has another version by now.
    VersionConflict = "VERSION_CONFLICT", PRECONDITION_FAILED, "The configuration has changed";
    /// The body is longer than 64 KiB.
    BodyTooLarge = "BODY_TOO_LARGE", PAYLOAD_TOO_LARGE, "The body is too large";
    /// The body is not declared to be JSON.
    UnsupportedMediaType = "UNSUPPORTED_MEDIA_TYPE", UNSUPPORTED_MEDIA_TYPE, "The body must be JSON";
    /// The idempotency key was used for another request.
    IdempotencyKeyReused = "IDEMPOTENCY_KEY_REUSED", UNPROCESSABLE_ENTITY, "The idempotency key was used for another request";
    /// A save must say which version it replaces.
    VersionRequired = "VERSION_REQUIRED", PRECONDITION_REQUIRED, "If-Match is required";
    /// A defect of ours.
    Internal = "INTERNAL_ERROR", INTERNAL_SERVER_ERROR, "The service failed unexpectedly";
    /// The call back could not be queued.
    CallbackNotQueued = "CALLBACK_NOT_QUEUED", SERVICE_UNAVAILABLE, "The call back could not be queued";
    /// The command could not be queued.
    QueueAdmissionFailed = "QUEUE_ADMISSION_FAILED", SERVICE_UNAVAILABLE, "The command could not be queued";
    /// Commands of this type are not admitted for now.
    CommandPaused = "COMMAND_PAUSED", SERVICE_UNAVAILABLE, "Commands of this type are paused";
    /// A data service could not be reached.
    StoreUnavailable = "STORE_UNAVAILABLE", SERVICE_UNAVAILABLE, "The data store is not available";
}

/// One part of a request that is not what it must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Invalid {
    /// A JSON pointer into the body, or `/query/<name>`, or `/headers/<name>`.
    pub pointer: String,
    /// What is wrong with it.
    pub message: String,
}

/// The most invalid parts that one answer lists.
const LISTED: usize = 100;
/// The longest text of a caller that is repeated to it, in characters.
const REPEATED: usize = 200;

impl Invalid {
    /// `pointer` and `message` may repeat what the caller sent; they are cut to a bounded length.
    pub fn new(pointer: impl AsRef<str>, message: impl AsRef<str>) -> Self {
        let cut = |text: &str| text.chars().take(REPEATED).collect();
        Self {
            pointer: cut(pointer.as_ref()),
            message: cut(message.as_ref()),
        }
    }
}

/// A refusal.
#[derive(Debug)]
pub struct Problem {
    code: Code,
    detail: Cow<'static, str>,
    errors: Vec<Invalid>,
    command: Option<Box<CommandView>>,
}

impl Problem {
    /// A refusal with a sentence about this very case.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            command: None,
        }
    }

    /// The one answer for what is not there and for what is somebody else's.
    pub fn not_found() -> Self {
        Self::new(Code::NotFound, "There is nothing at this address.")
    }

    /// All parts of the request that are not what they must be.
    pub fn invalid(mut errors: Vec<Invalid>) -> Self {
        errors.truncate(LISTED);
        let detail: Cow<'static, str> = match errors.len() {
            1 => "One part of the request is not valid.".into(),
            count => format!("{count} parts of the request are not valid.").into(),
        };
        Self {
            errors,
            ..Self::new(Code::ValidationFailed, detail)
        }
    }

    /// Shows the command that the refusal is about.
    #[must_use]
    pub fn about(self, command: CommandView) -> Self {
        Self {
            command: Some(Box::new(command)),
            ..self
        }
    }

    /// Why.
    pub const fn code(&self) -> Code {
        self.code
    }
}

/// A refusal as it is sent: RFC 9457.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// Names the kind of problem.
    #[schema(example = "urn:security-agent:problem:validation-failed")]
    r#type: String,
    /// The kind of problem in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// This very case in words.
    detail: Cow<'static, str>,
    /// The kind of problem as a stable code.
    #[schema(example = "VALIDATION_FAILED")]
    code: &'static str,
    /// The invalid parts of the request, if that is the problem.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<Invalid>,
    /// The command, if it was stored but could not be queued.
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<Box<CommandView>>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.code.status();
        let name = self.code.as_str().to_ascii_lowercase().replace('_', "-");
        let body = ProblemBody {
            r#type: format!("urn:security-agent:problem:{name}"),
            title: self.code.title(),
            status: status.as_u16(),
            detail: self.detail,
            code: self.code.as_str(),
            errors: self.errors,
            command: self.command,
        };
        let mut response = (status, axum::Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if status == StatusCode::SERVICE_UNAVAILABLE {
            // Whoever pauses commands does so for more than a moment.
            let seconds = if self.code == Code::CommandPaused {
                60
            } else {
                1
            };
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(self.code);
        response
    }
}
