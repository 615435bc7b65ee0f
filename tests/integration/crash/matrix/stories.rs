//! The kinds of payment, as calls of cloud functions: how each comes about, and what it does in the end.

use std::time::Duration;

use paylog::model::{ObjectId, Update};
use paylog::payment::service::{CallerKey, Channel};
use paylog::payment::{PaymentConfig, Payments};
use serde_json::{Value, json};

use super::house::{House, Way};
use crate::support::program::{As, poll};

/// What a customer has at the beginning of a story: enough for all its rounds.
const MONEY: u64 = 1_000_000;
const PRICE: i64 = 300;
/// What a purchase brings the merchant and the agent.
const MERCHANT: i64 = 200;
const AGENT: i64 = 30;
/// What is held or withdrawn.
const HELD: i64 = 90;

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
    Transfer,
    TransferDeclined,
    Refund,
    RefundInPart,
    /// The first of the payees gives their part back, the second has spent it: the first gets it again.
    RefundDeclined,
    Hold,
    Capture,
    CaptureInPart,
    /// More than is held.
    CaptureRefused,
    Release,
    /// By nobody's call.
    HoldExpiry,
    Withdraw,
    WithdrawRefused,
    PaidOut,
    NotPaidOut,
    AdjustUp,
    AdjustDown,
    AdjustDeclined,
}

impl Story {
    pub(super) const ALL: [Self; 27] = [
        Self::Recharge,
        Self::RechargeRefused,
        Self::Confirm,
        Self::ConfirmLate,
        Self::Purchase,
        Self::PurchaseDeclined,
        Self::PurchaseAgain,
        Self::Cancel,
        Self::Expiry,
        Self::Transfer,
        Self::TransferDeclined,
        Self::Refund,
        Self::RefundInPart,
        Self::RefundDeclined,
        Self::Hold,
        Self::Capture,
        Self::CaptureInPart,
        Self::CaptureRefused,
        Self::Release,
        Self::HoldExpiry,
        Self::Withdraw,
        Self::WithdrawRefused,
        Self::PaidOut,
        Self::NotPaidOut,
        Self::AdjustUp,
        Self::AdjustDown,
        Self::AdjustDeclined,
    ];

    /// Whether it goes that way. Where the data are in LeanCloud there is no sandbox, so no money can be asked for, or
    /// sent away, yet.
    pub(super) fn goes(self, way: Way) -> bool {
        match self {
            Self::Recharge | Self::Withdraw => way == Way::Atomic,
            Self::RechargeRefused | Self::WithdrawRefused => way == Way::Stepwise,
            _ => true,
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
    /// What falls due at the last moment.
    due: Option<Due>,
}

/// Whose time comes.
enum Due {
    /// An order's: the call that comes too late expires it.
    Order(ObjectId),
    /// A hold's: the program expires it when it is started.
    Hold(ObjectId),
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

    /// Whether the program does it by itself, at its start; the call only says afterwards what became of it.
    pub(super) fn comes_by_itself(&self) -> bool {
        matches!(self.due, Some(Due::Hold(_)))
    }

    /// Lets the time of it come.
    pub(super) async fn fall_due(&self, house: &House) {
        let (class, id) = match &self.due {
            Some(Due::Order(id)) => (&house.config.order_class, id),
            Some(Due::Hold(id)) => (&house.config.log_class, id),
            None => return,
        };
        let past = json!({"__type": "Date", "iso": "2020-01-01T00:00:00.000Z"});
        house
            .change(class, id, Update::new().set("expiresAt", past))
            .await;
    }

    /// Whether what falls due has been.
    pub(super) async fn is_over(&self, house: &House) -> bool {
        match &self.due {
            None => true,
            Some(Due::Order(id)) => {
                let order = house.get(&house.config.order_class, id).await;
                order.text("status") != Some("pending")
            }
            Some(Due::Hold(id)) => {
                let hold = house.get(&house.config.log_class, id).await;
                hold.get("expiresAt").is_none()
            }
        }
    }

    /// Waits until what comes by itself has been.
    pub(super) async fn over(&self, house: &House) {
        if self.comes_by_itself() {
            poll("the hold to expire", async || {
                self.is_over(house).await.then_some(())
            })
            .await;
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
                    due: Some(Due::Order(order.clone())),
                    ..Scene::new("payOrder", Some(customer), json!({ "order": order }))
                }
            }
            Story::Transfer | Story::TransferDeclined => self.transfer(story, &key),
            Story::Refund | Story::RefundInPart | Story::RefundDeclined => {
                self.refund(house, story, &key).await
            }
            Story::Hold
            | Story::Capture
            | Story::CaptureInPart
            | Story::CaptureRefused
            | Story::Release
            | Story::HoldExpiry => self.hold(house, story, &key).await,
            Story::Withdraw | Story::WithdrawRefused | Story::PaidOut | Story::NotPaidOut => {
                self.withdraw(house, story, &key).await
            }
            Story::AdjustUp | Story::AdjustDown | Story::AdjustDeclined => self.adjust(story, &key),
        }
    }

    fn transfer(&self, story: Story, key: &str) -> Scene {
        let (from, amount) = match story {
            Story::TransferDeclined => (&self.poor, 500),
            _ => (&self.customer, 40),
        };
        let asked = json!({"to": self.merchant.id, "amount": amount, "note": "for lunch", "key": key});
        let scene = Scene::new("transfer", Some(from), asked);
        if story == Story::TransferDeclined {
            return Scene {
                refused: Some(9002),
                ..scene
            };
        }
        Scene {
            moves: [(-amount, 0), (0, 0), (amount, 0), (0, 0)],
            ..scene
        }
    }

