//! The commands that call a service: raw and typed, a database, a machine. They share who calls, and how long it waits.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::pair;

/// How long a call waits where a person has to be asked first.
#[derive(Debug, Clone, Copy, Args)]
pub struct Hold {
    /// If you have to be asked first, wait so long for your answer: 55s, 2m; 0 for not at all
    #[arg(long = "hold", value_name = "TIME", default_value = "55s", value_parser = crate::time::parse_hold)]
    hold: Duration,
}

impl Hold {
    pub fn ms(self) -> u64 {
        u64::try_from(self.hold.as_millis()).unwrap_or(u64::MAX)
    }
}

#[derive(Debug, Clone, Args)]
pub struct CallOptions {
    /// Send a file along: NAME=PATH, where the input names it NAME
    #[arg(long = "attach", value_name = "NAME=PATH", value_parser = pair)]
    pub attach: Vec<(String, String)>,
    /// Print the service's status and headers first
    #[arg(short, long)]
    pub include: bool,
    /// Who calls, for the trail
    #[arg(long, env = "KV_AGENT", default_value = "shell")]
    pub agent: String,
    #[command(flatten)]
    pub hold: Hold,
}

#[derive(Debug, Args)]
pub struct Call {
    pub connection: String,
    pub operation: String,
    /// JSON, @FILE, or - for standard input
    pub input: Option<String>,
    #[command(flatten)]
    pub call: CallOptions,
}

#[derive(Debug, Args)]
pub struct Api {
    pub connection: String,
    pub method: String,
    /// Encoded, beginning with /; it may carry a query
    pub path: String,
    /// JSON body: text, @FILE, or - for standard input
    #[arg(short, long)]
    pub data: Option<String>,
    /// Body sent as it is: @FILE or -; its type by -H content-type
    #[arg(long, conflicts_with = "data")]
    pub data_raw: Option<String>,
    /// A query parameter
    #[arg(short, long = "query", value_name = "NAME=VALUE", value_parser = pair)]
    pub query: Vec<(String, String)>,
    /// A header
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    pub headers: Vec<(String, String)>,
    /// Print the service's status and headers first
    #[arg(short, long)]
    pub include: bool,
    /// Who calls, for the trail
    #[arg(long, env = "KV_AGENT", default_value = "shell")]
    pub agent: String,
    #[command(flatten)]
    pub hold: Hold,
}

/// A statement and what fills its places.
#[derive(Debug, Args)]
pub struct Statement {
    /// One SQL statement, or - for standard input
    pub sql: Option<String>,
    /// For $1, $2, ...
    #[arg(value_name = "VALUE", allow_negative_numbers = true)]
    pub values: Vec<String>,
    /// The same, one at a time
    #[arg(long = "param", value_name = "VALUE", allow_negative_numbers = true)]
    pub params: Vec<String>,
    /// Read the statement from a file
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = PARAMETERS)]
pub struct Query {
    /// A connection to a database
    pub connection: String,
    #[command(flatten)]
    pub statement: Statement,
    /// At most so many rows, 1 to 10000; 1000 when not said
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub max_rows: Option<u32>,
    /// Print CSV
    #[arg(long)]
    pub csv: bool,
    /// Who asks, for the trail
    #[arg(long, env = "KV_AGENT", default_value = "shell")]
    pub agent: String,
    #[command(flatten)]
    pub hold: Hold,
}

#[derive(Debug, Args)]
#[command(after_help = PARAMETERS)]
pub struct Sql {
    /// A connection to a database
    pub connection: String,
    #[command(flatten)]
    pub statement: Statement,
    /// Roll it back if it changes more rows than this; 1000 when not said
    #[arg(long, value_name = "N")]
    pub max_changes: Option<u64>,
    /// Do not ask; what it would touch is shown all the same
    #[arg(long)]
    pub yes: bool,
    /// Who asks, for the trail
    #[arg(long, env = "KV_AGENT", default_value = "shell")]
    pub agent: String,
    #[command(flatten)]
    pub hold: Hold,
}

/// How a parameter is read.
const PARAMETERS: &str = "A parameter that is JSON is taken as JSON: 5, true, null, '\"text\"', '[1,2]', '{\"a\":1}'. \
                          Anything else is text: Berlin, 2026-01-31. So a text that looks like JSON goes in JSON's quotes: \
                          '\"5\"'. No digit of a number is lost.\n\n\
                          Examples:\n  \
                          kv query shop 'select id, name from users where city = $1' Berlin\n  \
                          kv query shop --csv --file report.sql > report.csv\n  \
                          kv sql shop 'update users set name = $1 where id = $2' Ada 5 --max-changes 1";

#[derive(Debug, Args)]
#[command(
    after_help = "Ends with the command's own code, with 128 + n after signal n, or with 124 when its time was over. \
                        125: kv itself failed, and says how.\n\n\
                        Standard input goes to the command unless it is a terminal. On a terminal, output is shown with \
                        nothing in it that steers the terminal but colours; a pipe or a file gets every byte.\n\n\
                        Examples:\n  \
                        kv ssh web1 -- systemctl status nginx\n  \
                        kv ssh web1 --shell 'journalctl -u nginx | tail -n 20'\n  \
                        kv ssh web1 --timeout 10m -- apt-get update"
)]
pub struct Ssh {
    /// A connection to a machine
    pub connection: String,
    /// Text for the machine's shell, in place of a program and its arguments
    #[arg(long, value_name = "TEXT", conflicts_with = "command", required_unless_present = "command")]
    pub shell: Option<String>,
    /// How long it may take: 30s, 10m; 60 s when not said
    #[arg(long, value_name = "TIME", value_parser = crate::time::parse_duration)]
    pub timeout: Option<std::time::Duration>,
    /// Give it nothing to read
    #[arg(short = 'n', long)]
    pub no_stdin: bool,
    /// As many bytes of output as are wanted, both streams together; 1048576 when not said
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..=i64::from(kv_model::MAX_OUTPUT_BYTES)))]
    pub max_output: Option<u32>,
    /// Who runs it, for the trail
    #[arg(long, env = "KV_AGENT", default_value = "shell")]
    pub agent: String,
    #[command(flatten)]
    pub hold: Hold,
    /// The program and its arguments; each arrives as it is
    #[arg(last = true)]
    pub command: Vec<String>,
}

fn header(text: &str) -> Result<(String, String), String> {
    text.split_once(':')
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .ok_or_else(|| "write 'NAME: VALUE'".to_owned())
}
