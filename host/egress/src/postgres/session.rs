//! One statement in a transaction of its own: what is sent, in what order, and what must come back.
//!
//! The beginning of the transaction, its settings and the caller's statement go out as one group of the extended
//! protocol, which the server skips to its end at the first error: a transaction that did not begin is no place where the
//! statement runs all the same. A statement that reads is rolled back whatever happened; one that writes is committed only
//! after its changes were counted. Nothing is sent twice.

use std::time::Duration;

use kv_model::Mode;
use serde_json::Value;
use tokio::time::timeout;

use super::error::DatabaseError;
use super::link::Link;
use super::login::AuthMethod;
use super::open::{Canceller, Opened};
use super::params;
use super::types::{Known, LOOKUP, TypeCache};
use super::wire::{Broken, Field, MAX_ROW_BYTES, Message, Row, ServerError, Status};
use crate::error::Sent;

/// A statement and how it is carried out.
pub(crate) struct Work<'a> {
    pub(crate) text: &'a str,
    pub(crate) params: &'a [Value],
    pub(crate) max_rows: u32,
    pub(crate) mode: Mode,
}

/// What holds in every transaction.
pub(super) struct Rules<'a> {
    pub(super) statement: Duration,
    pub(super) search_path: Option<&'a str>,
}

/// What became of it.
pub(super) enum Outcome {
    Failed(DatabaseError),
    /// By the server, or by us in its terms.
    Refused(ServerError),
    Rows(Answer),
}

/// An answer as it came in.
#[derive(Default)]
pub(super) struct Answer {
    pub(super) fields: Vec<Field>,
    pub(super) rows: Vec<Row>,
    pub(super) affected: u64,
    pub(super) truncated: bool,
}

pub(super) struct Ran {
    pub(super) outcome: Outcome,
    pub(super) known: Known,
    /// The session stands where it should, and can be cleaned for the next.
    pub(super) is_reusable: bool,
}

/// A session of the database.
pub(super) struct Session {
    link: Link,
    pub(super) canceller: Canceller,
    pub(super) auth: AuthMethod,
    pub(super) tls: Option<&'static str>,
    past: Memory,
    /// The settings of [`Rules`] are what the session falls back to: they need not be said again.
    has_settings: bool,
}

/// What the session remembers of its last statement.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Memory {
    Nothing,
    /// The order to forget has gone out, and its answer has not been read: nobody waits for it.
    Ordered,
    Something,
}

/// Where a statement's transaction stands before its end.
enum Stage {
    /// The rollback has been answered.
    Over(Outcome, bool),
    /// All that is missing is the word.
    Committable(Answer),
}

/// Why reading stopped.
enum Stop {
    Broken(Broken),
    Copy,
    /// More than will be kept.
    Full,
}

impl Session {
    pub(super) fn new(opened: Opened) -> Self {
        let Opened { link, canceller, auth, tls, has_settings } = opened;
        Session { link, canceller, auth, tls, past: Memory::Nothing, has_settings }
    }

    pub(super) async fn close(self) {
        self.link.close().await;
    }

    /// Ends a statement that nobody waits for any more, and the session with it. A server drops a request to cancel that
    /// comes between two messages, and goes on with the next of them; so it is asked again until it has said something.
    pub(super) async fn cancel(mut self) {
        for pause in CANCEL_AGAIN {
            self.canceller.cancel().await;
            if timeout(Duration::from_millis(pause), self.link.until_error()).await.is_ok() {
                return;
            }
        }
    }

    /// Bytes that came in, and notices, since the last time.
    pub(super) fn take_counts(&mut self) -> (u64, u64) {
        self.link.take_counts()
    }

    /// Whether the session is as good as new. What it was told is forgotten, and the server is still there: nothing of the
    /// next statement has been sent before that is known.
    pub(super) async fn is_settled(&mut self) -> bool {
        self.settle().await.is_ok() && self.link.is_quiet().await
    }

    async fn settle(&mut self) -> Result<(), Broken> {
        if self.past == Memory::Ordered {
            match self.group(1, None, &mut Sink::new(0, Past::Stop)).await {
                Ok(group) if group.is_one("DISCARD ALL", Status::Idle) => self.past = Memory::Nothing,
                _ => return Err(Broken::Protocol),
            }
        }
        if self.past == Memory::Nothing { Ok(()) } else { Err(Broken::Protocol) }
    }

    /// Queues the end of the transaction, and behind it the order to forget whatever the session was told.
    fn finish(&mut self, word: &str) {
        self.link.out().query(word);
        self.link.out().query("discard all");
        self.past = Memory::Ordered;
    }

