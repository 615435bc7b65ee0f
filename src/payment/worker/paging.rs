//! Paging through a class by object id.

use crate::model::{ClassName, Document, Filter, ObjectId};
use crate::payment::service::PaymentService;
use crate::store::paging::page_query;

/// Documents in a page.
const PAGE: u32 = 500;

impl PaymentService {
    /// A page of the documents that match, by ascending id (nearly the order of creation), after `last`. So older
    /// documents that make no progress cannot keep newer ones from their turn. `None` if the store does not answer.
    pub(in crate::payment) async fn page(
        &self,
        class: &ClassName,
        filter: &Filter,
        last: Option<&ObjectId>,
    ) -> Option<Vec<Document>> {
        let query = page_query(filter.clone(), last).limit(PAGE);
        self.0.driver.find(class, &query, self.deadline()).await.ok()
    }
}

/// The id after which the next page begins; `None` after the last page.
pub(in crate::payment) fn next_page(page: &[Document]) -> Option<ObjectId> {
    let full = page.len() >= usize::try_from(PAGE).unwrap_or(usize::MAX);
    page.last().filter(|_| full).and_then(Document::object_id)
}
