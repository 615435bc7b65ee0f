//! Translation of filters into conditions.

use rusqlite::types::Value as SqlValue;

use crate::model::filter::Area;
use crate::model::value::Kind;
use crate::model::{ColumnType, Filter, Index, KeyPath, Test, Timestamp, Value};
use crate::storage::index_value::{IndexValue, tag};
use crate::storage::sql::column_location::{ColumnLocation, ColumnMap, extract};
use crate::storage::sql::condition::Condition;
use crate::storage::sql::geo_cell::ranges;

/// Maximum number of parts of a filter; larger ones are left to the evaluator. SQLite limits the depth of
/// expressions.
const PARTS_MAX: usize = 400;

/// Maximum number of values of one `$in` bound one by one; more are bound as one list. SQLite limits the number of
/// parameters and compiles each new SQL text.
const VALUES_MAX: usize = 100;

/// The condition of a filter: holds for every row that can match.
pub(in crate::storage) fn condition(filter: &Filter, columns: &ColumnMap<'_>) -> Condition {
    if size(filter) > PARTS_MAX {
        return Condition::unknown();
    }
    compile(filter, columns)
}

/// True if the filter names one document by its id or by all keys of a unique index.
pub(in crate::storage) fn is_point(filter: &Filter, columns: &ColumnMap<'_>) -> bool {
    let Filter::And(parts) = filter else {
        return false;
    };
    let fixed = |key: &str| {
        parts.iter().any(|part| match part {
            Filter::Key(path, Test::Eq(value)) => {
                path.as_str() == key && matches!(value, Value::String(_) | Value::Number(_))
            }
            _ => false,
        })
    };
    let has_columns = |index: &Index| {
        let typed = |key: &String| columns.class.columns.get(key).map(|column| &column.column_type);
        index
            .keys
            .iter()
            .all(|key| matches!(typed(key), Some(ColumnType::String | ColumnType::Number)))
    };
    fixed("objectId")
        || columns
            .class
            .indexes
            .iter()
            .any(|index| index.unique && has_columns(index) && index.keys.iter().all(|key| fixed(key)))
}

fn size(filter: &Filter) -> usize {
    match filter {
        Filter::And(parts) | Filter::Or(parts) | Filter::Nor(parts) => {
            1 + parts.iter().map(size).sum::<usize>()
        }
        Filter::Key(_, Test::All(values)) => values.len(),
        Filter::Key(..) | Filter::RelatedTo { .. } => 1,
    }
}

fn compile(filter: &Filter, columns: &ColumnMap<'_>) -> Condition {
    match filter {
        Filter::And(parts) => Condition::all(parts.iter().map(|part| compile(part, columns))),
        Filter::Or(parts) => Condition::any(parts.iter().map(|part| compile(part, columns))),
        Filter::Nor(parts) => Condition::any(parts.iter().map(|part| compile(part, columns))).negated(),
        Filter::Key(path, test) => compile_test(path, test, columns),
        Filter::RelatedTo { .. } => Condition::unknown(),
    }
}

fn compile_test(path: &KeyPath, test: &Test, columns: &ColumnMap<'_>) -> Condition {
    match test {
        Test::Ne(value) => compile_test(path, &Test::Eq(value.clone()), columns).negated(),
        Test::Nin(values) => compile_test(path, &Test::In(values.clone()), columns).negated(),
        Test::Not(inner) => compile_test(path, inner, columns).negated(),
        Test::All(values) if values.is_empty() => Condition::constant(false),
        Test::All(values) => Condition::all(
            values
                .iter()
                .map(|value| compile_test(path, &Test::Eq(value.clone()), columns)),
        ),
        _ => match columns.locate(path) {
            ColumnLocation::Id => of_id(test).indexed(),
            ColumnLocation::Time(column) => of_time(column, test).indexed(),
            ColumnLocation::Indexed {
                column, may_be_array, ..
            } => {
                let condition = of_indexed(path, &column, may_be_array, test);
                if is_sparse(path, columns) && range(test).is_some() {
                    condition.sparse()
                } else {
                    condition
                }
            }
            ColumnLocation::Point { cell, key } => of_point(&cell, &key, test),
            ColumnLocation::Typed { key, kind } => of_typed(&key, kind, test),
            ColumnLocation::Untyped { key } => of_untyped(&key, test),
            ColumnLocation::Elsewhere => Condition::unknown(),
        },
    }
}

