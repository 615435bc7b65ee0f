//! The destination's objects in a range of ids, to compare with a page of the source.

use crate::migration::pull::PullError;
use crate::model::{ClassName, Document, Filter, ObjectId};
use crate::store::Store;
use crate::store::paging::IdPages;

/// Returns the objects of a class with ids in `(after, upto]`, in the order of ids; without `upto`, all after `after`.
///
/// # Errors
/// [`PullError`].
pub(in crate::migration) async fn id_range(
    store: &(impl Store + ?Sized),
    class: &ClassName,
    after: Option<&ObjectId>,
    upto: Option<&ObjectId>,
) -> Result<Vec<Document>, PullError> {
    let mut filter = Filter::all();
    if let Some(upto) = upto {
        filter = filter.lte("objectId", upto.as_str());
    }
    let mut pages = IdPages::new(store, class, filter).after(after.cloned());
    let mut found = Vec::new();
    while let Some(page) = pages.next().await? {
        found.extend(page);
    }
    Ok(found)
}
