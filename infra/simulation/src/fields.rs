//! Reads the fields of JSON objects. What is wrong is named by its place, never by its value: values may be secret.

use serde_json::{Map, Value};

/// A field that cannot be what it is.
#[derive(Debug, PartialEq, Eq)]
pub struct FieldError {
    /// Where it is: a JSON pointer.
    pub pointer: String,
    /// What it should be.
    pub message: &'static str,
}

/// An object, and where it stands in the whole.
#[derive(Debug)]
pub struct Fields<'a> {
    pointer: String,
    fields: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// The fields of the whole.
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

    /// The object in this field.
    pub fn object(&self, name: &str) -> Result<Self, FieldError> {
        let value = self.fields.get(name).unwrap_or(&Value::Null);
        Self::at(self.pointer(name), value)
    }

    /// Refuses fields of other names.
    pub fn only(&self, names: &[&str]) -> Result<(), FieldError> {
        let unknown = self
            .fields
            .keys()
            .find(|name| !names.contains(&name.as_str()));
        unknown.map_or(Ok(()), |name| Err(self.error(name, "is not known")))
    }

    /// Absent and null mean the same.
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

    /// One that is not absent.
    pub fn required<T>(
        &self,
        name: &str,
        message: &'static str,
        parse: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<T, FieldError> {
        self.optional(name, message, parse)?
            .ok_or_else(|| self.error(name, message))
    }

    /// A text of at least one character.
    pub fn text(&self, name: &str) -> Result<&'a str, FieldError> {
        self.required(name, "must be a text that is not empty", |value| {
            value.as_str().filter(|text| !text.is_empty())
        })
    }

    /// Whatever is there.
    pub fn value(&self, name: &str) -> Option<&'a Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    /// What is wrong with this field.
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
