//! Subqueries and relations inside a filter: they run first, and their ids or values take their places.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::slice;

use super::authorization::{self, Right};
use super::context::Context;
use super::error::read_failed;
use crate::model::filter::Subquery;
use crate::model::value::Kind;
use crate::model::{
    Class, ClassName, CloudError, ColumnType, Document, Filter, KeyPath, ObjectId, Pointer, Query, Schema,
    Test, Value,
};
use crate::store::Found;

/// Reads for the subqueries and relations of one request, so that a small body cannot keep the database busy for minutes.
const READS_MAX: usize = 100;

/// Runs the queries of one request.
pub(super) struct QueryRunner<'a> {
    context: &'a Context,
    schema: &'a Schema,
    reads_left: usize,
}

impl<'a> QueryRunner<'a> {
    pub(super) fn new(context: &'a Context, schema: &'a Schema) -> Self {
        Self {
            context,
            schema,
            reads_left: READS_MAX,
        }
    }

    /// Runs a query for the caller: checks the permission and hidden columns, runs the subqueries, applies ACLs.
    ///
    /// # Errors
    /// 403, 119, and those of the subqueries and the database.
    pub(super) async fn run(&mut self, class: &Class, query: Query) -> Result<Found, CloudError> {
        authorization::require(class, Right::Find, self.context.principal().await?)?;
        self.run_permitted(class, query).await
    }

    /// As [`QueryRunner::run`], whatever the permissions of the class say.
    ///
    /// # Errors
    /// As [`QueryRunner::run`].
    pub(super) async fn run_permitted(
        &mut self,
        class: &Class,
        mut query: Query,
    ) -> Result<Found, CloudError> {
        let principal = self.context.principal().await?;
        authorization::check_query(class, &query, principal)?;
        query.filter = self.filter(class, query.filter).await?;
        let found = self
            .context
            .database()
            .find_as(&class.name, &query, principal)
            .await;
        found.map_err(read_failed)
    }

    /// Returns the filter with the results of its subqueries and relations.
    ///
    /// # Errors
    /// Those of [`QueryRunner::run`]; 1 for `$nearSphere` on another column than one of points, and beyond 100 reads.
    pub(super) async fn filter(&mut self, class: &Class, filter: Filter) -> Result<Filter, CloudError> {
        check_near(class, &filter)?;
        if is_plain(class, &filter) {
            return Ok(filter);
        }
        self.rewrite(class, filter).await
    }

