//! Confirmation: a gateway's money is recorded in the log of its recharge, once.

use crate::model::{Document, Filter, Update};
use crate::payment::protocol::effect::{Effect, Outcome};
use crate::payment::protocol::error::ProtocolError;
use crate::payment::protocol::log::{Log, LogState, fields};
use crate::payment::protocol::machine::acknowledgement::Acknowledgement;
use crate::payment::protocol::machine::next::{End, Next, RestartReason};
use crate::payment::protocol::machine::phase::Phase;
use crate::payment::protocol::machine::process::{PaymentProcess, Subject};

impl PaymentProcess {
    /// Writes the gateway's number and state 2 in one write, so that one log takes the money, once.
    pub(super) fn confirm(&mut self) -> Result<Effect, ProtocolError> {
        let Subject::Confirmation(_, trade_no) = &self.subject else {
            return Err(ProtocolError::UnexpectedInput {
                asked: "a confirmation",
                given: "another payment",
            });
        };
        let write = self.log_target()?.update(
            Filter::all().eq(fields::STATE, LogState::Ordered.number()),
            Update::new()
                .set(fields::STATE, LogState::Funded.number())
                .set(fields::TRADE_NO, trade_no.as_str())
                .delete(fields::STUCK),
        );
        self.phase = Phase::Confirming;
        Ok(Effect::Write(write))
    }

    pub(super) fn on_confirm_result(&mut self, outcome: Outcome) -> Result<Next, ProtocolError> {
        match Acknowledgement::from(outcome) {
            Acknowledgement::Applied(_) => {
                if let Subject::Confirmation(log, trade_no) = &self.subject {
                    let mut log = log.clone();
                    log.trade_no = Some(trade_no.clone());
                    log.stuck = None;
                    log.reached(LogState::Funded);
                    self.subject = Subject::Log(log);
                }
                self.resume()
            }
            Acknowledgement::NotMatched => {
                let target = self.log_target()?;
                Ok(self.ask_reason(target, Phase::ReadingAfterConfirm))
            }
            Acknowledgement::Missing => self.restart(RestartReason::NoAnswer),
        }
    }

    pub(super) fn on_confirm_reread(&mut self, document: Option<&Document>) -> Result<Next, ProtocolError> {
        let Some(document) = document else {
            // It was read before, and logs are never deleted.
            return self.restart(RestartReason::NotSeenYet);
        };
        let log = Log::from_document(document, &self.names)?;
        let Subject::Confirmation(_, trade_no) = &self.subject else {
            return self.restart(RestartReason::Overtaken);
        };
        if log.state <= LogState::Ordered {
            return self.restart(RestartReason::NotSeenYet);
        }
        if log.failed() || log.trade_no.as_ref() != Some(trade_no) {
            self.subject = Subject::Log(Box::new(log));
            return Ok(self.end(End::Unconfirmable));
        }
        self.adopt(log, true)
    }
}
