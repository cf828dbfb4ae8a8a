;; W02: a function that calls itself for ever, with a frame of many locals.
;; Must: end as a crash of the guest; the host's stack is untouched.

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
  (func $down (param $n i64) (result i32)
    (local $a i64) (local $b i64) (local $c i64) (local $d i64)
    (local.set $a (i64.add (local.get $n) (i64.const 1)))
    (local.set $b (i64.mul (local.get $a) (i64.const 3)))
    (local.set $c (i64.xor (local.get $b) (local.get $a)))
    (local.set $d (i64.sub (local.get $c) (local.get $b)))
    (i32.add (call $down (local.get $a)) (i32.wrap_i64 (i64.add (local.get $d) (i64.add (local.get $c) (local.get $b))))))
  (func $start (export "kv:provider/http@0.1.0#start") (type $start)
    (call $down (i64.const 0))
    unreachable
  )
  (func (export "kv:provider/http@0.1.0#resume") (type $resume)
    unreachable
  )
)
