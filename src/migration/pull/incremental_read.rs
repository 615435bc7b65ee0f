//! A class in the order of `updatedAt`, page by page. Pure: says what to ask for next, and where it is.
//!
//! A page begins at the time at which the one before has ended, that time included, for a page may end in the middle of
//! objects of one time. Where a whole page is of that one time, the next could be the same again: then all objects of
//! the time are read by a scan, and the walk goes on behind it. An object that is written meanwhile comes again,
//! further behind; one that is deleted does not matter. So every object that is there from begin to end is met, in
//! its last version or an earlier one, and whatever is written after the walk has begun is met by the next one.

use std::collections::BTreeSet;

use serde_json::json;

use crate::model::{Document, Filter, ObjectId, Query, Test, Timestamp};

/// How far a walk begins before the end of the one before it: what is stamped earlier than what was read may become
/// visible later, since a server has several machines, and they have clocks.
pub const OVERLAP_MILLIS: i64 = 60_000;

/// Rows of a page that cannot be the whole of a longer one cut off at LeanCloud's 6 MB.
const SURELY_WHOLE_BYTES: usize = 1024 * 1024;

/// What to ask for.
#[derive(Clone, Debug, PartialEq)]
pub enum PageRequest {
    /// A page by `updatedAt`.
    Page(Query),
    /// Everything of one time, by a scan.
    Moment(Filter),
}

/// A walk.
#[derive(Clone, Debug)]
pub struct IncrementalRead {
    page_rows: u32,
    from: Option<Timestamp>,
    /// What was met at `from` already.
    met: BTreeSet<ObjectId>,
    /// Whether the objects of `from` are to be scanned.
    crowded: bool,
    /// Whether all objects of `from` were met.
    behind: bool,
    ended: bool,
}

impl IncrementalRead {
    /// From this time on; `None` for everything.
    #[must_use]
    pub fn new(from: Option<Timestamp>, page_rows: u32) -> Self {
        Self {
            page_rows,
            from,
            met: BTreeSet::new(),
            crowded: false,
            behind: false,
            ended: false,
        }
    }

    /// What to ask for next; `None` at the end.
    #[must_use]
    pub fn next(&self) -> Option<PageRequest> {
        if self.ended {
            return None;
        }
        let filter = match self.from {
            None => Filter::all(),
            Some(from) if self.crowded => return Some(PageRequest::Moment(moment(from))),
            Some(from) if self.behind => Filter::all().and_key("updatedAt", Test::Gt(from.to_date())),
            Some(from) => Filter::all().gte("updatedAt", from.to_date()),
        };
        let query = Query {
            return_acl: true,
            ..Query::new(filter).order_by("updatedAt").limit(self.page_rows)
        };
        Some(PageRequest::Page(query))
    }

