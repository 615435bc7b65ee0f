#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, dead_code, reason = "private")]
mod moving_in;
mod support;

mod measure {
    use std::time::Instant;

    use paylog::environment::Environment;
    use paylog::model::{ClassName, Document};
    use paylog::storage::SqliteStore;
    use paylog::store::load::{Batch, Load, Loader, Over};
    use serde_json::{Value, json};

    use crate::support::program::{self, Server, stderr, stdout};

    fn timed(what: &str, server: &Server, home: &std::path::Path, arguments: &[&str]) {
        let started = Instant::now();
        let address = if arguments[0] == "verify" { "--against" } else { "--server" };
        let output = program::program()
            .args(arguments)
            .args([address, &server.address, "--requests-per-second", "10000", "--requests-at-once", "4", "--log", "warn", "--data"])
            .arg(home)
            .env("LEANCLOUD_APP_ID", &server.keys.app_id)
            .env("LEANCLOUD_APP_MASTER_KEY", &server.keys.master_key)
            .output()
            .unwrap();
        println!("{what}: {:.1} s, {}", started.elapsed().as_secs_f64(), output.status);
        println!("{}", stdout(&output).lines().rev().take(4).collect::<Vec<_>>().join(" | "));
        println!("{}", stderr(&output).lines().rev().take(3).collect::<Vec<_>>().join(" | "));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore]
    async fn measure() {
        let posts: usize = std::env::var("POSTS").unwrap().parse().unwrap();
        let users: usize = std::env::var("USERS").unwrap().parse().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("old");
        assert!(Server::start(&data).await.stop().await.success());
        let store = SqliteStore::open(&data, Environment::system()).unwrap();
        let started = Instant::now();
        for (class, count) in [("Post", posts), ("_User", users)] {
            let class = ClassName::parse(class).unwrap();
            for part in (0..count).collect::<Vec<_>>().chunks(1000) {
                let steps = part.iter().map(|number| {
                    let at = paylog::model::Timestamp::from_millis(1_700_000_000_000 + *number as i64 * 7).to_string();
                    let mut fields = json!({"objectId": format!("{:024x}", number * 2654435761_usize), "createdAt": at, "updatedAt": at});
                    let more = if class.as_str() == "Post" {
                        json!({"title": format!("a title of post {number}"), "text": "some hundred characters of text, as it may be in a post of an app, more or less, now and then",
                            "number": number, "tags": ["a", "b"], "author": {"__type": "Pointer", "className": "_User", "objectId": format!("{:024x}", number % users.max(1))},
                            "ACL": {"*": {"read": true}}})
                    } else {
                        json!({"username": format!("user{number}"), "account": 100, "authData": {"weixin": {"openid": number.to_string()}}})
                    };
                    if let (Value::Object(fields), Value::Object(more)) = (&mut fields, more) { fields.extend(more); }
                    let Value::Object(fields) = fields else { panic!() };
                    Load::Put { class: class.clone(), document: Document(fields), over: Over::Anything, complete: &[] }
                });
                store.load(Batch::new(steps.collect())).await.unwrap();
            }
        }
        println!("made in {:.1} s", started.elapsed().as_secs_f64());
        store.close().await;
        drop(store);
        let mut command = program::serve(&data);
        command.env("PAYLOG_LOG_CLASS", "NobodysLog").env("PAYLOG_ORDER_CLASS", "NobodysOrder");
        let server = Server::started(command.spawn().unwrap(), &data).await;
        let home = folder.path().join("home");
        timed("pull", &server, &home, &["pull"]);
        timed("pull again", &server, &home, &["pull"]);
        timed("verify", &server, &home, &["verify"]);
        timed("final", &server, &home, &["pull", "--final"]);
    }
}
