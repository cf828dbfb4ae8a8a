;; W28: a component that imports files.
;; Must: be refused before it is compiled, with the import named.

(component
  (import "wasi:filesystem/preopens@0.2.0" (instance))
)
