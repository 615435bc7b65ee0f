//! The first steps of a write: permissions, validation, before hook.

use std::sync::Arc;

use super::conclusion::{self, Conclusion, Deletion};
use super::request::{Change, WriteRequest};
use crate::model::{
    Class, ClassName, CloudError, Document, ErrorCode, Filter, HookKind, Identity, ObjectId, Principal,
    Update, Value,
};
use crate::server::authorization::{self, Right};
use crate::server::class_rules::ClassRules;
use crate::server::context::Context;
use crate::server::error::{forbidden_writing, no_effect, no_such_class, read_failed};
use crate::server::hook_caller::WriteHooks;
use crate::server::parameters::flag;
use crate::server::response::ApiResponse;
use crate::server::visibility::for_hook;
use crate::server::write_response::not_matched;
use crate::server::{condition_reason, query, validation};
use crate::store::{Action, Write, WriteOutcome};

/// A write that may be done, down to what is sent to the database.
#[derive(Debug)]
pub(super) struct WritePlan {
    pub(super) writes: Vec<Write>,
    pub(super) principal: Principal,
    pub(super) rules: ClassRules,
    pub(super) hooks: WriteHooks,
    pub(super) conclusion: Conclusion,
    /// Identities on other platforms that the write gives to a user.
    pub(super) claims: Vec<Identity>,
}

impl WritePlan {
    /// True if an after hook runs.
    pub(super) fn has_after_hook(&self, context: &Context) -> bool {
        self.hooks.runs(context, self.conclusion.after_hook())
    }

    /// The id of the object that is changed.
    pub(super) fn updated_id(&self) -> Option<&ObjectId> {
        self.conclusion.updated_id()
    }

    /// Turns the database's outcomes into the response, and starts the after hook.
    ///
    /// # Errors
    /// Those of [`conclusion::conclude`].
    pub(super) async fn conclude(
        self,
        context: &Context,
        outcomes: Vec<WriteOutcome>,
    ) -> Result<ApiResponse, CloudError> {
        conclusion::conclude(context, self.rules, &self.hooks, self.conclusion, outcomes).await
    }
}

/// Takes the steps up to the before hook.
///
/// # Errors
/// Those of permissions, validation and hooks. Then nothing must be written.
pub(super) async fn plan(context: &Context, request: WriteRequest) -> Result<WritePlan, CloudError> {
    let rules = ClassRules::of(&request.class);
    match request.change.clone() {
        Change::Create | Change::SignUp(_) | Change::NewFile(_) => create(context, rules, request).await,
        Change::Update(id) => update(context, rules, request, id).await,
        Change::Delete(ids) => delete(context, rules, request, ids).await,
    }
}

async fn create(
    context: &Context,
    rules: ClassRules,
    mut request: WriteRequest,
) -> Result<WritePlan, CloudError> {
    // Permissions.
    let class = existing_or_new(context, &request.class)?;
    let principal = &*context.creator(&class).await?;
    authorization::require(&class, Right::Create, principal)?;
    // Validation.
    let hooks = rules.hooks(context, request.class, &request.body);
    rules.strip_new(&mut request.body);
    hooks.check_depth(context, [HookKind::BeforeSave, HookKind::AfterSave])?;
    let mut update = Update::parse_create(&validation::without_reserved(request.body))?;
    let secrets = rules.check_new(context, &mut update, &request.change)?;
    validation::check_writable(&class, &update, principal)?;
    validation::check_required(&class, &update)?;
    validation::default_acl(&class, &mut update, principal.user());
    authorization::require_columns(&class, &update, principal)?;
    // Before hook.
    if hooks.runs(context, HookKind::BeforeSave) {
        class.validate(&update)?;
        update = before_save(context, &hooks, update).await?;
    }
    let token = secrets.seal(context, &mut update).await?;
    let fetch = wants_fields(&request.parameters);
    let claims = request.change.auth_data().map(|data| data.claims());
    Ok(WritePlan {
        writes: vec![Write::create(&class.name, update)],
        principal: principal.clone(),
        rules,
        hooks,
        conclusion: Conclusion::Create { class, fetch, token },
        claims: claims.unwrap_or_default(),
    })
}

