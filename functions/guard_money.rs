//! Hooks that keep everybody's hands off money: nobody changes it but the payment flow, whose writes skip hooks.

use paylog::engine::{HookObject, State};
use paylog::model::CloudError;
use paylog::payment::PaymentService;

/// A new user starts without money.
pub(crate) async fn before_user_save(
    user: HookObject,
    State(payments): State<PaymentService>,
) -> Result<(), CloudError> {
    payments.config().check_new_user(&user)
}

/// A user's money is not for changing.
pub(crate) async fn before_user_update(
    user: HookObject,
    State(payments): State<PaymentService>,
) -> Result<(), CloudError> {
    payments.config().check_user_update(user.updated_keys())
}

/// A user who has payments is not for deleting.
pub(crate) async fn before_user_delete(
    user: HookObject,
    State(payments): State<PaymentService>,
) -> Result<(), CloudError> {
    payments.check_user_delete(&user).await
}

/// Logs and orders are not for creating, changing or deleting.
pub(crate) async fn before_record_write(
    record: HookObject,
    State(payments): State<PaymentService>,
) -> Result<(), CloudError> {
    payments.config().check_record_write(record.class())
}
