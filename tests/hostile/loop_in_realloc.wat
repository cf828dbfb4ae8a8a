;; W01: an allocator that never returns; the host calls it to hand over the call.
;; Must: end by fuel.

(module
  (type $start (func (param i32 i32 i32 i32 i32 i32 i32 i32 i64 i32 i32 i32 i32) (result i32)))
  (type $resume (func (param i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (loop $again (br $again))
    unreachable)
  (func $start (export "kv:provider/http@0.1.0#start") (type $start)
    unreachable
  )
  (func (export "kv:provider/http@0.1.0#resume") (type $resume)
    unreachable
  )
)
