//! Ends that wait for no reader: a command's time and limit, and what a target's end frees on its jump host.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kv_fakes::sshd_is_installed;
use kv_model::{CommandParts, Exit};

use super::ssh::said;
use super::ssh_lab::{SshLab, argv, server_and_key, setting, shell, talkative_server_and_key};
use crate::BodyError;

/// The time of a command is over whether its caller reads or not, and so is what it may write.
#[tokio::test]
async fn a_caller_who_does_not_read() {
    if !sshd_is_installed() {
        return;
    }
    let (lab, (server, key)) = (SshLab::new(), server_and_key());
    let connection = Arc::new(lab.to(&server, &key));
    let home = tempfile::tempdir().unwrap();
    // It writes, and so it ends when nobody takes what it writes: OpenSSH carries no signals to what root runs.
    let script = |name: &str| {
        let mark = home.path().join(name);
        let text = format!("echo $$ > {0}.new; mv {0}.new {0}; while echo x; do sleep 0.05; done", mark.display());
        (mark, text)
    };
    let (mark, text) = script("time");
    let answer = lab.start(&connection, CommandParts { timeout_ms: 500, ..shell(&text) }).await.unwrap();
    is_gone(&mark).await;
    let mut answer = answer;
    let output = answer.collect().await.unwrap();
    assert_eq!((output.exit, output.truncated), (Exit::TimedOut, false));
    assert!(output.stdout.starts_with(b"x\n"));

    let (mark, text) = script("size");
    let mut answer = lab.start(&connection, CommandParts { max_output: 16, ..shell(&text) }).await.unwrap();
    is_gone(&mark).await;
    let output = answer.collect().await.unwrap();
    assert_eq!((output.stdout.len(), output.truncated), (16, true));
    assert_eq!(server.log().matches("Accepted publickey").count(), 1);
}

/// The process whose number stands in this file.
async fn is_gone(mark: &std::path::Path) {
    let until = Instant::now() + Duration::from_secs(20);
    let mut pid = String::new();
    loop {
        if pid.is_empty() {
            pid = std::fs::read_to_string(mark).unwrap_or_default().trim().to_owned();
        } else if !std::path::Path::new("/proc").join(&pid).exists() {
            return;
        }
        assert!(Instant::now() < until, "process {pid:?} still runs");
        // The connection's own task runs on this thread.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What the target's end frees on the jump host: the channel, and the place for another.
#[tokio::test]
async fn a_jump_host_is_let_go_of() {
    if !sshd_is_installed() {
        return;
    }
    let lab = SshLab::new();
    let ((target, key), (bastion, bastion_key)) = (server_and_key(), talkative_server_and_key());
    let mut connection = lab.to(&target, &key);
    connection.settings.insert(setting("jump"), "bastion".to_owned());
    let mut jump = lab.to(&bastion, &bastion_key);
    jump.name = kv_model::ConnectionName::parse("bastion").unwrap();
    let others = [Arc::new(jump)];
    let connection = Arc::new(connection);
    let mut answer = lab.start_with(&connection, shell("echo begun; exec sleep 100"), &others).await.unwrap();
    assert_eq!(answer.jumps().iter().map(|jump| jump.name.as_str()).collect::<Vec<_>>(), ["bastion"]);
    assert_eq!(said(&mut answer, "begun\n").await, "begun\n");
    let taken = || lab.lab.egress.links.taken().iter().sum::<usize>();
    assert_eq!(taken(), 2);
    target.cut_connections();
    assert_eq!(answer.next().await, Some(Err(BodyError::Cut)));
    drop(answer);
    let until = Instant::now() + Duration::from_secs(20);
    while taken() > 0 || !bastion.log().contains("free: direct-tcpip") {
        assert!(Instant::now() < until, "{:?} {}", lab.lab.egress.links.taken(), bastion.log());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The jump host's login is kept, and leads to the target once more.
    let output = lab.run_with(&connection, argv(&["true"]), &others).await.unwrap();
    assert_eq!(output.exit, Exit::Code(0));
    assert_eq!(bastion.log().matches("Accepted publickey").count(), 1);
}
