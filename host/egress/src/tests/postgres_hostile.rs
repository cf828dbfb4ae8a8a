//! P22 and P23: servers that do not keep to the protocol, played byte by byte.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use kv_fakes::{Leaf, POSTGRES_PASSWORD, Protocols, TestCa};
use kv_model::{Connection, Mode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

use super::lab::{Lab, contains, soon};
use super::postgres_lab::{WRITE, pg_lab, send, set, slot};
use crate::postgres::{DatabaseError, Work};
use crate::{AuthRequest, Limits, Queried, SendError, Sent, TlsProblem};

/// What the server does, in order.
#[derive(Clone)]
enum Do {
    /// Makes something of what the client sent last.
    Answer(fn(&[u8]) -> Vec<u8>),
    /// Until the client has gone.
    Flood(Vec<u8>),
    /// A message without a kind: the first ones.
    ReadBare,
    /// Messages up to one of this kind.
    ReadTo(u8),
    Send(Vec<u8>),
    /// TLS from here on.
    Tls,
}

/// Plays the same to each connection, and keeps what all of them sent.
struct Hostile {
    origin: String,
    seen: Arc<Mutex<Vec<u8>>>,
    open: Arc<()>,
}

impl Hostile {
    async fn play(ca: &TestCa, script: Vec<Do>) -> Hostile {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let origin = format!("postgres://127.0.0.1:{}", listener.local_addr().unwrap().port());
        let mut config = (*ca.server_config(&Leaf::Good, Protocols::Http1)).clone();
        config.alpn_protocols.clear();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let hostile = Hostile { origin, seen: Arc::default(), open: Arc::default() };
        let (seen, open) = (Arc::clone(&hostile.seen), Arc::downgrade(&hostile.open));
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (script, seen, acceptor, open) =
                    (script.clone(), Arc::clone(&seen), acceptor.clone(), open.upgrade());
                tokio::spawn(async move {
                    let split = script.iter().position(|step| matches!(step, Do::Tls));
                    let mut tcp = tcp;
                    let _ = match split {
                        None => match act(&mut tcp, &script, &seen).await {
                            Ok(()) => rest(tcp, &seen).await,
                            error => error,
                        },
                        Some(at) => {
                            async {
                                act(&mut tcp, &script[..at], &seen).await?;
                                let mut tls = acceptor.accept(tcp).await?;
                                act(&mut tls, &script[at + 1..], &seen).await?;
                                rest(tls, &seen).await
                            }
                            .await
                        }
                    };
                    drop(open);
                });
            }
        });
        hostile
    }

    fn seen(&self) -> Vec<u8> {
        self.seen.lock().unwrap().clone()
    }
}

async fn act(
    io: &mut (impl AsyncRead + AsyncWrite + Unpin),
    script: &[Do],
    seen: &Mutex<Vec<u8>>,
) -> std::io::Result<()> {
    let mut last = Vec::new();
    for step in script {
        match step {
            Do::Answer(make) => io.write_all(&make(&last)).await?,
            Do::Flood(bytes) => loop {
                io.write_all(bytes).await?;
            },
            Do::ReadBare => last = message(io, false, seen).await?.1,
            Do::ReadTo(kind) => loop {
                let (tag, body) = message(io, true, seen).await?;
                last = body;
                if tag == *kind {
                    break;
                }
            },
            Do::Send(bytes) => io.write_all(bytes).await?,
            Do::Tls => {}
        }
        io.flush().await?;
    }
    Ok(())
}

/// Whatever else the client has to say.
async fn rest(mut io: impl AsyncRead + Unpin, seen: &Mutex<Vec<u8>>) -> std::io::Result<()> {
    let mut rest = [0; 4096];
    loop {
        match io.read(&mut rest).await? {
            0 => return Ok(()),
            count => seen.lock().unwrap().extend_from_slice(&rest[..count]),
        }
    }
}

