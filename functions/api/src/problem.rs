//! Errors as RFC 9457 problems: one table of codes, one shape of response. Details are for callers and contain no
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
        /// Why a request was refused. Clients switch on the text, so it is stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code {
            $($(#[$doc])* $variant,)*
        }

        impl Code {
            /// All codes.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The code's stable text.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The HTTP status of the response.
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
    /// Parts of the request are invalid; `errors` says which.
    ValidationFailed = "VALIDATION_FAILED", BAD_REQUEST, "The request is not valid";
    /// The body is not a JSON object.
    MalformedBody = "MALFORMED_BODY", BAD_REQUEST, "The body is not a JSON object";
    /// The cursor was altered, or belongs to another list, query or owner.
    InvalidCursor = "INVALID_CURSOR", BAD_REQUEST, "The cursor is not valid here";
    /// The token's subject cannot be an owner.
    CallerNotIdentified = "CALLER_NOT_IDENTIFIED", FORBIDDEN, "The token does not identify a caller";
    /// The resource does not exist, or the caller may not act for its owner.
    NotFound = "NOT_FOUND", NOT_FOUND, "The resource does not exist";
    /// The resource does not support the method.
    MethodNotAllowed = "METHOD_NOT_ALLOWED", METHOD_NOT_ALLOWED, "The method is not allowed";
    /// Only a personal owner can be erased.
    NotErasable = "NOT_ERASABLE", METHOD_NOT_ALLOWED, "This owner cannot be erased";
    /// The owner is being erased.
    OwnerBeingErased = "OWNER_BEING_ERASED", CONFLICT, "The owner is being erased";
    /// The token does not allow the callback.
    CallbackNotAllowed = "CALLBACK_NOT_ALLOWED", UNAUTHORIZED, "The callback is not allowed";
    /// The action needs a newer sign-in than the token's `auth_time`.
    SignInTooOld = "SIGN_IN_TOO_OLD", UNAUTHORIZED, "The sign-in is too old for this action";
    /// Enabling needs a connected installation.
    IntegrationRequired = "INTEGRATION_REQUIRED", CONFLICT, "A GitHub integration is required";
    /// Enabling needs an installation whose alerts the App may read.
    IntegrationPermissionMissing = "INTEGRATION_PERMISSION_MISSING", CONFLICT, "The GitHub integration lacks a permission";
    /// The configuration has changed since the version in `If-Match`.
    VersionConflict = "VERSION_CONFLICT", PRECONDITION_FAILED, "The configuration has changed";
    /// The body is longer than 64 KiB.
    BodyTooLarge = "BODY_TOO_LARGE", PAYLOAD_TOO_LARGE, "The body is too large";
    /// The body is not declared to be JSON.
    UnsupportedMediaType = "UNSUPPORTED_MEDIA_TYPE", UNSUPPORTED_MEDIA_TYPE, "The body must be JSON";
    /// The idempotency key was used for another request.
    IdempotencyKeyReused = "IDEMPOTENCY_KEY_REUSED", UNPROCESSABLE_ENTITY, "The idempotency key was used for another request";
    /// A save must say which version it replaces.
    VersionRequired = "VERSION_REQUIRED", PRECONDITION_REQUIRED, "If-Match is required";
    /// A defect in this service.
    Internal = "INTERNAL_ERROR", INTERNAL_SERVER_ERROR, "The service failed unexpectedly";
    /// The callback could not be queued.
    CallbackNotQueued = "CALLBACK_NOT_QUEUED", SERVICE_UNAVAILABLE, "The callback could not be queued";
    /// The command could not be queued.
    QueueAdmissionFailed = "QUEUE_ADMISSION_FAILED", SERVICE_UNAVAILABLE, "The command could not be queued";
    /// Commands of this type are paused.
    CommandPaused = "COMMAND_PAUSED", SERVICE_UNAVAILABLE, "Commands of this type are paused";
    /// The data store could not be read or written.
    StoreUnavailable = "STORE_UNAVAILABLE", SERVICE_UNAVAILABLE, "The data store is not available";
}

/// An invalid part of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Invalid {
    /// A JSON pointer into the body, or `/query/<name>`, or `/headers/<name>`.
    pub pointer: String,
    /// What is wrong with it.
    pub message: String,
}

/// The most invalid parts that one response lists.
const LISTED: usize = 100;
/// The longest part of a caller's text that a response repeats, in characters.
const REPEATED: usize = 200;

impl Invalid {
    /// Cuts `pointer` and `message` to a bounded length, because they may repeat the caller's text.
    pub fn new(pointer: impl AsRef<str>, message: impl AsRef<str>) -> Self {
        let cut = |text: &str| text.chars().take(REPEATED).collect();
        Self {
            pointer: cut(pointer.as_ref()),
            message: cut(message.as_ref()),
        }
    }
}

/// A refused request.
#[derive(Debug)]
pub struct Problem {
    code: Code,
    detail: Cow<'static, str>,
    errors: Vec<Invalid>,
    command: Option<Box<CommandView>>,
}

impl Problem {
    /// Refuses a request. `detail` describes this occurrence.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            command: None,
        }
    }

    /// The same answer for a missing resource and for another owner's, so that it reveals nothing.
    pub fn not_found() -> Self {
        Self::new(
            Code::NotFound,
            "There is no such resource for this caller. Check the address and the owner.",
        )
    }

    /// Refuses an invalid request.
    pub fn invalid(mut errors: Vec<Invalid>) -> Self {
        errors.truncate(LISTED);
        let detail: Cow<'static, str> = match errors.len() {
            1 => "One part of the request is invalid. Correct the part that errors names.".into(),
            count => format!(
                "{count} parts of the request are invalid. Correct those that errors lists."
            )
            .into(),
        };
        Self {
            errors,
            ..Self::new(Code::ValidationFailed, detail)
        }
    }

    /// Adds the command that the problem is about.
    #[must_use]
    pub fn about(self, command: CommandView) -> Self {
        Self {
            command: Some(Box::new(command)),
            ..self
        }
    }

    /// Returns the code.
    pub const fn code(&self) -> Code {
        self.code
    }
}

/// An error response (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// Identifies the kind of problem.
    #[schema(example = "urn:security-agent:problem:validation-failed")]
    r#type: String,
    /// The kind of problem in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// This occurrence in words.
    detail: Cow<'static, str>,
    /// The kind of problem as a stable code.
    #[schema(example = "VALIDATION_FAILED")]
    code: &'static str,
    /// The invalid parts of the request, if it is invalid.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<Invalid>,
    /// The command, if it was stored but could not be queued.
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<Box<CommandView>>,
}

/// Asks for a newer sign-in as RFC 9470 says, so that a client can pass `max_age` to the issuer.
const SIGN_IN_AGAIN: &str = r#"Bearer error="insufficient_user_authentication", max_age="600""#;

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
            // In seconds. A pause is an operator's decision and lasts longer than a failed send.
            let seconds = if self.code == Code::CommandPaused {
                60
            } else {
                1
            };
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.code == Code::SignInTooOld {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static(SIGN_IN_AGAIN),
            );
        }
        response.extensions_mut().insert(self.code);
        response
    }
}
