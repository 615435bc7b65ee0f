//! Looks at every write that takes effect, and at nothing else: whose money moved, how often, and whether it may.
//!
//! What it knows it has from the writes and the documents. It trusts neither the machine nor its guards: a leg that is
//! applied twice, or by a log that has failed, is seen as money that moves, not as a condition that is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use paylog::model::{ClassName, Document, ObjectId, Op, Update, Value};
use paylog::payment::protocol::ledger::legs_add_up;
use paylog::payment::protocol::leg::{Leg, Target};
use paylog::payment::protocol::log::{Log, LogState, Verdict};
use paylog::payment::protocol::mark::{MarkKind, PAY_EPOCH, PAYLOGS};
use paylog::payment::protocol::relocation::{Attempt, Decision, Resolution};
use paylog::payment::{Kind, Rules};
use paylog::store::{Action, Write};

/// What happened to a leg so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leg1 {
    Applied,
    Refused,
    Reversed,
}

/// One write that took effect.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effect<'a> {
    pub(crate) write: &'a Write,
    /// In which store.
    pub(crate) home: usize,
    pub(crate) before: Option<&'a Document>,
    pub(crate) after: &'a Document,
    /// The log that was created in the same commit.
    pub(crate) at_once: Option<&'a ObjectId>,
}

/// What a gateway has been paid: by its own number, for which recharge, how much.
pub(crate) type Trades = BTreeMap<String, (String, i64)>;

/// What must have been seen at least once in many runs, so that they are worth something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Seen {
    Refusal,
    Reversal,
    Pruned,
    /// A request arrived whose epoch was pruned away meanwhile.
    LateAfterPruning,
    Stuck,
    Apart,
    Crash,
    Restart,
    Stale,
    ClockJump,
    /// An order, a recharge or a hold.
    Expired,
    PolicyRefusal,
    AtOnce,
    Stepwise,
    KeyReused,
    Replayed,
    /// A document was fenced for a move, given back, or opened where it has moved.
    Fenced,
    RolledBack,
    Opened,
    MoverDied,
    Kind(Kind),
}

impl Seen {
    pub(crate) const ALL: [Self; 29] = [
        Self::Refusal,
        Self::Reversal,
        Self::Pruned,
        Self::LateAfterPruning,
        Self::Stuck,
        Self::Apart,
        Self::Crash,
        Self::Restart,
        Self::Stale,
        Self::ClockJump,
        Self::Expired,
        Self::PolicyRefusal,
        Self::AtOnce,
        Self::Stepwise,
        Self::KeyReused,
        Self::Replayed,
        Self::Fenced,
        Self::RolledBack,
        Self::Opened,
        Self::MoverDied,
        Self::Kind(Kind::Recharge),
        Self::Kind(Kind::Purchase),
        Self::Kind(Kind::Cancel),
        Self::Kind(Kind::Transfer),
        Self::Kind(Kind::Refund),
        Self::Kind(Kind::Withdraw),
        Self::Kind(Kind::Hold),
        Self::Kind(Kind::Settle),
        Self::Kind(Kind::Adjust),
    ];
}

/// Money and marks.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Belongings {
    money: BTreeMap<&'static str, i64>,
    marks: BTreeSet<(MarkKind, ObjectId)>,
}

pub(crate) struct Auditor {
    rules: Arc<Rules>,
    logs: BTreeMap<ObjectId, Log>,
    /// By store and key.
    keys: BTreeMap<(usize, String), ObjectId>,
    /// What every account and order had when it was last in use, in whichever store.
    lives: BTreeMap<Target, Belongings>,
    /// In which store a log was last in use, or was closed.
    homes: BTreeMap<ObjectId, usize>,
    legs: BTreeMap<(ObjectId, Target), Leg1>,
    /// By the gateway's number: which log has brought its money.
    credited: BTreeMap<String, ObjectId>,
    /// Of which the world was told.
    told: BTreeSet<ObjectId>,
    /// All money there is: `account` and `frozen` of everyone.
    total: i64,
    /// The same from the legs.
    moved: i64,
    pub(crate) trades: Trades,
    pub(crate) seen: BTreeSet<Seen>,
}

