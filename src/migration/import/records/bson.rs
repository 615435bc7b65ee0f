//! Reader of a MongoDB dump: concatenated BSON documents.
//!
//! The layout of LeanCloud's objects in a dump is not documented, so every form of MongoDB's types is accepted: ids as
//! strings or ObjectIds, pointers with a `__type`, as DBRef or in Parse's form, times of the database's own type, ACLs in
//! every known form.

use std::io::{self, BufRead, Read};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bson::Bson;
use serde_json::{Map, Value, json};

use super::record::{Position, RECORD_BYTES_MAX, Record, RecordContent, RecordReader, too_long};
use crate::model::{Document, Timestamp};

/// Size of the smallest document in bytes: its length and its end.
const DOCUMENT_BYTES_MIN: usize = 5;

pub(super) struct BsonReader<R> {
    reader: R,
    at: Position,
    is_over: bool,
    bytes: Vec<u8>,
}

impl<R: BufRead> BsonReader<R> {
    pub(super) fn new(reader: R, start: Position) -> Self {
        Self {
            reader,
            at: start,
            is_over: false,
            bytes: Vec::new(),
        }
    }

    fn record(&mut self, content: RecordContent) -> Record {
        self.at.index += 1;
        self.at.line = self.at.index;
        Record {
            end: self.at,
            content,
            text: String::new(),
        }
    }

    /// A broken record after which nothing can be read.
    fn end_with(&mut self, reason: String) -> Record {
        self.is_over = true;
        self.record(RecordContent::Broken(reason))
    }
}

impl<R: BufRead> RecordReader for BsonReader<R> {
    fn next(&mut self) -> io::Result<Option<Record>> {
        if self.is_over {
            return Ok(None);
        }
        self.bytes.clear();
        let offset = self.at.offset;
        (&mut self.reader).take(4).read_to_end(&mut self.bytes)?;
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let Ok(head) = <[u8; 4]>::try_from(self.bytes.as_slice()) else {
            return Ok(Some(self.end_with("the document breaks off".to_owned())));
        };
        let length = usize::try_from(i32::from_le_bytes(head)).unwrap_or(0);
        if length < DOCUMENT_BYTES_MIN {
            let reason =
                format!("no BSON document begins at byte {offset}; the rest of the file cannot be read");
            return Ok(Some(self.end_with(reason)));
        }
        let rest = (length - 4) as u64;
        if length > RECORD_BYTES_MAX {
            let skipped = io::copy(&mut (&mut self.reader).take(rest), &mut io::sink())?;
            if skipped < rest {
                let reason = format!("no BSON document begins at byte {offset}, or it breaks off");
                return Ok(Some(self.end_with(reason)));
            }
            self.at.offset += length as u64;
            return Ok(Some(self.record(too_long())));
        }
        let read = (&mut self.reader).take(rest).read_to_end(&mut self.bytes)?;
        if (read as u64) < rest {
            return Ok(Some(self.end_with("the document breaks off".to_owned())));
        }
        self.at.offset += length as u64;
        let content = match bson::Document::from_reader(self.bytes.as_slice()) {
            Ok(document) => match object(document) {
                Ok(document) => RecordContent::Object(document),
                Err(reason) => RecordContent::Broken(reason),
            },
            Err(error) => RecordContent::Broken(format!("this is no BSON document: {error}")),
        };
        Ok(Some(self.record(content)))
    }
}

/// Converts a document to an object.
fn object(document: bson::Document) -> Result<Document, String> {
    let mut object = Document::new();
    let mut auth_data = Map::new();
    let mut rights: Vec<(&str, Bson)> = Vec::new();
    for (key, value) in document {
        match key.as_str() {
            "_id" => {
                // The id of a row of a relation is not used, whatever its type.
                let id = id(value).map_or_else(|other| field(&key, other), |id| Ok(id.into()))?;
                object.insert("objectId".to_owned(), id);
            }
            "createdAt" | "updatedAt" | "_created_at" | "_updated_at" => {
                let name = if key.contains("reated") {
                    "createdAt"
                } else {
                    "updatedAt"
                };
                object.insert(name.to_owned(), time(&key, value)?.into());
            }
            "_rperm" => rights.push(("read", value)),
            "_wperm" => rights.push(("write", value)),
            "_acl" => {
                object.insert("ACL".to_owned(), short_acl(value)?);
            }
            "_hashed_password" => {
                object.insert("bcryptPassword".to_owned(), field(&key, value)?);
            }
            "_session_token" => {
                object.insert("sessionToken".to_owned(), field(&key, value)?);
            }
            "_email_verify_token" | "_perishable_token" | "_tombstone" | "__v" => {}
            _ => {
                if let Some(provider) = key.strip_prefix("_auth_data_") {
                    auth_data.insert(provider.to_owned(), field(&key, value)?);
                } else if let Some(name) = key.strip_prefix("_p_") {
                    object.insert(name.to_owned(), parse_pointer(&key, &value)?);
                } else {
                    let value = field(&key, value)?;
                    object.insert(key, value);
                }
            }
        }
    }
    if !auth_data.is_empty() {
        object.insert("authData".to_owned(), Value::Object(auth_data));
    }
    if !rights.is_empty() && !object.contains_key("ACL") {
        object.insert("ACL".to_owned(), listed_acl(rights));
    }
    Ok(object)
}