    /// Carries out a statement. An error leaves the session in no state that anybody could say: it must be ended.
    pub(super) async fn run(
        &mut self,
        work: &Work<'_>,
        rules: &Rules<'_>,
        cache: &TypeCache,
    ) -> Result<Ran, DatabaseError> {
        let mut known = Known::default();
        let stage = timeout(rules.statement + GRACE, self.carry_out(work, rules, &mut known, cache)).await;
        let (outcome, is_idle) = match stage.map_err(|_| DatabaseError::Timeout(rules.statement))?? {
            Stage::Over(outcome, is_idle) => (outcome, is_idle),
            // From here on nobody can say what stands if nobody answers.
            Stage::Committable(answer) => match timeout(COMMIT, self.commit()).await {
                Ok(Ok(None)) => (Outcome::Rows(answer), true),
                Ok(Ok(Some(error))) => (Outcome::Refused(error), true),
                Ok(Err(_)) | Err(_) => return Err(DatabaseError::Lost { sent: Sent::Unknown }),
            },
        };
        let mut ran = Ran { outcome, known, is_reusable: is_idle };
        if let Outcome::Rows(answer) = &ran.outcome {
            let oids: Vec<u32> = answer.fields.iter().map(|field| field.type_oid).collect();
            // The answer stands; without the lookup its odd types are shown as text.
            let learned = timeout(COMMIT, self.learn(&mut ran.known, &oids, cache, ran.is_reusable)).await;
            ran.is_reusable &= matches!(learned, Ok(Ok(())));
        }
        Ok(ran)
    }

    async fn carry_out(
        &mut self,
        work: &Work<'_>,
        rules: &Rules<'_>,
        known: &mut Known,
        cache: &TypeCache,
    ) -> Result<Stage, DatabaseError> {
        let mut sink = match work.mode {
            Mode::Read => Sink::new(work.max_rows, Past::Stop),
            Mode::Preview | Mode::Write { .. } => Sink::new(work.max_rows, Past::Drop),
        };
        let before = self.begin(work.mode, rules);
        self.link.out().parse(work.text);
        let group = if work.params.is_empty() {
            self.link.out().bind("", &[]);
            self.link.out().describe_portal();
            self.execute_and_end(work);
            self.flush().await?;
            self.group(before + 1, Some(before), &mut sink).await
        } else {
            self.link.out().describe_statement();
            self.link.out().sync();
            self.flush().await?;
            let described = self.group(before, None, &mut sink).await.map_err(stopped)?;
            let fits = match self.fit(work, &described, known, cache).await? {
                Ok(values) => values,
                Err(error) => return self.abandon(error).await,
            };
            sink.base = described.count();
            self.link.out().bind("", &fits);
            self.execute_and_end(work);
            self.flush().await?;
            self.group(1, Some(0), &mut sink).await
        };
        let group = match group {
            Err(Stop::Full) if work.mode == Mode::Read => {
                return Ok(Stage::Over(Outcome::Rows(sink.answer(0)), false));
            }
            other => other.map_err(stopped)?,
        };
        if work.params.is_empty() {
            sink.base = group.count();
        }
        self.end(work.mode, group, sink).await
    }

    /// Queues the statements in front of the caller's, and says how many there are.
    fn begin(&mut self, mode: Mode, rules: &Rules<'_>) -> usize {
        self.past = Memory::Something;
        let settings = settings(rules, self.has_settings && mode != Mode::Preview);
        let out = self.link.out();
        out.statement(match mode {
            Mode::Read => "begin isolation level repeatable read read only",
            Mode::Preview | Mode::Write { .. } => "begin isolation level read committed read write",
        });
        // This takes the snapshot too: from here on a transaction that reads cannot be made one that writes.
        out.statement(&settings);
        if mode == Mode::Read {
            return 2;
        }
        out.statement(COUNT);
        3
    }

    /// Queues the statement's execution, and what follows it whatever its answer is.
    fn execute_and_end(&mut self, work: &Work<'_>) {
        let out = self.link.out();
        match work.mode {
            Mode::Read => {
                // One more than is wanted says that there are more.
                out.execute(work.max_rows.saturating_add(1));
                out.sync();
                self.finish("rollback");
            }
            Mode::Preview | Mode::Write { .. } => {
                out.execute(0);
                out.sync();
                // What waits for the commit happens now, where it can still be counted and taken back.
                out.statement("set constraints all immediate");
                out.statement(COUNT);
                out.sync();
                if work.mode == Mode::Preview {
                    self.finish("rollback");
                }
            }
        }
    }

