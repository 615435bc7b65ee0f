//! Permissions on every path: all combinations, generated, against rules that are written here a second time.
//!
//! The rules use no code of the server: a caller has a right if a key of an ACL or of a class permission is the caller's;
//! the master key has all rights.

use std::collections::BTreeSet;

use paylog::model::{ClassName, ClassPermissions, Column, ColumnType, ObjectId, Permission, SchemaChange};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::support::{Answer, As, TestServer, pointer, start};

/// The callers.
const CALLERS: [Caller; 6] = [
    Caller::Anonymous,
    Caller::Owner,
    Caller::Stranger,
    Caller::Member,
    Caller::ChildMember,
    Caller::Master,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Caller {
    Anonymous,
    /// Named by their id.
    Owner,
    Stranger,
    /// In the role that is named.
    Member,
    /// In a role that is a child of it.
    ChildMember,
    Master,
}

/// The subjects that an ACL or a class permission can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    Everyone,
    Owner,
    Role,
}

impl Caller {
    fn is(self, named: Named) -> bool {
        match named {
            Named::Everyone => true,
            Named::Owner => self == Self::Owner,
            Named::Role => matches!(self, Self::Member | Self::ChildMember),
        }
    }
}

struct World {
    server: TestServer,
    owner: String,
    sessions: Vec<(Caller, String)>,
}

impl World {
    async fn new() -> Self {
        let server = start().await;
        let mut sessions = Vec::new();
        let mut ids = Vec::new();
        for caller in [
            Caller::Owner,
            Caller::Stranger,
            Caller::Member,
            Caller::ChildMember,
        ] {
            let (id, token) = server.sign_up(&format!("{caller:?}")).await;
            sessions.push((caller, token));
            ids.push(id);
        }
        let [owner, _, member, child] = ids.try_into().unwrap();
        let add = |class: &str, id: &str| json!({"__op": "AddRelation", "objects": [pointer(class, id)]});
        let public = json!({"*": {"read": true}});
        let junior = json!({"name": "junior", "ACL": public, "users": add("_User", &child)});
        let junior = server.post(&As::master(), "/roles", junior).await.id();
        let role = json!({"name": "staff", "ACL": public, "users": add("_User", &member), "roles": add("_Role", &junior)});
        server.post(&As::master(), "/roles", role).await.id();
        Self {
            server,
            owner,
            sessions,
        }
    }

    fn caller(&self, caller: Caller) -> As {
        match caller {
            Caller::Anonymous => As::client(),
            Caller::Master => As::master(),
            _ => {
                let session = self.sessions.iter().find(|(of, _)| *of == caller);
                As::user(&session.unwrap().1)
            }
        }
    }

    fn acl_key(&self, named: Named) -> String {
        match named {
            Named::Everyone => "*".to_owned(),
            Named::Owner => self.owner.clone(),
            Named::Role => "role:staff".to_owned(),
        }
    }

    async fn find(&self, caller: Caller, class: &str, query: &[(&str, String)]) -> Answer {
        let query: Vec<(&str, &str)> = query
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let path = format!("/classes/{class}");
        self.server.get(&self.caller(caller), &path, &query).await
    }

