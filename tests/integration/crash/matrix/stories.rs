//! The kinds of payment, as calls of cloud functions: how each comes about, and what it does in the end.

use std::time::Duration;

use paylog::model::{ObjectId, Update};
use paylog::payment::service::{CallerKey, Channel};
use paylog::payment::{PaymentConfig, Payments};
use serde_json::{Value, json};

use super::house::{House, Way};
use crate::support::program::As;

/// What a customer has at the beginning of a story: enough for all its rounds.
const MONEY: u64 = 1_000_000;
const PRICE: i64 = 300;
/// What a purchase brings the merchant and the agent, who are in some of the products.
const MERCHANT: i64 = 200;
const AGENT: i64 = 30;

/// A kind of payment, and how it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Story {
    Recharge,
    RechargeRefused,
    Confirm,
    /// For a recharge that was given up.
    ConfirmLate,
    Purchase,
    PurchaseDeclined,
    /// With a key of its own, after an attempt that was declined.
    PurchaseAgain,
    Cancel,
    Expiry,
}

impl Story {
    pub(super) const ALL: [Self; 9] = [
        Self::Recharge,
        Self::RechargeRefused,
        Self::Confirm,
        Self::ConfirmLate,
        Self::Purchase,
        Self::PurchaseDeclined,
        Self::PurchaseAgain,
        Self::Cancel,
        Self::Expiry,
    ];

    /// The ways that it goes. Where the data are in LeanCloud there is no sandbox, so no recharge can be asked for yet.
    pub(super) fn goes(self, way: Way) -> bool {
        match self {
            Self::Recharge => way == Way::Atomic,
            Self::RechargeRefused => way == Way::Stepwise,
            Self::Confirm
            | Self::ConfirmLate
            | Self::Purchase
            | Self::PurchaseDeclined
            | Self::PurchaseAgain
            | Self::Cancel
            | Self::Expiry => true,
        }
    }
}

/// Who takes part in one story.
pub(super) struct Cast {
    /// Has money.
    customer: Person,
    /// Has too little.
    poor: Person,
    merchant: Person,
    agent: Person,
    /// A product whose price goes to the merchant and the agent in part.
    product: String,
}

struct Person {
    id: ObjectId,
    session: String,
}

/// Money by person, spendable and held, in minor units.
pub(super) type Money = Vec<(i64, i64)>;

/// A call, and what it comes to.
pub(super) struct Scene {
    pub(super) function: &'static str,
    /// The session of the caller; none: the master.
    pub(super) session: Option<String>,
    pub(super) parameters: Value,
    /// The code of the refusal; none: it succeeds.
    pub(super) refused: Option<i64>,
    /// What it adds, to whom: customer, poor, merchant, agent.
    pub(super) moves: [(i64, i64); 4],
    /// The order and what it shows in the end.
    pub(super) order: Option<(ObjectId, &'static str)>,
    /// What makes it due, at the last moment.
    pub(super) due: Option<Due>,
}

/// A document whose time has come.
pub(super) struct Due {
    order: ObjectId,
}

impl Scene {
    fn new(function: &'static str, by: Option<&Person>, parameters: Value) -> Self {
        Self {
            function,
            session: by.map(|person| person.session.clone()),
            parameters,
            refused: None,
            moves: [(0, 0); 4],
            order: None,
            due: None,
        }
    }

    pub(super) fn from(&self) -> As<'_> {
        self.session.as_deref().map_or(As::Master, As::User)
    }

    /// Lets the time of it come.
    pub(super) async fn fall_due(&self, house: &House) {
        if let Some(due) = &self.due {
            let past = json!({"__type": "Date", "iso": "2020-01-01T00:00:00.000Z"});
            let update = Update::new().set("expiresAt", past);
            house.change(&house.config.order_class, &due.order, update).await;
        }
    }

    /// The money after it, of people who had `before`.
    pub(super) fn after(&self, before: &Money) -> Money {
        let sums = before.iter().zip(self.moves);
        sums.map(|(had, adds)| (had.0 + adds.0, had.1 + adds.1)).collect()
    }
}

impl Cast {
    /// New people, of whom one has money.
    pub(super) async fn hire(house: &House, story: Story) -> Self {
        let person = async |name: &str| {
            let name = format!("{story:?}-{name}");
            let user = json!({"username": name, "password": "correct horse"});
            let user = house.data().ask("POST", "/1.1/users", As::Client, &user).await;
            Person {
                id: id(&user["objectId"]),
                session: text(&user["sessionToken"]),
            }
        };
        let (customer, poor) = (person("customer").await, person("poor").await);
        let (merchant, agent) = (person("merchant").await, person("agent").await);
        let product = json!({
            "name": "a course", "price": PRICE, "onSale": true,
            "payees": [{"user": merchant.id, "amount": MERCHANT}, {"user": agent.id, "amount": AGENT}],
        });
        let class = "/1.1/classes/Product";
        let product = house.data().ask("POST", class, As::Master, &product).await;
        let cast = Self {
            customer,
            poor,
            merchant,
            agent,
            product: text(&product["objectId"]),
        };
        cast.recharge(house, &cast.customer, MONEY, "money").await;
        cast.recharge(house, &cast.poor, 10, "money").await;
        cast
    }

