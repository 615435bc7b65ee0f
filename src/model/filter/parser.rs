//! Parser of `where`.

use serde_json::Map;

use crate::model::filter::{Pattern, Subquery, geo};
use crate::model::value::{as_integer, normalize};
use crate::model::{ClassName, CloudError, Document, Filter, KeyPath, Pointer, Query, Test, Value, limits};

impl Filter {
    /// Parses a `where`: an object, or an array of objects (their conjunction).
    ///
    /// # Errors
    /// 107 for anything malformed; 105 for a key, 106, 121 and 302 for a value.
    pub fn parse(value: &Value) -> Result<Self, CloudError> {
        Self::parse_at(value, 0)
    }

    /// As [`Filter::parse`], `depth` levels inside another filter.
    pub(in crate::model) fn parse_at(value: &Value, depth: usize) -> Result<Self, CloudError> {
        let mut parts = Vec::new();
        parse_into(&mut parts, value, depth)?;
        Ok(Self::And(parts))
    }
}

fn check_depth(depth: usize) -> Result<(), CloudError> {
    if depth > limits::FILTER_DEPTH_MAX {
        return Err(CloudError::malformed(format!(
            "The filter is nested deeper than {} levels.",
            limits::FILTER_DEPTH_MAX
        )));
    }
    Ok(())
}

/// Appends the parts of the conjunction `value`.
fn parse_into(parts: &mut Vec<Filter>, value: &Value, depth: usize) -> Result<(), CloudError> {
    check_depth(depth)?;
    match value {
        Value::Array(filters) => filters
            .iter()
            .try_for_each(|filter| parse_into(parts, filter, depth + 1)),
        Value::Object(entries) => entries
            .iter()
            .try_for_each(|(key, operand)| parse_entry(parts, key, operand, depth)),
        _ => Err(CloudError::malformed("A filter must be an object.".to_owned())),
    }
}

fn parse_entry(parts: &mut Vec<Filter>, key: &str, operand: &Value, depth: usize) -> Result<(), CloudError> {
    match key {
        "$and" => {
            return alternatives(key, operand)?
                .iter()
                .try_for_each(|filter| parse_into(parts, filter, depth + 1));
        }
        "$or" => parts.push(Filter::Or(parse_list(key, operand, depth)?)),
        "$nor" => parts.push(Filter::Nor(parse_list(key, operand, depth)?)),
        "$relatedTo" => {
            let (Some(object), Some(Value::String(relation))) = (operand.get("object"), operand.get("key"))
            else {
                return Err(CloudError::malformed(
                    "$relatedTo needs 'object', a pointer, and 'key', a name.".to_owned(),
                ));
            };
            parts.push(Filter::RelatedTo {
                object: Pointer::parse(object)?,
                key: relation.clone(),
            });
        }
        _ if key.starts_with('$') => return Err(CloudError::malformed(format!("Unknown operator '{key}'."))),
        _ => parse_key(parts, &KeyPath::parse(key)?, operand, depth)?,
    }
    Ok(())
}

fn alternatives<'a>(operator: &str, operand: &'a Value) -> Result<&'a [Value], CloudError> {
    match operand {
        Value::Array(filters) if !filters.is_empty() => Ok(filters),
        _ => Err(CloudError::malformed(format!(
            "{operator} needs an array of filters, not empty."
        ))),
    }
}

fn parse_list(operator: &str, operand: &Value, depth: usize) -> Result<Vec<Filter>, CloudError> {
    alternatives(operator, operand)?
        .iter()
        .map(|filter| Filter::parse_at(filter, depth + 1))
        .collect()
}

fn parse_key(
    parts: &mut Vec<Filter>,
    path: &KeyPath,
    operand: &Value,
    depth: usize,
) -> Result<(), CloudError> {
    let Some(operators) = as_operators(operand)? else {
        parts.push(Filter::Key(path.clone(), Test::Eq(normal(operand)?)));
        return Ok(());
    };
    let mut geo_done = false;
    for (name, operand) in operators {
        match name.as_str() {
            "$options" => {
                if !operators.contains_key("$regex") {
                    return Err(CloudError::malformed(
                        "$options needs $regex beside it.".to_owned(),
                    ));
                }
            }
            "$not" => parts.push(parse_not(path, operand, depth + 1)?),
            name if geo::OPERATORS.contains(&name) => {
                if !std::mem::replace(&mut geo_done, true) {
                    let tests = geo::parse(operators)?;
                    parts.extend(
                        tests
                            .into_iter()
                            .map(|test| Filter::Key(path.clone(), Test::Geo(test))),
                    );
                }
            }
            name => parts.push(Filter::Key(
                path.clone(),
                parse_test(name, operand, operators, depth)?,
            )),
        }
    }
    Ok(())
}