/// True if a sparse index is on this key alone. Such an index holds all rows of any range, since a missing value is
/// in no range.
fn is_sparse(path: &KeyPath, columns: &ColumnMap<'_>) -> bool {
    let alone =
        |index: &Index| index.sparse && matches!(index.keys.as_slice(), [key] if key == path.as_str());
    columns.class.indexes.iter().any(alone)
}

/// The comparison operator and operand of a range test.
fn range(test: &Test) -> Option<(&'static str, &Value)> {
    match test {
        Test::Lt(value) => Some(("<", value)),
        Test::Lte(value) => Some(("<=", value)),
        Test::Gt(value) => Some((">", value)),
        Test::Gte(value) => Some((">=", value)),
        _ => None,
    }
}

fn placeholders(count: usize) -> String {
    let mut text = "?,".repeat(count);
    text.pop();
    text
}

fn of_id(test: &Test) -> Condition {
    let text = |value: &Value| value.as_str().map(|text| SqlValue::Text(text.to_owned()));
    match test {
        Test::Eq(value) => match text(value) {
            Some(id) => Condition::new("id = ?", [id]).of_ids(),
            None => Condition::constant(false),
        },
        Test::In(values) => is_one_of("id", values.iter().filter_map(text).collect()).of_ids(),
        Test::Exists(there) => Condition::constant(*there),
        _ => match range(test) {
            Some((comparison, value)) => match text(value) {
                Some(id) => Condition::new(format!("id {comparison} ?"), [id]),
                None => Condition::constant(false),
            },
            None => Condition::unknown(),
        },
    }
}

/// Equality with one of `values`; false if there are none.
pub(in crate::storage) fn is_one_of(expression: &str, values: Vec<SqlValue>) -> Condition {
    match values.len() {
        0 => Condition::constant(false),
        1 => Condition::new(format!("{expression} = ?"), values),
        count if count <= VALUES_MAX => {
            Condition::new(format!("{expression} IN ({})", placeholders(count)), values)
        }
        _ => match list(&values) {
            Some(list) => {
                let text = format!("{expression} IN (SELECT value FROM json_each(?))");
                Condition::new(text, [SqlValue::Text(list)])
            }
            None => Condition::unknown(),
        },
    }
}

/// The values as one JSON array; `None` if one of them would not survive the conversion.
fn list(values: &[SqlValue]) -> Option<String> {
    let values: Option<Vec<Value>> = values
        .iter()
        .map(|value| match value {
            SqlValue::Text(text) if !text.contains('\0') => Some(Value::from(text.as_str())),
            SqlValue::Integer(integer) => Some(Value::from(*integer)),
            _ => None,
        })
        .collect();
    Some(Value::from(values?).to_string())
}

fn of_point(cell: &str, key: &str, test: &Test) -> Condition {
    match test {
        Test::Exists(there) => exists(key, *there),
        Test::Geo(_) => test
            .area()
            .map_or_else(Condition::unknown, |area| within(cell, &area)),
        _ => Condition::unknown(),
    }
}

/// The rows whose point can be in an area; `cell` is the column of its cell.
pub(in crate::storage) fn within(cell: &str, area: &Area) -> Condition {
    let ranges = ranges(area).into_iter().map(|(from, to)| {
        let ends = [SqlValue::Integer(from), SqlValue::Integer(to)];
        Condition::new(format!("{cell} BETWEEN ? AND ?"), ends).indexed()
    });
    Condition::any(ranges).widened().indexed()
}

fn of_time(column: &str, test: &Test) -> Condition {
    let date = |value: &Value| match Kind::of(value) {
        Kind::Date(time) => Some(SqlValue::Integer(time.as_millis())),
        _ => None,
    };
    // The document holds the time as text; another spelling of the same instant is not equal to it.
    let exact = |value: &Value| match value.as_str().map(Timestamp::parse) {
        Some(Ok(time)) if value.as_str() == Some(&time.to_string()) => {
            Some(SqlValue::Integer(time.as_millis()))
        }
        Some(_) => None,
        None => date(value),
    };
    match test {
        Test::Eq(value) => is_one_of(column, exact(value).into_iter().collect()),
        Test::In(values) => is_one_of(column, values.iter().filter_map(exact).collect()),
        Test::Exists(there) => Condition::constant(*there),
        _ => match range(test) {
            Some((comparison, value)) => date(value).map_or_else(Condition::unknown, |time| {
                Condition::new(format!("{column} {comparison} ?"), [time])
            }),
            None => Condition::unknown(),
        },
    }
}

