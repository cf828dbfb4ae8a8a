//! `kv connect PROVIDER`: what a connection is to be, shown to a person, made, and, for a database or a machine, tested at
//! once.
//!
//! What a provider's protocol needs beside the usual is worked out in [`database`] and [`machine`].

mod database;
mod machine;

use std::collections::BTreeMap;

use kv_api::{ConnectRequest, ConnectionDetail, HiddenBytes, ProviderSummary, TestResult};
use kv_model::{ConnectionName, Dsn, NameError, Protocol, ProviderName, SecretName, SettingName, SlotName};
use serde::Serialize;
use serde_json::Value;

use super::{Context, connection, proof, set};
use crate::arguments::{Connect, Machine};
use crate::client::{Client, Request};
use crate::output::tell;
use crate::problem::Problem;

/// What was made, and what a test of it found.
#[derive(Serialize)]
struct Connected {
    #[serde(flatten)]
    made: ConnectionDetail,
    #[serde(skip_serializing_if = "Option::is_none")]
    test: Option<TestResult>,
}

pub(super) async fn run(context: &Context, arguments: Connect) -> Result<(), Problem> {
    let usage = |error: NameError| Problem::usage(error.to_string());
    refuse_password(&arguments)?;
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
    let providers: Vec<ProviderSummary> = client.ask(Request::get("/v1/providers")).await?;
    // Of one that there is not, the daemon says so.
    let known = providers.into_iter().find(|known| known.name == request.provider);
    let protocol = known.as_ref().map_or(Protocol::Http, |known| known.protocol);
    let mut made = Made { context, client: &mut client, request: &mut request };
    match protocol {
        Protocol::Http => refuse_surplus(arguments.target.as_deref(), &arguments.machine)?,
        Protocol::Sql => {
            refuse_surplus(None, &arguments.machine)?;
            database::complete(&mut made, arguments.target.as_deref()).await?;
        }
        Protocol::Ssh => machine::complete(&mut made, arguments.target.as_deref(), arguments.machine).await?,
    }
    if !arguments.yes {
        confirm(context, &mut client, &mut request).await?;
    }
    request.preview = false;
    let made: ConnectionDetail = proof::send(context, &mut client, "/v1/connections", &request).await?;
    if protocol == Protocol::Http || arguments.no_test {
        return context.output.show(&Connected { made, test: None }, |connected| {
            format!("{}Next: kv connection test {}", connection::made(&connected.made), connected.made.summary.name)
        });
    }
    test(context, &mut client, made).await
}

/// Shows what would be made, and asks.
async fn confirm(context: &Context, client: &mut Client, request: &mut ConnectRequest) -> Result<(), Problem> {
    let mut preview = client.ask::<ConnectionDetail>(Request::post("/v1/connections", request)?).await;
    if let Err(problem) = &preview
        && problem.error().reason.as_deref() == Some("private_origin")
    {
        confirm_private(context, problem)?;
        request.allow_private = true;
        preview = client.ask(Request::post("/v1/connections", request)?).await;
    }
    tell(&connection::made(&preview?).replacen("connection ", "would be   ", 1));
    if context.asking.confirm("Connect?")? { Ok(()) } else { Err(Problem::failed("nothing was connected")) }
}

fn confirm_private(context: &Context, problem: &Problem) -> Result<(), Problem> {
    match context.asking.confirm(&format!("{}. Is that meant?", problem.error().message))? {
        true => Ok(()),
        false => Err(Problem::failed("nothing was connected")),
    }
}

/// A connection that does not work is made all the same: what is wrong may be at the other end.
async fn test(context: &Context, client: &mut Client, made: ConnectionDetail) -> Result<(), Problem> {
    let name = made.summary.name.clone();
    let tested: Result<TestResult, Problem> =
        client.ask(Request::post(format!("/v1/connections/{name}/test"), &Value::Null)?).await;
    let (test, failed) = match tested {
        Ok(result) => {
            let failed = connection::is_good(&result).err();
            (Some(result), failed)
        }
        Err(problem) => (None, Some(problem)),
    };
    context.output.show(&Connected { made, test }, |connected| {
        let mut text = connection::made(&connected.made);
        if let Some(test) = &connected.test {
            text.push_str(&connection::tested(test));
            text.push_str(&next(&connected.made));
        }
        text
    })?;
    match failed {
        None => Ok(()),
        Some(problem) => Err(problem
            .next(format!("kv connection test {name}      tries again"))
            .next(format!("kv connection remove {name}    takes it back"))),
    }
}

/// What a person does next with a connection.
pub(super) fn next(made: &ConnectionDetail) -> String {
    let name = &made.summary.name;
    let next = match kv_model::Origin::parse(&made.summary.origin).map(|origin| origin.protocol()) {
        Ok(Protocol::Sql) => format!("kv query {name} 'select 1'"),
        Ok(Protocol::Ssh) => format!("kv ssh {name} -- uname -a"),
        Ok(Protocol::Http) | Err(_) => "kv setup claude-code".to_owned(),
    };
    format!("Next: {next}\n")
}

