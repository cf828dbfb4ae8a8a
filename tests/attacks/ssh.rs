//! S01 to S17: a real OpenSSH server behind the daemon. Servers that lie are played in
//! `host/egress/src/tests/ssh_hostile.rs` and, with what stands at the ends of a command, in `ssh_ends`.

use std::fs;
use std::time::Instant;

use kv_fakes::{HostCertificate, KeyPair, SshdOptions, children, current_user};
use kv_model::HostKey;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::harness::{
    Canary, Door, Kv, Machine, Refusal, Said, Typed, Wire, all_right, bare, base64, eventually, request, rows,
};

/// A server that says at once when somebody tries to log in.
fn talkative() -> SshdOptions {
    SshdOptions { config: vec!["LogLevel DEBUG1".to_owned()], ..SshdOptions::default() }
}

pub(super) fn code(code: u32) -> Value {
    json!({ "code": code })
}

/// How many commands the server has been asked to run.
fn commands(machine: &Machine<'_>) -> usize {
    machine.sshd.log().matches("Starting session: ").count()
}

/// S01, S02: a key that no person has pinned is refused before there is a login, and said with both fingerprints.
#[test]
fn host_keys() {
    let kv = Kv::unlocked();
    let Some(machine) = kv.machine_with(talkative()) else { return };
    let [real] = machine.sshd.host_keys() else { panic!("one host key") };
    let real = bare(&real.public);
    let other = bare(&KeyPair::generate("ed25519", None).unwrap().public);
    let ecdsa = bare(&KeyPair::generate("ecdsa-256", None).unwrap().public);
    let name = format!("[127.0.0.1]:{}", machine.sshd.port());
    let mut wrong = Vec::new();
    let mut cases = 0;
    for (what, keys, reason) in [
        ("another of the same kind", other.clone(), "egress.ssh.host_key"),
        ("one of another kind", ecdsa.clone(), ""),
        ("several, none of them the server's", format!("{other}\n{ecdsa}"), "egress.ssh.host_key"),
        ("an authority, and the key has no certificate", format!("@cert-authority {real}"), ""),
    ] {
        cases += 1;
        let connection = format!("pinned-{cases}");
        let made = machine.try_connect(&connection, json!({ "host-keys": keys }), json!({ "key": "SSH_KEY" }));
        if made.outcome != "result" {
            wrong.push(format!("{what} was not taken: {}", made.gist()));
            continue;
        }
        let answer = kv.call(Typed { connection: &connection, operation: "status", input: json!({}) });
        let named = answer.fault("message").matches("SHA256:").count();
        let both = reason != "egress.ssh.host_key" || named >= 2;
        if answer.outcome != "error"
            || answer.fault("sent") != "no"
            || !answer.fault("reason").starts_with("egress.ssh.")
            || !(reason.is_empty() || answer.fault("reason") == reason)
            || !both
        {
            wrong.push(format!("{what}: {}", answer.gist()));
        }
    }
    // What cannot be a pin is refused when the connection is made, or at the latest when it is used.
    for (what, keys) in [
        ("revoked", format!("@revoked {name} {real}")),
        ("negated", format!("!{name} {real}")),
        ("a mark that is none", format!("@any {real}")),
        ("no key", "trust me".to_owned()),
        ("another algorithm than the key's", real.replacen("ssh-ed25519", "ssh-rsa", 1)),
        ("a key that ends early", real.chars().take(40).collect()),
        ("a wildcard", "*".to_owned()),
        ("none, for somebody to accept later", String::new()),
    ] {
        cases += 1;
        let connection = format!("odd-{cases}");
        let made = machine.try_connect(&connection, json!({ "host-keys": keys }), json!({ "key": "SSH_KEY" }));
        let refused = made.outcome == "error" || {
            let answer = kv.call(Typed { connection: &connection, operation: "status", input: json!({}) });
            answer.outcome == "error" && answer.fault("sent") == "no"
        };
        if !refused {
            wrong.push(format!("{what} was taken"));
        }
    }
    if !machine.sshd.was_not_asked() {
        wrong.push(format!("somebody logged in: {}", machine.sshd.log()));
    }
    machine.connect("right", json!({}));
    let answer = kv.call(Typed { connection: "right", operation: "status", input: json!({}) });
    if answer.outcome != "result" {
        wrong.push(format!("the right key: {}", answer.gist()));
    }
    all_right(cases + 1, &wrong);
}

