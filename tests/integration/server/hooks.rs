//! Hooks: their arguments, their changes, their refusals.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use paylog::model::{
    ClassName, CloudError, Document, ErrorCode, HookCall, HookKind, Hooks, UserHook, UserHookCall, Value,
};
use serde_json::json;
use tokio::sync::Notify;

use super::support::{As, start_with};

/// Hooks on the class `Hooked` and on `_User`, which record every call.
#[derive(Default)]
struct TestHooks {
    calls: Mutex<Vec<HookCall>>,
    called: Notify,
    /// Holds back after hooks until it is told.
    release_after: Option<Arc<Notify>>,
}

#[async_trait]
impl Hooks for TestHooks {
    fn defined(&self, class: &ClassName, _: HookKind) -> bool {
        ["Hooked", "_User"].contains(&class.as_str())
    }

    async fn call(&self, call: HookCall) -> Result<Document, CloudError> {
        if let (Some(release), false) = (&self.release_after, call.kind.is_before()) {
            release.notified().await;
        }
        self.calls.lock().unwrap().push(call.clone());
        self.called.notify_one();
        let mut object = call.object;
        match object.text("title") {
            Some("refused") => return Err(CloudError::other("Not this one.")),
            Some("slow") => return Err(CloudError::new(ErrorCode::TIMEOUT, "took too long").with_status(503)),
            _ => {}
        }
        object.insert(format!("by_{}", call.kind.name()), true.into());
        object.insert("__before".to_owned(), "sign".into());
        object.shift_remove("unwanted");
        Ok(object)
    }
}

impl TestHooks {
    fn taken(&self) -> Vec<HookCall> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }

    /// Waits for so many calls, and takes them.
    async fn wait_for(&self, count: usize) -> Vec<HookCall> {
        let waiting = async {
            while self.calls.lock().unwrap().len() < count {
                self.called.notified().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), waiting)
            .await
            .expect("the hooks were called");
        self.taken()
    }
}

fn kinds(calls: &[HookCall]) -> Vec<&'static str> {
    calls.iter().map(|call| call.kind.name()).collect()
}

// compat: hook.before_save hook.before_update hook.before_delete hook.after
#[tokio::test]
async fn hooks_run_before_and_after_every_write() {
    let hooks = Arc::new(TestHooks::default());
    let server = start_with(Some(Arc::clone(&hooks) as Arc<dyn Hooks>), |_| {}).await;
    let (user, token) = server.sign_up("tom").await;
    let sign_up = hooks.wait_for(2).await;
    assert_eq!(kinds(&sign_up), ["beforeSave", "afterSave"]);
    for call in &sign_up {
        assert!(!call.object.contains_key("password") && !call.object.contains_key("sessionToken"));
    }
    assert_eq!(server.read("_User", &user).await["by_beforeSave"], true);

    let own = As::user(&token);
    let body = json!({"title": "a", "unwanted": 1, "ACL": {"*": {"read": true, "write": true}}});
    let id = server.create(&own, "Hooked", body).await;
    let calls = hooks.wait_for(2).await;
    assert_eq!(kinds(&calls), ["beforeSave", "afterSave"]);
    assert_eq!(
        calls[0].object.0,
        *json!({"title": "a", "unwanted": 1, "ACL": {"*": {"read": true, "write": true}}})
            .as_object()
            .unwrap()
    );
    let caller = calls[0].user.as_ref().unwrap();
    assert_eq!(
        (caller.text("objectId"), caller.text("sessionToken")),
        (Some(&*user), Some(&*token))
    );
    assert!(!caller.contains_key("password"));
    assert_eq!(calls[0].remote_address.as_deref(), Some("127.0.0.1"));
    assert_eq!(calls[1].object.text("objectId"), Some(&*id));
    // What beforeSave answers is what is stored.
    let stored = server.read("Hooked", &id).await;
    assert_eq!(
        (
            &stored["by_beforeSave"],
            stored.get("unwanted"),
            stored.get("__before")
        ),
        (&json!(true), None, None)
    );

    let path = format!("/classes/Hooked/{id}");
    let body = json!({"title": "b", "n": {"__op": "Increment", "amount": 2}});
    assert_eq!(server.put(&As::master(), &path, body).await.status, 200);
    let calls = hooks.wait_for(2).await;
    assert_eq!(kinds(&calls), ["beforeUpdate", "afterUpdate"]);
    for call in &calls {
        assert_eq!(call.updated_keys, ["title", "n"]);
        assert_eq!(
            (call.object.text("title"), call.object.integer("n")),
            (Some("b"), Some(2))
        );
        assert_eq!(call.object.text("objectId"), Some(&*id));
        assert!(call.user.is_none(), "the master key acts for nobody");
    }
    // What beforeUpdate answers is dropped.
    assert!(server.read("Hooked", &id).await.get("by_beforeUpdate").is_none());

    assert_eq!(server.delete(&As::client(), &path).await.status, 200);
    let calls = hooks.wait_for(2).await;
    assert_eq!(kinds(&calls), ["beforeDelete", "afterDelete"]);
    assert_eq!(calls[1].object.text("title"), Some("b"));
    assert!(calls[0].user.is_none());
}

