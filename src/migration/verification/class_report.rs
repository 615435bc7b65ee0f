//! One class, here and there.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::{ClassName, ObjectId};

/// Differences of a class that are named.
const NAMED_MAX: usize = 100;

/// What was found in a class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClassReport {
    /// Its name.
    pub class: ClassName,
    /// Objects here.
    pub here: u64,
    /// Objects there; absent where there is no source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub there: Option<u64>,
    /// The hash of all objects here.
    pub hash_here: String,
    /// The hash of all objects there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash_there: Option<String>,
    /// The hash of all links here that were compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub links_hash_here: Option<String>,
    /// The hash of all links there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub links_hash_there: Option<String>,
    /// Its relations, by column.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub relations: BTreeMap<String, Relation>,
    /// How many objects or relations differ.
    pub differing: u64,
    /// How many objects were written here since the app has moved: they are not compared.
    #[serde(skip_serializing_if = "is_zero")]
    pub written_since: u64,
    /// A hundred of the differences at most.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
}

/// A relation column.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Relation {
    /// Links here.
    pub here: u64,
    /// Links there; absent where they were not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub there: Option<u64>,
    /// Links here whose object is not here.
    pub dangling: u64,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// Which object.
    pub id: ObjectId,
    /// What is wrong with it.
    pub what: DifferenceKind,
    /// The fields that differ, or the relation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
}

/// How an object can differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum DifferenceKind {
    /// It is here and not there.
    OnlyHere,
    /// It is there and not here.
    OnlyThere,
    /// It is on both sides, and not the same.
    Differs,
    /// A relation of it does not hold the same objects.
    Relation,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde asks for")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The differences of a class, as they are found.
#[derive(Debug, Default)]
pub(super) struct Differences {
    pub(super) count: u64,
    pub(super) named: Vec<Difference>,
    pub(super) written_since: u64,
}

impl Differences {
    pub(super) fn add(&mut self, id: &ObjectId, what: DifferenceKind, keys: Vec<String>) {
        self.count += 1;
        if self.named.len() < NAMED_MAX {
            self.named.push(Difference {
                id: id.clone(),
                what,
                keys,
            });
        }
    }
}