/// S01: a server that comes back with another key is refused from then on, over connections that were warm too.
#[test]
fn a_host_key_that_changes() {
    let kv = Kv::unlocked();
    let Some(machine) = kv.machine() else { return };
    assert_eq!(machine.run(&["true"]).exit, code(0));
    let port = machine.sshd.port();
    let authorized = vec![machine.key.public.clone()];
    let before = machine.sshd.host_keys()[0].public.clone();
    let other = machine.replaced(SshdOptions { port: Some(port), authorized, ..talkative() });
    assert_ne!(other.sshd.host_keys()[0].public, before);
    let answer = other.call("status", json!({}));
    assert_eq!(answer.faults(), ("failed", "egress.ssh.host_key", "no"), "{}", answer.gist());
    // As the command says it: both, for the person who has to compare.
    let ran = kv.run(["ssh", "box", "--", "true"]);
    assert_eq!(ran.code, 125, "{}", ran.stderr);
    for key in [&before, &other.sshd.host_keys()[0].public] {
        let fingerprint = HostKey::parse(key).unwrap().fingerprint().to_string();
        assert!(ran.stderr.contains(&fingerprint), "{fingerprint} is not in {}", ran.stderr);
    }
    assert!(other.sshd.was_not_asked(), "{}", other.sshd.log());
}

/// S01: a host's certificate counts for its names and its time alone.
#[test]
fn host_certificates() {
    let kv = Kv::unlocked();
    let authority = match kv.machine_with(SshdOptions::default()) {
        Some(_) => KeyPair::generate("ed25519", None).unwrap(),
        None => return,
    };
    let mut wrong = Vec::new();
    for (number, (what, names, validity, is_user, right)) in [
        ("as it should be", "127.0.0.1", "-1d:+1d", false, true),
        ("for another host", "evil.test", "-1d:+1d", false, false),
        ("expired", "127.0.0.1", "-2d:-1d", false, false),
        ("not valid yet", "127.0.0.1", "+1d:+2d", false, false),
        ("a user's", "127.0.0.1", "-1d:+1d", true, false),
    ]
    .into_iter()
    .enumerate()
    {
        let says = HostCertificate { names: names.to_owned(), validity: validity.to_owned(), is_user };
        let options = SshdOptions { host_certificate: Some((authority.clone(), says)), ..talkative() };
        let machine = kv.machine_again(options, &format!("KEY_{number}"));
        let connection = format!("certified-{number}");
        let settings = json!({ "host-keys": format!("@cert-authority {}", bare(&authority.public)) });
        let made = machine.try_connect(&connection, settings, json!({ "key": format!("KEY_{number}") }));
        assert_eq!(made.outcome, "result", "{}", made.gist());
        let answer = kv.call(Typed { connection: &connection, operation: "status", input: json!({}) });
        let as_expected = if right { answer.outcome == "result" } else { answer.fault("sent") == "no" };
        if !as_expected || machine.sshd.was_not_asked() == right {
            wrong.push(format!("{what}: {}", answer.gist()));
        }
        if right {
            // What is revoked stays so under whichever authority.
            let revoked = bare(&machine.sshd.host_keys()[0].public);
            let keys = format!("@cert-authority {}\n@revoked {revoked}", bare(&authority.public));
            let bindings = json!({ "key": format!("KEY_{number}") });
            let made = machine.try_connect("revoked", json!({ "host-keys": keys }), bindings);
            assert_eq!(made.outcome, "result", "{}", made.gist());
            let answer = kv.call(Typed { connection: "revoked", operation: "status", input: json!({}) });
            if answer.faults() != ("upstream", "egress.ssh.host_certificate", "no") {
                wrong.push(format!("a revoked key: {}", answer.gist()));
            }
        }
    }
    all_right(6, &wrong);
}

