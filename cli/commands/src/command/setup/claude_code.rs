//! Claude Code: an entry for the MCP server, a few lines of instructions, and rules that keep it from reading kv's files
//! and the usual places of plain keys.

use std::path::{Path, PathBuf};

use jsonc_parser::cst::{CstInputValue, CstObject, CstRootNode};
use kv_api::home::Home;
use serde_json::{Value, json};

use super::file::{Change, read};
use crate::problem::Problem;

/// What the agent is called in the trail.
pub(super) const AGENT: &str = "claude-code";

const BEGIN: &str = "<!-- kv:begin -->";
const END: &str = "<!-- kv:end -->";
/// How the rules about kv's own files end.
const OWN: &str = "/kv/**)";
/// Where keys and passwords usually lie in the clear: of services, of machines, of databases.
const PLAIN_KEYS: [&str; 4] = ["Read(./.env)", "Read(./.env.*)", "Read(~/.ssh/id_*)", "Read(~/.pgpass)"];
const INSTRUCTIONS: &str = "\
## Credentials

Services, databases and machines that need a key or a password are reached through kv, which has them: use its tools
(`kv_list`, `kv_search`, `kv_read`, `kv_write`, `kv_api`; `kv_query` and `kv_sql_exec` for PostgreSQL; `kv_ssh` for commands
on machines) or `kv api CONNECTION METHOD PATH`, `kv query CONNECTION SQL`, `kv ssh CONNECTION -- COMMAND`. Do not ask for
keys or passwords, look for them in files, or put them into
commands. When kv says that it is locked or refuses, tell the person what it said and what it names as the next step.";

/// Where Claude Code keeps its files.
pub(super) struct Places {
    /// `~/.claude.json`
    servers: PathBuf,
    /// `~/.claude/settings.json`
    settings: PathBuf,
    /// `~/.claude/CLAUDE.md`
    instructions: PathBuf,
}

impl Places {
    pub(super) fn from_env() -> Result<Self, Problem> {
        let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = absolute("HOME").ok_or_else(|| Problem::usage("there is no home directory: set HOME"))?;
        Ok(match absolute("CLAUDE_CONFIG_DIR") {
            Some(moved) => Self::under(&moved.join(".claude.json"), &moved),
            None => Self::under(&home.join(".claude.json"), &home.join(".claude")),
        })
    }

    fn under(servers: &Path, directory: &Path) -> Self {
        Self {
            servers: servers.to_owned(),
            settings: directory.join("settings.json"),
            instructions: directory.join("CLAUDE.md"),
        }
    }

    pub(super) fn setup(&self, program: &Path, kv: &Home, force: bool) -> Result<Vec<Change>, Problem> {
        Ok(vec![self.add_server(program, force)?, self.add_rules(kv)?, self.add_instructions()?])
    }

    pub(super) fn undo(&self, kv: &Home) -> Result<Vec<Change>, Problem> {
        Ok(vec![self.remove_server()?, self.remove_rules(kv)?, self.remove_instructions()?])
    }

    fn add_server(&self, program: &Path, force: bool) -> Result<Change, Problem> {
        let before = read(&self.servers)?;
        let root = parse(&self.servers, before.as_deref())?;
        let servers = object(&self.servers, &root)?
            .object_value_or_create("mcpServers")
            .ok_or_else(|| odd(&self.servers, "mcpServers"))?;
        let wanted =
            json!({ "type": "stdio", "command": program.display().to_string(), "args": ["mcp", "--agent", AGENT] });
        match servers.get("kv") {
            Some(present) if present.value().and_then(|value| value.to_serde_value()).as_ref() == Some(&wanted) => {}
            Some(present)
                if force || present.value().and_then(|value| value.to_serde_value()).as_ref().is_some_and(is_ours) =>
            {
                present.set_value(input(&wanted));
            }
            Some(_) => {
                return Err(Problem::new(
                    kv_api::Code::Conflict,
                    format!("{} has an MCP server `kv` that is not this one", self.servers.display()),
                )
                .next("--force replaces it"));
            }
            None => drop(servers.append("kv", input(&wanted))),
        }
        Ok(Change::new(&self.servers, before, root.to_string()))
    }

    fn remove_server(&self) -> Result<Change, Problem> {
        let before = read(&self.servers)?;
        let root = parse(&self.servers, before.as_deref())?;
        let servers = root.object_value().and_then(|object| object.object_value("mcpServers"));
        if let Some(entry) = servers.and_then(|servers| servers.get("kv"))
            && entry.value().and_then(|value| value.to_serde_value()).as_ref().is_some_and(is_ours)
        {
            entry.remove();
        }
        Ok(unchanged_or(&self.servers, before, &root))
    }

    fn add_rules(&self, kv: &Home) -> Result<Change, Problem> {
        let before = read(&self.settings)?;
        let root = parse(&self.settings, before.as_deref())?;
        let permissions = object(&self.settings, &root)?.object_value_or_create("permissions");
        let deny = permissions.and_then(|permissions| permissions.array_value_or_create("deny"));
        let deny = deny.ok_or_else(|| odd(&self.settings, "permissions.deny"))?;
        let present: Vec<_> = deny.elements().iter().filter_map(|element| element.to_serde_value()).collect();
        for rule in rules(kv) {
            if !present.iter().any(|known| known == rule.as_str()) {
                deny.append(CstInputValue::String(rule));
            }
        }
        Ok(Change::new(&self.settings, before, root.to_string()))
    }

