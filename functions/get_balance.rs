//! `getBalance`: what the user has.

use paylog::engine::{CurrentUser, State};
use paylog::model::CloudError;
use paylog::payment::Payments;
use paylog::payment::service::Account;

pub(crate) async fn get_balance(
    user: CurrentUser,
    State(payments): State<Payments>,
) -> Result<Account, CloudError> {
    payments.balance(user.id()).await
}
