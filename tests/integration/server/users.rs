//! Users: sign-up, login, sessions, secret columns.

use serde_json::{Value, json};

use super::support::{As, start};
use paylog::model::{ClassName, ObjectId, Update};
use paylog::store::{Write, WriteOutcome};

// compat: user.sign_up user.sign_up.class_path
#[tokio::test]
async fn sign_up_returns_whole_user() {
    let server = start().await;
    for (number, path) in ["/users", "/classes/_User", "/users?fetchWhenSave=false"]
        .into_iter()
        .enumerate()
    {
        let body = json!({"username": format!("tom{number}"), "password": "cat", "gender": "male",
            "email": format!("tom{number}@example.com"), "mobilePhoneNumber": format!("1380000000{number}")});
        let user = server.post(&As::client(), path, body).await;
        assert_eq!(user.status, 201, "{user:?}");
        assert_eq!(
            user.keys(),
            [
                "createdAt",
                "email",
                "emailVerified",
                "gender",
                "mobilePhoneNumber",
                "mobilePhoneVerified",
                "objectId",
                "sessionToken",
                "updatedAt",
                "username"
            ]
        );
        assert_eq!(
            (&user.body["emailVerified"], &user.body["mobilePhoneVerified"]),
            (&json!(false), &json!(false))
        );
        assert_eq!(
            user.header("location"),
            format!("/1.1/classes/_User/{}", user.id())
        );
        let token = user.body["sessionToken"].as_str().unwrap();
        assert!(
            token.len() == 25
                && token
                    .bytes()
                    .all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
        );
    }
}

#[tokio::test]
async fn password_is_stored_as_hash_and_never_returned() {
    let server = start().await;
    let (id, token) = server.sign_up("tom").await;
    let id = ObjectId::parse(&id).unwrap();
    let stored = server
        .database
        .get(&ClassName::user(), &id)
        .await
        .unwrap()
        .unwrap();
    assert!(stored.text("password").unwrap().starts_with("$argon2id$"));
    assert!(!serde_json::to_string(&stored).unwrap().contains("tom's password"));

    let path = format!("/users/{id}");
    let (own, master) = (As::user(&token), As::master());
    let answers = [
        server.get(&own, &path, &[]).await.body,
        server.get(&master, "/users", &[]).await.body,
        server.get(&own, "/users/me", &[]).await.body,
        server
            .put(
                &own,
                &format!("{path}?new=true"),
                json!({"password": "tom's new password"}),
            )
            .await
            .body,
        server
            .post(
                &As::client(),
                "/login",
                json!({"username": "tom", "password": "tom's new password"}),
            )
            .await
            .body,
    ];
    for answer in answers {
        assert!(answer.get("error").is_none(), "{answer}");
        let text = answer.to_string();
        assert!(!text.contains("argon2id") && !text.contains("password"), "{text}");
    }
    // Tokens are shown by logging in and by asking who one is.
    let object = format!("/classes/_User/{id}");
    for (caller, path) in [(&own, &path), (&own, &object), (&master, &object)] {
        let shown = server.get(caller, path, &[]).await.body;
        assert_eq!(shown["username"], "tom");
        assert!(shown.get("sessionToken").is_none(), "{shown}");
    }
    // And on one path to the master key: the SDK for Go makes no user of an answer without.
    let shown = server.get(&master, &path, &[]).await.body;
    let login = json!({"username": "tom", "password": "tom's new password"});
    let login = server.post(&As::client(), "/login", login).await.body;
    assert!(login["sessionToken"].is_string());
    assert_eq!(shown["sessionToken"], login["sessionToken"]);
}

