//! Queries: conditions, order, paging, projection, inclusion, scans.

use serde_json::{Value, json};

use super::support::{As, TestServer, pointer, sorted_keys, start};

/// Seven scores, some without a player.
async fn scores() -> TestServer {
    let server = start().await;
    for n in 0..7 {
        let mut score = json!({"n": n, "tags": ["all", if n % 2 == 0 { "even" } else { "odd" }],
            "at": {"__type": "Date", "iso": format!("2026-01-0{}T00:00:00.000Z", n + 1)}});
        if n > 1 {
            score["player"] = json!(format!("player {n}"));
        }
        server.create(&As::client(), "Score", score).await;
    }
    server
}

fn numbers(rows: &[Value]) -> Vec<i64> {
    rows.iter().map(|row| row["n"].as_i64().unwrap()).collect()
}

// compat: where.equality where.comparison where.in where.exists where.arrays where.regex where.or_and where.missing
#[tokio::test]
async fn conditions_find_matching_rows() {
    let server = scores().await;
    let date = |day: u8| json!({"__type": "Date", "iso": format!("2026-01-0{day}T00:00:00.000Z")});
    let cases = [
        (json!({}), vec![0, 1, 2, 3, 4, 5, 6]),
        (json!({"n": 3}), vec![3]),
        (json!({"n": {"$gt": 1, "$lte": 3}}), vec![2, 3]),
        (json!({"n": {"$ne": 3}, "tags": "odd"}), vec![1, 5]),
        (json!({"n": {"$in": [1, 2, 9]}}), vec![1, 2]),
        (json!({"n": {"$nin": [0, 1, 2, 3, 4]}}), vec![5, 6]),
        (json!({"player": {"$exists": false}}), vec![0, 1]),
        (
            json!({"player": {"$nin": ["player 2"]}, "n": {"$lt": 3}}),
            vec![0, 1],
        ),
        (json!({"tags": {"$all": ["all", "even"]}}), vec![0, 2, 4, 6]),
        (json!({"tags": {"$size": 2}, "n": {"$gte": 6}}), vec![6]),
        (json!({"player": {"$regex": "^\\Qplayer \\E[23]$"}}), vec![2, 3]),
        (
            json!({"player": {"$regex": "^PLAYER (?!2)", "$options": "i"}, "n": {"$lt": 4}}),
            vec![3],
        ),
        (json!({"$or": [{"n": 1}, {"n": {"$gt": 5}}]}), vec![1, 6]),
        (json!({"$and": [{"n": {"$gt": 1}}, {"n": {"$lt": 3}}]}), vec![2]),
        (json!([{"n": {"$gt": 1}}, {"n": {"$lt": 3}}]), vec![2]),
        (json!({"at": {"$gte": date(6)}}), vec![5, 6]),
        (json!({"at": date(2)}), vec![1]),
    ];
    for (condition, expected) in cases {
        let found = server.find(&As::client(), "Score", condition.clone()).await;
        assert_eq!(numbers(&found), expected, "{condition}");
    }
}

/// The regex engine below reads some of these patterns differently.
// compat: where.regex where.malformed
#[tokio::test]
async fn regex_is_pcre() {
    let server = start().await;
    let texts = ["<b>", "a b", "cafe\u{301}", "x\n", "9٣", "[1]"];
    for (n, text) in texts.iter().enumerate() {
        server
            .create(&As::client(), "Text", json!({"n": n, "text": text}))
            .await;
    }
    for (pattern, expected) in [
        (r"\<b\>", vec![0]),
        (r"^a\hb$", vec![1]),
        (r"^\w+$", vec![3]),
        (r"\bcafe\b", vec![2]),
        (r"x$", vec![3]),
        (r"^\d\D$", vec![4]),
        (r"^[[]\d", vec![5]),
        (r"^\[\61\]", vec![5]),
    ] {
        let condition = json!({"text": {"$regex": pattern}});
        let found = server.find(&As::client(), "Text", condition).await;
        assert_eq!(numbers(&found), expected, "{pattern}");
    }
    let condition = json!({"text": {"$regex": "(?|a|b)"}}).to_string();
    let refused = server
        .get(&As::client(), "/classes/Text", &[("where", &condition)])
        .await;
    assert_eq!(refused.error(), (400, 107));
    assert!(
        refused.body["error"].as_str().unwrap().contains("(?|"),
        "{refused:?}"
    );
}

