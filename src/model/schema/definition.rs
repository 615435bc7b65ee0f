//! Class definitions, as read and written over `/schemas` with the master key.

use serde_json::{Map, json};

use super::type_error::reserved;
use crate::model::value::normalize;
use crate::model::{
    Acl, Class, ClassName, ClassPermissions, CloudError, Column, ColumnType, ErrorCode, Index, KeyPath,
    ObjectId, Permission, SchemaChange, Value, limits,
};

/// Maximum number of keys of one index.
const INDEX_KEYS_MAX: usize = 8;

/// Maximum number of indexes of one class: each one costs every write.
const INDEXES_MAX: usize = 64;

/// The columns of every class, with their types.
pub const COMMON_COLUMNS: [(&str, &str); 4] = [
    ("objectId", "String"),
    ("createdAt", "Date"),
    ("updatedAt", "Date"),
    ("ACL", "ACL"),
];

/// A definition. It leaves unnamed parts of the class unchanged.
#[derive(Debug, Default)]
pub struct Definition {
    columns: Vec<(String, Column)>,
    permissions: Option<ClassPermissions>,
    indexes: Vec<Index>,
    default_acl: AclChange,
}

/// The change of a class's default ACL.
#[derive(Debug, Default)]
enum AclChange {
    #[default]
    Keep,
    Remove,
    Set(Acl),
}

impl Definition {
    /// Parses a definition of `class` in its current state.
    ///
    /// # Errors
    /// 105, 107, 111, 123; code 1 for too many columns or indexes.
    pub fn parse(body: &Map<String, Value>, class: &Class) -> Result<Self, CloudError> {
        let mut definition = Self::default();
        for (name, value) in body {
            match name.as_str() {
                "columns" => definition.columns = parse_columns(object(name, value)?, class)?,
                "permissions" => {
                    let permissions = parse_permissions(object(name, value)?, &class.permissions)?;
                    definition.permissions = Some(permissions);
                }
                "indexes" => definition.indexes = parse_indexes(value, class)?,
                "acl" if value.is_null() => definition.default_acl = AclChange::Remove,
                "acl" => definition.default_acl = AclChange::Set(Acl::parse(value)?),
                _ => {
                    return Err(CloudError::malformed(format!(
                        "Unknown key '{name}' of a definition: use 'columns', 'permissions', 'indexes' or 'acl'."
                    )));
                }
            }
        }
        Ok(definition)
    }

    /// Applies the definition to a new class.
    pub fn apply(self, class: &mut Class) {
        class.columns.extend(self.columns);
        if let Some(permissions) = self.permissions {
            class.permissions = permissions;
        }
        for index in self.indexes {
            if !class.indexes.contains(&index) {
                class.indexes.push(index);
            }
        }
        match self.default_acl {
            AclChange::Keep => {}
            AclChange::Remove => class.default_acl = None,
            AclChange::Set(acl) => class.default_acl = Some(acl.into_value()),
        }
    }

    /// The changes of the schema, columns before the indexes on them.
    #[must_use]
    pub fn into_changes(self, name: &ClassName) -> Vec<SchemaChange> {
        let mut changes: Vec<SchemaChange> = self
            .columns
            .into_iter()
            .map(|(key, column)| SchemaChange::SetColumn(name.clone(), key, column))
            .collect();
        changes.extend(
            self.permissions
                .map(|permissions| SchemaChange::SetPermissions(name.clone(), permissions)),
        );
        let indexes = self.indexes.into_iter();
        changes.extend(indexes.map(|index| SchemaChange::AddIndex(name.clone(), index)));
        match self.default_acl {
            AclChange::Keep => {}
            AclChange::Remove => changes.push(SchemaChange::SetDefaultAcl(name.clone(), None)),
            AclChange::Set(acl) => changes.push(SchemaChange::SetDefaultAcl(name.clone(), Some(acl))),
        }
        changes
    }
}

fn object<'v>(name: &str, value: &'v Value) -> Result<&'v Map<String, Value>, CloudError> {
    value
        .as_object()
        .ok_or_else(|| CloudError::malformed(format!("'{name}' must be an object.")))
}

fn flag(name: &str, value: &Value) -> Result<bool, CloudError> {
    value
        .as_bool()
        .ok_or_else(|| CloudError::malformed(format!("'{name}' must be true or false.")))
}