// compat: user.secrets
#[tokio::test]
async fn secret_columns_cannot_be_searched_sorted_by_or_written() {
    let server = start().await;
    let (id, token) = server.sign_up("tom").await;
    let master = As::master();
    for key in ["password", "sessionToken", "salt"] {
        for condition in [
            json!({key: {"$exists": true}}),
            json!({key: {"$regex": "^a"}}),
            json!({"$or": [{"username": "tom"}, {key: "x"}]}),
            json!({"objectId": {"$select": {"key": key, "query": {"className": "_User", "where": {}}}}}),
            json!({"username": {"$select": {"key": "username",
                "query": {"className": "_User", "where": {key: {"$gt": "a"}}}}}}),
        ] {
            let condition = condition.to_string();
            let refused = server.get(&master, "/users", &[("where", &condition)]).await;
            assert_eq!(refused.error(), (403, 119), "{condition}: {refused:?}");
        }
        let sorted = server.get(&master, "/users", &[("order", key)]).await;
        assert_eq!(sorted.error(), (403, 119));
        // The condition of a write tells as much as a query.
        let path = format!("/users/{id}");
        let guessed = server
            .put_where(&As::user(&token), &path, json!({key: {"$gt": "a"}}), json!({}))
            .await;
        assert_eq!(guessed.error(), (403, 119));
    }
    for body in [json!({"sessionToken": "a".repeat(25)}), json!({"salt": "a"})] {
        for caller in [As::user(&token), As::master()] {
            let refused = server.put(&caller, &format!("/users/{id}"), body.clone()).await;
            assert_eq!(refused.error(), (400, 117), "{body}");
        }
    }
    let keys = server
        .get(&master, "/users", &[("keys", "password,sessionToken")])
        .await;
    assert_eq!(
        super::support::sorted_keys(&keys.body["results"][0]),
        ["createdAt", "objectId", "updatedAt"]
    );
}

// compat: user.log_in session.stable user.me user.wrong_password
#[tokio::test]
async fn logins_share_one_session_token() {
    let server = start().await;
    let client = As::client();
    let body = json!({"username": "tom", "password": "cat", "email": "tom@example.com", "mobilePhoneNumber": "13800000000"});
    let user = server.post(&client, "/users", body).await.body;
    for key in ["username", "email", "mobilePhoneNumber"] {
        let body = json!({key: user[key], "password": "cat", "gender": "ignored"});
        let login = server.post(&client, "/login", body).await;
        assert_eq!(login.status, 200);
        assert_eq!(login.body, user, "by {key}");
        assert_eq!(login.header("location"), "");
    }
    let wrong = server
        .post(&client, "/login", json!({"username": "tom", "password": "dog"}))
        .await;
    assert_eq!(wrong.error(), (400, 210));
    assert_eq!(wrong.body["error"], "The username and password mismatch.");
    let nobody = server
        .post(&client, "/login", json!({"username": "jerry", "password": "cat"}))
        .await;
    assert_eq!(nobody.error(), (400, 211));
    assert_eq!(
        server
            .post(&client, "/login", json!({"password": "cat"}))
            .await
            .error(),
        (400, 200)
    );
    assert_eq!(
        server
            .post(&client, "/login", json!({"username": "tom"}))
            .await
            .error(),
        (400, 201)
    );
    for odd in [
        json!({"username": {"$ne": 1}, "password": "cat"}),
        json!({"username": "tom", "password": {"$ne": 1}}),
    ] {
        let refused = server.post(&client, "/login", odd).await;
        assert_eq!(refused.status, 400);
    }

    // Who am I, by header or by parameter.
    let token = user["sessionToken"].as_str().unwrap();
    assert_eq!(server.get(&As::user(token), "/users/me", &[]).await.body, user);
    assert_eq!(
        server
            .get(&client, "/users/me", &[("session_token", token)])
            .await
            .body,
        user
    );
    for stranger in [
        client.clone(),
        As::user("nobodystokennobodystokenno"),
        As::user("x"),
    ] {
        let refused = server.get(&stranger, "/users/me", &[]).await;
        assert_eq!(refused.error(), (400, 211));
        assert_eq!(refused.body["error"], "Could not find user.");
    }
}

