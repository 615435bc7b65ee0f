//! Queries in CQL: they find what ordinary queries find, and no more.

use serde_json::{Value, json};

use super::support::{Answer, As, TestServer, pointer, start};

async fn ask(server: &TestServer, caller: &As, cql: &str, values: Option<Value>) -> Answer {
    let values = values.map(|values| values.to_string());
    let mut query = vec![("cql", cql)];
    query.extend(values.as_deref().map(|values| ("pvalues", values)));
    server.get(caller, "/cloudQuery", &query).await
}

// compat: cql
#[tokio::test]
async fn statement_finds_counts_orders_and_includes() {
    let server = start().await;
    let client = As::client();
    let author = server.create(&client, "Author", json!({"name": "tom"})).await;
    for n in 0..5 {
        let body = json!({"n": n, "title": format!("t{n}"), "author": pointer("Author", &author)});
        server.create(&client, "Post", body).await;
    }
    let found = ask(&server, &client, "select * from Post", None).await;
    assert_eq!((found.status, found.keys()), (200, vec!["className", "results"]));
    assert_eq!(found.body["className"], "Post");
    assert_eq!(found.body["results"].as_array().unwrap().len(), 5);

    let counted = ask(
        &server,
        &client,
        "select *, count(objectId) from Post limit ?",
        Some(json!([2])),
    )
    .await;
    assert_eq!(
        (
            counted.body["results"].as_array().unwrap().len(),
            &counted.body["count"]
        ),
        (2, &json!(5))
    );
    let only = ask(&server, &client, "select count(*) from Post where n > 1", None).await;
    assert_eq!(only.body, json!({"results": [], "className": "Post", "count": 3}));

    let titles = async |cql: &str, values: Value| {
        let found = ask(&server, &client, cql, Some(values)).await;
        assert_eq!(found.status, 200, "{cql}: {found:?}");
        let results = found.body["results"].as_array().unwrap().clone();
        let titles: Vec<String> = results
            .iter()
            .map(|row| row["title"].as_str().unwrap().to_owned())
            .collect();
        titles.join(" ")
    };
    assert_eq!(
        titles(
            "select title from Post where n >= ? order by n desc limit 2",
            json!([1])
        )
        .await,
        "t4 t3"
    );
    assert_eq!(
        titles("select * from Post where n in ? order by -n", json!([[1, 3]])).await,
        "t3 t1"
    );
    assert_eq!(
        titles("select * from Post order by n limit 1,2", json!([])).await,
        "t1 t2"
    );
    assert_eq!(
        titles(
            "select * from Post where title like '%4' or n = 0 order by n",
            json!([])
        )
        .await,
        "t0 t4"
    );
    assert_eq!(
        titles(
            "select * from Post where author in (select * from Author where name = ?) order by n limit 1",
            json!(["tom"])
        )
        .await,
        "t0"
    );
    let included = ask(
        &server,
        &client,
        "select include author, title from Post limit 1",
        None,
    )
    .await;
    let row = &included.body["results"][0];
    assert_eq!(row.get("n"), None);
    let included = ask(
        &server,
        &client,
        "select include author, * from Post limit 1",
        None,
    )
    .await;
    assert_eq!(included.body["results"][0]["author"]["name"], "tom");
}

