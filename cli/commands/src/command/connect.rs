//! `kv connect PROVIDER`

use std::collections::BTreeMap;

use kv_api::{ConnectRequest, ConnectionDetail};
use kv_model::{ConnectionName, NameError, ProviderName};

use super::{Context, connection, set};
use crate::arguments::Connect;
use crate::client::Request;
use crate::problem::Problem;

pub(super) async fn run(context: &Context, arguments: Connect) -> Result<(), Problem> {
    let usage = |error: NameError| Problem::usage(error.to_string());
    let provider = ProviderName::parse(&arguments.provider).map_err(usage)?;
    let name = ConnectionName::parse(arguments.name.as_deref().unwrap_or(provider.as_str())).map_err(usage)?;
    let ca = match &arguments.ca {
        Some(path) => Some(
            std::fs::read_to_string(path).map_err(|error| Problem::usage(format!("{}: {error}", path.display())))?,
        ),
        None => None,
    };
    let mut request = ConnectRequest {
        provider,
        name,
        origin: arguments.origin,
        ca,
        settings: parsed(&arguments.settings)?,
        bindings: parsed(&arguments.bindings)?,
        allow_private: arguments.yes,
        preview: true,
        replace: arguments.replace,
    };
    let mut client = context.person().await?;
    set::open(context, &mut client).await?;
    if !arguments.yes {
        let mut preview = client.ask::<ConnectionDetail>(Request::post("/v1/connections", &request)?).await;
        if let Err(problem) = &preview
            && problem.error().reason.as_deref() == Some("private_origin")
        {
            if !context.asking.confirm(&format!("{}. Is that meant?", problem.error().message))? {
                return Err(Problem::failed("nothing was connected"));
            }
            request.allow_private = true;
            preview = client.ask(Request::post("/v1/connections", &request)?).await;
        }
        context.output.note(&connection::made(&preview?).replacen("connection ", "would be   ", 1));
        if !context.asking.confirm("Connect?")? {
            return Err(Problem::failed("nothing was connected"));
        }
    }
    request.preview = false;
    let made: ConnectionDetail = client.ask(Request::post("/v1/connections", &request)?).await?;
    context
        .output
        .show(&made, |made| format!("{}Next: kv connection test {}", connection::made(made), made.summary.name))
}

/// Names and values, the names parsed.
pub(super) fn parsed<K, V>(pairs: &[(String, String)]) -> Result<BTreeMap<K, V>, Problem>
where
    K: TryFrom<String, Error: std::fmt::Display> + Ord,
    V: TryFrom<String>,
{
    pairs
        .iter()
        .map(|(key, value)| {
            let parsed = K::try_from(key.clone()).map_err(|error| Problem::usage(error.to_string()))?;
            // Not repeated: it may be a value where a secret's name is meant.
            let value = V::try_from(value.clone()).map_err(|_| {
                Problem::usage(format!("what stands behind `{key}=` is no name of a secret"))
                    .next("kv set NAME   stores a value under a name")
            })?;
            Ok((parsed, value))
        })
        .collect()
}
