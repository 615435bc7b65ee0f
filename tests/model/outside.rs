//! Events beside the payments: pruning, money from elsewhere, giving up, relocation.

use std::collections::BTreeSet;
use std::sync::Arc;

use paylog::model::{Filter, ObjectId, Update};
use paylog::payment::protocol::pruning;
use paylog::payment::protocol::recovery::close_unpaid_recharge;
use paylog::payment::protocol::target::Target;

use crate::control::Control;
use crate::relocation::Move;
use crate::store::{Landed, Store, log_id, log_index};
use crate::tables::{ABSENT, Message, Number, Role};
use crate::world::{Tables, World};

/// Something that no worker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outside {
    /// Marks of these logs (bits) are forgotten, as this version of the document shows them.
    Prune {
        home: u8,
        document: u8,
        version: u8,
        logs: u8,
    },
    /// An account grows by 1.
    TopUp,
    /// A recharge is given up.
    GiveUp { log: u8 },
    /// A mover's write.
    Move(Move),
}

impl World {
    /// All of it that has an effect on this store.
    pub(crate) fn outside_of(&self, tables: &mut Tables, store: Number) -> Arc<Vec<(Outside, Landed)>> {
        if let Some(known) = tables.outside.get(&store) {
            return Arc::clone(known);
        }
        let stored = Arc::clone(tables.stores.value(store));
        let mut all = self.prunings(tables, store, &stored);
        all.extend(self.top_up(tables, store, &stored));
        if self.scenario.unpaid {
            all.extend(self.givings_up(tables, store, &stored));
        }
        all.retain(|(_, landed)| landed.store != store);
        all.extend(self.moves(tables, &stored));
        let all = Arc::new(all);
        tables.outside.insert(store, Arc::clone(&all));
        all
    }

    fn givings_up(&self, tables: &mut Tables, store: Number, stored: &Store) -> Vec<(Outside, Landed)> {
        let mut all = Vec::new();
        for home in 0..self.homes() {
            if !self.sweeps(tables, stored, home) {
                continue;
            }
            for log in 0..stored.effects.len() {
                let facts = tables.fact(stored.newest(self.place_of_log(home, log)));
                let Some(open) = facts.log.clone().filter(|_| facts.state == 1) else {
                    continue;
                };
                let write = close_unpaid_recharge(&self.scenario.names, &open, "9006 Not paid in time.");
                let log = u8::try_from(log).unwrap();
                all.push((Outside::GiveUp { log }, self.outside(tables, store, home, write)));
            }
        }
        all
    }

    /// Money from elsewhere, wherever the account is in use.
    fn top_up(&self, tables: &mut Tables, store: Number, stored: &Store) -> Option<(Outside, Landed)> {
        let (document, times) = self.scenario.top_up?;
        let home = (0..self.homes()).find(|home| {
            let number = stored.newest(self.place_of_document(*home, document));
            number != ABSENT && !tables.fact(number).is_fenced()
        })?;
        if stored.topped_up >= times {
            return None;
        }
        let update = Update::new().increment(&self.scenario.names.account, 1);
        let write = self.scenario.documents[document].0.update(Filter::all(), update);
        let mut landed = self.outside(tables, store, home, write);
        let mut after = Store::clone(tables.stores.value(landed.store));
        after.topped_up += 1;
        landed.store = tables.stores.number(after);
        Some((Outside::TopUp, landed))
    }

    /// The logs (bits) whose marks may be forgotten.
    fn closed(&self, tables: &Tables, store: &Store, home: usize) -> u8 {
        let closed = (0..store.effects.len()).filter(|log| {
            let number = store.newest(self.place_of_log(home, *log));
            number != ABSENT
                && (tables.fact(number).state == 5 || self.scenario.control == Control::PruneClosedOnly)
        });
        closed.map(|log| 1 << log).sum()
    }

    fn prunings(&self, tables: &mut Tables, store: Number, stored: &Store) -> Vec<(Outside, Landed)> {
        let mut prunings = Vec::new();
        for home in 0..self.homes() {
            let closed = self.closed(tables, stored, home);
            for document in 0..self.fixed() {
                let place = self.place_of_document(home, document);
                for (version, number) in (0..).zip(&stored.documents[place]) {
                    let fact = tables.fact(*number);
                    if *number == ABSENT || fact.epoch >= self.scenario.epochs || fact.epoch < 0 {
                        continue;
                    }
                    let marked = pruning::logs(tables.documents.value(*number)).unwrap();
                    let marked: u8 = marked.iter().filter_map(log_index).map(|log| 1 << log).sum();
                    for logs in (1..=u8::MAX).filter(|logs| logs & !(closed & marked) == 0) {
                        let target = self.scenario.documents[document].0.clone();
                        let Some(landed) = self.prune(tables, store, home, &target, *number, logs) else {
                            continue;
                        };
                        let what = Outside::Prune {
                            home: u8::try_from(home).unwrap(),
                            document: u8::try_from(document).unwrap(),
                            version,
                            logs,
                        };
                        prunings.push((what, landed));
                    }
                }
            }
        }
        prunings
    }

    fn prune(
        &self,
        tables: &mut Tables,
        store: Number,
        home: usize,
        target: &Target,
        seen: Number,
        logs: u8,
    ) -> Option<Landed> {
        let closed: BTreeSet<ObjectId> = (0..8).filter(|log| logs & (1 << log) != 0).map(log_id).collect();
        let write = pruning::prune(target, tables.documents.value(seen), &closed).unwrap()?;
        let write = match self.scenario.control {
            Control::EpochInGuard => write,
            control => control.tampered(write, Role::Other),
        };
        let message = tables.messages.number(Message {
            home: u8::try_from(home).unwrap(),
            commit: false,
            writes: vec![(write, Role::Other)],
            log: Some(0),
        });
        Some(self.land(tables, store, message))
    }
}
