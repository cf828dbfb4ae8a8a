//! Of the world `sql-provider`.

use serde_json::value::RawValue;

use super::{call_in, delivery_out, failure_out};
use crate::asked::{Answered, Asked, other_protocol};
use crate::engine::{self, Outgoing, Sending, Step};
use crate::export::bindings::sql::exports::kv::provider::sql as wire;
use crate::{Column, Failure, Provider, Rows, SqlError};

pub fn start(provider: &'static Provider, call: wire::Call) -> Result<wire::Step, wire::Failure> {
    engine::start(provider, call_in(call)).and_then(step_out).map_err(failure_out)
}

pub fn resume(
    provider: &'static Provider,
    call: wire::Call,
    state: &str,
    response: wire::Response,
) -> Result<wire::Step, wire::Failure> {
    let answered = match response {
        Ok(rows) => rows_in(rows).map_err(failure_out)?,
        Err(wire::SqlError { code, message, position }) => Answered::Sql(Err(SqlError::new(code, message, position))),
    };
    engine::resume(provider, call_in(call), state, answered).and_then(step_out).map_err(failure_out)
}

fn rows_in(rows: wire::Rows) -> Result<Answered, Failure> {
    let row = |text| {
        RawValue::from_string(text)
            .map_err(|error| Failure::internal(format!("the host handed over a row that is not JSON: {error}")))
    };
    Ok(Answered::Sql(Ok(Rows {
        columns: rows.columns.into_iter().map(|c| Column { name: c.name, type_name: c.type_name }).collect(),
        rows: rows.rows.into_iter().map(row).collect::<Result<_, _>>()?,
        affected: rows.affected,
        truncated: rows.truncated,
    })))
}

fn step_out(step: Step) -> Result<wire::Step, Failure> {
    match step {
        Step::Done(text) => Ok(wire::Step::Done(text)),
        Step::Send(sending) => send_out(*sending).map(wire::Step::Send),
    }
}

fn send_out(Sending { outgoing, state }: Sending) -> Result<wire::Send, Failure> {
    let Outgoing { asked: Asked::Sql(statement), auth: _, effect, summary, repeatable, then, digest: _ } = outgoing
    else {
        return Err(other_protocol());
    };
    Ok(wire::Send {
        delivery: delivery_out(statement.delivery, effect, summary, repeatable, then, state),
        statement: wire::Statement { text: statement.text, params: statement.params, max_rows: statement.max_rows },
    })
}