/// Every value here is in the form of [`IndexValue`]; SQLite sorts null, numbers, text, bytes.
fn of_indexed(path: &KeyPath, column: &str, may_be_array: bool, test: &Test) -> Condition {
    let narrow = match test {
        Test::Eq(value) => equal_to_any(column, std::slice::from_ref(value)),
        Test::In(values) => equal_to_any(column, values),
        Test::Exists(there) if !path.is_nested() => return exists(path.as_str(), *there),
        Test::Regex(pattern) => pattern.prefix().map(|prefix| begins_with(column, prefix)),
        _ => range(test).and_then(|(comparison, value)| indexed_range(column, comparison, value)),
    };
    match narrow {
        None => Condition::unknown(),
        Some(narrow) if may_be_array => {
            let array = SqlValue::Blob(vec![tag::ARRAY]);
            let array = Condition::new(format!("{column} >= ?"), [array]);
            Condition::any([narrow, array]).widened().indexed()
        }
        Some(narrow) => narrow.indexed(),
    }
}

/// A condition on texts with a prefix, as a range.
fn begins_with(column: &str, prefix: &str) -> Condition {
    let from = SqlValue::Text(prefix.to_owned());
    let end = successor(prefix).map_or_else(|| SqlValue::Blob(Vec::new()), SqlValue::Text);
    Condition::new(format!("{column} >= ? AND {column} < ?"), [from, end]).widened()
}

/// The first text after all texts with the prefix. Characters sort as their bytes in UTF-8.
fn successor(prefix: &str) -> Option<String> {
    let mut text = prefix.to_owned();
    while let Some(last) = text.pop() {
        if let Some(next) = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32) {
            text.push(next);
            return Some(text);
        }
    }
    None
}

/// Equality with one of `values`; `None` if an index does not hold one of them exactly.
fn equal_to_any(column: &str, values: &[Value]) -> Option<Condition> {
    let mut present = Vec::with_capacity(values.len());
    let mut absent = Condition::constant(false);
    let mut exact = true;
    for value in values {
        present.extend(IndexValue::earlier(value).map(SqlValue::from));
        match IndexValue::of(value) {
            IndexValue::Absent => absent = Condition::new(format!("{column} IS NULL"), []),
            IndexValue::Bytes(bytes) if bytes.first().is_none_or(|tag| *tag >= tag::OTHER) => return None,
            IndexValue::Real(real) => {
                exact = false;
                present.push(SqlValue::Real(real));
            }
            scalar => present.push(scalar.into()),
        }
    }
    let found = Condition::any([is_one_of(column, present), absent]);
    Some(if exact { found } else { found.widened() })
}

/// A comparison by index; `None` for values without a range in an index.
fn indexed_range(column: &str, comparison: &str, value: &Value) -> Option<Condition> {
    let value = IndexValue::of(value);
    // The end of the type's range, to exclude values of other types.
    let above = comparison.starts_with('>');
    let (end, exact) = match (&value, above) {
        (IndexValue::Integer(_), false) => (None, true),
        (IndexValue::Integer(_), true) => (Some(SqlValue::Text(String::new())), true),
        (IndexValue::Real(real), _) if real.abs() >= 9e18 => return None,
        (IndexValue::Real(_), false) => (None, false),
        (IndexValue::Real(_), true) => (Some(SqlValue::Text(String::new())), false),
        (IndexValue::Text(_), false) => (Some(SqlValue::Text(String::new())), true),
        (IndexValue::Text(_), true) => (Some(SqlValue::Blob(Vec::new())), true),
        (IndexValue::Bytes(bytes), _) if bytes.first() == Some(&tag::DATE) => {
            let end = if above { tag::DATE + 1 } else { tag::DATE };
            (Some(SqlValue::Blob(vec![end])), true)
        }
        (IndexValue::Bytes(_) | IndexValue::Absent, _) => return None,
    };
    let from = Condition::new(format!("{column} {comparison} ?"), [value.into()]);
    let condition = match end {
        Some(end) => {
            let opposite = if above { "<" } else { ">=" };
            let within = Condition::new(format!("{column} {opposite} ?"), [end]);
            Condition::all([from, within])
        }
        None => from,
    };
    Some(if exact { condition } else { condition.widened() })
}

