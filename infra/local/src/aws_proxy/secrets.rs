//! A Secrets Manager for the secrets of the template; the data directory stores them. A change is not stored.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use serde::Deserialize;
use serde_json::json;

use super::{Service, refusal};

/// Secrets by their ARN.
#[derive(Default)]
pub struct Secrets(Mutex<BTreeMap<String, String>>);

impl std::fmt::Debug for Secrets {
    /// Prints the names, not the values.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let secrets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        formatter.debug_set().entries(secrets.keys()).finish()
    }
}

impl Secrets {
    /// Creates a Secrets Manager with these secrets, by ARN.
    pub fn new(secrets: BTreeMap<String, String>) -> Self {
        Self(Mutex::new(secrets))
    }

    /// Changes the secret of this name, the last part of its ARN. Returns whether there is one.
    pub fn put(&self, name: &str, text: String) -> bool {
        let mut secrets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = secrets
            .iter_mut()
            .find(|(arn, _)| arn.rsplit(':').next() == Some(name));
        found.map(|(_, secret)| *secret = text).is_some()
    }

    /// Answers an operation of Secrets Manager.
    pub(crate) fn answer(&self, operation: &str, body: &[u8]) -> Response<Full<Bytes>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct GetSecretValue {
            secret_id: String,
        }
        let refuse = |code, message: &str| {
            refusal(
                Service::SecretsManager,
                StatusCode::BAD_REQUEST,
                code,
                message,
            )
        };
        if operation != "GetSecretValue" {
            return refuse(
                "InvalidAction",
                "the local stack supports only GetSecretValue",
            );
        }
        let Ok(GetSecretValue { secret_id }) = serde_json::from_slice(body) else {
            return refuse("InvalidParameterException", "SecretId is missing");
        };
        let secrets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(secret) = secrets.get(&secret_id) else {
            return refuse(
                "ResourceNotFoundException",
                "Secrets Manager can't find the specified secret.",
            );
        };
        let name = secret_id.rsplit(':').next().unwrap_or(&secret_id);
        let answer = json!({
            "ARN": secret_id,
            "Name": name,
            "SecretString": secret,
            "VersionId": "00000000-0000-0000-0000-000000000001",
            "VersionStages": ["AWSCURRENT"],
        });
        let mut response = Response::new(Full::new(Bytes::from(answer.to_string())));
        response.headers_mut().insert(
            http::header::CONTENT_TYPE,
            http::HeaderValue::from_static("application/x-amz-json-1.1"),
        );
        response
    }
}
