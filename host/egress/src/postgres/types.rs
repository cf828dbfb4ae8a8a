//! What a column or a parameter is: the types that every database has, and how the others are looked up.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::wire::Row;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Type {
    /// As `format_type` writes it.
    pub(super) name: Cow<'static, str>,
    pub(super) shape: Shape,
}

/// How a type's text becomes JSON, and JSON its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    Array {
        element: u32,
        delimiter: char,
    },
    Bool,
    Bytes,
    /// Names and types of the parts.
    Composite(Vec<(String, u32)>),
    /// Another type under a name and with conditions.
    Domain(u32),
    Float,
    /// As wide as that many bytes.
    Integer(u8),
    Json,
    Numeric,
    /// Everything that is its own text: names, ranges, enums, addresses, dates, and what this table has never heard of.
    Text,
    /// A day with a time, whose text has a blank where ISO 8601 has a `T`.
    Timestamp,
}

/// The types of one call, those inside of others included.
#[derive(Debug, Default)]
pub(super) struct Known(HashMap<u32, Type>);

/// What one login has looked up and what cannot change under its number. A composite can (`alter type`), so it is looked
/// up by each call that meets it.
#[derive(Default)]
pub(super) struct TypeCache(Mutex<HashMap<u32, Type>>);

impl Known {
    pub(super) fn shape(&self, oid: u32) -> &Shape {
        self.0.get(&oid).map_or(&Shape::Text, |known| &known.shape)
    }

    pub(super) fn name(&self, oid: u32) -> Cow<'_, str> {
        self.0.get(&oid).map_or_else(|| Cow::Owned(format!("type {oid}")), |known| Cow::Borrowed(&*known.name))
    }

    /// Adds what can be known of these without asking, and returns the others.
    pub(super) fn add(&mut self, oids: &[u32], cache: &TypeCache) -> Vec<u32> {
        let cached = cache.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut open, mut unknown) = (oids.to_vec(), Vec::new());
        while let Some(oid) = open.pop() {
            if self.0.contains_key(&oid) || unknown.contains(&oid) {
                continue;
            }
            match builtin(oid).or_else(|| cached.get(&oid).cloned()) {
                Some(known) => {
                    open.extend(known.shape.inner());
                    self.0.insert(oid, known);
                }
                None if unknown.len() < MAX_UNKNOWN => unknown.push(oid),
                None => {}
            }
        }
        unknown
    }

    /// Reads the answer to [`LOOKUP`], and keeps of it what can be kept.
    pub(super) fn learn(&mut self, rows: &[Row], cache: &TypeCache) {
        let mut cached = cache.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (oid, found) in rows.iter().filter_map(read) {
            // What is inside of others is listed too, the built-in ones included, of which more is known here.
            if let Some(known) = builtin(oid) {
                self.0.insert(oid, known);
                continue;
            }
            if !matches!(found.shape, Shape::Composite(_)) && cached.len() < MAX_CACHED {
                cached.insert(oid, found.clone());
            }
            self.0.insert(oid, found);
        }
    }
}

#[cfg(test)]
impl<const N: usize> From<[(u32, Shape); N]> for Known {
    fn from(shapes: [(u32, Shape); N]) -> Self {
        Self(shapes.map(|(oid, shape)| (oid, Type { name: Cow::Borrowed("made"), shape })).into())
    }
}

impl Shape {
    /// The types that are inside of it.
    fn inner(&self) -> Vec<u32> {
        match self {
            Shape::Array { element, .. } => vec![*element],
            Shape::Composite(parts) => parts.iter().map(|(_, oid)| *oid).collect(),
            Shape::Domain(base) => vec![*base],
            _ => Vec::new(),
        }
    }
}

/// A row of [`LOOKUP`].
fn read(row: &Row) -> Option<(u32, Type)> {
    let texts: Vec<&str> = row.fields().map(|field| std::str::from_utf8(field?).ok()).collect::<Option<_>>()?;
    let [oid, name, kind, element, delimiter, base, names, oids] = texts.try_into().ok()?;
    let shape = match (kind, element) {
        ("d", _) => Shape::Domain(base.parse().ok()?),
        ("c", _) => {
            let names: Vec<String> = serde_json::from_str(names).ok()?;
            let oids: Vec<u32> = serde_json::from_str(oids).ok()?;
            if names.len() > MAX_FIELDS || names.iter().any(|name| name.len() > MAX_FIELD_NAME) {
                return None;
            }
            Shape::Composite(names.into_iter().zip(oids).collect())
        }
        (_, "0") => Shape::Text,
        (_, element) => Shape::Array { element: element.parse().ok()?, delimiter: delimiter.chars().next()? },
    };
    Some((oid.parse().ok()?, Type { name: Cow::Owned(name.to_owned()), shape }))
}