type Checked = Result<(), String>;

impl Auditor {
    pub(crate) fn new(rules: &Arc<Rules>) -> Self {
        Self {
            rules: Arc::clone(rules),
            logs: BTreeMap::new(),
            keys: BTreeMap::new(),
            lives: BTreeMap::new(),
            homes: BTreeMap::new(),
            legs: BTreeMap::new(),
            credited: BTreeMap::new(),
            told: BTreeSet::new(),
            total: 0,
            moved: 0,
            trades: Trades::new(),
            seen: BTreeSet::new(),
        }
    }

    pub(crate) fn logs(&self) -> impl Iterator<Item = &Log> {
        self.logs.values()
    }

    pub(crate) fn log(&self, id: &ObjectId) -> Option<&Log> {
        self.logs.get(id)
    }

    pub(crate) fn log_under(&self, home: usize, key: &str) -> Option<&Log> {
        self.logs.get(self.keys.get(&(home, key.to_owned()))?)
    }

    /// In which store the log was last in use, or was closed.
    pub(crate) fn home_of(&self, log: &ObjectId) -> Option<usize> {
        self.homes.get(log).copied()
    }

    /// Whether any money of the log has moved.
    pub(crate) fn has_moved_money(&self, log: &ObjectId) -> bool {
        self.legs
            .iter()
            .any(|((of, _), standing)| of == log && *standing == Leg1::Applied)
    }

    /// Whether money of any log has moved for the order.
    pub(crate) fn has_paid(&self, order: &ObjectId) -> bool {
        self.logs
            .values()
            .any(|log| log.intent.order.as_ref() == Some(order) && self.has_moved_money(&log.id))
    }

    /// Which log has brought the money of a gateway's number.
    pub(crate) fn credited(&self, trade_no: &str) -> bool {
        self.credited.contains_key(trade_no)
    }

    /// `afterPayment` was called for `log`; where it ended well, the world knows.
    pub(crate) fn after_payment(&mut self, log: &ObjectId, ended_well: bool) -> Checked {
        let known = self
            .logs
            .get(log)
            .ok_or("afterPayment of a log that is not there")?;
        if known.verdict != Some(Verdict::Succeeded) || known.state < LogState::Applied {
            return Err(format!("afterPayment of {log}, which has not succeeded"));
        }
        if ended_well {
            self.told.insert(log.clone());
        }
        Ok(())
    }

    /// Looks at a write. `elsewhere` is the same document in the other stores, `decision` whether a move is final.
    pub(crate) fn observe(
        &mut self,
        effect: Effect<'_>,
        elsewhere: &[Document],
        decision: Option<Decision>,
    ) -> Checked {
        let class = &effect.write.class;
        let is_log = *class == self.rules.log_class;
        if !is_log && *class != self.rules.user_class && *class != self.rules.order_class {
            return Ok(());
        }
        if is_live(effect.after, is_log) && elsewhere.iter().any(|document| is_live(document, is_log)) {
            return Err(format!(
                "{class}/{} is in use in two stores",
                effect.after.text("objectId").unwrap_or_default()
            ));
        }
        if self.has_moved(&effect, is_log, decision)? {
            return Ok(());
        }
        if is_log {
            self.log_written(effect)
        } else {
            match effect.before {
                Some(before) => self.document_changed(effect, before),
                None => self.document_created(effect),
            }
        }
    }