// compat: cql cql.values
#[tokio::test]
async fn statement_takes_values_of_every_kind() {
    let server = start().await;
    let client = As::client();
    let author = server.create(&client, "Author", json!({})).await;
    for (n, m) in [(1, 2), (1, 3), (2, 1)] {
        let body = json!({"n": n, "m": m, "title": format!("Hello World {n}%"), "author": pointer("Author", &author),
            "bytes": {"__type": "Bytes", "base64": "AQ=="}});
        server.create(&client, "Post", body).await;
    }
    let found = async |cql: &str, values: Option<Value>| {
        let found = ask(&server, &client, &format!("select * from Post {cql}"), values).await;
        assert_eq!(found.status, 200, "{cql}: {found:?}");
        let rows = found.body["results"].as_array().unwrap().clone();
        rows.iter()
            .map(|row| format!("{}{}", row["n"], row["m"]))
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(found("order by n,m desc", None).await, "21 13 12");
    assert_eq!(found("order by n,+m desc", None).await, "21 12 13");
    assert_eq!(found("order by +n,m desc", None).await, "13 12 21");
    let author = format!("{{className: 'Author', \"objectId\": '{author}', __type: 'Pointer'}}");
    for (condition, rows) in [
        (format!("author = {author}"), "12 13 21"),
        ("bytes = base64('AQ==')".to_owned(), "12 13 21"),
        ("createdAt <= current_timestamp()".to_owned(), "12 13 21"),
        ("createdAt > current_timestamp()".to_owned(), ""),
        ("title like '%Hello[ ]World%'".to_owned(), "12 13 21"),
        ("title like '%1[%]'".to_owned(), "12 13"),
    ] {
        let cql = format!("where {condition} order by n, m");
        assert_eq!(found(&cql, None).await, rows, "{condition}");
    }
    // One of the SDKs encodes its values twice. What is left over is left.
    let twice = Value::String(json!([2]).to_string());
    assert_eq!(found("where n = ?", Some(twice)).await, "21");
    assert_eq!(found("where n = ?", Some(json!([2, 3]))).await, "21");
    let thrice = Value::String(Value::String("[2]".to_owned()).to_string());
    let refused = ask(&server, &client, "select * from Post where n = ?", Some(thrice)).await;
    assert_eq!(refused.error(), (400, 107));
}

// compat: cql.permissions
#[tokio::test]
async fn statement_obeys_permissions() {
    let server = start().await;
    let (client, master) = (As::client(), As::master());
    server.sign_up("tom").await;
    server.create(&master, "Note", json!({"n": 1, "ACL": {}})).await;
    server.create(&master, "Note", json!({"n": 2})).await;
    let found = ask(&server, &client, "select * from Note", None).await;
    assert_eq!(found.body["results"].as_array().unwrap().len(), 1);
    let found = ask(&server, &master, "select * from Note", None).await;
    assert_eq!(found.body["results"].as_array().unwrap().len(), 2);
    for (cql, error) in [
        ("select * from _User", (403, 403)),
        (
            "select * from Note where n in (select username from _User)",
            (403, 403),
        ),
        ("select * from _Secret", (400, 103)),
        ("select * from Absent", (404, 101)),
    ] {
        assert_eq!(ask(&server, &client, cql, None).await.error(), error, "{cql}");
    }
    for cql in [
        "select * from _User where password > 'a'",
        "select * from _User order by sessionToken",
    ] {
        assert_eq!(
            ask(&server, &master, cql, None).await.error(),
            (403, 119),
            "{cql}"
        );
    }
    let shown = ask(&server, &master, "select password, sessionToken from _User", None).await;
    assert_eq!(
        super::support::sorted_keys(&shown.body["results"][0]),
        ["createdAt", "objectId", "updatedAt"]
    );
}

// compat: cql.errors
#[tokio::test]
async fn malformed_statement_names_position() {
    let server = start().await;
    let client = As::client();
    server.create(&client, "GameScore", json!({})).await;
    let refused = ask(&server, &client, "select * GameScore limit 10", None).await;
    assert_eq!(refused.error(), (400, 300));
    assert!(
        refused.body["error"]
            .as_str()
            .unwrap()
            .starts_with("CQL syntax error.Detail: Parse error at line 1, column 10:\n"),
        "{refused:?}"
    );
    for (query, code) in [
        (vec![], 107),
        (vec![("cql", "select * from GameScore where n = ?")], 300),
        (vec![("cql", "select * from GameScore"), ("pvalues", "[1")], 107),
        (vec![("cql", "select * from GameScore"), ("pvalues", "{}")], 107),
        (vec![("cql", "delete from GameScore")], 1),
    ] {
        let refused = server.get(&client, "/cloudQuery", &query).await;
        assert_eq!(refused.error(), (400, code), "{query:?}");
    }
}