async fn message(
    io: &mut (impl AsyncRead + Unpin),
    tagged: bool,
    seen: &Mutex<Vec<u8>>,
) -> std::io::Result<(u8, Vec<u8>)> {
    let tag = if tagged { io.read_u8().await? } else { 0 };
    let length = io.read_u32().await? as usize;
    let mut body = vec![0; length - 4];
    io.read_exact(&mut body).await?;
    let mut seen = seen.lock().unwrap();
    seen.push(tag);
    seen.extend_from_slice(&body);
    Ok((tag, body))
}

fn of(tag: u8, body: &[u8]) -> Vec<u8> {
    [&[tag][..], &(body.len() as u32 + 4).to_be_bytes(), body].concat()
}

fn auth(code: u32, rest: &[u8]) -> Vec<u8> {
    of(b'R', &[&code.to_be_bytes()[..], rest].concat())
}

fn sasl(mechanisms: &[u8]) -> Vec<u8> {
    auth(10, mechanisms)
}

fn header(tag: u8, length: u32) -> Vec<u8> {
    [&[tag][..], &length.to_be_bytes()].concat()
}

fn connection(lab: &Lab, hostile: &Hostile, tls: &str) -> Connection {
    let mut connection = lab.connection(&hostile.origin);
    connection.bindings.clear();
    connection.bindings.insert(slot("password"), lab.secret("PASSWORD"));
    set(&mut connection, "user", "app");
    set(&mut connection, "tls", tls);
    connection
}

fn limits() -> Limits {
    Limits { connect: Duration::from_secs(5), statement: Duration::from_secs(1), ..Limits::default() }
}

async fn ask(lab: &Lab, connection: Connection, mode: Mode) -> Result<Queried, SendError> {
    send(lab, &Arc::new(connection), &Work { text: "select 1", params: &[], calls: &[], max_rows: 3, mode }).await
}

fn protocol(sent: Sent) -> SendError {
    DatabaseError::Protocol { sent }.into()
}

fn asks(asked: AuthRequest) -> SendError {
    DatabaseError::Auth { asked }.into()
}

/// A server's first message of SCRAM that goes on from the client's number, with these rounds.
fn scram_first(client: &[u8], rounds: &str) -> Vec<u8> {
    let text = String::from_utf8_lossy(client);
    let nonce = text.rsplit("r=").next().unwrap();
    auth(11, format!("r={nonce}more,s=c2FsdHNhbHRzYWx0,i={rounds}").as_bytes())
}

