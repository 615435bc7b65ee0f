//! The real program, killed at every write of every kind of payment: before it, after it, and in the middle of a
//! batch; and killed again while it recovers from that.
//!
//! Each kind is carried out once without harm, which shows the calls of the store that it makes. Then it is carried
//! out again and again, and each time the program stops at another of those calls and is killed. It is started again
//! and recovers; the audit must be clean, the money must have moved as a whole or not at all; and the same call,
//! repeated, must get the answer that holds from then on.
//!
//! By default recovery is killed once for each kind, where chance wants it (`PAYLOG_SEED`); with `PAYLOG_CRASH=all` it is
//! killed at every call, after every first death.

mod house;
mod stories;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use futures_util::future::join_all;
use paylog::environment::Environment;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};

use crate::support::program;
use house::{Cut, House, Moment, Way};
use stories::{Cast, Money, Scene, Story};

/// Programs that die and recover at the same time, each with data of its own.
const LANES: [Way; 4] = [Way::Stepwise, Way::Atomic, Way::Stepwise, Way::Stepwise];

/// How long something may still come to stop at, once there is an answer.
const GRACE: Duration = Duration::from_secs(3);

/// One kind of payment, killed everywhere.
struct Telling<'a> {
    house: &'a mut House,
    cast: Cast,
    story: Story,
    rounds: usize,
    deaths: usize,
    deaths_recovering: usize,
}

/// What the caller saw: an answer, or nothing.
type Heard = Option<(u16, Value)>;

/// What came of one story.
struct Told {
    /// The calls of the store without harm: what there is to die at.
    calls: Vec<String>,
    deaths: usize,
    deaths_recovering: usize,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            calls,
            deaths,
            deaths_recovering,
        } = self;
        let count = calls.len();
        let calls = calls.join(", ");
        write!(
            f,
            "{count} calls ({calls}), {deaths} deaths and {deaths_recovering} while recovering"
        )
    }
}

impl<'a> Telling<'a> {
    async fn new(house: &'a mut House, story: Story) -> Self {
        let cast = Cast::hire(house, story).await;
        Self {
            house,
            cast,
            story,
            rounds: 0,
            deaths: 0,
            deaths_recovering: 0,
        }
    }

    /// All deaths of the story; answers what there was to die at. `chance` chooses how often, while it recovers.
    async fn tell(&mut self, chance: &mut StdRng) -> Told {
        let calls = self.unharmed().await;
        for cut in cuts(&calls) {
            self.killed_at(cut, None).await;
        }
        let firsts = if is_everything() {
            cuts(&calls)
        } else {
            vec![Cut {
                call: calls.len().div_ceil(2),
                moment: Moment::After,
            }]
        };
        for first in firsts {
            let mut again = cuts(&self.recovery_from(first).await);
            if !is_everything() {
                again = again.choose(chance).copied().into_iter().collect();
            }
            for again in again {
                self.killed_at(first, Some(again)).await;
            }
        }
        Told {
            calls,
            deaths: self.deaths,
            deaths_recovering: self.deaths_recovering,
        }
    }

    /// Everything up to the call.
    async fn stage(&mut self) -> Scene {
        self.rounds += 1;
        let scene = self.cast.stage(self.house, self.story, self.rounds).await;
        self.house.quiet().await;
        self.house.calls();
        scene
    }

    /// Without harm: the calls that the program makes.
    async fn unharmed(&mut self) -> Vec<String> {
        self.house.trying = format!("{:?} {:?} unharmed", self.story, self.house.way);
        let scene = self.stage().await;
        let before = self.cast.money(self.house).await;
        scene.fall_due(self.house).await;
        let heard = if scene.comes_by_itself() {
            self.house.restart().await;
            None
        } else {
            Some(self.call(&scene).await)
        };
        scene.over(self.house).await;
        self.house.quiet().await;
        let calls = self.house.calls();
        self.check(&scene, heard, &before).await;
        calls
    }

    async fn call(&self, scene: &Scene) -> (u16, Value) {
        let answer = self.house.call(scene.function, scene.from(), &scene.parameters);
        answer.await
    }

    /// Killed at `first`, then not harmed any more: the calls that recovery makes.
    async fn recovery_from(&mut self, first: Cut) -> Vec<String> {
        self.house.trying = format!("{:?} {:?} {first:?}, recovering", self.story, self.house.way);
        let scene = self.stage().await;
        let before = self.cast.money(self.house).await;
        let heard = self.die(&scene, first).await;
        self.house.start_again().await;
        scene.over(self.house).await;
        self.house.quiet().await;
        let calls = self.house.calls();
        self.check(&scene, heard, &before).await;
        self.deaths += 1;
        calls
    }

    /// Killed at `cut`, and then at `again` while it recovers.
    async fn killed_at(&mut self, cut: Cut, again: Option<Cut>) {
        self.house.trying = format!("{:?} {:?} {cut:?} {again:?}", self.story, self.house.way);
        let scene = self.stage().await;
        let before = self.cast.money(self.house).await;
        let heard = self.die(&scene, cut).await;
        if let Some(again) = again {
            self.house.stop_at(again);
            self.house.start_again().await;
            if self
                .house
                .stopped_or(async || scene.is_over(self.house).await, Duration::ZERO)
                .await
            {
                self.house.audited().await;
                self.deaths_recovering += 1;
            }
            self.house.go_on();
            self.house.kill(false);
        }
        self.house.start_again().await;
        self.house.recovered().await;
        self.house.audited().await;
        let (now, after) = (self.cast.money(self.house).await, scene.after(&before));
        if matches!(heard, Some((200, _))) {
            assert_eq!(now, after, "{heard:?}");
        } else {
            assert!(
                now == before || now == after,
                "{now:?} is neither {before:?} nor {after:?}"
            );
        }
        self.check(&scene, heard, &before).await;
        self.deaths += 1;
    }

