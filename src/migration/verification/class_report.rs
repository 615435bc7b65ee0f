//! Report about one class on both sides.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::{ClassName, ObjectId};

/// Most differences that the report of a class lists.
const LISTED_MAX: usize = 100;

/// Report about one class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClassReport {
    /// The class.
    pub class: ClassName,
    /// Number of objects here.
    pub here: u64,
    /// Number of objects at the source; absent without a source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub there: Option<u64>,
    /// Hash of all objects here.
    pub hash_here: String,
    /// Hash of all objects at the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash_there: Option<String>,
    /// Hash of all compared links here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub links_hash_here: Option<String>,
    /// Hash of all links at the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub links_hash_there: Option<String>,
    /// Relations, by column.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub relations: BTreeMap<String, RelationReport>,
    /// Number of objects and relations that differ.
    pub differing: u64,
    /// Number of objects written here since the app has moved; they are not compared.
    #[serde(skip_serializing_if = "is_zero")]
    pub written_since: u64,
    /// The differences, at most 100.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
}

/// Report about one relation column.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RelationReport {
    /// Number of links here.
    pub here: u64,
    /// Number of links at the source; absent if they were not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub there: Option<u64>,
    /// Number of links here whose target does not exist here.
    pub dangling: u64,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// The object.
    pub id: ObjectId,
    /// Kind of the difference.
    #[serde(rename = "what")]
    pub kind: DifferenceKind,
    /// The fields or the relation that differ.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
}

/// Kind of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum DifferenceKind {
    /// The object is only here.
    OnlyHere,
    /// The object is only at the source.
    OnlyThere,
    /// The object is on both sides with different fields.
    Differs,
    /// A relation of the object contains different objects.
    Relation,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde asks for")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Differences of a class, while it is compared.
#[derive(Debug, Default)]
pub(super) struct Differences {
    pub(super) count: u64,
    /// The first differences.
    pub(super) listed: Vec<Difference>,
    pub(super) written_since: u64,
}

impl Differences {
    pub(super) fn add(&mut self, id: &ObjectId, kind: DifferenceKind, keys: Vec<String>) {
        self.count += 1;
        if self.listed.len() < LISTED_MAX {
            self.listed.push(Difference {
                id: id.clone(),
                kind,
                keys,
            });
        }
    }
}