// compat: user.locked
#[tokio::test]
async fn user_is_locked_after_six_wrong_passwords() {
    let server = start().await;
    server.sign_up("tom").await;
    server.sign_up("jerry").await;
    let login = async |name: &str, password: &str| {
        let body = json!({"username": name, "password": password});
        server.post(&As::client(), "/login", body).await
    };
    for _ in 0..6 {
        assert_eq!(login("tom", "guess").await.error(), (400, 210));
    }
    assert_eq!(login("tom", "guess").await.error(), (400, 219));
    assert_eq!(login("tom", "tom's password").await.error(), (400, 219));
    assert_eq!(login("jerry", "jerry's password").await.status, 200);

    // Nor does it help to guess many times at once: a guess beyond the sixth is one that was being checked already.
    server.sign_up("spike").await;
    let guesses = futures_util::future::join_all((0..60).map(|_| login("spike", "guess"))).await;
    let checked = guesses
        .iter()
        .filter(|answer| answer.error() == (400, 210))
        .count();
    let refused = guesses
        .iter()
        .filter(|answer| answer.error() == (400, 219))
        .count();
    assert_eq!(checked + refused, 60);
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    assert!(
        (6..6 + threads).contains(&checked),
        "{checked} guesses were checked"
    );
}

// compat: user.sign_up.errors index.unique index.sparse
#[tokio::test]
async fn user_name_email_and_phone_are_unique() {
    let server = start().await;
    let client = As::client();
    let body = json!({"username": "tom", "password": "cat", "email": "tom@example.com", "mobilePhoneNumber": "13800000000"});
    assert_eq!(server.post(&client, "/users", body).await.status, 201);
    let (id, token) = server.sign_up("jerry").await;
    for (body, code) in [
        (json!({"username": "tom"}), 202),
        (json!({"email": "tom@example.com"}), 203),
        (json!({"mobilePhoneNumber": "13800000000"}), 214),
    ] {
        let mut sign_up = json!({"username": "spike", "password": "dog"});
        for (key, value) in body.as_object().unwrap() {
            sign_up[key] = value.clone();
        }
        assert_eq!(server.post(&client, "/users", sign_up).await.error(), (400, code));
        let update = server.put(&As::user(&token), &format!("/users/{id}"), body).await;
        assert_eq!(update.error(), (400, code));
    }
    // Case counts, and one's own name is not taken.
    let body = json!({"username": "Tom", "password": "cat"});
    assert_eq!(server.post(&client, "/users", body).await.status, 201);
    let own = server
        .put(
            &As::user(&token),
            &format!("/users/{id}"),
            json!({"username": "jerry"}),
        )
        .await;
    assert_eq!(own.status, 200);
}

// compat: user.sign_up.errors
#[tokio::test]
async fn sign_up_without_name_or_password_is_refused() {
    let server = start().await;
    let cases = [
        (json!({"password": "p"}), 200),
        (json!({"username": "tom"}), 201),
        (json!({"username": "tom", "password": 1}), 201),
        (json!({"username": "  ", "password": "p"}), 217),
        (json!({"username": 7, "password": "p"}), 217),
        (json!({"username": "tom", "password": ""}), 218),
        (json!({"username": "tom", "password": "p", "email": "tom"}), 125),
        (
            json!({"username": "tom", "password": "p", "mobilePhoneNumber": "phone"}),
            127,
        ),
        (
            json!({"username": "tom", "password": "p", "emailVerified": true}),
            117,
        ),
    ];
    for (body, code) in cases {
        let refused = server.post(&As::client(), "/users", body.clone()).await;
        assert_eq!(refused.error(), (400, code), "{body}: {refused:?}");
    }
    assert_eq!(
        server.find(&As::master(), "_User", json!({})).await,
        Vec::<Value>::new()
    );
}

