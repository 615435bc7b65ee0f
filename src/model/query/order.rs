//! Comparison of documents by `order`.

use std::cmp::Ordering;
use std::convert::Infallible;

use crate::model::filter::{PathMatch, visit};
use crate::model::value::compare;
use crate::model::{Direction, Document, KeyPath, OrderKey, Value};

impl OrderKey {
    /// Compares two documents by these keys in MongoDB's order of types and values: missing and null, numbers, text,
    /// objects, arrays, bytes, booleans, dates. An array counts as its smallest element, or as its largest for a
    /// descending key; an empty array comes first.
    #[must_use]
    pub fn compare(keys: &[Self], a: &Document, b: &Document) -> Ordering {
        keys.iter()
            .map(|key| {
                let order = SortValue::of(a, key).cmp(&SortValue::of(b, key));
                match key.direction {
                    Direction::Ascending => order,
                    Direction::Descending => order.reverse(),
                }
            })
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    }
}

/// The sort value of a document.
enum SortValue<'a> {
    EmptyArray,
    Value(&'a Value),
}

impl<'a> SortValue<'a> {
    fn of(document: &'a Document, key: &OrderKey) -> Self {
        let path: &KeyPath = &key.key;
        if !path.is_nested()
            && let Some(value) = document.get(path.as_str())
            && !value.is_array()
        {
            return Self::Value(value);
        }
        let better = match key.direction {
            Direction::Ascending => Ordering::Less,
            Direction::Descending => Ordering::Greater,
        };
        let mut best: Option<Self> = None;
        let seen: Result<bool, Infallible> = visit(document, path, &mut |place| {
            let candidate = match place {
                PathMatch::Missing => Self::Value(&Value::Null),
                PathMatch::Whole(Value::Array(elements)) if elements.is_empty() => Self::EmptyArray,
                // Its elements came before it.
                PathMatch::Whole(Value::Array(_)) if best.is_some() => return Ok(false),
                PathMatch::Whole(value) | PathMatch::Element(value) => Self::Value(value),
            };
            if best.as_ref().is_none_or(|best| candidate.cmp(best) == better) {
                best = Some(candidate);
            }
            Ok(false)
        });
        match seen {
            Ok(_) => best.unwrap_or(Self::Value(&Value::Null)),
        }
    }

    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::EmptyArray, Self::EmptyArray) => Ordering::Equal,
            (Self::EmptyArray, Self::Value(_)) => Ordering::Less,
            (Self::Value(_), Self::EmptyArray) => Ordering::Greater,
            (Self::Value(a), Self::Value(b)) => compare(a, b),
        }
    }
}
