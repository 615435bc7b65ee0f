//! The source of a pull: the app's server, read over its REST API with the master key.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::client::{Client, ClientError, RetryPolicy, Scan};
use crate::migration::pull::{RateLimit, SourceError};
use crate::model::{ClassName, Document, ErrorCode, Filter, KeyPath, Keys, ObjectId, Pointer, Query, Value};

/// Most ids in one condition; the query stays short enough for one request.
const QUERY_IDS_MAX: usize = 200;

/// The source. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Source {
    client: Client,
    rate_limit: Arc<RateLimit>,
    concurrency: usize,
    page_rows: u32,
}

impl Source {
    /// Retry policy for a client that reads a source: after a lost response, 429 or 5xx it waits longer and longer, up to
    /// ten minutes in total. No user waits for a page, and a quota may take minutes to refill.
    pub const RETRY_POLICY: RetryPolicy = RetryPolicy {
        attempts_max: 20,
        elapsed_max: Duration::from_secs(600),
        delay_first: Duration::from_millis(500),
        delay_max: Duration::from_secs(60),
        guarded_writes: false,
    };

    /// A source that is read with this client within the rate limit, in pages of `page_rows` (1 to 1000), with at most
    /// `concurrency` requests at a time.
    ///
    /// # Errors
    /// [`ClientError::Invalid`] if the client has no master key.
    pub fn new(
        client: &Client,
        rate_limit: RateLimit,
        concurrency: usize,
        page_rows: u32,
    ) -> Result<Self, ClientError> {
        Ok(Self {
            client: client.as_master()?,
            rate_limit: Arc::new(rate_limit),
            concurrency: concurrency.max(1),
            page_rows: page_rows.clamp(1, Query::LIMIT_MAX),
        })
    }

    /// Number of rows of a page.
    #[must_use]
    pub fn page_rows(&self) -> u32 {
        self.page_rows
    }

    /// Most requests at a time.
    #[must_use]
    pub fn concurrency(&self) -> usize {
        self.concurrency
    }

    /// The client with the master key.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Waits until the rate limit allows the next request.
    pub async fn acquire(&self) {
        self.rate_limit.acquire().await;
    }

    /// Reads every class with its columns.
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn classes(&self) -> Result<BTreeMap<ClassName, Document>, SourceError> {
        self.acquire().await;
        let schemas = self.client.schemas().await;
        let schemas = schemas.map_err(failed(|| "the list of classes".to_owned()))?;
        schemas
            .into_iter()
            .map(|(name, columns)| {
                let class = ClassName::parse(&name).map_err(|error| SourceError::Response {
                    what: format!("the class '{name}'"),
                    reason: error.to_string(),
                })?;
                Ok((class, columns))
            })
            .collect()
    }

    /// Reads the definition of a class; `None` if the server has no definitions, like LeanCloud.
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn definition(&self, class: &ClassName) -> Result<Option<Document>, SourceError> {
        self.acquire().await;
        let definition = self.client.class_definition(class).await;
        definition.map_err(failed(|| format!("the definition of {class}")))
    }

    /// Creates a class at the source, if the server can: a paylog server can; on LeanCloud a person creates it in the
    /// console.
    ///
    /// # Errors
    /// A transient [`SourceError`].
    pub async fn define_class(&self, class: &ClassName, definition: Document) -> Result<(), SourceError> {
        if self.definition(class).await?.is_some() {
            return Ok(());
        }
        self.acquire().await;
        let defined = self.client.define_class(class, definition).await;
        defined.map_err(failed(|| format!("the class {class}")))
    }

    /// Reads the rows of one query. A deleted class has none.
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn find(&self, class: &ClassName, query: &Query) -> Result<Vec<Document>, SourceError> {
        self.acquire().await;
        match self.client.objects(class).query(query).await {
            Ok(found) => Ok(found.results),
            Err(error) if error.code() == Some(ErrorCode::NOT_FOUND) => Ok(Vec::new()),
            Err(error) => Err(failed(|| format!("the class {class}"))(error)),
        }
    }

    /// Counts the matching objects.
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn count(&self, class: &ClassName, filter: &Filter) -> Result<u64, SourceError> {
        self.acquire().await;
        match self.client.objects(class).count(filter).await {
            Err(error) if error.code() == Some(ErrorCode::NOT_FOUND) => Ok(0),
            counted => counted.map_err(failed(|| format!("the number of objects of {class}"))),
        }
    }

    /// Reads the objects with these ids; absent objects are omitted.
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn by_ids(&self, class: &ClassName, ids: &[ObjectId]) -> Result<Vec<Document>, SourceError> {
        let mut rows = Vec::with_capacity(ids.len());
        for ids in ids.chunks(QUERY_IDS_MAX) {
            let ids = ids.iter().map(|id| Value::from(id.as_str())).collect();
            let mut query = Query::new(Filter::all().one_of("objectId", ids)).limit(Query::LIMIT_MAX);
            query.return_acl = true;
            rows.extend(self.find(class, &query).await?);
        }
        Ok(rows)
    }

    /// Reads the ids of the objects in one relation of an object: one request for each thousand, and one if there is none.
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
                keys: Some(id_keys()),
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

    /// Like [`Source::related`] for many owners, with concurrent requests; in the order of the owners.
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
        stream::iter(requests)
            .buffered(self.concurrency)
            .try_collect()
            .await
    }

    /// True if the server shows third-party logins. Some servers hide them; a hidden login must not count as deleted.
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn shows_logins(&self) -> Result<bool, SourceError> {
        let query = Query::new(Filter::all().exists("authData", true)).limit(1);
        let rows = self.find(&ClassName::user(), &query).await?;
        Ok(rows.iter().all(|user| user.contains_key("authData")))
    }

    /// True if the server shows ACLs. On LeanCloud this is an option of the app. Every role has an ACL.
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn shows_acls(&self) -> Result<bool, SourceError> {
        let mut query = Query::default().limit(1);
        query.return_acl = true;
        let rows = self.find(&ClassName::role(), &query).await?;
        Ok(rows.iter().all(|role| role.contains_key("ACL")))
    }

    /// Begins a scan.
    pub(super) fn scan(&self, class: &ClassName, filter: Filter, keys: Option<Keys>) -> Scan {
        let scan = self.client.objects(class).scan(filter);
        let scan = scan.page_size(self.page_rows).return_acl();
        match keys {
            Some(keys) => scan.keys(keys),
            None => scan,
        }
    }
}

/// The keys of a query for ids only.
pub(super) fn id_keys() -> Keys {
    Keys {
        only: vec![KeyPath::new("objectId")],
        except: Vec::new(),
    }
}

/// Adds what was read to the client's error.
pub(super) fn failed(what: impl FnOnce() -> String) -> impl FnOnce(ClientError) -> SourceError {
    move |error| SourceError::Client { what: what(), error }
}
