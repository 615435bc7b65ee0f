//! One object at a time: create, get, update, delete.

use http::Method;

use crate::client::answer::one_object;
use crate::client::request::{Request, document};
use crate::client::{Client, ClientError, Idempotent};
use crate::model::{
    ClassName, Document, ErrorCode, Filter, HookKind, KeyPath, Keys, ObjectId, Query, Update, Value,
};
use crate::store::{Action, Write, WriteOutcome};

/// The objects of one class, as one [`Client`] sees them. Made by [`Client::objects`].
#[derive(Clone, Copy, Debug)]
pub struct Objects<'a> {
    pub(super) client: &'a Client,
    pub(super) class: &'a ClassName,
}

/// How one object is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// Which fields the answer holds.
    pub keys: Option<Keys>,
    /// Pointers to expand.
    pub include: Vec<KeyPath>,
    /// Whether the answer holds the `ACL`; on LeanCloud an option of the app must allow it, too.
    pub return_acl: bool,
}

/// Under which condition and how a write is done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct WriteOptions {
    guard: Filter,
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
            guard: Filter::all(),
            fetch: false,
            ignored_hooks: Vec::new(),
            idempotent: Idempotent::No,
        }
    }

    /// Updates and deletes only: where the object matches (`where`). A create ignores it.
    pub fn guard(mut self, guard: Filter) -> Self {
        self.guard = guard;
        self
    }

    /// Creates and updates: the answer holds the fields as they are afterwards (`fetchWhenSave`).
    pub fn fetch(mut self) -> Self {
        self.fetch = true;
        self
    }

    /// Leaves out these hooks (`__ignore_hooks`). LeanCloud asks for the master key or the hook key.
    pub fn ignore_hooks(mut self, hooks: &[HookKind]) -> Self {
        self.ignored_hooks = hooks.to_vec();
        self
    }

    /// Declares what repeating the write would do. A create, an unguarded write declared as guarded, and an unguarded
    /// update with `Increment`, `Add` or `BitXor` are never repeated, whatever is declared.
    pub fn idempotent(mut self, idempotent: Idempotent) -> Self {
        self.idempotent = idempotent;
        self
    }
}

