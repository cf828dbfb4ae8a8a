;; W28: a component that imports a clock.
;; Must: be refused before it is compiled, with the import named.

(component
  (import "wasi:clocks/wall-clock@0.2.0" (instance))
)
