//! Commands over real OpenSSH servers on loopback.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kv_fakes::{HostCertificate, KeyPair, RealSshd, SshdOptions, children, current_user, is_root, sshd_is_installed};
use kv_model::{CommandParts, Exit, Origin, PinnedKeys, known_hosts};

use super::lab::{all, patient, soon};
use super::ssh_lab::{NoOutput, SshLab, argv, server_and_key, setting, shell, talkative_server_and_key};
use crate::{
    BodyError, CertificateProblem, CommandAnswer, CommandChunk, Enrolment, JumpProblem, Limits, SendError, Sent,
    SshProblem, Unfit, host_keys,
};

fn ssh(error: NoOutput) -> SshProblem {
    match error {
        NoOutput::Send(SendError::Ssh(problem)) => problem,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn streams_apart_and_exit_codes() {
    if !sshd_is_installed() {
        return;
    }
    let (lab, (server, key)) = (SshLab::new(), server_and_key());
    let connection = Arc::new(lab.to(&server, &key));
    let output = lab.run(&connection, shell("echo out; echo err >&2; exit 7")).await.unwrap();
    assert_eq!((output.exit, output.truncated), (Exit::Code(7), false));
    assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"out\n"[..], &b"err\n"[..]));

    let words = ["printf", "%s|", "a b", "$(id)", "it's", "", "-n", "\\", "*"];
    let output = lab.run(&connection, argv(&words)).await.unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "a b|$(id)|it's||-n|\\|*|");

    let input: Vec<u8> = (0..3_000_000_u32).map(|number| number as u8).collect();
    let parts = CommandParts { stdin: input.clone(), max_output: 8 << 20, ..argv(&["cat"]) };
    let output = lab.run(&connection, parts).await.unwrap();
    assert!(output.stdout == input && output.exit == Exit::Code(0));

    // A command that reads nothing of its input ends all the same.
    let parts = CommandParts { stdin: vec![0; 8 << 20], ..argv(&["true"]) };
    assert_eq!(lab.run(&connection, parts).await.unwrap().exit, Exit::Code(0));

    let output = lab.run(&connection, shell("kill -USR1 $$")).await.unwrap();
    assert_eq!(output.exit, Exit::Signal("USR1".to_owned()));
    // One login for all of them.
    assert_eq!(server.log().matches("Accepted publickey").count(), 1);
}

#[tokio::test]
async fn nothing_of_this_machine_goes_along() {
    if !sshd_is_installed() {
        return;
    }
    let key = KeyPair::generate("ed25519", None).unwrap();
    let options = SshdOptions {
        authorized: vec![key.public.clone()],
        config: vec!["AcceptEnv *".to_owned(), "LogLevel DEBUG1".to_owned()],
        ..Default::default()
    };
    let server = RealSshd::start(&options).unwrap();
    let lab = SshLab::new();
    let connection = Arc::new(lab.to(&server, &key));
    let output = lab.run(&connection, shell("env; tty; exit 0")).await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("not a tty") && !text.contains("LANG=") && !text.contains("LC_") && !text.contains("TERM="));
    assert!(!text.contains("SSH_AUTH_SOCK") && !text.contains("DISPLAY"), "{text}");
    let log = server.log();
    assert!(!log.contains("env request") && !log.contains("req env") && !log.contains("pty-req"), "{log}");
    assert!(log.contains("remote software version kv"), "{log}");
}