    pub(super) async fn money(&self, house: &House) -> Money {
        let mut money = Money::new();
        for person in [&self.customer, &self.poor, &self.merchant, &self.agent] {
            let user = house.get(&house.config.user_class, &person.id).await;
            let of = |field| user.integer(field).unwrap_or(0);
            money.push((of("account"), of("frozen")));
        }
        money
    }

    /// A recharge that waits for its gateway: its number.
    async fn ask(&self, worker: &Payments, who: &Person, amount: u64, key: &str) -> String {
        let key = CallerKey::from_value(&json!(key)).unwrap();
        let amount = json!(amount);
        let asked = worker.recharge(&who.id, &amount, Channel::Sandbox, &key).await;
        asked.unwrap().number.unwrap()
    }

    async fn recharge(&self, house: &House, who: &Person, amount: u64, key: &str) {
        let worker = house.worker(house.config.clone());
        let number = self.ask(&worker, who, amount, key).await;
        let word = word(&number, amount);
        house.program().call("confirmRecharge", As::Master, &word).await;
    }

    async fn order(&self, house: &House, who: &Person, key: &str) -> ObjectId {
        let asked = json!({"product": self.product, "key": key});
        let order = house
            .program()
            .call("createOrder", As::User(&who.session), &asked)
            .await;
        id(&order["order"])
    }

    /// Everything up to the call of a story, in a round of it that has not been yet.
    pub(super) async fn stage(&self, house: &House, story: Story, round: usize) -> Scene {
        let key = format!("{story:?}-{round}");
        let (customer, poor) = (&self.customer, &self.poor);
        let sale = [(-PRICE, 0), (0, 0), (MERCHANT, 0), (AGENT, 0)];
        match story {
            Story::Recharge | Story::RechargeRefused => {
                let asked = json!({"amount": 70, "channel": "sandbox", "key": key});
                Scene {
                    refused: (story == Story::RechargeRefused).then_some(9008),
                    ..Scene::new("recharge", Some(customer), asked)
                }
            }
            Story::Confirm | Story::ConfirmLate => {
                let worker = house.worker(PaymentConfig {
                    recharge_expires: Duration::ZERO,
                    ..house.config.clone()
                });
                let number = self.ask(&worker, customer, 70, &key).await;
                if story == Story::ConfirmLate {
                    worker.expire_recharges().await;
                }
                Scene {
                    moves: [(70, 0), (0, 0), (0, 0), (0, 0)],
                    ..Scene::new("confirmRecharge", None, word(&number, 70))
                }
            }
            Story::Purchase => {
                let order = self.order(house, customer, &key).await;
                Scene {
                    moves: sale,
                    order: Some((order.clone(), "paid")),
                    ..Scene::new("payOrder", Some(customer), json!({ "order": order }))
                }
            }
            Story::PurchaseDeclined => {
                let order = self.order(house, poor, &key).await;
                Scene {
                    refused: Some(9002),
                    order: Some((order.clone(), "pending")),
                    ..Scene::new("payOrder", Some(poor), json!({"order": order, "key": key}))
                }
            }
            Story::PurchaseAgain => self.second_attempt(house, &key, sale).await,
            Story::Cancel => {
                let order = self.order(house, customer, &key).await;
                Scene {
                    order: Some((order.clone(), "cancelled")),
                    ..Scene::new("cancelOrder", Some(customer), json!({ "order": order }))
                }
            }
            Story::Expiry => {
                let order = self.order(house, customer, &key).await;
                Scene {
                    refused: Some(9006),
                    order: Some((order.clone(), "expired")),
                    due: Some(Due { order: order.clone() }),
                    ..Scene::new("payOrder", Some(customer), json!({ "order": order }))
                }
            }
        }
    }

    /// The poor one was declined, and has money now.
    async fn second_attempt(&self, house: &House, key: &str, sale: [(i64, i64); 4]) -> Scene {
        let (poor, [customer, none, merchant, agent]) = (&self.poor, sale);
        let order = self.order(house, poor, key).await;
        let first = json!({ "order": order });
        let (status, answer) = house.call("payOrder", As::User(&poor.session), &first).await;
        assert_eq!((status, &answer["code"]), (400, &json!(9002)), "{answer}");
        self.recharge(house, poor, PRICE.unsigned_abs(), key).await;
        Scene {
            moves: [none, customer, merchant, agent],
            order: Some((order.clone(), "paid")),
            ..Scene::new("payOrder", Some(poor), json!({"order": order, "key": key}))
        }
    }
}

/// The gateway's word.
fn word(number: &str, amount: u64) -> Value {
    json!({"number": number, "amount": amount, "channel": "sandbox", "tradeNo": format!("T-{number}")})
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn id(value: &Value) -> ObjectId {
    ObjectId::parse(value.as_str().unwrap()).unwrap()
}