/// S04: who logs in is a person's setting in a closed grammar; a caller has no say in it.
#[test]
fn user_names() {
    let kv = Kv::unlocked();
    let Some(machine) = kv.machine_with(talkative()) else { return };
    let mut wrong = Vec::new();
    let names =
        ["-oProxyCommand=touch MARK", "root\nroot", "$(id)", "`id`", "a b", "root;id", "", "\u{1b}[2J", "root\0"];
    for (number, name) in names.iter().enumerate() {
        let connection = format!("user-{number}");
        let made = machine.try_connect(&connection, json!({ "user": name }), json!({ "key": "SSH_KEY" }));
        if made.outcome == "result" {
            let answer = kv.call(Typed { connection: &connection, operation: "status", input: json!({}) });
            if answer.outcome != "error" || answer.fault("sent") != "no" {
                wrong.push(format!("{name:?}: {}", answer.gist()));
            }
        }
    }
    machine.connect("box", json!({}));
    for input in [json!({ "user": "evil" }), json!({ "host": "evil.test" }), json!({ "host-keys": "" })] {
        let answer = kv.call(Typed { connection: "box", operation: "status", input });
        if answer.faults() != ("usage", "schema", "no") {
            wrong.push(answer.gist());
        }
    }
    all_right(names.len() + 3, &wrong);
    assert!(machine.sshd.was_not_asked(), "{}", machine.sshd.log());
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    id: String,
    name: String,
    pub(super) argument: String,
    pub(super) refuse: Option<String>,
}

/// S05: what is an argument arrives as an argument, through the server's own shell.
#[test]
fn arguments() {
    let kv = Kv::unlocked();
    let Some(machine) = kv.machine() else { return };
    let mark = kv.beside("mark").display().to_string();
    let rows: Vec<Row> = rows("arguments.toml");
    let mut wrong = Vec::new();
    for row in &rows {
        let argument = row.argument.replace("MARK", &mark);
        let argv = json!({ "argv": ["printf", "<%s>", argument, "last"] });
        let result = match &row.refuse {
            Some(text) => {
                let (code, reason) = text.split_once(' ').expect("code and reason");
                kv.is_refused_unseen(|| commands(&machine), &Refusal::new(code, reason), || machine.call("run", argv))
            }
            None => {
                let said = Said::of(&machine.call("run", argv));
                let as_it_was = said.stdout == format!("<{argument}><last>").as_bytes() && said.exit == code(0);
                if as_it_was { Ok(()) } else { Err(format!("{:?} {:?}", said.text(), said.exit)) }
            }
        };
        wrong.extend(result.err().map(|why| format!("{} {}: {why}", row.id, row.name)));
    }
    // As the program's name, it is a program that there is not.
    for name in ["$(touch MARK)", "a; touch MARK", "-x", "if", "cd ..", "X=1"] {
        let name = name.replace("MARK", &mark);
        let said = machine.run(&[&name]);
        if said.exit != code(127) && said.exit != code(126) {
            wrong.push(format!("{name} as a program: {said:?}"));
        }
    }
    all_right(rows.len() + 6, &wrong);
    assert!(!fs::exists(&mark).unwrap(), "an argument was run");
    let long = "x".repeat(1 << 20);
    let refused = kv.is_refused_unseen(
        || commands(&machine),
        &Refusal::new("usage", "command.too_long"),
        || machine.call("run", json!({ "argv": ["printf", "%s", long] })),
    );
    refused.unwrap_or_else(|why| panic!("{}", why.chars().take(300).collect::<String>()));
    for argv in [json!([]), json!([""]), json!("ls"), json!([1])] {
        let answer = machine.call("run", json!({ "argv": argv }));
        assert_eq!((answer.fault("code"), answer.fault("sent")), ("usage", "no"), "{argv}: {}", answer.gist());
    }
}

/// S05: nothing runs that no person has allowed.
#[test]
fn commands_wait_for_a_person() {
    let kv = Kv::unlocked();
    let Some(machine) = kv.machine_with(talkative()) else { return };
    machine.connect("box", json!({}));
    for (operation, input) in [
        ("run", json!({ "argv": ["true"] })),
        ("shell", json!({ "text": "true" })),
        ("write-file", json!({ "path": "/tmp/kvt", "content": "x" })),
    ] {
        let refused = kv.is_refused_unseen(|| machine.sshd.log(), &Refusal::asks(), || machine.call(operation, input));
        refused.unwrap_or_else(|why| panic!("{operation}: {why}"));
    }
    assert!(machine.sshd.was_not_asked());
}

