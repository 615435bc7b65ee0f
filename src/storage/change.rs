//! The document that results from a write: the part of every engine that does not store.

use std::sync::Arc;

use crate::environment::Environment;
use crate::model::{
    Class, ClassName, CloudError, Column, ColumnType, Document, ErrorCode, Filter, KeyPath, ObjectId,
    Principal, RelationChange, Schema, SchemaChange, Test, Timestamp, Update, Value, limits,
};
use crate::store::{ReadError, WriteOutcome, Written};

/// New columns of a class, by name.
type Columns = Vec<(String, Column)>;

/// The result of a validated write, not yet stored.
#[derive(Debug)]
pub(super) struct Change {
    /// Id of the document.
    pub(super) id: ObjectId,
    /// The whole document, including `objectId`, `createdAt` and `updatedAt`.
    pub(super) document: Document,
    /// Time of creation.
    pub(super) created_at: Timestamp,
    /// Time of the write.
    pub(super) updated_at: Timestamp,
    /// Columns that the write adds to the class.
    pub(super) columns: Columns,
    /// Changes of relations, stored beside the document.
    pub(super) relations: Vec<RelationChange>,
    /// True for a create.
    pub(super) is_new: bool,
    /// True if the write sets the ACL.
    pub(super) writes_acl: bool,
}

impl Change {
    /// Creates a document.
    pub(super) fn create(
        class: &Class,
        fields: &Update,
        id: ObjectId,
        now: Timestamp,
    ) -> Result<Self, CloudError> {
        let mut document = Document::new();
        let (columns, relations) = apply(class, fields, &mut document)?;
        for (key, column) in &class.columns {
            if document.contains_key(key) {
                continue;
            }
            match &column.default {
                Some(default) => {
                    document.insert(key.clone(), default.clone());
                }
                None if column.required => {
                    return Err(CloudError::new(
                        ErrorCode::KEY_REQUIRED,
                        format!("Key is required. The column is: '{key}'."),
                    ));
                }
                None => {}
            }
        }
        check_indexed_lengths(class, &document, |_| true)?;
        if let Some(acl) = &class.default_acl
            && !document.contains_key("ACL")
        {
            document.insert("ACL".to_owned(), acl.clone());
        }
        document.insert("objectId".to_owned(), id.as_str().into());
        document.insert("createdAt".to_owned(), now.to_string().into());
        document.insert("updatedAt".to_owned(), now.to_string().into());
        Ok(Self {
            id,
            document,
            created_at: now,
            updated_at: now,
            columns,
            relations,
            is_new: true,
            writes_acl: true,
        })
    }

    /// Updates an existing document.
    pub(super) fn update(
        class: &Class,
        mut document: Document,
        at: (ObjectId, Timestamp),
        update: &Update,
        environment: &Environment,
    ) -> Result<Self, CloudError> {
        let (columns, relations) = apply(class, update, &mut document)?;
        // Values from before this limit may stay until they are written.
        let is_written = |column: &str| update.ops.iter().any(|(path, _)| path.column() == column);
        check_indexed_lengths(class, &document, is_written)?;
        let now = environment.now();
        document.insert("updatedAt".to_owned(), now.to_string().into());
        let (id, created_at) = at;
        Ok(Self {
            id,
            document,
            created_at,
            updated_at: now,
            columns,
            relations,
            is_new: false,
            writes_acl: update.ops.iter().any(|(path, _)| path.column() == "ACL"),
        })
    }

    /// The class with the added columns.
    pub(super) fn extended_class(&self, class: &Class) -> Class {
        let mut class = class.clone();
        class.columns.extend(self.columns.iter().cloned());
        class
    }

    /// The write's response.
    pub(super) fn into_written(self) -> Written {
        Written {
            object_id: Some(self.id),
            created_at: self.is_new.then_some(self.created_at),
            updated_at: Some(self.updated_at),
            fields: self.document,
        }
    }
}

/// The response to a delete.
pub(super) fn deleted(id: &ObjectId) -> Written {
    Written {
        object_id: Some(id.clone()),
        ..Written::default()
    }
}