    /// The parameters as the statement wants them.
    async fn fit(
        &mut self,
        work: &Work<'_>,
        described: &Group,
        known: &mut Known,
        cache: &TypeCache,
    ) -> Result<Result<Vec<Option<Vec<u8>>>, ServerError>, DatabaseError> {
        if let Some(error) = &described.error {
            return Ok(Err(error.clone()));
        }
        if described.status != Status::InTransaction {
            return Err(DatabaseError::Protocol { sent: Sent::Unknown });
        }
        let oids = described.params.as_deref().unwrap_or_default();
        self.learn(known, oids, cache, true).await.map_err(broken)?;
        Ok(params::texts(work.params, oids, known).map_err(|error| ServerError {
            code: error.sqlstate().to_owned(),
            message: error.to_string(),
            ..ServerError::default()
        }))
    }

    /// Rolls back before the statement was carried out.
    async fn abandon(&mut self, error: ServerError) -> Result<Stage, DatabaseError> {
        if error.is_fatal {
            return Ok(Stage::Over(Outcome::Refused(error), false));
        }
        self.finish("rollback");
        self.flush().await?;
        let is_idle = self.rolled_back().await?;
        Ok(Stage::Over(Outcome::Refused(error), is_idle))
    }

    /// After the statement's own answer: reads what was sent after it, and decides.
    async fn end(&mut self, mode: Mode, group: Group, sink: Sink) -> Result<Stage, DatabaseError> {
        if let Some(error) = group.error.as_ref().filter(|error| error.is_fatal) {
            return Ok(Stage::Over(Outcome::Refused(error.clone()), false));
        }
        if group.status == Status::Idle && group.error.is_none() {
            // It was a `commit` or the like. What followed it ran outside of any transaction of ours.
            return Err(DatabaseError::EndedTransaction);
        }
        let tagged = group.affected();
        if mode == Mode::Read {
            let is_idle = self.rolled_back().await?;
            let outcome = group.error.map_or_else(|| Outcome::Rows(sink.answer(0)), Outcome::Refused);
            return Ok(Stage::Over(outcome, is_idle));
        }
        let counted = self.group(2, None, &mut Sink::new(0, Past::Stop)).await.map_err(stopped)?;
        let changed = counted.count().saturating_sub(sink.base).max(tagged.unwrap_or(0));
        let error = group.error.or(counted.error);
        match (mode, error) {
            (Mode::Preview, error) => {
                let is_idle = self.rolled_back().await?;
                let outcome = error.map_or_else(|| Outcome::Rows(sink.answer(changed)), Outcome::Refused);
                Ok(Stage::Over(outcome, is_idle))
            }
            (_, Some(error)) => self.abandon(error).await,
            (Mode::Write { max_changes }, None) if changed > max_changes => {
                self.finish("rollback");
                self.flush().await?;
                let is_idle = self.rolled_back().await?;
                let outcome = Outcome::Failed(DatabaseError::TooManyChanges { changed, limit: max_changes });
                Ok(Stage::Over(outcome, is_idle))
            }
            (_, None) => Ok(Stage::Committable(sink.answer(tagged.unwrap_or(changed)))),
        }
    }

    /// `None`: it stands. An error of the server: it does not.
    async fn commit(&mut self) -> Result<Option<ServerError>, Stop> {
        self.finish("commit");
        self.link.flush().await.map_err(Stop::Broken)?;
        let group = self.group(1, None, &mut Sink::new(0, Past::Stop)).await?;
        match group.error {
            Some(error) if !error.is_fatal && group.status == Status::Idle => Ok(Some(error)),
            None if group.is_one("COMMIT", Status::Idle) => Ok(None),
            _ => Err(Stop::Broken(Broken::Protocol)),
        }
    }

    async fn rolled_back(&mut self) -> Result<bool, DatabaseError> {
        let group = self.group(1, None, &mut Sink::new(0, Past::Stop)).await.map_err(stopped)?;
        Ok(group.is_one("ROLLBACK", Status::Idle))
    }