#[tokio::test]
async fn every_kind_of_key() {
    if !sshd_is_installed() {
        return;
    }
    let lab = SshLab::new();
    let kinds = ["ed25519", "ecdsa-256", "ecdsa-384", "ecdsa-521", "rsa-2048"];
    let plain: Vec<_> = kinds.iter().map(|kind| KeyPair::generate(kind, None).unwrap()).collect();
    let protected = KeyPair::generate("ed25519", Some("open sesame")).unwrap();
    let protected_rsa = KeyPair::generate("rsa-2048", Some("open sesame")).unwrap();
    let authorized = plain.iter().chain([&protected, &protected_rsa]).map(|key| key.public.clone()).collect();
    let server = RealSshd::start(&SshdOptions { authorized, ..Default::default() }).unwrap();
    let in_other_forms = [plain[4].in_form("PEM").unwrap(), plain[4].in_form("PKCS8").unwrap()];
    for key in plain.iter().chain(&in_other_forms) {
        let connection = Arc::new(lab.to(&server, key));
        let output = lab.run(&connection, argv(&["true"])).await;
        assert_eq!(output.map(|output| output.exit), Ok(Exit::Code(0)), "{}", key.public);
    }
    for key in [&protected, &protected_rsa] {
        let mut connection = lab.to(&server, key);
        let unfit =
            |why| NoOutput::Send(SendError::SecretUnfit { slot: connection.bindings.keys().next().cloned(), why });
        let expected = [unfit(Unfit::Encrypted), unfit(Unfit::Passphrase)];
        assert_eq!(lab.run(&Arc::new(connection.clone()), argv(&["true"])).await, Err(expected[0].clone_()));
        lab.bind(&mut connection, "passphrase", "wrong");
        assert_eq!(lab.run(&Arc::new(connection.clone()), argv(&["true"])).await, Err(expected[1].clone_()));
        lab.bind(&mut connection, "passphrase", "open sesame");
        assert!(lab.run(&Arc::new(connection), argv(&["true"])).await.is_ok());
    }
    assert!(!server.log().contains("ssh-rsa [preauth]") || server.log().contains("rsa-sha2-512"), "{}", server.log());
}

impl NoOutput {
    fn clone_(&self) -> NoOutput {
        match self {
            NoOutput::Body(error) => NoOutput::Body(*error),
            NoOutput::Send(error) => NoOutput::Send(error.clone()),
        }
    }
}

#[tokio::test]
async fn certificates_of_users() {
    if !sshd_is_installed() {
        return;
    }
    let lab = SshLab::new();
    let authority = KeyPair::generate("ed25519", None).unwrap();
    let options = SshdOptions { user_authorities: vec![authority.public.clone()], ..Default::default() };
    let server = RealSshd::start(&options).unwrap();
    let user = current_user();
    for kind in ["ed25519", "ecdsa-256", "rsa-2048"] {
        let key = KeyPair::generate(kind, None).unwrap();
        let mut connection = lab.to(&server, &key);
        assert_eq!(ssh(lab.run(&Arc::new(connection.clone()), argv(&["true"])).await.unwrap_err()), SshProblem::Login);
        lab.bind(&mut connection, "certificate", &authority.certify(&key, &user, "+1h").unwrap());
        let output = lab.run(&Arc::new(connection.clone()), argv(&["true"])).await;
        assert_eq!(output.map(|output| output.exit), Ok(Exit::Code(0)), "{kind}: {}", server.log());
        let other = KeyPair::generate("ed25519", None).unwrap();
        lab.bind(&mut connection, "certificate", &authority.certify(&other, &user, "+1h").unwrap());
        let error = lab.run(&Arc::new(connection.clone()), argv(&["true"])).await.unwrap_err();
        assert!(matches!(error, NoOutput::Send(SendError::SecretUnfit { why: Unfit::OtherKey, .. })), "{error:?}");
        lab.bind(&mut connection, "certificate", &authority.certify(&key, "somebody", "+1h").unwrap());
        assert_eq!(ssh(lab.run(&Arc::new(connection), argv(&["true"])).await.unwrap_err()), SshProblem::Login);
    }
}

#[tokio::test]
async fn a_host_key_that_is_not_pinned() {
    if !sshd_is_installed() {
        return;
    }
    let (lab, (server, key)) = (SshLab::new(), talkative_server_and_key());
    let other = KeyPair::generate("ed25519", None).unwrap();
    let mut connection = lab.to(&server, &key);
    connection.settings.insert(setting("host-keys"), other.public.clone());
    let problem = ssh(lab.run(&Arc::new(connection.clone()), argv(&["true"])).await.unwrap_err());
    let print = |text: &str| PinnedKeys::parse(text).unwrap().hosts().next().unwrap().fingerprint();
    let (offered, pinned) = (print(&server.host_keys()[0].public), print(&other.public));
    assert_eq!(problem, SshProblem::HostKey { offered, pinned: vec![pinned] });
    let text = problem.to_string();
    assert!(text.contains(&offered.to_string()) && text.contains(&pinned.to_string()), "{text}");
    assert_eq!(problem.sent(), Sent::No);

    // A key of another kind is no better.
    let rsa = KeyPair::generate("rsa-2048", None).unwrap();
    connection.settings.insert(setting("host-keys"), rsa.public.clone());
    let problem = ssh(lab.run(&Arc::new(connection.clone()), argv(&["true"])).await.unwrap_err());
    assert_eq!(problem, SshProblem::HostKey { offered, pinned: vec![print(&rsa.public)] });

    // None at all: nothing is learnt on the way.
    connection.settings.remove(&setting("host-keys"));
    let problem = ssh(lab.run(&Arc::new(connection), argv(&["true"])).await.unwrap_err());
    assert_eq!(problem.code(), "egress.ssh.host_key_missing");
    assert!(server.was_not_asked(), "{}", server.log());
}

