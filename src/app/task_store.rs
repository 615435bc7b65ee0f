//! The tasks of the engine's queue as documents of a store.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use async_trait::async_trait;
use serde_json::json;

use crate::engine::{Delivery, Task, TaskStatus, TaskStore};
use crate::model::{
    Class, ClassName, ClassPermissions, CloudError, Column, ColumnType, Document, ErrorCode, Filter, Index,
    ObjectId, Query, Schema, SchemaChange, Test, Timestamp, Update, Value,
};
use crate::store::{ReadError, Store, Write, WriteOutcome};

/// Class of the tasks. Its underscore keeps it apart from the classes of apps, and from clients.
const CLASS: &str = "_EngineTask";

/// A task store of documents; every change is a conditional write of one document.
#[derive(Debug)]
pub(crate) struct StoredTasks {
    store: Arc<dyn Store>,
    class: ClassName,
}

impl StoredTasks {
    /// Returns the tasks of `store`, whose schema has [`changes`].
    ///
    /// # Errors
    /// None in practice.
    pub(crate) fn new(store: Arc<dyn Store>) -> Result<Self> {
        let class = ClassName::parse(CLASS)?;
        Ok(Self { store, class })
    }

    async fn first(&self, query: &Query) -> Result<Option<Document>, CloudError> {
        let mut found = self.store.find(&self.class, query).await.map_err(unread)?;
        Ok(if found.is_empty() {
            None
        } else {
            Some(found.swap_remove(0))
        })
    }

    fn precondition(task: &Task) -> Result<(ObjectId, Filter), CloudError> {
        let id = ObjectId::parse(&task.id)?;
        Ok((id, Filter::all().eq("revision", task.revision)))
    }
}

/// Returns the changes that `schema` needs for tasks: a class for the master key alone.
///
/// # Errors
/// None in practice.
pub(crate) fn changes(schema: &Schema) -> Result<Vec<SchemaChange>> {
    let class = ClassName::parse(CLASS)?;
    if schema.classes.contains_key(&class) {
        return Ok(Vec::new());
    }
    let column = |column_type| Column {
        column_type,
        read_only: false,
        hidden: false,
        required: false,
        default: None,
    };
    let (text, number) = (column(ColumnType::String), column(ColumnType::Number));
    let columns: BTreeMap<String, Column> = [
        ("uniqueId", &text),
        ("function", &text),
        ("params", &text),
        ("attempts", &number),
        ("backoff", &number),
        ("delivery", &text),
        ("keepResult", &number),
        ("priority", &number),
        ("timeout", &number),
        ("status", &text),
        ("dueAt", &number),
        ("failures", &number),
        ("crashes", &number),
        ("finishedAt", &number),
        ("statusCode", &number),
        ("result", &text),
        ("error", &text),
        ("schedule", &text),
        ("revision", &number),
    ]
    .into_iter()
    .map(|(name, column)| (name.to_owned(), column.clone()))
    .collect();
    let index = |key: &str, unique| {
        let index = Index {
            keys: vec![key.to_owned()],
            unique,
            sparse: false,
        };
        SchemaChange::AddIndex(class.clone(), index)
    };
    Ok(vec![
        SchemaChange::CreateClass(Class {
            columns,
            permissions: ClassPermissions::master_only(),
            ..Class::new(class.clone())
        }),
        index("uniqueId", true),
        index("dueAt", false),
    ])
}

#[async_trait]
impl TaskStore for StoredTasks {
    async fn add(&self, task: &Task) -> Result<bool, CloudError> {
        match self.store.write(Write::create(&self.class, fields(task))).await {
            WriteOutcome::Applied(_) => Ok(true),
            WriteOutcome::Rejected(error) if error.code == ErrorCode::DUPLICATE_VALUE => Ok(false),
            WriteOutcome::Rejected(error) => Err(error),
            WriteOutcome::NotMatched => Err(CloudError::internal("a task could not be created")),
            WriteOutcome::Unknown(reason) => Err(unknown(&reason)),
        }
    }