impl Objects<'_> {
    /// Creates an object.
    ///
    /// **Atomicity**: the object's. **Idempotency**: none; never sent again once it may have been sent.
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

    /// Reads an object; `None` where there is none or no such class. Repeated as the policy says.
    ///
    /// # Errors
    /// [`ClientError`]; 403 where the object may not be read.
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
        let request = Request::get(path).with_query(parameters.to_parameters());
        // With `-objectId` in the keys the answer cannot be checked.
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

    /// Changes an object, under a condition where the options hold one.
    ///
    /// **Atomicity**: all fields of the object together with the condition. **Idempotency**: only what the condition
    /// gives; see [`WriteOptions::idempotent`]. After a repetition, a condition that no longer holds is
    /// [`WriteOutcome::Unknown`]: it may be the trace of the first attempt.
    ///
    /// ```no_run
    /// # use paylog::{client::{Client, Idempotent, WriteOptions}, model::{ClassName, Filter, ObjectId, Update}};
    /// # async fn example(client: Client, counters: ClassName, id: ObjectId) {
    /// let options = WriteOptions::new().guard(Filter::all().eq("version", 7)).idempotent(Idempotent::Guarded);
    /// let outcome = client.objects(&counters).update(&id, &Update::new().increment("version", 1), options).await;
    /// println!("{outcome:?}");
    /// # }
    /// ```
    pub async fn update(&self, id: &ObjectId, update: &Update, options: WriteOptions) -> WriteOutcome {
        let action = Action::Update {
            id: id.clone(),
            guard: options.guard.clone(),
            update: update.clone(),
            fetch: options.fetch,
        };
        self.write(action, &options).await
    }

    /// Deletes an object, under a condition where the options hold one. **Atomicity** and **Idempotency** as
    /// [`Objects::update`].
    pub async fn delete(&self, id: &ObjectId, options: WriteOptions) -> WriteOutcome {
        let action = Action::Delete {
            id: id.clone(),
            guard: options.guard.clone(),
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

    /// 101: no such object or class. LeanCloud says 211 for an absent user; with a session it may also be the session
    /// that is not known.
    fn says_absent(&self, error: &ClientError) -> bool {
        match error.code() {
            Some(ErrorCode::NOT_FOUND) => true,
            Some(ErrorCode::USER_NOT_FOUND) => *self.class == ClassName::user() && !self.client.has_session(),
            _ => false,
        }
    }
}

/// What was declared, where it can be true.
fn repeatable(action: &Action, declared: Idempotent) -> Idempotent {
    match (action, declared) {
        (Action::Create { .. }, _) => Idempotent::No,
        (Action::Update { guard, update, .. }, _) if is_unconditional(guard) && update.is_relative() => {
            Idempotent::No
        }
        (Action::Update { guard, .. } | Action::Delete { guard, .. }, Idempotent::Guarded)
            if is_unconditional(guard) =>
        {
            Idempotent::No
        }
        _ => declared,
    }
}

/// Whether the filter matches everything.
pub(super) fn is_unconditional(guard: &Filter) -> bool {
    matches!(guard, Filter::And(parts) if parts.is_empty())
}

/// A write as a request of its own.
pub(super) fn write_request(write: &Write, ignored_hooks: &[HookKind], idempotent: Idempotent) -> Request {
    let (method, path) = target(write);
    let mut request = Request::new(method, path, idempotent).with_body(body(write, ignored_hooks));
    let (guard, fetch) = condition(&write.action);
    if fetch {
        request.query.push(("fetchWhenSave", "true".to_owned()));
    }
    if let Some(guard) = guard {
        request.query.push(("where", guard.to_value().to_string()));
    }
    request
}

/// A write as an element of a batch, where `where` and `fetchWhenSave` are `params`, and not text.
pub(super) fn write_element(write: &Write, ignored_hooks: &[HookKind]) -> Value {
    let (method, path) = target(write);
    let mut element = document([
        ("method", Value::from(method.as_str())),
        ("path", Value::from(path)),
        ("body", body(write, ignored_hooks).into_value()),
    ]);
    let (guard, fetch) = condition(&write.action);
    let mut parameters = Document::new();
    if fetch {
        parameters.insert("fetchWhenSave".to_owned(), Value::Bool(true));
    }
    if let Some(guard) = guard {
        parameters.insert("where".to_owned(), guard.to_value());
    }
    if !parameters.is_empty() {
        element.insert("params".to_owned(), parameters.into_value());
    }
    element.into_value()
}

fn target(write: &Write) -> (Method, String) {
    let class = &write.class;
    match &write.action {
        Action::Create { .. } => (Method::POST, format!("/1.1/classes/{class}")),
        Action::Update { id, .. } => (Method::PUT, format!("/1.1/classes/{class}/{id}")),
        Action::Delete { id, .. } => (Method::DELETE, format!("/1.1/classes/{class}/{id}")),
    }
}

fn body(write: &Write, ignored_hooks: &[HookKind]) -> Document {
    let mut body = match &write.action {
        Action::Create { fields: update } | Action::Update { update, .. } => match update.to_value() {
            Value::Object(fields) => Document(fields),
            _ => Document::new(),
        },
        Action::Delete { .. } => Document::new(),
    };
    if !ignored_hooks.is_empty() {
        let names = ignored_hooks
            .iter()
            .map(|hook| Value::from(hook.name()))
            .collect();
        body.insert("__ignore_hooks".to_owned(), Value::Array(names));
    }
    body
}

/// The condition, where there is one, and whether the changed fields are asked for.
fn condition(action: &Action) -> (Option<&Filter>, bool) {
    match action {
        Action::Create { .. } => (None, false),
        Action::Update { guard, fetch, .. } => (Some(guard).filter(|guard| !is_unconditional(guard)), *fetch),
        Action::Delete { guard, .. } => (Some(guard).filter(|guard| !is_unconditional(guard)), false),
    }
}
