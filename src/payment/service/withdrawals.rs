//! Withdrawals: money is set aside, paid out by a gateway, and settled by the gateway's result.

use serde_json::Map;

use crate::model::{CloudError, ObjectId, Value};
use crate::payment::gateway::{Channel, Gateways};
use crate::payment::protocol::machine::NewPayment;
use crate::payment::service::idempotency::{Initiator, KeyedPayment};
use crate::payment::service::parameters::check_text;
use crate::payment::service::settlement_kind::SettlementKind;
use crate::payment::service::settlements::Settlement;
use crate::payment::service::{CallerKey, PaymentService, Receipt};
use crate::payment::{Amount, Kind};

impl PaymentService {
    /// Sets money aside to be paid out to `payee` (1 to 256 characters, by which the channel knows the receiver). It no
    /// longer counts as spendable, and stays held until [`PaymentService::settle_withdraw`]: a withdrawal does not expire.
    ///
    /// **Idempotency**: one withdrawal per `key`; a refusal is final for it.
    ///
    /// # Errors
    /// 107 (payee), 9001, 9002, 9003, 9007, 9008 (the channel is off or not built in), 9010, 9011.
    pub async fn withdraw(
        &self,
        user: &ObjectId,
        amount: &Value,
        channel: Channel,
        payee: &str,
        key: &CallerKey,
    ) -> Result<Receipt, CloudError> {
        let amount = Amount::from_value(amount)?;
        check_text("payee", payee)?;
        let params = Map::from_iter([
            ("amount".to_owned(), amount.into()),
            ("channel".to_owned(), channel.name().into()),
            ("payee".to_owned(), payee.into()),
        ]);
        let payment = KeyedPayment {
            kind: Kind::Withdraw,
            user,
            key,
            amount,
            params,
            legs: vec![
                self.debit(user, amount)
                    .adding(&self.0.names.frozen, amount.credit()),
            ],
        };
        let gateways = Gateways {
            sandbox: self.0.config.sandbox,
        };
        let intent = payment.into_intent()?;
        // A channel may be enabled later: the refusal is recorded under the key before it is returned.
        let draft = match gateways.pays_out(channel) {
            Ok(()) => NewPayment::new(intent),
            Err(refusal) => NewPayment::refused(intent, refusal),
        };
        self.make_once_per_key(draft, Initiator::User).await
    }

    /// Settles a withdrawal: if it was paid out the money is gone, else it is spendable again. For operators and gateways;
    /// never for clients.
    ///
    /// **Idempotency**: one settlement per withdrawal. The same result returns the existing settlement; another one is
    /// refused.
    ///
    /// # Errors
    /// 9004 (no such withdrawal), 9006 (it was refused, or is settled otherwise), 9010, 9011.
    pub async fn settle_withdraw(&self, log: &ObjectId, succeeded: bool) -> Result<Receipt, CloudError> {
        let kind = if succeeded {
            SettlementKind::PaidOut
        } else {
            SettlementKind::NotPaidOut
        };
        self.settle(log, Settlement::new(kind)).await
    }
}
