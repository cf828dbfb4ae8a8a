;; W08: a summary of 100,000 combining marks, which would cover other lines.
;; Must: arrive as one letter with three marks.

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
  (data (i32.const 512) "GET")
  (func $start (export "kv:provider/http@0.1.0#start") (type $start)
    (local $n i32)
    (drop (memory.grow (i32.const 4)))
    (i32.store8 (i32.const 65536) (i32.const 0x65))
    (loop $again
      (i32.store16 (i32.add (i32.const 65537) (i32.mul (local.get $n) (i32.const 2))) (i32.const 0x81cc))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $n) (i32.const 100000))))
    ;; ok(send(request, delivery))
    (i32.store8 (i32.const 2048) (i32.const 0))
    (i32.store8 (i32.const 2056) (i32.const 0))
    (i32.store (i32.const 2060) (i32.const 512))
    (i32.store (i32.const 2064) (i32.const 3))
    (i32.store (i32.const 2124) (i32.const 65536))
    (i32.store (i32.const 2128) (i32.const 200001))
    (i32.const 2048)
  )
  (func (export "kv:provider/http@0.1.0#resume") (type $resume)
    unreachable
  )
)
