//! All documents of a class, read page by page.

use crate::model::{ClassName, Document, Filter};
use crate::store::paging::IdPages;
use crate::store::{ReadError, Store};

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
    let mut pages = IdPages::new(store, class, filter);
    while let Some(page) = pages.next().await? {
        for document in &page {
            look(document);
            seen += 1;
        }
    }
    Ok(seen)
}
