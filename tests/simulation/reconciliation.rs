//! The final balances, computed from the responses alone and compared with the documents.

use std::collections::{BTreeMap, BTreeSet};

use paylog::model::ObjectId;
use paylog::payment::protocol::log::Verdict;
use paylog::payment::service::Receipt;

use crate::auditor::integer;
use crate::calls::{Call, Success};
use crate::responses::Responses;
use crate::workload::{Population, Product};
use crate::world::World;

/// The expected state of an order.
struct Sale<'a> {
    product: &'a Product,
    quantity: i64,
    buyer: &'a ObjectId,
    paid: Option<ObjectId>,
    refunded: i64,
    cancelled: bool,
}

impl Sale<'_> {
    /// The payees in the order in which they pay back: the buyer first, if they are a payee themselves.
    fn payees(&self) -> impl Iterator<Item = &(ObjectId, i64)> {
        let own = |payee: &&(ObjectId, i64)| payee.0 == *self.buyer;
        let payees = &self.product.payees;
        payees
            .iter()
            .filter(own)
            .chain(payees.iter().filter(move |payee| !own(payee)))
    }
}

/// The sums over all responses.
struct Totals<'a> {
    world: &'a World,
    store: usize,
    accounts: BTreeMap<ObjectId, (i64, i64)>,
    sales: BTreeMap<ObjectId, Sale<'a>>,
    /// Logs that are counted: several responses may be about the same one.
    counted: BTreeSet<ObjectId>,
    /// Holds and withdrawals that succeeded, with their user and amount.
    held: BTreeMap<ObjectId, (ObjectId, i64)>,
    /// The settlement of each hold or withdrawal that has ended.
    ended: BTreeMap<ObjectId, ObjectId>,
}

pub(crate) fn reconcile(world: &World, population: &Population, store: usize) {
    let responses = population.responses().clone();
    let mut totals = Totals {
        world,
        store,
        accounts: BTreeMap::new(),
        sales: BTreeMap::new(),
        counted: BTreeSet::new(),
        held: BTreeMap::new(),
        ended: BTreeMap::new(),
    };
    totals.add_orders(&responses, population);
    for (call, success) in successes(&responses) {
        if let (Success::Payment(receipt), true) = (success, success.is_decided()) {
            totals.check_recorded(call, receipt);
            if totals.counted.insert(receipt.log.clone()) {
                totals.add_success(call, receipt);
            }
        }
    }
    totals.add_expiries();
    totals.compare();
}

fn successes(responses: &Responses) -> impl Iterator<Item = (&Call, &Success)> {
    let entries = responses.entries.values();
    entries.filter_map(|entry| entry.success.as_ref().map(|(call, success)| (call, success)))
}

impl<'a> Totals<'a> {
    fn add_orders(&mut self, responses: &Responses, population: &'a Population) {
        for (call, success) in successes(responses) {
            let (
                Call::Order {
                    product,
                    quantity,
                    user,
                    ..
                },
                Success::Order(order),
            ) = (call, success)
            else {
                continue;
            };
            let sale = Sale {
                product: population
                    .products
                    .iter()
                    .find(|sold| sold.id == *product)
                    .unwrap(),
                quantity: *quantity,
                buyer: population.users.iter().find(|known| *known == user).unwrap(),
                paid: None,
                refunded: 0,
                cancelled: false,
            };
            self.sales.insert(order.order.clone(), sale);
        }
    }

    fn add(&mut self, user: &ObjectId, account: i64, frozen: i64) {
        let totals = self.accounts.entry(user.clone()).or_default();
        totals.0 += account;
        totals.1 += frozen;
    }

    /// Checks that a payment reported as succeeded has succeeded.
    fn check_recorded(&self, call: &Call, receipt: &Receipt) {
        let state = self.world.state();
        let log = state.auditor.log(&receipt.log);
        let is_recorded = log.is_some_and(|log| log.verdict == Some(Verdict::Succeeded));
        drop(state);
        if !is_recorded {
            self.world.violated(format!(
                "{} was reported as succeeded, and did not succeed",
                call.describe()
            ));
        }
    }