// compat: hook.error
#[tokio::test]
async fn failing_before_hook_stops_the_write() {
    let hooks = Arc::new(TestHooks::default());
    let server = start_with(Some(Arc::clone(&hooks) as Arc<dyn Hooks>), |_| {}).await;
    let client = As::client();
    let create =
        |title: &str| json!({"method": "POST", "path": "/1.1/classes/Hooked", "body": {"title": title}});
    let refused = server
        .post(&client, "/classes/Hooked", json!({"title": "refused"}))
        .await;
    assert_eq!(refused.error(), (400, 142));
    assert_eq!(
        refused.body["error"],
        "Cloud Code validation failed. Error detail : Not this one."
    );
    let slow = server
        .post(&client, "/classes/Hooked", json!({"title": "slow"}))
        .await;
    assert_eq!(slow.error(), (400, 141));

    let batch = json!({"requests": [create("a"), create("refused"), create("b")]});
    let answers = server.post(&client, "/batch", batch).await.body;
    assert_eq!(
        answers[1],
        json!({"error": {"code": 142, "error": "Cloud Code validation failed. Error detail : Not this one."}})
    );
    let stored = server.find(&client, "Hooked", json!({})).await;
    assert_eq!(stored.len(), 2);
    let path = format!("/classes/Hooked/{}", stored[0]["objectId"].as_str().unwrap());
    assert_eq!(
        server
            .put(&client, &path, json!({"title": "refused"}))
            .await
            .error(),
        (400, 142)
    );
    let ignoring = json!({"title": "refused", "__ignore_hooks": ["beforeUpdate"]});
    assert_eq!(server.put(&As::master(), &path, ignoring).await.status, 200);
    assert_eq!(server.delete(&client, &path).await.error(), (400, 142));
    // The after hook fails too, and changes nothing.
    assert_eq!(
        server
            .read("Hooked", stored[0]["objectId"].as_str().unwrap())
            .await["title"],
        "refused"
    );
}

#[tokio::test]
async fn invalid_write_calls_no_hook() {
    let hooks = Arc::new(TestHooks::default());
    let server = start_with(Some(Arc::clone(&hooks) as Arc<dyn Hooks>), |_| {}).await;
    let closed = json!({"title": "a", "ACL": {}, "__ignore_hooks": HookKind::ALL.map(HookKind::name)});
    let id = server.create(&As::master(), "Hooked", closed).await;
    assert_eq!(hooks.taken(), []);
    let path = format!("/classes/Hooked/{id}");
    assert_eq!(
        server
            .put(&As::client(), &path, json!({"title": "b"}))
            .await
            .error(),
        (403, 403)
    );
    assert_eq!(server.delete(&As::client(), &path).await.error(), (403, 403));
    let unmet = json!({"title": "other"});
    assert_eq!(
        server
            .put_where(&As::master(), &path, unmet, json!({"title": "b"}))
            .await
            .error(),
        (400, 305)
    );
    assert_eq!(
        server
            .put(&As::master(), "/classes/Hooked/none", json!({}))
            .await
            .error(),
        (400, 1)
    );
    assert_eq!(
        server
            .put(&As::master(), &path, json!({"title": 1}))
            .await
            .error(),
        (400, 111)
    );
    assert_eq!(hooks.taken(), []);
}

