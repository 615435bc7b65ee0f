//! Users of other platforms: login, linking, unlinking, anonymous users, unions.

use std::sync::Arc;

use async_trait::async_trait;
use paylog::model::{ClassName, CloudError, Document, HookCall, HookKind, Hooks, UserHook, UserHookCall};
use serde_json::{Value, json};

use super::support::{Answer, As, TestServer, start, start_with};

async fn log_in(server: &TestServer, data: Value) -> Answer {
    server
        .post(&As::client(), "/users", json!({"authData": data}))
        .await
}

fn token(answer: &Answer) -> &str {
    answer.body["sessionToken"].as_str().unwrap()
}

// compat: auth_data.log_in
#[tokio::test]
async fn login_by_platform_finds_the_same_user() {
    let server = start().await;
    let weibo = json!({"weibo": {"uid": "u1", "access_token": "first"}});
    let created = log_in(&server, weibo.clone()).await;
    assert_eq!(created.status, 201, "{created:?}");
    assert_eq!(
        created.keys(),
        [
            "authData",
            "createdAt",
            "emailVerified",
            "mobilePhoneVerified",
            "objectId",
            "sessionToken",
            "updatedAt",
            "username"
        ]
    );
    assert_eq!(
        created.header("location"),
        format!("/1.1/classes/_User/{}", created.id())
    );
    assert_eq!(created.body["authData"], weibo);
    let name = created.body["username"].as_str().unwrap();
    assert!(name.len() == 25 && name.bytes().all(|byte| byte.is_ascii_alphanumeric()));

    // The second time: 200, the same token, the newest data; a session that the request shows has no say.
    let (_, toms) = server.sign_up("tom").await;
    let body = json!({"authData": {"weibo": {"uid": "u1", "access_token": "second"}}, "nickname": "ignored"});
    let known = server.post(&As::user(&toms), "/users", body.clone()).await;
    assert_eq!((known.status, known.header("location")), (200, ""));
    assert_eq!((known.id(), token(&known)), (created.id(), token(&created)));
    assert_eq!(known.body["authData"]["weibo"]["access_token"], "second");
    assert!(known.body.get("nickname").is_none());
    assert!(known.body["updatedAt"].as_str() > created.body["updatedAt"].as_str());
    // The other spelling of the path, and a batch.
    let same = server.post(&As::client(), "/classes/_User", body.clone()).await;
    assert_eq!((same.status, same.id()), (200, created.id()));
    let batch = json!({"requests": [{"method": "POST", "path": "/1.1/users", "body": body}]});
    let same = server.post(&As::client(), "/batch", batch).await;
    assert_eq!(same.body[0]["success"]["objectId"], created.body["objectId"]);

    let other = log_in(&server, json!({"weibo": {"uid": "u2"}})).await;
    assert_eq!(other.status, 201);
    assert_ne!(other.id(), created.id());
    let strict = server
        .post(
            &As::client(),
            "/users?failOnNotExist=true",
            json!({"authData": {"weibo": {"uid": "u3"}}}),
        )
        .await;
    assert_eq!(strict.error(), (400, 211));
    assert_eq!(strict.body["error"], "Could not find user.");
    let named = json!({"username": "chosen", "authData": {"weibo": {"uid": "u4"}}, "nickname": "n"});
    let named = server.post(&As::client(), "/users", named).await;
    assert_eq!(
        (&named.body["username"], &named.body["nickname"]),
        (&json!("chosen"), &json!("n"))
    );
}

// compat: auth_data.errors
#[tokio::test]
async fn malformed_auth_data_is_refused() {
    let server = start().await;
    for (data, code) in [
        (json!({"weixin": {"access_token": "x"}}), 250),
        (json!({"weibo": {"uid": ""}}), 250),
        (json!({"weibo": {"uid": {"$ne": "x"}}}), 250),
        (json!({"anonymous": {"uid": "x"}}), 250),
        (json!({}), 250),
        (json!({"_weixin_unionid": {"uid": "somebody's"}}), 250),
        (json!({"weibo": "x"}), 107),
        (json!({"a.b": {"uid": "x"}}), 107),
        (json!([]), 107),
    ] {
        let refused = log_in(&server, data.clone()).await;
        assert_eq!(refused.error(), (400, code), "{data}");
    }
    let users = server.find(&As::master(), "_User", json!({})).await;
    assert_eq!(users, Vec::<Value>::new());
}