// compat: geo.box geo.not_points
#[tokio::test]
async fn geo_box_takes_numbers_and_near_needs_points() {
    let server = start().await;
    for n in 0..3 {
        let at = json!({"__type": "GeoPoint", "latitude": n, "longitude": n * 10});
        server
            .create(&As::client(), "Shop", json!({"n": n, "at": at}))
            .await;
    }
    let within = json!({"at": {"$within": {"$box": [[5, 0.5], [20, 2]]}}});
    assert_eq!(numbers(&server.find(&As::client(), "Shop", within).await), [1, 2]);
    let near = json!({"$nearSphere": {"__type": "GeoPoint", "latitude": 2, "longitude": 20}});
    let ask = async |condition: Value| {
        let condition = condition.to_string();
        server
            .get(&As::client(), "/classes/Shop", &[("where", &condition)])
            .await
    };
    let found = ask(json!({"at": near})).await;
    assert_eq!(numbers(found.body["results"].as_array().unwrap()), [2, 1, 0]);
    for refused in [
        json!({"n": near}),
        json!({"$and": [{"n": {"$gt": 0}}, {"n.at": near}]}),
    ] {
        let refused = ask(refused).await;
        assert_eq!(refused.error(), (400, 1));
        let text = refused.body["error"].as_str().unwrap();
        assert!(
            text.starts_with(
                "can't find any special indices: 2d (needs index), 2dsphere (needs index), for n"
            ),
            "{text}"
        );
    }
}