    /// Takes the rows of the page that was asked for, and answers those that were not met before.
    ///
    /// # Errors
    /// A row without `objectId` or `updatedAt`; rows that are not in the order that was asked for.
    pub fn page(&mut self, rows: Vec<Document>) -> Result<Vec<Document>, String> {
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
            self.ended = true;
            return Ok(rows);
        };
        let is_one_time = self.from == Some(latest) && !self.behind;
        let count = rows.len();
        let bytes = || {
            rows.iter()
                .map(|row| json!(row.0).to_string().len())
                .sum::<usize>()
        };
        let is_whole = count < self.page_rows as usize && bytes() < SURELY_WHOLE_BYTES;
        if self.from != Some(latest) {
            self.from = Some(latest);
            self.behind = false;
        }
        let mut met = std::mem::take(&mut self.met);
        let mut fresh = Vec::with_capacity(count);
        for row in rows {
            let (id, at) = identity(&row)?;
            let is_new = !met.contains(&id);
            if at == latest {
                self.met.insert(id);
            }
            if is_new {
                fresh.push(row);
            }
        }
        if is_one_time {
            // Nothing behind this time was in the page: it is the end, unless the page was too small for the time.
            self.ended = is_whole && fresh.is_empty();
            self.crowded = !is_whole;
            met.append(&mut self.met);
            self.met = met;
        }
        Ok(fresh)
    }

    /// Takes all rows of the time that was asked for, and answers those that were not met before.
    pub fn moment(&mut self, rows: Vec<Document>) -> Vec<Document> {
        self.crowded = false;
        self.behind = true;
        let met = std::mem::take(&mut self.met);
        let is_new = |row: &Document| row.object_id().is_none_or(|id| !met.contains(&id));
        rows.into_iter().filter(is_new).collect()
    }

    /// The time up to which everything was met, itself perhaps excepted: where to go on after a stop.
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

    /// Answers as a server does.
    fn answer(rows: &[Document], query: &Query) -> Vec<Document> {
        let matching = rows.iter().filter(|row| query.filter.matches(row).unwrap());
        let mut found: Vec<Document> = matching.cloned().collect();
        found.sort_by_key(Document::updated_at);
        found.truncate(query.limit as usize);
        found
    }

    fn walk(rows: &[Document], from: Option<Timestamp>, page_rows: u32) -> (Vec<ObjectId>, usize) {
        let mut walk = IncrementalRead::new(from, page_rows);
        let (mut met, mut asked) = (Vec::new(), 0);
        while let Some(ask) = walk.next() {
            asked += 1;
            assert!(asked <= 3 * rows.len() + 3, "the walk comes to no end");
            let fresh = match ask {
                PageRequest::Page(query) => walk.page(answer(rows, &query)).unwrap(),
                PageRequest::Moment(filter) => {
                    let query = Query::new(filter).limit(u32::MAX);
                    walk.moment(answer(rows, &query))
                }
            };
            met.extend(fresh.iter().filter_map(Document::object_id));
        }
        (met, asked)
    }

    #[test]
    fn every_object_is_met_once_however_many_share_a_time() {
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
                let (mut met, _) = walk(&rows, None, page_rows);
                met.sort();
                let all: Vec<ObjectId> = rows.iter().filter_map(Document::object_id).collect();
                assert_eq!(met, all, "{times:?} in pages of {page_rows}");
            }
        }
    }

    #[test]
    fn a_walk_begins_where_it_is_told_and_asks_little() {
        let rows: Vec<Document> = (0..10).map(|at| row(usize::try_from(at).unwrap(), at)).collect();
        let (met, asked) = walk(&rows, Some(Timestamp::from_millis(7)), 100);
        assert_eq!((met.len(), asked), (3, 2));
        let (met, asked) = walk(&rows, None, 100);
        assert_eq!((met.len(), asked), (10, 2));
    }

    #[test]
    fn what_is_written_meanwhile_comes_again() {
        let mut rows: Vec<Document> = (0..4).map(|at| row(usize::try_from(at).unwrap(), at)).collect();
        let mut walk = IncrementalRead::new(None, 2);
        let mut met = Vec::new();
        let mut writes = 0;
        while let Some(ask) = walk.next() {
            let PageRequest::Page(query) = ask else {
                panic!("{ask:?}")
            };
            met.extend(walk.page(answer(&rows, &query)).unwrap());
            if writes == 0 {
                rows[0] = row(0, 9);
                writes += 1;
            }
        }
        let times: Vec<_> = met
            .iter()
            .filter(|one| one.object_id() == rows[0].object_id())
            .collect();
        assert_eq!(times.len(), 2);
        assert_eq!(times[1].updated_at(), Some(Timestamp::from_millis(9)));
    }

    #[test]
    fn a_server_that_does_not_sort_is_noticed() {
        let mut walk = IncrementalRead::new(None, 10);
        assert!(walk.page(vec![row(1, 5), row(2, 4)]).is_err());
        assert!(walk.page(vec![Document::new()]).is_err());
    }
}
