//! Transfers from one account to another.

use serde_json::Map;

use crate::model::{CloudError, ObjectId, Value};
use crate::payment::protocol::leg::Leg;
use crate::payment::protocol::machine::NewPayment;
use crate::payment::service::idempotency::{Initiator, KeyedPayment};
use crate::payment::service::parameters::check_text;
use crate::payment::service::{CallerKey, PaymentService, Receipt};
use crate::payment::{Amount, Kind};

impl PaymentService {
    /// Moves money from the account of `user` to that of `to`. `note` (1 to 256 characters) is for people. A
    /// transfer to oneself needs the balance and moves nothing.
    ///
    /// **Atomicity**: both accounts or neither. **Idempotency**: one transfer per `key`; a refusal is final for it.
    ///
    /// # Errors
    /// 107 (note), 9001, 9002, 9003, 9004 (no such payee), 9007, 9010, 9011.
    pub async fn transfer(
        &self,
        user: &ObjectId,
        to: &ObjectId,
        amount: &Value,
        note: Option<&str>,
        key: &CallerKey,
    ) -> Result<Receipt, CloudError> {
        let amount = Amount::from_value(amount)?;
        let mut params = Map::from_iter([
            ("to".to_owned(), to.as_str().into()),
            ("amount".to_owned(), amount.into()),
        ]);
        if let Some(note) = note {
            check_text("note", note)?;
            params.insert("note".to_owned(), note.into());
        }
        let credit = Leg::new(self.user_target(to)).adding(&self.0.names.account, amount.credit());
        let payment = KeyedPayment {
            kind: Kind::Transfer,
            user,
            key,
            amount,
            params,
            legs: vec![self.debit(user, amount), credit],
        };
        self.make_once_per_key(NewPayment::new(payment.into_intent()?), Initiator::User)
            .await
    }
}
