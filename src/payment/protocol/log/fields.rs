//! The names of a log's fields in the store. They are part of the data format: no release changes them.

/// The idempotency key: unique.
pub const KEY: &str = "key";
/// The caller's own key, if [`KEY`] has a fixed form: unique.
pub const REQUEST_KEY: &str = "requestKey";
/// Recharges: the number that the gateway knows the payment by; unique.
pub const NUMBER: &str = "number";
/// The kind of payment.
pub const KIND: &str = "kind";
/// The state, as a number.
pub const STATE: &str = "state";
/// A pointer to the owner of the payment.
pub const USER: &str = "user";
/// A pointer to the order.
pub const ORDER: &str = "order";
/// The amount in minor units.
pub const AMOUNT: &str = "amount";
/// The caller's parameters.
pub const PARAMS: &str = "params";
/// The legs.
pub const LEGS: &str = "legs";
/// The outcome, once it is decided.
pub const OUTCOME: &str = "outcome";
/// The reason of a failure.
pub const REASON: &str = "reason";
/// The reason for which an operator wants an undecided payment refused.
pub const CANCEL: &str = "cancel";
/// The gateway's number of the money that has arrived; unique.
pub const TRADE_NO: &str = "tradeNo";
/// The number of times that recovery has taken the log up.
pub const CLAIMS: &str = "claims";
/// The worker that holds the lease, for operators.
pub const CLAIMED_BY: &str = "claimedBy";
/// The end of the lease.
pub const CLAIMED_UNTIL: &str = "claimedUntil";
/// The reason for which the log waits for an operator.
pub const STUCK: &str = "stuck";
/// The time at which the sweeper ends a hold. It is removed once there is nothing left to end, so that a search for
/// expired holds finds no others.
pub const EXPIRES_AT: &str = "expiresAt";
/// The attempt to move the store that has fenced the log.
pub const MOVE: &str = "move";
