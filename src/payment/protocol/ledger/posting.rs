//! Postings: what one log says about one document.

use crate::model::{ClassName, ObjectId};
use crate::payment::protocol::kind::Kind;
use crate::payment::protocol::leg::{Leg, Target};
use crate::payment::protocol::log::{Log, LogState, Verdict};
use crate::payment::protocol::names::Rules;
use crate::payment::protocol::order::OrderStatus;

/// The beginning of the key of the log that ends a hold or a withdrawal; its id follows.
const SETTLE: &str = "settle:";

/// What one log says about one document, or about the log that it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posting {
    /// The document.
    pub target: Target,
    /// The log.
    pub log: ObjectId,
    /// When the log was made, in milliseconds since 1970; 0 where it does not say.
    pub created: i64,
    /// The kind of payment.
    pub kind: Kind,
    /// The state of the log.
    pub state: LogState,
    /// Its outcome, once decided.
    pub verdict: Option<Verdict>,
    /// Whether it waits for an operator.
    pub stuck: bool,
    /// What it says.
    pub entry: Entry,
}

/// What a [`Posting`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A leg on an account: minor units added to its fields.
    Account {
        /// To the spendable balance.
        account: i64,
        /// To the held amount.
        frozen: i64,
        /// Whether the leg may be refused.
        conditional: bool,
    },
    /// The payment of, or a leg on, an order.
    Order {
        /// What the leg adds to `refunded`; `None` where the log has no leg here.
        refunded: Option<i64>,
        /// Whether the leg may be refused.
        conditional: bool,
        /// What the order is to show once the payment has succeeded.
        shows: Option<OrderStatus>,
    },
    /// A log that holds so much until another one ends it; said by itself.
    Hold(i64),
    /// The end of a log that holds, and what it takes from the held amount.
    End(i64),
}

impl Posting {
    /// All that `log` says, at most once about each document.
    #[must_use]
    pub fn all(log: &Log, rules: &Rules) -> Vec<Self> {
        let mut postings: Vec<Self> = Vec::with_capacity(log.intent.legs.as_slice().len().saturating_add(1));
        let posting = |target: Target, entry: Entry| Self {
            target,
            log: log.id.clone(),
            created: log.created_at.map_or(0, crate::model::Timestamp::as_millis),
            kind: log.intent.kind,
            state: log.state,
            verdict: log.verdict,
            stuck: log.stuck.is_some(),
            entry,
        };
        let mark = log.intent.order_mark(rules).ok().flatten();
        let mut shown = log.intent.order.as_ref().zip(mark);
        let mut frozen: i64 = 0;
        for leg in log.intent.legs.as_slice() {
            let conditional = leg.is_conditional();
            if leg.target.class == rules.user_class {
                frozen = frozen.saturating_add(added(leg, &rules.frozen));
                let entry = Entry::Account {
                    account: added(leg, &rules.account),
                    frozen: added(leg, &rules.frozen),
                    conditional,
                };
                postings.push(posting(leg.target.clone(), entry));
            } else if leg.target.class == rules.order_class {
                let shows = shown.take_if(|(order, _)| **order == leg.target.id);
                let entry = Entry::Order {
                    refunded: Some(added(leg, "refunded")),
                    conditional,
                    shows: shows.map(|(_, mark)| mark.status()),
                };
                postings.push(posting(leg.target.clone(), entry));
            }
        }
        if let Some((order, mark)) = shown {
            let entry = Entry::Order {
                refunded: None,
                conditional: false,
                shows: Some(mark.status()),
            };
            postings.push(posting(Target::new(&rules.order_class, order), entry));
        }
        match log.intent.kind {
            Kind::Hold | Kind::Withdraw => {
                let own = Target::new(&rules.log_class, &log.id);
                postings.push(posting(own, Entry::Hold(frozen)));
            }
            Kind::Settle => {
                if let Some(hold) = ended(&log.intent.key, &rules.log_class) {
                    postings.push(posting(hold, Entry::End(frozen)));
                }
            }
            Kind::Recharge | Kind::Purchase | Kind::Cancel | Kind::Transfer | Kind::Refund | Kind::Adjust => {
            }
        }
        postings
    }

    /// Whether the log is decided and has succeeded.
    #[must_use]
    pub fn has_succeeded(&self) -> bool {
        self.verdict == Some(Verdict::Succeeded)
    }

    /// Whether this is of a recharge that waits for its gateway: no money has come.
    pub(super) fn waits_for_gateway(&self) -> bool {
        self.kind == Kind::Recharge && self.state <= LogState::Ordered
    }
}

/// Which log a settlement with this key ends.
pub(super) fn ended(key: &str, log_class: &ClassName) -> Option<Target> {
    let hold = ObjectId::parse(key.strip_prefix(SETTLE)?).ok()?;
    Some(Target::new(log_class, &hold))
}

fn added(leg: &Leg, field: &str) -> i64 {
    leg.add.get(field).map_or(0, |delta| delta.units())
}
