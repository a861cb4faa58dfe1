//! A DynamoDB table of the template, and the `CreateTable` request that creates it.

use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType,
    LocalSecondaryIndex, Projection, ProjectionType, ScalarAttributeType,
};
use serde::Deserialize;

/// A table with its indexes.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Table {
    /// Its logical id, which is also its name.
    #[serde(skip)]
    pub name: String,
    attribute_definitions: Vec<Attribute>,
    key_schema: Vec<Key>,
    #[serde(default)]
    local_secondary_indexes: Vec<Index>,
    #[serde(default)]
    global_secondary_indexes: Vec<Index>,
    time_to_live_specification: Option<TimeToLive>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Attribute {
    attribute_name: String,
    attribute_type: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Key {
    attribute_name: String,
    key_type: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Index {
    index_name: String,
    key_schema: Vec<Key>,
    projection: Projected,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Projected {
    projection_type: String,
    non_key_attributes: Option<Vec<String>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TimeToLive {
    attribute_name: String,
    enabled: bool,
}

/// The parts of a `CreateTable` request that the template determines.
#[derive(Debug, Clone)]
pub struct CreateTable {
    /// The attributes that keys and indexes use.
    pub attributes: Vec<AttributeDefinition>,
    /// The primary key.
    pub key: Vec<KeySchemaElement>,
    /// The local secondary indexes.
    pub local_indexes: Option<Vec<LocalSecondaryIndex>>,
    /// The global secondary indexes.
    pub global_indexes: Option<Vec<GlobalSecondaryIndex>>,
    /// Always on demand: the local stack does not limit capacity.
    pub billing: BillingMode,
}

impl Table {
    /// The TTL attribute, if items expire.
    pub fn expiry_attribute(&self) -> Option<&str> {
        self.time_to_live_specification
            .as_ref()
            .filter(|ttl| ttl.enabled)
            .map(|ttl| ttl.attribute_name.as_str())
    }

    /// The table's name and that of its partition key.
    pub fn partition(&self) -> Option<(String, String)> {
        let hashed = |key: &&Key| key.key_type == "HASH";
        let key = self.key_schema.iter().find(hashed)?;
        Some((self.name.clone(), key.attribute_name.clone()))
    }

    /// Builds the request that creates the table.
    pub fn creation(&self) -> Result<CreateTable, BuildError> {
        Ok(CreateTable {
            attributes: self
                .attribute_definitions
                .iter()
                .map(Attribute::definition)
                .collect::<Result<_, _>>()?,
            key: keys(&self.key_schema)?,
            local_indexes: some_if_any(
                self.local_secondary_indexes
                    .iter()
                    .map(Index::local)
                    .collect::<Result<_, _>>()?,
            ),
            global_indexes: some_if_any(
                self.global_secondary_indexes
                    .iter()
                    .map(Index::global)
                    .collect::<Result<_, _>>()?,
            ),
            billing: BillingMode::PayPerRequest,
        })
    }
}

impl Attribute {
    fn definition(&self) -> Result<AttributeDefinition, BuildError> {
        AttributeDefinition::builder()
            .attribute_name(&self.attribute_name)
            .attribute_type(ScalarAttributeType::from(self.attribute_type.as_str()))
            .build()
    }
}

impl Index {
    fn local(&self) -> Result<LocalSecondaryIndex, BuildError> {
        LocalSecondaryIndex::builder()
            .index_name(&self.index_name)
            .set_key_schema(Some(keys(&self.key_schema)?))
            .projection(self.projection.projection())
            .build()
    }

    fn global(&self) -> Result<GlobalSecondaryIndex, BuildError> {
        GlobalSecondaryIndex::builder()
            .index_name(&self.index_name)
            .set_key_schema(Some(keys(&self.key_schema)?))
            .projection(self.projection.projection())
            .build()
    }
}

impl Projected {
    fn projection(&self) -> Projection {
        Projection::builder()
            .projection_type(ProjectionType::from(self.projection_type.as_str()))
            .set_non_key_attributes(self.non_key_attributes.clone())
            .build()
    }
}

fn keys(schema: &[Key]) -> Result<Vec<KeySchemaElement>, BuildError> {
    schema
        .iter()
        .map(|key| {
            KeySchemaElement::builder()
                .attribute_name(&key.attribute_name)
                .key_type(KeyType::from(key.key_type.as_str()))
                .build()
        })
        .collect()
}

/// Returns `None` for an empty list: DynamoDB refuses an empty list of indexes.
fn some_if_any<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}