#[tokio::test]
async fn one_of_several_host_keys() {
    if !sshd_is_installed() {
        return;
    }
    let key = KeyPair::generate("ed25519", None).unwrap();
    let options = SshdOptions {
        authorized: vec![key.public.clone()],
        host_keys: vec!["rsa-2048", "ecdsa-256", "ed25519"],
        ..Default::default()
    };
    let (lab, server) = (SshLab::new(), RealSshd::start(&options).unwrap());
    for pinned in server.host_keys() {
        let mut connection = lab.to(&server, &key);
        connection.settings.insert(setting("host-keys"), pinned.public.clone());
        let output = lab.run(&Arc::new(connection), argv(&["true"])).await;
        assert_eq!(output.map(|output| output.exit), Ok(Exit::Code(0)), "{}", pinned.public);
    }
}

#[tokio::test]
async fn host_keys_for_a_person_to_pin() {
    if !sshd_is_installed() {
        return;
    }
    let options = SshdOptions {
        host_keys: vec!["rsa-2048", "ecdsa-256", "ed25519"],
        config: vec!["LogLevel DEBUG1".to_owned()],
        ..Default::default()
    };
    let (lab, server) = (SshLab::new(), RealSshd::start(&options).unwrap());
    let origin = Origin::parse(&server.origin()).unwrap();
    let shown = host_keys(&lab.lab.shared, &origin, true).await.unwrap();
    let mut shown: Vec<_> = shown.iter().map(ToString::to_string).collect();
    let mut real: Vec<_> =
        server.host_keys().iter().map(|key| key.public.trim_end_matches(" test").to_owned()).collect();
    shown.sort();
    real.sort();
    assert_eq!(shown, real);
    assert!(server.was_not_asked());
    assert_eq!(host_keys(&lab.lab.shared, &origin, false).await, Err(SendError::PrivateAddress));
    // What is imported is what is there.
    let file: String = real.iter().map(|key| format!("[127.0.0.1]:{} {key}\n", server.port())).collect();
    assert_eq!(known_hosts(&file, &origin).keys.len(), 3);
}

#[tokio::test]
async fn certificates_of_hosts() {
    if !sshd_is_installed() {
        return;
    }
    let lab = SshLab::new();
    let (key, authority) = (KeyPair::generate("ed25519", None).unwrap(), KeyPair::generate("ed25519", None).unwrap());
    let rsa = KeyPair::generate("rsa-2048", None).unwrap();
    let says = |names: &str, validity: &str| HostCertificate {
        names: names.to_owned(),
        validity: validity.to_owned(),
        is_user: false,
    };
    let user = HostCertificate { is_user: true, ..says("127.0.0.1", "+1h") };
    let good = says("other.test,127.0.0.1", "+1h");
    for (signer, says, pinned, expected) in [
        (&authority, good.clone(), &authority, None),
        (&rsa, good.clone(), &rsa, None),
        (&authority, good.clone(), &rsa, Some(CertificateProblem::Authority)),
        (&authority, says("other.test", "+1h"), &authority, Some(CertificateProblem::Name)),
        (&authority, says("", "+1h"), &authority, Some(CertificateProblem::Name)),
        (&authority, says("127.0.0.1", "-2h:-1h"), &authority, Some(CertificateProblem::Expired)),
        (&authority, says("127.0.0.1", "+1h:+2h"), &authority, Some(CertificateProblem::NotYetValid)),
        (&authority, user, &authority, Some(CertificateProblem::Type)),
    ] {
        let options = SshdOptions {
            authorized: vec![key.public.clone()],
            host_certificate: Some((signer.clone(), says.clone())),
            config: vec!["LogLevel DEBUG1".to_owned()],
            ..Default::default()
        };
        let server = RealSshd::start(&options).unwrap();
        let mut connection = lab.to(&server, &key);
        connection.settings.insert(setting("host-keys"), format!("@cert-authority {}", pinned.public));
        let result = lab.run(&Arc::new(connection), argv(&["true"])).await;
        match expected {
            None => assert_eq!(result.unwrap().exit, Exit::Code(0)),
            // OpenSSH does not show a user's certificate as a host's, so there is only its key to see.
            Some(CertificateProblem::Type) => assert!(result.is_err()),
            Some(why) => assert_eq!(ssh(result.unwrap_err()), SshProblem::Certificate(why), "{says:?}"),
        }
        assert!(expected.is_none() || server.was_not_asked(), "{}", server.log());
    }
}

