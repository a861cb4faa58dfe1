//! The tables of the template, created over the DynamoDB API so that an external DynamoDB gets them too.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::BoxError;
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::types::{TableStatus, TimeToLiveSpecification};
use tokio::time::sleep;

use crate::template::{Table, Topology};

/// Why a table could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// DynamoDB refused the call or did not answer.
    #[error("cannot {attempt} table {name}")]
    Refused {
        /// What was attempted.
        attempt: &'static str,
        /// The table.
        name: String,
        /// The SDK's error.
        #[source]
        source: BoxError,
    },
    /// The table did not become active in time.
    #[error("table {name} is still not active after {} s", ACTIVATION_TIMEOUT.as_secs())]
    NotActive {
        /// The table.
        name: String,
    },
}

/// How long a new table may take to become active.
const ACTIVATION_TIMEOUT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// Creates missing tables.
pub async fn prepare(client: &Client, topology: &Topology) -> Result<(), TableError> {
    for table in &topology.tables {
        if create(client, table).await? == Creation::New {
            wait_until_active(client, table).await?;
            expire(client, table).await?;
        }
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
enum Creation {
    New,
    Existing,
}

async fn create(client: &Client, table: &Table) -> Result<Creation, TableError> {
    let request = table
        .creation()
        .map_err(|error| failed("describe", table, error))?;
    let created = client
        .create_table()
        .table_name(&table.name)
        .set_attribute_definitions(Some(request.attributes))
        .set_key_schema(Some(request.key))
        .set_local_secondary_indexes(request.local_indexes)
        .set_global_secondary_indexes(request.global_indexes)
        .billing_mode(request.billing)
        .send()
        .await;
    match created {
        Ok(_) => Ok(Creation::New),
        Err(error) => match error.into_service_error() {
            CreateTableError::ResourceInUseException(_) => Ok(Creation::Existing),
            error => Err(failed("create", table, error)),
        },
    }
}

async fn wait_until_active(client: &Client, table: &Table) -> Result<(), TableError> {
    let polling = async {
        loop {
            let described = client
                .describe_table()
                .table_name(&table.name)
                .send()
                .await
                .map_err(|error| failed("describe", table, error))?;
            let status = described.table.and_then(|table| table.table_status);
            if status == Some(TableStatus::Active) {
                return Ok(());
            }
            sleep(POLL).await;
        }
    };
    tokio::time::timeout(ACTIVATION_TIMEOUT, polling)
        .await
        .unwrap_or_else(|_| {
            Err(TableError::NotActive {
                name: table.name.clone(),
            })
        })
}

async fn expire(client: &Client, table: &Table) -> Result<(), TableError> {
    let Some(attribute) = table.expiry_attribute() else {
        return Ok(());
    };
    let specification = TimeToLiveSpecification::builder()
        .attribute_name(attribute)
        .enabled(true)
        .build()
        .map_err(|error| failed("describe the expiry of", table, error))?;
    client
        .update_time_to_live()
        .table_name(&table.name)
        .time_to_live_specification(specification)
        .send()
        .await
        .map_err(|error| failed("set the expiry of", table, error))?;
    Ok(())
}

fn failed(attempt: &'static str, table: &Table, source: impl Into<BoxError>) -> TableError {
    TableError::Refused {
        attempt,
        name: table.name.clone(),
        source: source.into(),
    }
}
