//! Schema of the payment flow: its classes, columns and indexes, and the changes that a schema needs. Touches no store.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{
    Class, ClassName, ClassPermissions, Column, ColumnType, Index, Permission, Schema, SchemaChange,
};
use crate::payment::PaymentConfig;
use crate::payment::protocol::log::fields;
use crate::payment::protocol::mark::{PAY_EPOCH, PAYLOGS};
use crate::payment::protocol::order::OrderMark;

/// Error: a class of that name exists already and clients may write it, so it is not paylog's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the class {class} is there already and clients may write it. paylog never locks a class that it did not make. \
     If it is paylog's own, `paylog doctor --lock` takes the permissions away from clients; if it is another thing of \
     the app's, choose another name with {variable}"
)]
pub struct ForeignClass {
    /// The class.
    pub class: ClassName,
    /// The variable that sets another name.
    pub variable: &'static str,
}

/// Changes that `schema` needs for the payment flow, in order. Empty if it needs none. Changes nothing that an app has set
/// up itself, except the four money columns of `_User` and the permission to delete users: no client may, since their
/// money would be lost.
///
/// # Errors
/// [`ForeignClass`].
pub fn changes(schema: &Schema, config: &PaymentConfig) -> Result<Vec<SchemaChange>, ForeignClass> {
    let mut changes = Vec::new();
    let locked = [
        (log_class(config), "PAYLOG_LOG_CLASS"),
        (order_class(config), "PAYLOG_ORDER_CLASS"),
    ];
    for (class, variable) in locked {
        if let Some(standing) = schema.classes.get(&class.name)
            && clients_write(&standing.permissions)
        {
            return Err(ForeignClass {
                class: class.name,
                variable,
            });
        }
        add(&mut changes, schema, class);
    }
    add(&mut changes, schema, product_class(config));
    add(&mut changes, schema, Class::new(config.user_class.clone()));
    guard_users(&mut changes, schema, config);
    Ok(changes)
}

/// Changes that the payment classes in `made` need: classes that an import has just created, open to clients. A class
/// whose columns do not fit stays as it is.
#[must_use]
pub fn adoption_changes(
    schema: &Schema,
    config: &PaymentConfig,
    made: &BTreeSet<ClassName>,
) -> Vec<SchemaChange> {
    let is_adopted = |class: &Class| {
        let standing = schema.classes.get(&class.name);
        made.contains(&class.name) && standing.is_some_and(|standing| is_ours(standing, class))
    };
    secured(schema, config, is_adopted)
}

/// Changes that lock the existing payment classes against clients, whoever created them, and add what they lack. Only for
/// an operator who has asked for it.
#[must_use]
pub fn lock_changes(schema: &Schema, config: &PaymentConfig) -> Vec<SchemaChange> {
    secured(schema, config, |class| schema.classes.contains_key(&class.name))
}

fn secured(schema: &Schema, config: &PaymentConfig, which: impl Fn(&Class) -> bool) -> Vec<SchemaChange> {
    let mut changes = Vec::new();
    for class in [log_class(config), order_class(config), product_class(config)] {
        if !which(&class) {
            continue;
        }
        let standing = schema.classes.get(&class.name);
        if standing.is_some_and(|standing| standing.permissions != class.permissions) {
            let permissions = class.permissions.clone();
            changes.push(SchemaChange::SetPermissions(class.name.clone(), permissions));
        }
        add(&mut changes, schema, class);
    }
    if !changes.is_empty() && schema.classes.contains_key(&config.user_class) {
        guard_users(&mut changes, schema, config);
    }
    changes
}

/// True if a class has the key columns of one of ours, and no column of another type than ours.
fn is_ours(standing: &Class, ours: &Class) -> bool {
    let known_by = ours
        .indexes
        .iter()
        .filter(|index| index.unique && !index.sparse)
        .flat_map(|index| &index.keys);
    let has_keys = known_by.into_iter().all(|key| standing.columns.contains_key(key));
    has_keys
        && ours.columns.iter().all(|(name, column)| {
            let there = standing.columns.get(name);
            there.is_none_or(|there| there.column_type == column.column_type)
        })
}

/// Changes of the class of users: the four money columns, and the permission to delete.
fn guard_users(changes: &mut Vec<SchemaChange>, schema: &Schema, config: &PaymentConfig) {
    let users = schema.classes.get(&config.user_class);
    let permissions = users.map_or_else(ClassPermissions::public, |class| class.permissions.clone());
    if permissions.delete != Permission::MasterOnly {
        let locked = ClassPermissions {
            delete: Permission::MasterOnly,
            ..permissions
        };
        changes.push(SchemaChange::SetPermissions(config.user_class.clone(), locked));
    }
    for (name, column) in user_columns(config) {
        let standing = schema.classes.get(&config.user_class);
        let standing = standing.and_then(|class| class.columns.get(&name));
        if standing.is_none_or(|standing| !standing.read_only) {
            let column = Column {
                read_only: true,
                ..standing.cloned().unwrap_or(column)
            };
            changes.push(SchemaChange::SetColumn(config.user_class.clone(), name, column));
        }
    }
}

/// True if a client may create, change or delete objects.
#[must_use]
pub fn clients_write(permissions: &ClassPermissions) -> bool {
    [&permissions.create, &permissions.update, &permissions.delete]
        .into_iter()
        .any(|permission| *permission != Permission::MasterOnly)
}

