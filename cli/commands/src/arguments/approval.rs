//! The person's side of a question: looking at it, answering it, and what an answer is proved with.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Args)]
#[command(
    after_help = "A yes takes a code of your authenticator app, or a recovery code; while no app is set up, the \
                        vault's passphrase. At that prompt, n says no, and Enter alone decides nothing.\n\n\
                        Without a terminal nobody can approve. Read: kv help approvals"
)]
pub struct Approve {
    /// The question's id, such as 7F3K; without it, the one that is open, or your pick of several
    pub id: Option<String>,
    /// Stay, and show each question as it comes
    #[arg(short, long, conflicts_with = "id")]
    pub watch: bool,
    /// Read the passphrase from a file, where no authenticator app is set up
    #[arg(long, value_name = "FILE", requires = "id")]
    pub passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Approval {
    /// The questions that are open, and those that ended not long ago
    List,
    /// One question: the request as it will go out, whole
    Show { id: String },
}

#[derive(Debug, Subcommand)]
pub enum Factor {
    /// What is set up, and what an approval takes
    List,
    /// Set up an authenticator app: scan, type a code, write down the recovery codes
    Add {
        #[arg(value_enum)]
        factor: FactorName,
    },
    /// Remove it; approvals take the passphrase then
    Remove {
        #[arg(value_enum)]
        factor: FactorName,
    },
    /// Try whether a code is taken; it is used up by that
    Test,
}

/// What can be set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FactorName {
    /// An authenticator app's six digits
    Totp,
}
