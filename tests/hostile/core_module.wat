;; W05: a core module instead of a component.
;; Must: be refused as one.

(module $core
  (memory (export "memory") 1)
  (func (export "start"))
)