/// The operators of an operand; `None` if it is a plain value.
fn as_operators(operand: &Value) -> Result<Option<&Map<String, Value>>, CloudError> {
    let Value::Object(entries) = operand else {
        return Ok(None);
    };
    let operators = entries.keys().filter(|key| key.starts_with('$')).count();
    if operators == 0 {
        return Ok(None);
    }
    match entries.keys().find(|key| !key.starts_with('$')) {
        Some(key) => Err(CloudError::malformed(format!(
            "'{key}' cannot stand beside operators; only keys starting with '$' can."
        ))),
        None => Ok(Some(entries)),
    }
}

/// Parses `$not`: negates the conjunction of its operators.
fn parse_not(path: &KeyPath, operand: &Value, depth: usize) -> Result<Filter, CloudError> {
    check_depth(depth)?;
    if as_operators(operand)?.is_none() {
        return Err(CloudError::malformed(
            "$not needs an object of operators.".to_owned(),
        ));
    }
    let mut inner = Vec::new();
    parse_key(&mut inner, path, operand, depth)?;
    if let [Filter::Key(_, _)] = inner.as_slice()
        && let Some(Filter::Key(path, test)) = inner.pop()
    {
        return Ok(Filter::Key(path, Test::Not(Box::new(test))));
    }
    Ok(Filter::Nor(vec![Filter::And(inner)]))
}

fn parse_test(
    name: &str,
    operand: &Value,
    operators: &Map<String, Value>,
    depth: usize,
) -> Result<Test, CloudError> {
    Ok(match name {
        "$eq" => Test::Eq(normal(operand)?),
        "$ne" => Test::Ne(normal(operand)?),
        "$lt" => Test::Lt(normal(operand)?),
        "$lte" => Test::Lte(normal(operand)?),
        "$gt" => Test::Gt(normal(operand)?),
        "$gte" => Test::Gte(normal(operand)?),
        "$in" => Test::In(values(name, operand)?),
        "$nin" => Test::Nin(values(name, operand)?),
        "$all" => Test::All(values(name, operand)?),
        "$exists" => Test::Exists(match operand {
            Value::Bool(there) => *there,
            Value::Number(number) => number.as_f64() != Some(0.0),
            _ => return Err(CloudError::malformed("$exists needs true or false.".to_owned())),
        }),
        "$size" => Test::Size(
            as_integer(operand)
                .and_then(|size| u64::try_from(size).ok())
                .ok_or_else(|| CloudError::malformed("$size needs an integer of at least 0.".to_owned()))?,
        ),
        "$regex" => {
            let text = |name: &str, value: &Value| match value {
                Value::String(text) => Ok(text.clone()),
                _ => Err(CloudError::malformed(format!("{name} needs text."))),
            };
            let options = operators
                .get("$options")
                .map_or(Ok(String::new()), |options| text("$options", options))?;
            Test::Regex(Pattern::new(&text(name, operand)?, &options)?)
        }
        "$inQuery" => Test::InQuery(Box::new(parse_subquery(name, operand, None, depth)?)),
        "$notInQuery" => Test::NotInQuery(Box::new(parse_subquery(name, operand, None, depth)?)),
        "$select" => Test::Select(Box::new(parse_select(name, operand, depth)?)),
        "$dontSelect" => Test::DontSelect(Box::new(parse_select(name, operand, depth)?)),
        _ => return Err(CloudError::malformed(format!("Unknown operator '{name}'."))),
    })
}

fn normal(operand: &Value) -> Result<Value, CloudError> {
    let mut value = operand.clone();
    normalize(&mut value)?;
    Ok(value)
}

fn values(operator: &str, operand: &Value) -> Result<Vec<Value>, CloudError> {
    operand
        .as_array()
        .ok_or_else(|| CloudError::malformed(format!("{operator} needs an array.")))?
        .iter()
        .map(normal)
        .collect()
}

fn parse_select(operator: &str, operand: &Value, depth: usize) -> Result<Subquery, CloudError> {
    match (operand.get("query"), operand.get("key")) {
        (Some(query), Some(Value::String(key))) => parse_subquery(operator, query, Some(key.clone()), depth),
        _ => Err(CloudError::malformed(format!(
            "{operator} needs 'query' and 'key'."
        ))),
    }
}

fn parse_subquery(
    operator: &str,
    operand: &Value,
    key: Option<String>,
    depth: usize,
) -> Result<Subquery, CloudError> {
    let (Value::Object(parameters), Some(Value::String(class))) = (operand, operand.get("className")) else {
        return Err(CloudError::malformed(format!(
            "{operator} needs an object with 'className'."
        )));
    };
    let parameters: Document = parameters
        .iter()
        .filter(|(name, _)| *name != "className")
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    Ok(Subquery {
        class: ClassName::parse(class)?,
        query: Query::parse_at(&parameters, depth + 1)?,
        key,
    })
}
