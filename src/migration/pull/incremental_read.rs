//! Incremental read of a class in the order of `updatedAt`, page by page. Pure: it returns the next request and the
//! position.
//!
//! A page begins at the time at which the page before ended, inclusive, since a page may end between objects of one time.
//! If a whole page has that one time, the next page could be the same again: then a scan reads all objects of the time,
//! and the read continues after it. An object that is written meanwhile appears again later; a deleted object does not
//! matter. So every object that exists from begin to end is read, in its last version or an earlier one, and whatever is
//! written after the begin is read by the next incremental read.

use std::collections::BTreeSet;

use serde_json::json;

use crate::model::{Document, Filter, ObjectId, Query, Test, Timestamp};

/// Overlap of an incremental read with the one before it, in milliseconds: the server's machines have different clocks,
/// so an object with an earlier time may become visible later.
pub const OVERLAP_MILLIS: i64 = 60_000;

/// Largest page in bytes that is certainly complete: LeanCloud cuts pages off at 6 MB.
const COMPLETE_PAGE_BYTES_MAX: usize = 1024 * 1024;

/// Request for the next rows.
#[derive(Clone, Debug, PartialEq)]
pub enum PageRequest {
    /// A page by `updatedAt`.
    Page(Query),
    /// All objects of one time, by a scan.
    Moment(Filter),
}

/// An incremental read of one class.
#[derive(Clone, Debug)]
pub struct IncrementalRead {
    page_rows: u32,
    from: Option<Timestamp>,
    /// Objects of the time `from` that were read already.
    seen: BTreeSet<ObjectId>,
    /// True if the objects of `from` have to be scanned.
    needs_scan: bool,
    /// True if all objects of `from` were read.
    is_after_from: bool,
    is_done: bool,
}

impl IncrementalRead {
    /// A read from this time on; `None` for everything.
    #[must_use]
    pub fn new(from: Option<Timestamp>, page_rows: u32) -> Self {
        Self {
            page_rows,
            from,
            seen: BTreeSet::new(),
            needs_scan: false,
            is_after_from: false,
            is_done: false,
        }
    }

    /// Returns the next request; `None` at the end.
    #[must_use]
    pub fn next(&self) -> Option<PageRequest> {
        if self.is_done {
            return None;
        }
        let filter = match self.from {
            None => Filter::all(),
            Some(from) if self.needs_scan => return Some(PageRequest::Moment(moment(from))),
            Some(from) if self.is_after_from => Filter::all().and_key("updatedAt", Test::Gt(from.to_date())),
            Some(from) => Filter::all().gte("updatedAt", from.to_date()),
        };
        let query = Query {
            return_acl: true,
            ..Query::new(filter).order_by("updatedAt").limit(self.page_rows)
        };
        Some(PageRequest::Page(query))
    }

    /// Accepts the rows of the requested page, and returns those that were not read before.
    ///
    /// # Errors
    /// The reason if a row has no `objectId` or `updatedAt`, or if the rows are not in the requested order.
    pub fn accept_page(&mut self, rows: Vec<Document>) -> Result<Vec<Document>, String> {
        let mut latest = self.from;
        for row in &rows {
            let (id, at) = identity(row)?;
            if Some(at) < latest {
                return Err(format!(
                    "the server does not answer in the order of updatedAt: {id}"
                ));
            }
            latest = Some(at);
        }
        let Some(latest) = latest.filter(|_| !rows.is_empty()) else {
            self.is_done = true;
            return Ok(rows);
        };
        let is_one_time = self.from == Some(latest) && !self.is_after_from;
        let count = rows.len();
        let bytes = || {
            rows.iter()
                .map(|row| json!(row.0).to_string().len())
                .sum::<usize>()
        };
        let is_whole = count < self.page_rows as usize && bytes() < COMPLETE_PAGE_BYTES_MAX;
        if self.from != Some(latest) {
            self.from = Some(latest);
            self.is_after_from = false;
        }
        let mut seen = std::mem::take(&mut self.seen);
        let mut fresh = Vec::with_capacity(count);
        for row in rows {
            let (id, at) = identity(&row)?;
            let is_new = !seen.contains(&id);
            if at == latest {
                self.seen.insert(id);
            }
            if is_new {
                fresh.push(row);
            }
        }
        if is_one_time {
            // The page has no later time: it is the end, unless the page was too small for this time.
            self.is_done = is_whole && fresh.is_empty();
            self.needs_scan = !is_whole;
            seen.append(&mut self.seen);
            self.seen = seen;
        }
        Ok(fresh)
    }

    /// Accepts all rows of the requested time, and returns those that were not read before.
    pub fn accept_moment(&mut self, rows: Vec<Document>) -> Vec<Document> {
        self.needs_scan = false;
        self.is_after_from = true;
        let seen = std::mem::take(&mut self.seen);
        let is_new = |row: &Document| row.object_id().is_none_or(|id| !seen.contains(&id));
        rows.into_iter().filter(is_new).collect()
    }

