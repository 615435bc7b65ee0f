//! What everybody has is what they were told, and what gateways were paid: computed from the answers alone.

use std::collections::{BTreeMap, BTreeSet};

use paylog::model::ObjectId;
use paylog::payment::protocol::log::Verdict;
use paylog::payment::service::Receipt;

use crate::auditor::integer;
use crate::calls::{Call, Told};
use crate::responses::Ledger;
use crate::workload::{Product, Town};
use crate::world::World;

/// What an order must show.
struct Sale<'a> {
    product: &'a Product,
    quantity: i64,
    buyer: &'a ObjectId,
    paid: Option<ObjectId>,
    refunded: i64,
    cancelled: bool,
}

impl Sale<'_> {
    /// In the order in which they give back: first the buyer, where they are a payee of their own.
    fn payees(&self) -> impl Iterator<Item = &(ObjectId, i64)> {
        let own = |payee: &&(ObjectId, i64)| payee.0 == *self.buyer;
        let payees = &self.product.payees;
        payees
            .iter()
            .filter(own)
            .chain(payees.iter().filter(move |payee| !own(payee)))
    }
}

/// What the answers add up to.
struct Sums<'a> {
    world: &'a World,
    home: usize,
    accounts: BTreeMap<ObjectId, (i64, i64)>,
    sales: BTreeMap<ObjectId, Sale<'a>>,
    /// Logs that are counted: several callers may have been told of the same one.
    counted: BTreeSet<ObjectId>,
    /// Holds and withdrawals that succeeded: whose, and how much.
    held: BTreeMap<ObjectId, (ObjectId, i64)>,
    /// Of these, what ended them.
    ended: BTreeMap<ObjectId, ObjectId>,
}

pub(crate) fn as_told(world: &World, town: &Town, home: usize) {
    let ledger = town.ledger().clone();
    let mut sums = Sums {
        world,
        home,
        accounts: BTreeMap::new(),
        sales: BTreeMap::new(),
        counted: BTreeSet::new(),
        held: BTreeMap::new(),
        ended: BTreeMap::new(),
    };
    sums.take_orders(&ledger, town);
    for (call, told) in successes(&ledger) {
        if let (Told::Payment(receipt), true) = (told, told.is_decided()) {
            sums.stands(call, receipt);
            if sums.counted.insert(receipt.log.clone()) {
                sums.take(call, receipt);
            }
        }
    }
    sums.take_expiries();
    sums.compare();
}

fn successes(ledger: &Ledger) -> impl Iterator<Item = (&Call, &Told)> {
    let entries = ledger.entries.values();
    entries.filter_map(|entry| entry.success.as_ref().map(|(call, told)| (call, told)))
}

impl<'a> Sums<'a> {
    fn take_orders(&mut self, ledger: &Ledger, town: &'a Town) {
        for (call, told) in successes(ledger) {
            let (
                Call::Order {
                    product,
                    quantity,
                    user,
                    ..
                },
                Told::Order(order),
            ) = (call, told)
            else {
                continue;
            };
            let sale = Sale {
                product: town.products.iter().find(|sold| sold.id == *product).unwrap(),
                quantity: *quantity,
                buyer: town.users.iter().find(|known| *known == user).unwrap(),
                paid: None,
                refunded: 0,
                cancelled: false,
            };
            self.sales.insert(order.order.clone(), sale);
        }
    }

    fn add(&mut self, user: &ObjectId, account: i64, frozen: i64) {
        let sums = self.accounts.entry(user.clone()).or_default();
        sums.0 += account;
        sums.1 += frozen;
    }

    /// What was told to be so is so.
    fn stands(&self, call: &Call, receipt: &Receipt) {
        let state = self.world.state();
        let log = state.auditor.log(&receipt.log);
        let stands = log.is_some_and(|log| log.verdict == Some(Verdict::Succeeded));
        drop(state);
        if !stands {
            self.world
                .violated(format!("{} was told of success, and it is not so", call.told()));
        }
    }

    fn take(&mut self, call: &Call, receipt: &Receipt) {
        match call {
            // The confirmation counts, and there is one for each payment of the gateway's.
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

    /// How much is held by this log. Known from the log: the end may have been told before the hold was.
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

    /// Nobody is told of an expiry: the log of it is.
    fn take_expiries(&mut self) {
        for (held, (_, amount)) in self.held.clone() {
            let by = {
                let state = self.world.state();
                let by = state.auditor.log_under(self.home, &format!("settle:{held}"));
                by.map(|by| (by.id.clone(), by.intent.params["how"].clone()))
            };
            match (by, self.ended.contains_key(&held)) {
                (None, false) | (Some(_), true) => {}
                (Some((by, how)), false) if how == "expired" => self.end(&held, &by, amount),
                other => self
                    .world
                    .violated(format!("{held} has ended and nobody knows how: {other:?}")),
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
                    // Each gives back its proportion of what is left to give, rounded down.
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
            self.shows(&id, shown);
        }
        for user in self.world.all(self.home, &self.world.config.user_class) {
            let id = user.object_id().unwrap();
            let has = (integer(&user, "account"), integer(&user, "frozen"));
            let told = self.accounts.get(&id).copied().unwrap_or_default();
            if has != told {
                self.world.violated(format!(
                    "{id} has {has:?} (account, frozen), and was told {told:?}"
                ));
            }
        }
    }

    fn shows(&self, order: &ObjectId, statuses: &[&str]) {
        let document = self
            .world
            .get(self.home, &self.world.config.order_class, order, 0);
        let shown = document
            .as_ref()
            .and_then(|order| order.text("status"))
            .unwrap_or_default();
        if !statuses.contains(&shown) {
            self.world
                .violated(format!("{order} is {shown}, and somebody was told {statuses:?}"));
        }
    }
}
