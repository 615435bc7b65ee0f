//! Every write, as one list of steps: who may, what exactly, the before hook, the write, the answer, the after hook.

use std::sync::Arc;

use super::authorization::{self, Right};
use super::context::Context;
use super::error::{forbidden_writing, internal, no_effect, no_such_class, read_failed};
use super::hook_caller::WriteHooks;
use super::parameters::flag;
use super::response::ApiResponse;
use super::user_rules::Secrets;
use super::visibility::for_hook;
use super::write_response::{answer_create, answer_update, applied, not_matched};
use super::{auth_login, condition_reason, files, hook_caller, query, roles, user_rules, users, validation};
use crate::model::{
    AuthData, Class, ClassName, CloudError, Document, ErrorCode, Filter, HookKind, Identity, ObjectId, Op,
    Principal, Update, UserHook, Value,
};
use crate::store::files::FileKey;
use crate::store::{Action, Write, WriteOutcome, Written};

/// A write as it was asked for.
#[derive(Debug)]
pub(super) struct WriteRequest {
    pub(super) class: ClassName,
    pub(super) change: Change,
    pub(super) body: Document,
    /// `where`, `fetchWhenSave`, `new`.
    pub(super) parameters: Document,
}

/// What a write does.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Create,
    /// A user of another platform whom nobody knows here.
    SignUp(AuthData),
    /// The row of a file that is to be uploaded.
    NewFile(FileKey),
    Update(ObjectId),
    /// All of them are to be deleted, one by one.
    Delete(Vec<ObjectId>),
}

/// A write that may be done, down to what is sent to the database.
#[derive(Debug)]
struct WritePlan {
    writes: Vec<Write>,
    principal: Principal,
    hooks: WriteHooks,
    answer: ResponsePlan,
    /// What a user is to be known by on other platforms.
    claims: Vec<Identity>,
}

/// What is needed to answer once the database has.
#[derive(Debug)]
enum ResponsePlan {
    Create {
        class: Arc<Class>,
        fetch: bool,
        /// A sign-up's token: the answer is the whole user then.
        token: Option<String>,
    },
    Update {
        class: Arc<Class>,
        id: ObjectId,
        guard: Option<Filter>,
        fetch: bool,
        /// What the request writes, in order, without what the server adds.
        columns: Vec<String>,
        /// The session's new token, where its password changed.
        token: Option<String>,
        /// What is to be told of the user: what has been verified.
        verified: Vec<UserHook>,
    },
    Delete {
        ids: Vec<ObjectId>,
        guard: Option<Filter>,
        /// The objects as they were, where an after hook wants to know.
        objects: Vec<Document>,
        /// The files whose rows these are.
        files: Vec<(ObjectId, FileKey)>,
    },
}

/// Performs one write.
///
/// # Errors
/// Those of every step. A 5xx, and codes that leave the outcome unknown, come from the database alone.
pub(super) async fn perform(
    context: &Arc<Context>,
    request: WriteRequest,
) -> Result<ApiResponse, CloudError> {
    if auth_login::is_login(&request) {
        return auth_login::log_in(context, request).await;
    }
    let plan = plan(context, request).await?;
    if !plan.has_after_hook(context) {
        return write(context, plan).await;
    }
    // In a task of its own: a client that leaves must not take the after hook with it.
    let task_context = Arc::clone(context);
    let task = async move { write(&task_context, plan).await };
    let task = context.state().tasks.spawn(task);
    task.await.map_err(|error| internal(&error))?
}

/// Performs several writes that call no before hook, in order, in one trip to the database; each succeeds or fails on
/// its own.
pub(super) async fn perform_batch(
    context: &Arc<Context>,
    requests: Vec<WriteRequest>,
) -> Vec<Result<ApiResponse, CloudError>> {
    let mut plans = Vec::with_capacity(requests.len());
    for request in requests {
        plans.push(plan(context, request).await);
    }
    let mut writes = Vec::with_capacity(plans.len());
    let mut counts = Vec::with_capacity(plans.len());
    for plan in plans.iter_mut().flatten() {
        counts.push(plan.writes.len());
        writes.append(&mut plan.writes);
    }
    let principal = match context.principal().await {
        Ok(principal) => principal,
        Err(error) => return plans.into_iter().map(|_| Err(error.clone())).collect(),
    };
    let mut outcomes = send(context, writes, principal).await.into_iter();
    let mut counts = counts.into_iter();
    let mut replies = Vec::with_capacity(plans.len());
    for plan in plans {
        replies.push(match plan {
            Ok(plan) => {
                let count = counts.next().unwrap_or(0);
                let own = outcomes.by_ref().take(count).collect();
                plan.conclude(context, own).await
            }
            Err(error) => Err(error),
        });
    }
    replies
}