async fn update(
    context: &Context,
    rules: ClassRules,
    request: WriteRequest,
    id: ObjectId,
) -> Result<WritePlan, CloudError> {
    // Permissions.
    let schema = context.schema();
    let principal = context.principal().await?;
    let class = Arc::clone(schema.classes.get(&request.class).ok_or_else(no_such_class)?);
    authorization::require(&class, Right::Update, principal)?;
    rules.require_owner(context, std::slice::from_ref(&id)).await?;
    // Validation.
    let condition = query::condition(context, &schema, &class, &request.parameters).await?;
    let hooks = rules.hooks(context, request.class, &request.body);
    hooks.check_depth(context, [HookKind::BeforeUpdate, HookKind::AfterUpdate])?;
    let mut update = Update::parse(&validation::without_reserved(request.body))?;
    validation::check_writable(&class, &update, principal)?;
    validation::check_required(&class, &update)?;
    let columns = update.columns();
    let mut secrets = rules.check_update(&mut update)?;
    let logins = rules
        .change_logins(context, &id, &mut update, &mut secrets)
        .await?;
    authorization::require_columns(&class, &update, principal)?;
    let principal = rules.acl_principal(principal);
    // Before hook.
    if hooks.runs(context, HookKind::BeforeUpdate) {
        class.validate(&update)?;
        let object = stored(context, &hooks, &id, condition.as_ref(), principal).await?;
        let Some(object) = object else {
            condition_reason::note(context, &class.name, &id, condition.as_ref()).await;
            return Err(not_matched(&class.name, &id, condition.is_some()));
        };
        before_update(context, &hooks, object, &update, &columns).await?;
    }
    let token = secrets.seal(context, &mut update).await?;
    let fetch = wants_fields(&request.parameters);
    let write = Write {
        class: class.name.clone(),
        action: Action::Update {
            id: id.clone(),
            precondition: condition.clone().unwrap_or_else(Filter::all),
            update,
            fetch,
        },
    };
    Ok(WritePlan {
        writes: vec![write],
        principal: principal.clone(),
        rules,
        hooks,
        conclusion: Conclusion::Update {
            class,
            id,
            condition,
            fetch,
            columns,
            token: token.filter(|_| !context.is_master()),
            verified: logins.verified,
        },
        claims: logins.claims,
    })
}

async fn delete(
    context: &Context,
    rules: ClassRules,
    request: WriteRequest,
    ids: Vec<ObjectId>,
) -> Result<WritePlan, CloudError> {
    // Permissions.
    let schema = context.schema();
    let principal = context.principal().await?;
    let class = schema.classes.get(&request.class).ok_or_else(no_such_class)?;
    authorization::require(class, Right::Delete, principal)?;
    rules.require_owner(context, &ids).await?;
    let principal = rules.acl_principal(principal);
    // Validation.
    let condition = query::condition(context, &schema, class, &request.parameters).await?;
    let hooks = rules.hooks(context, request.class, &request.body);
    hooks.check_depth(context, [HookKind::BeforeDelete, HookKind::AfterDelete])?;
    // Before hook, for each object.
    let mut objects = Vec::new();
    if hooks.runs(context, HookKind::BeforeDelete) || hooks.runs(context, HookKind::AfterDelete) {
        for id in &ids {
            let Some(object) = stored(context, &hooks, id, condition.as_ref(), principal).await? else {
                continue;
            };
            let call = hooks.before(context, HookKind::BeforeDelete, object.clone(), Vec::new());
            call.await?;
            objects.push(object);
        }
    }
    let files = rules.file_keys(context, &ids).await?;
    let whole_condition = rules.delete_condition(context, condition.clone().unwrap_or_else(Filter::all));
    Ok(WritePlan {
        writes: ids
            .iter()
            .map(|id| Write::delete(&class.name, id, whole_condition.clone()))
            .collect(),
        principal: principal.clone(),
        rules,
        hooks,
        conclusion: Conclusion::Delete(Deletion {
            ids,
            condition,
            objects,
            files,
        }),
        claims: Vec::new(),
    })
}

/// Runs the `beforeSave` hook, and returns the object as the hook wants it. Relations are not part of it and stay as the
/// request has them.
async fn before_save(context: &Context, hooks: &WriteHooks, update: Update) -> Result<Update, CloudError> {
    let mut object = Document::new();
    update.apply(&mut object)?;
    let returned = hooks
        .before(context, HookKind::BeforeSave, object, Vec::new())
        .await?;
    let Some(returned) = returned else {
        return Ok(update);
    };
    let mut returned = for_hook(&hooks.class, returned);
    returned.retain(|_, value| value.get("__type").and_then(Value::as_str) != Some("Relation"));
    let mut wanted = Update::parse_create(&validation::without_reserved(returned))?;
    let relations = update.ops.into_iter().filter(|(_, op)| op.is_relation());
    wanted.ops.extend(relations);
    Ok(wanted)
}

/// Runs the `beforeUpdate` hook on the object as it would be. The object that the hook returns is not stored: only
/// `beforeSave` may change a write.
async fn before_update(
    context: &Context,
    hooks: &WriteHooks,
    mut object: Document,
    update: &Update,
    columns: &[String],
) -> Result<(), CloudError> {
    update.apply(&mut object)?;
    hooks
        .before(context, HookKind::BeforeUpdate, object, columns.to_vec())
        .await
        .map(drop)
}

/// Reads the object of an update or delete hook; `None` if it is absent.
///
/// # Errors
/// 403 if the ACL forbids the write; 305 if its condition does not hold. The write itself checks both again.
async fn stored(
    context: &Context,
    hooks: &WriteHooks,
    id: &ObjectId,
    condition: Option<&Filter>,
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
    match condition {
        Some(condition) if !condition.matches(&object)? => {
            condition_reason::note(context, &hooks.class, id, Some(condition)).await;
            Err(no_effect())
        }
        _ => Ok(Some(object)),
    }
}

/// Returns the class of a new object: an existing class, or a new one if the caller may create it.
///
/// # Errors
/// 119.
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

/// True if the response is to hold the fields; the option has two spellings.
fn wants_fields(parameters: &Document) -> bool {
    flag(parameters, "fetchWhenSave") || flag(parameters, "new")
}
