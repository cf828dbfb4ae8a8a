;; W10: looks through memory, global and table for anything that it did not put there.
;; Must: answer null; with a find it would crash.

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
  (data (i32.const 512) "null")
  (table $t 1000 1000 funcref)
  (global $left (mut i64) (i64.const 0))
  (func $start (export "kv:provider/http@0.1.0#start") (type $start)
    (local $at i32)
    (if (i64.ne (global.get $left) (i64.const 0)) (then unreachable))
    (drop (memory.grow (i32.const 30)))
    ;; 131072: above what the host wrote for this call.
    (local.set $at (i32.const 131072))
    (loop $again
      (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then unreachable))
      (local.set $at (i32.add (local.get $at) (i32.const 8)))
      (br_if $again (i32.lt_u (local.get $at) (i32.const 2097152))))
    (local.set $at (i32.const 0))
    (loop $again
      (if (i32.eqz (ref.is_null (table.get $t (local.get $at)))) (then unreachable))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $at) (i32.const 1000))))
    ;; Below: what lies between the data and the host's.
    (local.set $at (i32.const 4096))
    (loop $again
      (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then unreachable))
      (local.set $at (i32.add (local.get $at) (i32.const 8)))
      (br_if $again (i32.lt_u (local.get $at) (i32.const 65536))))
    ;; ok(done("null"))
    (i32.store8 (i32.const 1024) (i32.const 0))
    (i32.store8 (i32.const 1032) (i32.const 0x01))
    (i32.store (i32.const 1036) (i32.const 512))
    (i32.store (i32.const 1040) (i32.const 4))
    (i32.const 1024)
  )
  (func (export "kv:provider/http@0.1.0#resume") (type $resume)
    unreachable
  )
)
