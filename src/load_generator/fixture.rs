//! The data that payments need: users with a session and money, a product, orders.

use std::future::Future;

use anyhow::{Context, Result};
use bytes::Bytes;
use futures_util::future::try_join_all;
use hyper::Method;
use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::connection::{Connection, Headers, Sender, Target};
use super::load::Load;

/// Price of one order, in fen.
const PRICE: u64 = 100;

/// Concurrent sign-ups. Each hashes a password, which occupies one core for a while and 19 MB of memory: more
/// concurrency is not faster.
const SIGN_UPS_AT_ONCE: usize = 4;

/// The users, and the orders that they are to pay.
#[derive(Debug)]
pub(crate) struct Fixture {
    pub(crate) users: Vec<BenchUser>,
    /// Orders in the order of payment.
    pub(crate) orders: Vec<Order>,
}

/// A user with a session.
#[derive(Debug)]
pub(crate) struct BenchUser {
    pub(crate) headers: Headers,
    recharged: u64,
    orders: u64,
}

/// An unpaid order of the user at index `user`.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) user: usize,
    pub(crate) id: String,
}

/// Creates `users` users with money for `payments` payments in all, and that many orders.
pub(crate) async fn prepare(load: Load<'_>, users: u64, payments: u64) -> Result<Fixture> {
    // Names and keys of several runs against one server stay apart.
    let run = load.environment.random_text(8);
    let product = make_product(load.target).await?;
    let users = make_users(load, &run, users, payments).await?;
    let orders = make_orders(load, &run, &users, &product, payments).await?;
    Ok(Fixture { users, orders })
}

async fn make_product(target: &Target) -> Result<String> {
    let body = json!({"name": "bench", "price": PRICE, "onSale": true}).to_string();
    let mut connection = target.connect().await?;
    let made = connection
        .ask(
            Method::POST,
            "/1.1/classes/Product",
            Sender::Master,
            Bytes::from(body),
        )
        .await?;
    text(&made, "objectId")
}

/// Signs users up and gives each the money for its share of the payments.
async fn make_users(load: Load<'_>, run: &str, users: u64, payments: u64) -> Result<Vec<BenchUser>> {
    let share = payments.div_ceil(users);
    let target = load.target;
    let bar = (load.progress_bar)("signing up", users);
    let made = spread(
        target,
        SIGN_UPS_AT_ONCE,
        users,
        &bar,
        async |connection, index| {
            make_user(target, connection, &format!("bench-{run}-{index}"), share * PRICE).await
        },
    )
    .await?;
    bar.finish_and_clear();
    Ok(made
        .into_iter()
        .zip(0..)
        .map(|(mut user, index): (BenchUser, u64)| {
            user.orders = payments / users + u64::from(index < payments % users);
            user
        })
        .collect())
}

async fn make_user(
    target: &Target,
    connection: &mut Connection<'_>,
    name: &str,
    money: u64,
) -> Result<BenchUser> {
    let body = json!({"username": name, "password": "bench-password"}).to_string();
    let user = connection
        .ask(Method::POST, "/1.1/users", Sender::Client, Bytes::from(body))
        .await?;
    let headers = target.session(&text(&user, "sessionToken")?)?;
    let asked = json!({"amount": money, "channel": "sandbox", "key": "bench"});
    let recharge = connection
        .call("recharge", Sender::User(&headers), &asked)
        .await
        .context("bench pays with test money: the server must run with --sandbox")?;
    let number = text(&recharge, "number")?;
    let word = json!({"number": number, "amount": money, "channel": "sandbox", "tradeNo": name});
    connection.call("confirmRecharge", Sender::Master, &word).await?;
    Ok(BenchUser {
        headers,
        recharged: money,
        orders: 0,
    })
}

async fn make_orders(
    load: Load<'_>,
    run: &str,
    users: &[BenchUser],
    product: &str,
    payments: u64,
) -> Result<Vec<Order>> {
    let bar = (load.progress_bar)("ordering", payments);
    let orders = spread(
        load.target,
        load.in_flight,
        payments,
        &bar,
        async |connection, index| {
            let user = usize::try_from(index)? % users.len();
            let headers = &users.get(user).context("no such user")?.headers;
            let asked = json!({"product": product, "key": format!("bench-{run}-{index}")});
            let order = connection
                .call("createOrder", Sender::User(headers), &asked)
                .await?;
            let id = text(&order, "order")?;
            Ok(Order { user, id })
        },
    )
    .await?;
    bar.finish_and_clear();
    Ok(orders)
}

/// Runs `work` for 0, 1, … `total` − 1 over `connections` connections; returns the results in that order.
async fn spread<'t, T>(
    target: &'t Target,
    connections: usize,
    total: u64,
    bar: &ProgressBar,
    work: impl AsyncFn(&mut Connection<'t>, u64) -> Result<T>,
) -> Result<Vec<T>> {
    let next = std::cell::Cell::new(0);
    let worker = || async {
        let mut connection = target.connect().await?;
        let mut done = Vec::new();
        while next.get() < total {
            let index = next.replace(next.get() + 1);
            done.push((index, work(&mut connection, index).await?));
            bar.inc(1);
        }
        anyhow::Ok(done)
    };
    let mut results: Vec<_> = join(connections, worker).await?.into_iter().flatten().collect();
    results.sort_by_key(|(index, _)| *index);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

async fn join<T, F: Future<Output = Result<T>>>(count: usize, worker: impl Fn() -> F) -> Result<Vec<T>> {
    try_join_all((0..count).map(|_| worker())).await
}

/// Number of users whose balance is wrong after all orders have been paid.
pub(crate) async fn count_wrong_balances(target: &Target, users: &[BenchUser], payments: u64) -> Result<u64> {
    let mut connection = target.connect().await?;
    let mut wrong = 0;
    let mut orders = 0;
    for user in users {
        let answer = connection
            .call("getBalance", Sender::User(&user.headers), &json!({}))
            .await?;
        let right = user.recharged - user.orders * PRICE;
        wrong += u64::from(answer.get("account").and_then(Value::as_u64) != Some(right));
        orders += user.orders;
    }
    anyhow::ensure!(
        orders == payments,
        "{orders} orders were made for {payments} payments"
    );
    Ok(wrong)
}

fn text(answer: &Value, key: &str) -> Result<String> {
    answer
        .get(key)
        .and_then(Value::as_str)
        .map(ToOwned::to_owned)
        .with_context(|| format!("an answer lacks {key}: {answer}"))
}
