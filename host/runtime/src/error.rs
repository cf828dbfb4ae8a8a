//! What can go wrong with the engine, with a component, and with a step.

use kv_model::{Failure, Manifest, ManifestProblem};

use crate::inspect::MAX_COMPONENT_BYTES;

/// Why there is no engine. Neither guest nor caller has a part in it.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("the WebAssembly engine could not be set up: {0}")]
    Settings(String),
    #[error("the engine's ticker could not be started")]
    Ticker(#[source] std::io::Error),
}

/// Why a component is no provider. None of its code has run.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A limit on what one component may hold.
    #[error("it has {count} {what}, over the limit of {limit}")]
    Bound { what: &'static str, count: usize, limit: usize },
    #[error("it could not be compiled: {0}")]
    Compile(String),
    #[error("it imports `{0}`, which no provider is given")]
    ForeignImport(String),
    #[error("it is not valid WebAssembly: {0}")]
    Invalid(String),
    #[error("its manifest has {} problem(s), the first: {}", .0.len(), first(.0))]
    Manifest(Vec<ManifestProblem>),
    #[error("its manifest is {bytes} bytes, over the limit of {}", Manifest::MAX_BYTES)]
    ManifestTooLarge { bytes: usize },
    /// Nested in a module, where one reader would find it and another would not.
    #[error("it has a section `kv:manifest` elsewhere than at its top level")]
    NestedManifest,
    #[error("it has no section `kv:manifest`")]
    NoManifest,
    #[error("it is a core module, and a provider is a component")]
    NotAComponent,
    #[error("it is no WebAssembly")]
    NotWasm,
    #[error("it has {0} sections `kv:manifest`, and it must have one")]
    SeveralManifests(usize),
    #[error("it was compiled ahead from another component, or not by kv's build")]
    Stale,
    #[error("it is {bytes} bytes, over the limit of {MAX_COMPONENT_BYTES}")]
    TooLarge { bytes: usize },
    #[error("it does not export `{wanted}`, as its manifest says; it exports {}", listed(.exports))]
    WrongExports { wanted: &'static str, exports: Vec<String> },
    #[error("its imports or exports are not of the types in kv:provider 0.1: {0}")]
    WrongTypes(String),
}

/// Why a step came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// Every slot for an instance is taken.
    #[error("too many providers run at once")]
    Busy,
    /// The provider's own answer, in the caller's terms.
    #[error("{}", .0.message)]
    Failure(Failure),
    #[error("the provider's answer breaks a rule: {0}")]
    Malformed(&'static str),
    #[error("the provider asked for more memory than it may have")]
    Memory,
    /// The host's own mistake.
    #[error("the answer is of another protocol than the provider's")]
    OtherProtocol,
    #[error("the provider used up its fuel")]
    OutOfFuel,
    #[error("the provider took too long")]
    TimedOut,
    #[error("the provider handed over more than 8 MiB at once")]
    Transfer,
    #[error("the provider crashed: {0}")]
    Trap(String),
    #[error("the provider sets the delivery option `{0}`, which this version of kv does not know")]
    UnknownOption(String),
}

impl StepError {
    /// Whether the same step may well succeed under [`Budget::Full`](crate::Budget::Full).
    pub fn wants_full_budget(&self) -> bool {
        matches!(self, StepError::OutOfFuel | StepError::TimedOut)
    }

    /// A stable code for programs.
    pub fn code(&self) -> &'static str {
        match self {
            StepError::Busy => "provider.busy",
            StepError::Failure(_) => "provider.failure",
            StepError::Malformed(_) | StepError::UnknownOption(_) => "provider.malformed",
            StepError::Memory => "provider.memory",
            StepError::OtherProtocol => "provider.other_protocol",
            StepError::OutOfFuel => "provider.out_of_fuel",
            StepError::TimedOut => "provider.timed_out",
            StepError::Transfer => "provider.transfer",
            StepError::Trap(_) => "provider.trap",
        }
    }
}

fn first(problems: &[ManifestProblem]) -> String {
    problems.first().map_or_else(|| "none".into(), ToString::to_string)
}

fn listed(exports: &[String]) -> String {
    if exports.is_empty() { "nothing".into() } else { format!("`{}`", exports.join("`, `")) }
}
