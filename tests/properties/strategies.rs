//! Documents, filters and updates over a few keys, so that they meet often.
//!
//! Columns have a type by their name, as in a class: `n` numbers, `s` text, `b` booleans, `d` dates, `l` arrays, `o`
//! objects, `p` pointers to `Post`. Any of them may be missing or null. What [`documents`], [`updates`] give fits
//! one class; [`values`] and [`wild_documents`] hold anything.

use paylog::model::{
    ClassName, Document, Filter, KeyPath, ObjectId, Op, Pattern, Pointer, Query, Test, Timestamp, Update,
    Value,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::json;

/// The names of the columns.
pub(crate) const COLUMNS: [&str; 7] = ["n", "s", "b", "d", "l", "o", "p"];

/// Paths that filters look at: columns, parts of objects, elements of arrays, and what is never there.
pub(crate) const PATHS: [&str; 16] = [
    "n", "s", "b", "d", "l", "o", "p", "o.x", "o.y", "o.x.y", "l.0", "l.1", "l.x", "l.0.x", "none", "none.x",
];

/// Default number of cases per property; `PROPTEST_CASES` overrides it.
pub(crate) fn cases(default: u32) -> ProptestConfig {
    let mut config = ProptestConfig::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = default;
    }
    config.failure_persistence = None;
    config
}

/// Numbers: few small ones that meet, halves, and those at which integers and doubles part.
pub(crate) fn numbers() -> BoxedStrategy<Value> {
    prop_oneof![
        6 => (-3_i64..4).prop_map(Value::from),
        2 => (-6_i64..7).prop_map(|halves| json!(f64::from(i32::try_from(halves).unwrap()) / 2.0)),
        1 => prop::sample::select(vec![
            json!(9_007_199_254_740_991_i64),
            json!(9_007_199_254_740_992_i64),
            json!(9_007_199_254_740_993_i64),
            json!(9_007_199_254_740_992.0),
            json!(i64::MAX),
            json!(i64::MIN),
            json!(9.3e18),
            json!(1e-9),
            json!(-0.0),
        ]),
    ]
    .boxed()
}

/// Short text over few letters, some of them with a meaning of their own in SQL, JSON paths or patterns.
pub(crate) fn texts() -> BoxedStrategy<String> {
    prop_oneof![
        5 => "[ab]{0,2}",
        1 => r#"[aB%_.*'"\\$é中]{0,3}"#,
    ]
    .boxed()
}

/// Instants, few and close.
pub(crate) fn dates() -> BoxedStrategy<Value> {
    (0_i64..4)
        .prop_map(|at| {
            let iso = Timestamp::from_millis(1_600_000_000_000 + at * 500).to_string();
            json!({"__type": "Date", "iso": iso})
        })
        .boxed()
}

/// Pointers to one of three objects of a class.
pub(crate) fn pointers(class: &'static str) -> BoxedStrategy<Pointer> {
    prop::sample::select(vec!["p1", "p2", "p3"])
        .prop_map(move |id| Pointer {
            class_name: ClassName::parse(class).unwrap(),
            object_id: ObjectId::parse(id).unwrap(),
        })
        .boxed()
}

/// Values that are neither arrays nor plain objects.
pub(crate) fn scalars() -> BoxedStrategy<Value> {
    prop_oneof![
        4 => numbers(),
        4 => texts().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => dates(),
        1 => pointers("Post").prop_map(|pointer| pointer.to_value()),
    ]
    .boxed()
}

/// Any value, nested at most three deep. Typed values are in the form in which they are stored.
pub(crate) fn values() -> BoxedStrategy<Value> {
    scalars()
        .prop_recursive(2, 8, 3, |inner| {
            prop_oneof![
                2 => vec(inner.clone(), 0..4).prop_map(Value::from),
                1 => objects(inner),
            ]
        })
        .boxed()
}

fn objects(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    vec((prop::sample::select(vec!["x", "y"]), inner), 0..3).prop_map(|fields| {
        fields
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect()
    })
}

/// A value that fits a column.
pub(crate) fn values_of(column: &str) -> BoxedStrategy<Value> {
    match column {
        "n" => numbers(),
        "s" => texts().prop_map(Value::from).boxed(),
        "b" => any::<bool>().prop_map(Value::from).boxed(),
        "d" => dates(),
        "l" => vec(values(), 0..4).prop_map(Value::from).boxed(),
        "o" => objects(values()).boxed(),
        "p" => pointers("Post").prop_map(|pointer| pointer.to_value()).boxed(),
        other => panic!("no column '{other}'"),
    }
}

