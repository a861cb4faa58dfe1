//! The arguments of a command, declared once. The API's fields, the stored attributes and the fingerprint are derived
//! from the same list.

use std::{fmt, str::FromStr};

/// The value of one argument, as stored and compared.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A flag that is set. An unset flag has no value.
    Set,
}

// A value may be free text from a person, and debug output ends up in logs.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Value(..)")
    }
}

/// The form of an argument for clients.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// A text.
    Text {
        /// The minimum number of characters.
        min: Option<usize>,
        /// The maximum number of characters.
        max: Option<usize>,
        /// An example.
        example: Option<&'static str>,
    },
    /// One of these words.
    Word(fn() -> Vec<&'static str>),
    /// A flag.
    Flag,
}

/// One argument of a command type.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name in the API.
    pub name: &'static str,
    /// Its attribute in the command's row.
    pub attribute: &'static str,
    /// Its description.
    pub doc: &'static str,
    /// Whether a request must have it.
    pub required: bool,
    /// Its form.
    pub shape: Shape,
    /// Returns what is wrong with a value, if anything is.
    pub check: fn(Option<Value>) -> Option<Refused>,
}

/// Why a value is rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A required value is missing.
    Missing,
    /// The value is invalid; the text says what it must be.
    Invalid(String),
    /// The value names something that cannot exist.
    Unknown,
}

/// A type of argument.
pub trait Argument: Sized {
    /// Whether a request must have it.
    const REQUIRED: bool;
    /// Its form.
    const SHAPE: Shape;

    /// The value; `None` if it is left out.
    fn value(&self) -> Option<Value>;

    /// Reads a value. `None` means that it is left out.
    fn of(value: Option<Value>) -> Result<Self, Refused>;
}

/// A type of argument that is written as text.
pub(super) trait Word: FromStr<Err: fmt::Display> {
    const SHAPE: Shape;
    fn text(&self) -> String;

    fn read(text: &str) -> Result<Self, Refused> {
        text.parse()
            .map_err(|error: Self::Err| Refused::Invalid(error.to_string()))
    }
}

impl<T: Word> Argument for T {
    const REQUIRED: bool = true;
    const SHAPE: Shape = <T as Word>::SHAPE;

    fn value(&self) -> Option<Value> {
        Some(Value::Text(self.text()))
    }

    fn of(value: Option<Value>) -> Result<Self, Refused> {
        match value {
            Some(Value::Text(text)) => T::read(&text),
            Some(Value::Set) => Err(Refused::Invalid("must be a text".to_owned())),
            None => Err(Refused::Missing),
        }
    }
}

impl<T: Word> Argument for Option<T> {
    const REQUIRED: bool = false;
    const SHAPE: Shape = <T as Word>::SHAPE;

    fn value(&self) -> Option<Value> {
        self.as_ref().and_then(Argument::value)
    }

    fn of(value: Option<Value>) -> Result<Self, Refused> {
        value.map(|value| T::of(Some(value))).transpose()
    }
}

impl Argument for bool {
    const REQUIRED: bool = false;
    const SHAPE: Shape = Shape::Flag;

    fn value(&self) -> Option<Value> {
        self.then_some(Value::Set)
    }

    fn of(value: Option<Value>) -> Result<Self, Refused> {
        match value {
            Some(Value::Set) => Ok(true),
            Some(Value::Text(_)) => Err(Refused::Invalid("must be true or false".to_owned())),
            None => Ok(false),
        }
    }
}

/// A source of arguments: a request's body, or a stored row.
pub trait Reader {
    /// Reads one argument. `None` if it is missing or invalid; the reader remembers the error.
    fn argument<A: Argument>(&mut self, field: &Field) -> Option<A>;
}

/// Declares the arguments of a command type: each with its description, its Rust name (also the stored attribute), its
/// type and its name in the API.
macro_rules! arguments {
    (
        $(#[$meta:meta])*
        pub struct $type:ident {
            $($(#[doc = $doc:literal])+ pub $field:ident: $argument:ty = $name:literal,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $type {
            $($(#[doc = $doc])+ pub $field: $argument,)*
        }

        impl $crate::command::argument::Arguments for $type {
            const FIELDS: &'static [$crate::command::Field] = &[$($crate::command::Field {
                name: $name,
                attribute: stringify!($field),
                doc: concat!($($doc),+),
                required: <$argument as $crate::command::Argument>::REQUIRED,
                shape: <$argument as $crate::command::Argument>::SHAPE,
                check: |value| <$argument as $crate::command::Argument>::of(value).err(),
            },)*];

            fn values(&self) -> Vec<(&'static str, $crate::command::Value)> {
                let values = [$((stringify!($field), $crate::command::Argument::value(&self.$field)),)*];
                values
                    .into_iter()
                    .filter_map(|(name, value)| Some((name, value?)))
                    .collect()
            }

            fn read(reader: &mut impl $crate::command::Reader) -> Option<Self> {
                // Every argument is read before an invalid one ends the read, so a client gets all errors at once.
                let mut fields = Self::FIELDS.iter();
                $(let $field: Option<$argument> = fields.next().and_then(|field| reader.argument(field));)*
                Some(Self { $($field: $field?,)* })
            }
        }
    };
}

pub(super) use arguments;

/// The trait that `arguments!` implements.
pub trait Arguments: Sized {
    /// The arguments, in the order in which they are read.
    const FIELDS: &'static [Field];

    /// The attributes and values of the arguments that are not left out.
    fn values(&self) -> Vec<(&'static str, Value)>;

    /// Reads all arguments.
    fn read(reader: &mut impl Reader) -> Option<Self>;
}
