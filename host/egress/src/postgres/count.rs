//! How many rows a statement changed, by the server's own count: what its tag does not say of its `with`, its triggers and
//! its cascades is in there. And when that count is blind.

use super::wire::Row;

/// Rows that this session has changed in tables of users, whether the server counts them at all, and whether a foreign table
/// is being written to, whose rows are another server's and in nobody's count. The locks are looked at only where there
/// are such tables.
pub(super) const COUNT: &str = "select coalesce(pg_catalog.sum(\
    pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid) operator(pg_catalog.+) \
    pg_catalog.pg_stat_get_xact_tuples_updated(c.oid) operator(pg_catalog.+) \
    pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid)),0), \
    pg_catalog.current_setting('track_counts') operator(pg_catalog.=) 'on', \
    case when exists (select from pg_catalog.pg_class f where f.relkind operator(pg_catalog.=) 'f'::\"char\") then exists (\
        select from pg_catalog.pg_locks l join pg_catalog.pg_class f on f.oid operator(pg_catalog.=) l.relation \
        where l.pid operator(pg_catalog.=) pg_catalog.pg_backend_pid() and l.mode operator(pg_catalog.=) 'RowExclusiveLock' \
        and f.relkind operator(pg_catalog.=) 'f'::\"char\") else false end \
    from pg_catalog.pg_class c \
    where c.oid operator(pg_catalog.>=) 16384::pg_catalog.oid and c.relkind operator(pg_catalog.=) any('{r,p,m}'::\"char\"[])";

/// What one [`COUNT`] said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) rows: u64,
    pub(super) blind: Option<Blind>,
}

/// Why changes are not in the count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blind {
    /// A foreign table was written to.
    Foreign,
    /// `track_counts` is off.
    Off,
}

impl Count {
    /// `None`: it is no answer to [`COUNT`].
    pub(super) fn read(row: &Row) -> Option<Self> {
        let mut fields = row.fields();
        let mut next = || std::str::from_utf8(fields.next()??).ok();
        let rows = next()?.parse().ok()?;
        let blind = match (next()?, next()?) {
            ("t", "f") => None,
            ("t", "t") => Some(Blind::Foreign),
            ("f", _) => Some(Blind::Off),
            _ => return None,
        };
        Some(Self { rows, blind })
    }

    /// What was changed since an earlier one.
    pub(super) fn since(self, earlier: Count) -> Count {
        Count { rows: self.rows.saturating_sub(earlier.rows), blind: self.blind.or(earlier.blind) }
    }
}
