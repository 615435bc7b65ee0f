//! The scenarios: each kind of payment as a call of a cloud function, with its preparation and its expected result.

use std::time::Duration;

use paylog::model::{ObjectId, Update};
use paylog::payment::service::{CallerKey, Channel};
use paylog::payment::{PaymentConfig, PaymentService};
use serde_json::{Value, json};

use super::harness::{CommitMode, Harness};
use crate::support::program::{As, poll};

/// Initial balance of the customer: enough for all rounds of a scenario.
const MONEY: u64 = 1_000_000;
const PRICE: i64 = 300;
/// Shares of the merchant and the agent in a purchase.
const MERCHANT: i64 = 200;
const AGENT: i64 = 30;
/// Amount of a hold or a withdrawal.
const HELD: i64 = 90;

/// A kind of payment and its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scenario {
    Recharge,
    RechargeRefused,
    Confirm,
    /// For an expired recharge.
    ConfirmLate,
    Purchase,
    PurchaseDeclined,
    /// With a new key, after a declined attempt.
    PurchaseAgain,
    Cancel,
    Expiry,
    Transfer,
    TransferDeclined,
    Refund,
    RefundInPart,
    /// The first payee returns its share, the second has spent it: the first gets its share back.
    RefundDeclined,
    Hold,
    Capture,
    CaptureInPart,
    /// More than is held.
    CaptureRefused,
    Release,
    /// Without a call.
    HoldExpiry,
    Withdraw,
    WithdrawRefused,
    PaidOut,
    NotPaidOut,
    AdjustUp,
    AdjustDown,
    AdjustDeclined,
}

impl Scenario {
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

    /// True if the scenario runs in this mode. With data in LeanCloud there is no sandbox, so recharges and withdrawals are
    /// refused.
    pub(super) fn runs_in(self, mode: CommitMode) -> bool {
        match self {
            Self::Recharge | Self::Withdraw => mode == CommitMode::Atomic,
            Self::RechargeRefused | Self::WithdrawRefused => mode == CommitMode::PerDocument,
            _ => true,
        }
    }
}

/// The users and the product of one scenario.
pub(super) struct Participants {
    /// Has [`MONEY`].
    customer: Person,
    /// Has too little money.
    poor: Person,
    merchant: Person,
    agent: Person,
    /// A product whose price goes partly to the merchant and the agent.
    product: String,
}

struct Person {
    id: ObjectId,
    session: String,
}

/// Spendable and held money of each person, in minor units.
pub(super) type Money = Vec<(i64, i64)>;

/// A call and its expected result.
pub(super) struct Case {
    pub(super) function: &'static str,
    /// Session of the caller; `None` is the master key.
    pub(super) session: Option<String>,
    pub(super) parameters: Value,
    /// Code of the refusal; `None` if the call succeeds.
    pub(super) refusal_code: Option<i64>,
    /// Changes of the money of customer, poor, merchant and agent.
    pub(super) expected_changes: [(i64, i64); 4],
    /// The order and its final status.
    pub(super) order: Option<(ObjectId, &'static str)>,
    /// The document that expires right before the call.
    due: Option<Due>,
}

/// An expiring document.
enum Due {
    /// An order: the late call expires it.
    Order(ObjectId),
    /// A hold: the program expires it at its start.
    Hold(ObjectId),
}

impl Case {
    fn new(function: &'static str, by: Option<&Person>, parameters: Value) -> Self {
        Self {
            function,
            session: by.map(|person| person.session.clone()),
            parameters,
            refusal_code: None,
            expected_changes: [(0, 0); 4],
            order: None,
            due: None,
        }
    }

    pub(super) fn from(&self) -> As<'_> {
        self.session.as_deref().map_or(As::Master, As::User)
    }

    /// True if the program acts by itself at its start; the call then only shows the result.
    pub(super) fn runs_at_start(&self) -> bool {
        matches!(self.due, Some(Due::Hold(_)))
    }

    /// Moves the expiry of the document into the past.
    pub(super) async fn make_due(&self, harness: &Harness) {
        let (class, id) = match &self.due {
            Some(Due::Order(id)) => (&harness.config.order_class, id),
            Some(Due::Hold(id)) => (&harness.config.log_class, id),
            None => return,
        };
        let past = json!({"__type": "Date", "iso": "2020-01-01T00:00:00.000Z"});
        harness
            .change(class, id, Update::new().set("expiresAt", past))
            .await;
    }

