//! V09, A05: the daemon is killed while people and agents write, again and again, on one home.
//!
//! After each kill the next daemon has to find every write that was acknowledged, and of the one that each client was waiting
//! for, all or nothing. `KV_TEST_KILLS` says how many kills (20 when nothing is said), `KV_TEST_SEED` repeats a run; the rest
//! of chance, which is the machine's, nobody can repeat.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use kv_fakes::{Host, Recorded, Reply, ServeOptions, serve};
use serde_json::{Value, json};

use crate::harness::{Canary, Connected, Door, Kv, base64, random};

/// Rotated values stay in the vault for a day, and each write looks through all of them: a home is left after so many.
const KILLS_PER_HOME: u64 = 25;
const PEOPLE: usize = 2;
const AGENTS: usize = 2;
/// The longest that a daemon lives once it works. A write takes some milliseconds.
const MOST_LIFE_US: u64 = 120_000;
/// From its start to its first answer a daemon takes about so long.
const MOST_START_US: u64 = 60_000;

#[test]
fn killed_daemons_lose_nothing_that_they_acknowledged() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let kills = number("KV_TEST_KILLS").unwrap_or(20);
    let seed = number("KV_TEST_SEED").unwrap_or_else(|| Chance::anew().next());
    println!("KV_TEST_KILLS={kills} KV_TEST_SEED={seed}");
    let begun = Instant::now();
    let mut tally = Tally::default();
    let mut done = 0;
    while done < kills {
        let mut life = Life::begin(seed.wrapping_add(done));
        while done < kills && life.kills < KILLS_PER_HOME {
            done += 1;
            life.round(&mut tally);
            if done.is_multiple_of(100) {
                println!("{done} kills in {} s: {tally:?}", begun.elapsed().as_secs());
            }
        }
        life.end(&mut tally);
    }
    println!("{done} kills in {} s: {tally:?}", begun.elapsed().as_secs());
    assert!(tally.writes > done && tally.calls > done, "too little was written: {tally:?}");
}

/// What happened, to see that the test tests something.
#[derive(Debug, Default)]
struct Tally {
    writes: u64,
    calls: u64,
    /// Writes that were waited for when the daemon was killed, and turned out to be there.
    unacknowledged_and_there: u64,
    unacknowledged_and_not_there: u64,
    killed_while_starting: u64,
    intents_without_outcome: usize,
}

/// SplitMix64: short, and the same everywhere.
struct Chance(u64);

impl Chance {
    fn anew() -> Self {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).expect("the system has random numbers");
        Self(u64::from_le_bytes(bytes))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }
}

/// What there is by name: a secret's version and length, a connection's origin.
type World = BTreeMap<String, String>;

/// What one person knows, and the one write that no answer came to.
#[derive(Default)]
struct Ledger {
    sure: World,
    maybe: Vec<(String, Option<String>)>,
    /// Writes that were begun, each of which may have used a name.
    begun: u64,
    acknowledged: u64,
}

impl Ledger {
    /// What there is now must be what was acknowledged, with all of the last write or nothing of it.
    fn settle(&mut self, there: World, tally: &mut Tally) -> Result<(), String> {
        let mut with = self.sure.clone();
        for (name, what) in self.maybe.drain(..) {
            match what {
                Some(what) => with.insert(name, what),
                None => with.remove(&name),
            };
        }
        let counted = match (there == self.sure, there == with) {
            (true, true) => None,
            (true, false) => Some(&mut tally.unacknowledged_and_not_there),
            (false, true) => Some(&mut tally.unacknowledged_and_there),
            (false, false) => return Err(format!("neither {:?} nor {with:?}, but {there:?}", self.sure)),
        };
        if let Some(counter) = counted {
            *counter += 1;
        }
        self.sure = there;
        Ok(())
    }
}

/// One home, from its making to its end.
struct Life {
    kv: Kv,
    seed: u64,
    chance: Chance,
    kills: u64,
    /// Every value begins with it, so that one search finds them all.
    core: Canary,
    service: Connected,
    ledgers: Vec<Ledger>,
    /// Calls that were answered, by id.
    answered: BTreeSet<String>,
    /// Their marks, and those of calls that were not.
    marks: BTreeMap<String, bool>,
    /// How much of files that only grow has been searched.
    searched: BTreeMap<PathBuf, usize>,
}

