//! The only definition of the tables. Local runs and tests create their tables from it, and a test compares `template.yaml`
//! with it.

use crate::error::failure;
use crate::item::{ENDED_AT, ENDED_BUCKET, EXPIRES_AT, ID, KEY, SESSION, USER, USERNAME};
use crate::{DynamoDb, TableNames, not_given};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{Builder, Config};
use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::operation::describe_table::DescribeTableError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, GlobalSecondaryIndexDescription, IndexStatus,
    KeySchemaElement, KeyType, Projection, ProjectionType, ScalarAttributeType, StreamSpecification,
    StreamViewType, TableDescription, TableStatus, TimeToLiveSpecification, TimeToLiveStatus,
};
use daypass_core::ports::store::StoreError;
use std::time::Duration;

/// Purpose of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Users and their password hashes.
    Users,
    /// Sessions of users.
    Sessions,
    /// Counters of the rate limits.
    Attempts,
    /// Requests for mails.
    Outbox,
}

/// A sparse index of a table. It contains only items that have both of its keys, and of them only the keys (`KEYS_ONLY`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexSchema {
    /// Name of the index, as queries use it.
    pub name: &'static str,
    /// Partition key, a string (`S`).
    pub partition_key: &'static str,
    /// Sort key, a number (`N`).
    pub sort_key: &'static str,
}

/// A table. Its key attributes are strings (`S`). All tables are billed on demand and encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableSchema {
    /// Purpose of the table.
    pub role: Role,
    /// Partition key, a string (`S`).
    pub partition_key: &'static str,
    /// Sort key, a string (`S`), if there is one.
    pub sort_key: Option<&'static str>,
    /// TTL attribute (seconds since the epoch), if items expire.
    pub ttl: Option<&'static str>,
    /// Index of the table, if there is one.
    pub index: Option<IndexSchema>,
    /// Whether the table has a stream of new images, which starts a function.
    pub stream: bool,
    /// Whether the deployed table is protected from deletion.
    pub deletion_protection: bool,
    /// Whether the deployed table can be restored to a point in time.
    pub point_in_time_recovery: bool,
}

/// The index of sessions that ended early, sorted by time in sixteen partitions. `GET /revocations` reads it. Only an ending
/// sets its keys, so a refresh writes only to the table.
pub const ENDED_INDEX: IndexSchema =
    IndexSchema { name: "ended", partition_key: ENDED_BUCKET, sort_key: ENDED_AT };

/// The tables of a stack.
pub const TABLES: [TableSchema; 4] = [
    TableSchema {
        role: Role::Users,
        partition_key: USERNAME,
        sort_key: None,
        ttl: None,
        index: None,
        stream: false,
        deletion_protection: true,
        point_in_time_recovery: true,
    },
    TableSchema {
        role: Role::Sessions,
        partition_key: USER,
        sort_key: Some(SESSION),
        ttl: Some(EXPIRES_AT),
        index: Some(ENDED_INDEX),
        stream: false,
        deletion_protection: true,
        // Deliberately off. In a restored older copy, ended sessions would be live, and used tokens valid again.
        point_in_time_recovery: false,
    },
    TableSchema {
        role: Role::Attempts,
        partition_key: KEY,
        sort_key: None,
        ttl: Some(EXPIRES_AT),
        index: None,
        stream: false,
        deletion_protection: false,
        point_in_time_recovery: false,
    },
    TableSchema {
        role: Role::Outbox,
        partition_key: ID,
        sort_key: None,
        ttl: Some(EXPIRES_AT),
        index: None,
        stream: true,
        deletion_protection: false,
        // A restored older copy would send mails again.
        point_in_time_recovery: false,
    },
];

/// Longest time until a new table can be used.
const CREATION_TIMEOUT: Duration = Duration::from_secs(60);
const POLL_PAUSE: Duration = Duration::from_millis(200);

impl DynamoDb {
    /// Creates missing tables: see [`create`].
    ///
    /// # Errors
    /// As [`create`].
    pub async fn create_tables(&self) -> Result<(), StoreError> {
        create(&self.client, &self.tables).await
    }
}

/// Creates missing tables, the outbox only if it has a name, waits until they can be used, and turns TTL on. Can be repeated. For local runs and tests:
/// `template.yaml` creates the tables of a stack.
///
/// # Errors
/// [`StoreError`] when DynamoDB cannot be reached or refuses, when a table cannot be used in time, or when a table of that
/// name exists with other keys.
pub async fn create(client: &Client, names: &TableNames) -> Result<(), StoreError> {
    for table in &TABLES {
        let name = match table.role {
            Role::Users => names.users.as_deref().ok_or_else(|| not_given("users"))?,
            Role::Sessions => &names.sessions,
            Role::Attempts => names.attempts.as_deref().ok_or_else(|| not_given("attempts"))?,
            Role::Outbox => match names.outbox.as_deref() {
                Some(name) => name,
                None => continue,
            },
        };
        create_one(client, table, name).await?;
        wait_until_active(client, table, name).await?;
        if let Some(attribute) = table.ttl {
            enable_ttl(client, name, attribute).await?;
        }
    }
    Ok(())
}

/// A client with long time limits, for operators and tests. Creating a table takes seconds. DynamoDB Local takes seconds for
/// its first response, and more than a second to read a megabyte.
pub(crate) fn patient() -> Builder {
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(Duration::from_secs(10))
        .operation_timeout(Duration::from_secs(30))
        .build();
    Config::builder().timeout_config(timeouts)
}

