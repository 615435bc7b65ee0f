//! Hooks that refuse client writes to money columns, logs and orders. The payment flow's own writes skip hooks.

use paylog::engine::{HookObject, State};
use paylog::model::CloudError;
use paylog::payment::PaymentService;

/// Refuses a new user with money columns.
pub(crate) async fn before_user_save(
    user: HookObject,
    State(payments): State<PaymentService>,
) -> Result<(), CloudError> {
    payments.config().check_new_user(&user)
}

/// Refuses changes of a user's money columns.
pub(crate) async fn before_user_update(
    user: HookObject,
    State(payments): State<PaymentService>,
) -> Result<(), CloudError> {
    payments.config().check_user_update(user.updated_keys())
}

/// Refuses to delete a user with payments.
pub(crate) async fn before_user_delete(
    user: HookObject,
    State(payments): State<PaymentService>,
) -> Result<(), CloudError> {
    payments.check_user_delete(&user).await
}

/// Refuses to create, change or delete logs and orders.
pub(crate) async fn before_record_write(
    record: HookObject,
    State(payments): State<PaymentService>,
) -> Result<(), CloudError> {
    payments.config().check_record_write(record.class())
}
