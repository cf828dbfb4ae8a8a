;; W28: a component that imports sockets.
;; Must: be refused before it is compiled, with the import named.

(component
  (import "wasi:sockets/tcp@0.2.0" (instance))
)