    /// Looks up types that are not known, if `may_ask`.
    async fn learn(&mut self, known: &mut Known, oids: &[u32], cache: &TypeCache, may_ask: bool) -> Result<(), Broken> {
        let unknown = known.add(oids, cache);
        if unknown.is_empty() || !may_ask {
            return Ok(());
        }
        // Inside of a statement's transaction there is nothing to be settled yet.
        if self.past == Memory::Ordered {
            self.settle().await?;
        }
        let list = unknown.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        // Under a name: the unnamed statement may be the caller's, waiting for its parameters.
        let out = self.link.out();
        out.parse_named("kv_types", LOOKUP);
        out.bind("kv_types", &[Some(format!("{{{list}}}").into_bytes())]);
        out.execute(0);
        out.close_statement("kv_types");
        out.sync();
        self.link.flush().await?;
        let mut sink = Sink::new(MAX_TYPES, Past::Stop);
        sink.is_unnamed = true;
        match self.group(1, Some(0), &mut sink).await {
            Ok(group) if group.error.is_none() => known.learn(&sink.rows, cache),
            Ok(_) | Err(Stop::Full | Stop::Copy) => {}
            Err(Stop::Broken(broken)) => return Err(broken),
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), DatabaseError> {
        self.link.flush().await.map_err(broken)
    }

    /// Reads the answers to what was sent up to the next synchronisation: `expected` statements came to an end, unless
    /// there was an error. Rows of the one at `main` go into the sink.
    async fn group(&mut self, expected: usize, main: Option<usize>, sink: &mut Sink) -> Result<Group, Stop> {
        let protocol = Stop::Broken(Broken::Protocol);
        let mut group = Group::default();
        loop {
            let message = self.link.next().await.map_err(Stop::Broken)?;
            if group.error.is_some() && !matches!(message, Message::Ready(_)) {
                return Err(protocol);
            }
            match message {
                Message::BindComplete | Message::CloseComplete | Message::ParseComplete => {}
                Message::CommandComplete(tag) => group.ended.push(String::from_utf8_lossy(&tag).into_owned()),
                Message::EmptyQuery | Message::PortalSuspended => group.ended.push(String::new()),
                Message::Copy => return Err(Stop::Copy),
                Message::DataRow(row) if main == Some(group.ended.len()) => sink.push(row)?,
                Message::DataRow(row) if row.len() <= MAX_OWN_ROW && group.rows.len() < MAX_OWN_ROWS => {
                    group.rows.push(row);
                }
                Message::Error(error) if error.is_fatal => {
                    group.error = Some(error);
                    return Ok(group);
                }
                Message::Error(error) => group.error = Some(error),
                Message::NoData if sink.fields.is_none() => sink.fields = Some(Vec::new()),
                Message::ParameterDescription(oids) if group.params.is_none() => group.params = Some(oids),
                Message::RowDescription(fields) if sink.fields.is_none() || main.is_none() => {
                    // A simple query of ours describes its rows as well.
                    sink.fields = Some(fields);
                }
                Message::Ready(status) => {
                    if group.error.is_none() && group.ended.len() != expected {
                        return Err(protocol);
                    }
                    group.status = status;
                    return Ok(group);
                }
                _ => return Err(protocol),
            }
            if group.ended.len() > expected {
                return Err(protocol);
            }
        }
    }
}

/// The answers up to one synchronisation.
struct Group {
    /// What each statement that came to an end said.
    ended: Vec<String>,
    error: Option<ServerError>,
    params: Option<Vec<u32>>,
    /// Of the host's own statements.
    rows: Vec<Row>,
    status: Status,
}

impl Default for Group {
    fn default() -> Self {
        Group { ended: Vec::new(), error: None, params: None, rows: Vec::new(), status: Status::Failed }
    }
}

impl Group {
    fn is_one(&self, tag: &str, status: Status) -> bool {
        self.error.is_none() && self.status == status && self.ended.iter().eq([tag])
    }

    /// What the last [`COUNT`] said.
    fn count(&self) -> u64 {
        let last = self.rows.last().and_then(|row| row.fields().next()?);
        last.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok()).unwrap_or(0)
    }

    /// What the statement says that it changed. `None`: it is of no kind that says so.
    fn affected(&self) -> Option<u64> {
        let tag = self.ended.last()?;
        let (verb, count) = tag.rsplit_once(' ')?;
        matches!(verb, "DELETE" | "INSERT 0" | "MERGE" | "UPDATE").then(|| count.parse().ok())?
    }
}

/// Where the caller's rows go.
struct Sink {
    fields: Option<Vec<Field>>,
    rows: Vec<Row>,
    bytes: usize,
    dropped: usize,
    max_rows: usize,
    past: Past,
    truncated: bool,
    /// Rows that were changed before the statement, by the server's count.
    base: u64,
    /// Rows come without a description: they are the host's own question's.
    is_unnamed: bool,
}

/// What happens to rows beyond the limits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Past {
    /// They are read and dropped: the statement must come to its end.
    Drop,
    Stop,
}

