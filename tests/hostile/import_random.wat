;; W28: a component that imports randomness.
;; Must: be refused before it is compiled, with the import named.

(component
  (import "wasi:random/random@0.2.0" (instance))
)