fn exists(key: &str, there: bool) -> Condition {
    let not = if there { " NOT" } else { "" };
    Condition::new(format!(r#"json_type(doc,'$."{key}"') IS{not} NULL"#), [])
}

fn of_untyped(key: &str, test: &Test) -> Condition {
    match test {
        Test::Exists(there) => exists(key, *there),
        _ => Condition::unknown(),
    }
}

fn of_typed(key: &str, kind: &ColumnType, test: &Test) -> Condition {
    let expression = extract(key, kind);
    match test {
        Test::Exists(there) => exists(key, *there),
        Test::Eq(value) => typed_equal(&expression, kind, std::slice::from_ref(value)),
        Test::In(values) => typed_equal(&expression, kind, values),
        _ => match range(test) {
            Some((comparison, value)) => match operand(kind, value) {
                Operand::Is(value) if is_ranged(kind) => {
                    Condition::new(format!("{expression} {comparison} ?"), [value])
                }
                Operand::Is(_) | Operand::Null | Operand::Unknown => Condition::unknown(),
                Operand::Never if is_scalar(kind) => Condition::constant(false),
                Operand::Never => Condition::unknown(),
            },
            None => Condition::unknown(),
        },
    }
}

fn typed_equal(expression: &str, kind: &ColumnType, values: &[Value]) -> Condition {
    if !is_scalar(kind) {
        return Condition::unknown();
    }
    let mut present = Vec::with_capacity(values.len());
    let mut absent = Condition::constant(false);
    for value in values {
        match operand(kind, value) {
            Operand::Is(value) => present.push(value),
            Operand::Null => absent = Condition::new(format!("{expression} IS NULL"), []),
            Operand::Never => {}
            Operand::Unknown => return Condition::unknown(),
        }
    }
    Condition::any([is_one_of(expression, present), absent])
}

/// The operand of a comparison with a typed column.
enum Operand {
    /// A value of the column's type, in SQL.
    Is(SqlValue),
    /// Null.
    Null,
    /// A value of another type, equal to no value of the column.
    Never,
    /// A value that SQL would compare differently.
    Unknown,
}

fn operand(kind: &ColumnType, value: &Value) -> Operand {
    /// Below this, integers and doubles are compared exactly.
    const EXACT: u64 = 1 << 53;
    match (kind, Kind::of(value)) {
        (_, Kind::Null) => Operand::Null,
        (ColumnType::String, Kind::String(text)) => Operand::Is(SqlValue::Text(text.to_owned())),
        (ColumnType::Number, Kind::Number(number)) => match number.as_i64() {
            Some(integer) if integer.unsigned_abs() < EXACT => Operand::Is(SqlValue::Integer(integer)),
            _ => Operand::Unknown,
        },
        (ColumnType::Boolean, Kind::Boolean(boolean)) => Operand::Is(SqlValue::Integer(boolean.into())),
        // Texts of years before 0 sort in reverse.
        (ColumnType::Date, Kind::Date(time)) => match time.to_string() {
            text if text.starts_with('-') => Operand::Unknown,
            text => Operand::Is(SqlValue::Text(text)),
        },
        (
            ColumnType::Pointer { class_name },
            Kind::Pointer {
                class_name: of,
                object_id,
            },
        ) => {
            if class_name.as_str() == of {
                Operand::Is(SqlValue::Text(object_id.to_owned()))
            } else {
                Operand::Never
            }
        }
        _ => Operand::Never,
    }
}

fn is_scalar(kind: &ColumnType) -> bool {
    matches!(
        kind,
        ColumnType::String
            | ColumnType::Number
            | ColumnType::Boolean
            | ColumnType::Date
            | ColumnType::Pointer { .. }
    )
}

fn is_ranged(kind: &ColumnType) -> bool {
    matches!(kind, ColumnType::String | ColumnType::Number | ColumnType::Date)
}

impl From<IndexValue> for SqlValue {
    fn from(value: IndexValue) -> Self {
        match value {
            IndexValue::Absent => Self::Null,
            IndexValue::Integer(integer) => Self::Integer(integer),
            IndexValue::Real(real) => Self::Real(real),
            IndexValue::Text(text) => Self::Text(text),
            IndexValue::Bytes(bytes) => Self::Blob(bytes),
        }
    }
}
