//! All documents of a class, read page by page.

use crate::model::{ClassName, Document, Filter, ObjectId, Query};
use crate::store::{ReadError, Store};

/// Documents of a page: LeanCloud's maximum.
const PAGE: u32 = 1000;

/// Calls `look` with every matching document, in the order of their ids, in bounded memory; returns their number.
///
/// # Errors
/// A page that cannot be read.
pub(crate) async fn for_each_document(
    store: &dyn Store,
    class: &ClassName,
    filter: Filter,
    mut look: impl FnMut(&Document),
) -> Result<u64, ReadError> {
    let mut seen = 0;
    let mut last: Option<ObjectId> = None;
    loop {
        let page = filter.clone().after_id(last.as_ref());
        let query = Query::new(page).order_by("objectId").limit(PAGE);
        let documents = store.find(class, &query).await?;
        for document in &documents {
            look(document);
            seen += 1;
        }
        match documents.last().and_then(Document::object_id) {
            Some(id) if documents.len() == PAGE as usize => last = Some(id),
            _ => return Ok(seen),
        }
    }
}