/// Whether a before hook would run for this write, or its class has rules of its own; such writes travel alone.
pub(super) fn needs_own_trip(context: &Context, request: &WriteRequest) -> bool {
    let kind = match request.change {
        Change::Create | Change::SignUp(_) | Change::NewFile(_) => HookKind::BeforeSave,
        Change::Update(_) => HookKind::BeforeUpdate,
        Change::Delete(_) => HookKind::BeforeDelete,
    };
    let hooks = WriteHooks::of(context, request.class.clone(), &request.body);
    // A condition may hold subqueries, which must see the writes before them.
    request.class.is_built_in() || request.parameters.contains_key("where") || hooks.runs(context, kind)
}

/// Steps one to three: permissions, validation, before hook.
async fn plan(context: &Context, request: WriteRequest) -> Result<WritePlan, CloudError> {
    match request.change.clone() {
        Change::Create => plan_create(context, request, None, None).await,
        Change::SignUp(data) => plan_create(context, request, Some(data), None).await,
        Change::NewFile(key) => plan_create(context, request, None, Some(key)).await,
        Change::Update(id) => plan_update(context, request, id).await,
        Change::Delete(ids) => plan_delete(context, request, ids).await,
    }
}

async fn plan_create(
    context: &Context,
    mut request: WriteRequest,
    data: Option<AuthData>,
    key: Option<FileKey>,
) -> Result<WritePlan, CloudError> {
    // Who may.
    let class = existing_or_new(context, &request.class)?;
    let principal = &*context.creator(&class).await?;
    authorization::require(&class, Right::Create, principal)?;
    // What exactly.
    let hooks = WriteHooks::of(context, request.class, &request.body);
    if class.name == ClassName::user() {
        // `null`: anything else has made it a login.
        request.body.shift_remove("authData");
    }
    if request.body.get("ACL").is_some_and(Value::is_null) {
        // One SDK sends `null` for none.
        request.body.shift_remove("ACL");
    }
    hooks.check_depth(context, [HookKind::BeforeSave, HookKind::AfterSave])?;
    let mut update = Update::parse_create(&validation::without_reserved(request.body))?;
    let secrets = match class.name.as_str() {
        "_User" => user_rules::check_new(context, &mut update, data.as_ref())?,
        "_Role" => roles::check_new(&update).map(|()| Secrets::default())?,
        "_File" => files::check_new(context, &mut update, key.as_ref()).map(|()| Secrets::default())?,
        _ => Secrets::default(),
    };
    validation::check_writable(&class, &update, principal)?;
    validation::check_required(&class, &update)?;
    validation::default_acl(&class, &mut update, principal.user());
    authorization::require_columns(&class, &update, principal)?;
    // The before hook.
    if hooks.runs(context, HookKind::BeforeSave) {
        class.validate(&update)?;
        update = before_save(context, &hooks, update).await?;
    }
    let token = user_rules::seal(context, secrets, &mut update).await?;
    let fetch = wants_fields(&request.parameters);
    Ok(WritePlan {
        writes: vec![Write::create(&class.name, update)],
        principal: principal.clone(),
        hooks,
        answer: ResponsePlan::Create { class, fetch, token },
        claims: data.map(|data| data.claims()).unwrap_or_default(),
    })
}