/// Converts an id to text; returns any other value as the error.
fn id(value: Bson) -> Result<String, Bson> {
    match value {
        Bson::ObjectId(id) => Ok(id.to_hex()),
        Bson::String(text) => Ok(text),
        other => Err(other),
    }
}

fn time(key: &str, value: Bson) -> Result<String, String> {
    match value {
        Bson::DateTime(time) => Ok(Timestamp::from_millis(time.timestamp_millis()).to_string()),
        Bson::String(text) => Ok(text),
        Bson::Int64(millis) => Ok(Timestamp::from_millis(millis).to_string()),
        Bson::Document(document) => match document.get("iso") {
            Some(Bson::DateTime(time)) => Ok(Timestamp::from_millis(time.timestamp_millis()).to_string()),
            Some(Bson::String(text)) => Ok(text.clone()),
            _ => Err(format!("'{key}' is no time")),
        },
        other => Err(format!("'{key}' is no time but {}", kind(&other))),
    }
}

/// Parses `Class$id`.
fn parse_pointer(key: &str, value: &Bson) -> Result<Value, String> {
    match value {
        Bson::Null => Ok(Value::Null),
        Bson::String(text) => {
            let (class, id) = text
                .split_once('$')
                .ok_or_else(|| format!("'{key}' is no pointer: '{text}'"))?;
            Ok(json!({"__type": "Pointer", "className": class, "objectId": id}))
        }
        other => Err(format!("'{key}' is no pointer but {}", kind(other))),
    }
}

/// Converts `{"*": {"r": true, "w": true}}`.
fn short_acl(value: Bson) -> Result<Value, String> {
    let mut acl = field("_acl", value)?;
    for rights in acl.as_object_mut().into_iter().flat_map(Map::values_mut) {
        let Some(rights) = rights.as_object_mut() else {
            continue;
        };
        for (short, long) in [("r", "read"), ("w", "write")] {
            if let Some(right) = rights.remove(short) {
                rights.insert(long.to_owned(), right);
            }
        }
    }
    Ok(acl)
}

/// Converts lists of readers and writers to an ACL.
fn listed_acl(rights: Vec<(&str, Bson)>) -> Value {
    let mut acl = Map::new();
    for (right, list) in rights {
        for entry in list.as_array().into_iter().flatten().filter_map(Bson::as_str) {
            let entry = acl.entry(entry.to_owned()).or_insert_with(|| json!({}));
            if let Some(entry) = entry.as_object_mut() {
                entry.insert(right.to_owned(), true.into());
            }
        }
    }
    Value::Object(acl)
}

fn field(key: &str, value: Bson) -> Result<Value, String> {
    Ok(match value {
        Bson::Null | Bson::Undefined => Value::Null,
        Bson::Boolean(boolean) => boolean.into(),
        Bson::Int32(integer) => integer.into(),
        Bson::Int64(integer) => integer.into(),
        Bson::Double(double) if double.is_finite() => double.into(),
        Bson::Double(double) => return Err(format!("'{key}' is {double}, which JSON cannot hold")),
        Bson::String(text) | Bson::Symbol(text) => text.into(),
        Bson::ObjectId(id) => id.to_hex().into(),
        Bson::DateTime(time) => Timestamp::from_millis(time.timestamp_millis()).to_date(),
        Bson::Binary(binary) => json!({"__type": "Bytes", "base64": BASE64_STANDARD.encode(binary.bytes)}),
        Bson::Array(elements) => {
            let elements = elements.into_iter().map(|element| field(key, element));
            Value::Array(elements.collect::<Result<_, _>>()?)
        }
        Bson::Document(document) => embedded(key, document)?,
        other => return Err(format!("'{key}' is {}, which has no counterpart", kind(&other))),
    })
}

fn embedded(key: &str, document: bson::Document) -> Result<Value, String> {
    if let (Some(Bson::String(class)), Some(id_of)) = (document.get("$ref"), document.get("$id")) {
        let id = id(id_of.clone()).map_err(|_| format!("the DBRef '{key}' has no usable id"))?;
        return Ok(json!({"__type": "Pointer", "className": class, "objectId": id}));
    }
    let is_date = matches!(document.get("__type"), Some(Bson::String(name)) if name == "Date");
    let mut fields = Map::new();
    for (name, value) in document {
        let value = if is_date && name == "iso" {
            time(key, value)?.into()
        } else {
            field(&format!("{key}.{name}"), value)?
        };
        fields.insert(name, value);
    }
    Ok(Value::Object(fields))
}

fn kind(value: &Bson) -> &'static str {
    match value {
        Bson::Double(_) => "a double",
        Bson::String(_) => "text",
        Bson::Array(_) => "an array",
        Bson::Document(_) => "a document",
        Bson::Boolean(_) => "a boolean",
        Bson::Null => "null",
        Bson::RegularExpression(_) => "a regular expression",
        Bson::JavaScriptCode(_) | Bson::JavaScriptCodeWithScope(_) => "code",
        Bson::Int32(_) | Bson::Int64(_) => "an integer",
        Bson::Timestamp(_) => "a timestamp of MongoDB's replication",
        Bson::Binary(_) => "binary",
        Bson::ObjectId(_) => "an ObjectId",
        Bson::DateTime(_) => "a time",
        Bson::Symbol(_) => "a symbol",
        Bson::Decimal128(_) => "a decimal of 128 bits",
        Bson::Undefined => "undefined",
        Bson::MaxKey => "the greatest key",
        Bson::MinKey => "the smallest key",
        Bson::DbPointer(_) => "a pointer of MongoDB's old form",
    }
}