    /// Takes away the rules that only kv writes. Those about plain keys stay: they are good without kv, and may have
    /// been there before.
    fn remove_rules(&self, kv: &Home) -> Result<Change, Problem> {
        let before = read(&self.settings)?;
        let root = parse(&self.settings, before.as_deref())?;
        let deny = root
            .object_value()
            .and_then(|object| object.object_value("permissions"))
            .and_then(|object| object.array_value("deny"));
        let rules = rules(kv);
        for element in deny.iter().flat_map(|deny| deny.elements()) {
            let ours = element
                .to_serde_value()
                .and_then(|value| {
                    value.as_str().map(|rule| rule.ends_with(OWN) && rules.iter().any(|ours| ours == rule))
                })
                .unwrap_or(false);
            if ours {
                element.remove();
            }
        }
        Ok(unchanged_or(&self.settings, before, &root))
    }

    fn add_instructions(&self) -> Result<Change, Problem> {
        let before = read(&self.instructions)?;
        let text = before.clone().unwrap_or_default();
        let block = format!("{BEGIN}\n{INSTRUCTIONS}\n{END}\n");
        let after = match fence(&self.instructions, &text)? {
            Some((start, end)) => {
                format!("{}{block}{}", text.get(..start).unwrap_or_default(), text.get(end..).unwrap_or_default())
            }
            None if text.is_empty() => block,
            None => format!("{}\n\n{block}", text.trim_end_matches('\n')),
        };
        Ok(Change::new(&self.instructions, before, after))
    }

    fn remove_instructions(&self) -> Result<Change, Problem> {
        let before = read(&self.instructions)?;
        let text = before.clone().unwrap_or_default();
        let after = match fence(&self.instructions, &text)? {
            Some((start, end)) => {
                let kept = text.get(..start).unwrap_or_default().trim_end_matches('\n');
                let rest = text.get(end..).unwrap_or_default().trim_start_matches('\n');
                // What stood around the block were two paragraphs, and stays two.
                match (kept.is_empty(), rest.is_empty()) {
                    (true, _) => rest.to_owned(),
                    (false, true) => format!("{kept}\n"),
                    (false, false) => format!("{kept}\n\n{rest}"),
                }
            }
            None => text,
        };
        Ok(Change::new(&self.instructions, before, after))
    }
}

/// A program named `kv` that is started as an MCP server.
fn is_ours(entry: &Value) -> bool {
    let program = entry["command"].as_str().map(Path::new).and_then(Path::file_name);
    program.is_some_and(|name| name == "kv") && entry["args"][0] == "mcp"
}

fn rules(kv: &Home) -> Vec<String> {
    let mut rules: Vec<_> = PLAIN_KEYS.map(str::to_owned).into();
    // `//` begins an absolute path in these rules.
    for directory in [&kv.data, &kv.state] {
        let rule = format!("Read(/{}/**)", directory.display());
        if rule.ends_with(OWN) {
            rules.push(rule);
        }
    }
    rules
}

fn parse(path: &Path, text: Option<&str>) -> Result<CstRootNode, Problem> {
    let text = text.filter(|text| !text.trim().is_empty()).unwrap_or("{}\n");
    CstRootNode::parse(text, &Default::default()).map_err(|error| {
        Problem::failed(format!("{} is not JSON, and is kept as it is: {error}", path.display()))
            .next("mend it, then run the same command again")
    })
}

fn object(path: &Path, root: &CstRootNode) -> Result<CstObject, Problem> {
    root.object_value().ok_or_else(|| odd(path, "the whole"))
}

fn odd(path: &Path, what: &str) -> Problem {
    Problem::failed(format!(
        "{}: {what} is not of the form that Claude Code reads, and is kept as it is",
        path.display()
    ))
}

/// A file that was not there is not made by taking something out of it.
fn unchanged_or(path: &Path, before: Option<String>, root: &CstRootNode) -> Change {
    let after = if before.is_some() { root.to_string() } else { String::new() };
    Change::new(path, before, after)
}

/// Where our fenced block begins and ends, its last line break included.
fn fence(path: &Path, text: &str) -> Result<Option<(usize, usize)>, Problem> {
    match (text.find(BEGIN), text.find(END)) {
        (None, None) => Ok(None),
        (Some(start), Some(end)) if start < end => {
            let end = end + END.len();
            let line_break = usize::from(text.get(end..).is_some_and(|rest| rest.starts_with('\n')));
            Ok(Some((start, end + line_break)))
        }
        _ => Err(Problem::failed(format!("{} has half a block of kv's, and is kept as it is", path.display()))
            .next(format!("remove the lines from `{BEGIN}` to `{END}`"))),
    }
}

fn input(value: &Value) -> CstInputValue {
    match value {
        Value::Null => CstInputValue::Null,
        Value::Bool(value) => CstInputValue::Bool(*value),
        Value::Number(value) => CstInputValue::Number(value.to_string()),
        Value::String(value) => CstInputValue::String(value.clone()),
        Value::Array(values) => CstInputValue::Array(values.iter().map(input).collect()),
        Value::Object(map) => {
            CstInputValue::Object(map.iter().map(|(name, value)| (name.clone(), input(value))).collect())
        }
    }
}

#[cfg(test)]
mod tests;