async fn plan_update(
    context: &Context,
    request: WriteRequest,
    id: ObjectId,
) -> Result<WritePlan, CloudError> {
    // Who may.
    let schema = context.schema();
    let principal = context.principal().await?;
    let class = Arc::clone(schema.classes.get(&request.class).ok_or_else(no_such_class)?);
    authorization::require(&class, Right::Update, principal)?;
    let is_user = class.name == ClassName::user();
    if is_user {
        user_rules::require_self(context, &id).await?;
    }
    // What exactly.
    let guard = query::guard(context, &schema, &class, &request.parameters).await?;
    let hooks = WriteHooks::of(context, request.class, &request.body);
    hooks.check_depth(context, [HookKind::BeforeUpdate, HookKind::AfterUpdate])?;
    let mut update = Update::parse(&validation::without_reserved(request.body))?;
    validation::check_writable(&class, &update, principal)?;
    validation::check_required(&class, &update)?;
    let columns = update.columns();
    let mut secrets = match class.name.as_str() {
        "_User" => user_rules::check_update(&mut update)?,
        "_Role" => roles::check_update(&update).map(|()| Secrets::default())?,
        _ => Secrets::default(),
    };
    let mut claims = Vec::new();
    let mut verified = Vec::new();
    if is_user {
        claims = user_rules::change_logins(context, &id, &mut update, &mut secrets).await?;
        verified = newly_verified(context, &id, &update).await?;
    }
    authorization::require_columns(&class, &update, principal)?;
    // An ACL has no say over users: their own session or the master key has been checked instead.
    let principal = if is_user { &Principal::Master } else { principal };
    // The before hook.
    if hooks.runs(context, HookKind::BeforeUpdate) {
        class.validate(&update)?;
        let Some(mut object) = stored(context, &hooks, &id, guard.as_ref(), principal).await? else {
            condition_reason::note(context, &class.name, &id, guard.as_ref()).await;
            return Err(not_matched(&class.name, &id, guard.is_some()));
        };
        update.apply(&mut object)?;
        let answer = hooks
            .before(context, HookKind::BeforeUpdate, object, columns.clone())
            .await?;
        // Its object is not what is stored: only beforeSave may change the write.
        drop(answer);
    }
    let token = user_rules::seal(context, secrets, &mut update).await?;
    let write = Write {
        class: class.name.clone(),
        action: Action::Update {
            id: id.clone(),
            guard: guard.clone().unwrap_or_else(Filter::all),
            update,
            fetch: wants_fields(&request.parameters),
        },
    };
    Ok(WritePlan {
        writes: vec![write],
        principal: principal.clone(),
        hooks,
        answer: ResponsePlan::Update {
            class,
            id,
            guard,
            fetch: wants_fields(&request.parameters),
            columns,
            token: token.filter(|_| !context.is_master()),
            verified,
        },
        claims,
    })
}

async fn plan_delete(
    context: &Context,
    request: WriteRequest,
    ids: Vec<ObjectId>,
) -> Result<WritePlan, CloudError> {
    // Who may.
    let schema = context.schema();
    let principal = context.principal().await?;
    let class = schema.classes.get(&request.class).ok_or_else(no_such_class)?;
    authorization::require(class, Right::Delete, principal)?;
    let is_user = class.name == ClassName::user();
    if is_user {
        for id in &ids {
            user_rules::require_self(context, id).await?;
        }
    }
    let principal = if is_user { &Principal::Master } else { principal };
    // What exactly.
    let guard = query::guard(context, &schema, class, &request.parameters).await?;
    let hooks = WriteHooks::of(context, request.class, &request.body);
    hooks.check_depth(context, [HookKind::BeforeDelete, HookKind::AfterDelete])?;
    // The before hook, for each object.
    let mut objects = Vec::new();
    if hooks.runs(context, HookKind::BeforeDelete) || hooks.runs(context, HookKind::AfterDelete) {
        for id in &ids {
            let Some(object) = stored(context, &hooks, id, guard.as_ref(), principal).await? else {
                continue;
            };
            let call = hooks.before(context, HookKind::BeforeDelete, object.clone(), Vec::new());
            call.await?;
            objects.push(object);
        }
    }
    let mut stored_files = Vec::new();
    if class.name == ClassName::file() {
        for id in &ids {
            let row = context
                .database()
                .get(&class.name, id)
                .await
                .map_err(read_failed)?;
            let key = row.as_ref().and_then(files::key_of);
            stored_files.extend(key.map(|key| (id.clone(), key)));
        }
    }
    let mut condition = guard.clone().unwrap_or_else(Filter::all);
    if let (true, Some(kept)) = (is_user, &context.state().config.protected_users) {
        condition = Filter::And(vec![condition, Filter::Nor(vec![kept.clone()])]);
    }
    Ok(WritePlan {
        writes: ids
            .iter()
            .map(|id| Write::delete(&class.name, id, condition.clone()))
            .collect(),
        principal: principal.clone(),
        hooks,
        answer: ResponsePlan::Delete {
            ids,
            guard,
            objects,
            files: stored_files,
        },
        claims: Vec::new(),
    })
}