    async fn batch(&self, caller: Caller, requests: Value) -> Vec<Value> {
        let body = json!({"requests": requests});
        let answer = self.server.post(&self.caller(caller), "/batch", body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body.as_array().unwrap().clone()
    }
}

/// The grants of an ACL; `None` for an object without an ACL.
type Grants = Option<Vec<(Named, [Option<bool>; 2])>>;

/// An object and the grants of its ACL.
struct Guarded {
    id: String,
    n: usize,
    grants: Grants,
}

impl Guarded {
    fn may(&self, caller: Caller, right: usize) -> bool {
        let Some(grants) = &self.grants else { return true };
        caller == Caller::Master
            || grants
                .iter()
                .any(|(named, rights)| caller.is(*named) && rights[right] == Some(true))
    }
}

const READ: usize = 0;
const WRITE: usize = 1;

/// All combinations of rights for everyone, one user and one role; and no ACL.
fn all_grants() -> Vec<Grants> {
    let rights = [
        [None, None],
        [Some(true), None],
        [None, Some(true)],
        [Some(true), Some(true)],
        [Some(false), Some(false)],
    ];
    let mut all = vec![None];
    for everyone in rights {
        for owner in rights {
            for role in rights {
                all.push(Some(vec![
                    (Named::Everyone, everyone),
                    (Named::Owner, owner),
                    (Named::Role, role),
                ]));
            }
        }
    }
    all
}

fn acl_of(world: &World, grants: &Grants) -> Option<Value> {
    let entries = grants
        .as_ref()?
        .iter()
        .filter(|(_, rights)| *rights != [None, None]);
    let entries = entries.map(|(named, rights)| {
        let rights: Map<String, Value> = ["read", "write"]
            .iter()
            .zip(rights)
            .filter_map(|(name, right)| Some(((*name).to_owned(), Value::Bool((*right)?))))
            .collect();
        (world.acl_key(*named), Value::Object(rights))
    });
    Some(Value::Object(entries.collect()))
}

/// An object for each combination of grants; for each a public object that points to it; and one object with all of them in
/// a relation.
async fn guarded_objects(world: &World) -> (Vec<Guarded>, String) {
    let mut objects = Vec::new();
    for (n, grants) in all_grants().into_iter().enumerate() {
        let longitude = f64::from(u16::try_from(n).unwrap()) / 100.0;
        let at = json!({"__type": "GeoPoint", "latitude": 10.0, "longitude": longitude});
        let mut body = json!({"n": n, "at": at, "tag": format!("tag {n}")});
        if let Some(acl) = acl_of(world, &grants) {
            body["ACL"] = acl;
        }
        let id = world.server.create(&As::master(), "Guarded", body).await;
        let open = json!({"n": n, "to": pointer("Guarded", &id), "all": [pointer("Guarded", &id)], "tag": format!("tag {n}")});
        world.server.create(&As::master(), "Open", open).await;
        objects.push(Guarded { id, n, grants });
    }
    let pointers: Vec<Value> = objects
        .iter()
        .map(|object| pointer("Guarded", &object.id))
        .collect();
    let list = json!({"members": {"__op": "AddRelation", "objects": pointers}});
    let list = world.server.create(&As::master(), "List", list).await;
    (objects, list)
}

fn numbers(rows: &[Value]) -> BTreeSet<usize> {
    let number = |row: &Value| usize::try_from(row["n"].as_u64().unwrap()).unwrap();
    rows.iter().map(number).collect()
}

/// The ways to read many objects at once, each with the numbers of the objects that it returns.
async fn seen_by_path(
    world: &World,
    caller: Caller,
    objects: &[Guarded],
    list: &str,
) -> Vec<(&'static str, BTreeSet<usize>)> {
    let all = ("limit", "1000".to_owned());
    let condition = |value: Value| ("where", value.to_string());
    let rows = |answer: Answer| -> Vec<Value> {
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body["results"].as_array().unwrap().clone()
    };
    let mut seen = Vec::new();
    let guarded =
        |query: Vec<(&'static str, String)>| async move { rows(world.find(caller, "Guarded", &query).await) };
    seen.push(("find", numbers(&guarded(vec![all.clone()]).await)));
    seen.push((
        "find in order",
        numbers(&guarded(vec![all.clone(), ("order", "-createdAt".to_owned())]).await),
    ));
    let ids: Vec<&str> = objects.iter().map(|object| object.id.as_str()).collect();
    let by_ids = condition(json!({"objectId": {"$in": ids}}));
    seen.push(("find by ids", numbers(&guarded(vec![all.clone(), by_ids]).await)));
    let centre = json!({"__type": "GeoPoint", "latitude": 10.0, "longitude": 0.0});
    let near = condition(json!({"at": {"$nearSphere": centre}}));
    seen.push(("near", numbers(&guarded(vec![all.clone(), near]).await)));
    let related = condition(json!({"$relatedTo": {"object": pointer("List", list), "key": "members"}}));
    seen.push(("relation", numbers(&guarded(vec![all.clone(), related]).await)));
    let parameters = json!({"where": {}, "limit": 1000});
    let in_batch = json!([{"method": "GET", "path": "/1.1/classes/Guarded", "params": parameters}]);
    let in_batch = world.batch(caller, in_batch).await;
    seen.push((
        "find in a batch",
        numbers(in_batch[0]["success"]["results"].as_array().unwrap()),
    ));

    let open =
        |query: Vec<(&'static str, String)>| async move { rows(world.find(caller, "Open", &query).await) };
    let inner = json!({"className": "Guarded", "where": {}, "limit": 1000});
    let subquery = condition(json!({"to": {"$inQuery": inner}}));
    seen.push(("subquery", numbers(&open(vec![all.clone(), subquery]).await)));
    let outside = condition(json!({"to": {"$notInQuery": inner}}));
    let unseen = numbers(&open(vec![all.clone(), outside]).await);
    seen.push((
        "negative subquery",
        objects
            .iter()
            .map(|object| object.n)
            .filter(|n| !unseen.contains(n))
            .collect(),
    ));
    let select = condition(json!({"tag": {"$select": {"query": inner, "key": "tag"}}}));
    seen.push(("select", numbers(&open(vec![all.clone(), select]).await)));
    let expanded = |rows: Vec<Value>, at: fn(&Value) -> &Value| -> BTreeSet<usize> {
        let expanded: Vec<Value> = rows
            .iter()
            .filter(|row| at(row).get("n").is_some())
            .cloned()
            .collect();
        numbers(&expanded)
    };
    let included = open(vec![all.clone(), ("include", "to".to_owned())]).await;
    seen.push(("include", expanded(included, |row| &row["to"])));
    let included = open(vec![all.clone(), ("include", "all".to_owned())]).await;
    seen.push(("include in an array", expanded(included, |row| &row["all"][0])));

    let gets: Vec<Value> = ids
        .iter()
        .map(|id| json!({"method": "GET", "path": format!("/1.1/classes/Guarded/{id}")}))
        .collect();
    let gets = world.batch(caller, gets.into()).await;
    let got: Vec<Value> = gets
        .iter()
        .map(|answer| answer["success"].clone())
        .filter(|row| !row.is_null())
        .collect();
    seen.push(("get in a batch", numbers(&got)));
    seen
}

// compat: acl.read acl.write acl.absent acl.false acl.empty acl.paths role.inheritance wire.master
#[tokio::test]
async fn acl_holds_on_every_path() {
    let world = World::new().await;
    let (objects, list) = guarded_objects(&world).await;
    for caller in CALLERS {
        let expected: BTreeSet<usize> = objects
            .iter()
            .filter(|object| object.may(caller, READ))
            .map(|object| object.n)
            .collect();
        for (path, seen) in seen_by_path(&world, caller, &objects, &list).await {
            assert_eq!(seen, expected, "{path} by {caller:?}");
        }
        let counted = world
            .find(
                caller,
                "Guarded",
                &[("count", "1".to_owned()), ("limit", "0".to_owned())],
            )
            .await;
        assert_eq!(counted.body["count"], expected.len(), "count by {caller:?}");
        let scan = world
            .server
            .get(&world.caller(caller), "/scan/classes/Guarded", &[])
            .await;
        assert_eq!(
            scan.status,
            if caller == Caller::Master { 200 } else { 400 },
            "scan by {caller:?}"
        );
    }
    for caller in CALLERS {
        let puts = |parameters: Value| -> Value {
            let put = |object: &Guarded| {
                let path = format!("/1.1/classes/Guarded/{}", object.id);
                json!({"method": "PUT", "path": path, "body": {"touched": 1}, "params": parameters})
            };
            objects.iter().map(put).collect::<Vec<_>>().into()
        };
        for parameters in [json!({}), json!({"where": {"n": {"$gte": 0}}})] {
            let answers = world.batch(caller, puts(parameters)).await;
            for (object, answer) in objects.iter().zip(answers) {
                let may = object.may(caller, WRITE);
                assert_eq!(
                    answer.get("success").is_some(),
                    may,
                    "{:?} by {caller:?}: {answer}",
                    object.grants
                );
            }
        }
        // On their own, a third of them for each caller: all would take long.
        for object in objects
            .iter()
            .filter(|object| (object.n + caller as usize).is_multiple_of(3))
        {
            one_object(&world, caller, object).await;
        }
    }
    let deletes: Vec<Value> = objects
        .iter()
        .map(|object| json!({"method": "DELETE", "path": format!("/1.1/classes/Guarded/{}", object.id)}))
        .collect();
    // Who may write may delete; the master key comes last, for the rest.
    let mut left: BTreeSet<usize> = objects.iter().map(|object| object.n).collect();
    for caller in CALLERS {
        let answers = world.batch(caller, deletes.clone().into()).await;
        for (object, answer) in objects.iter().zip(answers) {
            let may = object.may(caller, WRITE) || !left.contains(&object.n);
            assert_eq!(
                answer.get("success").is_some(),
                may,
                "delete of {:?} by {caller:?}: {answer}",
                object.grants
            );
            if may {
                left.remove(&object.n);
            }
        }
    }
    assert!(left.is_empty());
}

/// Reading and writing one object.
async fn one_object(world: &World, caller: Caller, object: &Guarded) {
    let path = format!("/classes/Guarded/{}", object.id);
    let who = world.caller(caller);
    let what = format!("{:?} by {caller:?}", object.grants);
    let got = world.server.get(&who, &path, &[]).await;
    assert_eq!(
        got.body.get("n").is_some(),
        object.may(caller, READ),
        "get {what}"
    );
    let condition = json!({"n": object.n});
    let writes = [
        world.server.put(&who, &path, json!({"touched": 1})).await,
        world
            .server
            .put_where(&who, &path, condition, json!({"touched": 2}))
            .await,
    ];
    for write in writes {
        match object.may(caller, WRITE) {
            true => assert_eq!(write.status, 200, "{what}"),
            false => assert_eq!(write.error(), (403, 403), "{what}"),
        }
    }
}

/// The rights of a class, each with a request that needs it.
const RIGHTS: [&str; 6] = ["add_fields", "create", "delete", "find", "get", "update"];

/// The holders of a class permission.
const HOLDERS: [&str; 5] = ["public", "logged in", "a user", "a role", "nobody"];

fn holds(caller: Caller, holder: &str) -> bool {
    caller == Caller::Master
        || match holder {
            "public" => true,
            "logged in" => caller != Caller::Anonymous,
            "a user" => caller.is(Named::Owner),
            "a role" => caller.is(Named::Role),
            _ => false,
        }
}

fn permission(world: &World, holder: &str) -> Permission {
    match holder {
        "public" => Permission::Public,
        "logged in" => Permission::LoggedIn,
        "a user" => Permission::Named {
            users: vec![ObjectId::parse(&world.owner).unwrap()],
            roles: Vec::new(),
        },
        "a role" => Permission::Named {
            users: Vec::new(),
            roles: vec!["staff".to_owned()],
        },
        _ => Permission::MasterOnly,
    }
}

/// Requests that need a right of a class, in the form of a batch's requests.
fn requests(right: &str, class: &str, id: &str, fresh: &str) -> Vec<Value> {
    let (all, one) = (
        format!("/1.1/classes/{class}"),
        format!("/1.1/classes/{class}/{id}"),
    );
    let inner = json!({"className": class, "where": {}});
    let elsewhere = |condition: Value| json!({"method": "GET", "path": format!("/1.1/classes/Elsewhere{class}"), "params": {"where": condition}});
    match right {
        "create" => vec![json!({"method": "POST", "path": all, "body": {"n": 1}})],
        "add_fields" => vec![
            json!({"method": "POST", "path": all, "body": {(format!("{fresh}a")): 1}}),
            json!({"method": "PUT", "path": one, "body": {(format!("{fresh}b")): 1}}),
        ],
        "update" => vec![
            json!({"method": "PUT", "path": one, "body": {"n": 2}}),
            json!({"method": "PUT", "path": one, "body": {"n": 2}, "params": {"where": {}}}),
        ],
        "delete" => vec![json!({"method": "DELETE", "path": format!("{all}/absent")})],
        "get" => vec![json!({"method": "GET", "path": one})],
        _ => vec![
            json!({"method": "GET", "path": all}),
            json!({"method": "GET", "path": all, "params": {"where": {"n": 1}, "count": 1, "limit": 0}}),
            elsewhere(json!({"to": {"$inQuery": inner}})),
            elsewhere(json!({"n": {"$dontSelect": {"query": inner, "key": "n"}}})),
        ],
    }
}

/// The same request on its own.
async fn alone(world: &World, caller: Caller, request: &Value) -> Answer {
    let method: Method = request["method"].as_str().unwrap().parse().unwrap();
    let path = request["path"].as_str().unwrap().strip_prefix("/1.1").unwrap();
    let mut sent = world.server.request(&world.caller(caller), method, path);
    for (name, value) in request["params"].as_object().into_iter().flatten() {
        let text = if value.is_object() {
            value.to_string()
        } else {
            value.to_string().replace('"', "")
        };
        sent = sent.query(&[(name, text)]);
    }
    if let Some(body) = request.get("body") {
        sent = sent.json(body);
    }
    super::support::answer(sent).await
}

// compat: class_permissions class_permissions.paths
#[tokio::test]
async fn class_permission_holds_on_every_path() {
    let world = World::new().await;
    let mut made = 0;
    for right in RIGHTS {
        for (number, holder) in HOLDERS.into_iter().enumerate() {
            let class = format!("{}{number}", right.replace('_', ""));
            let id = world.server.create(&As::master(), &class, json!({"n": 1})).await;
            let elsewhere = format!("Elsewhere{class}");
            world
                .server
                .create(
                    &As::master(),
                    &elsewhere,
                    json!({"n": 1, "to": pointer(&class, &id)}),
                )
                .await;
            let mut permissions = ClassPermissions::public();
            let place = match right {
                "add_fields" => &mut permissions.add_fields,
                "create" => &mut permissions.create,
                "delete" => &mut permissions.delete,
                "find" => &mut permissions.find,
                "get" => &mut permissions.get,
                _ => &mut permissions.update,
            };
            *place = permission(&world, holder);
            let change = SchemaChange::SetPermissions(ClassName::parse(&class).unwrap(), permissions);
            world.server.database.define(change).await.unwrap();
            for caller in CALLERS {
                made += 1;
                let (may, what) = (
                    holds(caller, holder),
                    format!("{right} of {holder} by {caller:?}"),
                );
                for request in requests(right, &class, &id, &format!("fresh{made}")) {
                    let answer = alone(&world, caller, &request).await;
                    match may {
                        true => assert!(answer.status < 300, "{what}: {request} {answer:?}"),
                        false => {
                            assert_eq!(answer.error(), (403, 403), "{what}: {request}");
                            let text = format!("Forbidden to {right} by class permissions.");
                            assert_eq!(answer.body["error"], text);
                        }
                    }
                }
                for request in requests(right, &class, &id, &format!("again{made}")) {
                    let answer = world.batch(caller, json!([request])).await;
                    assert_eq!(
                        answer[0].get("success").is_some(),
                        may,
                        "{what} in a batch: {answer:?}"
                    );
                }
                if right == "get" {
                    let only = json!({"to": pointer(&class, &id)}).to_string();
                    let query = [("include", "to".to_owned()), ("where", only)];
                    let included = world.find(caller, &elsewhere, &query).await;
                    let expanded = included.body["results"][0]["to"].get("n").is_some();
                    assert_eq!(expanded, may, "include: {what}");
                }
            }
        }
    }
}

// compat: column.read_only column.hidden column.paths
#[tokio::test]
async fn read_only_and_hidden_columns_are_protected_on_every_path() {
    let world = World::new().await;
    let class = ClassName::parse("Account").unwrap();
    let guarded = |read_only, hidden| Column {
        read_only,
        hidden,
        ..Column::new(ColumnType::Number)
    };
    let id = world
        .server
        .create(&As::master(), "Account", json!({"n": 1}))
        .await;
    for (name, column) in [("fixed", guarded(true, false)), ("secret", guarded(false, true))] {
        let change = SchemaChange::SetColumn(class.clone(), name.to_owned(), column);
        world.server.database.define(change).await.unwrap();
    }
    let one = format!("/1.1/classes/Account/{id}");
    let set = json!([{"method": "PUT", "path": one, "body": {"fixed": 5, "secret": 7}}]);
    assert!(world.batch(Caller::Master, set).await[0].get("success").is_some());
    let to = json!({"n": 1, "to": pointer("Account", &id)});
    world.server.create(&As::master(), "Pointing", to).await;
    let inner = |condition: Value| json!({"className": "Account", "where": condition});
    for caller in CALLERS {
        let is_master = caller == Caller::Master;
        for (method, path, body) in [
            ("POST", "/1.1/classes/Account", json!({"fixed": 1})),
            ("PUT", one.as_str(), json!({"fixed": 5})),
            (
                "PUT",
                one.as_str(),
                json!({"fixed": {"__op": "Increment", "amount": 0}}),
            ),
            (
                "PUT",
                one.as_str(),
                json!({"n": 1, "fixed": {"__op": "BitAnd", "value": 5}}),
            ),
        ] {
            let request = json!({"method": method, "path": path, "body": body});
            let answer = alone(&world, caller, &request).await;
            match is_master {
                true => assert!(answer.status < 300, "{answer:?}"),
                false => assert_eq!(answer.error(), (400, 117), "{request} by {caller:?}"),
            }
            let answer = world.batch(caller, json!([request])).await;
            assert_eq!(
                answer[0].get("success").is_some(),
                is_master,
                "{caller:?}: {answer:?}"
            );
        }
        // Neither asked for, nor sorted by, nor found out.
        for request in [
            json!({"method": "GET", "path": "/1.1/classes/Account", "params": {"where": {"secret": 7}}}),
            json!({"method": "GET", "path": "/1.1/classes/Account", "params": {"where": {"$or": [{"secret": {"$gt": 1}}, {"n": 1}]}}}),
            json!({"method": "GET", "path": "/1.1/classes/Account", "params": {"order": "-secret"}}),
            json!({"method": "PUT", "path": one, "body": {"n": 1}, "params": {"where": {"secret": {"$exists": true}}}}),
            json!({"method": "GET", "path": "/1.1/classes/Pointing", "params": {"where": {"to": {"$inQuery": inner(json!({"secret": 7}))}}}}),
            json!({"method": "GET", "path": "/1.1/classes/Pointing", "params": {"where": {"n": {"$select": {"query": inner(json!({})), "key": "secret"}}}}}),
        ] {
            let answer = alone(&world, caller, &request).await;
            match is_master {
                true => assert!(answer.status < 300, "{request} {answer:?}"),
                false => assert_eq!(answer.error(), (403, 119), "{request} by {caller:?}"),
            }
        }
        let get = json!([
            {"method": "GET", "path": one},
            {"method": "GET", "path": one, "params": {"keys": "secret"}},
            {"method": "GET", "path": "/1.1/classes/Account", "params": {"where": {"objectId": id}}},
            {"method": "GET", "path": "/1.1/classes/Pointing", "params": {"include": "to"}},
            {"method": "PUT", "path": one, "body": {"secret": 7}, "params": {"fetchWhenSave": true}},
        ]);
        let answers = world.batch(caller, get).await;
        for (answer, shown) in answers.iter().zip([
            &answers[0]["success"],
            &answers[1]["success"],
            &answers[2]["success"]["results"][0],
            &answers[3]["success"]["results"][0]["to"],
            &answers[4]["success"],
        ]) {
            assert_eq!(shown.get("secret").is_some(), is_master, "{caller:?}: {answer}");
        }
    }
}

// compat: user.owner_rules user.owner_rules.paths
#[tokio::test]
async fn user_is_written_by_owner_alone_on_every_path() {
    let world = World::new().await;
    // Neither an ACL that lets everybody write nor one that lets nobody says anything about users.
    for acl in [
        json!({"*": {"read": true, "write": true}}),
        json!({}),
        json!({"role:staff": {"write": true}}),
    ] {
        let path = format!("/users/{}", world.owner);
        let set = world.server.put(&As::master(), &path, json!({"ACL": acl})).await;
        assert_eq!(set.status, 200, "{set:?}");
        for caller in CALLERS {
            let may = matches!(caller, Caller::Owner | Caller::Master);
            for path in [path.clone(), format!("/classes/_User/{}", world.owner)] {
                let request =
                    json!({"method": "PUT", "path": format!("/1.1{path}"), "body": {"nickname": "x"}});
                let answer = alone(&world, caller, &request).await;
                match may {
                    true => assert_eq!(answer.status, 200, "{answer:?}"),
                    false => assert_eq!(answer.error(), (403, 206), "{caller:?}"),
                }
                let answer = world.batch(caller, json!([request])).await;
                assert_eq!(answer[0].get("success").is_some(), may, "{caller:?} {answer:?}");
                if !may {
                    let delete = json!({"method": "DELETE", "path": format!("/1.1{path}")});
                    assert_eq!(
                        alone(&world, caller, &delete).await.error(),
                        (403, 206),
                        "{caller:?}"
                    );
                }
            }
            let all = world.find(caller, "_User", &[]).await;
            assert_eq!(
                all.status,
                if caller == Caller::Master { 200 } else { 403 },
                "{caller:?}"
            );
        }
    }
}
