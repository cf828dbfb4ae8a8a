//! The command line, as clap reads it. One enum a level; help texts are the doc comments.

mod approval;
mod call;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use self::approval::{Approval, Approve, Factor, FactorName};
pub(crate) use self::call::{Api, Call, CallOptions, Query, Sql, Ssh, Statement};

/// kv lets coding agents use credentials without holding them.
#[derive(Debug, Parser)]
#[command(name = "kv", version, disable_help_subcommand = true, max_term_width = 100)]
pub struct Arguments {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Print results only
    #[arg(long, global = true)]
    pub quiet: bool,
    /// Never ask; fail where a question would be needed
    #[arg(long, global = true)]
    pub no_input: bool,
    /// Colour the output
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    pub color: Color,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create the vault, start the daemon, set up approvals
    Init(Init),
    /// Store a secret: hidden prompt, or --stdin
    Set(Set),
    /// Point a coding agent at kv
    Setup(Setup),
    /// Run a command with named secrets in its environment, or with none, and mask its output
    Run(Run),
    /// Daemon, vault, and what waits for you
    Status,
    /// Open the vault for a time
    Unlock(Unlock),
    /// Close the vault at once
    Lock,
    /// Look at a question, and say yes with something only you have
    Approve(Approve),
    /// Say no to a question
    Deny {
        /// The question's id, such as 7F3K
        id: String,
    },
    /// Take back a yes that is not used yet
    Revoke {
        /// The question's id, such as 7F3K
        id: String,
    },
    /// Questions to you, open and ended
    #[command(subcommand)]
    Approval(Approval),
    /// What you prove with that it is you
    #[command(subcommand)]
    Factor(Factor),
    /// The trail: what was done
    Audit(Audit),
    /// Find and explain problems
    Doctor,
    /// Secrets by name; never their values
    #[command(subcommand)]
    Secret(Secret),
    /// Make a connection to a service
    Connect(Connect),
    /// Connections: services set up with secrets
    #[command(subcommand)]
    Connection(Connection),
    /// What connections can do
    #[command(subcommand)]
    Operation(Operation),
    /// The providers that kv knows
    #[command(subcommand)]
    Provider(Provider),
    /// Call an operation of a connection with a JSON input
    Call(Call),
    /// Send a raw HTTP request through a connection
    Api(Api),
    /// Read rows of a database
    Query(Query),
    /// Change a database: shows what a statement would touch, asks, runs it
    Sql(Sql),
    /// Run a command on another machine
    Ssh(Ssh),
    /// MCP server on stdio; agents start this
    Mcp(Mcp),
    /// Start, stop and look after the daemon
    #[command(subcommand)]
    Daemon(Daemon),
    /// Change the vault's passphrase
    Passwd(Passwd),
    /// Show kv at work, with a throw-away vault and services on this machine
    Demo,
    /// Print shell completions
    Completions {
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a directory
    Man { directory: PathBuf },
    /// Explain a command, a topic or an error's code
    Help { words: Vec<String> },
    #[command(hide = true, name = crate::command::RUN_ON_TERMINAL)]
    RunOnTerminal {
        #[arg(last = true, required = true)]
        command: Vec<std::ffi::OsString>,
    },
    #[command(hide = true)]
    Get { rest: Vec<String> },
    #[command(hide = true)]
    Export { rest: Vec<String> },
    #[command(hide = true)]
    Print { rest: Vec<String> },
}

/// Where a passphrase comes from when nobody is there to type it.
#[derive(Debug, Clone, Args)]
pub struct PassphraseSource {
    /// Read the passphrase from a file that only you can read
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Init {
    #[command(flatten)]
    pub passphrase: PassphraseSource,
    /// How long the vault stays open: 30m, 12h
    #[arg(long = "for", value_name = "TIME", default_value = "12h", value_parser = crate::time::parse_duration)]
    pub lasts: std::time::Duration,
    /// Take a passphrase that is easy to guess
    #[arg(long)]
    pub accept_weak: bool,
    /// Do not offer to set up an authenticator app for approvals
    #[arg(long)]
    pub no_2fa: bool,
    /// For demonstrations: the quickest key derivation that is allowed
    #[arg(long, hide = true)]
    pub throw_away: bool,
}

#[derive(Debug, Args)]
pub struct Set {
    /// The secret's name, such as OPENAI_API_KEY
    pub name: String,
    /// Read the value from standard input; one trailing line break is dropped
    #[arg(long)]
    pub stdin: bool,
    /// Read the value from standard input exactly as it is
    #[arg(long, conflicts_with = "stdin")]
    pub stdin_raw: bool,
    /// Accept a connection string that leads to this machine or into a private network
    #[arg(long)]
    pub yes: bool,
    /// Values do not go on the command line
    #[arg(hide = true)]
    pub value: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Unlock {
    #[command(flatten)]
    pub passphrase: PassphraseSource,
    /// How long the vault stays open: 30m, 12h
    #[arg(long = "for", value_name = "TIME", default_value = "12h", value_parser = crate::time::parse_duration)]
    pub lasts: std::time::Duration,
}

#[derive(Debug, Args)]
pub struct Passwd {
    /// Read the old passphrase from a file
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// Read the new passphrase from a file
    #[arg(long, value_name = "FILE")]
    pub new_passphrase_file: Option<PathBuf>,
    /// Take a passphrase that is easy to guess
    #[arg(long)]
    pub accept_weak: bool,
}

#[derive(Debug, Subcommand)]
pub enum Secret {
    /// All secrets, by name
    List,
    /// One secret: versions, dates, connections; never its value
    Show { name: String },
    /// Give a secret a new value; the old one stays masked in answers for 24 hours
    Rotate {
        name: String,
        /// Read the value from standard input; one trailing line break is dropped
        #[arg(long)]
        stdin: bool,
        /// Read the value from standard input exactly as it is
        #[arg(long, conflicts_with = "stdin")]
        stdin_raw: bool,
    },
    /// Give a secret another name
    Rename { from: String, to: String },
    /// Remove a secret
    Remove {
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
                        kv connect stripe\n  \
                        kv connect postgres app@db.example.com/shop --bind password=SHOP_PASSWORD\n  \
                        kv connect ssh deploy@web1.example.com --identity ~/.ssh/id_ed25519\n\n\
                        A password never stands on the command line: it is asked for, or stored before with kv set. A \
                        server's host keys are accepted by a person who has seen them, or come with --host-key or \
                        --known-hosts; --yes does not accept them.")]
pub struct Connect {
    /// A provider: see `kv provider list`
    pub provider: String,
    /// Where a database or a machine is: [USER@]HOST[:PORT][/DATABASE], or a postgres:// URL without a password
    pub target: Option<String>,
    /// The connection's name; the provider's own when there is none here
    #[arg(long)]
    pub name: Option<String>,
    /// Another origin than the provider's own: https://HOST[:PORT]
    #[arg(long, value_name = "URL")]
    pub origin: Option<String>,
    /// Trust the certificates in this file, for this connection, instead of the system's
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// A setting of the provider's
    #[arg(long = "setting", value_name = "NAME=VALUE", value_parser = pair)]
    pub settings: Vec<(String, String)>,
    /// Use this secret for this slot
    #[arg(long = "bind", value_name = "SLOT=SECRET", value_parser = pair)]
    pub bindings: Vec<(String, String)>,
    #[command(flatten)]
    pub machine: Machine,
    /// Accept what is shown without asking; accepts a private origin too, and no host key
    #[arg(long)]
    pub yes: bool,
    /// Take the place of the connection that has this name
    #[arg(long)]
    pub replace: bool,
    /// Do not test a database or a machine at once
    #[arg(long)]
    pub no_test: bool,
}

/// What only a connection over SSH takes.
#[derive(Debug, Default, Args)]
pub struct Machine {
    /// SSH: a key that the machine has to prove: 'ssh-ed25519 AAAA...'
    #[arg(long = "host-key", value_name = "KEY")]
    pub host_keys: Vec<String>,
    /// SSH: take the machine's keys from this file
    #[arg(long, value_name = "FILE", conflicts_with = "host_keys")]
    pub known_hosts: Option<PathBuf>,
    /// SSH: log in with the private key in this secret
    #[arg(long, value_name = "SECRET", conflicts_with = "identity")]
    pub key: Option<String>,
    /// SSH: store the private key in this file as a secret, and log in with it
    #[arg(long, value_name = "FILE")]
    pub identity: Option<PathBuf>,
    /// SSH: go through this connection
    #[arg(long, value_name = "CONNECTION")]
    pub jump: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Connection {
    /// All connections
    List,
    /// One connection: origin, secrets by name, what it may do
    Show { name: String },
    /// Make a harmless call through a connection
    Test { name: String },
    /// Change settings, secrets or decisions
    Edit {
        name: String,
        #[arg(long = "setting", value_name = "NAME=VALUE", value_parser = pair)]
        settings: Vec<(String, String)>,
        #[arg(long = "bind", value_name = "SLOT=SECRET", value_parser = pair)]
        bindings: Vec<(String, String)>,
        #[arg(long, value_name = "FILE")]
        ca: Option<PathBuf>,
        /// Let these operations through
        #[arg(long, value_name = "OPERATION")]
        allow: Vec<String>,
        /// Ask you first about these operations
        #[arg(long, value_name = "OPERATION")]
        ask: Vec<String>,
        /// Refuse these operations
        #[arg(long, value_name = "OPERATION")]
        deny: Vec<String>,
        /// Take the provider as it is now, after it was updated; origin, secrets, settings and decisions stay
        #[arg(long)]
        accept_provider: bool,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Remove a connection; its secrets stay
    Remove {
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum Operation {
    /// What a connection, or every one, can do
    List { connection: Option<String> },
    /// One operation with its input schema: CONNECTION/OPERATION
    Show { operation: String },
    /// Call an operation: CONNECTION/OPERATION
    Call {
        operation: String,
        /// JSON, @FILE, or - for standard input
        input: Option<String>,
        #[command(flatten)]
        call: CallOptions,
    },
}

#[derive(Debug, Subcommand)]
pub enum Provider {
    /// All providers
    List,
    /// One provider: origin, slots, settings
    Show { name: String },
}

#[derive(Debug, Args)]
pub struct Audit {
    #[command(subcommand)]
    pub verb: Option<AuditVerb>,
    /// Stay, and print what comes
    #[arg(short, long)]
    pub follow: bool,
    /// Only this agent's
    #[arg(long)]
    pub agent: Option<String>,
    /// Only this connection's
    #[arg(long)]
    pub connection: Option<String>,
    /// Only this operation's
    #[arg(long)]
    pub operation: Option<String>,
    /// Only this call's
    #[arg(long)]
    pub call: Option<String>,
    /// Only what is newer: 10m, 24h
    #[arg(long, value_name = "TIME", value_parser = crate::time::parse_duration)]
    pub since: Option<std::time::Duration>,
    /// Only the newest so many
    #[arg(short = 'n', long)]
    pub last: Option<usize>,
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub enum AuditVerb {
    /// Check the whole chain, and name the first bad entry
    Verify,
}

#[derive(Debug, Args)]
pub struct Mcp {
    /// Who the agent is, for the trail
    #[arg(long, default_value = "mcp")]
    pub agent: String,
    /// core, all, or a list of tools or CONNECTION/OPERATION names
    #[arg(long, default_value = "core")]
    pub tools: String,
}

#[derive(Debug, Subcommand)]
pub enum Daemon {
    /// Start it in the background
    Start,
    /// Stop it; the vault is locked
    Stop,
    /// Stop and start it; the vault is locked
    Restart,
    /// Whether it runs
    Status,
    /// What it wrote
    Logs,
    /// Be the daemon, in the foreground: for systemd and launchd
    Run,
}

#[derive(Debug, Args)]
#[command(after_help = "Ends with the command's own code, or with 128 + n after signal n. 125: kv itself failed, and \
                        says how. 126: the command cannot be executed. 127: it was not found.")]
pub struct Run {
    /// Give the command this secret, in a variable of this name
    #[arg(long = "secret", value_name = "NAME", conflicts_with = "no_secrets")]
    pub secrets: Vec<String>,
    /// Give it none; only strip and mask
    #[arg(long)]
    pub no_secrets: bool,
    /// Give it pipes, also where kv is on a terminal
    #[arg(long)]
    pub no_pty: bool,
    #[command(flatten)]
    pub passphrase: PassphraseSource,
    /// The command and its arguments
    #[arg(last = true, required = true)]
    pub command: Vec<std::ffi::OsString>,
}

#[derive(Debug, Args)]
pub struct Setup {
    /// The agent
    #[arg(value_enum)]
    pub agent: SetupAgent,
    /// Take back what setup wrote
    #[arg(long)]
    pub undo: bool,
    /// Show what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// Replace an entry named kv that is not ours
    #[arg(long)]
    pub force: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SetupAgent {
    ClaudeCode,
}

fn pair(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| "write NAME=VALUE".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Arguments::command().debug_assert();
    }
}
