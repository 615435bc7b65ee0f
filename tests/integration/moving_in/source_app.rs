//! The source app, on a paylog server in the role of LeanCloud: users, roles, ACLs, relations, places, files, third-party
//! logins, and payments, some of them interrupted.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use paylog::client::Client;
use paylog::environment::Environment;
use paylog::model::{ClassName, Filter, ObjectId, Query, Update};
use paylog::payment::gateway::Channel;
use paylog::payment::service::CallerKey;
use paylog::payment::{PaymentConfig, PaymentService};
use paylog::store::{Store, Write, WriteOutcome};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::hanging_store::HangingStore;
use super::sdk::Sdk;
use crate::support::program::{self, As, Server};

pub(super) const PASSWORD: &str = "correct horse";
pub(super) const FILE: &[u8] = b"the bytes of a picture";
/// Total balance of the users, which stays constant.
pub(super) const MONEY: i64 = 3 * EACH;
const EACH: i64 = 100_000;
const PRICE: i64 = 300;

/// A third-party login.
pub(super) static WEIXIN: std::sync::LazyLock<Value> =
    std::sync::LazyLock::new(|| json!({"openid": "o-1", "access_token": "t-1"}));

pub(super) struct User {
    pub(super) name: String,
    pub(super) id: ObjectId,
}

pub(super) struct SourceApp {
    /// Users with passwords; the first three have money.
    pub(super) users: Vec<User>,
    /// A user with a third-party login alone.
    pub(super) stranger: ObjectId,
    pub(super) file: String,
    pub(super) private_post: String,
    storage: Server,
    client: Client,
    data: PathBuf,
    _folder: TempDir,
}

impl SourceApp {
    pub(super) fn storage(&self) -> &Server {
        &self.storage
    }

    pub(super) fn data(&self) -> &Path {
        &self.data
    }

    /// A payment worker over the API.
    pub(super) fn worker(&self) -> PaymentService {
        PaymentService::new(Arc::new(self.client.clone()), Environment::system(), config())
    }

    /// Creates the app over the API.
    pub(super) async fn build() -> Self {
        let mut app = Self::empty().await;
        app.create_users().await;
        app.create_objects().await;
        app.create_payments().await;
        app
    }

    /// Creates the app with the official JavaScript SDK; returns also the description of its objects.
    pub(super) async fn build_with_sdk(sdk: &Sdk) -> (Self, Value) {
        let mut app = Self::empty().await;
        let built = sdk.run("build.js", &app.storage, &Value::Null).await;
        let built: Value = serde_json::from_str(&built).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        for user in built["users"].as_array().unwrap() {
            app.users.push(User {
                name: text(&user["name"]),
                id: id(&text(&user["id"])),
            });
        }
        app.stranger = id(&text(&built["stranger"]));
        app.file = text(&built["file"]);
        app.private_post = text(&built["privatePost"]);
        app.create_payments().await;
        (app, built)
    }