    fn add_success(&mut self, call: &Call, receipt: &Receipt) {
        match call {
            // The confirmations count instead: one for each payment that a gateway received.
            Call::Recharge { .. } => {
                self.counted.remove(&receipt.log);
            }
            Call::Order { .. } => {}
            Call::Confirm { user, amount, .. } | Call::Adjust { user, amount, .. } => {
                self.add(user, *amount, 0);
            }
            Call::Cancel { order, .. } => self.sale(order, |sale| sale.cancelled = true),
            Call::Pay { order, .. } => {
                let twice = self.sales[order].paid.is_some();
                if twice {
                    self.world.violated(format!("{order} was paid twice"));
                }
                self.sale(order, |sale| sale.paid = Some(receipt.log.clone()));
            }
            Call::Refund { order, .. } => self.sale(order, |sale| sale.refunded += receipt.amount.unwrap()),
            Call::Transfer { user, to, amount, .. } => {
                self.add(user, -amount, 0);
                self.add(to, *amount, 0);
            }
            Call::Withdraw { user, amount, .. } | Call::Hold { user, amount, .. } => {
                self.add(user, -amount, *amount);
                self.held.insert(receipt.log.clone(), (user.clone(), *amount));
            }
            Call::SettleWithdraw { log, succeeded, .. } => {
                let back = if *succeeded { 0 } else { self.whole(log) };
                self.end(log, &receipt.log, back);
            }
            Call::Release { hold, .. } => self.end(hold, &receipt.log, self.whole(hold)),
            Call::Capture { hold, payee, .. } => {
                let taken = receipt.amount.unwrap();
                self.end(hold, &receipt.log, self.whole(hold) - taken);
                if let Some(payee) = payee {
                    self.add(payee, taken, 0);
                }
            }
        }
    }

    fn sale(&mut self, order: &ObjectId, change: impl FnOnce(&mut Sale<'a>)) {
        change(self.sales.get_mut(order).unwrap());
    }

    /// The amount that the log holds. Read from the log: a response about the end may come before that about the hold.
    fn whole(&self, log: &ObjectId) -> i64 {
        let state = self.world.state();
        let log = state.auditor.log(log).unwrap();
        log.intent.amount.unwrap().units()
    }

    fn end(&mut self, held: &ObjectId, by: &ObjectId, back: i64) {
        if self.ended.insert(held.clone(), by.clone()).is_some() {
            self.world.violated(format!("{held} was ended twice"));
        }
        let owner = self.world.state().auditor.log(held).unwrap().intent.user.clone();
        self.add(&owner, back, -self.whole(held));
    }

    /// Adds the expiries, which no response reports, from their logs.
    fn add_expiries(&mut self) {
        for (held, (_, amount)) in self.held.clone() {
            let by = {
                let state = self.world.state();
                let by = state.auditor.log_under(self.store, &format!("settle:{held}"));
                by.map(|by| (by.id.clone(), by.intent.params["how"].clone()))
            };
            match (by, self.ended.contains_key(&held)) {
                (None, false) | (Some(_), true) => {}
                (Some((by, how)), false) if how == "expired" => self.end(&held, &by, amount),
                other => self
                    .world
                    .violated(format!("{held} and its settlement disagree: {other:?}")),
            }
        }
    }

    fn compare(&mut self) {
        for (id, sale) in std::mem::take(&mut self.sales) {
            let (price, quantity) = (sale.product.price * sale.quantity, sale.quantity);
            if sale.paid.is_some() {
                self.add(sale.buyer, sale.refunded - price, 0);
                let (mut left, mut whole) = (sale.refunded, price);
                for (payee, amount) in sale.payees() {
                    // Each pays back its share of the rest, rounded down.
                    let part = amount * quantity;
                    let back = part * left / whole;
                    (left, whole) = (left - back, whole - part);
                    self.add(payee, part - back, 0);
                }
            }
            let shown = match (&sale.paid, sale.cancelled) {
                (Some(_), _) if sale.refunded == price => &["refunded"] as &[&str],
                (Some(_), _) => &["paid"],
                (None, true) => &["cancelled"],
                (None, false) => &["pending", "expired"],
            };
            self.check_status(&id, shown);
        }
        for user in self.world.all(self.store, &self.world.config.user_class) {
            let id = user.object_id().unwrap();
            let has = (integer(&user, "account"), integer(&user, "frozen"));
            let expected = self.accounts.get(&id).copied().unwrap_or_default();
            if has != expected {
                self.world.violated(format!(
                    "{id} has {has:?} (account, frozen), and should have {expected:?}"
                ));
            }
        }
    }

    fn check_status(&self, order: &ObjectId, statuses: &[&str]) {
        let document = self
            .world
            .get(self.store, &self.world.config.order_class, order, 0);
        let shown = document
            .as_ref()
            .and_then(|order| order.text("status"))
            .unwrap_or_default();
        if !statuses.contains(&shown) {
            self.world
                .violated(format!("{order} is {shown}, and should be {statuses:?}"));
        }
    }
}