/// Checks that `principal` may write `document` and that the precondition matches.
pub(super) fn allow(
    document: &Document,
    precondition: &Filter,
    principal: &Principal,
) -> Result<(), WriteOutcome> {
    if !principal.may_write(document) {
        return Err(WriteOutcome::Rejected(CloudError::new(
            ErrorCode::FORBIDDEN,
            "Forbidden writing by object's ACL.",
        )));
    }
    match precondition.matches(document) {
        Ok(true) => Ok(()),
        Ok(false) => Err(WriteOutcome::NotMatched),
        Err(error) => Err(WriteOutcome::Rejected(error)),
    }
}

fn apply(
    class: &Class,
    update: &Update,
    document: &mut Document,
) -> Result<(Columns, Vec<RelationChange>), CloudError> {
    if let Some((key, _)) = update
        .ops
        .iter()
        .find(|(key, _)| KeyPath::is_set_by_store(key.column()))
    {
        return Err(CloudError::new(
            ErrorCode::KEY_READ_ONLY,
            format!("The key is read only. The column is: '{key}'."),
        ));
    }
    let columns = class.validate(update)?;
    let applied = update.apply(document)?;
    for key in &applied.columns {
        let Some(value) = document.get_mut(key) else {
            continue;
        };
        if depth_exceeds(value, limits::VALUE_DEPTH_MAX) {
            return Err(CloudError::new(
                ErrorCode::INVALID_JSON,
                format!(
                    "The value of '{key}' is nested deeper than {} levels.",
                    limits::VALUE_DEPTH_MAX
                ),
            ));
        }
        let added = || {
            columns
                .iter()
                .find(|(name, _)| name == key)
                .map(|(_, column)| column)
        };
        let column = class.columns.get(key).or_else(added);
        if column.is_some_and(|column| column.column_type == ColumnType::Date) {
            normalize_date(value)?;
        }
    }
    Ok((columns, applied.relations))
}

/// Refuses a document with a value too long for an index of its class. Checks each element of an array and the JSON
/// of an object. `is_meant` selects the columns to check.
///
/// # Errors
/// Code 1.
pub(super) fn check_indexed_lengths(
    class: &Class,
    document: &Document,
    is_meant: impl Fn(&str) -> bool,
) -> Result<(), CloudError> {
    for key in class.indexes.iter().flat_map(|index| &index.keys) {
        let mut parts = key.split('.');
        let column = parts.next().unwrap_or(key);
        let Some(value) = document.get(column).filter(|_| is_meant(column)) else {
            continue;
        };
        if is_too_long(value, &parts.collect::<Vec<_>>()) {
            return Err(CloudError::other(format!(
                "The key is too long: '{key}' of class '{}' has an index, and can hold {} bytes.",
                class.name,
                limits::INDEXED_BYTES_MAX
            )));
        }
    }
    Ok(())
}

fn is_too_long(value: &Value, path: &[&str]) -> bool {
    match (value, path) {
        (Value::Array(elements), _) => elements.iter().any(|element| is_too_long(element, path)),
        (Value::Object(fields), [first, rest @ ..]) => {
            fields.get(*first).is_some_and(|value| is_too_long(value, rest))
        }
        (Value::String(text), []) => text.len() > limits::INDEXED_BYTES_MAX,
        (Value::Object(_), []) => value.to_string().len() > limits::INDEXED_BYTES_MAX,
        _ => false,
    }
}

/// Normalizes a date. Dates are stored in one form, so that their texts sort by time.
fn normalize_date(value: &mut Value) -> Result<(), CloudError> {
    let Some(iso) = value.get_mut("iso") else {
        return Ok(());
    };
    let time = Timestamp::parse(iso.as_str().unwrap_or_default())?;
    *iso = time.to_string().into();
    Ok(())
}