    /// Whether the write is a mover's; then it has moved nothing but the document itself.
    fn has_moved(
        &mut self,
        effect: &Effect<'_>,
        is_log: bool,
        decision: Option<Decision>,
    ) -> Result<bool, String> {
        let fenced = |document: &Document| is_fenced(document, is_log);
        let was_fenced = effect.before.is_some_and(fenced);
        if fenced(effect.after) {
            if let (Some(before), false) = (effect.before, was_fenced) {
                self.seen.insert(Seen::Fenced);
                self.same(effect, before, is_log)?;
            }
            return Ok(true);
        }
        if !was_fenced {
            return Ok(false);
        }
        let resolution = decision.map(|decision| decision.resolution);
        let allowed = match (effect.home, resolution) {
            (0, Some(Resolution::RolledBack)) => true,
            // Another attempt is on, and this document has not been fenced for it yet.
            (0, Some(Resolution::Open)) => decision.is_some_and(|decision| decision.attempt > Attempt::FIRST),
            (_, resolution) => effect.home > 0 && resolution == Some(Resolution::Final),
        };
        if !allowed {
            return Err(format!(
                "{}/{} is opened in store {}, where the move is {resolution:?}",
                effect.write.class,
                effect.after.text("objectId").unwrap_or_default(),
                effect.home
            ));
        }
        self.seen.insert(if effect.home == 0 {
            Seen::RolledBack
        } else {
            Seen::Opened
        });
        self.same(effect, effect.after, is_log)?;
        if is_log {
            let log = self.read(effect.after)?;
            self.homes.insert(log.id.clone(), effect.home);
        }
        Ok(true)
    }

    /// A copy is placed. It says nothing yet; a closed log that comes with it is known.
    pub(crate) fn placed(&mut self, class: &ClassName, document: &Document, home: usize) -> Checked {
        if *class != self.rules.log_class {
            let has_money = *class == self.rules.user_class || *class == self.rules.order_class;
            if has_money && is_live(document, false) {
                return Err(format!("{class}/{:?} is placed in use", document.object_id()));
            }
            return Ok(());
        }
        let id = document.object_id().ok_or("a log without an id")?;
        for field in ["key", "requestKey"] {
            if let Some(key) = document.text(field) {
                self.keys.insert((home, key.to_owned()), id.clone());
            }
        }
        if is_fenced(document, true) {
            return Ok(());
        }
        let log = self.read(document)?;
        if log.state != LogState::Closed || self.logs.get(&id) != Some(&log) {
            return Err(format!("{id} is placed as another than it was"));
        }
        self.homes.insert(id, home);
        Ok(())
    }

    /// What is fenced, or opened, is what was last in use.
    fn same(&self, effect: &Effect<'_>, document: &Document, is_log: bool) -> Checked {
        let id = document.object_id().ok_or("a document without an id")?;
        let target = Target::new(&effect.write.class, &id);
        let is_same = if is_log {
            let log = self.read(document)?;
            self.logs
                .get(&id)
                .is_some_and(|known| *known == log && known.state == log.state)
        } else {
            let found = self.belongings(&effect.write.class, document);
            self.lives.get(&target).is_some_and(|known| *known == found)
        };
        if is_same {
            return Ok(());
        }
        Err(format!(
            "{target} is not what it was when it was last in use: {document:?}, and before {:?}",
            self.lives.get(&target)
        ))
    }

    fn read(&self, document: &Document) -> Result<Log, String> {
        Log::from_document(document, &self.rules)
            .map_err(|error| format!("a log that cannot be read is written: {error}"))
    }

    fn belongings(&self, class: &ClassName, document: &Document) -> Belongings {
        let fields = self.money_fields(class).iter();
        Belongings {
            money: fields.map(|field| (*field, integer(document, field))).collect(),
            marks: marks(document),
        }
    }

    fn document_created(&mut self, effect: Effect<'_>) -> Checked {
        for field in self.money_fields(&effect.write.class) {
            if integer(effect.after, field) != 0 {
                return Err(format!("a document is created with {field}"));
            }
        }
        self.is_in_use(&effect);
        Ok(())
    }

    fn is_in_use(&mut self, effect: &Effect<'_>) {
        let class = &effect.write.class;
        if let Some(id) = effect.after.object_id() {
            let has = self.belongings(class, effect.after);
            self.lives.insert(Target::new(class, &id), has);
        }
    }

