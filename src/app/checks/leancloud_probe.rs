//! The check of LeanCloud's storage service, by requests that it must refuse: its API shows neither indexes nor
//! permissions.

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::finding::Finding;
use crate::client::{Client, ClientError, WriteOptions};
use crate::environment::Environment;
use crate::model::{ClassName, Document, ErrorCode, Filter, HookKind, ObjectId, Query, Update, Value};
use crate::payment::PaymentConfig;
use crate::payment::protocol::log::fields;
use crate::payment::protocol::mark;
use crate::store::{Store, Write, WriteOutcome};

/// An id that no object has: well-formed, with a time before LeanCloud existed.
const NOBODY: &str = "000000000000000000000000";

/// Result of the probe.
#[derive(Debug)]
pub(crate) struct Probed {
    pub(crate) findings: Vec<Finding>,
    /// True if conditions inside a batch are honoured; batches of the payment flow rely on that.
    pub(crate) guarded_batches: bool,
}

/// Probes every index and permission that money depends on.
///
/// # Errors
/// A service that cannot be reached, or that refuses the keys.
pub(crate) async fn check(
    client: &Client,
    config: &PaymentConfig,
    environment: &Environment,
) -> Result<Probed> {
    let probe = Probe {
        store: client,
        master: client.as_master()?,
        client: client.log_out(),
        config,
        run: environment.random_text(12),
    };
    let mut findings = Vec::new();
    for class in [&config.log_class, &config.order_class] {
        probe.permissions(class, true, &mut findings).await?;
    }
    probe
        .permissions(&config.product_class, false, &mut findings)
        .await?;
    probe.money_columns(&mut findings).await?;
    probe.user_deletion(&mut findings).await?;
    let guarded_batches = probe.indexes(&mut findings).await?;
    Ok(Probed {
        findings,
        guarded_batches,
    })
}

struct Probe<'a> {
    /// With the master key, without hooks.
    store: &'a Client,
    master: Client,
    /// With the app key alone, as any client.
    client: Client,
    config: &'a PaymentConfig,
    /// Marks the objects of this run.
    run: String,
}

/// Result of a client's write.
enum ClientWrite {
    Forbidden,
    /// The object that it created, if it created one.
    Allowed(Option<ObjectId>),
}