// compat: user.update user.owner_rules
#[tokio::test]
async fn user_is_changed_by_owner_or_master_key_alone() {
    let server = start().await;
    let (tom, toms) = server.sign_up("tom").await;
    let (_, jerrys) = server.sign_up("jerry").await;
    let path = format!("/users/{tom}");
    // Not even an ACL lets anyone else.
    let open = json!({"ACL": {"*": {"read": true, "write": true}}});
    assert_eq!(server.put(&As::user(&toms), &path, open).await.status, 200);
    for stranger in [
        As::client(),
        As::user(&jerrys),
        As::user("nobodystokennobodystokenno"),
    ] {
        for path in [path.clone(), format!("/classes/_User/{tom}")] {
            let refused = server.put(&stranger, &path, json!({"nickname": "x"})).await;
            assert_eq!(refused.error(), (403, 206));
            assert_eq!(
                refused.body["error"],
                "The user cannot be altered by a client without the session."
            );
            assert_eq!(server.delete(&stranger, &path).await.error(), (403, 206));
        }
        let old = json!({"old_password": "tom's password", "new_password": "mine"});
        let refused = server
            .put(&stranger, &format!("{path}/updatePassword"), old)
            .await;
        assert_eq!(refused.error(), (403, 206));
        let refused = server
            .put(&stranger, &format!("{path}/refreshSessionToken"), json!({}))
            .await;
        assert_eq!(refused.error(), (403, 206));
    }
    let changed = server
        .put(&As::user(&toms), &path, json!({"nickname": "thomas"}))
        .await;
    assert_eq!(
        (changed.status, changed.keys()),
        (200, vec!["objectId", "updatedAt"])
    );
    // A new address is not verified, whatever the old one was; only the master key says that it is.
    let verified = server
        .put(
            &As::master(),
            &path,
            json!({"email": "a@b.c", "emailVerified": true}),
        )
        .await;
    assert_eq!(verified.status, 200, "{verified:?}");
    assert_eq!(server.read("_User", &tom).await["emailVerified"], true);
    server
        .put(&As::user(&toms), &path, json!({"email": "d@e.f"}))
        .await;
    assert_eq!(server.read("_User", &tom).await["emailVerified"], false);
    // Users cannot be listed by clients, but read one by one.
    assert_eq!(
        server.get(&As::user(&toms), "/users", &[]).await.error(),
        (403, 403)
    );
    assert_eq!(
        server.get(&As::user(&jerrys), &path, &[]).await.body["nickname"],
        "thomas"
    );
    assert_eq!(server.delete(&As::user(&toms), &path).await.status, 200);
    let gone = server.get(&As::client(), &path, &[]).await;
    assert_eq!(gone.error(), (400, 211));
    assert_eq!(
        server.get(&As::user(&toms), "/users/me", &[]).await.error(),
        (400, 211)
    );
}

// compat: user.update_password user.refresh_token
#[tokio::test]
async fn new_password_or_token_ends_old_session() {
    let server = start().await;
    let (id, token) = server.sign_up("tom").await;
    let path = format!("/users/{id}");
    let change = json!({"old_password": "wrong", "new_password": "new"});
    let refused = server
        .put(&As::user(&token), &format!("{path}/updatePassword"), change)
        .await;
    assert_eq!(refused.error(), (400, 210));
    let change = json!({"old_password": "tom's password", "new_password": "new"});
    let changed = server
        .put(&As::user(&token), &format!("{path}/updatePassword"), change)
        .await;
    assert_eq!(
        (changed.status, changed.keys()),
        (200, vec!["objectId", "sessionToken", "updatedAt"])
    );
    let second = changed.body["sessionToken"].as_str().unwrap().to_owned();
    assert_ne!(second, token);
    assert_eq!(
        server.get(&As::user(&token), "/users/me", &[]).await.error(),
        (400, 211)
    );
    assert_eq!(server.get(&As::user(&second), "/users/me", &[]).await.status, 200);
    let old = json!({"username": "tom", "password": "tom's password"});
    assert_eq!(
        server.post(&As::client(), "/login", old).await.error(),
        (400, 210)
    );
    let new = json!({"username": "tom", "password": "new"});
    assert_eq!(
        server.post(&As::client(), "/login", new).await.body["sessionToken"],
        second.as_str()
    );

    let refreshed = server
        .put(
            &As::user(&second),
            &format!("{path}/refreshSessionToken"),
            json!({}),
        )
        .await;
    assert_eq!(
        (refreshed.status, refreshed.keys()),
        (200, vec!["objectId", "sessionToken", "updatedAt"])
    );
    let third = refreshed.body["sessionToken"].as_str().unwrap().to_owned();
    assert_eq!(
        server.get(&As::user(&second), "/users/me", &[]).await.error(),
        (400, 211)
    );
    // The Python SDK sends `null` where there is nothing to say.
    let refreshed = server
        .put(
            &As::user(&third),
            &format!("{path}/refreshSessionToken"),
            Value::Null,
        )
        .await;
    assert_eq!(refreshed.status, 200, "{refreshed:?}");
    let third = refreshed.body["sessionToken"].as_str().unwrap().to_owned();

    // A plain update of the password ends sessions too; the session that asked gets the new token.
    let changed = server
        .put(&As::user(&third), &path, json!({"password": "newer"}))
        .await;
    assert_eq!(changed.status, 200);
    let fourth = changed.body["sessionToken"].as_str().unwrap();
    assert_eq!(
        server.get(&As::user(&third), "/users/me", &[]).await.error(),
        (400, 211)
    );
    assert_eq!(server.get(&As::user(fourth), "/users/me", &[]).await.status, 200);
    let by_master = server
        .put(&As::master(), &path, json!({"password": "newest"}))
        .await;
    assert_eq!(by_master.keys(), ["objectId", "updatedAt"]);
    assert_eq!(
        server.get(&As::user(fourth), "/users/me", &[]).await.error(),
        (400, 211)
    );
}