    fn money_fields(&self, class: &ClassName) -> &'static [&'static str] {
        if *class == self.rules.user_class {
            &["account", "frozen"]
        } else {
            &["refunded"]
        }
    }

    fn document_changed(&mut self, effect: Effect<'_>, before: &Document) -> Checked {
        let Action::Update { id, update, .. } = &effect.write.action else {
            return Err("a document with money is deleted".into());
        };
        let target = Target::new(&effect.write.class, id);
        let diff: BTreeMap<&str, i64> = self
            .money_fields(&effect.write.class)
            .iter()
            .map(|field| (*field, integer(effect.after, field) - integer(before, field)))
            .filter(|(_, diff)| *diff != 0)
            .collect();
        if effect.write.class == self.rules.user_class {
            self.total += diff.values().sum::<i64>();
        }
        self.same(&effect, before, false)?;
        self.is_in_use(&effect);
        self.bounds(&target, effect.after)?;
        match marks_added(update)?.as_slice() {
            [] => self.unmarked(&target, &effect, before, &diff)?,
            [(MarkKind::Taken, log)] => {
                self.seen.insert(Seen::Stepwise);
                self.applied(log, &target, before, &diff, effect.at_once == Some(log))?;
            }
            [(MarkKind::Taken, log), (MarkKind::Void, void)] if log == void => {
                self.nothing_moved(&target, &diff)?;
                self.refused(log, &target)?;
            }
            [(MarkKind::Undo, log)] => self.reversed(log, &target, &diff)?,
            other => return Err(format!("{target} gets the marks {other:?} at once")),
        }
        if self.total != self.moved {
            return Err(format!(
                "money is not conserved: {} on all accounts, the legs sum up to {}",
                self.total, self.moved
            ));
        }
        Ok(())
    }

    fn bounds(&self, target: &Target, after: &Document) -> Checked {
        let most = if target.class == self.rules.order_class {
            integer(after, "amount")
        } else {
            i64::MAX
        };
        for field in ["account", "frozen", "refunded"] {
            let units = integer(after, field);
            if units < 0 || units > most {
                return Err(format!("{field} of {target} is {units}"));
            }
        }
        Ok(())
    }

    fn nothing_moved(&self, target: &Target, diff: &BTreeMap<&str, i64>) -> Checked {
        if diff.is_empty() {
            return Ok(());
        }
        Err(format!("money on {target} moves for no payment: {diff:?}"))
    }

    /// A write that leaves no mark: a leg of a commit, an order's status, a pruning.
    fn unmarked(
        &mut self,
        target: &Target,
        effect: &Effect<'_>,
        before: &Document,
        diff: &BTreeMap<&str, i64>,
    ) -> Checked {
        if let Some(log) = effect.at_once
            && (!diff.is_empty() || self.is_taken_from(log, target))
        {
            self.seen.insert(Seen::AtOnce);
            return self.applied(log, target, before, diff, true);
        }
        self.nothing_moved(target, diff)?;
        let gone: BTreeSet<(MarkKind, ObjectId)> =
            marks(before).difference(&marks(effect.after)).cloned().collect();
        if gone.is_empty() {
            return Ok(());
        }
        self.seen.insert(Seen::Pruned);
        if let Some((_, log)) = gone
            .iter()
            .find(|(_, log)| self.logs.get(log).is_none_or(|log| log.state < LogState::Closed))
        {
            return Err(format!(
                "the mark of {log}, which is open, is pruned from {target}"
            ));
        }
        if integer(effect.after, PAY_EPOCH) <= integer(before, PAY_EPOCH) {
            return Err(format!(
                "marks of {target} are pruned, and its epoch is not raised"
            ));
        }
        Ok(())
    }

    /// Whether the leg asks something of the document. A log that is created as failed has only looked at it: its
    /// commit says that the document was the same as when the payment was refused.
    fn is_taken_from(&self, log: &ObjectId, target: &Target) -> bool {
        !self.logs.get(log).is_some_and(Log::failed)
            && self.leg(log, target).is_ok_and(|leg| leg.is_conditional())
    }

    fn leg(&self, log: &ObjectId, target: &Target) -> Result<Leg, String> {
        let known = self
            .logs
            .get(log)
            .ok_or(format!("{target} gets a mark of {log}, which is not there"))?;
        let mut legs = known.intent.legs.as_slice().iter();
        legs.find(|leg| leg.target == *target)
            .cloned()
            .ok_or(format!("{log} has no leg on {target}"))
    }

    fn applied(
        &mut self,
        log: &ObjectId,
        target: &Target,
        before: &Document,
        diff: &BTreeMap<&str, i64>,
        at_once: bool,
    ) -> Checked {
        let leg = self.leg(log, target)?;
        let standing = self.legs.get(&(log.clone(), target.clone())).copied();
        let known = &self.logs[log];
        if let Some(standing) = standing {
            return Err(format!(
                "the leg of {log} on {target} is applied again: it was {standing:?}"
            ));
        }
        if known.failed() {
            return Err(format!(
                "the leg of {log} on {target} is applied after the payment has failed"
            ));
        }
        if !at_once && known.state > LogState::Funded {
            return Err(format!("a leg of {log} is applied in state {:?}", known.state));
        }
        check_moved(
            log,
            target,
            diff,
            leg.add.iter().map(|(field, add)| (field.as_str(), add.units())),
        )?;
        for (field, bound) in &leg.require {
            let units = integer(before, field);
            if bound.at_least.is_some_and(|least| units < least)
                || bound.at_most.is_some_and(|most| units > most)
            {
                return Err(format!(
                    "{log} takes from {target}, whose {field} is {units}: {bound:?}"
                ));
            }
        }
        if known.intent.kind == Kind::Recharge {
            self.money_came_in(&known.clone())?;
        }
        self.count(target, diff);
        self.legs.insert((log.clone(), target.clone()), Leg1::Applied);
        Ok(())
    }

    /// The money of a recharge is a gateway's, and each payment of the gateway's is credited once.
    fn money_came_in(&mut self, log: &Log) -> Checked {
        let trade_no = log
            .trade_no
            .as_ref()
            .ok_or(format!("{} is credited without tradeNo", log.id))?;
        let (_, paid) = self
            .trades
            .get(trade_no)
            .ok_or(format!("{trade_no} is credited, and no gateway was paid"))?;
        if log.intent.amount.map(paylog::payment::Amount::units) != Some(*paid) {
            return Err(format!(
                "{} is credited with another amount than was paid",
                log.id
            ));
        }
        match self.credited.insert(trade_no.clone(), log.id.clone()) {
            Some(before) if before != log.id => Err(format!(
                "{trade_no} is credited twice: by {before} and by {}",
                log.id
            )),
            _ => Ok(()),
        }
    }

    fn count(&mut self, target: &Target, diff: &BTreeMap<&str, i64>) {
        if target.class == self.rules.user_class {
            self.moved += diff.values().sum::<i64>();
        }
    }

    fn refused(&mut self, log: &ObjectId, target: &Target) -> Checked {
        let leg = self.leg(log, target)?;
        if !leg.is_conditional() {
            return Err(format!(
                "the leg of {log} on {target} is refused, and asks for nothing"
            ));
        }
        self.seen.insert(Seen::Refusal);
        match self.legs.insert((log.clone(), target.clone()), Leg1::Refused) {
            None => Ok(()),
            Some(before) => Err(format!(
                "the leg of {log} on {target} is refused: it was {before:?}"
            )),
        }
    }

    fn reversed(&mut self, log: &ObjectId, target: &Target, diff: &BTreeMap<&str, i64>) -> Checked {
        let leg = self.leg(log, target)?;
        check_moved(
            log,
            target,
            diff,
            leg.add.iter().map(|(field, add)| (field.as_str(), -add.units())),
        )?;
        self.seen.insert(Seen::Reversal);
        self.count(target, diff);
        match self.legs.insert((log.clone(), target.clone()), Leg1::Reversed) {
            Some(Leg1::Applied) => Ok(()),
            before => Err(format!(
                "the leg of {log} on {target} is reversed: it was {before:?}"
            )),
        }
    }

    fn log_written(&mut self, effect: Effect<'_>) -> Checked {
        let log = self.read(effect.after)?;
        self.homes.insert(log.id.clone(), effect.home);
        let before = self.logs.get(&log.id).cloned();
        self.logs.insert(log.id.clone(), log.clone());
        match (before, effect.before) {
            (None, None) => self.log_created(&log, effect.home, effect.at_once)?,
            (Some(before), Some(_)) => self.log_changed(&before, &log)?,
            _ => {
                return Err(format!(
                    "{} is created twice, or changed before it was created",
                    log.id
                ));
            }
        }
        if log.stuck.is_some() {
            self.seen.insert(Seen::Stuck);
        }
        // What a commit does besides comes right after the log.
        if effect.at_once.is_none() {
            self.consistent(&log)?;
        }
        Ok(())
    }

    fn log_created(&mut self, log: &Log, home: usize, at_once: Option<&ObjectId>) -> Checked {
        self.seen.insert(Seen::Kind(log.intent.kind));
        let how = |name: &str| log.intent.params.get(name).and_then(Value::as_str) == Some("expired");
        if how("to") || how("how") {
            self.seen.insert(Seen::Expired);
        }
        if let Some(other) = self.keys.insert((home, log.intent.key.clone()), log.id.clone()) {
            return Err(format!("{other} and {} have the key {}", log.id, log.intent.key));
        }
        if let Some(key) = &log.intent.request_key
            && let Some(other) = self.keys.insert((home, key.clone()), log.id.clone())
            && other != log.id
        {
            return Err(format!("{other} and {} have the request key {key}", log.id));
        }
        if !log.failed() && !legs_add_up(&log.intent, &self.rules) {
            return Err(format!("the legs of {} do not add up: {:?}", log.id, log.intent));
        }
        if log.intent.key.starts_with("trade:") {
            self.seen.insert(Seen::Apart);
        }
        if at_once.is_none() && log.state >= LogState::Applied && !log.failed() {
            return Err(format!("{} is created as applied, and not in a commit", log.id));
        }
        self.one_attempt_at_a_time(log, home)?;
        self.ends_what_succeeded(log)
    }

    /// The attempts at an order come one after the other, and none after one that succeeded.
    fn one_attempt_at_a_time(&self, log: &Log, home: usize) -> Checked {
        let Some((stem, n)) = log
            .intent
            .key
            .strip_prefix("order:")
            .and_then(|key| key.rsplit_once(':'))
        else {
            return Ok(());
        };
        let n: u32 = n.parse().map_err(|_| format!("the key {}", log.intent.key))?;
        for earlier in 1..n {
            let key = format!("order:{stem}:{earlier}");
            if self.log_under(home, &key).is_none_or(|log| !log.failed()) {
                return Err(format!(
                    "attempt {n} at order {stem} while attempt {earlier} has not failed"
                ));
            }
        }
        Ok(())
    }

    /// Only a hold, or a withdrawal, that succeeded is ended.
    fn ends_what_succeeded(&self, log: &Log) -> Checked {
        let Some(held) = log.intent.key.strip_prefix("settle:") else {
            return Ok(());
        };
        let held = ObjectId::parse(held).ok().and_then(|id| self.logs.get(&id));
        if held.is_some_and(|held| {
            matches!(held.intent.kind, Kind::Hold | Kind::Withdraw)
                && held.verdict == Some(Verdict::Succeeded)
        }) {
            return Ok(());
        }
        Err(format!("{} ends a hold that has not succeeded", log.id))
    }

    fn log_changed(&self, before: &Log, after: &Log) -> Checked {
        let id = &after.id;
        if before.intent != after.intent {
            return Err(format!(
                "{id} is another payment than before: {before:?} {after:?}"
            ));
        }
        if after.state < before.state {
            return Err(format!("{id} falls from {:?} to {:?}", before.state, after.state));
        }
        if before.verdict.is_some() && before.verdict != after.verdict {
            return Err(format!("the outcome of {id} changes"));
        }
        if before.trade_no.is_some() && before.trade_no != after.trade_no {
            return Err(format!("the tradeNo of {id} changes"));
        }
        if before.state == LogState::Closed && before != after {
            return Err(format!("{id} is changed after it was closed"));
        }
        Ok(())
    }

    /// What the state of a log says is true.
    pub(crate) fn consistent(&self, log: &Log) -> Checked {
        let id = &log.id;
        let legs = log.intent.legs.as_slice();
        let standing = |leg: &Leg| self.legs.get(&(id.clone(), leg.target.clone())).copied();
        if log.failed() {
            let applied = legs.iter().find(|leg| standing(leg) == Some(Leg1::Applied));
            return match applied {
                Some(leg) => Err(format!("{id} has failed, and its leg on {} stands", leg.target)),
                None => Ok(()),
            };
        }
        if log.state >= LogState::Funded && log.intent.kind == Kind::Recharge && log.trade_no.is_none() {
            return Err(format!("{id} is funded without tradeNo"));
        }
        let needed = match log.state {
            LogState::Created | LogState::Ordered => 0,
            LogState::Funded => log.intent.legs.conditional_count(),
            LogState::Applied | LogState::Settled | LogState::Closed => legs.len(),
        };
        for leg in &legs[..needed] {
            // A leg of a commit that adds nothing and asks for nothing leaves no trace.
            let traceless = leg.add.values().all(|add| add.units() == 0) && !leg.is_conditional();
            if standing(leg) != Some(Leg1::Applied) && !traceless {
                return Err(format!(
                    "{id} is in state {:?}, and its leg on {} is {:?}",
                    log.state,
                    leg.target,
                    standing(leg)
                ));
            }
        }
        if log.state == LogState::Closed && log.intent.kind != Kind::Cancel && !self.told.contains(id) {
            return Err(format!("{id} is closed, and the world was not told"));
        }
        Ok(())
    }

    /// Whether the marks of a document are as few as they must be once everything is quiet.
    pub(crate) fn is_crowded(&self, document: &Document, threshold: usize) -> bool {
        let held = marks(document);
        let logs: BTreeSet<&ObjectId> = held.iter().map(|(_, log)| log).collect();
        let open = logs
            .iter()
            .filter(|log| {
                self.logs
                    .get(**log)
                    .is_some_and(|log| log.state < LogState::Closed)
            })
            .count();
        held.len() > threshold + 3 * open
    }
}

