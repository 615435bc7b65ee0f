//! `include`: replaces pointers by their objects, with one read for each class and level.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;

use super::authorization::{self, Right};
use super::context::Context;
use super::error::read_failed;
use super::visibility::Reader;
use crate::model::{
    ClassName, CloudError, Document, Filter, KeyPath, ObjectId, Pointer, Query, Schema, Value, limits,
};

/// Size that included objects may add to a response, in bytes of their estimated JSON. An object beyond it stays a pointer:
/// objects with many pointers to them would multiply at every level.
const BYTES_MAX: usize = 32 * 1024 * 1024;

/// The paths as a tree: the keys to expand, each with the keys to expand inside.
#[derive(Debug, Default)]
struct Tree(BTreeMap<String, Tree>);

/// The objects of one level by class and id, each with its estimated size in bytes.
type Fetched = BTreeMap<ClassName, BTreeMap<String, (Document, usize)>>;

/// Expands the pointers under `paths` in `documents`. Pointers to absent or unreadable objects stay.
///
/// # Errors
/// Those of a read.
pub(super) async fn expand(
    context: &Context,
    schema: &Schema,
    reader: Reader<'_>,
    paths: &[KeyPath],
    documents: &mut [Document],
) -> Result<(), CloudError> {
    if paths.is_empty() || documents.is_empty() {
        return Ok(());
    }
    let mut tree = Tree::default();
    for path in paths {
        let mut node = &mut tree;
        for part in path.parts().take(limits::INCLUDE_DEPTH_MAX) {
            node = node.0.entry(part.trim().to_owned()).or_default();
        }
    }
    let mut documents: Vec<&mut Document> = documents.iter_mut().collect();
    let mut expansion = Expansion {
        context,
        schema,
        reader,
        bytes_left: BYTES_MAX,
    };
    expansion.level(&tree, &mut documents).await
}

struct Expansion<'a> {
    context: &'a Context,
    schema: &'a Schema,
    reader: Reader<'a>,
    bytes_left: usize,
}

impl Expansion<'_> {
    fn level<'s>(
        &'s mut self,
        tree: &'s Tree,
        documents: &'s mut [&mut Document],
    ) -> Pin<Box<dyn Future<Output = Result<(), CloudError>> + Send + 's>> {
        Box::pin(async move {
            for (key, inner) in &tree.0 {
                let mut wanted: BTreeMap<ClassName, BTreeSet<ObjectId>> = BTreeMap::new();
                for value in documents.iter().filter_map(|document| document.get(key)) {
                    for pointer in pointers(value) {
                        wanted
                            .entry(pointer.class_name)
                            .or_default()
                            .insert(pointer.object_id);
                    }
                }
                if wanted.is_empty() {
                    continue;
                }
                let fetched = self.fetch(wanted, inner).await?;
                for value in documents.iter_mut().filter_map(|document| document.get_mut(key)) {
                    self.replace(value, &fetched);
                }
            }
            Ok(())
        })
    }

    async fn fetch(
        &mut self,
        wanted: BTreeMap<ClassName, BTreeSet<ObjectId>>,
        inner: &Tree,
    ) -> Result<Fetched, CloudError> {
        let principal = self.context.principal().await?;
        let mut fetched = Fetched::new();
        for (class_name, ids) in wanted {
            let Some(class) = self.schema.classes.get(&class_name) else {
                continue;
            };
            if !authorization::allows(class, Right::Get, principal) {
                continue;
            }
            let ids: Vec<Value> = ids.iter().map(|id| id.as_str().into()).collect();
            let mut documents = Vec::with_capacity(ids.len());
            for ids in ids.chunks(Query::LIMIT_MAX as usize) {
                let query =
                    Query::new(Filter::all().one_of("objectId", ids.to_vec())).limit(Query::LIMIT_MAX);
                let found = self
                    .context
                    .database()
                    .find_as(&class_name, &query, principal)
                    .await;
                let found = found.map_err(read_failed)?.results.into_iter();
                documents.extend(found.map(|document| self.reader.visible(class, document)));
            }
            self.level(inner, &mut documents.iter_mut().collect::<Vec<_>>())
                .await?;
            let by_id = documents.into_iter().filter_map(|mut document| {
                let id = document.text("objectId")?.to_owned();
                document.insert("__type".to_owned(), "Pointer".into());
                document.insert("className".to_owned(), class_name.as_str().into());
                let size = document.values().map(size_of_value).sum();
                Some((id, (document, size)))
            });
            fetched.insert(class_name.clone(), by_id.collect());
        }
        Ok(fetched)
    }

    fn replace(&mut self, value: &mut Value, fetched: &Fetched) {
        if let Value::Array(elements) = value {
            for element in elements {
                self.replace_pointer(element, fetched);
            }
        } else {
            self.replace_pointer(value, fetched);
        }
    }

    fn replace_pointer(&mut self, value: &mut Value, fetched: &Fetched) {
        let Ok(pointer) = Pointer::parse(value) else {
            return;
        };
        let found = fetched
            .get(&pointer.class_name)
            .and_then(|objects| objects.get(pointer.object_id.as_str()));
        let Some((document, size)) = found else { return };
        let Some(bytes_left) = self.bytes_left.checked_sub(*size) else {
            return;
        };
        self.bytes_left = bytes_left;
        *value = document.clone().into_value();
    }
}

/// The pointers of a value: itself, or the elements of an array.
fn pointers(value: &Value) -> Vec<Pointer> {
    match value {
        Value::Array(elements) => elements
            .iter()
            .filter_map(|element| Pointer::parse(element).ok())
            .collect(),
        other => Pointer::parse(other).into_iter().collect(),
    }
}

/// The estimated size of a value as JSON, in bytes.
pub(super) fn size_of_value(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => text.len() + 3,
        Value::Array(elements) => 2 + elements.iter().map(size_of_value).sum::<usize>(),
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| key.len() + 4 + size_of_value(value))
            .sum::<usize>(),
    }
}