/// The hashes of LeanCloud's export, and bcrypt's in either column.
// compat: user.imported
#[tokio::test]
async fn imported_password_is_accepted_and_rehashed() {
    let server = start().await;
    let leancloud = [
        (
            "password",
            "tA7BLW+NK0UeARng0693gCaVnljkglCB9snqlpCSUKjx2RgYp8VZZOQt0S5iUtlDrkJXfT3gknS4rRqjYsd/Ug==",
        ),
        ("salt", "h60d8x797d3oa0naxybxxv9bn7xpt2yiowz68mpiwou7gwr2"),
    ];
    let bcrypt = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
    for (name, columns, password) in [
        ("exported", leancloud.to_vec(), "password"),
        ("imported", vec![("bcryptPassword", bcrypt)], "U*U"),
        ("older", vec![("password", bcrypt)], "U*U"),
    ] {
        let mut fields = Update::new().set("username", name);
        for (column, value) in columns {
            fields = fields.set(column, value);
        }
        let written = server
            .database
            .write(Write::create(&ClassName::user(), fields))
            .await;
        assert!(matches!(written, WriteOutcome::Applied(_)), "{written:?}");
        let login = async |password: &str| {
            let body = json!({"username": name, "password": password});
            server.post(&As::client(), "/login", body).await
        };
        assert_eq!(login("wrong").await.error(), (400, 210), "{name}");
        let first = login(password).await;
        assert_eq!(first.status, 200, "{name}: {first:?}");
        let id = ObjectId::parse(&first.id()).unwrap();
        let stored = server
            .database
            .get(&ClassName::user(), &id)
            .await
            .unwrap()
            .unwrap();
        assert!(stored.text("password").unwrap().starts_with("$argon2id$"));
        assert!(!stored.contains_key("salt") && !stored.contains_key("bcryptPassword"));
        let second = login(password).await;
        assert_eq!(second.body["sessionToken"], first.body["sessionToken"]);
        assert_eq!(login("wrong").await.error(), (400, 210));
        let text = first.body.to_string();
        assert!(!text.contains("salt") && !text.contains("$2a$"), "{text}");
    }
}

