//! Single objects: create, get, update, delete.

use crate::client::outcome::one_object;
use crate::client::request::ApiRequest;
use crate::client::write_request::{is_unconditional, write_request};
use crate::client::{Client, ClientError, Idempotent};
use crate::model::{
    ClassName, Document, ErrorCode, Filter, HookKind, KeyPath, Keys, ObjectId, Query, Update,
};
use crate::store::{Action, Write, WriteOutcome};

/// Access to the objects of one class through one view of a [`Client`]. Made by [`Client::objects`].
#[derive(Clone, Copy, Debug)]
pub struct Objects<'a> {
    pub(super) client: &'a Client,
    pub(super) class: &'a ClassName,
}

/// Options of reading one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// Fields that the response contains; all if absent.
    pub keys: Option<Keys>,
    /// Pointers to expand.
    pub include: Vec<KeyPath>,
    /// True if the response should contain the `ACL`. On LeanCloud an option of the app must also allow it.
    pub return_acl: bool,
}

/// Options of a write: its condition, its response, its hooks, and its idempotency.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct WriteOptions {
    precondition: Filter,
    fetch: bool,
    ignored_hooks: Vec<HookKind>,
    idempotent: Idempotent,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl WriteOptions {
    /// Unconditional, with hooks, never repeated.
    pub fn new() -> Self {
        Self {
            precondition: Filter::all(),
            fetch: false,
            ignored_hooks: Vec::new(),
            idempotent: Idempotent::No,
        }
    }

    /// Sets the condition (`where`) of an update or delete. A create ignores it.
    pub fn precondition(mut self, precondition: Filter) -> Self {
        self.precondition = precondition;
        self
    }

    /// Asks for the fields after a create or update (`fetchWhenSave`).
    pub fn fetch(mut self) -> Self {
        self.fetch = true;
        self
    }

    /// Skips these hooks (`__ignore_hooks`). LeanCloud requires the master key or the hook key.
    pub fn ignore_hooks(mut self, hooks: &[HookKind]) -> Self {
        self.ignored_hooks = hooks.to_vec();
        self
    }

    /// Declares the effect of repeating the write. A create, an unconditional write declared as guarded, and an
    /// unconditional update with `Increment`, `Add` or `BitXor` are never repeated, whatever is declared.
    pub fn idempotent(mut self, idempotent: Idempotent) -> Self {
        self.idempotent = idempotent;
        self
    }
}

impl Client {
    /// Returns access to the objects of a class.
    #[must_use]
    pub fn objects<'a>(&'a self, class: &'a ClassName) -> Objects<'a> {
        Objects { client: self, class }
    }
}