/// The fields of an object of the one class, without id and times.
pub(crate) fn documents() -> BoxedStrategy<Document> {
    let columns: Vec<_> = COLUMNS
        .iter()
        .map(|column| {
            option::weighted(0.7, prop_oneof![9 => values_of(column), 1 => Just(Value::Null)])
                .prop_map(|value| value.map(|value| ((*column).to_owned(), value)))
        })
        .collect();
    columns
        .prop_map(|fields| fields.into_iter().flatten().collect())
        .boxed()
}

/// Documents whose columns hold anything.
pub(crate) fn wild_documents() -> BoxedStrategy<Document> {
    vec((prop::sample::select(COLUMNS.to_vec()), values()), 0..6)
        .prop_map(|fields| {
            fields
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect()
        })
        .boxed()
}

/// A path that filters look at.
pub(crate) fn paths() -> BoxedStrategy<KeyPath> {
    prop::sample::select(PATHS.to_vec())
        .prop_map(KeyPath::new)
        .boxed()
}

/// Patterns that are legal, quoted ones among them.
pub(crate) fn patterns() -> BoxedStrategy<Pattern> {
    let text = prop_oneof![
        texts().prop_map(|text| Pattern::quote(&text)),
        texts().prop_map(|text| format!("^{}", Pattern::quote(&text))),
        texts().prop_map(|text| format!("{}$", Pattern::quote(&text))),
        prop::sample::select(vec!["a", "^a", "b$", "a|b", "^((?!a).)*$", "[ab]{2}", "."])
            .prop_map(str::to_owned),
    ];
    let options = prop::sample::select(vec!["", "i", "s", "im"]);
    (text, options)
        .prop_map(|(text, options)| Pattern::new(&text, options).unwrap())
        .boxed()
}

/// Tests that need neither a subquery nor an index.
pub(crate) fn tests() -> BoxedStrategy<Test> {
    let leaf = prop_oneof![
        4 => values().prop_map(Test::Eq),
        2 => values().prop_map(Test::Ne),
        2 => scalars().prop_map(Test::Lt),
        2 => scalars().prop_map(Test::Lte),
        2 => scalars().prop_map(Test::Gt),
        2 => scalars().prop_map(Test::Gte),
        2 => vec(values(), 0..3).prop_map(Test::In),
        2 => vec(values(), 0..3).prop_map(Test::Nin),
        1 => any::<bool>().prop_map(Test::Exists),
        1 => vec(values(), 0..3).prop_map(Test::All),
        1 => (0_u64..4).prop_map(Test::Size),
        1 => patterns().prop_map(Test::Regex),
    ];
    leaf.prop_recursive(2, 3, 1, |inner| inner.prop_map(|test| Test::Not(Box::new(test))))
        .boxed()
}

/// Filters as [`Filter::parse`] makes them: conjunctions of tests and alternatives, two levels deep.
pub(crate) fn filters() -> BoxedStrategy<Filter> {
    let leaf = vec((paths(), tests()), 0..3).prop_map(|parts| {
        Filter::And(
            parts
                .into_iter()
                .map(|(path, test)| Filter::Key(path, test))
                .collect(),
        )
    });
    leaf.prop_recursive(2, 8, 3, |inner| {
        let alternatives = vec(inner.clone(), 1..3);
        (
            vec((paths(), tests()), 0..3),
            vec((any::<bool>(), alternatives), 0..3),
        )
            .prop_map(|(tests, alternatives)| {
                let tests = tests.into_iter().map(|(path, test)| Filter::Key(path, test));
                let alternatives = alternatives.into_iter().map(|(or, parts)| match or {
                    true => Filter::Or(parts),
                    false => Filter::Nor(parts),
                });
                Filter::And(tests.chain(alternatives).collect())
            })
    })
    .boxed()
}

/// Queries over [`filters`], sorted by up to two columns.
pub(crate) fn queries() -> BoxedStrategy<Query> {
    let order = vec((any::<bool>(), prop::sample::select(COLUMNS.to_vec())), 0..3);
    (filters(), order, 0_u32..20, 0_u32..4, any::<bool>())
        .prop_map(|(filter, order, limit, skip, count)| {
            let names: Vec<String> = order
                .into_iter()
                .map(|(descending, name)| format!("{}{name}", if descending { "-" } else { "" }))
                .collect();
            let mut query = Query::new(filter).order_by(&names.join(",")).limit(limit);
            query.skip = skip;
            query.count = count;
            query
        })
        .boxed()
}

