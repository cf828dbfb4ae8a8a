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

use super::calls::{self, Judged, Verdict};
use super::count::COUNT;
use super::error::DatabaseError;
use super::gather::{Answer, Group, MAX_DROPPED, Past, Sink, Stop};
use super::link::Link;
use super::login::AuthMethod;
use super::open::{Canceller, Opened};
use super::params;
use super::types::{Known, LOOKUP, TypeCache};
use super::wire::{Broken, MAX_ROW_BYTES, Message, ServerError, Status};
use crate::error::Sent;

/// A statement and how it is carried out.
pub(crate) struct Work<'a> {
    pub(crate) text: &'a str,
    pub(crate) params: &'a [Value],
    /// Functions that it calls and of which nothing is known.
    pub(crate) calls: &'a [String],
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

pub(super) struct Ran {
    pub(super) outcome: Outcome,
    pub(super) known: Known,
    pub(super) after: After,
}

/// What becomes of a session after its statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// Nobody knows what it is at: the statement is cancelled first.
    Cancel,
    /// It stands where it should, and a function may have left something in it that no order to forget reaches.
    Close,
    /// It can be cleaned for the next.
    Keep,
}

/// A session of the database.
pub(super) struct Session {
    link: Link,
    pub(super) canceller: Canceller,
    pub(super) auth: AuthMethod,
    pub(super) tls: Option<&'static str>,
    past: Memory,
    settings: Held,
    judged: Judged,
}

/// Whether the settings of [`Rules`] are what the session falls back to, so that they need not be said again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    No,
    /// The server took them at the beginning. A pooler may have taken them and thrown them away.
    Said,
    /// They were there when a transaction looked, before it said them itself.
    Seen,
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

