//! The JSON protocol of SQS: one route; a header names the operation.

mod messages;
mod queues;
mod receive;

use std::error::Error as _;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::Queues;
use crate::error::{Code, Error};

/// The longest legal request: a batch of 1 MiB in which JSON escapes every character as `\u0000` (6 bytes).
const LONGEST_REQUEST: usize = 8 * 1024 * 1024;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const QUERY_ERROR: HeaderName = HeaderName::from_static("x-amzn-query-error");

pub(crate) fn router(queues: Queues) -> Router {
    Router::new()
        .route("/", post(answer))
        .layer(DefaultBodyLimit::max(LONGEST_REQUEST))
        .with_state(queues)
}

/// The context of an operation.
#[derive(Debug)]
struct Call {
    queues: Queues,
    /// The host name that the caller used, for queue URLs.
    host: String,
    /// The caller's trace header, which SQS keeps with each message that the call sends.
    trace_header: Option<String>,
}

async fn answer(State(queues): State<Queues>, headers: HeaderMap, body: Bytes) -> Response {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let call = Call {
        queues,
        host: text("host").unwrap_or("localhost").to_owned(),
        trace_header: text("x-amzn-trace-id").map(str::to_owned),
    };
    let operation = text("x-amz-target")
        .and_then(|target| target.strip_prefix("AmazonSQS."))
        .unwrap_or_default();
    match perform(&call, operation, &body).await {
        Ok(output) => (StatusCode::OK, identified(), output).into_response(),
        Err(error) => refuse(operation, &error),
    }
}

async fn perform(call: &Call, operation: &str, body: &[u8]) -> Result<Vec<u8>, Error> {
    match operation {
        "ChangeMessageVisibility" => {
            output(&messages::change_visibility(call, input(body)?).await?)
        }
        "ChangeMessageVisibilityBatch" => {
            output(&messages::change_visibility_batch(call, input(body)?).await?)
        }
        "CreateQueue" => output(&queues::create(call, input(body)?).await?),
        "DeleteMessage" => output(&messages::delete(call, input(body)?).await?),
        "DeleteMessageBatch" => output(&messages::delete_batch(call, input(body)?).await?),
        "DeleteQueue" => output(&queues::delete(call, input(body)?).await?),
        "GetQueueAttributes" => output(&queues::attributes(call, input(body)?).await?),
        "GetQueueUrl" => output(&queues::url(call, input(body)?).await?),
        "ListDeadLetterSourceQueues" => {
            output(&queues::dead_letter_sources(call, input(body)?).await?)
        }
        "ListQueueTags" => output(&queues::tags(call, input(body)?).await?),
        "ListQueues" => output(&queues::list(call, input(body)?).await?),
        "PurgeQueue" => output(&queues::purge(call, input(body)?).await?),
        "ReceiveMessage" => output(&receive::receive(call, input(body)?).await?),
        "SendMessage" => output(&messages::send(call, input(body)?).await?),
        "SendMessageBatch" => output(&messages::send_batch(call, input(body)?).await?),
        "SetQueueAttributes" => output(&queues::set_attributes(call, input(body)?).await?),
        "TagQueue" => output(&queues::tag(call, input(body)?).await?),
        "UntagQueue" => output(&queues::untag(call, input(body)?).await?),
        // SQS has these operations: report them as unsupported, not as invalid.
        "AddPermission"
        | "CancelMessageMoveTask"
        | "ListMessageMoveTasks"
        | "RemovePermission"
        | "StartMessageMoveTask" => Err(Error::refused(
            Code::UnsupportedOperation,
            format!("{operation} is not available in the local queue service."),
        )),
        unknown => Err(Error::refused(
            Code::UnknownOperation,
            format!("The action {unknown} is not valid for this endpoint."),
        )),
    }
}

fn input<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body)
        .map_err(|error| Error::refused(Code::Serialization, error.to_string()))
}

fn output<T: Serialize>(output: &T) -> Result<Vec<u8>, Error> {
    Ok(serde_json::to_vec(output)?)
}

/// An output without members.
#[derive(Debug, Serialize)]
struct Empty {}

fn refuse(operation: &str, error: &Error) -> Response {
    let (status, shape, query, message) = match error {
        Error::Refused { code, message } => (
            code.status(),
            code.shape(),
            format!("{};Sender", code.query()),
            message.clone(),
        ),
        Error::Database(_) | Error::Stored(_) | Error::Interrupted(_) => {
            tracing::error!(operation, %error, cause = error.source(), "request failed");
            (
                StatusCode::INTERNAL_SERVER_ERROR,
                "com.amazonaws.sqs#InternalFailure",
                "InternalFailure;Receiver".to_owned(),
                error.to_string(),
            )
        }
    };
    let body = serde_json::json!({ "__type": shape, "message": message }).to_string();
    (status, identified(), [(QUERY_ERROR, query)], body).into_response()
}

fn identified() -> [(HeaderName, String); 2] {
    [
        (
            header::CONTENT_TYPE,
            "application/x-amz-json-1.0".to_owned(),
        ),
        (REQUEST_ID, Uuid::new_v4().to_string()),
    ]
}
