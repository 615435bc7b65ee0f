//! The evaluator: matches documents against filters.

use std::cmp::Ordering;

use crate::model::filter::{PathMatch, geo, visit};
use crate::model::value::{Kind, compare, equal};
use crate::model::{CloudError, Document, Filter, KeyPath, Test, Timestamp, Value};

impl Filter {
    /// True if the document matches.
    ///
    /// # Errors
    /// [`ErrorCode::TIMEOUT`](crate::model::ErrorCode::TIMEOUT) (124) if a regular expression exceeds its steps; 1
    /// for an unresolved part (`$inQuery`, `$select`, `$relatedTo`).
    pub fn matches(&self, document: &Document) -> Result<bool, CloudError> {
        match self {
            Self::And(parts) => {
                for part in parts {
                    if !part.matches(document)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Or(parts) => any(parts, document),
            Self::Nor(parts) => any(parts, document).map(|found| !found),
            Self::Key(path, test) => test.holds(document, path),
            Self::RelatedTo { .. } => Err(unresolved("$relatedTo")),
        }
    }

    /// The first key whose test fails, in filter order; `None` if the document matches. For a disjunction it is the
    /// operator (`$or`, `$nor`).
    ///
    /// # Errors
    /// As [`Filter::matches`].
    pub fn first_unmet(&self, document: &Document) -> Result<Option<String>, CloudError> {
        if let Self::And(parts) = self {
            for part in parts {
                if let Some(unmet) = part.first_unmet(document)? {
                    return Ok(Some(unmet));
                }
            }
            return Ok(None);
        }
        if self.matches(document)? {
            return Ok(None);
        }
        Ok(Some(match self {
            Self::Or(_) => "$or".to_owned(),
            Self::Nor(_) => "$nor".to_owned(),
            Self::Key(path, _) => path.to_string(),
            Self::And(_) => "$and".to_owned(),
            Self::RelatedTo { .. } => "$relatedTo".to_owned(),
        }))
    }
}

fn any(parts: &[Filter], document: &Document) -> Result<bool, CloudError> {
    for part in parts {
        if part.matches(document)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn unresolved(operator: &str) -> CloudError {
    CloudError::other(format!(
        "{operator} must be resolved before a filter is evaluated."
    ))
}

impl Test {
    fn holds(&self, document: &Document, path: &KeyPath) -> Result<bool, CloudError> {
        let at = At { document, path };
        match self {
            Self::Eq(value) => Ok(at.has(value)),
            Self::Ne(value) => Ok(!at.has(value)),
            Self::Lt(value) => Ok(at.compares(value, Ordering::is_lt)),
            Self::Lte(value) => Ok(at.compares(value, Ordering::is_le)),
            Self::Gt(value) => Ok(at.compares(value, Ordering::is_gt)),
            Self::Gte(value) => Ok(at.compares(value, Ordering::is_ge)),
            Self::In(values) => Ok(at.has_any(values)),
            Self::Nin(values) => Ok(!at.has_any(values)),
            Self::Exists(there) => Ok(at.any(|place| !matches!(place, PathMatch::Missing)) == *there),
            Self::All(values) => Ok(!values.is_empty() && values.iter().all(|value| at.has(value))),
            Self::Size(size) => Ok(at.any(|place| match place {
                PathMatch::Whole(Value::Array(elements)) => u64::try_from(elements.len()) == Ok(*size),
                _ => false,
            })),
            Self::Regex(pattern) => visit(document, path, &mut |place| match place {
                PathMatch::Whole(Value::String(text)) | PathMatch::Element(Value::String(text)) => {
                    pattern.finds(text)
                }
                _ => Ok(false),
            }),
            Self::Not(inner) => inner.holds(document, path).map(|holds| !holds),
            Self::Geo(bounds) => visit(document, path, &mut |place| match place {
                PathMatch::Whole(value) | PathMatch::Element(value) => geo::within(bounds, value),
                PathMatch::Missing => Ok(false),
            }),
            Self::InQuery(_) => Err(unresolved("$inQuery")),
            Self::NotInQuery(_) => Err(unresolved("$notInQuery")),
            Self::Select(_) => Err(unresolved("$select")),
            Self::DontSelect(_) => Err(unresolved("$dontSelect")),
        }
    }
}

/// The values at a path of a document.
#[derive(Clone, Copy)]
struct At<'a> {
    document: &'a Document,
    path: &'a KeyPath,
}

impl At<'_> {
    fn any(self, mut see: impl FnMut(PathMatch<'_>) -> bool) -> bool {
        let found: Result<bool, std::convert::Infallible> =
            visit(self.document, self.path, &mut |place| Ok(see(place)));
        match found {
            Ok(found) => found,
        }
    }

    fn has(self, value: &Value) -> bool {
        let instant = self.instant(value);
        self.any(|place| self.place_equals(place, value, instant))
    }

    fn has_any(self, values: &[Value]) -> bool {
        self.any(|place| {
            values
                .iter()
                .any(|value| self.place_equals(place, value, self.instant(value)))
        })
    }

    fn place_equals(self, place: PathMatch<'_>, value: &Value, instant: Option<Timestamp>) -> bool {
        match (place, instant) {
            (PathMatch::Missing, _) => value.is_null(),
            (
                PathMatch::Whole(Value::String(text)) | PathMatch::Element(Value::String(text)),
                Some(instant),
            ) => Timestamp::parse(text).is_ok_and(|time| time == instant),
            (PathMatch::Whole(found) | PathMatch::Element(found), _) => equal(found, value),
        }
    }

    /// True if a value here has the type of `value` and the `wanted` order to it.
    fn compares(self, value: &Value, wanted: fn(Ordering) -> bool) -> bool {
        let instant = self.instant(value);
        self.any(|place| match (place, instant) {
            (PathMatch::Missing, _) => value.is_null() && wanted(Ordering::Equal),
            (
                PathMatch::Whole(Value::String(text)) | PathMatch::Element(Value::String(text)),
                Some(instant),
            ) => Timestamp::parse(text).is_ok_and(|time| wanted(time.cmp(&instant))),
            (PathMatch::Whole(found) | PathMatch::Element(found), _) => {
                Kind::same_bracket(found, value) && wanted(compare(found, value))
            }
        })
    }

    /// The time of `value`, if the path is one of the two that hold times as plain text.
    fn instant(self, value: &Value) -> Option<Timestamp> {
        if !matches!(self.path.as_str(), "createdAt" | "updatedAt") {
            return None;
        }
        match Kind::of(value) {
            Kind::Date(time) => Some(time),
            _ => None,
        }
    }
}
