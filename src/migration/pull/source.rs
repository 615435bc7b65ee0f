//! The server that the app is copied from, over its REST API, with the master key. Reads only.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::client::{Client, ClientError, Retry, RetryPolicy, Scan};
use crate::migration::pull::incremental_read::PageRequest;
use crate::migration::pull::rate_limit::RateLimit;
use crate::model::{ClassName, Document, ErrorCode, Filter, KeyPath, Keys, ObjectId, Pointer, Query, Value};

/// Ids in one condition, so that a query stays short enough for one request.
const IDS_AT_ONCE: usize = 200;

/// How often a scan that has lost its place is begun anew.
const SCANS_MAX: u32 = 5;

/// A source that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The server refused, or did not answer, again and again.
    #[error("{what}: {error}")]
    Client {
        /// What was being read.
        what: String,
        /// What the client says.
        #[source]
        error: ClientError,
    },
    /// The server answers something that cannot be meant.
    #[error("{what}: {reason}")]
    Answer {
        /// What was being read.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl SourceError {
    /// Whether reading again later may succeed.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Client { error, .. } => error.retry() != Retry::Never,
            Self::Answer { .. } => false,
        }
    }
}

/// The server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Source {
    client: Client,
    pace: Arc<RateLimit>,
    at_once: usize,
    page_rows: u32,
}

impl Source {
    /// What the client should do about answers that do not come, or come as 429 or 5xx: wait longer and longer, up to
    /// ten minutes in all. Nobody waits for a page, and a quota may take minutes to be there again.
    pub const PATIENCE: RetryPolicy = RetryPolicy {
        attempts_max: 20,
        elapsed_max: Duration::from_secs(600),
        delay_first: Duration::from_millis(500),
        delay_max: Duration::from_secs(60),
        guarded_writes: false,
    };

    /// Reads with this client at this pace, in pages of `page_rows` (1 to 1000), with at most `at_once` requests under
    /// way.
    ///
    /// # Errors
    /// [`ClientError::Invalid`] where the client has no master key.
    pub fn new(
        client: &Client,
        pace: RateLimit,
        at_once: usize,
        page_rows: u32,
    ) -> Result<Self, ClientError> {
        Ok(Self {
            client: client.as_master()?,
            pace: Arc::new(pace),
            at_once: at_once.max(1),
            page_rows: page_rows.clamp(1, Query::LIMIT_MAX),
        })
    }

    /// Rows of a page.
    #[must_use]
    pub fn page_rows(&self) -> u32 {
        self.page_rows
    }

    /// Requests under way at a time.
    #[must_use]
    pub fn at_once(&self) -> usize {
        self.at_once
    }

    /// The client with the master key.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Waits for the next request's turn.
    pub async fn turn(&self) {
        self.pace.turn().await;
    }

    /// Every class with its columns, as the server says them.
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn classes(&self) -> Result<BTreeMap<ClassName, Document>, SourceError> {
        self.turn().await;
        let schemas = self.client.schemas().await;
        let schemas = schemas.map_err(failed(|| "the list of classes".to_owned()))?;
        schemas
            .into_iter()
            .map(|(name, columns)| {
                let class = ClassName::parse(&name).map_err(|error| SourceError::Answer {
                    what: format!("the class '{name}'"),
                    reason: error.to_string(),
                })?;
                Ok((class, columns))
            })
            .collect()
    }

    /// The definition of a class, where the server has such a thing.
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn definition(&self, class: &ClassName) -> Result<Option<Document>, SourceError> {
        self.turn().await;
        let definition = self.client.class_definition(class).await;
        definition.map_err(failed(|| format!("the definition of {class}")))
    }

    /// Makes a class at the source, where it has a way to do that: a paylog server has, LeanCloud has not, and there a
    /// person makes it in the console.
    ///
    /// # Errors
    /// [`SourceError`] that may pass.
    pub async fn make_class(&self, class: &ClassName, definition: Document) -> Result<(), SourceError> {
        if self.definition(class).await?.is_some() {
            return Ok(());
        }
        self.turn().await;
        let made = self.client.define_class(class, definition).await;
        made.map_err(failed(|| format!("the class {class}")))
    }

