use super::Context;
use crate::problem::Problem;
pub(super) async fn run(_c: &Context, _a: crate::arguments::Setup) -> Result<(), Problem> { Err(Problem::failed("x")) }
