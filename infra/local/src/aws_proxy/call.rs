//! One call of a function to an AWS service, as the proxy sees it.

use bytes::Bytes;
use http::{HeaderMap, Method, Uri};
use serde::{Deserialize, Serialize};

/// The services that functions reach through the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// DynamoDB.
    Dynamodb,
    /// SQS.
    Sqs,
    /// Secrets Manager; the stack itself answers for it.
    SecretsManager,
}

/// A request, parsed as far as its operation and its sender.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) service: Service,
    pub(super) operation: String,
    /// The access key identifies the process that sent the call.
    pub(super) access_key: Option<String>,
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Call {
    /// Reads a request in one of the AWS JSON protocols. Returns `None` for an unknown service.
    pub(super) fn read(parts: http::request::Parts, body: Bytes) -> Option<Self> {
        let target = parts.headers.get("x-amz-target")?.to_str().ok()?;
        let (prefix, operation) = target.split_once('.')?;
        let service = match prefix {
            "DynamoDB_20120810" => Service::Dynamodb,
            "AmazonSQS" => Service::Sqs,
            "secretsmanager" => Service::SecretsManager,
            _ => return None,
        };
        Some(Self {
            service,
            operation: operation.to_owned(),
            access_key: access_key(&parts.headers),
            method: parts.method,
            uri: parts.uri,
            headers: parts.headers,
            body,
        })
    }

    /// The function that sent the call.
    pub(super) fn function(&self) -> Option<&str> {
        self.access_key
            .as_deref()
            .and_then(crate::functions::function_of)
    }
}

/// Extracts the access key from `AWS4-HMAC-SHA256 Credential=<access key>/<date>/…`.
fn access_key(headers: &HeaderMap) -> Option<String> {
    let authorization = headers.get(http::header::AUTHORIZATION)?.to_str().ok()?;
    let (_, credential) = authorization.split_once("Credential=")?;
    let (access_key, _) = credential.split_once('/')?;
    Some(access_key.to_owned())
}