/// Whether the document can be changed where it is; a closed log never is, anywhere.
pub(crate) fn is_live(document: &Document, is_log: bool) -> bool {
    if is_log {
        integer(document, "state") < i64::from(LogState::Closed.number())
    } else {
        integer(document, PAY_EPOCH) >= 0
    }
}

pub(crate) fn is_fenced(document: &Document, is_log: bool) -> bool {
    if is_log {
        integer(document, "state") >= LogState::FENCE
    } else {
        integer(document, PAY_EPOCH) < 0
    }
}

/// Exactly what the leg says has moved.
fn check_moved<'a>(
    log: &ObjectId,
    target: &Target,
    diff: &BTreeMap<&str, i64>,
    wanted: impl Iterator<Item = (&'a str, i64)>,
) -> Checked {
    let wanted: BTreeMap<&str, i64> = wanted.filter(|(_, units)| *units != 0).collect();
    if *diff == wanted {
        return Ok(());
    }
    Err(format!(
        "{log} moves {diff:?} on {target}, its leg says {wanted:?}"
    ))
}

pub(crate) fn integer(document: &Document, field: &str) -> i64 {
    document.integer(field).unwrap_or(0)
}

pub(crate) fn marks(document: &Document) -> BTreeSet<(MarkKind, ObjectId)> {
    let Some(Value::Array(marks)) = document.get(PAYLOGS) else {
        return BTreeSet::new();
    };
    marks
        .iter()
        .filter_map(|mark| MarkKind::parse(mark.as_str()?))
        .collect()
}

/// The marks that an update leaves, in order.
fn marks_added(update: &Update) -> Result<Vec<(MarkKind, ObjectId)>, String> {
    let mut added = Vec::new();
    for (path, op) in &update.ops {
        let (PAYLOGS, Op::AddUnique(marks)) = (path.as_str(), op) else {
            continue;
        };
        for mark in marks {
            let parsed = mark.as_str().and_then(MarkKind::parse);
            added.push(parsed.ok_or(format!("{mark} is no mark"))?);
        }
    }
    Ok(added)
}
