//! The claim: the certain state of a stored log, from which the run goes on.

use crate::model::Document;
use crate::payment::protocol::effect::Outcome;
use crate::payment::protocol::error::ProtocolError;
use crate::payment::protocol::log::{Log, LogState, fields};
use crate::payment::protocol::machine::acknowledgement::Acknowledgement;
use crate::payment::protocol::machine::next::{End, Next, RestartReason};
use crate::payment::protocol::machine::phase::Phase;
use crate::payment::protocol::machine::process::{PaymentProcess, Subject};
use crate::payment::protocol::recovery::TakeoverReason;

impl PaymentProcess {
    /// Adopts the state that a claim returns, which is certain whatever was read before.
    pub(super) fn on_claim_result(&mut self, outcome: Outcome) -> Result<Next, ProtocolError> {
        match Acknowledgement::from(outcome) {
            Acknowledgement::Applied(answer) => {
                let state = answer
                    .integer(fields::STATE)
                    .ok_or_else(|| {
                        ProtocolError::malformed(fields::STATE, "the state, in the answer to a claim")
                    })
                    .and_then(LogState::try_from)?;
                let log = self.own_log_mut()?;
                log.reached(state);
                log.claims = answer.integer(fields::CLAIMS).unwrap_or(log.claims);
                if let TakeoverReason::Cancellation(refusal) = &self.takeover_reason {
                    let refusal = refusal.clone();
                    self.own_log_mut()?.refusal = Some(refusal);
                }
                self.resume()
            }
            Acknowledgement::NotMatched => {
                let target = self.log_target()?;
                Ok(self.ask_reason(target, Phase::ReadingLog))
            }
            Acknowledgement::Missing => self.restart(RestartReason::NoAnswer),
        }
    }

    pub(super) fn on_log_reread(&mut self, document: Option<&Document>) -> Result<Next, ProtocolError> {
        let Some(document) = document else {
            // It was read before, or created, and logs are never deleted.
            return self.restart(RestartReason::NotSeenYet);
        };
        let log = Log::from_document(document, &self.names)?;
        let state = log.state;
        self.subject = Subject::Log(Box::new(log));
        match state {
            LogState::Closed => Ok(self.end(End::Closed)),
            LogState::Funded | LogState::Applied | LogState::Settled if self.cancels() => {
                Ok(self.end(End::Secured))
            }
            LogState::Created
            | LogState::Ordered
            | LogState::Funded
            | LogState::Applied
            | LogState::Settled => self.restart(RestartReason::NotSeenYet),
        }
    }

    /// Continues from the state that is certain.
    pub(super) fn resume(&mut self) -> Result<Next, ProtocolError> {
        let log = self.own_log()?;
        if log.waits_for_gateway() {
            return Ok(self.end(End::AwaitingGateway));
        }
        match log.state {
            LogState::Created | LogState::Ordered if self.cancels() => self.refuse(0),
            LogState::Created | LogState::Ordered => self.debit(0),
            LogState::Funded => self.credit(),
            LogState::Applied => {
                let mark = log.intent.order_mark(&self.names)?;
                self.record(mark)
            }
            LogState::Settled => Ok(self.settle()),
            LogState::Closed => Ok(self.end(End::Closed)),
        }
    }
}