    async fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("old");
        // Creates the classes of the payments; afterwards this server does not work on them.
        assert!(Server::start(&data).await.stop().await.success());
        program::forget_names(&data).await;
        let mut command = program::serve(&data);
        command
            .env("PAYLOG_LOG_CLASS", "NobodysLog")
            .env("PAYLOG_ORDER_CLASS", "NobodysOrder");
        let storage = Server::started(program::launch(&mut command), &data).await;
        let keys = &storage.keys;
        let client = Client::builder(&storage.address, &keys.app_id, keys.app_key.as_str())
            .master_key(keys.master_key.as_str())
            .build()
            .unwrap();
        Self {
            users: Vec::new(),
            stranger: id("none"),
            file: String::new(),
            private_post: String::new(),
            storage,
            client,
            data,
            _folder: folder,
        }
    }

    async fn create_users(&mut self) {
        for name in ["anna", "bert", "cleo", "dora"] {
            let user = json!({"username": name, "password": PASSWORD, "nick": name.to_uppercase()});
            let answer = self.storage.ask("POST", "/1.1/users", As::Client, &user).await;
            self.users.push(User {
                name: name.to_owned(),
                id: id(answer["objectId"].as_str().unwrap()),
            });
        }
        let user = json!({"authData": {"weixin": *WEIXIN}});
        let answer = self.storage.ask("POST", "/1.1/users", As::Client, &user).await;
        self.stranger = id(answer["objectId"].as_str().unwrap());
        let members: Vec<Value> = self
            .users
            .iter()
            .take(2)
            .map(|user| pointer("_User", &user.id))
            .collect();
        let role = json!({
            "name": "editors", "ACL": {"*": {"read": true}},
            "users": {"__op": "AddRelation", "objects": members},
        });
        self.storage.ask("POST", "/1.1/roles", As::Master, &role).await;
    }

    async fn create_objects(&mut self) {
        let token = json!({"name": "picture.png", "mime_type": "image/png"});
        let token = self
            .storage
            .ask("POST", "/1.1/fileTokens", As::Master, &token)
            .await;
        let put = program::http_client()
            .put(token["upload_url"].as_str().unwrap())
            .header("Content-Type", "image/png")
            .body(FILE);
        assert!(put.send().await.unwrap().status().is_success());
        let said = json!({"token": token["token"], "result": true});
        self.storage
            .ask("POST", "/1.1/fileCallback", As::Master, &said)
            .await;
        self.file = token["objectId"].as_str().unwrap().to_owned();
        for number in 0..30 {
            self.post(&format!("post {number}"), number).await;
        }
        let owner = self.users[0].id.as_str();
        let private = json!({
            "title": "mine", "ACL": {owner: {"read": true, "write": true}},
            "picture": {"__type": "File", "id": self.file},
            "nested": {"a": [1, 2.5, {"when": {"__type": "Date", "iso": "2026-01-02T03:04:05.678Z"}}]},
            "bytes": {"__type": "Bytes", "base64": "AAEC"}, "nothing": null,
        });
        let made = self
            .storage
            .ask("POST", "/1.1/classes/Post", As::Master, &private)
            .await;
        self.private_post = made["objectId"].as_str().unwrap().to_owned();
        let fans: Vec<Value> = self.users.iter().map(|user| pointer("_User", &user.id)).collect();
        let fans = json!({"fans": {"__op": "AddRelation", "objects": fans}});
        let liked = self.post("liked", 7).await;
        let path = format!("/1.1/classes/Post/{liked}");
        self.storage.ask("PUT", &path, As::Master, &fans).await;
    }

    /// Creates a post; returns its id.
    pub(super) async fn post(&self, title: &str, number: usize) -> String {
        let author = &self.users[number % self.users.len()].id;
        let post = json!({
            "title": title, "number": number, "author": pointer("_User", author),
            "place": {"__type": "GeoPoint", "latitude": number % 90, "longitude": 11.5},
            "tags": ["a", number], "ACL": {"*": {"read": true}, author.as_str(): {"write": true}},
        });
        let made = self
            .storage
            .ask("POST", "/1.1/classes/Post", As::Master, &post)
            .await;
        made["objectId"].as_str().unwrap().to_owned()
    }

    async fn create_payments(&self) {
        let worker = self.worker();
        for user in self.users.iter().take(3) {
            let given = worker
                .adjust_account(&user.id, &json!(EACH), "a present", &key("present"))
                .await;
            given.unwrap();
        }
        let (anna, bert, cleo) = (&self.users[0].id, &self.users[1].id, &self.users[2].id);
        let product = json!({
            "name": "a course", "price": PRICE, "onSale": true, "payees": [{"user": cleo, "amount": PRICE}],
        });
        let product = self
            .storage
            .ask("POST", "/1.1/classes/Product", As::Master, &product)
            .await;
        let product = id(product["objectId"].as_str().unwrap());
        let order = async |name: &str| {
            let order = worker
                .create_order(anna, &product, None, &key(name))
                .await
                .unwrap();
            id(serde_json::to_value(&order).unwrap()["order"].as_str().unwrap())
        };
        let paid = order("paid").await;
        worker.pay_order(anna, &paid, None).await.unwrap();
        order("not paid").await;
        worker
            .hold_funds(bert, &json!(50), None, &key("held"))
            .await
            .unwrap();
        worker
            .transfer(anna, bert, &json!(40), Some("for lunch"), &key("whole"))
            .await
            .unwrap();
        // Unpaid: it may still be paid.
        worker
            .recharge(anna, &json!(70), Channel::Sandbox, &key("asked"))
            .await
            .unwrap();
        // Interrupted before each write.
        for calls in 1..=4 {
            let order = order(&format!("cut {calls}")).await;
            self.run_until_write(calls, async |worker: &PaymentService| {
                worker.pay_order(anna, &order, None).await.map(drop)
            })
            .await;
            let name = key(&format!("cut {calls}"));
            let amount = json!(10 + calls);
            self.run_until_write(calls, async |worker: &PaymentService| {
                worker.transfer(bert, cleo, &amount, None, &name).await.map(drop)
            })
            .await;
        }
        self.complete_states().await;
    }

    /// Runs `work` with a worker that stops before the writing call number `calls` + 1.
    async fn run_until_write(
        &self,
        calls: i64,
        work: impl AsyncFnOnce(&PaymentService) -> Result<(), paylog::model::CloudError>,
    ) {
        let store = Arc::new(HangingStore::new(Arc::new(self.client.clone()), calls));
        let seen: Arc<dyn Store> = store.clone();
        let worker = PaymentService::new(seen, Environment::system(), config());
        tokio::select! {
            done = work(&worker) => done.unwrap(),
            () = store.reached() => {}
        }
    }

    /// Writes the states that no worker has left behind, since workers may write several steps at once. Each state
    /// claims no more than is true.
    async fn complete_states(&self) {
        // All legs applied, no order to mark: settled.
        self.step(&[3], 4, None).await;
        // The debit, the only conditional leg, is applied: funded.
        self.step(&[0, 1], 2, Some(1)).await;
        // No leg is applied: created.
        self.step(&[1], 0, Some(0)).await;
    }

    /// Moves a transfer from one of the states `from` to `to`, unless a log has that state already. `marks` is the number
    /// of accounts that hold the transfer's mark.
    async fn step(&self, from: &[i64], to: i64, marks: Option<u64>) {
        let log = config().log_class;
        let none = Filter::all().eq("state", to);
        if self.client.count(&log, &none).await.unwrap() > 0 {
            return;
        }
        let states = from.iter().map(|state| Value::from(*state)).collect();
        let query = Query::new(Filter::all().one_of("state", states).eq("kind", "transfer"));
        for found in self.client.find(&log, &query).await.unwrap() {
            let id = found.object_id().unwrap();
            let marked = Filter::all().eq("paylogs", id.as_str());
            let marked = self.client.count(&ClassName::user(), &marked).await.unwrap();
            if marks.is_some_and(|marks| marks != marked) {
                continue;
            }
            let precondition = Filter::all().eq("state", found.integer("state").unwrap());
            let write = Write::update(&log, &id, precondition, Update::new().set("state", to));
            assert!(matches!(self.client.write(write).await, WriteOutcome::Applied(_)));
            return;
        }
        panic!("no transfer in one of the states {from:?}");
    }
}

fn config() -> PaymentConfig {
    PaymentConfig {
        sandbox: true,
        ..PaymentConfig::new()
    }
}

fn key(text: &str) -> CallerKey {
    CallerKey::from_value(&json!(text)).unwrap()
}

fn id(text: &str) -> ObjectId {
    ObjectId::parse(text).unwrap()
}

fn pointer(class: &str, id: &ObjectId) -> Value {
    json!({"__type": "Pointer", "className": class, "objectId": id.as_str()})
}