impl Probe<'_> {
    async fn permissions(
        &self,
        class: &ClassName,
        find_too: bool,
        findings: &mut Vec<Finding>,
    ) -> Result<()> {
        let nobody = ObjectId::parse(NOBODY).map_err(anyhow::Error::new)?;
        let objects = self.client.objects(class);
        let created = objects
            .create(&self.harmless("permission"), WriteOptions::new())
            .await;
        let updated = objects
            .update(&nobody, &Update::new().set("probe", 1), WriteOptions::new())
            .await;
        let deleted = objects.delete(&nobody, WriteOptions::new()).await;
        let mut allowed = Vec::new();
        for (right, outcome) in [("create", created), ("update", updated), ("delete", deleted)] {
            if let ClientWrite::Allowed(made) = received(&outcome, right, class)? {
                allowed.push(right);
                if let Some(id) = made {
                    self.remove(class, &id).await;
                }
            }
        }
        if find_too {
            match objects.query(&Query::new(Filter::all()).limit(1)).await {
                Ok(_) => allowed.push("find"),
                Err(error) if is_forbidden(&error) => {}
                // No object has been stored yet, so there is no class.
                Err(error) if error.code() == Some(ErrorCode::NOT_FOUND) => allowed.push("find"),
                Err(error) => {
                    return Err(error).with_context(|| format!("class {class} could not be queried"));
                }
            }
        }
        if !allowed.is_empty() {
            findings.push(Finding::money_at_risk(
                format!("clients hold permissions of class {class}: {}", allowed.join(", ")),
                format!(
                    "in LeanCloud's console, under Data Storage, {class}, Permissions: make the class if it is not \
                     there, and let nobody ({}) but the master key",
                    allowed.join(", ")
                ),
            ));
        }
        Ok(())
    }

    /// Probes the money columns by signing up with money. A refused sign-up creates no user.
    async fn money_columns(&self, findings: &mut Vec<Finding>) -> Result<()> {
        let columns = [
            (self.config.account_field.as_str(), json!(1)),
            (self.config.frozen_field.as_str(), json!(1)),
            (mark::PAYLOGS, json!(["probe"])),
            (mark::PAY_EPOCH, json!(1)),
        ];
        for (column, value) in columns {
            let name = format!("paylog-doctor-{}-{column}", self.run);
            let mut fields = Document::new();
            fields.insert(column.to_owned(), value);
            match self.client.sign_up(&name, self.run.clone(), fields).await {
                Err(ClientError::Rejected { error, .. })
                    if [ErrorCode::KEY_READ_ONLY, ErrorCode::HOOK_REFUSED].contains(&error.code) => {}
                Err(error @ ClientError::Rejected { .. }) if is_forbidden(&error) => {}
                Err(error) => {
                    return Err(error)
                        .with_context(|| format!("cannot determine if clients may write \"{column}\""));
                }
                Ok(session) => {
                    if let Some(id) = session.user.object_id() {
                        self.remove(&self.config.user_class, &id).await;
                    }
                    findings.push(Finding::money_at_risk(
                        format!(
                            "clients may write the column \"{column}\" of class {}",
                            self.config.user_class
                        ),
                        format!(
                            "in LeanCloud's console, under Data Storage, {}: edit the column \"{column}\" (add it if \
                             it is not there, without a default value) and make it read-only for clients",
                            self.config.user_class
                        ),
                    ));
                }
            }
        }
        Ok(())
    }

    /// Probes the permission of users to delete themselves, money and all.
    async fn user_deletion(&self, findings: &mut Vec<Finding>) -> Result<()> {
        let class = &self.config.user_class;
        let name = format!("paylog-doctor-{}", self.run);
        let signed_up = self
            .client
            .sign_up(&name, self.run.clone(), Document::new())
            .await;
        let session = match signed_up {
            Ok(session) => session,
            Err(ClientError::Rejected { error, .. }) => {
                findings.push(Finding::warning(
                    format!(
                        "cannot determine if users may delete themselves: no user can sign up ({error})"
                    ),
                    format!(
                        "check the permission \"delete\" of class {class}: it must be for the master key alone"
                    ),
                ));
                return Ok(());
            }
            Err(error) => {
                return Err(error).context("cannot determine if users may delete themselves");
            }
        };
        let id = session.user.object_id().context("a new user has no id")?;
        let user = session.client(&self.client);
        let deleted = user.objects(class).delete(&id, WriteOptions::new()).await;
        let reception = received(&deleted, "delete", class);
        if !matches!(deleted, WriteOutcome::Applied(_)) {
            self.remove(class, &id).await;
        }
        if let ClientWrite::Allowed(_) = reception? {
            findings.push(Finding::money_at_risk(
                format!("users may delete themselves, money and all (class {class})"),
                format!(
                    "in LeanCloud's console, under Data Storage, {class}, Permissions: let nobody delete but the \
                     master key"
                ),
            ));
        }
        Ok(())
    }

    /// Probes each unique index by storing one value twice. Also sends, since objects are at hand, a batched write whose
    /// condition cannot hold; returns true if that write had no effect.
    async fn indexes(&self, findings: &mut Vec<Finding>) -> Result<bool> {
        let log = &self.config.log_class;
        let order = &self.config.order_class;
        let first = self
            .make(log, &[fields::KEY, fields::REQUEST_KEY, fields::NUMBER], "first")
            .await?;
        let guarded_batches = self.is_guarded_in_a_batch(log, &first).await;
        let mut made = vec![(log, first)];
        made.push((order, self.make(order, &["number", "key"], "first").await?));
        let result = self.second_values(&mut made, findings).await;
        for (class, id) in made {
            self.remove(class, &id).await;
        }
        result?;
        guarded_batches
    }

    async fn second_values<'c>(
        &'c self,
        made: &mut Vec<(&'c ClassName, ObjectId)>,
        findings: &mut Vec<Finding>,
    ) -> Result<()> {
        let log = &self.config.log_class;
        let order = &self.config.order_class;
        for (class, keys, column) in [
            (log, &[fields::KEY][..], fields::KEY),
            (log, &[fields::REQUEST_KEY], fields::REQUEST_KEY),
            (log, &[fields::NUMBER], fields::NUMBER),
            (order, &["number"], "number"),
            (order, &["key"], "key"),
        ] {
            // Only this one column repeats a value of the first object's.
            let fields = self.probe_fields(class, keys, &format!("second-{column}"), Some(column));
            match self.store.write(Write::create(class, fields)).await {
                WriteOutcome::Rejected(error) if error.code == ErrorCode::DUPLICATE_VALUE => {}
                WriteOutcome::Applied(written) => {
                    made.extend(written.object_id.map(|id| (class, id)));
                    findings.push(Finding::money_at_risk(
                        format!("class {class} stores one value of \"{column}\" twice"),
                        format!(
                            "in LeanCloud's console, under Data Storage, {class}, Performance and index: add a unique \
                             index over \"{column}\", with missing values allowed (sparse) unless it is \"key\""
                        ),
                    ));
                }
                other => bail!("cannot determine if \"{column}\" of class {class} is unique: {other:?}"),
            }
        }
        Ok(())
    }

    async fn is_guarded_in_a_batch(&self, class: &ClassName, id: &ObjectId) -> Result<bool> {
        let never = Filter::all().eq(fields::STATE, -1);
        let write = Write::update(class, id, never, Update::new().set("probe", 1));
        match self.store.batch(vec![write]).await.pop() {
            Some(WriteOutcome::NotMatched) => Ok(true),
            Some(WriteOutcome::Applied(_)) => Ok(false),
            other => bail!("cannot determine if conditions apply inside a batch: {other:?}"),
        }
    }

    async fn make(&self, class: &ClassName, columns: &[&str], name: &str) -> Result<ObjectId> {
        let fields = self.probe_fields(class, columns, name, None);
        match self.store.write(Write::create(class, fields)).await {
            WriteOutcome::Applied(written) => written.object_id.context("a new object has no id"),
            other => bail!("no object of class {class} could be created with the master key: {other:?}"),
        }
    }

    /// A harmless object with its own value in each of `columns`, except `repeated`, which has the first object's.
    fn probe_fields(
        &self,
        class: &ClassName,
        columns: &[&str],
        name: &str,
        repeated: Option<&str>,
    ) -> Update {
        let mut fields = self.harmless(name);
        for column in columns {
            let name = if repeated == Some(*column) { "first" } else { name };
            fields = fields.set(
                column,
                Value::from(format!("probe:{}:{class}:{column}:{name}", self.run)),
            );
        }
        fields
    }

    /// Fields of a failed payment of nothing: should the object stay behind, no worker takes it up.
    fn harmless(&self, name: &str) -> Update {
        Update::new()
            .set(fields::KEY, Value::from(format!("probe:{}:{name}", self.run)))
            .set(fields::KIND, "adjust")
            .set(fields::STATE, 5)
            .set(fields::OUTCOME, "failed")
            .set(fields::REASON, "probe")
            .set("status", "cancelled")
            .set(fields::LEGS, json!([]))
            .set(fields::USER, json!({"__type": "Pointer", "className": self.config.user_class.as_str(), "objectId": NOBODY}))
            .set("ACL", json!({}))
    }

    async fn remove(&self, class: &ClassName, id: &ObjectId) {
        let options = WriteOptions::new().ignore_hooks(&HookKind::ALL);
        let outcome = self.master.objects(class).delete(id, options).await;
        if !matches!(outcome, WriteOutcome::Applied(_)) {
            tracing::warn!(class.name = %class, object.id = %id, ?outcome, "probe object not removed: delete it");
        }
    }
}