#[tokio::test]
async fn before_there_is_a_session() {
    let lab = pg_lab(limits());
    let plain_first: fn(&[u8]) -> Vec<u8> = |client| scram_first(client, "4096");
    let many: fn(&[u8]) -> Vec<u8> = |client| scram_first(client, "2147483647");
    let few: fn(&[u8]) -> Vec<u8> = |client| scram_first(client, "1");
    let other_nonce: fn(&[u8]) -> Vec<u8> = |_| auth(11, b"r=another,s=c2FsdA==,i=4096");
    let none = protocol(Sent::No);
    let unproven = SendError::from(DatabaseError::ServerUnproven);
    let scram = || Do::Send(sasl(b"SCRAM-SHA-256\0\0"));
    let cases: Vec<(&str, Vec<Do>, SendError)> = vec![
        ("the password in clear text", vec![Do::Send(auth(3, b""))], asks(AuthRequest::Cleartext)),
        ("an md5 hash", vec![Do::Send(auth(5, b"salt"))], asks(AuthRequest::Md5)),
        ("gssapi", vec![Do::Send(auth(7, b""))], asks(AuthRequest::Other)),
        ("a login from the future", vec![Do::Send(auth(99, b"whatever"))], asks(AuthRequest::Other)),
        ("a mechanism from the future", vec![Do::Send(sasl(b"SCRAM-SHA-512\0\0"))], asks(AuthRequest::Other)),
        ("binding to nothing", vec![Do::Send(sasl(b"SCRAM-SHA-256-PLUS\0\0"))], asks(AuthRequest::Other)),
        ("nothing at all", vec![Do::Send(auth(0, b""))], unproven.clone()),
        ("mechanisms without end", vec![Do::Send(sasl(b"SCRAM-SHA-256"))], none.clone()),
        ("a salt that is short", vec![Do::Send(auth(5, b"s"))], none.clone()),
        ("2^31 rounds", vec![scram(), Do::ReadTo(b'p'), Do::Answer(many)], none.clone()),
        (
            "few rounds",
            vec![scram(), Do::ReadTo(b'p'), Do::Answer(few)],
            DatabaseError::WeakProof { rounds: 1, least: 4_096 }.into(),
        ),
        ("another number", vec![scram(), Do::ReadTo(b'p'), Do::Answer(other_nonce)], none.clone()),
        ("clear text after all", vec![scram(), Do::ReadTo(b'p'), Do::Send(auth(3, b""))], none.clone()),
        ("welcome in the middle", vec![scram(), Do::ReadTo(b'p'), Do::Send(auth(0, b""))], none.clone()),
        (
            "welcome without a proof",
            vec![scram(), Do::ReadTo(b'p'), Do::Answer(plain_first), Do::ReadTo(b'p'), Do::Send(auth(0, b""))],
            none.clone(),
        ),
        (
            "a wrong proof",
            vec![
                scram(),
                Do::ReadTo(b'p'),
                Do::Answer(plain_first),
                Do::ReadTo(b'p'),
                Do::Send(auth(12, b"v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")),
            ],
            unproven,
        ),
        ("another version", vec![Do::Send(of(b'v', &[0; 8]))], none.clone()),
        ("a length of 1 GiB", vec![Do::Send(header(b'R', 1 << 30))], none.clone()),
        ("a length of 0", vec![Do::Send(header(b'R', 0))], none.clone()),
        ("an error of 1 GiB", vec![Do::Send(header(b'E', 1 << 30))], none.clone()),
        ("notices for ever", vec![Do::Flood(of(b'N', b"Mx\0\0"))], none.clone()),
        ("settings for ever", vec![Do::Flood(of(b'S', b"a\0b\0"))], none.clone()),
        ("HTTP", vec![Do::Send(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec())], none.clone()),
        (
            "an error for a terminal",
            vec![Do::Send(of(b'E', b"SFATAL\0VFATAL\0C28P01\0M\x1b[2Jpassword\0\0"))],
            DatabaseError::LoginRefused { code: "28P01".to_owned() }.into(),
        ),
        (
            "an error whose code is text",
            vec![Do::Send(of(b'E', b"C\x1b[31m\0M\0\0"))],
            DatabaseError::SessionRefused { code: "XX000".to_owned() }.into(),
        ),
    ];
    for (name, steps, expected) in cases {
        let hostile = Hostile::play(&lab.ca, [vec![Do::ReadBare], steps].concat()).await;
        let error = ask(&lab, connection(&lab, &hostile, "off"), WRITE).await.unwrap_err();
        assert_eq!((&error, error.sent()), (&expected, Sent::No), "{name}");
        let seen = hostile.seen();
        assert!(!contains(&seen, POSTGRES_PASSWORD.as_bytes()) && !contains(&seen, b"md5"), "{name}");
        assert!(!contains(&seen, b"select 1"), "{name}: nothing was sent");
    }
}

