//! `getBalance`: returns the user's balances.

use paylog::engine::{CurrentUser, State};
use paylog::model::CloudError;
use paylog::payment::PaymentService;
use paylog::payment::service::AccountBalances;

pub(crate) async fn get_balance(
    user: CurrentUser,
    State(payments): State<PaymentService>,
) -> Result<AccountBalances, CloudError> {
    payments.balance(user.id()).await
}