impl Session {
    pub(super) fn new(opened: Opened) -> Self {
        let Opened { link, canceller, auth, tls, has_settings } = opened;
        let settings = if has_settings { Held::Said } else { Held::No };
        Session { link, canceller, auth, tls, past: Memory::Nothing, settings, judged: Judged::default() }
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
        let mut is_reusable = is_idle;
        if let Outcome::Rows(answer) = &outcome {
            let oids: Vec<u32> = answer.fields.iter().map(|field| field.type_oid).collect();
            // The answer stands; without the lookup its odd types are shown as text.
            let learned = timeout(COMMIT, self.learn(&mut known, &oids, cache, is_reusable)).await;
            is_reusable &= matches!(learned, Ok(Ok(())));
        }
        let after = match is_reusable {
            true if self.judged.may_leave_traces(work.calls) => After::Close,
            true => After::Keep,
            false => After::Cancel,
        };
        Ok(Ran { outcome, known, after })
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
        let mut before = self.begin(work.mode, rules);
        let asked = self.judged.unknown(work.calls);
        if !asked.is_empty() {
            let begun = self.ask(&asked, before).await?;
            if let Some(error) = begun.error {
                return self.abandon(Outcome::Refused(error)).await;
            }
            self.see_settings(&begun, work.mode);
            sink.base = begun.count(work.mode);
            let verdict = begun.rows.last().and_then(Verdict::read);
            let verdict = verdict.ok_or(DatabaseError::Protocol { sent: Sent::No })?;
            if let Some(name) = verdict.beyond.filter(|_| work.mode == Mode::Read).and_then(|at| asked.get(at)) {
                let error = DatabaseError::BeyondReading { name: (*name).clone() };
                return self.abandon(Outcome::Failed(error)).await;
            }
            self.judged.learn(&asked, &verdict);
            before = 0;
        }
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
                Err(error) => return self.abandon(Outcome::Refused(error)).await,
            };
            self.see_settings(&described, work.mode);
            sink.base = sink.base.or(described.count(work.mode));
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
            self.see_settings(&group, work.mode);
            sink.base = sink.base.or(group.count(work.mode));
        }
        self.end(work.mode, group, sink).await
    }

    /// Queues the statements in front of the caller's, and says how many there are.
    fn begin(&mut self, mode: Mode, rules: &Rules<'_>) -> usize {
        self.past = Memory::Something;
        let settings = settings(rules, self.settings == Held::Seen && mode != Mode::Preview);
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

    /// Sends the beginning of the transaction, of `before` statements, with a question about functions.
    async fn ask(&mut self, names: &[&String], before: usize) -> Result<Group, DatabaseError> {
        let out = self.link.out();
        out.parse(calls::ASK);
        out.bind("", &[Some(calls::array(names))]);
        out.execute(0);
        out.sync();
        self.flush().await?;
        let group = self.group(before + 1, None, &mut Sink::new(0, Past::Stop)).await.map_err(stopped)?;
        match (&group.error, group.status) {
            (Some(_), _) | (None, Status::InTransaction) => Ok(group),
            _ => Err(DatabaseError::Protocol { sent: Sent::No }),
        }
    }

    /// Whether the first transaction found the settings of the session's beginning: its first row has them in pairs, as they
    /// were and as they were set.
    fn see_settings(&mut self, begun: &Group, mode: Mode) {
        let Some(row) = begun.rows.first().filter(|_| self.settings == Held::Said && mode != Mode::Preview) else {
            return;
        };
        let fields: Vec<_> = row.fields().collect();
        let (found, set) = fields.split_at(fields.len() / 2);
        self.settings = if found == set { Held::Seen } else { Held::No };
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

    /// Rolls back, with what there is to say.
    async fn abandon(&mut self, outcome: Outcome) -> Result<Stage, DatabaseError> {
        if matches!(&outcome, Outcome::Refused(error) if error.is_fatal) {
            return Ok(Stage::Over(outcome, false));
        }
        self.finish("rollback");
        self.flush().await?;
        let is_idle = self.rolled_back().await?;
        Ok(Stage::Over(outcome, is_idle))
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
        let count = counted.count(mode).zip(sink.base).map(|(now, before)| now.since(before));
        let error = group.error.or(counted.error);
        let (changed, blind) = match count {
            Some(count) => (count.rows.max(tagged.unwrap_or(0)), count.blind),
            None if error.is_some() => (0, None),
            None => return Err(DatabaseError::Protocol { sent: Sent::Yes }),
        };
        let over = match mode {
            Mode::Write { max_changes: Some(limit) } if changed > limit => {
                Some(DatabaseError::TooManyChanges { changed, limit })
            }
            // A limit that cannot be held is not passed over.
            Mode::Write { max_changes: Some(limit) } => blind.map(|why| DatabaseError::Uncounted { why, limit }),
            _ => None,
        };
        match (mode, error.map(Outcome::Refused).or(over.map(Outcome::Failed))) {
            (Mode::Preview, error) => {
                let is_idle = self.rolled_back().await?;
                Ok(Stage::Over(error.unwrap_or_else(|| Outcome::Rows(sink.answer(changed))), is_idle))
            }
            (_, Some(outcome)) => self.abandon(outcome).await,
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

/// A query that takes a snapshot, and says the settings for this transaction if the session does not have them: first as they
/// are, then as they become.
fn settings(rules: &Rules<'_>, has_settings: bool) -> String {
    if has_settings {
        return "select 1".to_owned();
    }
    let all = parameters(rules);
    let look = all.iter().map(|(name, _)| format!("pg_catalog.current_setting('{name}')"));
    let set = all.iter().map(|(name, value)| {
        let value = value.replace('\'', "''");
        format!("pg_catalog.set_config('{name}','{value}',true)")
    });
    format!("select {}", look.chain(set).collect::<Vec<_>>().join(","))
}

/// The server is to say itself that the time is over; that keeps the session.
const GRACE: Duration = Duration::from_millis(500);
/// How long, in milliseconds, the server has to say something before it is asked again to cancel. A statement that looks at nothing between
/// its rows takes longer; it ends at its own time limit.
const CANCEL_AGAIN: [u64; 6] = [50, 100, 200, 300, 400, 500];
/// A commit waits for a disk, sometimes for a replica.
const COMMIT: Duration = Duration::from_secs(10);
/// Between two messages of ours inside a transaction. If we are gone, so are its locks.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(10);
/// The host's own statements answer with a row or two.
const MAX_OWN_ROW: usize = 64 << 10;
const MAX_OWN_ROWS: usize = 16;
const MAX_TYPES: u32 = 1_000;
