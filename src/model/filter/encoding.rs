//! The wire form of filters.

use serde_json::{Map, json};

use crate::model::filter::Subquery;
use crate::model::{Filter, Test, Value};

impl Filter {
    /// The wire form. [`Filter::parse`] parses it to an equal filter, if no conjunction stands directly in another
    /// or is omitted around a single test. Parsed filters and filters from the builder methods satisfy this.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut objects = match self {
            Self::And(parts) => conjunction(parts),
            part => conjunction(std::slice::from_ref(part)),
        };
        if objects.len() <= 1 {
            return Value::Object(objects.pop().unwrap_or_default());
        }
        let rest = objects.split_off(1);
        let mut first = objects.pop().unwrap_or_default();
        first.insert("$and".to_owned(), rest.into_iter().map(Value::Object).collect());
        Value::Object(first)
    }
}

/// Encodes the parts of a conjunction as objects. More than one object only if a key or operator recurs.
fn conjunction(parts: &[Filter]) -> Vec<Map<String, Value>> {
    let mut objects = vec![Map::new()];
    for part in parts {
        let (key, entry) = match part {
            Filter::And(inner) => ("$and".to_owned(), inner.iter().map(Filter::to_value).collect()),
            Filter::Or(inner) => ("$or".to_owned(), inner.iter().map(Filter::to_value).collect()),
            Filter::Nor(inner) => ("$nor".to_owned(), inner.iter().map(Filter::to_value).collect()),
            Filter::RelatedTo { object, key } => (
                "$relatedTo".to_owned(),
                json!({"object": object.to_value(), "key": key}),
            ),
            Filter::Key(path, test) => (path.to_string(), test.to_value()),
        };
        // `$and` is reserved for the second and further objects.
        if part_is_empty_conjunction(part) {
            continue;
        }
        let operators = matches!(part, Filter::Key(_, test) if !matches!(test, Test::Eq(_)));
        let fits = objects
            .last_mut()
            .is_some_and(|object| add(object, &key, &entry, operators));
        if !fits {
            objects.push(Map::from_iter([(key, entry)]));
        }
    }
    objects
}

fn part_is_empty_conjunction(part: &Filter) -> bool {
    matches!(part, Filter::And(parts) if parts.is_empty())
}

/// Adds an entry to an object of a conjunction if that changes neither order nor meaning.
fn add(object: &mut Map<String, Value>, key: &str, entry: &Value, operators: bool) -> bool {
    if key == "$and" {
        return false;
    }
    let is_last = object.keys().next_back().is_some_and(|last| last == key);
    match (object.get_mut(key), entry) {
        (None, _) => {
            object.insert(key.to_owned(), entry.clone());
            true
        }
        (Some(Value::Object(there)), Value::Object(new)) if is_last && operators => {
            let merges = there.keys().next().is_some_and(|name| name.starts_with('$'))
                && new.keys().all(|name| !there.contains_key(name))
                && !(is_geo(there) && is_geo(new));
            if merges {
                there.extend(new.iter().map(|(name, operand)| (name.clone(), operand.clone())));
            }
            merges
        }
        _ => false,
    }
}

fn is_geo(operators: &Map<String, Value>) -> bool {
    operators
        .keys()
        .any(|name| super::geo::OPERATORS.contains(&name.as_str()))
}

impl Test {
    /// The operand: the plain value for [`Test::Eq`], an object of operators for all others.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let single = |name: &str, operand: Value| Value::Object(Map::from_iter([(name.to_owned(), operand)]));
        match self {
            Self::Eq(value) => value.clone(),
            Self::Ne(value) => single("$ne", value.clone()),
            Self::Lt(value) => single("$lt", value.clone()),
            Self::Lte(value) => single("$lte", value.clone()),
            Self::Gt(value) => single("$gt", value.clone()),
            Self::Gte(value) => single("$gte", value.clone()),
            Self::In(values) => single("$in", values.clone().into()),
            Self::Nin(values) => single("$nin", values.clone().into()),
            Self::Exists(there) => single("$exists", (*there).into()),
            Self::All(values) => single("$all", values.clone().into()),
            Self::Size(size) => single("$size", (*size).into()),
            Self::Regex(pattern) if pattern.options().is_empty() => json!({"$regex": pattern.pattern()}),
            Self::Regex(pattern) => json!({"$regex": pattern.pattern(), "$options": pattern.options()}),
            Self::Not(inner) => single(
                "$not",
                match inner.as_ref() {
                    Self::Eq(value) => single("$eq", value.clone()),
                    inner => inner.to_value(),
                },
            ),
            Self::InQuery(subquery) => single("$inQuery", subquery.to_value()),
            Self::NotInQuery(subquery) => single("$notInQuery", subquery.to_value()),
            Self::Select(subquery) => single("$select", subquery.to_value()),
            Self::DontSelect(subquery) => single("$dontSelect", subquery.to_value()),
            Self::Geo(operators) => operators.clone(),
        }
    }
}

impl Subquery {
    fn to_value(&self) -> Value {
        let query = &self.query;
        let mut parameters = Map::new();
        parameters.insert("className".to_owned(), self.class.as_str().into());
        parameters.insert("where".to_owned(), query.filter.to_value());
        for (name, text) in query.to_parameters() {
            let value = match name {
                "where" => continue,
                "limit" => query.limit.into(),
                "skip" => query.skip.into(),
                _ => Value::String(text),
            };
            parameters.insert(name.to_owned(), value);
        }
        match &self.key {
            Some(key) => json!({"query": parameters, "key": key}),
            None => Value::Object(parameters),
        }
    }
}