/// Adds the changes that create a class, or add what it lacks.
fn add(changes: &mut Vec<SchemaChange>, schema: &Schema, class: Class) {
    match schema.classes.get(&class.name) {
        None => {
            let (name, indexes) = (class.name.clone(), class.indexes.clone());
            changes.push(SchemaChange::CreateClass(Class {
                indexes: Vec::new(),
                ..class
            }));
            changes.extend(
                indexes
                    .into_iter()
                    .map(|index| SchemaChange::AddIndex(name.clone(), index)),
            );
        }
        Some(standing) => {
            for (name, column) in class.columns {
                if !standing.columns.contains_key(&name) {
                    changes.push(SchemaChange::SetColumn(class.name.clone(), name, column));
                }
            }
            for index in class.indexes {
                if !standing.indexes.contains(&index) {
                    changes.push(SchemaChange::AddIndex(class.name.clone(), index));
                }
            }
        }
    }
}

/// The money columns of a user, which no client may write.
#[must_use]
pub fn user_columns(config: &PaymentConfig) -> Vec<(String, Column)> {
    let column = |name: &str, column_type| (name.to_owned(), column(column_type, true));
    vec![
        column(&config.account_field, ColumnType::Number),
        column(&config.frozen_field, ColumnType::Number),
        column(PAYLOGS, ColumnType::Array),
        column(PAY_EPOCH, ColumnType::Number),
    ]
}

/// `Log`: master only.
#[must_use]
pub fn log_class(config: &PaymentConfig) -> Class {
    let pointer = |class: &ClassName| ColumnType::Pointer {
        class_name: class.clone(),
    };
    let columns = [
        (fields::STATE, ColumnType::Number),
        (fields::KEY, ColumnType::String),
        (fields::KIND, ColumnType::String),
        (fields::REQUEST_KEY, ColumnType::String),
        (fields::NUMBER, ColumnType::String),
        (fields::USER, pointer(&config.user_class)),
        (fields::ORDER, pointer(&config.order_class)),
        (fields::AMOUNT, ColumnType::Number),
        (fields::PARAMS, ColumnType::Object),
        (fields::LEGS, ColumnType::Array),
        (fields::OUTCOME, ColumnType::String),
        (fields::REASON, ColumnType::String),
        (fields::TRADE_NO, ColumnType::String),
        (fields::CLAIMS, ColumnType::Number),
        (fields::CLAIMED_BY, ColumnType::String),
        (fields::CLAIMED_UNTIL, ColumnType::Date),
        (fields::STUCK, ColumnType::String),
        (fields::CANCEL, ColumnType::String),
        (fields::EXPIRES_AT, ColumnType::Date),
    ];
    Class {
        columns: columns_of(columns),
        permissions: ClassPermissions::master_only(),
        indexes: vec![
            unique(fields::KEY, false),
            unique(fields::REQUEST_KEY, true),
            unique(fields::NUMBER, true),
            plain(&[fields::STATE, fields::KIND]),
            plain(&[fields::TRADE_NO]),
            plain(&[fields::USER]),
            // Few logs have it at a time, and the others are not in a sparse index.
            Index {
                sparse: true,
                ..plain(&[fields::EXPIRES_AT])
            },
        ],
        ..Class::new(config.log_class.clone())
    }
}

/// `Order`: master only.
#[must_use]
pub fn order_class(config: &PaymentConfig) -> Class {
    let pointer = |class: &ClassName| ColumnType::Pointer {
        class_name: class.clone(),
    };
    let columns = [
        ("number", ColumnType::String),
        ("key", ColumnType::String),
        ("user", pointer(&config.user_class)),
        ("subject", ColumnType::String),
        ("product", pointer(&config.product_class)),
        ("quantity", ColumnType::Number),
        ("amount", ColumnType::Number),
        ("payees", ColumnType::Array),
        ("status", ColumnType::String),
        (OrderMark::REFUNDED, ColumnType::Number),
        (PAYLOGS, ColumnType::Array),
        (PAY_EPOCH, ColumnType::Number),
        ("expiresAt", ColumnType::Date),
    ];
    Class {
        columns: columns_of(columns),
        permissions: ClassPermissions::master_only(),
        // Pending orders may be many; those that expire now are few.
        indexes: vec![
            unique("number", false),
            unique("key", false),
            plain(&["status", "expiresAt"]),
        ],
        ..Class::new(config.order_class.clone())
    }
}

/// `Product`: everybody reads, the master key writes.
#[must_use]
pub fn product_class(config: &PaymentConfig) -> Class {
    let columns = [
        ("name", ColumnType::String),
        ("price", ColumnType::Number),
        ("payees", ColumnType::Array),
        ("onSale", ColumnType::Boolean),
    ];
    Class {
        columns: columns_of(columns),
        permissions: ClassPermissions {
            find: Permission::Public,
            get: Permission::Public,
            ..ClassPermissions::master_only()
        },
        ..Class::new(config.product_class.clone())
    }
}

fn columns_of<const N: usize>(columns: [(&str, ColumnType); N]) -> BTreeMap<String, Column> {
    columns
        .into_iter()
        .map(|(name, column_type)| (name.to_owned(), column(column_type, false)))
        .collect()
}

fn column(column_type: ColumnType, read_only: bool) -> Column {
    Column {
        column_type,
        read_only,
        hidden: false,
        required: false,
        default: None,
    }
}

fn unique(key: &str, sparse: bool) -> Index {
    Index {
        keys: vec![key.to_owned()],
        unique: true,
        sparse,
    }
}

fn plain(keys: &[&str]) -> Index {
    Index {
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        unique: false,
        sparse: false,
    }
}
