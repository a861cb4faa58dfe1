//! The arguments of a command, told once: what a client sends, what is stored, and what is compared are read off the same
//! list.

use std::{fmt, str::FromStr};

/// The value of one argument, as it is stored and compared.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A flag that is set. One that is not set has no value.
    Set,
}

// It may be a person's words, and debug output ends up in logs.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Value(..)")
    }
}

/// What one argument looks like to a client.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// A text.
    Text {
        /// Fewest characters.
        min: Option<usize>,
        /// Most characters.
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
    /// Its name where commands are stored.
    pub attribute: &'static str,
    /// What it is for.
    pub doc: &'static str,
    /// Whether a request must have it.
    pub required: bool,
    /// What it looks like.
    pub shape: Shape,
    /// What is wrong with this value of it, if something is.
    pub check: fn(Option<Value>) -> Option<Refused>,
}

/// Why a value is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There must be one.
    Missing,
    /// It is not what it must be, which this says.
    Invalid(String),
    /// It is well-formed and names nothing that can exist.
    Unknown,
}

/// A type that arguments can be of.
pub trait Argument: Sized {
    /// Whether a request must have it.
    const REQUIRED: bool;
    /// What it looks like.
    const SHAPE: Shape;

    /// The value, unless it is left out.
    fn value(&self) -> Option<Value>;

    /// Reads a value, or what is meant by none.
    fn of(value: Option<Value>) -> Result<Self, Refused>;
}

/// A text that an argument can be.
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

/// Where arguments are read from: a request's body, or a stored row.
pub trait Reader {
    /// Reads one argument. `None` if it is missing or wrong, which the reader keeps in mind.
    fn argument<A: Argument>(&mut self, field: &Field) -> Option<A>;
}

/// Declares the arguments of a command type: each with its doc, its Rust name (the stored one, too), its type and its name
/// in the API.
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
                // All are read before one that is missing ends it: a client hears of everything at once.
                let mut fields = Self::FIELDS.iter();
                $(let $field: Option<$argument> = fields.next().and_then(|field| reader.argument(field));)*
                Some(Self { $($field: $field?,)* })
            }
        }
    };
}

pub(super) use arguments;

/// What [`arguments!`] gives.
pub trait Arguments: Sized {
    /// The arguments, in the order in which they are read.
    const FIELDS: &'static [Field];

    /// The stored names and values of those that are not left out.
    fn values(&self) -> Vec<(&'static str, Value)>;

    /// Reads all of them.
    fn read(reader: &mut impl Reader) -> Option<Self>;
}