// compat: auth_data.link auth_data.unlink
#[tokio::test]
async fn user_links_and_unlinks_platforms() {
    let server = start().await;
    let (id, toms) = server.sign_up("tom").await;
    let own = As::user(&toms);
    let path = format!("/classes/_User/{id}");
    let weixin = json!({"openid": "o1", "access_token": "t"});
    let linked = server
        .put(
            &own,
            &format!("{path}?new=true"),
            json!({"authData": {"weixin": weixin}}),
        )
        .await;
    assert_eq!(
        (linked.status, linked.keys()),
        (200, vec!["authData", "objectId", "updatedAt"])
    );
    let linked = server
        .put(
            &own,
            &format!("{path}?new=true"),
            json!({"authData": {"github": {"uid": "g1"}}}),
        )
        .await;
    assert_eq!(
        linked.body["authData"],
        json!({"weixin": weixin, "github": {"uid": "g1"}})
    );
    let login = log_in(&server, json!({"weixin": {"openid": "o1"}})).await;
    assert_eq!(
        (login.status, login.id(), token(&login)),
        (200, id.clone(), &*toms)
    );

    // Nobody else gets what is taken, neither by linking nor at once with others.
    let (jerry, jerrys) = server.sign_up("jerry").await;
    let stolen = server
        .put(
            &As::user(&jerrys),
            &format!("/users/{jerry}"),
            json!({"authData": {"github": {"uid": "g1"}}}),
        )
        .await;
    assert_eq!(stolen.error(), (400, 137));
    assert_eq!(
        stolen.body["error"],
        "A unique field was given a value that is already taken."
    );
    // Only the owner and the master key see it.
    let seen = async |caller: &As| {
        let user = server.get(caller, &path, &[]).await.body;
        user.get("authData").is_some()
    };
    assert!(seen(&own).await && seen(&As::master()).await);
    assert!(!seen(&As::client()).await && !seen(&As::user(&jerrys)).await);

    let unlinked = server
        .put(&own, &path, json!({"authData.weixin": {"__op": "Delete"}}))
        .await;
    assert_eq!(
        (unlinked.status, unlinked.keys()),
        (200, vec!["objectId", "updatedAt"])
    );
    let unlinked = server
        .put(&own, &path, json!({"authData": {"github": null}}))
        .await;
    assert_eq!(unlinked.status, 200);
    assert_eq!(server.read("_User", &id).await["authData"], json!({}));
    let free = server
        .put(
            &As::user(&jerrys),
            &format!("/users/{jerry}"),
            json!({"authData": {"github": {"uid": "g1"}}}),
        )
        .await;
    assert_eq!(free.status, 200);
    let (_, stranger) = server.sign_up("spike").await;
    let refused = server
        .put(
            &As::user(&stranger),
            &path,
            json!({"authData": {"qq": {"openid": "1"}}}),
        )
        .await;
    assert_eq!(refused.error(), (403, 206));
    let part = server
        .put(&own, &path, json!({"authData.weixin.openid": "x"}))
        .await;
    assert_eq!(part.error(), (403, 119));
}

// compat: auth_data.anonymous
#[tokio::test]
async fn anonymous_user_with_link_or_password_is_no_longer_anonymous() {
    let server = start().await;
    let start_anonymously = async |id: &str| {
        let user = log_in(&server, json!({"anonymous": {"id": id}})).await;
        assert_eq!(user.status, 201);
        (user.id(), token(&user).to_owned())
    };
    // By a platform.
    let (id, session) = start_anonymously("a1").await;
    let linked = server
        .put(
            &As::user(&session),
            &format!("/users/{id}?new=true"),
            json!({"authData": {"github": {"uid": "g"}}}),
        )
        .await;
    assert_eq!(linked.body["authData"], json!({"github": {"uid": "g"}}));
    // By name and password: the session goes on, as nobody can have known another password.
    let (id, session) = start_anonymously("a2").await;
    let body = json!({"username": "tom", "password": "cat"});
    let signed_up = server
        .put(&As::user(&session), &format!("/users/{id}"), body.clone())
        .await;
    assert_eq!(
        (signed_up.status, signed_up.keys()),
        (200, vec!["objectId", "updatedAt"])
    );
    assert_eq!(server.read("_User", &id).await["authData"], json!({}));
    let login = server.post(&As::client(), "/login", body).await;
    assert_eq!((login.id(), token(&login)), (id, &*session));
    // Who was anonymous is a stranger from now on.
    let again = log_in(&server, json!({"anonymous": {"id": "a2"}})).await;
    assert_eq!(again.status, 201);
}

