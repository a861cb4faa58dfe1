//! Reads a JSON object field by field. Collects every error with its JSON pointer, so that a caller learns of all at
//! once.

use std::{fmt::Display, str::FromStr};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::problem::{Invalid, Problem};

/// An object being read. Fields that nobody has taken at the end are unknown.
#[derive(Debug)]
pub struct Fields {
    pointer: String,
    object: Map<String, Value>,
    invalid: Vec<Invalid>,
}

impl Fields {
    /// Starts with the body's own object.
    pub const fn new(object: Map<String, Value>) -> Self {
        Self {
            pointer: String::new(),
            object,
            invalid: Vec::new(),
        }
    }

    /// Takes a field that is no object. `None` if it is absent or invalid; the latter is recorded as an error.
    pub fn take<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let value = self.take_json(name)?;
        self.scalar(name, value)
    }

    /// Takes a field of any type.
    pub fn take_json(&mut self, name: &str) -> Option<Value> {
        self.object.remove(name)
    }

    /// Converts a value that is no object. Serde would take a word as the object `{"<word>": null}`, too.
    fn scalar<T: DeserializeOwned>(&mut self, name: &str, value: Value) -> Option<T> {
        if value.is_object() {
            self.refuse(name, "must not be an object");
            return None;
        }
        serde_json::from_value(value)
            .map_err(|error| self.refuse(name, error.to_string()))
            .ok()
    }

    /// Takes a required field.
    pub fn require<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        if !self.object.contains_key(name) {
            self.refuse(name, "this field is required");
        }
        self.take(name)
    }

    /// Takes a field that must also satisfy `valid`; `expected` says what that is.
    pub fn take_if<T: DeserializeOwned>(
        &mut self,
        name: &str,
        expected: &str,
        valid: impl Fn(&T) -> bool,
    ) -> Option<T> {
        let value = self.take(name)?;
        if valid(&value) {
            Some(value)
        } else {
            self.refuse(name, format!("must be {expected}"));
            None
        }
    }

    /// Takes a required field that must also satisfy `valid`.
    pub fn require_if<T: DeserializeOwned>(
        &mut self,
        name: &str,
        expected: &str,
        valid: impl Fn(&T) -> bool,
    ) -> Option<T> {
        if !self.object.contains_key(name) {
            self.refuse(name, "this field is required");
        }
        self.take_if(name, expected, valid)
    }

    /// Takes and parses a string that may be absent or null.
    pub fn parsed<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
        let text = self.take::<Option<String>>(name).flatten()?;
        text.parse()
            .map_err(|error: T::Err| self.refuse(name, error.to_string()))
            .ok()
    }

    /// Takes a list of at most `longest` entries of any type.
    pub fn list_json(&mut self, name: &str, longest: usize) -> Option<Vec<Value>> {
        let expected = format!("a list of at most {longest}");
        self.take_if(name, &expected, |values: &Vec<Value>| {
            values.len() <= longest
        })
    }

    /// Takes a list of at most `longest` entries that are no objects.
    pub fn list<T: DeserializeOwned>(&mut self, name: &str, longest: usize) -> Option<Vec<T>> {
        let values = self.list_json(name, longest)?.into_iter().enumerate();
        let mut entry = |(place, value)| self.scalar(&format!("{name}/{place}"), value);
        // What is no entry has been refused.
        Some(values.filter_map(&mut entry).collect())
    }

    /// Takes an object and reads its fields.
    pub fn nested<T>(&mut self, name: &str, read: impl FnOnce(&mut Self) -> T) -> Option<T> {
        let Value::Object(object) = self.take_json(name)? else {
            self.refuse(name, "must be an object");
            return None;
        };
        let mut nested = Self {
            pointer: self.pointer_to(name),
            object,
            invalid: Vec::new(),
        };
        let value = read(&mut nested);
        self.invalid.extend(nested.into_invalid());
        Some(value)
    }

    /// Takes an object that may be absent or null, and reads its fields.
    pub fn take_nullable<T>(&mut self, name: &str, read: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.object.get(name) == Some(&Value::Null) {
            self.object.remove(name);
        }
        if !self.object.contains_key(name) {
            return None;
        }
        self.nested(name, read)
    }

    /// Takes a string of at most `longest` characters that may be absent or null.
    pub fn take_nullable_text(&mut self, name: &str, longest: usize) -> Option<String> {
        let expected = format!("a string of at most {longest} characters, or null");
        self.take_if(name, &expected, |text: &Option<String>| {
            text.as_ref()
                .is_none_or(|text| text.chars().count() <= longest)
        })
        .flatten()
    }

    /// Records that a field is invalid.
    pub fn refuse(&mut self, name: &str, message: impl AsRef<str>) {
        let invalid = Invalid::new(self.pointer_to(name), message);
        self.invalid.push(invalid);
    }

    /// Returns what was read, or every error. `read` may be `None` only if a field was refused.
    pub fn finish<T>(self, read: Option<T>) -> Result<T, Problem> {
        let invalid = self.into_invalid();
        match read {
            Some(read) if invalid.is_empty() => Ok(read),
            Some(_) | None => Err(Problem::invalid(invalid)),
        }
    }

    fn into_invalid(self) -> Vec<Invalid> {
        let mut invalid = self.invalid;
        invalid.extend(self.object.keys().map(|name| {
            let escaped = name.replace('~', "~0").replace('/', "~1");
            Invalid::new(format!("{}/{escaped}", self.pointer), "unknown field")
        }));
        invalid
    }

    fn pointer_to(&self, name: &str) -> String {
        format!("{}/{name}", self.pointer)
    }
}