    /// Calls, and kills the program at `cut`; what was acknowledged outlives the storage, too.
    async fn die(&mut self, scene: &Scene, cut: Cut) -> Heard {
        let (address, keys) = self.house.door();
        let path = format!("/1.1/functions/{}", scene.function);
        let http = self.house.http.clone();
        self.house.stop_at(cut);
        scene.fall_due(self.house).await;
        if scene.comes_by_itself() {
            if self.house.restart().await {
                if self
                    .house
                    .stopped_or(async || scene.is_over(self.house).await, GRACE)
                    .await
                {
                    self.house.audited().await;
                }
                self.house.go_on();
                self.house.kill(cut.moment == Moment::After);
            }
            return None;
        }
        let call = program::send(
            &http,
            &address,
            &keys,
            "POST",
            &path,
            scene.from(),
            &scene.parameters,
        );
        let is_answered = Cell::new(false);
        let call = async {
            let heard = call.await;
            is_answered.set(true);
            heard
        };
        let house = &mut *self.house;
        let death = async {
            if house.stopped_or(async || is_answered.get(), GRACE).await {
                house.audited().await;
            }
            house.go_on();
            house.kill(cut.moment == Moment::After);
        };
        let (heard, ()) = tokio::join!(call, death);
        heard.ok()
    }

    /// The same call gets one answer from now on, that which was told; the money is where it belongs.
    async fn check(&self, scene: &Scene, heard: Heard, before: &Money) {
        scene.over(self.house).await;
        let answers = [Some(self.call(scene).await), heard, Some(self.call(scene).await)];
        let mut answers = answers.into_iter().flatten().map(|(status, mut answer)| {
            if let Some(result) = answer["result"].as_object_mut() {
                result.shift_remove("replayed");
            }
            (status, answer)
        });
        let first = answers.next().unwrap();
        let (status, answer) = &first;
        match scene.refused {
            None => assert_eq!(*status, 200, "{answer}"),
            Some(code) => assert_eq!(
                (*status >= 400, &answer["code"]),
                (true, &json!(code)),
                "{answer}"
            ),
        }
        for other in answers {
            assert_eq!(other, first);
        }
        assert_eq!(self.cast.money(self.house).await, scene.after(before));
        if let Some((order, status)) = &scene.order {
            let order = self.house.get(&self.house.config.order_class, order).await;
            assert_eq!(order.text("status"), Some(*status), "{order:?}");
        }
    }
}

/// Every death that there is at these calls.
fn cuts(calls: &[String]) -> Vec<Cut> {
    let moments = |call: &String| match call.strip_prefix("batch ") {
        Some(classes) if classes.contains(' ') => {
            vec![Moment::Before, Moment::First, Moment::Last, Moment::After]
        }
        _ => vec![Moment::Before, Moment::After],
    };
    let cuts = (1..).zip(calls);
    cuts.flat_map(|(call, name)| moments(name).into_iter().map(move |moment| Cut { call, moment }))
        .collect()
}

fn is_everything() -> bool {
    std::env::var_os("PAYLOG_CRASH").is_some_and(|value| value == "all")
}

#[tokio::test]
async fn no_write_is_a_bad_one_to_be_killed_at() {
    let environment = Environment::system();
    let seed = std::env::var_os("PAYLOG_SEED")
        .map(|text| text.to_str().unwrap().parse().unwrap())
        .unwrap_or_else(|| u64::from_be_bytes(environment.random()));
    println!("PAYLOG_SEED={seed}");
    let waiting: BTreeMap<Way, RefCell<Vec<Story>>> = [Way::Atomic, Way::Stepwise]
        .map(|way| {
            let stories = Story::ALL.into_iter().filter(|story| story.goes(way));
            (way, RefCell::new(stories.collect()))
        })
        .into();
    let lanes = LANES.map(|way| {
        let waiting = &waiting[&way];
        async move {
            let mut house = House::start(way).await;
            let mut told = Vec::new();
            loop {
                let story = waiting.borrow_mut().pop();
                let Some(story) = story else { break };
                // Whoever tells it: the same story, the same deaths.
                let mut chance = StdRng::seed_from_u64(seed ^ story as u64);
                let mut telling = Telling::new(&mut house, story).await;
                told.push((way, story, telling.tell(&mut chance).await));
            }
            house.end().await;
            told
        }
    });
    let mut told: Vec<_> = join_all(lanes).await.into_iter().flatten().collect();
    told.sort_by_key(|(way, story, _)| (*way, *story));
    let (mut deaths, mut deaths_recovering) = (0, 0);
    for (way, story, told) in &told {
        println!("{way:?} {story:?}: {told}");
        deaths += told.deaths;
        deaths_recovering += told.deaths_recovering;
    }
    println!(
        "{deaths} deaths and {deaths_recovering} while recovering, in {:?}",
        environment.elapsed()
    );
}