    /// What was paid goes back.
    async fn refund(&self, house: &House, story: Story, key: &str) -> Scene {
        let order = self.order(house, &self.customer, key).await;
        let asked = json!({ "order": order });
        let paid = house
            .program()
            .call("payOrder", As::User(&self.customer.session), &asked)
            .await;
        assert_eq!(paid["outcome"], "succeeded", "{paid}");
        let asked = json!({"order": order, "key": key, "reason": "no time for it"});
        let scene = Scene::new("refundOrder", None, asked);
        match story {
            Story::RefundDeclined => {
                let agent = &self.agent;
                let has = house.get(&house.config.user_class, &agent.id).await;
                let spent = json!({"to": self.merchant.id, "amount": has.integer("account"), "key": key});
                house
                    .program()
                    .call("transfer", As::User(&agent.session), &spent)
                    .await;
                Scene {
                    refused: Some(9002),
                    order: Some((order, "paid")),
                    ..scene
                }
            }
            Story::RefundInPart => {
                let mut scene = Scene {
                    moves: [(100, 0), (0, 0), (-MERCHANT / 3, 0), (-AGENT / 3, 0)],
                    order: Some((order, "paid")),
                    ..scene
                };
                scene.parameters["amount"] = json!(100);
                scene
            }
            _ => Scene {
                moves: [(PRICE, 0), (0, 0), (-MERCHANT, 0), (-AGENT, 0)],
                order: Some((order, "refunded")),
                ..scene
            },
        }
    }

    /// Money is held, and the hold ends.
    async fn hold(&self, house: &House, story: Story, key: &str) -> Scene {
        let asked = json!({"user": self.customer.id, "amount": HELD, "key": key});
        if story == Story::Hold {
            return Scene {
                moves: [(-HELD, HELD), (0, 0), (0, 0), (0, 0)],
                ..Scene::new("holdFunds", None, asked)
            };
        }
        let held = house.program().call("holdFunds", As::Master, &asked).await;
        let (hold, payee) = (id(&held["log"]), &self.merchant.id);
        let capture = json!({"hold": hold, "payee": payee, "key": key});
        let none = (0, 0);
        match story {
            Story::Release => Scene {
                moves: [(HELD, -HELD), none, none, none],
                ..Scene::new("releaseHold", None, json!({"hold": hold, "key": key}))
            },
            Story::HoldExpiry => Scene {
                refused: Some(9006),
                moves: [(HELD, -HELD), none, none, none],
                due: Some(Due::Hold(hold)),
                ..Scene::new("captureHold", None, capture)
            },
            Story::CaptureInPart => {
                let mut scene = Scene {
                    moves: [(HELD - 50, -HELD), none, (50, 0), none],
                    ..Scene::new("captureHold", None, capture)
                };
                scene.parameters["amount"] = json!(50);
                scene
            }
            Story::CaptureRefused => {
                let mut scene = Scene {
                    refused: Some(9009),
                    ..Scene::new("captureHold", None, capture)
                };
                scene.parameters["amount"] = json!(HELD + 1);
                scene
            }
            _ => Scene {
                moves: [(0, -HELD), none, (HELD, 0), none],
                ..Scene::new("captureHold", None, capture)
            },
        }
    }

    /// Money is to leave, and does or does not.
    async fn withdraw(&self, house: &House, story: Story, key: &str) -> Scene {
        let payee = "account 1234";
        let asked = json!({"amount": HELD, "channel": "sandbox", "payee": payee, "key": key});
        let scene = Scene::new("withdraw", Some(&self.customer), asked);
        let none = (0, 0);
        match story {
            Story::Withdraw => {
                return Scene {
                    moves: [(-HELD, HELD), none, none, none],
                    ..scene
                };
            }
            Story::WithdrawRefused => {
                return Scene {
                    refused: Some(9008),
                    ..scene
                };
            }
            _ => {}
        }
        // With the sandbox, on both ways; closed at once, as this worker has nothing going on behind its answers.
        let worker = house.worker(house.config.clone());
        let (amount, key) = (json!(HELD), CallerKey::from_value(&json!(key)).unwrap());
        let user = &self.customer.id;
        let withdrawn = worker
            .withdraw(user, &amount, Channel::Sandbox, payee, &key)
            .await
            .unwrap();
        worker.sweep(Duration::ZERO, 100).await.unwrap();
        let is_paid_out = story == Story::PaidOut;
        let back = if is_paid_out { 0 } else { HELD };
        Scene {
            moves: [(back, -HELD), none, none, none],
            ..Scene::new(
                "settleWithdraw",
                None,
                json!({"log": withdrawn.log, "succeeded": is_paid_out}),
            )
        }
    }

    fn adjust(&self, story: Story, key: &str) -> Scene {
        let (who, amount) = match story {
            Story::AdjustUp => (&self.customer, 25),
            Story::AdjustDown => (&self.customer, -25),
            _ => (&self.poor, -500),
        };
        let asked = json!({"user": who.id, "amount": amount, "reason": "counted again", "key": key});
        let scene = Scene::new("adjustAccount", None, asked);
        if story == Story::AdjustDeclined {
            return Scene {
                refused: Some(9002),
                ..scene
            };
        }
        Scene {
            moves: [(amount, 0), (0, 0), (0, 0), (0, 0)],
            ..scene
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