// compat: query.order query.limit query.skip query.count where.malformed
#[tokio::test]
async fn query_orders_pages_and_counts() {
    let server = scores().await;
    let ask = async |query: &[(&str, &str)]| server.get(&As::client(), "/classes/Score", query).await.body;
    let rows = |body: &Value| numbers(body["results"].as_array().unwrap());
    assert_eq!(
        rows(&ask(&[("order", "-n"), ("limit", "2"), ("skip", "1")]).await),
        [5, 4]
    );
    assert_eq!(
        rows(&ask(&[("order", "player,-n"), ("limit", "3")]).await),
        [1, 0, 2]
    );
    let counted = ask(&[("count", "1"), ("limit", "0"), ("where", r#"{"n":{"$gt":2}}"#)]).await;
    assert_eq!(counted, json!({"results": [], "count": 4}));
    let both = ask(&[("count", "1"), ("limit", "1"), ("order", "n")]).await;
    assert_eq!((rows(&both), &both["count"]), (vec![0], &json!(7)));
    for bad in [
        ("where", "{"),
        ("where", r#""text""#),
        ("where", r#"{"n":{"$nonsense":1}}"#),
        ("where", r#"{"n":{"$in":1}}"#),
        ("limit", "many"),
    ] {
        let refused = server.get(&As::client(), "/classes/Score", &[bad]).await;
        assert_eq!(refused.error(), (400, 107), "{bad:?}");
    }
}

// compat: query.keys object.keys
#[tokio::test]
async fn query_keys_select_fields() {
    let server = start().await;
    let body = json!({"a": 1, "b": 2, "c": {"d": 3, "e": 4}});
    let id = server.create(&As::client(), "Post", body).await;
    let cases = [
        ("a,b", vec!["a", "b", "createdAt", "objectId", "updatedAt"]),
        ("-b,-createdAt", vec!["a", "c", "objectId", "updatedAt"]),
        ("nothing", vec!["createdAt", "objectId", "updatedAt"]),
    ];
    for (keys, expected) in cases {
        let one = server
            .get(&As::client(), &format!("/classes/Post/{id}"), &[("keys", keys)])
            .await;
        assert_eq!(one.keys(), expected);
        let list = server
            .get(&As::client(), "/classes/Post", &[("keys", keys)])
            .await
            .body;
        assert_eq!(sorted_keys(&list["results"][0]), expected);
    }
    let nested = server
        .get(&As::client(), "/classes/Post", &[("keys", "c.d")])
        .await
        .body;
    assert_eq!(nested["results"][0]["c"], json!({"d": 3}));
}

// compat: query.include object.include query.include.blanks
#[tokio::test]
async fn include_expands_pointers() {
    let server = start().await;
    let client = As::client();
    let city = server.create(&client, "City", json!({"name": "Xi'an"})).await;
    let author = server
        .create(
            &client,
            "Person",
            json!({"name": "Li", "city": pointer("City", &city)}),
        )
        .await;
    let reader = server.create(&client, "Person", json!({"name": "Wu"})).await;
    let hidden = server
        .create(&As::master(), "Person", json!({"name": "secret", "ACL": {}}))
        .await;
    let post = json!({"title": "t", "author": pointer("Person", &author),
        "readers": [pointer("Person", &reader), pointer("Person", &author), 7, pointer("Person", &hidden)],
        "gone": pointer("Person", "5d83080ef40d3a0007541db3"), "nobody": pointer("Nowhere", &city)});
    let id = server.create(&client, "Post", post).await;
    let paths = "author.city, readers ,gone,nobody,title,absent";
    for path in [format!("/classes/Post/{id}"), "/classes/Post".to_owned()] {
        let answer = server.get(&client, &path, &[("include", paths)]).await.body;
        let shown = if path.ends_with("Post") {
            &answer["results"][0]
        } else {
            &answer
        };
        assert_eq!(shown["title"], "t");
        let author_shown = &shown["author"];
        assert_eq!(
            sorted_keys(author_shown),
            [
                "__type",
                "city",
                "className",
                "createdAt",
                "name",
                "objectId",
                "updatedAt"
            ]
        );
        assert_eq!(
            (&author_shown["__type"], &author_shown["className"]),
            (&json!("Pointer"), &json!("Person"))
        );
        assert_eq!(author_shown["city"]["name"], "Xi'an");
        assert_eq!(
            (&shown["readers"][0]["name"], &shown["readers"][1]["name"]),
            (&json!("Wu"), &json!("Li"))
        );
        assert_eq!(shown["readers"][2], 7);
        // What is not readable, or not there, stays a pointer.
        assert_eq!(shown["readers"][3], pointer("Person", &hidden));
        assert_eq!(shown["gone"], pointer("Person", "5d83080ef40d3a0007541db3"));
        assert_eq!(shown["nobody"], pointer("Nowhere", &city));
    }
    let chosen = server
        .get(
            &client,
            "/classes/Post",
            &[("include", "author"), ("keys", "author.name")],
        )
        .await
        .body;
    assert_eq!(
        sorted_keys(&chosen["results"][0]["author"]),
        [
            "__type",
            "className",
            "createdAt",
            "name",
            "objectId",
            "updatedAt"
        ]
    );
    // Users are included without their secrets.
    let (user, _) = server.sign_up("tom").await;
    let id = server
        .create(&client, "Post", json!({"user": pointer("_User", &user)}))
        .await;
    let shown = server
        .get(&client, &format!("/classes/Post/{id}"), &[("include", "user")])
        .await
        .body;
    assert_eq!(shown["user"]["username"], "tom");
    assert!(shown["user"].get("password").is_none() && shown["user"].get("sessionToken").is_none());
}

// compat: where.in_query where.select
#[tokio::test]
async fn subquery_results_replace_subqueries() {
    let server = start().await;
    let client = As::client();
    let mut people = Vec::new();
    for n in 0..3 {
        let person = json!({"n": n, "town": format!("town {n}")});
        people.push(server.create(&client, "Person", person).await);
    }
    for (n, person) in people.iter().enumerate() {
        let post = json!({"n": n, "author": pointer("Person", person), "place": format!("town {n}")});
        server.create(&client, "Post", post).await;
    }
    server.create(&client, "Post", json!({"n": 9})).await;
    let elders = json!({"className": "Person", "where": {"n": {"$gte": 1}}});
    let towns = json!({"query": elders, "key": "town"});
    let youngest = json!({"className": "Person", "where": {}, "order": "n", "limit": 1});
    let nested = json!({"className": "Post", "where": {"author": {"$inQuery": elders}}});
    let cases = [
        (json!({"author": {"$inQuery": elders}}), vec![1, 2]),
        (json!({"author": {"$notInQuery": elders}}), vec![0, 9]),
        (json!({"author": {"$inQuery": youngest}}), vec![0]),
        (json!({"place": {"$select": towns}}), vec![1, 2]),
        (json!({"place": {"$dontSelect": towns}}), vec![0, 9]),
        (
            json!({"author": {"$inQuery": {"className": "Nowhere", "where": {}}}}),
            vec![],
        ),
        (
            json!({"n": {"$select": {"query": nested, "key": "n"}}}),
            vec![1, 2],
        ),
        (
            json!({"$or": [{"n": 9}, {"author": {"$inQuery": elders}}], "n": {"$ne": 2}}),
            vec![1, 9],
        ),
    ];
    for (condition, expected) in cases {
        let found = server.find(&client, "Post", condition.clone()).await;
        assert_eq!(numbers(&found), expected, "{condition}");
    }
    // As conditions of writes too.
    let id = server
        .create(&client, "Post", json!({"author": pointer("Person", &people[0])}))
        .await;
    let path = format!("/classes/Post/{id}");
    let refused = server
        .put_where(
            &client,
            &path,
            json!({"author": {"$inQuery": elders}}),
            json!({"x": 1}),
        )
        .await;
    assert_eq!(refused.error(), (400, 305));
    let done = server
        .put_where(
            &client,
            &path,
            json!({"author": {"$notInQuery": elders}}),
            json!({"x": 1}),
        )
        .await;
    assert_eq!(done.status, 200);
    // A small request cannot cause a thousand queries.
    let many: Vec<Value> = (0..200)
        .map(|_| json!({"author": {"$inQuery": elders}}))
        .collect();
    let many = json!({"$or": many}).to_string();
    let refused = server.request(&client, reqwest::Method::POST, "/batch").json(
        &json!({"requests": [{"method": "GET", "path": "/1.1/classes/Post", "params": {"where": many}}]}),
    );
    let refused = super::support::answer(refused).await.body;
    assert_eq!(refused[0]["error"]["code"], 1, "{refused}");
}

/// Reads all pages of a scan, two rows each.
async fn scanned(server: &TestServer, query: &[(&str, &str)]) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut query = [query, &[("limit", "2")]].concat();
        if let Some(cursor) = &cursor {
            query.push(("cursor", cursor));
        }
        let page = server.get(&As::master(), "/scan/classes/Tie", &query).await;
        assert_eq!(page.status, 200, "{:?}", page.body);
        rows.extend(page.body["results"].as_array().unwrap().clone());
        match page.body["cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return rows,
        }
    }
}

#[tokio::test]
async fn scan_by_shared_or_missing_key_returns_each_object_once() {
    let server = start().await;
    for body in [
        json!({"i": 0, "n": 1, "o": {"n": 1}}),
        json!({"i": 1}),
        json!({"i": 2, "n": 1, "o": {"n": 1}}),
        json!({"i": 3, "n": 2, "o": {"n": 2}}),
        json!({"i": 4, "n": 1, "o": {"n": 1}}),
        json!({"i": 5, "n": null, "o": {"m": 2}}),
        json!({"i": 6, "n": 2, "o": {"n": 2}}),
        json!({"i": 7}),
    ] {
        server.create(&As::client(), "Tie", body).await;
    }
    let order = |rows: &[Value]| -> Vec<i64> { rows.iter().map(|row| row["i"].as_i64().unwrap()).collect() };
    for (scan_key, expected) in [
        ("n", [1, 5, 7, 0, 2, 4, 3, 6]),
        ("-n", [3, 6, 0, 2, 4, 1, 5, 7]),
        ("o.n", [1, 5, 7, 0, 2, 4, 3, 6]),
        ("-o.n", [3, 6, 0, 2, 4, 1, 5, 7]),
        ("createdAt", [0, 1, 2, 3, 4, 5, 6, 7]),
    ] {
        let rows = scanned(&server, &[("scan_key", scan_key)]).await;
        assert_eq!(order(&rows), expected, "{scan_key}");
    }
    assert_eq!(scanned(&server, &[("scan_key", "-createdAt")]).await.len(), 8);
    // What the caller wants to see is no matter of the cursor.
    for (scan_key, keys) in [
        ("n", "i"),
        ("objectId", "i,-objectId"),
        ("createdAt", "i,-createdAt"),
    ] {
        let rows = scanned(&server, &[("scan_key", scan_key), ("keys", keys)]).await;
        assert_eq!(rows.len(), 8, "{scan_key} {keys}");
        assert!(rows.iter().all(|row| row.get("n").is_none()), "{rows:?}");
    }
}

// compat: scan scan.cursor
#[tokio::test]
async fn scan_returns_each_object_once() {
    let server = scores().await;
    let master = As::master();
    assert_eq!(
        server
            .get(&As::client(), "/scan/classes/Score", &[])
            .await
            .error(),
        (400, 1)
    );
    for scan_key in ["objectId", "n", "-n"] {
        let mut seen = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut query = vec![
                ("limit", "3"),
                ("scan_key", scan_key),
                ("where", r#"{"n":{"$lt":6}}"#),
            ];
            if let Some(cursor) = &cursor {
                query.push(("cursor", cursor));
            }
            let page = server.get(&master, "/scan/classes/Score", &query).await;
            assert_eq!((page.status, page.keys()), (200, vec!["cursor", "results"]));
            seen.extend(numbers(page.body["results"].as_array().unwrap()));
            match page.body["cursor"].as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => break,
            }
        }
        match scan_key {
            "n" => assert_eq!(seen, [0, 1, 2, 3, 4, 5]),
            "-n" => assert_eq!(seen, [5, 4, 3, 2, 1, 0]),
            _ => {
                seen.sort_unstable();
                assert_eq!(seen, [0, 1, 2, 3, 4, 5]);
            }
        }
    }
    let other = server
        .get(&master, "/scan/classes/Score", &[("cursor", "nonsense")])
        .await;
    assert_eq!(other.error(), (400, 107));
}