/// S10, and the bad input of people: how a command can end, each as what it is.
#[test]
fn ends() {
    let kv = Kv::unlocked();
    let Some(machine) = kv.machine() else { return };
    let said = machine.shell("printf out; printf err >&2; exit 3");
    assert_eq!((said.text().as_str(), &said.stderr[..], said.exit), ("out", &b"err"[..], code(3)));
    assert_eq!(machine.run(&["kvt-no-such-program"]).exit, code(127));
    assert_eq!(machine.run(&["/etc/passwd"]).exit, code(126));
    let bytes: Vec<u8> = (0..=255).collect();
    let said = machine.shell("i=0; while [ $i -lt 256 ]; do printf \"\\\\$(printf %03o $i)\"; i=$((i + 1)); done");
    assert_eq!(said.stdout, bytes, "every byte comes as it is");
    let said = Said::of(&machine.call("run", json!({ "argv": ["cat"], "stdin": "what it reads\n" })));
    assert_eq!((said.text().as_str(), said.exit), ("what it reads\n", code(0)));
    // More than is wanted.
    let said = Said::of(&machine.call(
        "shell",
        json!({ "text": "yes | head -c 3000000; yes >&2", "max_output": 65_536, "timeout_seconds": 20 }),
    ));
    assert!(said.truncated && said.stdout.len() + said.stderr.len() <= 65_536, "{}", said.stdout.len());
    assert_eq!(kv.trail_of("outcome").pop().unwrap()["error"], "command.output_limit");
    // Something else ends it.
    let said = machine.shell("kill -KILL $$");
    assert_eq!(said.exit, json!({ "signal": "KILL" }));
    assert_eq!(kv.trail_of("outcome").pop().unwrap()["error"], "command.signal");
    // It hangs.
    let begun = Instant::now();
    let said = Said::of(&machine.call("shell", json!({ "text": "printf begun; sleep 1000", "timeout_seconds": 1 })));
    assert_eq!((said.text().as_str(), said.exit), ("begun", json!("timed_out")));
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
    assert_eq!(kv.trail_of("outcome").pop().unwrap()["error"], "command.timeout");
    // It has ended, and something that it left behind holds its streams.
    let begun = Instant::now();
    let said = machine.shell("sleep 1000 & printf done; exit 4");
    assert_eq!((said.text().as_str(), said.exit), ("done", code(4)));
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    let outcomes = kv.trail_of("outcome");
    assert!(outcomes.iter().any(|outcome| outcome["status"] == 3), "{outcomes:?}");
}

/// S10: a caller who leaves takes the command along, and a connection that is cut is an error that says so.
#[test]
fn callers_and_servers_that_go() {
    let kv = Kv::unlocked();
    let Some(machine) = kv.machine() else { return };
    let begin = |text: &str| {
        let mut wire = Wire::connect(&kv, Door::Agent);
        let call = json!({ "connection": "box", "operation": "shell", "input": { "text": text } });
        wire.send(request("POST", "/v1/call", &[("kv-agent", "tester")], call.to_string().as_bytes())).unwrap();
        wire
    };
    let mark = kv.beside("pid").display().to_string();
    // It writes, and so it ends when nobody reads: OpenSSH carries no signals to what root runs.
    let wire = begin(&format!("echo $$ > {mark}; while echo x; do sleep 0.05; done"));
    let pid = eventually("the command's start", || fs::read_to_string(&mark).ok()?.trim().parse::<u32>().ok());
    drop(wire);
    eventually("the command's end", || (!fs::exists(format!("/proc/{pid}")).unwrap()).then_some(()));
    // A caller who stays and does not read keeps no command beyond its time.
    let mark = kv.beside("stalled").display().to_string();
    let text = format!("head -c 2000000 /dev/zero; echo $$ > {mark}; while echo x; do sleep 0.05; done");
    let mut wire = Wire::connect(&kv, Door::Agent);
    let input = json!({ "text": text, "timeout_seconds": 3, "max_output": 8_388_608 });
    let call = json!({ "connection": "box", "operation": "shell", "input": input });
    wire.send(request("POST", "/v1/call", &[("kv-agent", "tester")], call.to_string().as_bytes())).unwrap();
    let pid = eventually("the command's start", || fs::read_to_string(&mark).ok()?.trim().parse::<u32>().ok());
    eventually("the command's end", || (!fs::exists(format!("/proc/{pid}")).unwrap()).then_some(()));
    drop(wire);
    // The server goes in the middle: it ran, nobody knows how far, and it is not run again.
    let count = kv.beside("count").display().to_string();
    let answer = std::thread::scope(|scope| {
        let text = format!("echo x >> {count}; printf some; sleep 1000");
        let kv = &kv;
        let call = scope.spawn(move || machine_call(kv, &text));
        eventually("the command's start", || fs::exists(&count).unwrap().then_some(()));
        machine.sshd.cut_connections();
        call.join().expect("it does not panic")
    });
    assert!(!answer.complete, "{}", answer.gist());
    assert!(answer.error.is_none() || answer.fault("reason") == "egress.reset", "{:?}", answer.error);
    assert_eq!(fs::read_to_string(&count).unwrap(), "x\n", "once, and not again");
    assert_eq!(machine.run(&["true"]).exit, code(0), "the next command makes a new connection");
}

