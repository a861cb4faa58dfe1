//! Parses the fields of JSON objects. Errors name a field's position, never its value: it may be secret.

use serde_json::{Map, Value};

/// An invalid field.
#[derive(Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The JSON pointer to the field.
    pub pointer: String,
    /// The rule that the field violates.
    pub message: &'static str,
}

/// A JSON object and its position in the document.
#[derive(Debug)]
pub struct Fields<'a> {
    pointer: String,
    fields: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// The fields of the document itself.
    pub fn of(value: &'a Value) -> Result<Self, FieldError> {
        Self::at(String::new(), value)
    }

    fn at(pointer: String, value: &'a Value) -> Result<Self, FieldError> {
        match value.as_object() {
            Some(fields) => Ok(Self { pointer, fields }),
            None => Err(FieldError {
                pointer,
                message: "must be an object",
            }),
        }
    }

    /// Returns the object in this field.
    pub fn object(&self, name: &str) -> Result<Self, FieldError> {
        let value = self.fields.get(name).unwrap_or(&Value::Null);
        Self::at(self.pointer(name), value)
    }

    /// Refuses fields with other names.
    pub fn only(&self, names: &[&str]) -> Result<(), FieldError> {
        let unknown = self
            .fields
            .keys()
            .find(|name| !names.contains(&name.as_str()));
        unknown.map_or(Ok(()), |name| Err(self.error(name, "is unknown")))
    }

    /// Parses an optional field; null counts as absent.
    pub fn optional<T>(
        &self,
        name: &str,
        message: &'static str,
        parse: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, FieldError> {
        match self.fields.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => parse(value)
                .map(Some)
                .ok_or_else(|| self.error(name, message)),
        }
    }

    /// Parses a required field.
    pub fn required<T>(
        &self,
        name: &str,
        message: &'static str,
        parse: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<T, FieldError> {
        self.optional(name, message, parse)?
            .ok_or_else(|| self.error(name, message))
    }

    /// Parses a required, non-empty string.
    pub fn text(&self, name: &str) -> Result<&'a str, FieldError> {
        self.required(name, "must be a non-empty string", |value| {
            value.as_str().filter(|text| !text.is_empty())
        })
    }

    /// Returns the raw value of the field.
    pub fn value(&self, name: &str) -> Option<&'a Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    /// Creates an error for this field.
    pub fn error(&self, name: &str, message: &'static str) -> FieldError {
        FieldError {
            pointer: self.pointer(name),
            message,
        }
    }

    fn pointer(&self, name: &str) -> String {
        let name = name.replace('~', "~0").replace('/', "~1");
        format!("{}/{name}", self.pointer)
    }
}
