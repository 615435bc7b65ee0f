//! How holds and withdrawals end: by exactly one further log, whose fixed key names what it ends.
//!
//! The unique index on that key decides which end it is. An end is refused only before it begins, and then under its
//! caller's key: the hold stays as it is, and can be ended otherwise.

use std::time::Duration;

use serde_json::Map;

use crate::model::{CloudError, ErrorCode, ObjectId};
use crate::payment::driver::Known;
use crate::payment::protocol::leg::{Leg, Legs, Target};
use crate::payment::protocol::log::{Intent, Log};
use crate::payment::protocol::machine::Draft;
use crate::payment::service::orders::no_such;
use crate::payment::service::{CallerKey, Done, Payments, Receipt, keys, undecided};
use crate::payment::{Amount, Delta, Kind, ProtocolError, Refusal};

/// In which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::payment) enum How {
    /// A hold was taken, in part or in full.
    Captured,
    /// A hold was given up.
    Released,
    /// A hold's time has come.
    Expired,
    /// A withdrawal has reached its receiver.
    PaidOut,
    /// A withdrawal has not.
    NotPaidOut,
}

impl How {
    /// The parameter with the name.
    pub(in crate::payment) const PARAM: &str = "how";

    fn name(self) -> &'static str {
        match self {
            Self::Captured => "captured",
            Self::Released => "released",
            Self::Expired => "expired",
            Self::PaidOut => "paidOut",
            Self::NotPaidOut => "notPaidOut",
        }
    }

    /// What it ends.
    fn of(self) -> Kind {
        match self {
            Self::Captured | Self::Released | Self::Expired => Kind::Hold,
            Self::PaidOut | Self::NotPaidOut => Kind::Withdraw,
        }
    }
}

/// An end that is asked for.
#[derive(Clone, Debug)]
pub(in crate::payment) struct End {
    pub(in crate::payment) how: How,
    /// Captures: how much, where it is not all.
    pub(in crate::payment) amount: Option<Amount>,
    /// Captures: who gets it, where it is not the app.
    pub(in crate::payment) payee: Option<ObjectId>,
    /// The caller's key; none for an expiry and for the word of a gateway.
    pub(in crate::payment) key: Option<CallerKey>,
}

impl End {
    pub(in crate::payment) fn new(how: How) -> Self {
        Self {
            how,
            amount: None,
            payee: None,
            key: None,
        }
    }
}

/// The parameter that names what a settlement ends.
pub(in crate::payment) const ENDED: &str = "log";

impl Payments {
    /// Ends a hold or a withdrawal, or answers the end that stands.
    pub(in crate::payment) async fn end(&self, held: &ObjectId, end: End) -> Result<Receipt, CloudError> {
        let asked = format!("end:{held}:{end:?}");
        let deadline = self.deadline();
        self.0
            .flights
            .join(&asked, || self.end_once(held, &end, deadline))
            .await
    }

    async fn end_once(&self, held: &ObjectId, end: &End, deadline: Duration) -> Result<Receipt, CloudError> {
        let log = self.held(held, end.how.of(), deadline).await?;
        let draft = self.ending(&log, end)?;
        let request_key = draft.intent.request_key.clone();
        match self.carry_out(self.fresh(draft), Known::new(), deadline).await? {
            Done::Finished { log, replayed } => Receipt::answer(&log, replayed),
            Done::Taken(standing) if request_key.is_some() && standing.intent.request_key == request_key => {
                Err(keys::reused())
            }
            Done::Taken(standing) => Err(ended_before(&standing)),
            Done::Unconfirmable => Err(undecided()),
        }
    }

    /// The log of a hold or withdrawal that succeeded. What it is does not change any more, so that a refusal here
    /// needs no record of its own: no request still under way can get past it.
    async fn held(&self, id: &ObjectId, kind: Kind, deadline: Duration) -> Result<Log, CloudError> {
        let what = if kind == Kind::Hold { "hold" } else { "withdrawal" };
        let target = Target::new(&self.0.rules.log_class, id);
        let document = self.read(&target, deadline).await?;
        let document = document.ok_or_else(|| no_such(what))?;
        let log = Log::from_document(&document, &self.0.rules).map_err(|error| error.to_cloud_error())?;
        if log.intent.kind != kind {
            return Err(no_such(what));
        }
        let log = if log.verdict.is_some() {
            log
        } else {
            self.finish(log, deadline).await?
        };
        if log.failed() {
            let text = format!("Not payable in this state: the {what} was refused.");
            return Err(CloudError::new(ErrorCode::NOT_PAYABLE, text));
        }
        Ok(log)
    }

    /// The log that is to end `held`.
    fn ending(&self, held: &Log, end: &End) -> Result<Draft, CloudError> {
        let owner = &held.intent.user;
        let whole = held.intent.amount.ok_or_else(|| malformed("amount"))?;
        let amount = end.amount.unwrap_or(whole);
        let mut params = Map::from_iter([
            (ENDED.to_owned(), held.id.as_str().into()),
            (How::PARAM.to_owned(), end.how.name().into()),
        ]);
        if end.how == How::Captured {
            params.insert("amount".to_owned(), amount.into());
        }
        if let Some(payee) = &end.payee {
            params.insert("payee".to_owned(), payee.as_str().into());
        }
        let mut intent = Intent {
            key: keys::of_settlement(&held.id),
            request_key: end.key.as_ref().map(|key| key.of_payment(owner, Kind::Settle)),
            number: None,
            kind: Kind::Settle,
            user: owner.clone(),
            order: None,
            amount: Some(amount),
            params,
            legs: Legs::default(),
        };
        if amount > whole {
            let text = format!("More than what is held: {whole}.");
            return Ok(Draft::refused(
                intent,
                Refusal::new(ErrorCode::AMOUNT_EXCEEDS_REST, text),
            ));
        }
        intent.legs = self.settling(owner, whole, amount, end)?;
        Ok(Draft::new(intent))
    }

    /// The whole held amount leaves `frozen`; what is not captured or paid out is spendable again.
    fn settling(
        &self,
        owner: &ObjectId,
        whole: Amount,
        amount: Amount,
        end: &End,
    ) -> Result<Legs, CloudError> {
        let rules = &self.0.rules;
        let back = match end.how {
            How::Captured => whole.units().checked_sub(amount.units()),
            How::PaidOut => Some(0),
            How::Released | How::Expired | How::NotPaidOut => Some(whole.units()),
        };
        let back = back.and_then(Delta::new).ok_or_else(|| malformed("amount"))?;
        let mut leg = Leg::new(self.user_target(owner)).adding(&rules.frozen, whole.debit());
        if back.units() != 0 {
            leg = leg.adding(&rules.account, back);
        }
        let mut legs = vec![leg];
        if let Some(payee) = &end.payee {
            legs.push(Leg::new(self.user_target(payee)).adding(&rules.account, amount.credit()));
        }
        Legs::new(legs).map_err(|error| error.to_cloud_error())
    }
}

/// 9006: it has ended, under another key or in another way. That is so for ever: the log that ended it is the record.
fn ended_before(standing: &Log) -> CloudError {
    let how = standing
        .intent
        .params
        .get(How::PARAM)
        .and_then(|how| how.as_str());
    let text = format!(
        "Not payable in this state: it has ended before ({}).",
        how.unwrap_or("settled")
    );
    CloudError::new(ErrorCode::NOT_PAYABLE, text)
}

fn malformed(field: &str) -> CloudError {
    ProtocolError::malformed(field, "an integer from 1 to 10^12").to_cloud_error()
}