    async fn get(&self, unique_id: &str) -> Result<Option<Task>, CloudError> {
        let query = Query::new(Filter::all().eq("uniqueId", unique_id)).limit(1);
        let found = self.first(&query).await?;
        found.as_ref().map(read).transpose()
    }

    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<Task>, CloudError> {
        let query = Query::new(Filter::all().lte("dueAt", now.as_millis()))
            .order_by("priority")
            .limit(limit);
        let found = self.store.find(&self.class, &query).await.map_err(unread)?;
        Ok(found
            .iter()
            .filter_map(|document| match read(document) {
                Ok(task) => Some(task),
                Err(error) => {
                    let id = document.text("objectId");
                    tracing::error!(object.id = id, cause = error.cause(), "task unreadable");
                    None
                }
            })
            .collect())
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, CloudError> {
        let query = Query::new(Filter::all().and_key("dueAt", Test::Exists(true)))
            .order_by("dueAt")
            .limit(1);
        let found = self.first(&query).await?;
        Ok(found
            .and_then(|document| document.integer("dueAt"))
            .map(Timestamp::from_millis))
    }

    async fn replace(&self, task: Task) -> Result<Option<Task>, CloudError> {
        let (id, precondition) = Self::precondition(&task)?;
        let task = Task {
            revision: task.revision.saturating_add(1),
            ..task
        };
        match self
            .store
            .write(Write::update(&self.class, &id, precondition, fields(&task)))
            .await
        {
            WriteOutcome::Applied(_) => Ok(Some(task)),
            WriteOutcome::NotMatched => Ok(None),
            WriteOutcome::Rejected(error) => Err(error),
            WriteOutcome::Unknown(reason) => Err(unknown(&reason)),
        }
    }

    async fn remove(&self, task: &Task) -> Result<(), CloudError> {
        let (id, precondition) = Self::precondition(task)?;
        match self
            .store
            .write(Write::delete(&self.class, &id, precondition))
            .await
        {
            WriteOutcome::Applied(_) | WriteOutcome::NotMatched => Ok(()),
            WriteOutcome::Rejected(error) => Err(error),
            WriteOutcome::Unknown(reason) => Err(unknown(&reason)),
        }
    }
}

fn unread(error: ReadError) -> CloudError {
    match error {
        ReadError::Rejected(error) => error,
        ReadError::Unavailable(reason) => unknown(&reason),
    }
}

fn unknown(reason: &str) -> CloudError {
    tracing::warn!(reason, "task store unavailable");
    CloudError::new(
        ErrorCode::UNAVAILABLE,
        "The queue's store does not answer; ask again with the same uniqueId.",
    )
}

/// Encodes a task as a document. Parameters and results are texts: the store does not validate their keys.
fn fields(task: &Task) -> Update {
    let text = |value: &Value| Value::String(value.to_string());
    let mut update = Update::new()
        .set("uniqueId", task.unique_id.as_str())
        .set("function", task.function.as_str())
        .set("params", text(&task.params.clone().into_value()))
        .set("attempts", task.attempts)
        .set("backoff", task.backoff)
        .set("delivery", json!(task.delivery))
        .set("keepResult", task.keep_result)
        .set("priority", task.priority)
        .set("timeout", task.timeout)
        .set("status", task.status.name())
        .set("dueAt", task.due_at.as_millis())
        .set("failures", task.failures)
        .set("crashes", task.crashes)
        .set("revision", task.revision);
    for (key, value) in [
        (
            "finishedAt",
            task.finished_at.map(|time| Value::from(time.as_millis())),
        ),
        ("statusCode", task.status_code.map(Value::from)),
        ("result", task.result.as_ref().map(text)),
        ("error", task.error.as_deref().map(Value::from)),
        ("schedule", task.schedule.as_deref().map(Value::from)),
    ] {
        // A new task has no columns to delete.
        if let Some(value) = value {
            update = update.set(key, value);
        } else if task.revision > 0 {
            update = update.delete(key);
        }
    }
    update
}

fn read(document: &Document) -> Result<Task, CloudError> {
    let broken = |key: &str| CloudError::internal(format!("a task without a usable {key}"));
    let text = |key: &str| document.text(key).ok_or_else(|| broken(key));
    let number = |key: &str| document.integer(key).ok_or_else(|| broken(key));
    let unsigned = |key: &str| number(key)?.try_into().map_err(|_| broken(key));
    let small = |key: &str| number(key)?.try_into().map_err(|_| broken(key));
    let json = |key: &str, text: &str| serde_json::from_str(text).map_err(|_| broken(key));
    Ok(Task {
        unique_id: text("uniqueId")?.to_owned(),
        function: text("function")?.to_owned(),
        params: match json("params", text("params")?)? {
            Value::Object(fields) => Document(fields),
            _ => return Err(broken("params")),
        },
        attempts: small("attempts")?,
        backoff: unsigned("backoff")?,
        delivery: match text("delivery")? {
            "atMostOnce" => Delivery::AtMostOnce,
            _ => Delivery::AtLeastOnce,
        },
        keep_result: unsigned("keepResult")?,
        priority: number("priority")?,
        timeout: unsigned("timeout")?,
        status: TaskStatus::from_name(text("status")?).ok_or_else(|| broken("status"))?,
        due_at: Timestamp::from_millis(number("dueAt")?),
        failures: small("failures")?,
        crashes: small("crashes")?,
        finished_at: document.integer("finishedAt").map(Timestamp::from_millis),
        status_code: document
            .integer("statusCode")
            .and_then(|status| status.try_into().ok()),
        result: document
            .text("result")
            .map(|text| json("result", text))
            .transpose()?,
        error: document.text("error").map(ToOwned::to_owned),
        schedule: document.text("schedule").map(ToOwned::to_owned),
        revision: number("revision")?,
        id: text("objectId")?.to_owned(),
    })
}

/// Creates the queue's class if it does not exist yet.
///
/// # Errors
/// A store that cannot be written.
pub(crate) async fn prepare(store: &crate::storage::SqliteStore) -> Result<()> {
    use crate::store::Database;
    for change in changes(&store.schema())? {
        store
            .define(change)
            .await
            .context("the class of the queue's tasks cannot be created")?;
    }
    Ok(())
}