#[tokio::test]
async fn before_there_is_tls() {
    let lab = pg_lab(limits());
    let welcome = [auth(0, b""), of(b'K', &[0; 8]), of(b'Z', b"I")].concat();
    let start = |answer: &[u8]| vec![Do::ReadBare, Do::Send(answer.to_vec())];
    let no_tls = || SendError::from(DatabaseError::NoTls);
    let cases = [
        ("it has none", start(b"N"), no_tls()),
        ("it knows nothing of it", start(b"E"), no_tls()),
        ("it goes on in clear text", [start(b"N"), vec![Do::Send(welcome.clone())]].concat(), no_tls()),
        // CVE-2021-23222: what comes before TLS does not count as having come through it.
        (
            "words before TLS",
            [start(&[b"S", &welcome[..]].concat()), vec![Do::Tls, Do::ReadBare]].concat(),
            SendError::Tls(TlsProblem::Broken),
        ),
        ("no TLS after all", [start(b"S"), vec![Do::Send(welcome)]].concat(), SendError::Tls(TlsProblem::Broken)),
        (
            "no channel binding",
            [start(b"S"), vec![Do::Tls, Do::ReadBare, Do::Send(sasl(b"SCRAM-SHA-256\0\0"))]].concat(),
            asks(AuthRequest::Unbound),
        ),
    ];
    for (name, script, expected) in cases {
        let hostile = Hostile::play(&lab.ca, script).await;
        let error = ask(&lab, connection(&lab, &hostile, "verify-full"), WRITE).await.unwrap_err();
        assert_eq!(error, expected, "{name}");
        let seen = hostile.seen();
        assert!(!contains(&seen, POSTGRES_PASSWORD.as_bytes()) && !contains(&seen, b"n=,r="), "{name}");
    }
}

/// A server that let us in: by a login that needs no password, since it could not prove to know ours.
async fn session(lab: &Lab, steps: Vec<Do>) -> (Hostile, Connection) {
    let welcome = [auth(0, b""), of(b'K', &[0, 0, 0, 1, 0, 0, 0, 2]), of(b'Z', b"I")].concat();
    let hostile =
        Hostile::play(&lab.ca, [vec![Do::ReadBare, Do::Send(welcome), Do::ReadTo(b'S')], steps].concat()).await;
    let mut connection = connection(lab, &hostile, "off");
    connection.bindings.clear();
    (hostile, connection)
}

/// The answers to what stands in front of a statement that reads.
fn begun() -> Vec<u8> {
    let one = |tag: &[u8]| [of(b'1', b""), of(b'2', b""), of(b'C', tag)].concat();
    [one(b"BEGIN\0"), one(b"SELECT 1\0"), of(b'1', b""), of(b'2', b"")].concat()
}

const ONE_COLUMN: &[u8] = b"\0\x01a\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0";
const ONE_ROW: &[u8] = b"\0\x01\0\0\0\x011";

