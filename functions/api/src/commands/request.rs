//! The body of an admission. Its arguments are those that the command's type declares.

use domain::command::{
    Action, Argument, CommandType, Field, Origin, Reader, Refused, Shape, Value,
};
use serde_json::Value as Json;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr,
        schema::{Object, ObjectBuilder, OneOfBuilder, Schema, SchemaType, Type},
    },
};

use crate::{fields::Fields, problem::Problem, schema};

/// A requested command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandRequest {
    /// What the command does.
    pub action: Action,
    /// What causes the command.
    pub origin: Origin,
}

impl CommandRequest {
    /// Reads a body. Refuses unknown fields. Answers `404` if the body names a finding that cannot exist.
    pub(super) fn read(mut fields: Fields) -> Result<Self, Problem> {
        let mut body = Body {
            fields: &mut fields,
            unknown: false,
        };
        let read = match command_type(body.fields) {
            Some(kind) => {
                let origin = origin(kind, body.fields);
                let action = kind.read(&mut body);
                action.zip(origin)
            }
            // Without a known type, check the fields of every type, so that the caller learns of all errors.
            None => {
                for &kind in CommandType::ALL {
                    _ = origin(kind, body.fields);
                    for field in kind.fields() {
                        if let Some(Some(value)) = body.value(field) {
                            body.refuse(field, (field.check)(Some(value)));
                        }
                    }
                }
                None
            }
        };
        let not_found = body.unknown;
        let read = read.map(|(action, origin)| Self { action, origin });
        match fields.finish(read) {
            // Only the argument that names nothing is wrong.
            Err(_) if not_found => Err(Problem::not_found()),
            read => read,
        }
    }
}

/// A body from which arguments are read.
struct Body<'a> {
    fields: &'a mut Fields,
    /// Whether an argument names nothing that can exist.
    unknown: bool,
}

impl Body<'_> {
    /// Takes the value of a field. `None` if its JSON type does not match its shape; that is recorded as an error.
    fn value(&mut self, field: &Field) -> Option<Option<Value>> {
        Some(match (self.fields.take_json(field.name), field.shape) {
            (None | Some(Json::Null), _) | (Some(Json::Bool(false)), Shape::Flag) => None,
            (Some(Json::Bool(true)), Shape::Flag) => Some(Value::Set),
            (Some(Json::String(text)), Shape::Text { .. } | Shape::Word(_)) => {
                Some(Value::Text(text))
            }
            (Some(_), shape) => {
                let expected = match shape {
                    Shape::Text { .. } | Shape::Word(_) => "must be a string",
                    Shape::Flag => "must be true or false",
                };
                self.fields.refuse(field.name, expected);
                return None;
            }
        })
    }

    fn refuse(&mut self, field: &Field, refused: Option<Refused>) {
        match refused {
            Some(Refused::Missing) => self.fields.refuse(field.name, "this field is required"),
            Some(Refused::Invalid(error)) => self.fields.refuse(field.name, error),
            Some(Refused::Unknown) => self.unknown = true,
            None => {}
        }
    }
}

impl Reader for Body<'_> {
    fn argument<A: Argument>(&mut self, field: &Field) -> Option<A> {
        let value = self.value(field)?;
        A::of(value)
            .map_err(|refused| self.refuse(field, Some(refused)))
            .ok()
    }
}

fn command_type(fields: &mut Fields) -> Option<CommandType> {
    let name: String = fields.require("type")?;
    let named = name.parse().ok();
    if named.is_none() {
        let names: Vec<_> = CommandType::ALL.iter().map(|kind| kind.as_str()).collect();
        fields.refuse("type", format!("must be one of {}", names.join(", ")));
    }
    named
}

/// Reads the origin, if a client may choose it for this type.
fn origin(kind: CommandType, fields: &mut Fields) -> Option<Origin> {
    let allowed = kind.requested_origins();
    let Some(&usual) = allowed.first() else {
        return Some(Origin::Manual);
    };
    let expected = format!("one of {}", words(allowed).join(", "));
    let given = fields.take_if("origin", &expected, |origin: &Option<Origin>| {
        origin.is_none_or(|origin| allowed.contains(&origin))
    });
    match given {
        Some(given) => Some(given.unwrap_or(usual)),
        None => Some(usual),
    }
}

fn words(origins: &[Origin]) -> Vec<&'static str> {
    origins.iter().map(|origin| origin.as_str()).collect()
}

impl ToSchema for CommandRequest {
    fn name() -> std::borrow::Cow<'static, str> {
        "CommandRequest".into()
    }
}

impl PartialSchema for CommandRequest {
    fn schema() -> RefOr<Schema> {
        let one_of = CommandType::ALL.iter().fold(
            OneOfBuilder::new()
                .description(Some("A command to admit. Unknown fields are refused.")),
            |one_of, &kind| one_of.item(of_type(kind)),
        );
        Schema::OneOf(one_of.build()).into()
    }
}

fn of_type(kind: CommandType) -> Object {
    let mut object = ObjectBuilder::new()
        .title(Some(kind.as_str()))
        .description(Some(kind.doc()))
        .property("type", schema::words([kind.as_str()]))
        .required("type");
    for field in kind.fields() {
        object = object.property(field.name, of_field(field));
        if field.required {
            object = object.required(field.name);
        }
    }
    let origins = kind.requested_origins();
    if let Some(usual) = origins.first() {
        let mut origin = schema::words(words(origins));
        origin.description = Some("Where the request comes from.".to_owned());
        origin.default = Some(usual.as_str().into());
        object = object.property("origin", origin);
    }
    object.build()
}

fn of_field(field: &Field) -> Object {
    let text = if field.required {
        SchemaType::new(Type::String)
    } else {
        SchemaType::from_iter([Type::String, Type::Null])
    };
    let object = ObjectBuilder::new().description(Some(field.doc.trim()));
    match field.shape {
        Shape::Text { min, max, example } => object
            .schema_type(text)
            .min_length(min)
            .max_length(max)
            .examples(example),
        Shape::Word(words) => object.schema_type(text).enum_values(Some(words())),
        Shape::Flag => object
            .schema_type(Type::Boolean)
            .default(Some(false.into())),
    }
    .build()
}
