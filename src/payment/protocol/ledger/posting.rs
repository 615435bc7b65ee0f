//! Postings: the effects of one log on one document.

use crate::model::{ClassName, ObjectId};
use crate::payment::protocol::kind::Kind;
use crate::payment::protocol::leg::Leg;
use crate::payment::protocol::log::{Log, LogState, Verdict};
use crate::payment::protocol::names::SchemaNames;
use crate::payment::protocol::order::OrderStatus;
use crate::payment::protocol::target::Target;

/// The prefix of the key of a settlement, the log that ends a hold or a withdrawal; the id of that follows.
const SETTLE: &str = "settle:";

/// The effect of one log on one document, or on the log that it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posting {
    /// The document.
    pub target: Target,
    /// The log.
    pub log: ObjectId,
    /// The time of the log's creation, in milliseconds since 1970; 0 if the log does not say.
    pub created: i64,
    /// The kind of payment.
    pub kind: Kind,
    /// The state of the log.
    pub state: LogState,
    /// The outcome of the log, once it is decided.
    pub verdict: Option<Verdict>,
    /// True if the log waits for an operator.
    pub stuck: bool,
    /// The effect.
    pub entry: Entry,
}

/// The effect of a [`Posting`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A leg on an account: minor units added to its fields.
    Account {
        /// To the spendable balance.
        account: i64,
        /// To the held amount.
        frozen: i64,
        /// True if the leg may be refused.
        conditional: bool,
    },
    /// The payment of, or a leg on, an order.
    Order {
        /// The change of `refunded`; `None` if the log has no leg on this order.
        refunded: Option<i64>,
        /// True if the leg may be refused.
        conditional: bool,
        /// The status that the order shows once the payment has succeeded.
        shows: Option<OrderStatus>,
    },
    /// The amount that a log holds until another one ends it; a posting of the log about itself.
    Hold(i64),
    /// The amount that the end of a hold takes from the held amount.
    End(i64),
}

impl Posting {
    /// Returns all effects of `log`, at most one for each document.
    #[must_use]
    pub fn all(log: &Log, names: &SchemaNames) -> Vec<Self> {
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
        let mark = log.intent.order_mark(names).ok().flatten();
        let mut shown = log.intent.order.as_ref().zip(mark);
        let mut frozen: i64 = 0;
        for leg in log.intent.legs.as_slice() {
            let conditional = leg.is_conditional();
            if leg.target.class == names.user_class {
                frozen = frozen.saturating_add(added(leg, &names.frozen));
                let entry = Entry::Account {
                    account: added(leg, &names.account),
                    frozen: added(leg, &names.frozen),
                    conditional,
                };
                postings.push(posting(leg.target.clone(), entry));
            } else if leg.target.class == names.order_class {
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
            postings.push(posting(Target::new(&names.order_class, order), entry));
        }
        match log.intent.kind {
            Kind::Hold | Kind::Withdraw => {
                let own = Target::new(&names.log_class, &log.id);
                postings.push(posting(own, Entry::Hold(frozen)));
            }
            Kind::Settle => {
                if let Some(hold) = ended(&log.intent.key, &names.log_class) {
                    postings.push(posting(hold, Entry::End(frozen)));
                }
            }
            Kind::Recharge | Kind::Purchase | Kind::Cancel | Kind::Transfer | Kind::Refund | Kind::Adjust => {
            }
        }
        postings
    }

    /// Returns true if the log has succeeded.
    #[must_use]
    pub fn has_succeeded(&self) -> bool {
        self.verdict == Some(Verdict::Succeeded)
    }

    /// Returns true for a recharge that waits for its gateway: no money has come.
    pub(super) fn waits_for_gateway(&self) -> bool {
        self.kind == Kind::Recharge && self.state <= LogState::Ordered
    }
}

/// Returns the log that a settlement with this key ends.
pub(super) fn ended(key: &str, log_class: &ClassName) -> Option<Target> {
    let hold = ObjectId::parse(key.strip_prefix(SETTLE)?).ok()?;
    Some(Target::new(log_class, &hold))
}

fn added(leg: &Leg, field: &str) -> i64 {
    leg.add.get(field).map_or(0, |delta| delta.units())
}