async fn create_one(client: &Client, table: &TableSchema, name: &str) -> Result<(), StoreError> {
    let mut request = client.create_table().table_name(name).billing_mode(BillingMode::PayPerRequest);
    let keys = [(Some(table.partition_key), KeyType::Hash), (table.sort_key, KeyType::Range)];
    for (attribute, key) in keys {
        let Some(attribute) = attribute else { continue };
        request = request
            .key_schema(key_element(attribute, key)?)
            .attribute_definitions(definition(attribute, ScalarAttributeType::S)?);
    }
    if table.stream {
        request = request.stream_specification(new_images()?);
    }
    if let Some(index) = &table.index {
        request = request
            .global_secondary_indexes(sparse(index)?)
            .attribute_definitions(definition(index.partition_key, ScalarAttributeType::S)?)
            .attribute_definitions(definition(index.sort_key, ScalarAttributeType::N)?);
    }
    match request.customize().config_override(patient()).send().await {
        Ok(_) => Ok(()),
        Err(error) => match error.as_service_error() {
            Some(CreateTableError::ResourceInUseException(_)) => Ok(()),
            _ => Err(failure("CreateTable", &error)),
        },
    }
}

fn new_images() -> Result<StreamSpecification, StoreError> {
    let specification = StreamSpecification::builder().stream_enabled(true);
    specification.stream_view_type(StreamViewType::NewImage).build().map_err(|error| bug(&error))
}

fn keys_only() -> Projection {
    Projection::builder().projection_type(ProjectionType::KeysOnly).build()
}

fn key_element(attribute: &str, key: KeyType) -> Result<KeySchemaElement, StoreError> {
    KeySchemaElement::builder().attribute_name(attribute).key_type(key).build().map_err(|error| bug(&error))
}

fn definition(attribute: &str, kind: ScalarAttributeType) -> Result<AttributeDefinition, StoreError> {
    let definition = AttributeDefinition::builder().attribute_name(attribute).attribute_type(kind);
    definition.build().map_err(|error| bug(&error))
}

fn sparse(index: &IndexSchema) -> Result<GlobalSecondaryIndex, StoreError> {
    GlobalSecondaryIndex::builder()
        .index_name(index.name)
        .key_schema(key_element(index.partition_key, KeyType::Hash)?)
        .key_schema(key_element(index.sort_key, KeyType::Range)?)
        .projection(keys_only())
        .build()
        .map_err(|error| bug(&error))
}

async fn wait_until_active(client: &Client, table: &TableSchema, name: &str) -> Result<(), StoreError> {
    let poll = async {
        loop {
            if let Some(description) = describe(client, name).await?
                && description.table_status() == Some(&TableStatus::Active)
                && description.global_secondary_indexes().iter().all(can_be_used)
            {
                return check_keys(table, name, &description);
            }
            tokio::time::sleep(POLL_PAUSE).await;
        }
    };
    tokio::time::timeout(CREATION_TIMEOUT, poll).await.unwrap_or_else(|_| {
        Err(StoreError::Unavailable(format!("CreateTable: the table {name} is not active after a minute")))
    })
}

/// Whether an index can be queried. It cannot while DynamoDB still fills it.
fn can_be_used(index: &GlobalSecondaryIndexDescription) -> bool {
    index.index_status().is_none_or(|status| *status == IndexStatus::Active)
}

/// The description of a table. `None` if DynamoDB does not know the table, or not yet.
async fn describe(client: &Client, name: &str) -> Result<Option<TableDescription>, StoreError> {
    match client.describe_table().table_name(name).customize().config_override(patient()).send().await {
        Ok(output) => Ok(output.table),
        Err(error) => match error.as_service_error() {
            Some(DescribeTableError::ResourceNotFoundException(_)) => Ok(None),
            _ => Err(failure("DescribeTable", &error)),
        },
    }
}

fn check_keys(table: &TableSchema, name: &str, found: &TableDescription) -> Result<(), StoreError> {
    let key = |kind: &KeyType| {
        found.key_schema().iter().find(|key| key.key_type() == kind).map(KeySchemaElement::attribute_name)
    };
    if key(&KeyType::Hash) == Some(table.partition_key) && key(&KeyType::Range) == table.sort_key {
        let has = |index: &IndexSchema| {
            found.global_secondary_indexes().iter().any(|found| found.index_name() == Some(index.name))
        };
        return match &table.index {
            Some(index) if !has(index) => Err(StoreError::Broken(format!(
                "the table {name} has no index `{}`, as one of an earlier version: choose another name or delete it \
                 (`cargo dev --fresh`)",
                index.name
            ))),
            _ => Ok(()),
        };
    }
    Err(StoreError::Broken(format!(
        "the table {name} exists with other keys than {:?} has: choose another name or delete it",
        table.role
    )))
}

async fn enable_ttl(client: &Client, name: &str, attribute: &str) -> Result<(), StoreError> {
    let found =
        client.describe_time_to_live().table_name(name).customize().config_override(patient()).send().await;
    let found = found.map_err(|error| failure("DescribeTimeToLive", &error))?.time_to_live_description;
    let status = found.and_then(|found| found.time_to_live_status);
    if matches!(status, Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)) {
        return Ok(());
    }
    let specification = TimeToLiveSpecification::builder()
        .enabled(true)
        .attribute_name(attribute)
        .build()
        .map_err(|error| bug(&error))?;
    client
        .update_time_to_live()
        .table_name(name)
        .time_to_live_specification(specification)
        .customize()
        .config_override(patient())
        .send()
        .await
        .map_err(|error| failure("UpdateTimeToLive", &error))?;
    Ok(())
}

/// The error for a request without a required member, which the SDK detects only at run time: a bug of this crate.
pub(crate) fn bug(error: &BuildError) -> StoreError {
    StoreError::Broken(format!("a request was built wrongly: {error}"))
}
