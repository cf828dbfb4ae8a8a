;; W28: a component that imports the environment.
;; Must: be refused before it is compiled, with the import named.

(component
  (import "wasi:cli/environment@0.2.0" (instance))
)