impl Objects<'_> {
    /// Creates an object.
    ///
    /// **Atomicity**: one object. **Idempotency**: none; never sent again once it may have been sent.
    ///
    /// ```no_run
    /// # use paylog::{client::{Client, WriteOptions}, model::{ClassName, Update}, store::WriteOutcome};
    /// # async fn example(client: Client) -> anyhow::Result<()> {
    /// let todo = ClassName::parse("Todo")?;
    /// let fields = Update::new().set("title", "call the bank");
    /// let outcome = client.objects(&todo).create(&fields, WriteOptions::new().fetch()).await;
    /// if let WriteOutcome::Applied(written) = outcome {
    ///     println!("{:?} with defaults {:?}", written.object_id, written.fields);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn create(&self, fields: &Update, options: WriteOptions) -> WriteOutcome {
        let write = Write::create(self.class, fields.clone());
        let mut request = write_request(&write, &options.ignored_hooks, Idempotent::No);
        if options.fetch {
            request.query.push(("fetchWhenSave", "true".to_owned()));
        }
        self.client.send(&request).await.written(&write.action)
    }

    /// Reads an object; `None` if the object or its class does not exist. Repeated by the policy.
    ///
    /// # Errors
    /// [`ClientError`]; 403 if the object may not be read.
    ///
    /// ```no_run
    /// # use paylog::{client::{Client, ReadOptions}, model::{ClassName, ObjectId}};
    /// # async fn example(client: Client) -> anyhow::Result<()> {
    /// let (todo, id) = (ClassName::parse("Todo")?, ObjectId::parse("5d830805f40d3a0007541da6")?);
    /// let options = ReadOptions { include: vec!["owner".into()], ..ReadOptions::default() };
    /// let found = client.objects(&todo).get(&id, &options).await?;
    /// println!("{}", found.is_some());
    /// # Ok(()) }
    /// ```
    pub async fn get(&self, id: &ObjectId, options: &ReadOptions) -> Result<Option<Document>, ClientError> {
        let parameters = Query {
            keys: options.keys.clone(),
            include: options.include.clone(),
            return_acl: options.return_acl,
            ..Query::default()
        };
        let path = format!("/1.1/classes/{}/{id}", self.class);
        let request = ApiRequest::get(path).with_query(parameters.to_parameters());
        // With `-objectId` in the keys the response cannot be checked.
        let expected = options.keys.is_none().then_some(id);
        let read = self
            .client
            .send(&request)
            .await
            .read(Idempotent::Yes, |body| one_object(body, expected));
        match read {
            Err(error) if self.says_absent(&error) => Ok(None),
            other => other,
        }
    }

    /// Updates an object, under the condition of the options if they have one.
    ///
    /// **Atomicity**: all fields of the object together with the condition. **Idempotency**: only through the condition;
    /// see [`WriteOptions::idempotent`]. After a repetition, a condition that no longer matches is
    /// [`WriteOutcome::Unknown`]: it may be the trace of the first attempt.
    ///
    /// ```no_run
    /// # use paylog::{client::{Client, Idempotent, WriteOptions}, model::{ClassName, Filter, ObjectId, Update}};
    /// # async fn example(client: Client, counters: ClassName, id: ObjectId) {
    /// let options = WriteOptions::new().precondition(Filter::all().eq("version", 7)).idempotent(Idempotent::Guarded);
    /// let outcome = client.objects(&counters).update(&id, &Update::new().increment("version", 1), options).await;
    /// println!("{outcome:?}");
    /// # }
    /// ```
    pub async fn update(&self, id: &ObjectId, update: &Update, options: WriteOptions) -> WriteOutcome {
        let action = Action::Update {
            id: id.clone(),
            precondition: options.precondition.clone(),
            update: update.clone(),
            fetch: options.fetch,
        };
        self.write(action, &options).await
    }

    /// Deletes an object, under the condition of the options if they have one. **Atomicity** and **Idempotency** as in
    /// [`Objects::update`].
    pub async fn delete(&self, id: &ObjectId, options: WriteOptions) -> WriteOutcome {
        let action = Action::Delete {
            id: id.clone(),
            precondition: options.precondition.clone(),
        };
        self.write(action, &options).await
    }

    async fn write(&self, action: Action, options: &WriteOptions) -> WriteOutcome {
        let write = Write {
            class: self.class.clone(),
            action,
        };
        let idempotent = repeatable(&write.action, options.idempotent);
        let request = write_request(&write, &options.ignored_hooks, idempotent);
        self.client.send(&request).await.written(&write.action)
    }

    /// True if the error means that the object does not exist. 101: no such object or class. LeanCloud returns 211 for an
    /// absent user; with a session, 211 may also mean an unknown session.
    fn says_absent(&self, error: &ClientError) -> bool {
        match error.code() {
            Some(ErrorCode::NOT_FOUND) => true,
            Some(ErrorCode::USER_NOT_FOUND) => *self.class == ClassName::user() && !self.client.has_session(),
            _ => false,
        }
    }
}

/// The declared idempotency, corrected if it cannot be true.
fn repeatable(action: &Action, declared: Idempotent) -> Idempotent {
    match (action, declared) {
        (Action::Create { .. }, _) => Idempotent::No,
        (
            Action::Update {
                precondition, update, ..
            },
            _,
        ) if is_unconditional(precondition) && update.is_relative() => Idempotent::No,
        (Action::Update { precondition, .. } | Action::Delete { precondition, .. }, Idempotent::Guarded)
            if is_unconditional(precondition) =>
        {
            Idempotent::No
        }
        _ => declared,
    }
}
