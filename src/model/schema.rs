//! The schema: classes with their columns, permissions and indexes.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

mod built_in;
mod column_type;
pub mod definition;
pub(in crate::model) mod type_error;
mod validation;
mod visibility;

pub use column_type::ColumnType;

use crate::model::{Acl, ClassName, ObjectId, Principal, Value};

/// All classes at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    /// By name.
    pub classes: BTreeMap<ClassName, Arc<Class>>,
}

/// One class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Class {
    /// Its name.
    pub name: ClassName,
    /// Columns by name, except the common ones: `objectId`, `createdAt`, `updatedAt`, `ACL`.
    pub columns: BTreeMap<String, Column>,
    /// Permissions of clients.
    pub permissions: ClassPermissions,
    /// Indexes, beside those on `objectId`, `createdAt`, `updatedAt`.
    pub indexes: Vec<Index>,
    /// ACL of objects created without one; `None` is public read and write.
    pub default_acl: Option<Value>,
}

/// One column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// The type, fixed by the first written value.
    #[serde(flatten)]
    pub column_type: ColumnType,
    /// True if clients cannot write it (117).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// True if clients cannot see it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
    /// True if a create must set it (113).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
    /// Default value: stored on creation, and shown for older objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
}

/// An index over one or more keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Index {
    /// The keys in order, dotted if nested.
    pub keys: Vec<String>,
    /// True if two objects may not share a value (137).
    pub unique: bool,
    /// True if objects without the keys are not indexed.
    pub sparse: bool,
}

/// Permissions of clients on a class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "LeanCloud's names of its permissions")]
pub struct ClassPermissions {
    pub add_fields: Permission,
    pub create: Permission,
    pub delete: Permission,
    pub update: Permission,
    pub find: Permission,
    pub get: Permission,
}

/// The holders of a permission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// Everyone.
    Public,
    /// Every logged-in user.
    LoggedIn,
    /// These users, and the members of these roles.
    Named {
        /// Their ids.
        users: Vec<ObjectId>,
        /// Role names.
        roles: Vec<String>,
    },
    /// All permissions for the master key alone.
    MasterOnly,
}

/// A change of the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaChange {
    /// Creates a class; does nothing if it exists.
    CreateClass(Class),
    /// Adds or replaces a column's attributes.
    SetColumn(ClassName, String, Column),
    /// Replaces the permissions.
    SetPermissions(ClassName, ClassPermissions),
    /// Adds an index; 137 if stored objects violate a unique one.
    AddIndex(ClassName, Index),
    /// Replaces the default ACL.
    SetDefaultAcl(ClassName, Option<Acl>),
}

impl Class {
    /// Creates a class with public permissions and no columns.
    #[must_use]
    pub fn new(name: ClassName) -> Self {
        Self {
            name,
            columns: BTreeMap::new(),
            permissions: ClassPermissions::public(),
            indexes: Vec::new(),
            default_acl: None,
        }
    }
}

impl Column {
    /// Creates a column without further attributes.
    #[must_use]
    pub fn new(column_type: ColumnType) -> Self {
        Self {
            column_type,
            read_only: false,
            hidden: false,
            required: false,
            default: None,
        }
    }
}

impl ClassPermissions {
    /// All permissions for everyone, as in a class created by a first write.
    #[must_use]
    pub fn public() -> Self {
        Self::all(&Permission::Public)
    }

    /// The master key alone.
    #[must_use]
    pub fn master_only() -> Self {
        Self::all(&Permission::MasterOnly)
    }

    fn all(permission: &Permission) -> Self {
        Self {
            add_fields: permission.clone(),
            create: permission.clone(),
            delete: permission.clone(),
            update: permission.clone(),
            find: permission.clone(),
            get: permission.clone(),
        }
    }
}

impl Permission {
    /// True if `principal` holds the permission.
    #[must_use]
    pub fn allows(&self, principal: &Principal) -> bool {
        let Principal::Client { user, roles } = principal else {
            return true;
        };
        match self {
            Self::Public => true,
            Self::LoggedIn => user.is_some(),
            Self::Named { users, roles: named } => {
                user.as_ref().is_some_and(|user| users.contains(user))
                    || roles.iter().any(|role| named.contains(role))
            }
            Self::MasterOnly => false,
        }
    }
}

#[cfg(test)]
mod tests;
