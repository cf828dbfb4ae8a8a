;; W28: a component that imports an HTTP client.
;; Must: be refused before it is compiled, with the import named.

(component
  (import "wasi:http/outgoing-handler@0.2.0" (instance))
)
