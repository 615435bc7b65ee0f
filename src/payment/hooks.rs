//! Hooks that refuse client writes to money columns, logs and orders. The payment flow's own writes skip hooks.

use crate::model::{ClassName, CloudError, Document, ErrorCode, Filter};
use crate::payment::PaymentConfig;
use crate::payment::protocol::mark::{PAY_EPOCH, PAYLOGS};

impl PaymentConfig {
    /// The money columns: fields of a user that only the payment flow writes.
    #[must_use]
    pub fn money_fields(&self) -> [&str; 4] {
        [&self.account_field, &self.frozen_field, PAYLOGS, PAY_EPOCH]
    }

    /// For `beforeSave` of users: refuses a new user with money columns.
    ///
    /// # Errors
    /// 119.
    pub fn check_new_user(&self, user: &Document) -> Result<(), CloudError> {
        let given = self
            .money_fields()
            .into_iter()
            .find(|field| user.contains_key(*field));
        given.map_or(Ok(()), |field| Err(read_only(field)))
    }

    /// For `beforeUpdate` of users: refuses any change of money columns.
    ///
    /// # Errors
    /// 119.
    pub fn check_user_update(&self, updated_keys: &[String]) -> Result<(), CloudError> {
        let column = |key: &String| key.split('.').next().unwrap_or_default().to_owned();
        let changed: Vec<String> = updated_keys.iter().map(column).collect();
        let given = self
            .money_fields()
            .into_iter()
            .find(|field| changed.iter().any(|key| key == field));
        given.map_or(Ok(()), |field| Err(read_only(field)))
    }

    /// Matches the users who are never deleted: their money, and the marks of their payments, would be lost. A store must
    /// check it in the condition of the delete itself, as a payment may arrive after every other check.
    #[must_use]
    pub fn undeletable_users(&self) -> Filter {
        let there = |field| Filter::all().exists(field, true);
        Filter::all().and_any(self.money_fields().map(there).into())
    }

    /// 119: the refusal to delete a user with payments.
    pub(crate) fn user_is_undeletable(&self) -> CloudError {
        let text = format!(
            "An object of '{}' with payments is never deleted. Take away its personal data and its means to log in.",
            self.user_class
        );
        CloudError::new(ErrorCode::OPERATION_FORBIDDEN, text)
    }

    /// For the hooks of logs and orders: refuses every write. Writes of another class, for which a hook was registered by
    /// mistake, are allowed.
    ///
    /// # Errors
    /// 119.
    pub fn check_record_write(&self, class: &ClassName) -> Result<(), CloudError> {
        if *class == self.log_class || *class == self.order_class {
            let text = format!("'{class}' is written by the payment flow alone.");
            return Err(CloudError::new(ErrorCode::OPERATION_FORBIDDEN, text));
        }
        Ok(())
    }
}

fn read_only(field: &str) -> CloudError {
    let text = format!("'{field}' is written by the payment flow alone.");
    CloudError::new(ErrorCode::OPERATION_FORBIDDEN, text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn writes_of_money_columns_are_refused() {
        let config = PaymentConfig::new();
        for field in ["account", "frozen", "paylogs", "payEpoch"] {
            let user = Document::from_iter([(field.to_owned(), json!(1))]);
            assert_eq!(
                config.check_new_user(&user).unwrap_err().code,
                ErrorCode::OPERATION_FORBIDDEN
            );
            assert!(
                config
                    .check_user_update(&["nickname".into(), field.into()])
                    .is_err()
            );
            assert!(config.check_user_update(&[format!("{field}.0")]).is_err());
        }
        let user = Document::from_iter([("username".to_owned(), json!("ming"))]);
        assert!(config.check_new_user(&user).is_ok());
        assert!(config.check_user_update(&["accounts".into()]).is_ok());
    }

    #[test]
    fn users_with_money_or_marks_are_undeletable() {
        let kept = PaymentConfig::new().undeletable_users();
        let user = |field: &str| Document::from_iter([(field.to_owned(), json!(0))]);
        for field in ["account", "frozen", "paylogs", "payEpoch"] {
            assert_eq!(kept.matches(&user(field)), Ok(true), "{field}");
        }
        assert_eq!(kept.matches(&user("username")), Ok(false));
    }

    #[test]
    fn writes_of_logs_and_orders_are_refused() {
        let config = PaymentConfig::new();
        let code = |answer: Result<(), CloudError>| answer.map_err(|error| error.code);
        let forbidden = Err(ErrorCode::OPERATION_FORBIDDEN);
        assert_eq!(code(config.check_record_write(&config.log_class)), forbidden);
        assert_eq!(code(config.check_record_write(&config.order_class)), forbidden);
        assert_eq!(config.check_record_write(&config.product_class), Ok(()));
    }
}