// compat: auth_data.union_id
#[tokio::test]
async fn accounts_with_one_unionid_are_one_user() {
    let server = start().await;
    let account = |name: &str, id: &str, main: bool| json!({name: {"uid": id, "platform": "weixin", "unionid": "union", "main_account": main}});
    let main = log_in(&server, account("weixin_1", "1", true)).await;
    assert_eq!(main.status, 201);
    assert_eq!(main.body["authData"]["_weixin_unionid"], json!({"uid": "union"}));
    let side = log_in(&server, account("weixin_2", "2", false)).await;
    assert_eq!(
        (side.status, side.id(), token(&side)),
        (200, main.id(), token(&main))
    );
    assert_eq!(
        super::support::sorted_keys(&side.body["authData"]),
        ["_weixin_unionid", "weixin_1", "weixin_2"]
    );
    // From now on without the union, too.
    let side = log_in(&server, json!({"weixin_2": {"uid": "2"}})).await;
    assert_eq!((side.status, side.id()), (200, main.id()));
    // As the guide writes it: an account's own id under `openid`, and what is true as text.
    let guides = |name: &str, id: &str, main: &str| json!({name: {"openid": id, "expires_in": 7200, "platform": "weixin", "unionid": "guide", "main_account": main}});
    let office = log_in(&server, guides("wx_office", "o1", "true")).await;
    assert_eq!(office.status, 201);
    assert_eq!(
        office.body["authData"]["_weixin_unionid"],
        json!({"uid": "guide"})
    );
    let support = log_in(&server, guides("wx_support", "o2", "false")).await;
    assert_eq!((support.status, support.id()), (200, office.id()));
    // An account that is not the main one makes no union.
    let other = json!({"qq_1": {"uid": "1", "platform": "qq", "unionid": "u", "main_account": false}});
    let other = log_in(&server, other).await;
    assert!(other.body["authData"].get("_qq_unionid").is_none());
    // SDKs send back what the server has added: it is not taken for the client's word.
    let echo = json!({"_weixin_unionid": {"uid": "other"}, "weixin_3": {"uid": "3"}});
    let echoed = log_in(&server, echo).await;
    assert!(echoed.body["authData"].get("_weixin_unionid").is_none());
}

/// The `authData` that LeanCloud stores for a user of a mini-program.
fn mini_program(openid: &str) -> Value {
    json!({"session_key": "k", "expires_in": 7200, "openid": openid})
}

// compat: auth_data.mini_program
#[tokio::test]
async fn mini_program_user_is_found_by_openid() {
    let server = start().await;
    // A user that was imported.
    let imported = json!({"username": "old", "password": "p"});
    let imported = server.post(&As::client(), "/users", imported).await;
    let path = format!("/users/{}", imported.id());
    let data = json!({"lc_weapp": mini_program("o1")});
    let linked = server.put(&As::master(), &path, json!({"authData": data})).await;
    assert_eq!(linked.status, 200, "{linked:?}");

    let known = log_in(&server, data.clone()).await;
    assert_eq!((known.status, known.id()), (200, imported.id()));
    // The SDK sends all of it back when it saves the user.
    let whole = json!({"authData": known.body["authData"], "nickname": "n"});
    let saved = server.put(&As::user(token(&known)), &path, whole).await;
    assert_eq!(saved.status, 200, "{saved:?}");
    assert_eq!(server.read("_User", &imported.id()).await["authData"], data);

    let other = log_in(&server, json!({"lc_weapp": mini_program("o2")})).await;
    assert_eq!(other.status, 201);
    let qq = log_in(&server, json!({"lc_qqapp": mini_program("o1")})).await;
    assert_eq!(qq.status, 201);
    assert_ne!(qq.id(), imported.id());
    // As paylog has known them so far.
    let by_uid = json!({"lc_weapp": {"uid": "u1"}});
    let created = log_in(&server, by_uid.clone()).await;
    assert_eq!(created.status, 201);
    let again = log_in(&server, by_uid).await;
    assert_eq!((again.status, again.id()), (200, created.id()));

    // A code is for the platform, which nobody asks here.
    for data in [
        json!({"lc_weapp": {"code": "c"}}),
        json!({"lc_qqapp": {"code": "c"}}),
    ] {
        let refused = log_in(&server, data).await;
        assert_eq!(refused.error(), (400, 250));
        let text = refused.body["error"].as_str().unwrap();
        assert!(
            text.contains("exchanged") && text.contains("onAuthData"),
            "{text}"
        );
    }
}

/// An app's own hook that exchanges a code for a user at the platform.
struct Exchange;