    fn rewrite<'s>(
        &'s mut self,
        class: &'s Class,
        filter: Filter,
    ) -> Pin<Box<dyn Future<Output = Result<Filter, CloudError>> + Send + 's>> {
        Box::pin(async move {
            Ok(match filter {
                Filter::And(parts) => Filter::And(self.rewrite_all(class, parts).await?),
                Filter::Or(parts) => Filter::Or(self.rewrite_all(class, parts).await?),
                Filter::Nor(parts) => Filter::Nor(self.rewrite_all(class, parts).await?),
                Filter::RelatedTo { object, key } => self.related(class, &object, &key).await?,
                Filter::Key(path, test) if is_relation(class, &path) => {
                    self.owners(class, path, test).await?
                }
                Filter::Key(path, test) => self.test(class, path, test).await?,
            })
        })
    }

    async fn rewrite_all(&mut self, class: &Class, parts: Vec<Filter>) -> Result<Vec<Filter>, CloudError> {
        let mut rewritten = Vec::with_capacity(parts.len());
        for part in parts {
            rewritten.push(self.rewrite(class, part).await?);
        }
        Ok(rewritten)
    }

    /// Rewrites a test of an ordinary column.
    async fn test(&mut self, class: &Class, path: KeyPath, test: Test) -> Result<Filter, CloudError> {
        let test = match test {
            Test::InQuery(subquery) => Test::In(self.pointers(*subquery).await?),
            Test::NotInQuery(subquery) => Test::Nin(self.pointers(*subquery).await?),
            Test::Select(subquery) => Test::In(self.values(*subquery).await?),
            Test::DontSelect(subquery) => Test::Nin(self.values(*subquery).await?),
            Test::Not(inner) => {
                let inner = self.rewrite(class, Filter::Key(path, *inner)).await?;
                return Ok(Filter::Nor(vec![inner]));
            }
            other => other,
        };
        Ok(Filter::Key(path, test))
    }

    /// Rewrites a test of a relation column, to the ids of the objects whose relation holds the targets.
    async fn owners(&mut self, class: &Class, path: KeyPath, test: Test) -> Result<Filter, CloudError> {
        let (targets, wanted) = match test {
            Test::All(targets) if !targets.is_empty() => {
                return self.owners_of_all(class, &path, targets).await;
            }
            Test::Eq(target) => (vec![target], true),
            Test::Ne(target) => (vec![target], false),
            Test::In(targets) => (targets, true),
            Test::Nin(targets) => (targets, false),
            Test::InQuery(subquery) => (self.pointers(*subquery).await?, true),
            Test::NotInQuery(subquery) => (self.pointers(*subquery).await?, false),
            Test::Not(inner) => {
                let inner = self.rewrite(class, Filter::Key(path, *inner)).await?;
                return Ok(Filter::Nor(vec![inner]));
            }
            // Every object has the column, even with an empty relation.
            Test::Exists(there) if there => return Ok(Filter::all()),
            _ => return Ok(Filter::Nor(vec![Filter::all()])),
        };
        let owners = self.owners_of_any(class, &path, &targets).await?;
        let ids = owners.iter().map(id_value).collect();
        let test = if wanted { Test::In(ids) } else { Test::Nin(ids) };
        Ok(Filter::Key(KeyPath::new("objectId"), test))
    }

    /// Rewrites `$all` on a relation column.
    async fn owners_of_all(
        &mut self,
        class: &Class,
        path: &KeyPath,
        targets: Vec<Value>,
    ) -> Result<Filter, CloudError> {
        let mut common: Option<BTreeSet<ObjectId>> = None;
        for target in &targets {
            let owners = self.owners_of_any(class, path, slice::from_ref(target)).await?;
            let owners: BTreeSet<ObjectId> = owners.into_iter().collect();
            common = Some(match common {
                Some(common) => common.intersection(&owners).cloned().collect(),
                None => owners,
            });
        }
        let ids = common.unwrap_or_default().iter().map(id_value).collect();
        Ok(Filter::Key(KeyPath::new("objectId"), Test::In(ids)))
    }

    /// Returns the objects whose relation holds one of the targets, with one read.
    async fn owners_of_any(
        &mut self,
        class: &Class,
        path: &KeyPath,
        targets: &[Value],
    ) -> Result<Vec<ObjectId>, CloudError> {
        // A relation holds pointers only.
        let targets: Vec<Pointer> = targets.iter().filter_map(target_of).collect();
        if targets.is_empty() {
            return Ok(Vec::new());
        }
        self.spend_read()?;
        let owners = self
            .context
            .database()
            .owners(&class.name, path.column(), &targets)
            .await;
        owners.map_err(read_failed)
    }

    /// Rewrites `$relatedTo`: the objects of `class` in a relation of an object that the caller may read.
    async fn related(&mut self, class: &Class, owner: &Pointer, key: &str) -> Result<Filter, CloudError> {
        let database = self.context.database();
        let principal = self.context.principal().await?;
        self.spend_read()?;
        let owner_class = self.schema.classes.get(&owner.class_name);
        let readable = match owner_class {
            None => false,
            Some(_) if principal.is_master() => true,
            Some(owner_class) => {
                authorization::require(owner_class, Right::Get, principal)?;
                authorization::check_key(owner_class, &KeyPath::new(key), principal)?;
                let owner = database
                    .get_as(&owner.class_name, &owner.object_id, principal)
                    .await;
                owner.map_err(read_failed)?.is_some()
            }
        };
        let targets = if readable {
            database.related(owner, key).await.map_err(read_failed)?
        } else {
            Vec::new()
        };
        let ids = targets
            .iter()
            .filter(|target| target.class_name == class.name)
            .map(|target| id_value(&target.object_id))
            .collect();
        Ok(Filter::Key(KeyPath::new("objectId"), Test::In(ids)))
    }

    /// Returns the results of a subquery as pointers.
    async fn pointers(&mut self, subquery: Subquery) -> Result<Vec<Value>, CloudError> {
        let class = subquery.class.clone();
        let rows = self.subquery(subquery).await?;
        let ids = rows.iter().filter_map(Document::object_id);
        Ok(ids.map(|object_id| pointer_to(&class, object_id)).collect())
    }

    /// Returns the values of the field that `$select` names.
    async fn values(&mut self, subquery: Subquery) -> Result<Vec<Value>, CloudError> {
        let Some(path) = subquery.key.as_deref().map(KeyPath::new) else {
            return Ok(Vec::new());
        };
        if let Some(class) = self.schema.classes.get(&subquery.class) {
            authorization::check_key(class, &path, self.context.principal().await?)?;
        }
        let rows = self.subquery(subquery).await?;
        Ok(rows.iter().filter_map(|row| value_at(row, &path)).collect())
    }

    async fn subquery(&mut self, subquery: Subquery) -> Result<Vec<Document>, CloudError> {
        self.spend_read()?;
        let Some(class) = self.schema.classes.get(&subquery.class) else {
            return Ok(Vec::new());
        };
        // Boxed, because a subquery may hold another one.
        let found: Pin<Box<dyn Future<Output = Result<Found, CloudError>> + Send + '_>> =
            Box::pin(self.run(class, subquery.query));
        Ok(found.await?.results)
    }

    fn spend_read(&mut self) -> Result<(), CloudError> {
        self.reads_left = self.reads_left.checked_sub(1).ok_or_else(|| {
            CloudError::other(format!(
                "More than {READS_MAX} subqueries and relations in one request."
            ))
        })?;
        Ok(())
    }
}

