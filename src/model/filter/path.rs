//! The values at a path of a document, by MongoDB's rules for paths through arrays.

use serde_json::Map;

use crate::model::{KeyPath, Value};

/// One match of a path.
#[derive(Clone, Copy, Debug)]
pub(in crate::model) enum PathMatch<'a> {
    /// No value.
    Missing,
    /// The value at the path, possibly a whole array.
    Whole(&'a Value),
    /// An element of the array at the path.
    Element(&'a Value),
}

/// Calls `see` with each match of `path` until it returns true. Returns true if a call did.
///
/// An array in the middle of a path stands for each of its elements that is an object; a number in the path also
/// stands for the element at that index. An array of other values has no match, not even [`PathMatch::Missing`].
pub(in crate::model) fn visit<'a, E>(
    document: &'a Map<String, Value>,
    path: &KeyPath,
    see: &mut impl FnMut(PathMatch<'a>) -> Result<bool, E>,
) -> Result<bool, E> {
    let (head, tail) = split(path.as_str());
    visit_child(document.get(head), tail, see)
}

fn split(path: &str) -> (&str, Option<&str>) {
    match path.split_once('.') {
        Some((head, tail)) => (head, Some(tail)),
        None => (path, None),
    }
}

fn visit_child<'a, E>(
    child: Option<&'a Value>,
    tail: Option<&str>,
    see: &mut impl FnMut(PathMatch<'a>) -> Result<bool, E>,
) -> Result<bool, E> {
    match (child, tail) {
        (Some(Value::Array(elements)), None) => {
            for element in elements {
                if see(PathMatch::Element(element))? {
                    return Ok(true);
                }
            }
            child.map_or(Ok(false), |array| see(PathMatch::Whole(array)))
        }
        (Some(value), None) => see(PathMatch::Whole(value)),
        (Some(Value::Array(elements)), Some(tail)) => visit_elements(elements, tail, see),
        (Some(Value::Object(fields)), Some(tail)) => {
            let (head, tail) = split(tail);
            visit_child(fields.get(head), tail, see)
        }
        _ => see(PathMatch::Missing),
    }
}

fn visit_elements<'a, E>(
    elements: &'a [Value],
    path: &str,
    see: &mut impl FnMut(PathMatch<'a>) -> Result<bool, E>,
) -> Result<bool, E> {
    let (head, tail) = split(path);
    let index = index_of(head);
    for (at, element) in elements.iter().enumerate() {
        if let Value::Object(fields) = element
            && visit_child(fields.get(head), tail, see)?
        {
            return Ok(true);
        }
        if index != Some(at) {
            continue;
        }
        let found = match (element, tail) {
            (_, None) => see(PathMatch::Whole(element))?,
            (Value::Object(fields), Some(tail)) => {
                let (head, tail) = split(tail);
                visit_child(fields.get(head), tail, see)?
            }
            // An array directly inside an array is accessible by index only.
            (Value::Array(inner), Some(tail)) => {
                let (head, tail) = split(tail);
                visit_child(index_of(head).and_then(|at| inner.get(at)), tail, see)?
            }
            _ => false,
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Parses an array index as MongoDB does: digits without leading zeros.
pub(in crate::model) fn index_of(part: &str) -> Option<usize> {
    let canonical = part.bytes().all(|byte| byte.is_ascii_digit()) && (part == "0" || !part.starts_with('0'));
    if canonical { part.parse().ok() } else { None }
}