impl Life {
    fn begin(seed: u64) -> Self {
        let kv = Kv::unlocked();
        // Some of its intents will stay without an outcome; which ones, is looked at here.
        kv.trail_is_odd();
        let core = kv.plant(Canary::stripe());
        let reply = |_: &Recorded| Reply::json(200, &json!({ "id": "cus_1", "object": "customer" }));
        let service = serve(reply, &kv.ca, ServeOptions { host: Host::Thread, ..ServeOptions::default() })
            .expect("there is a free port");
        let first = Canary::new("the first value", value(&core, "first", 1));
        let service = kv.connect("stripe", "steady", service, first);
        kv.key_is_not_counted(&service);
        let mut ledgers = Vec::new();
        for person in 0..PEOPLE {
            let name = steady(person);
            let text = value(&core, &name, 1);
            kv.run_with(["set", &name, "--stdin"], &text).ok();
            kv.connect_to("stripe", &format!("steady-{person}"), &service.origin(), &name);
            let sure = World::from([
                (name, secret_state(1, text.len())),
                (format!("connection steady-{person}"), service.origin()),
            ]);
            ledgers.push(Ledger { sure, ..Ledger::default() });
        }
        let (answered, marks, searched) = Default::default();
        Self { kv, seed, chance: Chance(seed), kills: 0, core, service, ledgers, answered, marks, searched }
    }