#[async_trait]
impl Hooks for Exchange {
    fn defined(&self, _: &ClassName, _: HookKind) -> bool {
        false
    }

    async fn call(&self, call: HookCall) -> Result<Document, CloudError> {
        panic!("there is no class hook: {call:?}");
    }

    fn user_hook_defined(&self, hook: UserHook) -> bool {
        hook == UserHook::AuthData
    }

    async fn call_user_hook(&self, call: UserHookCall) -> Result<Document, CloudError> {
        let mut data = call.auth_data.unwrap_or_default();
        if let Some(said) = data.get_mut("lc_weapp") {
            match said["code"].as_str() {
                Some("lost") => *said = json!({"code": "lost"}),
                Some(code) => *said = mini_program(&format!("openid of {code}")),
                None => {}
            }
        }
        Ok(data)
    }
}

// compat: auth_data.mini_program
#[tokio::test]
async fn on_auth_data_hook_exchanges_code_for_openid() {
    let server = start_with(Some(Arc::new(Exchange)), |_| {}).await;
    let code = |code: &str| json!({"lc_weapp": {"code": code}});
    let created = log_in(&server, code("a")).await;
    assert_eq!(created.status, 201, "{created:?}");
    assert_eq!(created.body["authData"]["lc_weapp"], mini_program("openid of a"));
    let known = log_in(&server, code("a")).await;
    assert_eq!((known.status, known.id()), (200, created.id()));
    assert_eq!(log_in(&server, code("lost")).await.error(), (400, 250));
    // Linking.
    let (id, toms) = server.sign_up("tom").await;
    let own = As::user(&toms);
    let path = format!("/users/{id}");
    let link = async |data: Value| server.put(&own, &path, json!({"authData": data})).await;
    assert_eq!(link(code("lost")).await.error(), (400, 250));
    assert_eq!(link(code("a")).await.error(), (400, 137));
    assert_eq!(link(code("b")).await.status, 200);
    let linked = log_in(&server, code("b")).await;
    assert_eq!((linked.status, linked.id()), (200, id));
}

#[tokio::test]
async fn concurrent_first_logins_make_one_user() {
    let server = Arc::new(start().await);
    // The first platform of an app; each has its own first login.
    for platform in ["weibo", "qq"] {
        let logins = (0..16).map(|_| {
            let server = Arc::clone(&server);
            let key = if platform == "qq" { "openid" } else { "uid" };
            tokio::spawn(async move { log_in(&server, json!({platform: {key: "same"}})).await })
        });
        let answers: Vec<Answer> = futures_util::future::join_all(logins)
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        assert!(
            answers
                .iter()
                .all(|answer| answer.status == 200 || answer.status == 201),
            "{answers:?}"
        );
        let created = answers.iter().filter(|answer| answer.status == 201).count();
        let first = answers[0].id();
        assert!(created == 1 && answers.iter().all(|answer| answer.id() == first));
    }
}

/// Imported users may hold `null`, into which MongoDB puts no nested key.
#[tokio::test]
async fn user_with_null_auth_data_can_be_linked() {
    use paylog::model::Update;
    use paylog::store::{Write, WriteOutcome};
    let server = start().await;
    let fields = Update::new()
        .set("username", "old")
        .set("authData", Value::Null)
        .set("sessionToken", "oldsessiontokenoldsession");
    let written = server
        .database
        .write(Write::create(&ClassName::user(), fields))
        .await;
    let WriteOutcome::Applied(written) = written else {
        panic!("{written:?}");
    };
    let path = format!("/users/{}?new=true", written.object_id.unwrap());
    let own = As::user("oldsessiontokenoldsession");
    let linked = server
        .put(&own, &path, json!({"authData": {"weibo": {"uid": "1"}}}))
        .await;
    assert_eq!(
        linked.body["authData"],
        json!({"weibo": {"uid": "1"}}),
        "{linked:?}"
    );
}

#[tokio::test]
async fn clients_search_by_auth_data_is_refused() {
    let server = start().await;
    log_in(&server, json!({"weibo": {"uid": "1"}})).await;
    let condition = json!({"authData.weibo.uid": "1"}).to_string();
    for path in ["/users", "/users/strictlyQuery"] {
        let refused = server.get(&As::client(), path, &[("where", &condition)]).await;
        assert_eq!(refused.status, 403, "{refused:?}");
    }
    let found = server
        .get(&As::master(), "/users", &[("where", &condition)])
        .await;
    assert_eq!(found.body["results"].as_array().unwrap().len(), 1);
}