#[tokio::test]
async fn in_a_session() {
    let lab = pg_lab(limits());
    let described = [begun(), of(b'T', ONE_COLUMN)].concat();
    let after = |bytes: Vec<u8>| vec![Do::Send([described.clone(), bytes].concat())];
    let unknown = protocol(Sent::Unknown);
    let cases: Vec<(&str, Vec<Do>, SendError)> = vec![
        ("a row without values", after(of(b'D', b"\0\0")), unknown.clone()),
        ("a row with one too many", after(of(b'D', b"\0\x02\0\0\0\x011\0\0\0\x011")), unknown.clone()),
        ("a row shorter than it says", after(of(b'D', b"\0\x01\0\0\x10\0x")), unknown.clone()),
        ("a row of 1 GiB", after(header(b'D', 1 << 30)), DatabaseError::RowTooLarge { limit: 8 << 20 }.into()),
        ("a row before its columns", vec![Do::Send([begun(), of(b'D', ONE_ROW)].concat())], unknown.clone()),
        ("columns twice", after(of(b'T', ONE_COLUMN)), unknown.clone()),
        ("65,535 columns", vec![Do::Send([begun(), of(b'T', b"\xff\xff")].concat())], unknown.clone()),
        ("data that nobody asked for", after(of(b'H', b"\0\0\0")), DatabaseError::Copy.into()),
        ("data in both directions", after(of(b'W', b"\0\0\0")), DatabaseError::Copy.into()),
        ("another login", after(auth(3, b"")), unknown.clone()),
        ("another key", after(of(b'K', &[0; 8])), unknown.clone()),
        ("an unknown message", after(of(b'!', b"")), unknown.clone()),
        ("ready too early", vec![Do::Send([begun(), of(b'Z', b"T")].concat())], unknown.clone()),
        ("ready for what", after([of(b'C', b"SELECT 0\0"), of(b'Z', b"?")].concat()), unknown.clone()),
        ("one answer too many", after([of(b'C', b"SELECT 0\0"), of(b'C', b"SELECT 0\0")].concat()), unknown.clone()),
        ("words after an error", after([of(b'E', b"Mx\0\0"), of(b'C', b"SELECT 0\0")].concat()), unknown.clone()),
        (
            "the transaction is over",
            after([of(b'C', b"SELECT 0\0"), of(b'Z', b"I")].concat()),
            DatabaseError::EndedTransaction.into(),
        ),
        ("notices for ever", vec![Do::Flood(of(b'N', b"Mx\0\0"))], unknown.clone()),
        ("silence", vec![], DatabaseError::Timeout(Duration::from_secs(1)).into()),
    ];
    for (name, steps, expected) in cases {
        let (hostile, connection) = session(&lab, steps).await;
        let error = ask(&lab, connection, Mode::Read).await.unwrap_err();
        assert_eq!(error, expected, "{name}");
        // Cancelled and closed: the request to cancel names the key.
        soon(name, || contains(&hostile.seen(), &[4, 0xd2, 0x16, 0x2e, 0, 0, 0, 1, 0, 0, 0, 2])).await;
        soon(name, || Arc::strong_count(&hostile.open) == 1).await;
    }
}

/// A pooler that knows only the usual settings is told the others in each transaction.
#[tokio::test]
async fn a_pooler_that_knows_few_settings() {
    let lab = pg_lab(limits());
    let choose: fn(&[u8]) -> Vec<u8> = |startup| {
        if contains(startup, b"statement_timeout") {
            return of(b'E', b"SFATAL\0VFATAL\0C08P01\0Munsupported startup parameter\0\0");
        }
        [auth(0, b""), of(b'Z', b"I")].concat()
    };
    let rows = [of(b'T', ONE_COLUMN), of(b'D', ONE_ROW), of(b'C', b"SELECT 1\0"), of(b'Z', b"T")].concat();
    let end = [of(b'C', b"ROLLBACK\0"), of(b'Z', b"I")].concat();
    let answer = [begun(), rows, end].concat();
    let script = vec![Do::ReadBare, Do::Answer(choose), Do::ReadTo(b'S'), Do::Send(answer)];
    let hostile = Hostile::play(&lab.ca, script).await;
    let mut connection = connection(&lab, &hostile, "off");
    connection.bindings.clear();
    let rows = ask(&lab, connection, Mode::Read).await.unwrap().response.unwrap();
    assert_eq!((rows.rows, rows.truncated), (vec!["[1]".to_owned()], false));
    assert!(contains(&hostile.seen(), b"set_config('statement_timeout','1000',true)"));
}

#[tokio::test]
async fn rows_without_end() {
    let lab = pg_lab(limits());
    let described = [begun(), of(b'T', ONE_COLUMN)].concat();
    let (hostile, connection) = session(&lab, vec![Do::Send(described), Do::Flood(of(b'D', ONE_ROW))]).await;
    let rows = ask(&lab, connection, Mode::Read).await.unwrap().response.unwrap();
    assert_eq!((rows.rows.len(), rows.truncated), (3, true));
    soon("it is closed", || Arc::strong_count(&hostile.open) == 1).await;
}