// compat: hook.ignore
#[tokio::test]
async fn hooks_are_ignored_on_request_of_master_or_hook_key() {
    let hooks = Arc::new(TestHooks::default());
    let server = start_with(Some(Arc::clone(&hooks) as Arc<dyn Hooks>), |_| {}).await;
    let before = json!(["beforeSave", "beforeUpdate", "beforeDelete"]);
    let body = json!({"title": "refused", "__ignore_hooks": before});
    let refused = server.post(&As::client(), "/classes/Hooked", body.clone()).await;
    assert_eq!(refused.error(), (400, 142), "a client may not ask");
    hooks.wait_for(1).await;

    let callers = [As::client().with_hook_key(), As::master()];
    for caller in &callers {
        let id = server.create(caller, "Hooked", body.clone()).await;
        assert_eq!(kinds(&hooks.wait_for(1).await), ["afterSave"]);
        let stored = server.read("Hooked", &id).await;
        assert!(stored.get("__ignore_hooks").is_none() && stored.get("by_beforeSave").is_none());
        // In a batch and on deletion the flag is in the body too.
        let delete = json!({"method": "DELETE", "path": format!("/1.1/classes/Hooked/{id}"),
            "body": {"__ignore_hooks": before}});
        let answers = server
            .post(caller, "/batch", json!({"requests": [delete]}))
            .await
            .body;
        assert_eq!(answers[0], json!({"success": {}}));
        assert_eq!(kinds(&hooks.wait_for(1).await), ["afterDelete"]);
    }
    let after = json!({"title": "a", "__ignore_hooks": ["afterSave"]});
    server.create(&As::master(), "Hooked", after).await;
    assert_eq!(kinds(&hooks.taken()), ["beforeSave"]);
}

#[tokio::test]
async fn closing_server_waits_for_after_hooks() {
    let release = Arc::new(Notify::new());
    let hooks = Arc::new(TestHooks {
        release_after: Some(Arc::clone(&release)),
        ..TestHooks::default()
    });
    let server = start_with(Some(Arc::clone(&hooks) as Arc<dyn Hooks>), |_| {}).await;
    // The answer does not wait for the after hook.
    server
        .create(&As::client(), "Hooked", json!({"title": "a"}))
        .await;
    assert_eq!(kinds(&hooks.taken()), ["beforeSave"]);
    let mut closing = Box::pin(server.server.close());
    assert!(futures_util::poll!(&mut closing).is_pending());
    release.notify_one();
    tokio::time::timeout(Duration::from_secs(10), closing)
        .await
        .unwrap();
    assert_eq!(kinds(&hooks.taken()), ["afterSave"]);
}

#[tokio::test]
async fn before_save_hook_keeps_relations() {
    let hooks = Arc::new(TestHooks::default());
    let server = start_with(Some(Arc::clone(&hooks) as Arc<dyn Hooks>), |_| {}).await;
    let post = server.create(&As::client(), "Post", json!({"n": 1})).await;
    let likes = json!({"__op": "AddRelation", "objects": [super::support::pointer("Post", &post)]});
    let id = server
        .create(&As::client(), "Hooked", json!({"title": "a", "likes": likes}))
        .await;
    let related: Value =
        json!({"$relatedTo": {"object": super::support::pointer("Hooked", &id), "key": "likes"}});
    assert_eq!(server.find(&As::client(), "Post", related).await.len(), 1);
}

/// Hooks of users: they refuse the user `banned`, and accept a platform's data only with a valid token.
#[derive(Default)]
struct UserHooks {
    calls: Mutex<Vec<UserHookCall>>,
    called: Notify,
}

#[async_trait]
impl Hooks for UserHooks {
    fn defined(&self, _: &ClassName, _: HookKind) -> bool {
        false
    }

    async fn call(&self, call: HookCall) -> Result<Document, CloudError> {
        panic!("there is no class hook: {call:?}");
    }

    fn user_hook_defined(&self, _: UserHook) -> bool {
        true
    }

    async fn call_user_hook(&self, call: UserHookCall) -> Result<Document, CloudError> {
        self.calls.lock().unwrap().push(call.clone());
        self.called.notify_one();
        let name = call.user.as_ref().and_then(|user| user.text("username"));
        match call.hook {
            UserHook::Login if name == Some("banned") => Err(CloudError::other("Not today.")),
            UserHook::AuthData => {
                let mut data = call.auth_data.unwrap();
                let weibo = data.get_mut("weibo").unwrap();
                match weibo["access_token"].as_str() {
                    Some("valid") => {
                        weibo["checked"] = true.into();
                        Ok(data)
                    }
                    Some("slow") => {
                        Err(CloudError::new(ErrorCode::TIMEOUT, "took too long").with_status(503))
                    }
                    _ => Err(CloudError::other("Invalid token.")),
                }
            }
            _ => Ok(Document::new()),
        }
    }
}