    /// Work, a kill, perhaps one of a daemon that only starts, and a look at what is there.
    fn round(&mut self, tally: &mut Tally) {
        self.kills += 1;
        let life = Duration::from_micros(self.chance.below(MOST_LIFE_US));
        let chances: Vec<_> = (0..PEOPLE + AGENTS).map(|_| Chance(self.chance.next())).collect();
        let (kv, core, service, kill) = (&self.kv, &self.core, &self.service, self.kills);
        let ledgers = &mut self.ledgers;
        let mut calls = Vec::new();
        std::thread::scope(|scope| {
            let mut chances = chances.into_iter();
            for (person, ledger) in ledgers.iter_mut().enumerate() {
                let chance = chances.next().expect("one for each");
                scope.spawn(move || write_on(kv, core, service, person, ledger, chance));
            }
            let agents: Vec<_> = chances
                .enumerate()
                .map(|(agent, chance)| scope.spawn(move || call_on(kv, &format!("{kill}-{agent}"), chance)))
                .collect();
            let begun = Instant::now();
            while let Some(left) = life.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) {
                std::thread::park_timeout(left);
            }
            kv.kill();
            calls.extend(agents.into_iter().flat_map(|agent| agent.join().expect("it returns")));
        });
        for (mark, call) in calls {
            tally.calls += u64::from(call.is_some());
            self.marks.insert(mark, call.is_some());
            self.answered.extend(call);
        }
        if self.chance.below(4) == 0 {
            let starting = self.kv.spawn_daemon(|_| {});
            std::thread::park_timeout(Duration::from_micros(self.chance.below(MOST_START_US)));
            drop(starting);
            tally.killed_while_starting += 1;
        }
        self.kv.start();
        let unlocked = json!({ "passphrase": self.kv.passphrase.value, "for_ms": 3_600_000 });
        let unlocked = self.kv.ask(Door::Human, "POST", "/v1/vault/unlock", unlocked.to_string().as_bytes());
        assert_eq!(unlocked.outcome, "result", "{}: {}", self.here(), unlocked.gist());
        if let Err(wrong) = self.look(tally) {
            panic!("{}: {wrong}", self.here());
        }
    }

    fn here(&self) -> String {
        format!("after kill {} of the home with seed {}", self.kills, self.seed)
    }

    fn look(&mut self, tally: &mut Tally) -> Result<(), String> {
        let verified = self.kv.run(["audit", "verify"]);
        if verified.code != 0 {
            return Err(format!("{verified:?}"));
        }
        let world = self.world();
        for (person, ledger) in self.ledgers.iter_mut().enumerate() {
            let own = format!("{person}");
            let there = world.iter().filter(|(name, _)| name.ends_with(&own)).map(|(a, b)| (a.clone(), b.clone()));
            ledger.settle(there.collect(), tally).map_err(|wrong| format!("person {person} finds {wrong}"))?;
        }
        self.values_are_right()?;
        self.calls_are_right()?;
        self.nothing_leaked()
    }

    /// Every secret and connection that there is.
    fn world(&self) -> World {
        let list = |target: &str| self.kv.ask(Door::Human, "GET", target, b"").json();
        let text = |value: &Value| value.as_str().expect("it is text").to_owned();
        let (secrets, connections) = (list("/v1/secrets"), list("/v1/connections"));
        let secrets = secrets.as_array().expect("a list").iter().map(|secret| {
            let number = |field: &str| secret[field].as_u64().expect("a number");
            (text(&secret["name"]), secret_state(number("version"), number("length") as usize))
        });
        let connections = connections.as_array().expect("a list").iter();
        let connections = connections.map(|c| (format!("connection {}", text(&c["name"])), text(&c["origin"])));
        secrets.chain(connections).collect()
    }

    /// The value that goes to the service is that of the version that the vault names, to the last byte.
    fn values_are_right(&mut self) -> Result<(), String> {
        for (person, ledger) in self.ledgers.iter().enumerate() {
            let name = steady(person);
            let version = ledger.sure[&name].split(' ').next().and_then(|text| text.parse().ok()).expect("it has one");
            let mark = format!("look-{}-{person}", self.kills);
            let answer = self.kv.raw(&call(&format!("steady-{person}"), &mark)).forwarded(200);
            self.marks.insert(mark.clone(), true);
            self.answered.extend(answer.call);
            let requests = self.service.requests();
            let request = requests.iter().rev().find(|request| mark_of(request).as_ref() == Some(&mark));
            if request.and_then(|request| request.bearer()) != Some(&value(&self.core, &name, version)) {
                return Err(format!("the service did not get version {version} of {name}"));
            }
        }
        Ok(())
    }

    /// An answered call reached the service once and is recorded with its outcome; no other reached it twice; and nothing
    /// reached it that the trail does not have.
    fn calls_are_right(&self) -> Result<(), String> {
        let open = self.kv.open_intents()?;
        let intents = self.kv.trail_of("intent");
        let by_call: BTreeMap<_, _> = intents.iter().map(|i| (i["call"].as_str(), i["seq"].as_u64())).collect();
        let requests = self.service.requests();
        let mut seen = BTreeMap::new();
        for request in &requests {
            let call = request.header("idempotency-key");
            if !by_call.contains_key(&call) {
                return Err(format!("the service saw {call:?}, of which there is no intent"));
            }
            if let Some(mark) = mark_of(request) {
                *seen.entry(mark).or_insert(0) += 1;
            }
        }
        for (mark, answered) in &self.marks {
            let times = seen.get(mark).copied().unwrap_or(0);
            if times > 1 || (*answered && times == 0) {
                return Err(format!("call {mark}, answered: {answered}, reached the service {times} times"));
            }
        }
        let broken = self
            .answered
            .iter()
            .find(|call| by_call.get(&Some(call.as_str())).copied().flatten().is_none_or(|seq| open.contains(&seq)));
        broken.map_or(Ok(()), |call| Err(format!("call {call} was answered and has no outcome, or no intent")))
    }

    /// No value and no passphrase, in any form, is in any file.
    fn nothing_leaked(&mut self) -> Result<(), String> {
        for (path, bytes) in self.kv.files(&self.kv.root()) {
            let grows = path.extension().is_some_and(|end| end == "ndjson" || end == "log");
            let from = if grows { self.searched.insert(path.clone(), bytes.len()).unwrap_or(0) } else { 0 };
            // A secret may go over the end of what was searched before.
            let unread = &bytes[from.saturating_sub(4096).min(bytes.len())..];
            for canary in [&self.core, &self.kv.passphrase] {
                if let Some(form) = canary.found_in(unread) {
                    return Err(format!("{}, {form}, is in {}", canary.name, path.display()));
                }
            }
        }
        Ok(())
    }

    fn end(self, tally: &mut Tally) {
        tally.writes += self.ledgers.iter().map(|ledger| ledger.acknowledged).sum::<u64>();
        tally.intents_without_outcome += self.kv.open_intents().expect("it was looked at").len();
    }
}

fn steady(person: usize) -> String {
    format!("STEADY_{person}")
}

fn secret_state(version: u64, length: usize) -> String {
    format!("{version} {length}")
}

/// Another length with every version.
fn value(core: &Canary, name: &str, version: u64) -> String {
    format!("{}-{name}-{version}-{}", core.value, "x".repeat((version * 37 % 400) as usize))
}

fn call(connection: &str, mark: &str) -> Value {
    let body = json!({ "description": format!("mark.{mark}.end") });
    json!({ "connection": connection, "method": "POST", "path": "/v1/customers", "body": { "json": body } })
}

