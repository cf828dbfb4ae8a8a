;; W05: the right interface with a function of a wrong type.
;; Must: be refused: it is not of the type.

(component
  (core module $m (func (export "start") (result i32) (i32.const 0)))
  (core instance $i (instantiate $m))
  (func $start (result u32) (canon lift (core func $i "start")))
  (instance $http (export "start" (func $start)) (export "resume" (func $start)))
  (export "kv:provider/http@0.1.0" (instance $http))
)