/// The types with these numbers, and those inside of them. Every name is written out: what a session's search path says
/// must not matter here.
pub(super) const LOOKUP: &str = "\
with recursive wanted(oid) as (
  select w from pg_catalog.unnest($1::pg_catalog.oid[]) w
  union
  select inner_types.oid from wanted join pg_catalog.pg_type t on t.oid operator(pg_catalog.=) wanted.oid
  cross join lateral (
    select t.typelem union all select t.typbasetype
    union all select a.atttypid from pg_catalog.pg_attribute a
      where t.typtype operator(pg_catalog.=) 'c' and a.attrelid operator(pg_catalog.=) t.typrelid
      and a.attnum operator(pg_catalog.>) 0 and not a.attisdropped
  ) inner_types(oid) where inner_types.oid operator(pg_catalog.<>) 0::pg_catalog.oid
)
select t.oid, pg_catalog.format_type(t.oid, null), t.typtype,
  case when t.typcategory operator(pg_catalog.=) 'A' then t.typelem else 0::pg_catalog.oid end,
  coalesce(e.typdelim, ','), t.typbasetype,
  coalesce((select pg_catalog.json_agg(a.attname order by a.attnum) from pg_catalog.pg_attribute a
    where t.typtype operator(pg_catalog.=) 'c' and a.attrelid operator(pg_catalog.=) t.typrelid
    and a.attnum operator(pg_catalog.>) 0 and not a.attisdropped), '[]'),
  coalesce((select pg_catalog.json_agg(a.atttypid::pg_catalog.int8 order by a.attnum) from pg_catalog.pg_attribute a
    where t.typtype operator(pg_catalog.=) 'c' and a.attrelid operator(pg_catalog.=) t.typrelid
    and a.attnum operator(pg_catalog.>) 0 and not a.attisdropped), '[]')
from wanted join pg_catalog.pg_type t on t.oid operator(pg_catalog.=) wanted.oid
left join pg_catalog.pg_type e on e.oid operator(pg_catalog.=) t.typelem
limit 1000";

fn builtin(oid: u32) -> Option<Type> {
    let of = |name: &'static str, shape| Type { name: Cow::Borrowed(name), shape };
    if let Some((_, _, name, shape)) = BUILTIN.iter().find(|(known, ..)| *known == oid) {
        return Some(of(name, shape.clone()));
    }
    let (element, _, name, _) = BUILTIN.iter().find(|(_, array, ..)| *array == oid && oid != 0)?;
    Some(Type { name: Cow::Owned(format!("{name}[]")), shape: Shape::Array { element: *element, delimiter: ',' } })
}

/// Number, number of the array of it, name. These never change: they are in the catalogue that servers are built with.
const BUILTIN: [(u32, u32, &str, Shape); 46] = [
    (16, 1000, "boolean", Shape::Bool),
    (17, 1001, "bytea", Shape::Bytes),
    (18, 1002, "\"char\"", Shape::Text),
    (19, 1003, "name", Shape::Text),
    (20, 1016, "bigint", Shape::Integer(8)),
    (21, 1005, "smallint", Shape::Integer(2)),
    (23, 1007, "integer", Shape::Integer(4)),
    (24, 1008, "regproc", Shape::Text),
    (25, 1009, "text", Shape::Text),
    (26, 1028, "oid", Shape::Integer(8)),
    (27, 1010, "tid", Shape::Text),
    (28, 1011, "xid", Shape::Integer(8)),
    (114, 199, "json", Shape::Json),
    (142, 143, "xml", Shape::Text),
    (600, 1017, "point", Shape::Text),
    (650, 651, "cidr", Shape::Text),
    (700, 1021, "real", Shape::Float),
    (701, 1022, "double precision", Shape::Float),
    (705, 0, "unknown", Shape::Text),
    (790, 791, "money", Shape::Text),
    (829, 1040, "macaddr", Shape::Text),
    (869, 1041, "inet", Shape::Text),
    (1042, 1014, "character", Shape::Text),
    (1043, 1015, "character varying", Shape::Text),
    (1082, 1182, "date", Shape::Text),
    (1083, 1183, "time without time zone", Shape::Text),
    (1114, 1115, "timestamp without time zone", Shape::Timestamp),
    (1184, 1185, "timestamp with time zone", Shape::Timestamp),
    (1186, 1187, "interval", Shape::Text),
    (1266, 1270, "time with time zone", Shape::Text),
    (1560, 1561, "bit", Shape::Text),
    (1562, 1563, "bit varying", Shape::Text),
    (1700, 1231, "numeric", Shape::Numeric),
    (2205, 2210, "regclass", Shape::Text),
    (2206, 2211, "regtype", Shape::Text),
    (2249, 2287, "record", Shape::Text),
    (2278, 0, "void", Shape::Text),
    (2950, 2951, "uuid", Shape::Text),
    (3802, 3807, "jsonb", Shape::Json),
    (3904, 3905, "int4range", Shape::Text),
    (3906, 3907, "numrange", Shape::Text),
    (3908, 3909, "tsrange", Shape::Text),
    (3910, 3911, "tstzrange", Shape::Text),
    (3912, 3913, "daterange", Shape::Text),
    (3926, 3927, "int8range", Shape::Text),
    (5069, 271, "xid8", Shape::Integer(8)),
];

/// PostgreSQL's own bounds on a table: columns, and bytes of a name in the largest build that is in use.
const MAX_FIELDS: usize = 1_664;
const MAX_FIELD_NAME: usize = 255;
/// Types of one answer that have to be asked for; the rest are written as text.
const MAX_UNKNOWN: usize = 1_000;
const MAX_CACHED: usize = 10_000;
