//! Objects and links that are loaded unchanged, with their ids and times.

use crate::model::user_secrets::PASSWORD_COLUMNS;
use crate::model::value::{Kind, normalize};
use crate::model::{
    Class, CloudError, Column, ColumnType, Document, ErrorCode, KeyPath, ObjectId, Timestamp, Value,
};
use crate::storage::change::{self, Change};
use crate::store::load::{IfExists, Link, LoadOutcome};

/// An object to be loaded, independent of the state of its class.
#[derive(Clone, Debug)]
pub(super) struct LoadedObject {
    pub(super) id: ObjectId,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    /// The document without its relations.
    pub(super) document: Document,
    /// The relation columns that the object declares.
    relations: Vec<(String, Value)>,
}

impl LoadedObject {
    /// Parses an object: performs the checks that do not depend on the class, and normalizes all values.
    pub(super) fn read(mut document: Document) -> Result<Self, CloudError> {
        let id = document.text("objectId").unwrap_or_default();
        let id = ObjectId::parse(id)?;
        let created_at = parse_time(&mut document, "createdAt")?;
        let updated_at = parse_time(&mut document, "updatedAt")?;
        let mut has_relations = false;
        for value in document.values_mut() {
            normalize(value)?;
            has_relations |= matches!(Kind::of(value), Kind::Relation(_));
        }
        let mut relations = Vec::new();
        if has_relations {
            let fields = std::mem::take(&mut document.0);
            let is_relation = |value: &Value| matches!(Kind::of(value), Kind::Relation(_));
            let (apart, rest) = fields
                .into_iter()
                .partition::<Vec<_>, _>(|(_, value)| is_relation(value));
            relations = apart;
            document = rest.into_iter().collect();
        }
        Ok(Self {
            id,
            created_at,
            updated_at,
            document,
            relations,
        })
    }

    /// The columns that the object adds to the class.
    pub(super) fn columns(&self, class: &Class) -> Result<Vec<(String, Column)>, CloudError> {
        change::check_indexed_lengths(class, &self.document, |_| true)?;
        let relations = self.relations.iter().map(|(name, value)| (name, value));
        class.validate_fields(self.document.iter().chain(relations))
    }

    /// Checks if the object may replace `stored`. `Err` holds the outcome of the step otherwise.
    pub(super) fn check_replace(
        &self,
        stored: Option<&Document>,
        if_exists: &IfExists,
    ) -> Result<(), LoadOutcome> {
        let updated_at = stored.and_then(Document::updated_at);
        let kept = Err(LoadOutcome::Kept { updated_at });
        match (if_exists, stored) {
            (IfExists::Replace, _) | (IfExists::Keep | IfExists::ReplaceOlder, None) => Ok(()),
            (IfExists::Keep, Some(_)) | (IfExists::ReplaceMatching(_), None) => kept,
            (IfExists::ReplaceOlder, Some(_)) if updated_at < Some(self.updated_at) => Ok(()),
            (IfExists::ReplaceOlder, Some(_)) => kept,
            (IfExists::ReplaceMatching(filter), Some(stored)) => match filter.matches(stored) {
                Ok(true) => Ok(()),
                Ok(false) => kept,
                Err(error) => Err(LoadOutcome::Refused(error)),
            },
        }
    }

    /// The object to write in place of `stored`: this object, completed with the fields of `fill_missing` that it
    /// lacks; or, if it may not replace a version of the same time, that version, completed in the same way.
    ///
    /// `Err` holds the outcome of the step if nothing is to be written.
    pub(super) fn merge_into(
        self,
        stored: &Document,
        if_exists: &IfExists,
        fill_missing: &[&str],
    ) -> Result<Self, LoadOutcome> {
        let fill = |document: &mut Document, other: &Document| {
            let lacks = |document: &Document, key: &str| document.get(key).is_none_or(Value::is_null);
            let has_password = PASSWORD_COLUMNS.iter().any(|key| !lacks(document, key));
            for key in fill_missing {
                let is_missing = lacks(document, key) && !(has_password && PASSWORD_COLUMNS.contains(key));
                if let Some(value) = other.get(*key).filter(|value| is_missing && !value.is_null()) {
                    document.insert((*key).to_owned(), value.clone());
                }
            }
        };
        let mut object = self;
        let mut ours = object.document.clone();
        fill(&mut ours, stored);
        if ours == *stored {
            return Err(LoadOutcome::Unchanged);
        }
        match object.check_replace(Some(stored), if_exists) {
            Ok(()) => object.document = ours,
            Err(kept) => {
                let same_time = stored.updated_at() == Some(object.updated_at);
                let mut completed = stored.clone();
                fill(&mut completed, &object.document);
                if *if_exists != IfExists::ReplaceOlder || !same_time || completed == *stored {
                    return Err(kept);
                }
                object.created_at = stored.created_at().unwrap_or(object.created_at);
                object.document = completed;
            }
        }
        Ok(object)
    }

    /// Converts the object into a validated write.
    pub(super) fn into_change(self, columns: Vec<(String, Column)>, is_new: bool) -> Change {
        Change {
            id: self.id,
            document: self.document,
            created_at: self.created_at,
            updated_at: self.updated_at,
            columns,
            relations: Vec::new(),
            is_new,
            writes_acl: true,
        }
    }
}

/// The relation column of a link, if the class lacks it.
pub(super) fn link_column(class: &Class, link: &Link) -> Result<Option<(String, Column)>, CloudError> {
    KeyPath::check_column(&link.key)?;
    let relation = ColumnType::Relation {
        class_name: link.target.class_name.clone(),
    };
    match class.columns.get(&link.key) {
        Some(column) if column.column_type == relation => Ok(None),
        Some(_) => Err(CloudError::new(
            ErrorCode::INCORRECT_TYPE,
            format!(
                "The column '{}' of '{}' is not a relation to '{}'.",
                link.key, class.name, link.target.class_name
            ),
        )),
        None => Ok(Some((link.key.clone(), Column::new(relation)))),
    }
}

/// Parses a time set by the store, and normalizes it in the document.
fn parse_time(document: &mut Document, key: &str) -> Result<Timestamp, CloudError> {
    let malformed = || CloudError::new(ErrorCode::INVALID_JSON, format!("'{key}' must be a time."));
    let value = document.get_mut(key).ok_or_else(malformed)?;
    let iso = value
        .as_str()
        .or_else(|| value.get("iso").and_then(Value::as_str));
    let time = Timestamp::parse(iso.ok_or_else(malformed)?)?;
    *value = time.to_string().into();
    Ok(time)
}
