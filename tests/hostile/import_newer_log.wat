;; W28: a component that imports a log of a later version.
;; Must: be refused before it is compiled, with the import named.

(component
  (import "kv:provider/log@0.2.0" (instance))
)
