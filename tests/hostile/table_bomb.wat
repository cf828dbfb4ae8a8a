;; W02: a table that grows until it is refused, then a crash.
;; Must: be refused elements and say so.

(module
  (type $start (func (param i32 i32 i32 i32 i32 i32 i32 i32 i64 i32 i32 i32 i32) (result i32)))
  (type $resume (func (param i32) (result i32)))
  (memory (export "memory") 2)
  (global $free (mut i32) (i32.const 65536))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
    (global.set $free (i32.add (local.get $at) (local.get 3)))
    (block $fits
      (br_if $fits (i32.le_u (global.get $free) (i32.mul (memory.size) (i32.const 65536))))
      (drop (memory.grow (i32.add (i32.shr_u (local.get 3) (i32.const 16)) (i32.const 1)))))
    (local.get $at))
  (table $t 1 funcref)
  (func $start (export "kv:provider/http@0.1.0#start") (type $start)
    (block $refused
      (loop $again
        (br_if $refused (i32.eq (table.grow $t (ref.null func) (i32.const 4096)) (i32.const -1)))
        (br $again)))
    unreachable
  )
  (func (export "kv:provider/http@0.1.0#resume") (type $resume)
    unreachable
  )
)
