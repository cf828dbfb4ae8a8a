//! How much work a component is for the compiler, estimated before it is compiled.
//!
//! The compiler is not made for strangers' code: 300 KB with 10,000 locals and 20,000 blocks keep it busy for 36 s,
//! because it follows each local through each block. The estimate is that product, and the like for calls with many
//! arguments. It is linear to find, and counts what a compiler's output has in any case.

use wasmparser::{BlockType, Encoding, FunctionBody, Operator, Parser, Payload};

use crate::error::LoadError;
use crate::inspect::{bound, invalid};

/// About 8 s of compiling here, at some 200 ns each. The built-in providers come to 0.3 and 0.6 million, an
/// interpreter of twenty times their size to less than this.
const MOST: usize = 40_000_000;

/// For a component that has been validated.
pub(crate) fn check(component: &[u8]) -> Result<(), LoadError> {
    let effort = estimate(component).map_err(invalid)?;
    bound("units of work for the compiler", effort, MOST)
}

fn estimate(component: &[u8]) -> wasmparser::Result<usize> {
    let (mut effort, mut module) = (0usize, Module::default());
    for payload in Parser::new(0).parse_all(component) {
        match payload? {
            Payload::Version { encoding: Encoding::Module, .. } => module = Module::default(),
            Payload::TypeSection(types) => {
                for ty in types.into_iter_err_on_gc_types() {
                    let ty = ty?;
                    module.types.push(Arity { params: ty.params().len(), results: ty.results().len() });
                }
            }
            Payload::FunctionSection(functions) => {
                module.functions = functions.into_iter().collect::<Result<_, _>>()?;
            }
            Payload::CodeSectionEntry(body) => effort = effort.saturating_add(module.function(&body)?),
            _ => {}
        }
    }
    Ok(effort)
}

#[derive(Default)]
struct Module {
    types: Vec<Arity>,
    /// The types of its functions, by index.
    functions: Vec<u32>,
    /// The next function's place among them.
    next: usize,
}

#[derive(Clone, Copy, Default)]
struct Arity {
    params: usize,
    results: usize,
}

impl Arity {
    fn sum(self) -> usize {
        self.params + self.results
    }
}

impl Module {
    fn function(&mut self, body: &FunctionBody<'_>) -> wasmparser::Result<usize> {
        let own = self.functions.get(self.next).map(|ty| self.arity(*ty)).unwrap_or_default();
        self.next += 1;
        let mut locals = own.params;
        for group in body.get_locals_reader()? {
            locals = locals.saturating_add(group?.0 as usize);
        }
        let (mut branches, mut calls, mut widest) = (0usize, 0usize, own.results);
        for operator in body.get_operators_reader()? {
            match operator? {
                Operator::Block { blockty } | Operator::Loop { blockty } | Operator::If { blockty } => {
                    branches += 1;
                    if let BlockType::FuncType(ty) = blockty {
                        widest = widest.max(self.arity(ty).sum());
                    }
                }
                Operator::Else | Operator::Br { .. } | Operator::BrIf { .. } | Operator::Return => branches += 1,
                Operator::BrTable { targets } => branches = branches.saturating_add(targets.len() as usize),
                Operator::Call { .. } | Operator::CallIndirect { .. } => calls += 1,
                _ => {}
            }
        }
        let follow = branches.saturating_mul(locals + widest);
        Ok(follow.saturating_add(calls.saturating_mul(self.widest())))
    }

    fn arity(&self, ty: u32) -> Arity {
        self.types.get(ty as usize).copied().unwrap_or_default()
    }

    fn widest(&self) -> usize {
        self.types.iter().map(|ty| ty.sum()).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(wat: &str) -> usize {
        estimate(&wat::parse_str(wat).unwrap()).unwrap()
    }

    #[test]
    fn follows_values_through_branches_and_calls() {
        assert_eq!(of("(component)"), 0);
        let module = |body: &str| of(&format!("(component (core module (func (param i32 i32) (local i64) {body})))"));
        assert_eq!(module(""), 0);
        assert_eq!(module("(block)"), 3);
        assert_eq!(module("(loop (br 0))"), 2 * 3);
        assert_eq!(module("(block (br_table 0 0 0 (local.get 0)))"), (1 + 2) * 3);
        assert_eq!(module("(call 0 (local.get 0) (local.get 1))"), 2);
        // A block that takes two values and gives one: five things to follow, or six.
        let wide = "(local.get 0) (local.get 0) (block (param i32 i32) (result i32) (i32.add)) (drop)";
        assert_eq!(module(wide), 3 + 3);
        // Each module has its own types and functions.
        assert_eq!(of("(component (core module (func (param i32))) (core module (func (loop))))"), 0);
    }
}