/// Classifies a client's write.
///
/// # Errors
/// Refused keys; an unknown outcome.
fn received(outcome: &WriteOutcome, right: &str, class: &ClassName) -> Result<ClientWrite> {
    match outcome {
        WriteOutcome::Rejected(error)
            if error.status == 403
                || [
                    ErrorCode::FORBIDDEN,
                    ErrorCode::OPERATION_FORBIDDEN,
                    ErrorCode::HOOK_REFUSED,
                ]
                .contains(&error.code) =>
        {
            Ok(ClientWrite::Forbidden)
        }
        WriteOutcome::Rejected(error) if error.code == ErrorCode::UNAUTHORIZED => {
            bail!("the service does not accept LEANCLOUD_APP_ID and LEANCLOUD_APP_KEY: {error}")
        }
        WriteOutcome::Applied(written) => Ok(ClientWrite::Allowed(written.object_id.clone())),
        // The permission was passed; there is only no such object.
        WriteOutcome::NotMatched | WriteOutcome::Rejected(_) if right != "create" => {
            Ok(ClientWrite::Allowed(None))
        }
        other => bail!("cannot determine if clients may {right} objects of class {class}: {other:?}"),
    }
}

fn is_forbidden(error: &ClientError) -> bool {
    matches!(error, ClientError::Rejected { error, .. } if error.status == 403 || error.code == ErrorCode::FORBIDDEN)
}