/// The caller's mark in a request's body. There is none in a request that broke off with the daemon.
fn mark_of(request: &Recorded) -> Option<String> {
    let body = String::from_utf8_lossy(&request.body);
    let (mark, _) = body.split_once("mark.")?.1.split_once(".end")?;
    Some(mark.to_owned())
}

/// A person who writes until nobody answers any more. All of their names end in their number.
fn write_on(kv: &Kv, core: &Canary, service: &Connected, person: usize, ledger: &mut Ledger, mut chance: Chance) {
    loop {
        ledger.begun += 1;
        let steady = steady(person);
        let own = |kind: &str, ledger: &Ledger| {
            let found = ledger.sure.keys().find(|name| name.starts_with(kind));
            found.map(|name| name.trim_start_matches("connection ").to_owned())
        };
        let version_of = |name: &str, ledger: &Ledger| {
            ledger.sure[name].split(' ').next().and_then(|text| text.parse::<u64>().ok()).expect("it has one")
        };
        let (method, target, body, after): (_, _, _, Vec<(String, Option<String>)>) = match chance.below(8) {
            0 | 1 => {
                let name = format!("NEW_{}_{person}", ledger.begun);
                let text = value(core, &name, 1);
                let after = (name.clone(), Some(secret_state(1, text.len())));
                (
                    "POST",
                    "/v1/secrets".to_owned(),
                    json!({ "name": name, "value": base64(text.as_bytes()) }),
                    vec![after],
                )
            }
            2 => {
                let Some(name) = own("NEW", ledger) else { continue };
                ("DELETE", format!("/v1/secrets/{name}"), Value::Null, vec![(name, None)])
            }
            3 => {
                let Some(name) = own("NEW", ledger) else { continue };
                let to = format!("NEW_R{}_{person}", ledger.begun);
                let after = vec![(to.clone(), Some(ledger.sure[&name].clone())), (name.clone(), None)];
                ("POST", format!("/v1/secrets/{name}/rename"), json!({ "to": to }), after)
            }
            4 => {
                let name = format!("extra-{}-{person}", ledger.begun);
                let after = vec![(format!("connection {name}"), Some(service.origin()))];
                ("POST", "/v1/connections".to_owned(), connection(kv, &name, &service.origin(), &steady), after)
            }
            5 => {
                let Some(name) = own("connection extra", ledger) else { continue };
                let after = vec![(format!("connection {name}"), None)];
                ("DELETE", format!("/v1/connections/{name}"), Value::Null, after)
            }
            _ => {
                let version = version_of(&steady, ledger) + 1;
                let text = value(core, &steady, version);
                let after = vec![(steady.clone(), Some(secret_state(version, text.len())))];
                ("POST", format!("/v1/secrets/{steady}/rotate"), json!({ "value": base64(text.as_bytes()) }), after)
            }
        };
        let Some(answer) = kv.ask_a_mortal(Door::Human, method, &target, &body) else {
            ledger.maybe = after;
            return;
        };
        ledger.acknowledged += 1;
        assert_eq!(answer.outcome, "result", "{method} {target}: {}", answer.gist());
        for (name, what) in after {
            match what {
                Some(what) => ledger.sure.insert(name, what),
                None => ledger.sure.remove(&name),
            };
        }
    }
}

fn connection(kv: &Kv, name: &str, origin: &str, secret: &str) -> Value {
    json!({
        "provider": "stripe", "name": name, "origin": origin, "ca": kv.ca.ca_pem(), "bindings": { "key": secret },
        "allow_private": true,
    })
}

/// An agent that calls until nobody answers any more. Its marks, each with the call's id if it was answered.
fn call_on(kv: &Kv, whose: &str, mut chance: Chance) -> Vec<(String, Option<String>)> {
    let mut calls = Vec::new();
    loop {
        let mark = format!("{whose}-{}", random(12));
        let connection = format!("steady-{}", chance.below(PEOPLE as u64));
        let answer = kv.ask_a_mortal(Door::Agent, "POST", "/v1/api", &call(&connection, &mark));
        let Some(answer) = answer else {
            calls.push((mark, None));
            return calls;
        };
        assert_eq!((answer.outcome.as_str(), answer.status), ("forwarded", Some(200)), "{}", answer.gist());
        calls.push((mark, answer.call));
    }
}