#[tokio::test]
async fn through_jump_hosts() {
    if !sshd_is_installed() {
        return;
    }
    let lab = SshLab::new();
    let ((target, key), (bastion, bastion_key), (outer, outer_key)) =
        (server_and_key(), talkative_server_and_key(), server_and_key());
    let mut connection = lab.to(&target, &key);
    connection.settings.insert(setting("jump"), "bastion".to_owned());
    let mut jump = lab.to(&bastion, &bastion_key);
    jump.name = kv_model::ConnectionName::parse("bastion").unwrap();
    jump.settings.insert(setting("jump"), "outer".to_owned());
    let mut out = lab.to(&outer, &outer_key);
    out.name = kv_model::ConnectionName::parse("outer").unwrap();
    let others = [Arc::new(jump.clone()), Arc::new(out.clone())];
    let connection = Arc::new(connection);
    for _ in 0..2 {
        let output = lab.run_with(&connection, shell("echo through"), &others).await.unwrap();
        assert_eq!(output.stdout, b"through\n");
    }
    for server in [&target, &bastion, &outer] {
        assert_eq!(server.log().matches("Accepted publickey").count(), 1);
    }
    assert!(bastion.log().contains(&format!("127.0.0.1 port {}", target.port())), "{}", bastion.log());

    // A jump host that leads elsewhere is found out by the target's key, and nothing is authenticated there.
    let impostor = talkative_server_and_key().0;
    let mut moved = (*connection).clone();
    moved.origin = Origin::parse(&impostor.origin()).unwrap();
    let problem = ssh(lab.run_with(&Arc::new(moved), argv(&["true"]), &others).await.unwrap_err());
    assert!(matches!(problem, SshProblem::HostKey { .. }), "{problem:?}");
    assert!(impostor.was_not_asked());

    // What is wrong with a jump host is said of the jump host.
    let mut wrong = jump.clone();
    wrong.settings.insert(setting("host-keys"), key.public.clone());
    let problem =
        ssh(lab.run_with(&connection, argv(&["true"]), &[Arc::new(wrong), others[1].clone()]).await.unwrap_err());
    let SshProblem::Jump { name, why } = &problem else { panic!("{problem:?}") };
    assert_eq!(name.as_str(), "bastion");
    assert!(matches!(**why, JumpProblem::Connection(SendError::Ssh(SshProblem::HostKey { .. }))), "{why:?}");

    for (jump_of_outer, expected) in
        [("box", JumpProblem::Loop), ("bastion", JumpProblem::Loop), ("no", JumpProblem::Missing)]
    {
        let mut looped = out.clone();
        looped.settings.insert(setting("jump"), jump_of_outer.to_owned());
        let others = [others[0].clone(), Arc::new(looped), connection.clone()];
        let problem = ssh(lab.run_with(&connection, argv(&["true"]), &others).await.unwrap_err());
        assert!(matches!(&problem, SshProblem::Jump { why, .. } if **why == expected), "{problem:?}");
    }

    // The keys behind jump hosts, for enrolment.
    let auth = lab.manifest.default_schemes();
    let enrolment = Enrolment { auth: &auth, defaults: &[], vault: &lab.lab.vault, now_ms: lab.now() };
    let jumps = |name: &kv_model::ConnectionName| others.iter().find(|other| other.name == *name).cloned();
    let shown = lab.lab.egress.host_keys_behind(&connection, enrolment, &jumps).await.unwrap();
    assert!(target.host_keys()[0].public.starts_with(&shown[0].to_string()));
}

