//! The check of the embedded store's schema: indexes, permissions and money columns.

use super::finding::Finding;
use crate::config::{LOG_CLASS, ORDER_CLASS};
use crate::model::{Class, ClassName, Permission, Schema};
use crate::payment::protocol::log::fields;
use crate::payment::{PaymentConfig, schema};

/// Name of a permission, and its holders.
type Right = (&'static str, fn(&Class) -> &Permission);

/// Permissions of a class that clients must not hold.
const RIGHTS: [Right; 5] = [
    ("create", |class| &class.permissions.create),
    ("update", |class| &class.permissions.update),
    ("delete", |class| &class.permissions.delete),
    ("add_fields", |class| &class.permissions.add_fields),
    ("find", |class| &class.permissions.find),
];

/// Compares the classes with the needs of the payment flow.
pub(crate) fn check(schema: &Schema, config: &PaymentConfig) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, indexes) in [
        (
            &config.log_class,
            &[fields::KEY, fields::REQUEST_KEY, fields::NUMBER][..],
        ),
        (&config.order_class, &["number", "key"][..]),
    ] {
        match schema.classes.get(name) {
            None => findings.push(absent(name)),
            Some(class) => {
                writable(class, &RIGHTS, &of_log_or_order(config, name), &mut findings);
                not_unique(class, indexes, &mut findings);
            }
        }
    }
    match schema.classes.get(&config.product_class) {
        None => findings.push(absent(&config.product_class)),
        // Everybody may look at what is for sale.
        Some(class) => writable(class, &RIGHTS[..4], TO_MASTER, &mut findings),
    }
    match schema.classes.get(&config.user_class) {
        None => findings.push(absent(&config.user_class)),
        Some(class) => {
            money_columns(class, config, &mut findings);
            if class.permissions.delete != Permission::MasterOnly {
                findings.push(Finding::money_at_risk(
                    format!(
                        "clients may delete objects of class {}, money and all",
                        class.name
                    ),
                    "start `paylog serve` once on this folder: it reserves deleting for the master key",
                ));
            }
        }
    }
    findings
}

fn absent(name: &ClassName) -> Finding {
    Finding::money_at_risk(
        format!("there is no class {name}"),
        "start `paylog serve` once on this folder: it creates the class",
    )
}

/// Remedy for a class whose name is fixed.
const TO_MASTER: &str = "give it to the master key alone: `paylog doctor --lock`, with the server stopped";

fn of_log_or_order(config: &PaymentConfig, name: &ClassName) -> String {
    let variable = if *name == config.log_class {
        LOG_CLASS
    } else {
        ORDER_CLASS
    };
    format!(
        "{TO_MASTER}; or, if the app has this class for another purpose, choose another name with {variable}"
    )
}

fn writable(class: &Class, rights: &[Right], remedy: &str, findings: &mut Vec<Finding>) {
    for (right, of) in rights {
        if *of(class) != Permission::MasterOnly {
            findings.push(Finding::money_at_risk(
                format!("clients hold the permission \"{right}\" of class {}", class.name),
                remedy,
            ));
        }
    }
}

fn not_unique(class: &Class, keys: &[&str], findings: &mut Vec<Finding>) {
    for key in keys {
        let indexed = class
            .indexes
            .iter()
            .any(|index| index.unique && index.keys.iter().eq([key]));
        if !indexed {
            findings.push(Finding::money_at_risk(
                format!("class {} has no unique index over \"{key}\"", class.name),
                "start `paylog serve` once on this folder: it adds the index",
            ));
        }
    }
}

fn money_columns(class: &Class, config: &PaymentConfig, findings: &mut Vec<Finding>) {
    for (name, expected) in schema::user_columns(config) {
        let column = class.columns.get(&name);
        let expected = expected.column_type;
        if let Some(column) = column
            && column.column_type != expected
        {
            findings.push(Finding::money_at_risk(
                format!(
                    "the column \"{name}\" of class {} holds {:?}, but money needs {expected:?}",
                    class.name, column.column_type
                ),
                "a column keeps its type: export the data, correct the values of the users or rename the column in the \
                 exported files, and import them into a new folder",
            ));
        }
        if !column.is_some_and(|column| column.read_only) {
            findings.push(Finding::money_at_risk(
                format!("clients may write the column \"{name}\" of class {}", class.name),
                "start `paylog serve` once on this folder: it makes the column read-only for clients",
            ));
        }
        if column.is_some_and(|column| column.default.is_some()) {
            findings.push(Finding::money_at_risk(
                format!(
                    "the column \"{name}\" of class {} has a default value",
                    class.name
                ),
                "remove it: reads show it, but conditions of writes do not see it",
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{Column, ColumnType};

    #[test]
    fn money_column_of_another_type_is_unsafe() {
        let config = PaymentConfig::new();
        let schema = |account: ColumnType| {
            let mut users = Class::new(config.user_class.clone());
            users.permissions.delete = Permission::MasterOnly;
            users.columns.extend(schema::user_columns(&config));
            let column = Column {
                read_only: true,
                ..Column::new(account)
            };
            users.columns.insert("account".to_owned(), column);
            let classes = [
                schema::log_class(&config),
                schema::order_class(&config),
                schema::product_class(&config),
                users,
            ];
            Schema {
                classes: classes.map(|class| (class.name.clone(), Arc::new(class))).into(),
            }
        };
        assert_eq!(check(&schema(ColumnType::Number), &config), vec![]);
        let found = check(&schema(ColumnType::String), &config);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(crate::app::checks::is_unsafe(&found));
        assert!(crate::app::checks::describe(&found).contains("holds String"));
    }
}