fn parse_columns(columns: &Map<String, Value>, class: &Class) -> Result<Vec<(String, Column)>, CloudError> {
    let mut parsed = Vec::with_capacity(columns.len());
    for (key, value) in columns {
        KeyPath::check_column(key)?;
        if COMMON_COLUMNS.iter().any(|(name, _)| name == key) {
            return Err(CloudError::malformed(format!(
                "'{key}' is a column of every class and cannot be defined."
            )));
        }
        let before = class.columns.get(key);
        if before.is_none() && KeyPath::is_reserved(key) {
            return Err(reserved(key));
        }
        let column = parse_column(key, object(key, value)?, before)?;
        parsed.push((key.clone(), column));
    }
    let new = parsed.iter().filter(|(key, _)| !class.columns.contains_key(key));
    if class.columns.len() + new.count() > limits::COLUMNS_MAX {
        return Err(CloudError::other(format!(
            "A class has at most {} columns.",
            limits::COLUMNS_MAX
        )));
    }
    Ok(parsed)
}

fn parse_column(
    key: &str,
    attributes: &Map<String, Value>,
    before: Option<&Column>,
) -> Result<Column, CloudError> {
    let column_type = match (attributes.contains_key("type"), before) {
        (true, _) => parse_type(key, attributes)?,
        (false, Some(before)) => before.column_type.clone(),
        (false, None) => {
            return Err(CloudError::malformed(format!(
                "The new column '{key}' needs a 'type'."
            )));
        }
    };
    if let Some(before) = before.filter(|before| before.column_type != column_type) {
        return Err(CloudError::new(
            ErrorCode::INCORRECT_TYPE,
            format!("The column '{key}' keeps its type: {}.", show_column(before)),
        ));
    }
    let mut column = before.cloned().unwrap_or_else(|| Column::new(column_type));
    for (name, value) in attributes {
        match name.as_str() {
            "type" | "className" => {}
            "readOnly" => column.read_only = flag(name, value)?,
            "hidden" => column.hidden = flag(name, value)?,
            "required" => column.required = flag(name, value)?,
            "default" => column.default = parse_default(key, value, &column.column_type)?,
            _ => {
                return Err(CloudError::malformed(format!(
                    "Unknown key '{name}' of a column: use 'type', 'className', 'default', 'readOnly', 'hidden' or 'required'."
                )));
            }
        }
    }
    Ok(column)
}

fn parse_type(key: &str, attributes: &Map<String, Value>) -> Result<ColumnType, CloudError> {
    let mut named = Map::new();
    for name in ["type", "className"] {
        if let Some(value) = attributes.get(name) {
            named.insert(name.to_owned(), value.clone());
        }
    }
    serde_json::from_value(Value::Object(named))
        .map_err(|error| CloudError::malformed(format!("The type of the column '{key}': {error}.")))
}

/// Parses a default; `null` removes it.
fn parse_default(key: &str, value: &Value, column: &ColumnType) -> Result<Option<Value>, CloudError> {
    let mut value = value.clone();
    normalize(&mut value)?;
    match ColumnType::of(&value)? {
        None => Ok(None),
        Some(found) if found == *column && !matches!(column, ColumnType::Relation { .. }) => Ok(Some(value)),
        Some(_) => Err(CloudError::new(
            ErrorCode::INCORRECT_TYPE,
            format!("The default of '{key}' is not of the column's type: {value}."),
        )),
    }
}

fn parse_permissions(
    body: &Map<String, Value>,
    before: &ClassPermissions,
) -> Result<ClassPermissions, CloudError> {
    let mut permissions = before.clone();
    for (name, value) in body {
        let place = match name.as_str() {
            "add_fields" => &mut permissions.add_fields,
            "create" => &mut permissions.create,
            "delete" => &mut permissions.delete,
            "update" => &mut permissions.update,
            "find" => &mut permissions.find,
            "get" => &mut permissions.get,
            _ => {
                return Err(CloudError::malformed(format!(
                    "Unknown permission '{name}': use 'add_fields', 'create', 'delete', 'update', 'find' or 'get'."
                )));
            }
        };
        *place = parse_permission(name, value)?;
    }
    Ok(permissions)
}