    /// What a walk asks for.
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn ask(&self, class: &ClassName, ask: PageRequest) -> Result<Vec<Document>, SourceError> {
        match ask {
            PageRequest::Page(query) => self.find(class, &query).await,
            PageRequest::Moment(filter) => {
                let mut scan = self.in_order(class, filter, None);
                let mut rows = Vec::new();
                while let Some(page) = scan.next().await? {
                    rows.extend(page);
                }
                Ok(rows)
            }
        }
    }

    /// The rows of one query. A class that is gone has none.
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn find(&self, class: &ClassName, query: &Query) -> Result<Vec<Document>, SourceError> {
        self.turn().await;
        match self.client.objects(class).query(query).await {
            Ok(found) => Ok(found.results),
            Err(error) if error.code() == Some(ErrorCode::NOT_FOUND) => Ok(Vec::new()),
            Err(error) => Err(failed(|| format!("the class {class}"))(error)),
        }
    }

    /// How many objects match.
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn count(&self, class: &ClassName, filter: &Filter) -> Result<u64, SourceError> {
        self.turn().await;
        match self.client.objects(class).count(filter).await {
            Err(error) if error.code() == Some(ErrorCode::NOT_FOUND) => Ok(0),
            counted => counted.map_err(failed(|| format!("the number of objects of {class}"))),
        }
    }

    /// The objects with these ids, those that are there.
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn by_ids(&self, class: &ClassName, ids: &[ObjectId]) -> Result<Vec<Document>, SourceError> {
        let mut rows = Vec::with_capacity(ids.len());
        for ids in ids.chunks(IDS_AT_ONCE) {
            let ids = ids.iter().map(|id| Value::from(id.as_str())).collect();
            let mut query = Query::new(Filter::all().one_of("objectId", ids)).limit(Query::LIMIT_MAX);
            query.return_acl = true;
            rows.extend(self.find(class, &query).await?);
        }
        Ok(rows)
    }

    /// The objects in one relation of an object, by their ids. One request for each thousand of them, and one where
    /// there is none.
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn related(
        &self,
        owner: &Pointer,
        key: &str,
        targets: &ClassName,
    ) -> Result<Vec<ObjectId>, SourceError> {
        let mut ids = Vec::new();
        loop {
            let filter = Filter::RelatedTo {
                object: owner.clone(),
                key: key.to_owned(),
            };
            let query = Query {
                skip: u32::try_from(ids.len()).unwrap_or(u32::MAX),
                keys: Some(only_ids()),
                ..Query::new(filter).order_by("objectId").limit(Query::LIMIT_MAX)
            };
            let rows = self.find(targets, &query).await?;
            let is_last = rows.len() < Query::LIMIT_MAX as usize;
            ids.extend(rows.iter().filter_map(Document::object_id));
            if is_last {
                return Ok(ids);
            }
        }
    }

    /// As [`Source::related`], of many owners, several requests at once; in the order of the owners.
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn related_all(
        &self,
        class: &ClassName,
        owners: &[ObjectId],
        key: &str,
        targets: &ClassName,
    ) -> Result<Vec<Vec<ObjectId>>, SourceError> {
        let owner = |id: &ObjectId| Pointer {
            class_name: class.clone(),
            object_id: id.clone(),
        };
        let requests = owners.iter().map(|id| {
            let owner = owner(id);
            async move { self.related(&owner, key, targets).await }
        });
        let requests: Vec<_> = requests.collect();
        stream::iter(requests).buffered(self.at_once).try_collect().await
    }