fn machine_call(kv: &Kv, text: &str) -> crate::harness::Answer {
    kv.call(Typed { connection: "box", operation: "shell", input: json!({ "text": text }) })
}

/// S12, S14: nothing that is offered signs, forwards or loads anything.
#[test]
fn there_is_nothing_to_sign_with() {
    let kv = Kv::unlocked();
    let Some(machine) = kv.machine() else { return };
    let listed = kv.ask(Door::Agent, "GET", "/v1/operations?connection=box", b"").json();
    let names: Vec<_> = listed
        .as_array()
        .or(listed["operations"].as_array())
        .expect("a list")
        .iter()
        .map(|one| one["operation"].as_str().or(one["name"].as_str()).unwrap_or("").to_owned())
        .collect();
    assert!(names.iter().any(|name| name.ends_with("run")), "{listed}");
    for word in ["sign", "forward", "agent", "key", "tunnel"] {
        assert!(!names.iter().any(|name| name.contains(word)), "{names:?}");
    }
    let said = machine.run(&["sh", "-c", "echo \"agent:$SSH_AUTH_SOCK display:$DISPLAY tty:$SSH_TTY\""]);
    assert_eq!(said.text(), "agent: display: tty:\n");
}

/// S15: a jump host carries bytes; whose key the target has is checked by kv, and no configuration of this machine is read.
#[test]
fn jump_hosts() {
    let kv = Kv::unlocked();
    let Some(jump) = kv.machine_with(SshdOptions::default()) else { return };
    jump.connect("jump", json!({}));
    let target = kv.machine_again(talkative(), "TARGET_KEY");
    let bound = json!({ "key": "TARGET_KEY" });
    assert_eq!(target.try_connect("box", json!({ "jump": "jump" }), bound.clone()).outcome, "result");
    let answer = target.call("status", json!({}));
    assert_eq!(answer.outcome, "result", "{}", answer.gist());
    assert!(jump.sshd.wait_for(|log| log.contains("Accepted publickey")), "{}", jump.sshd.log());
    // The jump host's own key, shown in the target's place, is not the target's.
    let as_if = json!({ "jump": "jump", "host-keys": bare(&jump.sshd.host_keys()[0].public) });
    assert_eq!(target.try_connect("as-if", as_if, bound.clone()).outcome, "result");
    let answer = kv.call(Typed { connection: "as-if", operation: "status", input: json!({}) });
    assert_eq!(answer.faults(), ("failed", "egress.ssh.host_key", "no"), "{}", answer.gist());
    // What the person takes away from the way, or takes away whole, ends what goes through it.
    for (what, change) in
        [("edited", ["edit", "jump", "--deny", "status"]), ("removed", ["remove", "jump", "--yes", ""])]
    {
        target.allow_all("box");
        let mark = kv.beside(what).display().to_string();
        let answer = std::thread::scope(|scope| {
            let text = format!("echo $$ > {mark}; while echo x; do sleep 0.05; done");
            let kv = &kv;
            let call = scope.spawn(move || machine_call(kv, &text));
            let pid = eventually("the command's start", || fs::read_to_string(&mark).ok()?.trim().parse::<u32>().ok());
            kv.run(["connection"].into_iter().chain(change.into_iter().filter(|word| !word.is_empty()))).ok();
            eventually("the command's end", || (!fs::exists(format!("/proc/{pid}")).unwrap()).then_some(()));
            call.join().expect("it does not panic")
        });
        assert!(!answer.complete, "{what}: {}", answer.gist());
        assert_eq!(kv.trail_of("outcome").pop().unwrap()["error"], "connection_changed", "{what}");
    }
    jump.connect("jump", json!({}));
    for (name, way) in [("nowhere", "no-such-connection"), ("itself", "itself")] {
        let made = target.try_connect(name, json!({ "jump": way }), bound.clone());
        if made.outcome == "result" {
            let answer = kv.call(Typed { connection: name, operation: "status", input: json!({}) });
            assert_eq!(
                (answer.fault("reason"), answer.fault("sent")),
                ("egress.ssh.jump", "no"),
                "{name}: {}",
                answer.gist()
            );
        }
    }
    // Every test's home has a configuration for ssh that would run something else instead.
    assert!(!fs::exists(kv.beside("ssh-config-was-read")).unwrap());
}