#[tokio::test]
async fn imported_password_can_be_changed_before_login() {
    let server = start().await;
    let fields = Update::new()
        .set("username", "old")
        .set(
            "bcryptPassword",
            "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        )
        .set("sessionToken", "oldsessiontokenoldsession");
    let written = server
        .database
        .write(Write::create(&ClassName::user(), fields))
        .await;
    let WriteOutcome::Applied(written) = written else {
        panic!("{written:?}");
    };
    let id = written.object_id.unwrap();
    let changed = server
        .put(
            &As::user("oldsessiontokenoldsession"),
            &format!("/users/{id}"),
            json!({"password": "new"}),
        )
        .await;
    assert!(
        changed.body["sessionToken"].is_string(),
        "the old session ends: {changed:?}"
    );
    let stored = server
        .database
        .get(&ClassName::user(), &id)
        .await
        .unwrap()
        .unwrap();
    assert!(!stored.contains_key("bcryptPassword"));
    for (password, status) in [("new", 200), ("U*U", 400)] {
        let body = json!({"username": "old", "password": password});
        assert_eq!(server.post(&As::client(), "/login", body).await.status, status);
    }
}

// compat: user.strictly_query
#[tokio::test]
async fn strictly_query_finds_users_by_known_values_alone() {
    let server = start().await;
    let (id, _) = server.sign_up("tom").await;
    let ask = async |condition: Value| {
        let condition = condition.to_string();
        server
            .get(&As::client(), "/users/strictlyQuery", &[("where", &condition)])
            .await
    };
    let path = format!("/users/{id}");
    let columns = json!({"city": "Utrecht", "level": 7, "tags": ["a", "b"], "team": super::support::pointer("Team", "t1")});
    let saved = server.put(&As::master(), &path, columns).await;
    assert_eq!(saved.status, 200, "{saved:?}");
    server.sign_up("tim").await;
    for condition in [
        json!({"username": "tom"}),
        json!({"objectId": id}),
        json!({"$and": [{"username": "tom"}]}),
        // An indexed key makes it one user, whatever else is asked.
        json!({"username": "tom", "level": {"$gt": 1}}),
        json!({"city": "Utrecht"}),
        json!({"level": 7, "tags": "a"}),
        json!({"team": super::support::pointer("Team", "t1")}),
        json!({"city": {"$in": ["Utrecht", "Zwolle"]}}),
        json!({"$or": [{"city": "Utrecht"}, {"username": "nobody"}, {"level": {"$in": [1, 2]}}]}),
    ] {
        let found = ask(condition.clone()).await;
        assert_eq!(found.status, 200, "{condition}: {found:?}");
        let found = found.body["results"].as_array().unwrap();
        assert_eq!(
            (found.len(), &found[0]["objectId"]),
            (1, &json!(id)),
            "{condition}"
        );
        assert!(found[0].get("sessionToken").is_none() && found[0].get("authData").is_none());
    }
    let hidden = json!({"secret": {"type": "String", "hidden": true}});
    let hidden = server
        .put(&As::master(), "/schemas/_User", json!({"columns": hidden}))
        .await;
    assert_eq!(hidden.status, 200, "{hidden:?}");
    for condition in [
        json!({}),
        json!({"emailVerified": false}),
        json!({"username": {"$regex": "."}}),
        json!({"username": {"$ne": ""}}),
        json!({"$or": [{"username": "tom"}, {"emailVerified": false}]}),
        json!({"sessionToken": "x"}),
        json!({"password": "x"}),
        json!({"salt": "x"}),
        json!({"authData.weibo.uid": "x"}),
        json!({"secret": "x"}),
        json!({"username": "tom", "secret": "x"}),
        json!({"ACL": {"*": {"read": true}}}),
        json!({"city": ""}),
        json!({"city": null}),
        json!({"city": {"$in": []}}),
        json!({"city": {"$in": ["Utrecht", null]}}),
        json!({"city": {"$exists": true}}),
        json!({"city": {"$ne": "Utrecht"}}),
        json!({"level": {"$gt": 1}}),
        json!({"city": "Utrecht", "level": {"$gt": 1}}),
        json!({"$or": [{"city": "Utrecht"}, {}]}),
    ] {
        assert_eq!(ask(condition.clone()).await.error(), (403, 119), "{condition}");
    }
    for parameter in [("skip", "1"), ("order", "secret"), ("order", "password")] {
        let query = [("where", r#"{"city":"Utrecht"}"#), parameter];
        let refused = server.get(&As::client(), "/users/strictlyQuery", &query).await;
        assert_eq!(refused.error(), (403, 119), "{parameter:?}");
    }
    assert_eq!(
        ask(json!({"username": "nobody"})).await.body,
        json!({"results": []})
    );
}

#[tokio::test]
async fn user_by_token_finds_user() {
    let server = start().await;
    let (id, token) = server.sign_up("tom").await;
    let user = paylog::server::sessions::user_by_token(&*server.database, &token)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (user.text("objectId"), user.text("sessionToken")),
        (Some(&*id), Some(&*token))
    );
    assert!(!user.contains_key("password"));
    for wrong in ["", "x", "nobodystokennobodystokenno"] {
        let nobody = paylog::server::sessions::user_by_token(&*server.database, wrong).await;
        assert_eq!(nobody.unwrap(), None);
    }
}