/// One operation that fits a column by its type; it may still meet a stored null and be refused.
fn ops_of(column: &'static str) -> BoxedStrategy<(String, Op)> {
    let elements = || vec(values(), 0..3);
    let ops = match column {
        "n" => prop_oneof![
            2 => numbers().prop_map(Op::Set),
            3 => numbers().prop_map(|number| Op::Increment(number.as_number().unwrap().clone())),
            1 => any::<i8>().prop_map(|bits| Op::BitAnd(bits.into())),
            1 => any::<i8>().prop_map(|bits| Op::BitOr(bits.into())),
            1 => any::<i8>().prop_map(|bits| Op::BitXor(bits.into())),
            1 => Just(Op::Delete),
        ]
        .boxed(),
        "l" => prop_oneof![
            1 => values_of("l").prop_map(Op::Set),
            2 => elements().prop_map(Op::Add),
            2 => elements().prop_map(Op::AddUnique),
            2 => elements().prop_map(Op::Remove),
            1 => Just(Op::Delete),
        ]
        .boxed(),
        "o" => {
            return prop_oneof![
                2 => values_of("o").prop_map(|value| ("o".to_owned(), Op::Set(value))),
                2 => values().prop_map(|value| ("o.x".to_owned(), Op::Set(value))),
                1 => values().prop_map(|value| ("o.x.y".to_owned(), Op::Set(value))),
                1 => Just(("o.x".to_owned(), Op::Delete)),
                1 => numbers().prop_map(|number| {
                    ("o.y".to_owned(), Op::Increment(number.as_number().unwrap().clone()))
                }),
                1 => elements().prop_map(|values| ("o.x".to_owned(), Op::AddUnique(values))),
            ]
            .boxed();
        }
        other => prop_oneof![
            4 => values_of(other).prop_map(Op::Set),
            1 => Just(Op::Set(Value::Null)),
            1 => Just(Op::Delete),
        ]
        .boxed(),
    };
    ops.prop_map(move |op| (column.to_owned(), op)).boxed()
}

/// Updates of up to three columns that fit the one class.
pub(crate) fn updates() -> BoxedStrategy<Update> {
    prop::sample::subsequence(COLUMNS.to_vec(), 0..4)
        .prop_flat_map(|columns| columns.into_iter().map(ops_of).collect::<Vec<_>>())
        .prop_map(|ops| {
            ops.into_iter()
                .fold(Update::new(), |update, (key, op)| update.with(&key, op))
        })
        .boxed()
}

/// Updates of any column with any operation: many are refused.
pub(crate) fn wild_updates() -> BoxedStrategy<Update> {
    let op = prop::sample::select(COLUMNS.to_vec()).prop_flat_map(ops_of);
    let keys = prop::sample::subsequence(vec!["n", "s", "l", "o", "o.x", "o.y", "l.0", "l.2"], 0..4);
    (keys, vec(op, 4))
        .prop_map(|(keys, ops)| {
            keys.into_iter()
                .zip(ops)
                .filter(|(key, _)| !(*key == "o" && key.len() > 1))
                .fold(Update::new(), |update, (key, (_, op))| update.with(key, op))
        })
        .boxed()
}

/// Keys that mean something to the model.
const NAMES: &str = "a a.b $ $and $or $nor $not $in $nin $all $ne $gt $lte $exists $size $regex $options $inQuery \
    $select $relatedTo $nearSphere $maxDistance $within $box __type __op className objectId objects \
    amount value ops iso base64 latitude longitude key query where object delete limit";

/// Texts that mean something to the model.
const WORDS: &str = "Date Bytes Pointer GeoPoint File Relation Object Increment Decrement Add AddUnique Remove \
    Delete BitAnd AddRelation RemoveRelation Batch Post x ( [a \\Qa \\E \\ 2020-01-01T00:00:00Z \
    YQ== $ {\"a\":1}";

/// Any JSON, well-formed for the model or not: operators and types with wrong operands.
pub(crate) fn json() -> BoxedStrategy<Value> {
    let names = prop::sample::select(NAMES.split(' ').collect::<Vec<_>>());
    let words = prop::sample::select(WORDS.split(' ').collect::<Vec<_>>());
    let leaf = prop_oneof![
        3 => words.prop_map(Value::from),
        1 => texts().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => Just(json!(u64::MAX)),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            1 => vec(inner.clone(), 0..4).prop_map(Value::from),
            3 => vec((prop_oneof![20 => names.clone(), 1 => Just("")], inner), 0..4).prop_map(|fields| {
                fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
            }),
        ]
    })
    .boxed()
}