/// S16: names that a server gives are data.
#[test]
fn names_of_files() {
    let kv = Kv::unlocked();
    let Some(machine) = kv.machine() else { return };
    let place = kv.beside("place");
    fs::create_dir(&place).unwrap();
    let names = ["-rf", "a b", "$(touch x)", "'quoted'", "\u{1b}[2J", "..x", "*"];
    for name in names {
        fs::write(place.join(name), name).unwrap();
    }
    std::os::unix::fs::symlink("/etc/hostname", place.join("link")).unwrap();
    let path = place.display().to_string();
    let listed = machine.call("list-dir", json!({ "path": path }));
    assert_eq!(listed.outcome, "result", "{}", listed.gist());
    let entries = listed.json()["entries"].as_array().expect("a list").clone();
    assert_eq!(entries.len(), names.len() + 1, "{}", listed.gist());
    for name in names {
        assert!(entries.iter().any(|entry| entry["name"] == name), "{name:?}: {}", listed.gist());
        let read = machine.call("read-file", json!({ "path": format!("{path}/{name}") }));
        assert_eq!(read.outcome, "result", "{name:?}: {}", read.gist());
        // What a terminal would act on is no text.
        let content = read.json();
        let is_right = content["text"] == name || content["base64"] == base64(name.as_bytes());
        assert!(is_right, "{name:?}: {}", read.gist());
    }
    let link = entries.iter().find(|entry| entry["name"] == "link").unwrap();
    assert_eq!(link["kind"], "link");
    for path in ["", "a\0b", "~/x"] {
        let answer = machine.call("read-file", json!({ "path": path }));
        assert_eq!((answer.fault("code"), answer.fault("sent")), ("usage", "no"), "{path:?}: {}", answer.gist());
    }
    let written = machine.call("write-file", json!({ "path": format!("{path}/-new; touch x"), "content": "new" }));
    assert_eq!(written.outcome, "result", "{}", written.gist());
    assert_eq!(fs::read_to_string(place.join("-new; touch x")).unwrap(), "new");
    let answer = machine.call("read-file", json!({ "path": format!("{path}/none") }));
    assert_eq!((answer.fault("reason"), answer.fault("sent")), ("upstream.not_found", "yes"), "{}", answer.gist());
}

/// S17: of this machine's environment and users nothing goes along, and no private key is in any process.
#[test]
fn nothing_of_this_machine_goes_along() {
    let kv = Kv::unlocked();
    let Some(machine) =
        kv.machine_with(SshdOptions { config: vec!["AcceptEnv *".to_owned()], ..SshdOptions::default() })
    else {
        return;
    };
    machine.connect("box", json!({}));
    machine.allow_all("box");
    let text = machine.run(&["env"]).text();
    for word in ["KV_HOME", "LANG=kvt", "LC_ALL=kvt", "PGHOST", "HTTP_PROXY", "RUST_LOG"] {
        assert!(!text.contains(word), "{text}");
    }
    // While one runs, for `ps` to see.
    let mark = kv.beside("seen").display().to_string();
    std::thread::scope(|scope| {
        let text = format!("touch {mark}; while [ -e {mark} ]; do sleep 0.05; done");
        let kv = &kv;
        let call = scope.spawn(move || machine_call(kv, &text));
        eventually("the command's start", || fs::exists(&mark).unwrap().then_some(()));
        kv.saw_processes();
        fs::remove_file(&mark).unwrap();
        assert!(call.join().expect("it does not panic").complete);
    });
    assert!(!children(machine.sshd.pid()).is_empty(), "the login is kept warm");
}

