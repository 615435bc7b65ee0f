//! Dangling pointers: pointers to objects that do not exist.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::migration::pull::PullError;
use crate::model::value::Kind;
use crate::model::{ClassName, Document, ObjectId, Pointer, Value};
use crate::store::load::Loader;

/// Most pointers in one lookup.
const LOOKUP_POINTERS_MAX: usize = 1000;

/// Dangling pointers of one column. The deletion of an object leaves them behind: they are not a difference, since the
/// source has them too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DanglingPointers {
    /// Class of the objects with the pointers.
    pub class: ClassName,
    /// The column; a nested pointer counts for its column.
    pub key: String,
    /// Class that the pointers refer to.
    pub target: ClassName,
    /// Number of pointers.
    pub count: u64,
    /// An object with such a pointer.
    pub example: ObjectId,
}

/// Counts dangling pointers, page by page.
#[derive(Debug, Default)]
pub(super) struct DanglingPointerCounter {
    found: BTreeMap<(ClassName, String, ClassName), (u64, ObjectId)>,
}

impl DanglingPointerCounter {
    /// Adds a page of objects.
    ///
    /// # Errors
    /// [`PullError`].
    pub(super) async fn add_page(
        &mut self,
        store: &dyn Loader,
        class: &ClassName,
        page: &[Document],
    ) -> Result<(), PullError> {
        let mut places: Vec<(ObjectId, String, Pointer)> = Vec::new();
        for document in page {
            let Some(id) = document.object_id() else { continue };
            for (key, value) in document.iter().filter(|(key, _)| *key != "ACL") {
                visit(value, &mut |pointer| {
                    places.push((id.clone(), key.clone(), pointer));
                });
            }
        }
        let targets: BTreeSet<&Pointer> = places.iter().map(|(_, _, pointer)| pointer).collect();
        let targets: Vec<Pointer> = targets.into_iter().cloned().collect();
        let mut absent = BTreeSet::new();
        for targets in targets.chunks(LOOKUP_POINTERS_MAX) {
            let exist = store.exist(targets).await?;
            let missing = targets.iter().zip(exist).filter(|(_, exists)| !exists);
            absent.extend(missing.map(|(pointer, _)| pointer.clone()));
        }
        for (id, key, pointer) in places
            .into_iter()
            .filter(|(_, _, pointer)| absent.contains(pointer))
        {
            let place = (class.clone(), key, pointer.class_name);
            self.found.entry(place).or_insert((0, id)).0 += 1;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Vec<DanglingPointers> {
        self.found
            .into_iter()
            .map(|((class, key, target), (count, example))| DanglingPointers {
                class,
                key,
                target,
                count,
                example,
            })
            .collect()
    }
}

fn visit(value: &Value, found: &mut impl FnMut(Pointer)) {
    if let Kind::Pointer {
        class_name,
        object_id,
    } = Kind::of(value)
    {
        if let (Ok(class_name), Ok(object_id)) = (ClassName::parse(class_name), ObjectId::parse(object_id)) {
            found(Pointer {
                class_name,
                object_id,
            });
        }
        return;
    }
    match value {
        Value::Array(elements) => elements.iter().for_each(|element| visit(element, found)),
        Value::Object(fields) => fields.values().for_each(|field| visit(field, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
