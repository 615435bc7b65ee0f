//! Values as held by indexes.

use serde_json::Map;

use crate::model::value::Kind;
use crate::model::{ClassName, Document, GeoPoint, Index, Principal, Value};
use crate::storage::sql::geo_cell;

/// A value as held by an index. Index values are equal exactly if [`equal`](crate::model::value::equal) holds for
/// the values; values of one type keep their order.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub(super) enum IndexValue {
    /// Missing or `null`, which indexes do not distinguish.
    Absent,
    /// An integer of 64 bits.
    Integer(i64),
    /// Any other number.
    Real(f64),
    /// Text.
    Text(String),
    /// Any other type: a tag byte, then the contents.
    Bytes(Vec<u8>),
}

/// The first byte of [`IndexValue::Bytes`].
pub(super) mod tag {
    pub(in crate::storage) const BOOLEAN: u8 = 1;
    pub(in crate::storage) const DATE: u8 = 2;
    pub(in crate::storage) const POINTER: u8 = 3;
    pub(in crate::storage) const FILE: u8 = 4;
    pub(in crate::storage) const OTHER: u8 = 5;
    /// An array at the key or on the path to it. It has no single index value and sorts after everything.
    pub(in crate::storage) const ARRAY: u8 = 6;
}

/// Keys of indexed values that are derived from a document. They cannot be paths of a filter, since `$` starts no
/// name.
pub(super) mod derived {
    /// Suffix of a column of points, after a dot: the number of the point's cell.
    pub(in crate::storage) const CELL: &str = "$cell";
    /// 1 if the document is not publicly readable, absent otherwise.
    pub(in crate::storage) const PRIVATE: &str = "ACL.$private";
}

impl IndexValue {
    /// The index value at `key`.
    pub(super) fn at(document: &Document, key: &str) -> Self {
        if key == derived::PRIVATE {
            return match is_private(document) {
                true => Self::Integer(1),
                false => Self::Absent,
            };
        }
        if let Some((column, derived::CELL)) = key.rsplit_once('.') {
            let point = document.get(column).map(GeoPoint::parse);
            return match point {
                Some(Ok(point)) => Self::Integer(geo_cell(point)),
                _ => Self::Absent,
            };
        }
        let mut parts = key.split('.');
        let mut value = parts.next().and_then(|column| document.get(column));
        for part in parts {
            value = match value {
                Some(Value::Object(fields)) => fields.get(part),
                Some(array @ Value::Array(_)) => return Self::of(array),
                _ => return Self::Absent,
            };
        }
        value.map_or(Self::Absent, Self::of)
    }

    /// The index values at all `keys`.
    pub(super) fn all(keys: &[String], document: &Document) -> Vec<Self> {
        keys.iter().map(|key| Self::at(document, key)).collect()
    }

    /// The index value of a value.
    pub(super) fn of(value: &Value) -> Self {
        match Kind::of(value) {
            Kind::Null => Self::Absent,
            Kind::Number(number) => match number.as_i64() {
                Some(integer) => Self::Integer(integer),
                None => Self::Real(number.as_f64().unwrap_or_default()),
            },
            Kind::String(text) => Self::Text(text.to_owned()),
            Kind::Boolean(boolean) => Self::tagged(tag::BOOLEAN, &[u8::from(boolean)]),
            Kind::Date(time) => {
                // The sign bit is flipped, so that the bytes sort by time.
                let sortable = time.as_millis().cast_unsigned() ^ (1 << 63);
                Self::tagged(tag::DATE, &sortable.to_be_bytes())
            }
            Kind::Pointer {
                class_name,
                object_id,
            } => Self::pointer(class_name, object_id),
            Kind::File(id) => Self::tagged(tag::FILE, id.as_bytes()),
            Kind::Array(_) => Self::tagged(tag::ARRAY, canonical(value).to_string().as_bytes()),
            Kind::Object(_) | Kind::Bytes(_) | Kind::GeoPoint(_) | Kind::Relation(_) => {
                Self::tagged(tag::OTHER, canonical(value).to_string().as_bytes())
            }
        }
    }

    /// The index value of a file in an earlier version, which indexed it as a pointer to `_File`. A row keeps that
    /// value until its file changes.
    pub(super) fn earlier(value: &Value) -> Option<Self> {
        match Kind::of(value) {
            Kind::File(id) => Some(Self::pointer(ClassName::FILE, id)),
            _ => None,
        }
    }

    fn pointer(class_name: &str, id: &str) -> Self {
        Self::tagged(tag::POINTER, format!("{class_name}\0{id}").as_bytes())
    }

    fn tagged(tag: u8, contents: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(contents.len() + 1);
        bytes.push(tag);
        bytes.extend_from_slice(contents);
        Self::Bytes(bytes)
    }

    /// Bytes that are equal for equal values, for maps.
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Absent => vec![0],
            Self::Integer(integer) => integer.to_string().into_bytes(),
            Self::Real(real) => whole(*real).map_or_else(
                || real.to_string().into_bytes(),
                |integer| integer.to_string().into_bytes(),
            ),
            Self::Text(text) => format!("\"{text}").into_bytes(),
            Self::Bytes(bytes) => bytes.clone(),
        }
    }
}

/// True if the document is not publicly readable.
pub(super) fn is_private(document: &Document) -> bool {
    document.contains_key("ACL") && !Principal::anonymous().may_read(document)
}

/// The ACL keys that grant reading of a private document; empty if it is public.
pub(super) fn readers(document: &Document) -> Vec<String> {
    let acl = document.get("ACL").and_then(Value::as_object);
    let Some(acl) = acl.filter(|_| is_private(document)) else {
        return Vec::new();
    };
    acl.iter()
        .filter(|(_, rights)| rights.get("read") == Some(&Value::Bool(true)))
        .map(|(key, _)| key.clone())
        .collect()
}

/// The key of a document in a unique index; `None` if the document is not indexed.
pub(super) fn unique_key(index: &Index, document: &Document) -> Option<Vec<Vec<u8>>> {
    let values = IndexValue::all(&index.keys, document);
    if index.sparse && values.iter().all(|value| *value == IndexValue::Absent) {
        return None;
    }
    Some(values.iter().map(IndexValue::bytes).collect())
}

/// The canonical form: numbers in one form, objects with sorted keys.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Array(elements) => Value::Array(elements.iter().map(canonical).collect()),
        Value::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_unstable_by_key(|(key, _)| *key);
            let fields: Map<_, _> = sorted
                .into_iter()
                .map(|(key, value)| (key.clone(), canonical(value)))
                .collect();
            Value::Object(fields)
        }
        Value::Number(number) => match number.as_f64().and_then(whole) {
            Some(integer) if number.as_i64().is_none() => Value::from(integer),
            _ => value.clone(),
        },
        Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
    }
}

/// The integral double as an integer, if it fits into 64 bits.
fn whole(real: f64) -> Option<i64> {
    const BOUND: f64 = 9_223_372_036_854_775_808.0;
    if real.fract() != 0.0 || real.abs() >= BOUND {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "integral and within 64 bits, checked above"
    )]
    let integer = real as i64;
    Some(integer)
}