    /// The time up to which everything was read, perhaps without that time itself: the position to continue from.
    #[must_use]
    pub fn reached(&self) -> Option<Timestamp> {
        self.from
    }
}

fn identity(row: &Document) -> Result<(ObjectId, Timestamp), String> {
    let id = row.object_id().ok_or("a row has no objectId")?;
    let at = row
        .updated_at()
        .ok_or_else(|| format!("the object {id} has no updatedAt"))?;
    Ok((id, at))
}

fn moment(at: Timestamp) -> Filter {
    Filter::all().eq("updatedAt", at.to_date())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Value;

    fn row(id: usize, at: i64) -> Document {
        let at = Timestamp::from_millis(at).to_string();
        let fields = [
            ("objectId", format!("{id:024}")),
            ("createdAt", at.clone()),
            ("updatedAt", at),
        ];
        fields
            .into_iter()
            .map(|(key, text)| (key.to_owned(), Value::from(text)))
            .collect()
    }

    /// The page that a server returns.
    fn page_of(rows: &[Document], query: &Query) -> Vec<Document> {
        let matching = rows.iter().filter(|row| query.filter.matches(row).unwrap());
        let mut found: Vec<Document> = matching.cloned().collect();
        found.sort_by_key(Document::updated_at);
        found.truncate(query.limit as usize);
        found
    }

    /// Reads all rows; the ids read and the number of requests.
    fn read_all(rows: &[Document], from: Option<Timestamp>, page_rows: u32) -> (Vec<ObjectId>, usize) {
        let mut read = IncrementalRead::new(from, page_rows);
        let (mut ids, mut requests) = (Vec::new(), 0);
        while let Some(request) = read.next() {
            requests += 1;
            assert!(requests <= 3 * rows.len() + 3, "the read does not end");
            let fresh = match request {
                PageRequest::Page(query) => read.accept_page(page_of(rows, &query)).unwrap(),
                PageRequest::Moment(filter) => {
                    let query = Query::new(filter).limit(u32::MAX);
                    read.accept_moment(page_of(rows, &query))
                }
            };
            ids.extend(fresh.iter().filter_map(Document::object_id));
        }
        (ids, requests)
    }

    #[test]
    fn every_object_is_read_once_however_many_share_a_time() {
        let times: [&[i64]; 8] = [
            &[],
            &[1],
            &[1, 2, 3, 4, 5, 6, 7],
            &[1, 1, 1],
            &[1, 1, 1, 1, 1, 1, 1, 1],
            &[1, 2, 2, 2, 2, 2, 2, 3],
            &[1, 2, 2, 3, 3, 3, 4, 4, 4, 4, 4, 5, 6, 6],
            &[1, 1, 1, 1, 2, 2, 2, 2],
        ];
        for times in times {
            let rows: Vec<Document> = times.iter().enumerate().map(|(id, at)| row(id, *at)).collect();
            for page_rows in 1..=9 {
                let (mut read, _) = read_all(&rows, None, page_rows);
                read.sort();
                let all: Vec<ObjectId> = rows.iter().filter_map(Document::object_id).collect();
                assert_eq!(read, all, "{times:?} in pages of {page_rows}");
            }
        }
    }

    #[test]
    fn read_begins_at_the_given_time_with_two_requests() {
        let rows: Vec<Document> = (0..10).map(|at| row(usize::try_from(at).unwrap(), at)).collect();
        let (read, requests) = read_all(&rows, Some(Timestamp::from_millis(7)), 100);
        assert_eq!((read.len(), requests), (3, 2));
        let (read, requests) = read_all(&rows, None, 100);
        assert_eq!((read.len(), requests), (10, 2));
    }

    #[test]
    fn object_written_during_the_read_is_read_again() {
        let mut rows: Vec<Document> = (0..4).map(|at| row(usize::try_from(at).unwrap(), at)).collect();
        let mut read = IncrementalRead::new(None, 2);
        let mut found = Vec::new();
        let mut writes = 0;
        while let Some(request) = read.next() {
            let PageRequest::Page(query) = request else {
                panic!("{request:?}")
            };
            found.extend(read.accept_page(page_of(&rows, &query)).unwrap());
            if writes == 0 {
                rows[0] = row(0, 9);
                writes += 1;
            }
        }
        let times: Vec<_> = found
            .iter()
            .filter(|one| one.object_id() == rows[0].object_id())
            .collect();
        assert_eq!(times.len(), 2);
        assert_eq!(times[1].updated_at(), Some(Timestamp::from_millis(9)));
    }

    #[test]
    fn page_out_of_order_is_refused() {
        let mut read = IncrementalRead::new(None, 10);
        assert!(read.accept_page(vec![row(1, 5), row(2, 4)]).is_err());
        assert!(read.accept_page(vec![Document::new()]).is_err());
    }
}
