use std::process::ExitCode;
use super::Context;
use crate::problem::Problem;
pub(super) fn run(_c: &Context, _a: crate::arguments::Run) -> Result<ExitCode, Problem> { Err(Problem::failed("x")) }