/// Standard output up to what it ends with. A piece may stop short of its last letters: they could begin a secret.
pub(super) async fn said(answer: &mut CommandAnswer, end: &str) -> String {
    let mut all = String::new();
    while !all.ends_with(end) {
        let Some(Ok(CommandChunk::Stdout(bytes))) = answer.next().await else { panic!("after {all:?}") };
        all.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    all
}

#[tokio::test]
async fn output_comes_while_the_command_runs() {
    if !sshd_is_installed() {
        return;
    }
    let (lab, (server, key)) = (SshLab::new(), server_and_key());
    let connection = Arc::new(lab.to(&server, &key));
    let mut answer = lab.start(&connection, shell("echo first; cat; echo last")).await.unwrap();
    // Its input has ended, so it goes on by itself; what matters is that the pieces come one by one.
    let mut seen = Vec::new();
    while let Some(chunk) = answer.next().await {
        seen.push(chunk.unwrap());
    }
    assert_eq!(seen.last(), Some(&CommandChunk::End { exit: Exit::Code(0), truncated: false }));
    assert_eq!(answer.received(), 11);

    let mut answer = lab.start(&connection, shell("echo first; exec sleep 100")).await.unwrap();
    assert_eq!(said(&mut answer, "first\n").await, "first\n");
}

#[tokio::test]
async fn secrets_in_what_comes_back() {
    if !sshd_is_installed() {
        return;
    }
    let (lab, (server, key)) = (SshLab::new(), server_and_key());
    let connection = Arc::new(lab.to(&server, &key));
    let canary = super::lab::CANARY;
    let (front, back) = canary.split_at(11);
    let text = format!("printf %s {front}; printf '%s\\n' {back}; printf '%s' {front} >&2; printf '%s\\n' {back} >&2");
    let mut answer = lab.start(&connection, shell(&text)).await.unwrap();
    let output = answer.collect().await.unwrap();
    let all = [output.stdout, output.stderr].concat();
    assert!(!super::lab::contains(&all, canary.as_bytes()), "{}", String::from_utf8_lossy(&all));
    assert_eq!(answer.hits().values().sum::<u64>(), 2);

    // The key's own lines, as a server that has them would show them.
    let line = key.private.lines().nth(2).unwrap();
    let (front, back) = line.split_at(20);
    let output = lab.run(&connection, shell(&format!("printf '%s' '{front}'; echo '{back}'"))).await.unwrap();
    assert!(!super::lab::contains(&output.stdout, line.as_bytes()));

    // In the command itself they are refused, and nobody hears of it.
    let before = server.log().matches("Accepted publickey").count();
    for parts in [
        argv(&["echo", canary]),
        shell(&format!("echo {canary}")),
        CommandParts { stdin: canary.into(), ..argv(&["cat"]) },
        argv(&["echo", line]),
    ] {
        assert_eq!(lab.run(&connection, parts).await, Err(NoOutput::Send(SendError::SecretInRequest)));
    }
    assert_eq!(server.log().matches("Accepted publickey").count(), before);
    assert!(!server.log().contains(canary) && !server.log().contains(line));
}

#[tokio::test]
async fn more_output_than_allowed() {
    if !sshd_is_installed() {
        return;
    }
    let (lab, (server, key)) = (SshLab::new(), server_and_key());
    let connection = Arc::new(lab.to(&server, &key));
    let parts = CommandParts { max_output: 100_000, ..shell("echo $$ >&2; exec yes") };
    let mut answer = lab.start(&connection, parts).await.unwrap();
    let output = answer.collect().await.unwrap();
    assert!(output.truncated && output.stdout.len() + output.stderr.len() == 100_000);
    assert!(answer.beyond() > 0);
    assert!(matches!(output.exit, Exit::Signal(_)), "{:?}", output.exit);
    let pid: u32 = String::from_utf8(output.stderr).unwrap().trim().parse().unwrap();
    ended(pid).await;
    // The connection bears it.
    assert_eq!(lab.run(&connection, argv(&["true"])).await.unwrap().exit, Exit::Code(0));
    assert_eq!(server.log().matches("Accepted publickey").count(), 1);
}

/// The process is gone, or is only waiting to be counted as gone.
async fn ended(pid: u32) {
    if is_root() {
        // OpenSSH refuses to signal what root runs, so there it takes this.
        let _ = std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status();
    }
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        if stat.is_empty() || stat.contains(") Z ") {
            return;
        }
        assert!(Instant::now() < until, "process {pid} still runs: {stat}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_command_that_takes_too_long() {
    if !sshd_is_installed() {
        return;
    }
    let (lab, (server, key)) = (SshLab::new(), server_and_key());
    let connection = Arc::new(lab.to(&server, &key));
    for script in ["echo $$; exec sleep 100", "trap '' TERM; echo $$; exec sleep 100"] {
        let parts = CommandParts { timeout_ms: 2_000, ..shell(script) };
        let output = lab.run(&connection, parts).await.unwrap();
        assert_eq!((output.exit, output.truncated), (Exit::TimedOut, false));
        ended(String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()).await;
    }
}

#[tokio::test]
async fn a_caller_who_leaves_ends_the_command() {
    if !sshd_is_installed() {
        return;
    }
    let (lab, (server, key)) = (SshLab::new(), server_and_key());
    let connection = Arc::new(lab.to(&server, &key));
    let mut answer = lab.start(&connection, shell("echo $$; exec sleep 100")).await.unwrap();
    let pid = said(&mut answer, "\n").await;
    drop(answer);
    ended(pid.trim().parse().unwrap()).await;
    assert_eq!(lab.run(&connection, argv(&["true"])).await.unwrap().exit, Exit::Code(0));
    assert_eq!(server.log().matches("Accepted publickey").count(), 1);
}

#[tokio::test]
async fn something_in_the_background_holds_the_streams() {
    if !sshd_is_installed() {
        return;
    }
    let (lab, (server, key)) = (SshLab::new(), server_and_key());
    let connection = Arc::new(lab.to(&server, &key));
    let since = Instant::now();
    let output = lab.run(&connection, shell("sleep 100 & echo $!; exit 3")).await.unwrap();
    assert_eq!(output.exit, Exit::Code(3));
    assert!(since.elapsed() < Duration::from_secs(30), "{:?}", since.elapsed());
    let pid = String::from_utf8(output.stdout).unwrap();
    let _ = std::process::Command::new("kill").arg(pid.trim()).status();
}

#[tokio::test]
async fn a_connection_that_breaks() {
    if !sshd_is_installed() {
        return;
    }
    let (lab, (server, key)) = (SshLab::new(), server_and_key());
    let connection = Arc::new(lab.to(&server, &key));
    let mut answer = lab.start(&connection, shell("echo begun; exec sleep 100")).await.unwrap();
    assert_eq!(said(&mut answer, "begun\n").await, "begun\n");
    server.cut_connections();
    assert_eq!(answer.next().await, Some(Err(BodyError::Cut)));
    assert_eq!(answer.next().await, None);
    // The next one makes the connection anew, and so do many after another break.
    assert_eq!(lab.run(&connection, argv(&["true"])).await.unwrap().exit, Exit::Code(0));
    server.cut_connections();
    let results = all((0..8).map(|_| lab.run(&connection, argv(&["true"]))).collect()).await;
    assert!(
        results.iter().all(|result| result.as_ref().is_ok_and(|output| output.exit == Exit::Code(0))),
        "{results:?}"
    );
}

#[tokio::test]
async fn a_server_that_starts_anew() {
    if !sshd_is_installed() {
        return;
    }
    let (lab, (server, key)) = (SshLab::new(), server_and_key());
    let mut connection = lab.to(&server, &key);
    assert!(lab.run(&Arc::new(connection.clone()), argv(&["true"])).await.is_ok());
    let port = server.port();
    drop(server);
    let error = lab.run(&Arc::new(connection.clone()), argv(&["true"])).await.unwrap_err();
    assert_eq!(error.code(), "egress.connect");
    // With another host key it is another server.
    let options = SshdOptions { authorized: vec![key.public.clone()], port: Some(port), ..Default::default() };
    let server = RealSshd::start(&options).unwrap();
    let problem = ssh(lab.run(&Arc::new(connection.clone()), argv(&["true"])).await.unwrap_err());
    assert!(matches!(problem, SshProblem::HostKey { .. }));
    assert!(server.was_not_asked());
    connection.settings.insert(setting("host-keys"), server.host_keys()[0].public.clone());
    assert!(lab.run(&Arc::new(connection), argv(&["true"])).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_a_time() {
    if !sshd_is_installed() {
        return;
    }
    for (most, logins) in [("100", 1..=1), ("10", 2..=16)] {
        let key = KeyPair::generate("ed25519", None).unwrap();
        let options = SshdOptions {
            authorized: vec![key.public.clone()],
            config: vec![format!("MaxSessions {most}")],
            ..Default::default()
        };
        let (lab, server) = (SshLab::new(), RealSshd::start(&options).unwrap());
        let connection = Arc::new(lab.to(&server, &key));
        let each = |number: u32| {
            let (lab, connection) = (&lab, &connection);
            async move {
                let script = format!("for i in 1 2 3 4 5; do echo {number}; echo {number} >&2; done; exit {number}");
                (number, lab.run(connection, shell(&script)).await)
            }
        };
        for (number, result) in all((0..64).map(each).collect()).await {
            let output = result.unwrap();
            assert_eq!(output.exit, Exit::Code(number));
            let expected = format!("{number}\n").repeat(5).into_bytes();
            assert!(output.stdout == expected && output.stderr == expected, "{output:?}");
        }
        let made = server.log().matches("Accepted publickey").count();
        assert!(logins.contains(&made), "{made} logins with MaxSessions {most}");
    }
}

#[tokio::test]
async fn a_slow_reader_holds_up_nobody() {
    if !sshd_is_installed() {
        return;
    }
    let (lab, (server, key)) = (SshLab::new(), server_and_key());
    let connection = Arc::new(lab.to(&server, &key));
    let parts = CommandParts { max_output: 8 << 20, ..shell("head -c 8000000 /dev/zero; echo done >&2") };
    let mut slow = lab.start(&connection, parts).await.unwrap();
    for _ in 0..4 {
        assert_eq!(lab.run(&connection, argv(&["true"])).await.unwrap().exit, Exit::Code(0));
    }
    let output = slow.collect().await.unwrap();
    assert_eq!((output.stdout.len(), output.truncated, output.exit), (8_000_000, false, Exit::Code(0)));
    assert_eq!(server.log().matches("Accepted publickey").count(), 1);
}

#[tokio::test]
async fn a_lock_of_the_vault() {
    if !sshd_is_installed() {
        return;
    }
    let (lab, (server, key)) = (SshLab::new(), server_and_key());
    let connection = Arc::new(lab.to(&server, &key));
    let mut answer = lab.start(&connection, shell("echo begun; exec sleep 100")).await.unwrap();
    assert_eq!(said(&mut answer, "begun\n").await, "begun\n");
    lab.lab.shared.forget();
    assert_eq!(answer.next().await, Some(Err(BodyError::Locked)));
    drop(answer);
    soon_is_gone(&server).await;
    assert!(lab.run(&connection, argv(&["true"])).await.is_ok());
    assert_eq!(server.log().matches("Accepted publickey").count(), 2);
}

#[tokio::test]
async fn an_idle_login_ends() {
    if !sshd_is_installed() {
        return;
    }
    let lab = SshLab::with(Limits { keep_link: Duration::from_millis(200), ..patient() });
    let (server, key) = server_and_key();
    let connection = Arc::new(lab.to(&server, &key));
    assert!(lab.run(&connection, argv(&["true"])).await.is_ok());
    // With a command on it, it is not idle.
    assert!(lab.run(&connection, shell("sleep 0.6")).await.is_ok());
    soon_is_gone(&server).await;
    assert!(lab.run(&connection, argv(&["true"])).await.is_ok());
    assert_eq!(server.log().matches("Accepted publickey").count(), 2);
}

async fn soon_is_gone(server: &RealSshd) {
    let until = Instant::now() + Duration::from_secs(20);
    while !children(server.pid()).is_empty() {
        assert!(Instant::now() < until, "{}", server.log());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_new_value_is_a_new_login() {
    if !sshd_is_installed() {
        return;
    }
    let (lab, (server, key)) = (SshLab::new(), server_and_key());
    let connection = Arc::new(lab.to(&server, &key));
    assert!(lab.run(&connection, argv(&["true"])).await.is_ok());
    let name = connection.bindings.values().next().unwrap().name.clone();
    let other = KeyPair::generate("ed25519", None).unwrap();
    lab.lab.rotate(name.as_str(), other.private.as_bytes());
    assert_eq!(ssh(lab.run(&connection, argv(&["true"])).await.unwrap_err()), SshProblem::Login);
}

#[tokio::test]
async fn user_names_and_places_that_are_not() {
    if !sshd_is_installed() {
        return;
    }
    let (lab, (server, key)) = (SshLab::new(), talkative_server_and_key());
    for user in ["-oProxyCommand=id", "a b", "$(id)", "a\nb", "", "a;b", "\u{1b}x", "ü"] {
        let mut connection = lab.to(&server, &key);
        connection.settings.insert(setting("user"), user.to_owned());
        let error = lab.run(&Arc::new(connection), argv(&["true"])).await.unwrap_err();
        assert_eq!(error, NoOutput::Send(SendError::Setting { setting: setting("user") }), "{user}");
    }
    let mut connection = lab.to(&server, &key);
    connection.allow_private = false;
    assert_eq!(lab.run(&Arc::new(connection), argv(&["true"])).await, Err(NoOutput::Send(SendError::PrivateAddress)));
    let mut connection = lab.to(&server, &key);
    connection.bindings.clear();
    assert_eq!(ssh(lab.run(&Arc::new(connection), argv(&["true"])).await.unwrap_err()), SshProblem::NoCredential);
    assert!(server.was_not_asked());
    soon("no connection is left", || children(server.pid()).is_empty()).await;
}

#[tokio::test]
async fn algorithms_that_are_too_weak() {
    if !sshd_is_installed() {
        return;
    }
    let key = KeyPair::generate("ed25519", None).unwrap();
    for (config, expected) in [
        ("KexAlgorithms diffie-hellman-group14-sha1", SshProblem::Algorithms),
        ("KexAlgorithms diffie-hellman-group14-sha256", SshProblem::Algorithms),
        ("KexAlgorithms diffie-hellman-group-exchange-sha256", SshProblem::Algorithms),
        ("Ciphers aes128-cbc", SshProblem::Algorithms),
        ("Ciphers 3des-cbc", SshProblem::Algorithms),
        ("Ciphers aes128-ctr\nMACs hmac-sha1", SshProblem::Algorithms),
        ("Ciphers aes128-ctr\nMACs hmac-md5", SshProblem::Algorithms),
    ] {
        let options = SshdOptions {
            authorized: vec![key.public.clone()],
            config: config.lines().map(str::to_owned).collect(),
            ..Default::default()
        };
        let (lab, server) = (SshLab::new(), RealSshd::start(&options).unwrap());
        let connection = Arc::new(lab.to(&server, &key));
        assert_eq!(ssh(lab.run(&connection, argv(&["true"])).await.unwrap_err()), expected, "{config}");
        assert!(server.was_not_asked());
    }
}

#[tokio::test]
async fn rekeying_in_the_middle() {
    if !sshd_is_installed() {
        return;
    }
    let key = KeyPair::generate("ed25519", None).unwrap();
    let options = SshdOptions {
        authorized: vec![key.public.clone()],
        config: vec!["RekeyLimit 1M".to_owned()],
        ..Default::default()
    };
    let (lab, server) = (SshLab::new(), RealSshd::start(&options).unwrap());
    let connection = Arc::new(lab.to(&server, &key));
    let parts = CommandParts { max_output: 8 << 20, ..shell("head -c 6000000 /dev/zero") };
    let output = lab.run(&connection, parts).await.unwrap();
    assert_eq!((output.stdout.len(), output.exit), (6_000_000, Exit::Code(0)));
}
