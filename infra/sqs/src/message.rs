//! Messages from senders: validation, size, and the digests that SDKs compare.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use md5::{Digest as _, Md5};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Sha256;

use crate::clock::Seconds;
use crate::error::{Code, Error};

/// A message with valid parts. The queue checks its size and the parameters that depend on the queue type.
#[derive(Debug)]
pub(crate) struct NewMessage {
    pub(crate) body: String,
    pub(crate) attributes: Attributes,
    pub(crate) trace_header: Option<String>,
    pub(crate) delay: Option<Seconds>,
    pub(crate) group: Option<String>,
    pub(crate) deduplication: Option<String>,
}

impl NewMessage {
    /// The size that counts against the limits. System attributes do not count.
    pub(crate) fn bytes(&self) -> usize {
        self.body.len() + self.attributes.bytes()
    }
}

/// Checks that the text consists of XML 1.0 characters: SQS began with an XML protocol and still allows no others.
pub(crate) fn check_characters(text: &str) -> Result<(), Error> {
    let legal = |c: char| matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{fffd}' | '\u{10000}'..);
    if text.chars().all(legal) {
        return Ok(());
    }
    Err(Error::refused(
        Code::InvalidMessageContents,
        "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF",
    ))
}

/// Checks a deduplication or group id: 1 to 128 letters, digits and punctuation marks.
pub(crate) fn check_id(parameter: &str, id: &str) -> Result<(), Error> {
    if (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(());
    }
    Err(Error::invalid(
        parameter,
        id,
        &format!(
            "{parameter} can only include alphanumeric and punctuation characters. 1 to 128 in length."
        ),
    ))
}

/// User attributes that [`Attributes::accept`] has checked, or one system attribute.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Attributes(BTreeMap<String, Attribute>);

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Attribute {
    data_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    string_value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    binary_value: Option<Blob>,
}

/// Bytes; base64 in JSON.
#[derive(Debug, Clone)]
struct Blob(Vec<u8>);

impl Attributes {
    pub(crate) fn accept(given: BTreeMap<String, Attribute>) -> Result<Self, Error> {
        if given.len() > 10 {
            return Err(Error::refused(
                Code::InvalidParameterValue,
                format!(
                    "Number of message attributes [{}] exceeds the allowed maximum [10].",
                    given.len()
                ),
            ));
        }
        for (name, attribute) in &given {
            check_attribute_name(name)?;
            attribute.check(name)?;
        }
        Ok(Self(given))
    }

    /// Accepts the only system attribute that a sender may set: the X-Ray trace header.
    pub(crate) fn accept_system(given: BTreeMap<String, Attribute>) -> Result<Self, Error> {
        for (name, attribute) in &given {
            if name != "AWSTraceHeader" || attribute.data_type != "String" {
                return Err(Error::refused(
                    Code::InvalidParameterValue,
                    format!("Message system attribute name '{name}' is invalid."),
                ));
            }
            attribute.check(name)?;
        }
        Ok(Self(given))
    }

    pub(crate) fn trace_header(&self) -> Option<String> {
        self.0.get("AWSTraceHeader")?.string_value.clone()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the requested attributes: by name, by prefix (`name.*`), or all.
    pub(crate) fn selected(mut self, wanted: &[String]) -> Self {
        self.0.retain(|name, _| {
            wanted.iter().any(|pattern| match pattern.as_str() {
                "All" | ".*" => true,
                pattern => match pattern.strip_suffix(".*") {
                    Some(prefix) => name.starts_with(prefix),
                    None => name == pattern,
                },
            })
        });
        self
    }

    fn bytes(&self) -> usize {
        Self::bytes_of(&self.0)
    }

    /// Also measures attributes that are not validated yet: SQS checks a batch's size before its entries.
    pub(crate) fn bytes_of(attributes: &BTreeMap<String, Attribute>) -> usize {
        let length = |(name, attribute): (&String, &Attribute)| {
            name.len() + attribute.data_type.len() + attribute.value().1.len()
        };
        attributes.iter().map(length).sum()
    }

    /// `None` if there is nothing to digest.
    pub(crate) fn md5(&self) -> Option<String> {
        if self.is_empty() {
            return None;
        }
        let mut digest = Md5::new();
        for (name, attribute) in &self.0 {
            let (kind, value) = attribute.value();
            digest.update(length_prefix(name.as_bytes()));
            digest.update(name);
            digest.update(length_prefix(attribute.data_type.as_bytes()));
            digest.update(&attribute.data_type);
            digest.update([kind]);
            digest.update(length_prefix(value));
            digest.update(value);
        }
        Some(hex(&digest.finalize()))
    }
}

impl Attribute {
    /// The value, and the byte that marks text (1) or bytes (2) in the digest.
    fn value(&self) -> (u8, &[u8]) {
        match (&self.binary_value, &self.string_value) {
            (Some(Blob(bytes)), _) => (2, bytes),
            (None, text) => (1, text.as_deref().unwrap_or_default().as_bytes()),
        }
    }

    fn check(&self, name: &str) -> Result<(), Error> {
        let refuse = |reason: &str| {
            Err(Error::refused(
                Code::InvalidParameterValue,
                format!("The message attribute '{name}' {reason}"),
            ))
        };
        let kind = self.data_type.split('.').next().unwrap_or_default();
        let text = self.string_value.as_deref().unwrap_or_default();
        match kind {
            "String" | "Number" | "Binary" if self.data_type.len() > 256 => {
                refuse("has a type longer than 256 bytes.")
            }
            "String" | "Number" | "Binary" if self.value().1.is_empty() => {
                refuse("must contain a non-empty message attribute value.")
            }
            "Binary" if self.binary_value.is_none() || self.string_value.is_some() => {
                refuse("must use field 'BinaryValue'.")
            }
            "String" | "Number" if self.binary_value.is_some() => {
                refuse("must use field 'StringValue'.")
            }
            "Number" if text.parse::<f64>().is_err() => {
                refuse("with type 'Number' must have a numeric value.")
            }
            "String" | "Number" => check_characters(text),
            "Binary" => Ok(()),
            _ => refuse(
                "has an invalid message attribute type, the set of supported type prefixes is Binary, Number, and String.",
            ),
        }
    }
}

fn check_attribute_name(name: &str) -> Result<(), Error> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    let lower = name.to_ascii_lowercase();
    let reserved = lower.starts_with("aws.") || lower.starts_with("amazon.");
    let dots = name.starts_with('.') || name.ends_with('.') || name.contains("..");
    if (1..=256).contains(&name.len()) && name.bytes().all(legal) && !reserved && !dots {
        return Ok(());
    }
    Err(Error::refused(
        Code::InvalidParameterValue,
        format!("The message attribute name '{name}' is invalid."),
    ))
}

/// The cast is safe: a request is far shorter than 4 GiB.
fn length_prefix(part: &[u8]) -> [u8; 4] {
    u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes()
}

pub(crate) fn md5_of_body(body: &str) -> String {
    hex(&Md5::digest(body))
}

/// The deduplication id of content-based deduplication.
pub(crate) fn sha256_of_body(body: &str) -> String {
    hex(&Sha256::digest(body))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64
            .decode(text)
            .map(Self)
            .map_err(serde::de::Error::custom)
    }
}
