;; W09: an allocator that calls the host while the host is calling it.
;; Must: end as a crash.

(module
  (type $start (func (param i32 i32 i32 i32 i32 i32 i32 i32 i64 i32 i32 i32 i32) (result i32)))
  (type $resume (func (param i32) (result i32)))
  (import "kv:provider/log@0.1.0" "write" (func $log (param i32 i32 i32)))
  (memory (export "memory") 2)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (call $log (i32.const 1) (i32.const 512) (i32.const 4))
    (i32.const 65536))
  (data (i32.const 512) "null")
  (func $start (export "kv:provider/http@0.1.0#start") (type $start)
    unreachable
  )
  (func (export "kv:provider/http@0.1.0#resume") (type $resume)
    unreachable
  )
)