    /// Whether the server shows third-party logins: some need not, and what is not shown must not count as gone.
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn shows_logins(&self) -> Result<bool, SourceError> {
        let query = Query::new(Filter::all().exists("authData", true)).limit(1);
        let rows = self.find(&ClassName::user(), &query).await?;
        Ok(rows.iter().all(|user| user.contains_key("authData")))
    }

    /// Whether the server shows ACLs: on LeanCloud it is an option of the app. A role has one, always.
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn shows_acls(&self) -> Result<bool, SourceError> {
        let mut query = Query::default().limit(1);
        query.return_acl = true;
        let rows = self.find(&ClassName::role(), &query).await?;
        Ok(rows.iter().all(|role| role.contains_key("ACL")))
    }

    /// All that matches, in the order of `objectId`; `keys` says which fields.
    #[must_use]
    pub fn in_order(&self, class: &ClassName, filter: Filter, keys: Option<Keys>) -> OrderedScan {
        OrderedScan {
            source: self.clone(),
            class: class.clone(),
            filter,
            keys,
            scan: None,
            last: None,
            begun: 0,
        }
    }

    fn scan(&self, class: &ClassName, filter: Filter, keys: Option<Keys>) -> Scan {
        let scan = self.client.objects(class).scan(filter);
        let scan = scan.page_size(self.page_rows).return_acl();
        match keys {
            Some(keys) => scan.keys(keys),
            None => scan,
        }
    }
}

/// The `keys` of a query that asks for nothing but ids.
#[must_use]
pub fn only_ids() -> Keys {
    Keys {
        only: vec![KeyPath::new("objectId")],
        except: Vec::new(),
    }
}

/// A scan that survives a lost page: it is begun anew, and what was seen before is passed over.
#[derive(Debug)]
pub struct OrderedScan {
    source: Source,
    class: ClassName,
    filter: Filter,
    keys: Option<Keys>,
    scan: Option<Scan>,
    last: Option<ObjectId>,
    begun: u32,
}

impl OrderedScan {
    /// The next rows, never none; `None` at the end.
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn next(&mut self) -> Result<Option<Vec<Document>>, SourceError> {
        loop {
            let scan = self.scan.get_or_insert_with(|| {
                self.begun += 1;
                self.source
                    .scan(&self.class, self.filter.clone(), self.keys.clone())
            });
            self.source.pace.turn().await;
            match scan.next_page().await {
                Ok(None) => return Ok(None),
                Ok(Some(rows)) => {
                    let rows = self.behind_last(rows)?;
                    if !rows.is_empty() {
                        return Ok(Some(rows));
                    }
                }
                Err(error) if error.code() == Some(ErrorCode::NOT_FOUND) => return Ok(None),
                // A page that was lost cannot be asked for again.
                Err(error) if error.retry() != Retry::Never && self.begun < SCANS_MAX => self.scan = None,
                Err(error) => return Err(failed(|| format!("the class {}", self.class))(error)),
            }
        }
    }

    fn behind_last(&mut self, rows: Vec<Document>) -> Result<Vec<Document>, SourceError> {
        let wrong = |reason: &str| SourceError::Answer {
            what: format!("the class {}", self.class),
            reason: reason.to_owned(),
        };
        let mut fresh = Vec::with_capacity(rows.len());
        let mut before: Option<ObjectId> = None;
        for row in rows {
            let id = row.object_id().ok_or_else(|| wrong("a row has no objectId"))?;
            if before.as_ref().is_some_and(|before| id <= *before) {
                return Err(wrong("the server does not scan in the order of objectId"));
            }
            if self.last.as_ref().is_none_or(|last| id > *last) {
                fresh.push(row);
            }
            before = Some(id);
        }
        if let Some(id) = before
            && self.last.as_ref().is_none_or(|last| id > *last)
        {
            self.last = Some(id);
        }
        Ok(fresh)
    }
}

fn failed(what: impl FnOnce() -> String) -> impl FnOnce(ClientError) -> SourceError {
    move |error| SourceError::Client { what: what(), error }
}
