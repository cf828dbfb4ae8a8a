//! Functions that a statement calls and that no list of ours knows: the server itself says of each what it is.
//!
//! A read-only transaction holds back what is written in the database's own languages, whose every statement runs inside of
//! it. It does not hold back code of another language, nor an extension's, that opens files or connections. Such a function
//! is not called in a read unless it promises (`stable`, `immutable`) to change nothing.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::wire::Row;

/// Of the names in `$1`: the first that is of a volatile function beyond the transaction's reach, and all that are of a
/// volatile function at all. Names count, whatever schema or arguments: which of several is meant is the server's to know.
pub(super) const ASK: &str = "with named as (\
    select n.at, p.oid, l.lanpltrusted from pg_catalog.unnest($1::pg_catalog.text[]) with ordinality n(name, at) \
    join pg_catalog.pg_proc p on p.proname operator(pg_catalog.=) n.name::pg_catalog.name \
    join pg_catalog.pg_language l on l.oid operator(pg_catalog.=) p.prolang \
    where p.provolatile operator(pg_catalog.=) 'v'::\"char\"), \
    judged as (select n.at, not n.lanpltrusted or exists (select from pg_catalog.pg_depend d \
        where d.classid operator(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass \
        and d.objid operator(pg_catalog.=) n.oid and d.deptype operator(pg_catalog.=) 'e'::\"char\") as beyond from named n) \
    select pg_catalog.min(at) filter (where beyond), pg_catalog.array_agg(at) from judged";

/// What a session knows of names, for a while.
#[derive(Default)]
pub(super) struct Judged(HashMap<String, (Nature, Instant)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nature {
    /// It changes nothing, by its own promise, or there is none of that name.
    Still,
    /// Volatile, in a language of the database's own.
    Volatile,
}

/// What the server said.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// The place in the list of the first name that is not to be called in a read.
    pub(super) beyond: Option<usize>,
    volatile: Vec<usize>,
}

impl Judged {
    /// The names that have to be asked about.
    pub(super) fn unknown<'a>(&self, calls: &'a [String]) -> Vec<&'a String> {
        let fresh = |name: &String| self.0.get(name).is_some_and(|(_, since)| since.elapsed() < FRESH);
        calls.iter().filter(|name| !fresh(name)).collect()
    }

    pub(super) fn learn(&mut self, asked: &[&String], verdict: &Verdict) {
        if self.0.len() + asked.len() > MAX_NAMES {
            self.0.clear();
        }
        for (index, name) in asked.iter().enumerate() {
            let nature = if verdict.volatile.contains(&index) { Nature::Volatile } else { Nature::Still };
            self.0.insert((*name).clone(), (nature, Instant::now()));
        }
    }

    /// Whether one of them may have left something behind in the session that no order to forget reaches.
    pub(super) fn may_leave_traces(&self, calls: &[String]) -> bool {
        calls.iter().any(|name| self.0.get(name).is_none_or(|(nature, _)| *nature == Nature::Volatile))
    }
}

impl Verdict {
    /// `None`: it is no answer to [`ASK`].
    pub(super) fn read(row: &Row) -> Option<Self> {
        let mut fields = row.fields();
        let place = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<usize>().ok()?.checked_sub(1);
        let beyond = match fields.next()? {
            None => None,
            Some(text) => Some(place(text)?),
        };
        let volatile = match fields.next()? {
            None => Vec::new(),
            Some(list) => {
                let list = list.strip_prefix(b"{")?.strip_suffix(b"}")?;
                list.split(|byte| *byte == b',').map(place).collect::<Option<_>>()?
            }
        };
        Some(Self { beyond, volatile })
    }
}

/// The names as the text of an array.
pub(super) fn array(names: &[&String]) -> Vec<u8> {
    let quoted = names.iter().map(|name| format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\"")));
    format!("{{{}}}", quoted.collect::<Vec<_>>().join(",")).into_bytes()
}

/// A function can be defined anew. Whoever may do so needs no read to change something, so a minute is short enough.
const FRESH: Duration = Duration::from_secs(60);
/// More names than programs have statements for.
const MAX_NAMES: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_array() {
        let names = ["a", "b\"},{", "c\\", ""].map(str::to_owned);
        assert_eq!(array(&names.iter().collect::<Vec<_>>()), br#"{"a","b\"},{","c\\",""}"#);
    }

    #[test]
    fn what_is_known_is_not_asked_again() {
        let names = ["still", "moves", "other"].map(str::to_owned);
        let mut judged = Judged::default();
        assert_eq!(judged.unknown(&names).len(), 3);
        judged.learn(&[&names[0], &names[1]], &Verdict { beyond: None, volatile: vec![1] });
        assert_eq!(judged.unknown(&names), [&names[2]]);
        assert!(!judged.may_leave_traces(&names[..1]));
        assert!(judged.may_leave_traces(&names[..2]));
        assert!(judged.may_leave_traces(&names[2..]), "what was never asked about is not trusted");
    }
}