/// Keys, passphrases, certificates and passwords: what is enrolled logs in, and what is wrong says so.
#[test]
fn credentials() {
    let kv = Kv::unlocked();
    let authority = match kv.machine_with(SshdOptions::default()) {
        Some(_) => KeyPair::generate("ed25519", None).unwrap(),
        None => return,
    };
    let passphrase = kv.plant(Canary::new("the key's passphrase", "kvcanary-passphrase'%8f2b61".to_owned()));
    let locked = KeyPair::generate("ed25519", Some(&passphrase.value)).unwrap();
    kv.plant_key("the locked key", &locked.private);
    let certified = KeyPair::generate("ecdsa-256", None).unwrap();
    let stranger = KeyPair::generate("ed25519", None).unwrap();
    let certificate = authority.certify(&certified, &current_user(), "-1d:+1d").unwrap();
    let options = SshdOptions {
        authorized: vec![locked.public.clone()],
        user_authorities: vec![authority.public.clone()],
        ..SshdOptions::default()
    };
    let machine = kv.machine_again(options, "PLAIN_KEY");
    for (name, value) in [
        ("LOCKED", &locked.private),
        ("PASSPHRASE", &passphrase.value),
        ("CERTIFIED", &certified.private),
        ("CERTIFICATE", &certificate),
        ("STRANGER", &stranger.private),
        ("NO_KEY", &"not a key at all".to_owned()),
    ] {
        kv.run_with(["set", name, "--stdin"], value).ok();
    }
    for (name, bindings, reason) in [
        ("plain", json!({ "key": "PLAIN_KEY" }), ""),
        ("locked", json!({ "key": "LOCKED", "passphrase": "PASSPHRASE" }), ""),
        ("certified", json!({ "key": "CERTIFIED", "certificate": "CERTIFICATE" }), ""),
        ("without-certificate", json!({ "key": "CERTIFIED" }), "egress.ssh.login"),
        ("stranger", json!({ "key": "STRANGER" }), "egress.ssh.login"),
        ("without-passphrase", json!({ "key": "LOCKED" }), "egress.secret_unfit"),
        ("no-key", json!({ "key": "NO_KEY" }), "egress.secret_unfit"),
        ("password-not-taken", json!({ "password": "PASSPHRASE" }), "egress.ssh.login"),
    ] {
        let made = machine.try_connect(name, json!({}), bindings);
        assert_eq!(made.outcome, "result", "{name}: {}", made.gist());
        let answer = kv.call(Typed { connection: name, operation: "status", input: json!({}) });
        if reason.is_empty() {
            assert_eq!(answer.outcome, "result", "{name}: {}", answer.gist());
        } else {
            assert_eq!((answer.fault("reason"), answer.fault("sent")), (reason, "no"), "{name}: {}", answer.gist());
        }
    }
}

/// The command `kv ssh`: the exit code is the command's, its streams are apart and come as they are written.
#[test]
fn the_command() {
    let kv = Kv::unlocked();
    let Some(_machine) = kv.machine() else { return };
    let ran = kv.run(["ssh", "box", "--", "sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (7, "out\n", "err\n"));
    let mark = kv.beside("go").display().to_string();
    let script = format!("echo first; while [ ! -e {mark} ]; do sleep 0.05; done; echo second");
    let mut running = kv.begin(["ssh", "box", "--", "sh", "-c", &script], |_| {});
    // It is a pipe, and would be read to its end first.
    running.stdin = None;
    running.wait_for("first\n");
    fs::write(&mark, "").unwrap();
    let ran = running.end();
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "first\nsecond\n"));
    // What it reads is text or not, and arrives as it was.
    let script = r#"printf '\377\000\001\012' | "$KV" ssh box -- od -An -tx1; echo "ended $?""#;
    if let Some(terminal) = kv.on_terminal(script) {
        let shown = terminal.end().ok().stdout;
        assert!(shown.contains("ff 00 01 0a") && shown.contains("ended 0"), "{shown}");
    }
    let ran = kv.run(["ssh", "box", "--", "kvt-no-such-program"]);
    assert_eq!(ran.code, 127, "{}", ran.stderr);
    let ran = kv.run(["ssh", "nothing", "--", "true"]);
    assert!(ran.code == 125 && ran.stderr.contains("there is no connection"), "{}", ran.stderr);
}