    /// True once the document has expired.
    pub(super) async fn is_done(&self, harness: &Harness) -> bool {
        match &self.due {
            None => true,
            Some(Due::Order(id)) => {
                let order = harness.get(&harness.config.order_class, id).await;
                order.text("status") != Some("pending")
            }
            Some(Due::Hold(id)) => {
                let hold = harness.get(&harness.config.log_class, id).await;
                hold.get("expiresAt").is_none()
            }
        }
    }

    /// Waits until the program has acted by itself.
    pub(super) async fn wait_until_done(&self, harness: &Harness) {
        if self.runs_at_start() {
            poll("the hold to expire", async || {
                self.is_done(harness).await.then_some(())
            })
            .await;
        }
    }

    /// Returns the expected money of people who had `before`.
    pub(super) fn expected_money(&self, before: &Money) -> Money {
        let sums = before.iter().zip(self.expected_changes);
        sums.map(|(had, adds)| (had.0 + adds.0, had.1 + adds.1)).collect()
    }
}

impl Participants {
    /// Creates new users and a product.
    pub(super) async fn create(harness: &Harness, scenario: Scenario) -> Self {
        let person = async |name: &str| {
            let name = format!("{scenario:?}-{name}");
            let user = json!({"username": name, "password": "correct horse"});
            let user = harness.data().ask("POST", "/1.1/users", As::Client, &user).await;
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
        let product = harness.data().ask("POST", class, As::Master, &product).await;
        let participants = Self {
            customer,
            poor,
            merchant,
            agent,
            product: text(&product["objectId"]),
        };
        participants
            .recharge(harness, &participants.customer, MONEY, "money")
            .await;
        participants
            .recharge(harness, &participants.poor, 10, "money")
            .await;
        participants
    }

    pub(super) async fn money(&self, harness: &Harness) -> Money {
        let mut money = Money::new();
        for person in [&self.customer, &self.poor, &self.merchant, &self.agent] {
            let user = harness.get(&harness.config.user_class, &person.id).await;
            let of = |field| user.integer(field).unwrap_or(0);
            money.push((of("account"), of("frozen")));
        }
        money
    }

    /// Requests a recharge; returns its number.
    async fn ask(&self, worker: &PaymentService, who: &Person, amount: u64, key: &str) -> String {
        let key = CallerKey::from_value(&json!(key)).unwrap();
        let amount = json!(amount);
        let asked = worker.recharge(&who.id, &amount, Channel::Sandbox, &key).await;
        asked.unwrap().number.unwrap()
    }

    async fn recharge(&self, harness: &Harness, who: &Person, amount: u64, key: &str) {
        let worker = harness.worker(harness.config.clone());
        let number = self.ask(&worker, who, amount, key).await;
        let notice = notice(&number, amount);
        harness
            .program()
            .call("confirmRecharge", As::Master, &notice)
            .await;
    }

    async fn order(&self, harness: &Harness, who: &Person, key: &str) -> ObjectId {
        let asked = json!({"product": self.product, "key": key});
        let order = harness
            .program()
            .call("createOrder", As::User(&who.session), &asked)
            .await;
        id(&order["order"])
    }

    /// Prepares everything up to the call of a scenario, for a new round.
    pub(super) async fn prepare(&self, harness: &Harness, scenario: Scenario, round: usize) -> Case {
        let key = format!("{scenario:?}-{round}");
        let (customer, poor) = (&self.customer, &self.poor);
        let sale = [(-PRICE, 0), (0, 0), (MERCHANT, 0), (AGENT, 0)];
        match scenario {
            Scenario::Recharge | Scenario::RechargeRefused => {
                let asked = json!({"amount": 70, "channel": "sandbox", "key": key});
                Case {
                    refusal_code: (scenario == Scenario::RechargeRefused).then_some(9008),
                    ..Case::new("recharge", Some(customer), asked)
                }
            }
            Scenario::Confirm | Scenario::ConfirmLate => {
                let worker = harness.worker(PaymentConfig {
                    recharge_expires: Duration::ZERO,
                    ..harness.config.clone()
                });
                let number = self.ask(&worker, customer, 70, &key).await;
                if scenario == Scenario::ConfirmLate {
                    worker.expire_recharges().await;
                }
                Case {
                    expected_changes: [(70, 0), (0, 0), (0, 0), (0, 0)],
                    ..Case::new("confirmRecharge", None, notice(&number, 70))
                }
            }
            Scenario::Purchase => {
                let order = self.order(harness, customer, &key).await;
                Case {
                    expected_changes: sale,
                    order: Some((order.clone(), "paid")),
                    ..Case::new("payOrder", Some(customer), json!({ "order": order }))
                }
            }
            Scenario::PurchaseDeclined => {
                let order = self.order(harness, poor, &key).await;
                Case {
                    refusal_code: Some(9002),
                    order: Some((order.clone(), "pending")),
                    ..Case::new("payOrder", Some(poor), json!({"order": order, "key": key}))
                }
            }
            Scenario::PurchaseAgain => self.second_attempt(harness, &key, sale).await,
            Scenario::Cancel => {
                let order = self.order(harness, customer, &key).await;
                Case {
                    order: Some((order.clone(), "cancelled")),
                    ..Case::new("cancelOrder", Some(customer), json!({ "order": order }))
                }
            }
            Scenario::Expiry => {
                let order = self.order(harness, customer, &key).await;
                Case {
                    refusal_code: Some(9006),
                    order: Some((order.clone(), "expired")),
                    due: Some(Due::Order(order.clone())),
                    ..Case::new("payOrder", Some(customer), json!({ "order": order }))
                }
            }
            Scenario::Transfer | Scenario::TransferDeclined => self.transfer(scenario, &key),
            Scenario::Refund | Scenario::RefundInPart | Scenario::RefundDeclined => {
                self.refund(harness, scenario, &key).await
            }
            Scenario::Hold
            | Scenario::Capture
            | Scenario::CaptureInPart
            | Scenario::CaptureRefused
            | Scenario::Release
            | Scenario::HoldExpiry => self.hold(harness, scenario, &key).await,
            Scenario::Withdraw | Scenario::WithdrawRefused | Scenario::PaidOut | Scenario::NotPaidOut => {
                self.withdraw(harness, scenario, &key).await
            }
            Scenario::AdjustUp | Scenario::AdjustDown | Scenario::AdjustDeclined => {
                self.adjust(scenario, &key)
            }
        }
    }

    fn transfer(&self, scenario: Scenario, key: &str) -> Case {
        let (from, amount) = match scenario {
            Scenario::TransferDeclined => (&self.poor, 500),
            _ => (&self.customer, 40),
        };
        let asked = json!({"to": self.merchant.id, "amount": amount, "note": "for lunch", "key": key});
        let case = Case::new("transfer", Some(from), asked);
        if scenario == Scenario::TransferDeclined {
            return Case {
                refusal_code: Some(9002),
                ..case
            };
        }
        Case {
            expected_changes: [(-amount, 0), (0, 0), (amount, 0), (0, 0)],
            ..case
        }
    }

    /// Prepares a refund.
    async fn refund(&self, harness: &Harness, scenario: Scenario, key: &str) -> Case {
        let order = self.order(harness, &self.customer, key).await;
        let asked = json!({ "order": order });
        let paid = harness
            .program()
            .call("payOrder", As::User(&self.customer.session), &asked)
            .await;
        assert_eq!(paid["outcome"], "succeeded", "{paid}");
        let asked = json!({"order": order, "key": key, "reason": "no time for it"});
        let case = Case::new("refundOrder", None, asked);
        match scenario {
            Scenario::RefundDeclined => {
                let agent = &self.agent;
                let has = harness.get(&harness.config.user_class, &agent.id).await;
                let spent = json!({"to": self.merchant.id, "amount": has.integer("account"), "key": key});
                harness
                    .program()
                    .call("transfer", As::User(&agent.session), &spent)
                    .await;
                Case {
                    refusal_code: Some(9002),
                    order: Some((order, "paid")),
                    ..case
                }
            }
            Scenario::RefundInPart => {
                let mut case = Case {
                    expected_changes: [(100, 0), (0, 0), (-MERCHANT / 3, 0), (-AGENT / 3, 0)],
                    order: Some((order, "paid")),
                    ..case
                };
                case.parameters["amount"] = json!(100);
                case
            }
            _ => Case {
                expected_changes: [(PRICE, 0), (0, 0), (-MERCHANT, 0), (-AGENT, 0)],
                order: Some((order, "refunded")),
                ..case
            },
        }
    }

    /// Prepares a hold, or the end of one.
    async fn hold(&self, harness: &Harness, scenario: Scenario, key: &str) -> Case {
        let asked = json!({"user": self.customer.id, "amount": HELD, "key": key});
        if scenario == Scenario::Hold {
            return Case {
                expected_changes: [(-HELD, HELD), (0, 0), (0, 0), (0, 0)],
                ..Case::new("holdFunds", None, asked)
            };
        }
        let held = harness.program().call("holdFunds", As::Master, &asked).await;
        let (hold, payee) = (id(&held["log"]), &self.merchant.id);
        let capture = json!({"hold": hold, "payee": payee, "key": key});
        let none = (0, 0);
        match scenario {
            Scenario::Release => Case {
                expected_changes: [(HELD, -HELD), none, none, none],
                ..Case::new("releaseHold", None, json!({"hold": hold, "key": key}))
            },
            Scenario::HoldExpiry => Case {
                refusal_code: Some(9006),
                expected_changes: [(HELD, -HELD), none, none, none],
                due: Some(Due::Hold(hold)),
                ..Case::new("captureHold", None, capture)
            },
            Scenario::CaptureInPart => {
                let mut case = Case {
                    expected_changes: [(HELD - 50, -HELD), none, (50, 0), none],
                    ..Case::new("captureHold", None, capture)
                };
                case.parameters["amount"] = json!(50);
                case
            }
            Scenario::CaptureRefused => {
                let mut case = Case {
                    refusal_code: Some(9009),
                    ..Case::new("captureHold", None, capture)
                };
                case.parameters["amount"] = json!(HELD + 1);
                case
            }
            _ => Case {
                expected_changes: [(0, -HELD), none, (HELD, 0), none],
                ..Case::new("captureHold", None, capture)
            },
        }
    }

    /// Prepares a withdrawal, or the end of one.
    async fn withdraw(&self, harness: &Harness, scenario: Scenario, key: &str) -> Case {
        let payee = "account 1234";
        let asked = json!({"amount": HELD, "channel": "sandbox", "payee": payee, "key": key});
        let case = Case::new("withdraw", Some(&self.customer), asked);
        let none = (0, 0);
        match scenario {
            Scenario::Withdraw => {
                return Case {
                    expected_changes: [(-HELD, HELD), none, none, none],
                    ..case
                };
            }
            Scenario::WithdrawRefused => {
                return Case {
                    refusal_code: Some(9008),
                    ..case
                };
            }
            _ => {}
        }
        // With the sandbox, in both modes; closed at once, as this worker has no background work.
        let worker = harness.worker(harness.config.clone());
        let (amount, key) = (json!(HELD), CallerKey::from_value(&json!(key)).unwrap());
        let user = &self.customer.id;
        let withdrawn = worker
            .withdraw(user, &amount, Channel::Sandbox, payee, &key)
            .await
            .unwrap();
        worker.sweep(Duration::ZERO, 100).await.unwrap();
        let is_paid_out = scenario == Scenario::PaidOut;
        let back = if is_paid_out { 0 } else { HELD };
        Case {
            expected_changes: [(back, -HELD), none, none, none],
            ..Case::new(
                "settleWithdraw",
                None,
                json!({"log": withdrawn.log, "succeeded": is_paid_out}),
            )
        }
    }

    fn adjust(&self, scenario: Scenario, key: &str) -> Case {
        let (who, amount) = match scenario {
            Scenario::AdjustUp => (&self.customer, 25),
            Scenario::AdjustDown => (&self.customer, -25),
            _ => (&self.poor, -500),
        };
        let asked = json!({"user": who.id, "amount": amount, "reason": "counted again", "key": key});
        let case = Case::new("adjustAccount", None, asked);
        if scenario == Scenario::AdjustDeclined {
            return Case {
                refusal_code: Some(9002),
                ..case
            };
        }
        Case {
            expected_changes: [(amount, 0), (0, 0), (0, 0), (0, 0)],
            ..case
        }
    }

    /// Prepares a second attempt of the poor user, who has money now.
    async fn second_attempt(&self, harness: &Harness, key: &str, sale: [(i64, i64); 4]) -> Case {
        let (poor, [customer, none, merchant, agent]) = (&self.poor, sale);
        let order = self.order(harness, poor, key).await;
        let first = json!({ "order": order });
        let (status, answer) = harness.call("payOrder", As::User(&poor.session), &first).await;
        assert_eq!((status, &answer["code"]), (400, &json!(9002)), "{answer}");
        self.recharge(harness, poor, PRICE.unsigned_abs(), key).await;
        Case {
            expected_changes: [none, customer, merchant, agent],
            order: Some((order.clone(), "paid")),
            ..Case::new("payOrder", Some(poor), json!({"order": order, "key": key}))
        }
    }
}

/// The notice of the gateway.
fn notice(number: &str, amount: u64) -> Value {
    json!({"number": number, "amount": amount, "channel": "sandbox", "tradeNo": format!("T-{number}")})
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn id(value: &Value) -> ObjectId {
    ObjectId::parse(value.as_str().unwrap()).unwrap()
}