/// Checks `$nearSphere`: only a column of points has its index.
///
/// # Errors
/// Code 1 for a column of another type.
fn check_near(class: &Class, filter: &Filter) -> Result<(), CloudError> {
    fn is_near(test: &Test) -> bool {
        match test {
            Test::Geo(bounds) => bounds.get("$nearSphere").is_some(),
            Test::Not(inner) => is_near(inner),
            _ => false,
        }
    }
    match filter {
        Filter::And(parts) | Filter::Or(parts) | Filter::Nor(parts) => {
            parts.iter().try_for_each(|part| check_near(class, part))
        }
        Filter::Key(path, test) if is_near(test) => match class.columns.get(path.column()) {
            Some(column) if column.column_type != ColumnType::GeoPoint => Err(CloudError::other(format!(
                "can't find any special indices: 2d (needs index), 2dsphere (needs index), for {path}"
            ))),
            _ => Ok(()),
        },
        Filter::Key(..) | Filter::RelatedTo { .. } => Ok(()),
    }
}

/// True if a filter needs no read before it can be evaluated.
pub(super) fn is_plain(class: &Class, filter: &Filter) -> bool {
    match filter {
        Filter::And(parts) | Filter::Or(parts) | Filter::Nor(parts) => {
            parts.iter().all(|part| is_plain(class, part))
        }
        Filter::Key(path, test) => !is_relation(class, path) && is_plain_test(test),
        Filter::RelatedTo { .. } => false,
    }
}

fn is_plain_test(test: &Test) -> bool {
    match test {
        Test::Not(inner) => is_plain_test(inner),
        Test::InQuery(_) | Test::NotInQuery(_) | Test::Select(_) | Test::DontSelect(_) => false,
        _ => true,
    }
}

fn is_relation(class: &Class, path: &KeyPath) -> bool {
    let column = class.columns.get(path.as_str());
    column.is_some_and(|column| matches!(column.column_type, ColumnType::Relation { .. }))
}

fn id_value(id: &ObjectId) -> Value {
    Value::String(id.to_string())
}

fn pointer_to(class: &ClassName, object_id: ObjectId) -> Value {
    let class_name = class.clone();
    Pointer {
        class_name,
        object_id,
    }
    .to_value()
}

/// The pointer of a value, as relations hold it. Reading the filter has made a pointer to `_File` a file.
fn target_of(value: &Value) -> Option<Pointer> {
    match Kind::of(value) {
        Kind::File(id) => Some(Pointer {
            class_name: ClassName::file(),
            object_id: ObjectId::parse(id).ok()?,
        }),
        _ => Pointer::parse(value).ok(),
    }
}

/// The value at the path; arrays are not searched.
pub(super) fn value_at(document: &Document, path: &KeyPath) -> Option<Value> {
    let mut parts = path.parts();
    let mut value = document.get(parts.next()?)?;
    for part in parts {
        value = value.get(part)?;
    }
    Some(value.clone())
}
