//! The reading held against a real server: what is taken as a read changes nothing there, even outside a read-only
//! transaction and even for a superuser, and each volatile function of the server has been decided about.

use std::ffi::OsStr;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use super::Reading;
use super::functions::tests::is_decided;
use super::reading::tests::PIECES;

/// The server refuses to run as root; this user owns nothing.
const NOBODY: u32 = 65_534;

/// A server of the test's own, on a socket in its own folder; it ends with this value.
struct Server {
    folder: tempfile::TempDir,
    programs: PathBuf,
}

impl Server {
    fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            let required = std::env::var_os("KV_TEST_SERVERS").is_some_and(|value| value == "required");
            assert!(!required, "no PostgreSQL server is installed under /usr/lib/postgresql");
            println!("skipped: no PostgreSQL server is installed under /usr/lib/postgresql");
            return None;
        };
        let server = Self { folder: tempfile::tempdir().unwrap(), programs };
        if is_root() {
            chown(server.folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let data = server.data();
        server.must(
            "initdb",
            [
                OsStr::new("-D"),
                data.as_os_str(),
                "-Upostgres".as_ref(),
                "-Atrust".as_ref(),
                "--no-sync".as_ref(),
                "-Eutf8".as_ref(),
            ],
        );
        let options = format!("-c listen_addresses='' -c fsync=off -k {}", server.folder.path().display());
        let log = server.folder.path().join("log");
        server.must(
            "pg_ctl",
            [
                "-D".as_ref(),
                data.as_os_str(),
                "-w".as_ref(),
                "-o".as_ref(),
                options.as_ref(),
                "-l".as_ref(),
                log.as_os_str(),
                "start".as_ref(),
            ],
        );
        Some(server)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn run<'a>(&self, program: &str, arguments: impl IntoIterator<Item = &'a OsStr>) -> Output {
        let mut command = Command::new(self.programs.join(program));
        command.args(arguments).current_dir(self.folder.path()).env_clear().env("LC_ALL", "C.UTF-8");
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        // A server that stays must not hold the test's pipes.
        if program == "pg_ctl" {
            let status =
                command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).status().unwrap();
            return Output { status, stdout: Vec::new(), stderr: Vec::new() };
        }
        command.output().unwrap()
    }

    fn must<'a>(&self, program: &str, arguments: impl IntoIterator<Item = &'a OsStr>) {
        let output = self.run(program, arguments);
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Each text goes as one simple query, in which the server would carry out several statements.
    fn queries(&self, texts: &[&str]) -> String {
        let mut arguments = vec!["-X", "-At", "-U", "postgres", "-d", "postgres", "-h"];
        let folder = self.folder.path().to_str().unwrap();
        arguments.push(folder);
        for text in texts {
            arguments.extend(["-c", text]);
        }
        String::from_utf8(self.run("psql", arguments.into_iter().map(OsStr::new)).stdout).unwrap()
    }

    /// All that a statement of these tests could have changed.
    fn state(&self) -> String {
        self.queries(&[
            "select array_agg(id order by id) from canary",
            "select last_value, is_called from counter",
            "select count(*) from pg_class",
            "select count(*) from pg_proc",
            "select count(*) from pg_largeobject_metadata",
            "select count(*) from pg_roles",
            "select count(*) from pg_locks where locktype = 'advisory'",
        ])
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let data = self.data();
        self.run("pg_ctl", ["-D".as_ref(), data.as_os_str(), "-m".as_ref(), "immediate".as_ref(), "stop".as_ref()]);
    }
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let folders = versions.flatten().map(|version| version.path().join("bin"));
    folders.filter(|folder| ["initdb", "pg_ctl", "psql"].iter().all(|name| Path::new(folder).join(name).exists())).max()
}

/// Texts that begin as reads and hold what would hide, open or close something.
fn candidates() -> Vec<String> {
    let mut runner = TestRunner::deterministic();
    let soup = proptest::collection::vec(proptest::sample::select(PIECES), 1..7);
    const STARTS: &[&str] = &[
        "select ",
        "select 1 ",
        "select * from canary ",
        "select '",
        "select E'",
        "with x as (select 1) select ",
        "values (1",
        "explain select 1 ",
        "(",
    ];
    const ENDS: &[&str] = &["", "'", " from canary", "*/", ")", "\"", "$$", "\n", " --", ";", " as y"];
    let whole = (proptest::sample::select(STARTS), soup, proptest::sample::select(ENDS));
    let texts = (0..20_000).map(|_| {
        let (start, pieces, end) = whole.new_tree(&mut runner).unwrap().current();
        format!("{start}{}{end}", pieces.concat())
    });
    texts.filter(|text| Reading::of_read(text).is_ok()).collect()
}

#[test]
fn against_a_real_server() {
    let Some(server) = Server::start() else { return };
    server.queries(&["create table canary (id int); insert into canary values (1), (2); create sequence counter"]);
    let before = server.state();
    assert!(before.starts_with("{1,2}\n"), "{before}");

    let reads = candidates();
    assert!(reads.len() > 300, "only {} texts were taken as reads, too few to say anything", reads.len());
    let mut carried_out = 0;
    for some in reads.chunks(200) {
        let mut texts = Vec::new();
        for text in some {
            // The statement's own transaction writes and is committed: nothing but the reading stands in its way.
            texts.extend(["begin", text.as_str(), "commit", "select 'alive'"]);
        }
        let output = server.queries(&texts);
        carried_out += output.lines().filter(|line| *line == "alive").count();
        assert_eq!(server.state(), before, "one of these is no read: {some:#?}");
    }
    assert_eq!(carried_out, reads.len());

    // The test itself sees a change: what is refused does change it.
    let refused = "select 1; insert into canary values (666)";
    assert!(Reading::of_read(refused).is_err());
    server.queries(&[refused]);
    assert_ne!(server.state(), before);

    let volatile = server.queries(&["select distinct proname from pg_proc where provolatile = 'v' \
        and pronamespace = 'pg_catalog'::regnamespace \
        and prorettype not in ('trigger'::regtype, 'event_trigger'::regtype) order by 1"]);
    // What is called without a question to the server is no volatile function of it, in whatever schema.
    for name in super::functions::KNOWN.split_ascii_whitespace() {
        assert!(!volatile.lines().any(|volatile| volatile == name), "{name}");
    }
    let undecided = volatile.lines().filter(|name| !is_decided(name)).collect::<Vec<_>>();
    assert!(volatile.lines().count() > 100, "{volatile}");
    assert!(undecided.is_empty(), "volatile functions that neither list names: {undecided:?}");
}
