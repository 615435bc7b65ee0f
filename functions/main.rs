//! The app: registers its cloud functions and hooks, one file each, with paylog's command line.

mod adjust_account;
mod after_payment;
mod audit_accounts;
mod cancel_order;
mod cancel_payment;
mod capture_hold;
mod confirm_recharge;
mod create_order;
mod get_balance;
mod get_payment;
mod guard_money;
mod hold_funds;
mod list_payments;
mod pay_order;
mod recharge;
mod recover_payments;
mod refund_order;
mod release_hold;
mod resume_payment;
mod settle_withdraw;
mod transfer;
mod withdraw;

use std::process::ExitCode;

use mimalloc::MiMalloc;
use paylog::engine::App;
use paylog::payment::{PaymentConfig, PaymentService};

fn app(config: &PaymentConfig) -> App<PaymentService> {
    let (log, order) = (config.log_class.as_str(), config.order_class.as_str());
    App::new()
        .function("createOrder", create_order::create_order)
        .function("payOrder", pay_order::pay_order)
        .function("cancelOrder", cancel_order::cancel_order)
        .function("recharge", recharge::recharge)
        .function("transfer", transfer::transfer)
        .function("withdraw", withdraw::withdraw)
        .function("getBalance", get_balance::get_balance)
        .function("listPayments", list_payments::list_payments)
        .function("getPayment", get_payment::get_payment)
        .internal_function("confirmRecharge", confirm_recharge::confirm_recharge)
        .internal_function("settleWithdraw", settle_withdraw::settle_withdraw)
        .internal_function("refundOrder", refund_order::refund_order)
        .internal_function("holdFunds", hold_funds::hold_funds)
        .internal_function("captureHold", capture_hold::capture_hold)
        .internal_function("releaseHold", release_hold::release_hold)
        .internal_function("adjustAccount", adjust_account::adjust_account)
        .internal_function("recoverPayments", recover_payments::recover_payments)
        .internal_function("resumePayment", resume_payment::resume_payment)
        .internal_function("cancelPayment", cancel_payment::cancel_payment)
        .internal_function("auditAccounts", audit_accounts::audit_accounts)
        .internal_function("afterPayment", after_payment::after_payment)
        .before_save("_User", guard_money::before_user_save)
        .before_update("_User", guard_money::before_user_update)
        .before_delete("_User", guard_money::before_user_delete)
        .before_save(log, guard_money::before_record_write)
        .before_update(log, guard_money::before_record_write)
        .before_delete(log, guard_money::before_record_write)
        .before_save(order, guard_money::before_record_write)
        .before_update(order, guard_money::before_record_write)
        .before_delete(order, guard_money::before_record_write)
}

// A payment makes many small values that live for a moment; the C library's allocator takes a sixth of the time.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    paylog::cli::run(app)
}