/// Parses a permission: `{"*": true}`, `{"onlySignInUsers": true}`, `{"users": […], "roles": […]}`, or `{}` for the
/// master key alone.
fn parse_permission(name: &str, value: &Value) -> Result<Permission, CloudError> {
    let unclear = || {
        CloudError::malformed(format!(
            "The permission '{name}' must be {{\"*\": true}}, {{\"onlySignInUsers\": true}}, \
             {{\"users\": [ids], \"roles\": [names]}}, or {{}} for the master key alone."
        ))
    };
    let holders = object(name, value)?;
    let list = |key: &str| match holders.get(key) {
        None => Ok(Vec::new()),
        Some(Value::Array(names)) => names
            .iter()
            .map(|name| name.as_str().map(ToOwned::to_owned).ok_or_else(unclear))
            .collect(),
        Some(_) => Err(unclear()),
    };
    let known = ["*", "onlySignInUsers", "users", "roles"];
    if holders.keys().any(|key| !known.contains(&key.as_str())) {
        return Err(unclear());
    }
    let is_set = |key: &str| holders.get(key).map_or(Ok(false), |value| flag(key, value));
    if is_set("*")? {
        return Ok(Permission::Public);
    }
    if is_set("onlySignInUsers")? {
        return Ok(Permission::LoggedIn);
    }
    let (users, roles) = (list("users")?, list("roles")?);
    if users.is_empty() && roles.is_empty() {
        return Ok(Permission::MasterOnly);
    }
    Ok(Permission::Named {
        users: users
            .iter()
            .map(|id| ObjectId::parse(id))
            .collect::<Result<_, _>>()?,
        roles,
    })
}

fn parse_indexes(value: &Value, class: &Class) -> Result<Vec<Index>, CloudError> {
    let indexes = value
        .as_array()
        .ok_or_else(|| CloudError::malformed("'indexes' must be an array.".to_owned()))?;
    if class.indexes.len() + indexes.len() > INDEXES_MAX {
        return Err(CloudError::other(format!(
            "A class has at most {INDEXES_MAX} indexes."
        )));
    }
    indexes.iter().map(parse_index).collect()
}

fn parse_index(value: &Value) -> Result<Index, CloudError> {
    let attributes = object("index", value)?;
    let mut index = Index {
        keys: Vec::new(),
        unique: false,
        sparse: false,
    };
    for (name, value) in attributes {
        match name.as_str() {
            "unique" => index.unique = flag(name, value)?,
            "sparse" => index.sparse = flag(name, value)?,
            "keys" => {
                let keys = value.as_array().into_iter().flatten().filter_map(Value::as_str);
                index.keys = keys.map(ToOwned::to_owned).collect();
            }
            _ => {
                return Err(CloudError::malformed(format!(
                    "Unknown key '{name}' of an index: use 'keys', 'unique' or 'sparse'."
                )));
            }
        }
    }
    if !(1..=INDEX_KEYS_MAX).contains(&index.keys.len()) {
        return Err(CloudError::malformed(format!(
            "The 'keys' of an index must be an array of 1 to {INDEX_KEYS_MAX} names."
        )));
    }
    for key in &index.keys {
        KeyPath::check_column(KeyPath::parse(key)?.column())?;
    }
    Ok(index)
}

/// The complete definition of a class.
#[must_use]
pub fn show(class: &Class) -> Map<String, Value> {
    let columns: Map<String, Value> = class
        .columns
        .iter()
        .map(|(name, column)| (name.clone(), show_column(column)))
        .collect();
    let permissions = &class.permissions;
    let indexes: Vec<Value> = class
        .indexes
        .iter()
        .map(|index| json!({"keys": index.keys, "unique": index.unique, "sparse": index.sparse}))
        .collect();
    Map::from_iter([
        ("className".to_owned(), class.name.as_str().into()),
        ("columns".to_owned(), columns.into()),
        (
            "permissions".to_owned(),
            json!({
                "add_fields": show_permission(&permissions.add_fields),
                "create": show_permission(&permissions.create),
                "delete": show_permission(&permissions.delete),
                "update": show_permission(&permissions.update),
                "find": show_permission(&permissions.find),
                "get": show_permission(&permissions.get),
            }),
        ),
        ("indexes".to_owned(), indexes.into()),
        ("acl".to_owned(), class.default_acl.clone().unwrap_or(Value::Null)),
    ])
}

/// The definition of a column: its type, and the attributes that differ from their defaults.
#[must_use]
pub fn show_column(column: &Column) -> Value {
    let mut shown = match serde_json::to_value(&column.column_type) {
        Ok(Value::Object(shown)) => shown,
        _ => Map::new(),
    };
    for (name, is_set) in [
        ("readOnly", column.read_only),
        ("hidden", column.hidden),
        ("required", column.required),
    ] {
        if is_set {
            shown.insert(name.to_owned(), true.into());
        }
    }
    if let Some(default) = &column.default {
        shown.insert("default".to_owned(), default.clone());
    }
    Value::Object(shown)
}

fn show_permission(permission: &Permission) -> Value {
    match permission {
        Permission::Public => json!({"*": true}),
        Permission::LoggedIn => json!({"onlySignInUsers": true}),
        Permission::MasterOnly => json!({}),
        Permission::Named { users, roles } => {
            let users: Vec<&str> = users.iter().map(ObjectId::as_str).collect();
            json!({"users": users, "roles": roles})
        }
    }
}

#[cfg(test)]
mod tests;