/// Steps four to six: the write, the answer, the after hook.
async fn write(context: &Context, mut plan: WritePlan) -> Result<ApiResponse, CloudError> {
    let writes = std::mem::take(&mut plan.writes);
    let update = match writes.first().map(|write| &write.action) {
        Some(Action::Create { fields: update } | Action::Update { update, .. })
            if plan.hooks.class == ClassName::user() =>
        {
            Some(update.clone())
        }
        _ => None,
    };
    let id = plan.answer.updated_id().cloned();
    let claims = std::mem::take(&mut plan.claims);
    let turn = if claims.is_empty() {
        None
    } else {
        let turn = context.state().links.lock().await;
        auth_login::require_free(context, &claims, id.as_ref()).await?;
        Some(turn)
    };
    let outcomes = send(context, writes, &plan.principal).await;
    drop(turn);
    let response = plan.conclude(context, outcomes).await;
    match (response, update) {
        (Err(refusal), Some(update)) => {
            Err(user_rules::explain_duplicate(context, &update, id.as_ref(), refusal).await)
        }
        (response, _) => response,
    }
}

async fn send(context: &Context, writes: Vec<Write>, principal: &Principal) -> Vec<WriteOutcome> {
    if writes.is_empty() {
        return Vec::new();
    }
    context.database().write_as(writes, principal).await
}

impl WritePlan {
    fn has_after_hook(&self, context: &Context) -> bool {
        self.hooks.runs(context, self.answer.after_hook())
    }

    /// Turns what the database answered into the response, and starts the after hook.
    async fn conclude(
        self,
        context: &Context,
        outcomes: Vec<WriteOutcome>,
    ) -> Result<ApiResponse, CloudError> {
        let hooks = &self.hooks;
        match self.answer {
            ResponsePlan::Create { class, fetch, token } => {
                let written = applied(outcomes.into_iter().next())?.ok_or_else(no_effect)?;
                start_after_hook(context, hooks, HookKind::AfterSave, &written, &[]).await;
                answer_create(context, &class, fetch, token, written).await
            }
            ResponsePlan::Update {
                class,
                id,
                guard,
                fetch,
                columns,
                token,
                verified,
            } => {
                let Some(written) = applied(outcomes.into_iter().next())? else {
                    condition_reason::note(context, &class.name, &id, guard.as_ref()).await;
                    return Err(not_matched(&class.name, &id, guard.is_some()));
                };
                start_after_hook(context, hooks, HookKind::AfterUpdate, &written, &columns).await;
                for hook in verified {
                    hook_caller::tell_user_hook(context, hook, &written.fields);
                }
                answer_update(context, &class, &id, fetch.then_some(&*columns), token, written).await
            }
            ResponsePlan::Delete {
                ids,
                guard,
                objects,
                files: stored_files,
            } => {
                let mut failure = None;
                for (id, outcome) in ids.iter().zip(outcomes) {
                    match applied(Some(outcome)) {
                        Ok(Some(_)) => {
                            for (_, key) in stored_files.iter().filter(|(owner, _)| owner == id) {
                                files::remove_bytes(context, key).await;
                            }
                            let object = objects
                                .iter()
                                .find(|object| object.text("objectId") == Some(id.as_str()));
                            if let Some(object) = object {
                                let hook = HookKind::AfterDelete;
                                hooks.after(context, hook, object.clone(), Vec::new()).await;
                            }
                        }
                        Ok(None) if user_rules::is_protected(context, &hooks.class, id).await? => {
                            failure = failure.or_else(|| Some(user_rules::protected_user()));
                        }
                        // Deleting what is not there is no failure.
                        Ok(None) if guard.is_none() => {}
                        Ok(None) => {
                            condition_reason::note(context, &hooks.class, id, guard.as_ref()).await;
                            failure = failure.or_else(|| Some(no_effect()));
                        }
                        Err(error) => failure = failure.or(Some(error)),
                    }
                }
                failure.map_or_else(|| Ok(ApiResponse::ok(serde_json::Map::new())), Err)
            }
        }
    }
}