/// An error is an answer, without what a terminal would act on.
#[tokio::test]
async fn errors_are_inert() {
    let lab = pg_lab(limits());
    let error = of(b'E', format!("VERROR\0C42601\0Ma\x1b[2J\u{202e}{POSTGRES_PASSWORD}\0\0").as_bytes());
    let end = [of(b'C', b"ROLLBACK\0"), of(b'Z', b"I")].concat();
    let bytes = [begun(), error, of(b'Z', b"E"), end].concat();
    let (_hostile, connection) = session(&lab, vec![Do::Send(bytes)]).await;
    let error = ask(&lab, connection, Mode::Read).await.unwrap().response.unwrap_err();
    assert_eq!((error.code.as_str(), error.message.as_str()), ("42601", "a [2J [kv:redacted]"));
}

/// A pooler may take the settings at the beginning and throw them away. The first transaction sees it, and each says them.
#[tokio::test]
async fn settings_that_were_thrown_away() {
    let lab = pg_lab(limits());
    for (found, said) in [(b'0', 2), (b'9', 1)] {
        let pair = [&b"\0\x02\0\0\0\x01"[..], &[found], b"\0\0\0\x019"].concat();
        let one = |tag: &[u8]| [of(b'1', b""), of(b'2', b""), of(b'C', tag)].concat();
        let settings = [of(b'1', b""), of(b'2', b""), of(b'D', &pair), of(b'C', b"SELECT 1\0")].concat();
        let statement = [of(b'1', b""), of(b'2', b""), of(b'T', ONE_COLUMN), of(b'D', ONE_ROW)].concat();
        let end = [of(b'C', b"SELECT 1\0"), of(b'Z', b"T"), of(b'C', b"ROLLBACK\0"), of(b'Z', b"I")].concat();
        let answer = [one(b"BEGIN\0"), settings, statement, end, of(b'C', b"DISCARD ALL\0"), of(b'Z', b"I")].concat();
        let again = vec![Do::ReadTo(b'Q'), Do::ReadTo(b'Q'), Do::ReadTo(b'S'), Do::Send(answer.clone())];
        let (hostile, connection) = session(&lab, [vec![Do::Send(answer)], again].concat()).await;
        let connection = Arc::new(connection);
        for _ in 0..2 {
            let work = Work { text: "select 1", params: &[], calls: &[], max_rows: 3, mode: Mode::Read };
            assert_eq!(send(&lab, &connection, &work).await.unwrap().response.unwrap().rows, ["[1]"]);
        }
        let seen = hostile.seen();
        let count = seen.windows(29).filter(|window| window == b"set_config('statement_timeout").count();
        assert_eq!(count, said, "{}", String::from_utf8_lossy(&seen));
    }
}

/// Lost while the commit was on its way: nobody knows, and nobody tries again.
#[tokio::test]
async fn a_commit_without_an_answer() {
    let lab = pg_lab(limits());
    let one = |tag: &[u8]| [of(b'1', b""), of(b'2', b""), of(b'C', tag)].concat();
    let row = b"\0\x03\0\0\0\x010\0\0\0\x01t\0\0\0\x01f";
    let count = [of(b'1', b""), of(b'2', b""), of(b'D', row), of(b'C', b"SELECT 1\0")].concat();
    let statement = [of(b'1', b""), of(b'2', b""), of(b'n', b""), of(b'C', b"INSERT 0 1\0"), of(b'Z', b"T")].concat();
    let first = [one(b"BEGIN\0"), one(b"SELECT 1\0"), count.clone(), statement].concat();
    let second = [one(b"SET CONSTRAINTS\0"), count, of(b'Z', b"T")].concat();
    let steps = vec![
        Do::Send(first),
        Do::ReadTo(b'S'),
        Do::Send(second),
        Do::ReadTo(b'Q'),
        // A word that answers nothing ends it, as a cut would.
        Do::Send(of(b'!', b"")),
    ];
    let (hostile, connection) = session(&lab, steps).await;
    let error = ask(&lab, connection, WRITE).await.unwrap_err();
    assert_eq!(error, DatabaseError::Lost { sent: Sent::Unknown }.into());
    let seen = hostile.seen();
    let commits = seen.windows(7).filter(|window| window == b"commit\0").count();
    assert_eq!(commits, 1);
}