impl Sink {
    fn new(max_rows: u32, past: Past) -> Self {
        Sink {
            fields: None,
            rows: Vec::new(),
            bytes: 0,
            dropped: 0,
            max_rows: max_rows as usize,
            past,
            truncated: false,
            base: 0,
            is_unnamed: false,
        }
    }

    fn push(&mut self, row: Row) -> Result<(), Stop> {
        // As many values as columns: whatever is read by column later is there.
        let fits = self.is_unnamed || self.fields.as_ref().is_some_and(|fields| fields.len() == row.count());
        if !fits {
            return Err(Stop::Broken(Broken::Protocol));
        }
        if !self.truncated && self.rows.len() < self.max_rows && self.bytes + row.len() <= MAX_ROW_BYTES {
            self.bytes += row.len();
            self.rows.push(row);
            return Ok(());
        }
        // The server was asked for one row too many, to know that there is one.
        let is_the_one_more = !self.truncated && self.rows.len() == self.max_rows;
        self.truncated = true;
        self.dropped += row.len();
        match self.past {
            Past::Stop if is_the_one_more => Ok(()),
            Past::Drop if self.dropped <= MAX_DROPPED => Ok(()),
            _ => Err(Stop::Full),
        }
    }

    fn answer(self, affected: u64) -> Answer {
        Answer { fields: self.fields.unwrap_or_default(), rows: self.rows, affected, truncated: self.truncated }
    }
}

fn stopped(stop: Stop) -> DatabaseError {
    match stop {
        Stop::Broken(why) => broken(why),
        Stop::Copy => DatabaseError::Copy,
        Stop::Full => DatabaseError::AnswerTooLarge { limit: MAX_DROPPED },
    }
}

fn broken(broken: Broken) -> DatabaseError {
    match broken {
        Broken::Lost => DatabaseError::Lost { sent: Sent::Unknown },
        Broken::Protocol => DatabaseError::Protocol { sent: Sent::Unknown },
        Broken::Row => DatabaseError::RowTooLarge { limit: MAX_ROW_BYTES },
    }
}

/// What holds in every transaction, by name.
pub(super) fn parameters(rules: &Rules<'_>) -> Vec<(&'static str, String)> {
    let mut all = vec![
        ("statement_timeout", rules.statement.as_millis().to_string()),
        ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION.as_millis().to_string()),
        ("extra_float_digits", "1".to_owned()),
        ("bytea_output", "hex".to_owned()),
        ("IntervalStyle", "iso_8601".to_owned()),
    ];
    all.extend(rules.search_path.map(|path| ("search_path", path.to_owned())));
    all
}

/// A query that takes a snapshot, and says the settings for this transaction if the session does not have them.
fn settings(rules: &Rules<'_>, has_settings: bool) -> String {
    if has_settings {
        return "select 1".to_owned();
    }
    let set =
        |(name, value): (&str, String)| format!("pg_catalog.set_config('{name}','{}',true)", value.replace('\'', "''"));
    format!("select {}", parameters(rules).into_iter().map(set).collect::<Vec<_>>().join(","))
}

/// Rows that this session has changed in tables of users, by the server's own count: the difference before and after a
/// statement holds what its `with`, its triggers and its cascades did, of which its tag says nothing.
const COUNT: &str = "select coalesce(pg_catalog.sum(\
    pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid) operator(pg_catalog.+) \
    pg_catalog.pg_stat_get_xact_tuples_updated(c.oid) operator(pg_catalog.+) \
    pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid)),0) from pg_catalog.pg_class c \
    where c.oid operator(pg_catalog.>=) 16384::pg_catalog.oid and c.relkind operator(pg_catalog.=) any('{r,p,m}'::\"char\"[])";

/// The server is to say itself that the time is over; that keeps the session.
const GRACE: Duration = Duration::from_millis(500);
/// How long, in milliseconds, the server has to say something before it is asked again to cancel. A statement that looks at nothing between
/// its rows takes longer; it ends at its own time limit.
const CANCEL_AGAIN: [u64; 6] = [50, 100, 200, 300, 400, 500];
/// A commit waits for a disk, sometimes for a replica.
const COMMIT: Duration = Duration::from_secs(10);
/// Between two messages of ours inside a transaction. If we are gone, so are its locks.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(10);
/// Rows of `returning` that are read and not kept: the count of changes bounds them, this bounds their width.
const MAX_DROPPED: usize = 64 << 20;
/// The host's own statements answer with a row or two.
const MAX_OWN_ROW: usize = 64 << 10;
const MAX_OWN_ROWS: usize = 16;
const MAX_TYPES: u32 = 1_000;