async fn start_after_hook(
    context: &Context,
    hooks: &WriteHooks,
    kind: HookKind,
    written: &Written,
    columns: &[String],
) {
    if hooks.runs(context, kind) {
        let object = written.fields.clone();
        hooks.after(context, kind, object, columns.to_vec()).await;
    }
}

impl ResponsePlan {
    fn after_hook(&self) -> HookKind {
        match self {
            Self::Create { .. } => HookKind::AfterSave,
            Self::Update { .. } => HookKind::AfterUpdate,
            Self::Delete { .. } => HookKind::AfterDelete,
        }
    }

    fn updated_id(&self) -> Option<&ObjectId> {
        match self {
            Self::Update { id, .. } => Some(id),
            Self::Create { .. } | Self::Delete { .. } => None,
        }
    }
}

/// What a `beforeSave` hook makes of a new object. Relations are not part of it and stay as they were asked for.
async fn before_save(context: &Context, hooks: &WriteHooks, update: Update) -> Result<Update, CloudError> {
    let mut object = Document::new();
    update.apply(&mut object)?;
    let answer = hooks
        .before(context, HookKind::BeforeSave, object, Vec::new())
        .await?;
    let Some(answer) = answer else {
        return Ok(update);
    };
    let mut answer = for_hook(&hooks.class, answer);
    answer.retain(|_, value| value.get("__type").and_then(Value::as_str) != Some("Relation"));
    let mut stored = Update::parse_create(&validation::without_reserved(answer))?;
    let relations = update.ops.into_iter().filter(|(_, op)| op.is_relation());
    stored.ops.extend(relations);
    Ok(stored)
}

/// The object that an update or delete hook is asked about; `None` where there is none.
///
/// # Errors
/// 403 where the ACL forbids the write; 305 where its condition does not hold. The write itself checks both again.
async fn stored(
    context: &Context,
    hooks: &WriteHooks,
    id: &ObjectId,
    guard: Option<&Filter>,
    principal: &Principal,
) -> Result<Option<Document>, CloudError> {
    let object = context
        .database()
        .get(&hooks.class, id)
        .await
        .map_err(read_failed)?;
    let Some(object) = object else { return Ok(None) };
    if !principal.may_write(&object) {
        return Err(forbidden_writing());
    }
    match guard {
        Some(guard) if !guard.matches(&object)? => {
            condition_reason::note(context, &hooks.class, id, Some(guard)).await;
            Err(no_effect())
        }
        _ => Ok(Some(object)),
    }
}

/// What an update verifies that was not verified before, where a hook wants to know.
async fn newly_verified(
    context: &Context,
    id: &ObjectId,
    update: &Update,
) -> Result<Vec<UserHook>, CloudError> {
    let sets = |key: &str| {
        let set =
            |(path, op): &(_, Op)| crate::model::KeyPath::as_str(path) == key && *op == Op::Set(true.into());
        update.ops.iter().any(set)
    };
    let columns = [
        ("mobilePhoneVerified", UserHook::VerifiedSms),
        ("emailVerified", UserHook::VerifiedEmail),
    ];
    let mut hooks: Vec<_> = columns.into_iter().filter(|(key, _)| sets(key)).collect();
    if hooks.is_empty() || context.state().hooks.is_none() {
        return Ok(Vec::new());
    }
    let user = users::stored(context, id).await?;
    hooks.retain(|(key, _)| user.get(*key) != Some(&Value::Bool(true)));
    Ok(hooks.into_iter().map(|(_, hook)| hook).collect())
}

/// The class that an object is created in: one that is there, or a new one where the caller may make it.
fn existing_or_new(context: &Context, name: &ClassName) -> Result<Arc<Class>, CloudError> {
    if let Some(class) = context.class(name) {
        return Ok(class);
    }
    if !context.is_master() && !context.state().config.clients_create_classes {
        let text = format!("Class '{name}' doesn't exist, and clients may not create classes.");
        return Err(CloudError::new(ErrorCode::OPERATION_FORBIDDEN, text));
    }
    Ok(Arc::new(Class::initial(name.clone())))
}

/// Two spellings of one option.
fn wants_fields(parameters: &Document) -> bool {
    flag(parameters, "fetchWhenSave") || flag(parameters, "new")
}
