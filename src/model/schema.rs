//! Classes: the types of their columns, their permissions, their indexes.

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

/// All classes, as of one moment.
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
    /// Columns by name, beside `objectId`, `createdAt`, `updatedAt`, `ACL`, which every class has.
    pub columns: BTreeMap<String, Column>,
    /// What clients may do.
    pub permissions: ClassPermissions,
    /// Unique and other indexes, beside those on `objectId`, `createdAt`, `updatedAt`.
    pub indexes: Vec<Index>,
    /// The ACL of an object created without one; `None` is public read and write.
    pub default_acl: Option<Value>,
}

/// One column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Fixed by the first value written.
    #[serde(flatten)]
    pub column_type: ColumnType,
    /// Clients cannot write it (117).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// Clients do not see it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
    /// Must be given at creation (113).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
    /// Filled in on creation, and shown on reading older objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
}

/// An index over one or more keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Index {
    /// The keys, outermost first, dotted where nested.
    pub keys: Vec<String>,
    /// Whether two objects may not share a value (137).
    pub unique: bool,
    /// Whether objects without the keys are left out.
    pub sparse: bool,
}

/// What clients may do with a class.
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

/// Who holds a permission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// Everyone.
    Public,
    /// Every logged-in user.
    LoggedIn,
    /// These users and members of these roles.
    Named {
        /// Their ids.
        users: Vec<ObjectId>,
        /// Role names.
        roles: Vec<String>,
    },
    /// The master key alone.
    MasterOnly,
}

/// A change of the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaChange {
    /// Creates a class, or does nothing where it is there.
    CreateClass(Class),
    /// Adds or replaces a column's attributes.
    SetColumn(ClassName, String, Column),
    /// Replaces the permissions.
    SetPermissions(ClassName, ClassPermissions),
    /// Adds an index; 137 where stored objects break a unique one.
    AddIndex(ClassName, Index),
    /// Replaces the default ACL.
    SetDefaultAcl(ClassName, Option<Acl>),
}

impl Class {
    /// A class with public permissions and no column.
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
    /// A column of a type, without further attributes.
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
    /// Everyone may do everything, as in a class that LeanCloud makes at the first write.
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
    /// Whether `principal` holds it.
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