impl UserHooks {
    fn taken(&self) -> Vec<UserHook> {
        let calls = std::mem::take(&mut *self.calls.lock().unwrap());
        for call in &calls {
            let user = call.user.as_ref();
            // The user acts: the session is theirs.
            assert!(
                user.is_none_or(|user| !user.contains_key("password") && user.contains_key("sessionToken"))
            );
        }
        calls.into_iter().map(|call| call.hook).collect()
    }
}

// compat: hook.on_login
#[tokio::test]
async fn on_login_hook_refuses_login() {
    let hooks = Arc::new(UserHooks::default());
    let server = start_with(Some(Arc::clone(&hooks) as Arc<dyn Hooks>), |_| {}).await;
    for name in ["tom", "banned"] {
        server.sign_up(name).await;
    }
    assert_eq!(hooks.taken(), [], "signing up is no login");
    let login = async |name: &str, password: &str| {
        let body = json!({"username": name, "password": password});
        server.post(&As::client(), "/login", body).await
    };
    let granted = login("tom", "tom's password").await;
    assert_eq!((granted.status, hooks.taken()), (200, vec![UserHook::Login]));
    let refused = login("banned", "banned's password").await;
    assert_eq!(refused.error(), (401, 142));
    assert_eq!(
        refused.body["error"],
        "Cloud Code validation failed. Error detail : Not today."
    );
    hooks.taken();
    assert_eq!(login("tom", "wrong").await.error(), (400, 210));
    let token = granted.body["sessionToken"].as_str().unwrap();
    assert_eq!(server.get(&As::user(token), "/users/me", &[]).await.status, 200);
    assert_eq!(hooks.taken(), [], "neither a failure nor a session is a login");
}

// compat: hook.on_auth_data
#[tokio::test]
async fn on_auth_data_hook_checks_platform_data() {
    let hooks = Arc::new(UserHooks::default());
    let server = start_with(Some(Arc::clone(&hooks) as Arc<dyn Hooks>), |_| {}).await;
    let log_in = async |access_token: &str| {
        let data = json!({"weibo": {"uid": "1", "access_token": access_token}});
        server
            .post(&As::client(), "/users", json!({"authData": data}))
            .await
    };
    assert_eq!(log_in("forged").await.error(), (400, 142));
    assert_eq!(log_in("slow").await.error(), (400, 141));
    assert_eq!(server.find(&As::master(), "_User", json!({})).await.len(), 0);
    hooks.taken();
    // What the hook makes of it is what is kept.
    let created = log_in("valid").await;
    assert_eq!(
        (created.status, &created.body["authData"]["weibo"]["checked"]),
        (201, &json!(true))
    );
    assert_eq!(hooks.taken(), [UserHook::AuthData]);
    assert_eq!(log_in("valid").await.status, 200);
    assert_eq!(hooks.taken(), [UserHook::AuthData, UserHook::Login]);
    assert_eq!(log_in("forged").await.error(), (400, 142));

    let (id, token) = server.sign_up("tom").await;
    let link = json!({"authData": {"weibo": {"uid": "2", "access_token": "forged"}}});
    let refused = server.put(&As::user(&token), &format!("/users/{id}"), link).await;
    assert_eq!(refused.error(), (400, 142));
    assert!(server.read("_User", &id).await.get("authData").is_none());
}

// compat: hook.on_verified
#[tokio::test]
async fn on_verified_hook_is_called_after_verification() {
    let hooks = Arc::new(UserHooks::default());
    let server = start_with(Some(Arc::clone(&hooks) as Arc<dyn Hooks>), |_| {}).await;
    let (id, _) = server.sign_up("tom").await;
    let path = format!("/users/{id}");
    let verify = json!({"email": "tom@example.com", "emailVerified": true});
    assert_eq!(server.put(&As::master(), &path, verify.clone()).await.status, 200);
    let waiting = async {
        while hooks.calls.lock().unwrap().is_empty() {
            hooks.called.notified().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting)
        .await
        .expect("the hook was called");
    let user = hooks.calls.lock().unwrap()[0].user.clone().unwrap();
    assert_eq!(user.text("email"), Some("tom@example.com"));
    assert_eq!(hooks.taken(), [UserHook::VerifiedEmail]);
    // What was verified before is no news.
    server.put(&As::master(), &path, verify).await;
    server.server.close().await;
    assert_eq!(hooks.taken(), []);
}