/// What a person does next with a connection that nobody has tried.
pub(super) fn untested(made: &ConnectionDetail) -> String {
    match kv_model::Origin::parse(&made.summary.origin).map(|origin| origin.protocol()) {
        Ok(Protocol::Sql | Protocol::Ssh) => format!("Next: kv connection test {}\n", made.summary.name),
        Ok(Protocol::Http) | Err(_) => next(made),
    }
}

/// A connection under way.
struct Made<'a> {
    context: &'a Context,
    client: &'a mut Client,
    request: &'a mut ConnectRequest,
}

impl Made<'_> {
    fn has_setting(&self, name: &str) -> bool {
        self.request.settings.keys().any(|known| known.as_str() == name)
    }

    fn is_bound(&self, slot: &str) -> bool {
        self.request.bindings.keys().any(|known| known.as_str() == slot)
    }

    /// Unless the person said otherwise.
    fn set(&mut self, name: &str, value: &str) -> Result<(), Problem> {
        let name = SettingName::parse(name).map_err(|error| Problem::failed(error.to_string()))?;
        self.request.settings.entry(name).or_insert_with(|| value.to_owned());
        Ok(())
    }

    fn bind(&mut self, slot: &str, secret: SecretName) -> Result<(), Problem> {
        let slot = SlotName::parse(slot).map_err(|error| Problem::failed(error.to_string()))?;
        self.request.bindings.insert(slot, secret);
        Ok(())
    }

    /// `WEB1_KEY` for the connection `web1`.
    fn usual_name(&self, ending: &str) -> String {
        let name: String = self
            .request
            .name
            .as_str()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
            .collect();
        let lead = if name.starts_with(|c: char| c.is_ascii_digit()) { "_" } else { "" };
        format!("{lead}{name}_{ending}")
    }

    /// Asks for a value and for the name to keep it under. A name that there is already stands for what it has.
    async fn ask_secret(&mut self, slot: &str, what: &str, ending: &str) -> Result<(), Problem> {
        let asking = self.context.asking;
        let otherwise = format!("give --bind {slot}=SECRET");
        let usual = self.usual_name(ending);
        let name = asking.line(&format!("Name of the secret with the {what}"), Some(&usual), &otherwise)?;
        let name = SecretName::parse(&name).map_err(|_| Problem::usage("that is no name of a secret"))?;
        if !self.knows(&name).await? {
            let value = asking.hidden(&format!("The {what} (hidden):"), &otherwise)?;
            if value.is_empty() {
                return Err(Problem::usage(format!("the {what} is empty; nothing was stored")));
            }
            set::store(self.context, self.client, name.clone(), HiddenBytes::new(value.as_bytes().to_vec())).await?;
        }
        self.bind(slot, name)
    }

    async fn knows(&mut self, name: &SecretName) -> Result<bool, Problem> {
        let secrets: Vec<kv_api::SecretInfo> = self.client.ask(Request::get("/v1/secrets")).await?;
        Ok(secrets.iter().any(|secret| secret.name == *name))
    }
}

/// A password in an argument is refused like any value. Nothing of it is repeated.
fn refuse_password(arguments: &Connect) -> Result<(), Problem> {
    let words = [arguments.target.as_deref(), arguments.origin.as_deref(), Some(arguments.provider.as_str())];
    if !words.into_iter().flatten().any(has_password) {
        return Ok(());
    }
    Err(Problem::usage("a password on the command line can be read by other programs and stays in the shell's history")
        .next("kv set DATABASE_URL                    asks for the whole URL without echo, and connects")
        .next("kv set DATABASE_URL --stdin < FILE")
        .next("or leave the password out: kv connect asks for it")
        .next("if that was a real password, change it at its server"))
}

/// `USER:PASSWORD@`, or `password=`, whether the rest can be read or not.
fn has_password(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    if Dsn::password_of(text.as_bytes()).is_some() || lower.contains("password=") || lower.contains("password =") {
        return true;
    }
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    rest.rsplit_once('@').is_some_and(|(login, _)| login.contains(':'))
}

/// What belongs to another kind of connection is not passed over in silence.
fn refuse_surplus(target: Option<&str>, machine: &Machine) -> Result<(), Problem> {
    let Machine { host_keys, known_hosts, key, identity, jump } = machine;
    if !host_keys.is_empty() || known_hosts.is_some() || key.is_some() || identity.is_some() || jump.is_some() {
        return Err(Problem::usage(
            "--host-key, --known-hosts, --key, --identity and --jump are for a machine over SSH",
        ));
    }
    match target {
        Some(_) => Err(Problem::usage("this provider takes its place as --origin URL")),
        None => Ok(()),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_an_argument_is_found() {
        for text in [
            "postgres://app:kvcanary@db.test/shop",
            "postgresql://app:kvcanary@db.test",
            "postgres://app:kv@can/ary@db.test/shop?nonsense=1",
            "host=db.test user=app password=kvcanary",
            "host=db.test password = 'kv canary'",
            "postgres://db.test/shop?password=kvcanary",
            "app:kvcanary@db.test",
            "ssh://deploy:kvcanary@web1.test",
        ] {
            assert!(has_password(text), "{text}");
        }
        for text in
            ["postgres://app@db.test:5432/shop", "app@db.test:5432/shop", "db.test", "[2001:db8::1]:5432", "ssh"]
        {
            assert!(!has_password(text), "{text}");
        }
    }
}