fn depth_exceeds(value: &Value, rest: usize) -> bool {
    let Some(less) = rest.checked_sub(1) else {
        return true;
    };
    match value {
        Value::Array(elements) => elements.iter().any(|element| depth_exceeds(element, less)),
        Value::Object(fields) => fields.values().any(|field| depth_exceeds(field, less)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// 137: a unique index already holds the value.
pub(super) fn duplicate() -> CloudError {
    CloudError::new(
        ErrorCode::DUPLICATE_VALUE,
        "A unique field was given a value that is already taken.",
    )
}

/// Refuses an object of more than [`limits::OBJECT_BYTES_MAX`] bytes (116).
pub(super) fn check_size(bytes: usize) -> Result<(), CloudError> {
    if bytes > limits::OBJECT_BYTES_MAX {
        return Err(too_large());
    }
    Ok(())
}

/// 116: the object exceeds its maximum size.
pub(super) fn too_large() -> CloudError {
    CloudError::new(
        ErrorCode::OBJECT_TOO_LARGE,
        format!(
            "The object is too large: an object holds at most {} MB.",
            limits::OBJECT_BYTES_MAX / (1024 * 1024)
        ),
    )
}

/// The class created by a first write, if the app may have another.
pub(super) fn new_class(schema: &Schema, name: &ClassName) -> Result<Class, CloudError> {
    if schema.classes.len() >= limits::CLASSES_MAX {
        let text = format!("The app has {} classes, the maximum.", limits::CLASSES_MAX);
        return Err(CloudError::new(ErrorCode::TOO_MANY_CLASSES, text));
    }
    Ok(Class::initial(name.clone()))
}

/// The class after `change`; `None` if nothing changes. The engine builds the indexes.
pub(super) fn apply_schema_change(
    schema: &Schema,
    change: SchemaChange,
) -> Result<Option<Class>, CloudError> {
    let existing = |name: &ClassName| match schema.classes.get(name) {
        Some(class) => Ok(Class::clone(class)),
        None => new_class(schema, name),
    };
    Ok(Some(match change {
        SchemaChange::CreateClass(class) => {
            if schema.classes.contains_key(&class.name) {
                return Ok(None);
            }
            new_class(schema, &class.name)?;
            class
        }
        SchemaChange::SetColumn(name, key, column) => {
            let mut class = existing(&name)?;
            if let Some(old) = class.columns.get(&key)
                && old.column_type != column.column_type
            {
                return Err(CloudError::new(
                    ErrorCode::INCORRECT_TYPE,
                    format!("The column '{key}' of '{name}' has another type, which cannot be changed."),
                ));
            }
            class.columns.insert(key, column);
            class
        }
        SchemaChange::SetPermissions(name, permissions) => {
            let mut class = existing(&name)?;
            class.permissions = permissions;
            class
        }
        SchemaChange::AddIndex(name, index) => {
            let mut class = existing(&name)?;
            if class.indexes.contains(&index) {
                return Ok(None);
            }
            if index.keys.is_empty() {
                return Err(CloudError::other("An index needs at least one key."));
            }
            class.indexes.push(index);
            class
        }
        SchemaChange::SetDefaultAcl(name, acl) => {
            let mut class = existing(&name)?;
            class.default_acl = acl.map(crate::model::Acl::into_value);
            class
        }
    }))
}

/// The schema with `class` added or replaced.
pub(super) fn with_class(schema: &Schema, class: Class) -> Arc<Schema> {
    let mut schema = schema.clone();
    schema.classes.insert(class.name.clone(), Arc::new(class));
    Arc::new(schema)
}

/// Refuses a filter with a sub-query. The caller must resolve sub-queries, and whether an engine would evaluate one
/// must not depend on the stored data.
pub(super) fn check_resolved(filter: &Filter) -> Result<(), ReadError> {
    fn resolved(test: &Test) -> bool {
        match test {
            Test::InQuery(_) | Test::NotInQuery(_) | Test::Select(_) | Test::DontSelect(_) => false,
            Test::Not(inner) => resolved(inner),
            _ => true,
        }
    }
    match filter {
        Filter::And(parts) | Filter::Or(parts) | Filter::Nor(parts) => {
            parts.iter().try_for_each(check_resolved)
        }
        Filter::Key(_, test) if resolved(test) => Ok(()),
        Filter::Key(..) | Filter::RelatedTo { .. } => Err(ReadError::Rejected(CloudError::other(
            "A sub-query ($inQuery, $select, $relatedTo) must be resolved before it reaches the store.",
        ))),
    }
}
