//! Validation of updates and objects against the columns of their class.

use std::collections::BTreeMap;

use super::type_error::{incorrect_type, reserved};
use crate::model::filter::index_of;
use crate::model::{
    Acl, Class, CloudError, Column, ColumnType, ErrorCode, KeyPath, Op, Pointer, Update, Value, limits,
};

impl Class {
    /// Checks `update` against the columns: key names (105), types (111), the ACL (123). Returns the columns that it
    /// would add. `null` and removals fit every column and add none. A new column cannot have a reserved name, in
    /// any letter case (105).
    ///
    /// # Errors
    /// 103 (class of a pointer), 105, 111, 123.
    pub fn validate(&self, update: &Update) -> Result<Vec<(String, Column)>, CloudError> {
        let mut added: BTreeMap<&str, ColumnType> = BTreeMap::new();
        let mut order: Vec<&str> = Vec::new();
        for (path, op) in &update.ops {
            let column = path.column();
            KeyPath::check_column(column)?;
            if KeyPath::is_set_by_store(column) {
                continue;
            }
            if column == "ACL" {
                validate_acl(path, op)?;
                continue;
            }
            let there = self
                .columns
                .get(column)
                .map(|column| &column.column_type)
                .or_else(|| added.get(column));
            let Some(found) = required_type(path, op, there)? else {
                continue;
            };
            match there {
                Some(expected) if *expected == found => {}
                Some(expected) => return Err(mismatch(path.as_str(), &op.to_value(), op, expected, &found)),
                None => {
                    if KeyPath::is_reserved(column) {
                        return Err(reserved(column));
                    }
                    self.check_addition(column, added.len())?;
                    added.insert(column, found);
                    order.push(column);
                }
            }
        }
        Ok(order
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), Column::new(added.remove(name)?))))
            .collect())
    }

    /// As [`Class::validate`], for the fields of an object that is stored as it is. Only the types of values count;
    /// a reserved name in another letter case is accepted.
    ///
    /// # Errors
    /// 103, 105, 111, 123.
    pub fn validate_fields<'f>(
        &self,
        fields: impl Iterator<Item = (&'f String, &'f Value)>,
    ) -> Result<Vec<(String, Column)>, CloudError> {
        let mut added: Vec<(String, Column)> = Vec::new();
        for (name, value) in fields {
            match name.as_str() {
                name if KeyPath::is_set_by_store(name) => continue,
                "ACL" => {
                    Acl::parse(value)?;
                    continue;
                }
                _ => KeyPath::check_column(name)?,
            }
            let Some(found) = ColumnType::of(value)? else {
                continue;
            };
            match self.columns.get(name) {
                Some(column) if column.column_type == found => {}
                Some(column) => {
                    let expected = column.column_type.describe();
                    return Err(incorrect_type(name, value, &expected, &found.describe()));
                }
                None => {
                    self.check_addition(name, added.len())?;
                    added.push((name.clone(), Column::new(found)));
                }
            }
        }
        Ok(added)
    }

    fn check_addition(&self, name: &str, added: usize) -> Result<(), CloudError> {
        if self.columns.len() + added >= limits::COLUMNS_MAX {
            return Err(CloudError::new(
                ErrorCode::INVALID_KEY_NAME,
                format!(
                    "Class '{}' has {} columns, and can have no more; '{name}' was not added.",
                    self.name,
                    limits::COLUMNS_MAX
                ),
            ));
        }
        Ok(())
    }
}

fn validate_acl(path: &KeyPath, op: &Op) -> Result<(), CloudError> {
    match op {
        Op::Set(value) if !path.is_nested() => Acl::parse(value).map(|_| ()),
        Op::Delete if !path.is_nested() => Ok(()),
        _ => Err(CloudError::new(
            ErrorCode::INVALID_ACL,
            "Invalid ACL: it is set or deleted as a whole.",
        )),
    }
}

/// The type required of the column of `path`; `None` if any fits.
fn required_type(
    path: &KeyPath,
    op: &Op,
    there: Option<&ColumnType>,
) -> Result<Option<ColumnType>, CloudError> {
    if let Op::Delete = op {
        return Ok(None);
    }
    if path.is_nested() {
        let into_array =
            there == Some(&ColumnType::Array) && path.parts().nth(1).and_then(index_of).is_some();
        return Ok((!into_array).then_some(ColumnType::Object));
    }
    Ok(match op {
        Op::Set(value) => ColumnType::of(value)?,
        Op::Increment(_) | Op::BitAnd(_) | Op::BitOr(_) | Op::BitXor(_) => Some(ColumnType::Number),
        Op::Add(_) | Op::AddUnique(_) | Op::Remove(_) => Some(ColumnType::Array),
        Op::AddRelation(_) | Op::RemoveRelation(_) | Op::Batch(_) => relation_type(path, op)?,
        Op::Delete => None,
    })
}

/// The type of a relation. All its targets must be of one class.
fn relation_type(path: &KeyPath, op: &Op) -> Result<Option<ColumnType>, CloudError> {
    let mut targets = Vec::new();
    collect_targets(op, &mut targets);
    let Some(first) = targets.first() else {
        return Ok(None);
    };
    let of = |target: &Pointer| ColumnType::Relation {
        class_name: target.class_name.clone(),
    };
    match targets
        .iter()
        .find(|target| target.class_name != first.class_name)
    {
        Some(other) => Err(mismatch(
            path.as_str(),
            &other.to_value(),
            op,
            &of(first),
            &of(other),
        )),
        None => Ok(Some(of(first))),
    }
}

fn collect_targets<'a>(op: &'a Op, targets: &mut Vec<&'a Pointer>) {
    match op {
        Op::AddRelation(more) | Op::RemoveRelation(more) => targets.extend(more),
        Op::Batch(ops) => ops.iter().for_each(|op| collect_targets(op, targets)),
        _ => {}
    }
}

/// 111 for an operation. The message shows the operand as sent, without the operation around it.
fn mismatch(field: &str, sent: &Value, op: &Op, expected: &ColumnType, found: &ColumnType) -> CloudError {
    let operand = match op {
        Op::Set(_) => Some(sent),
        _ => sent
            .get("amount")
            .or_else(|| sent.get("value"))
            .or_else(|| sent.get("objects")),
    };
    incorrect_type(
        field,
        operand.unwrap_or(sent),
        &expected.describe(),
        &found.describe(),
    )
}
