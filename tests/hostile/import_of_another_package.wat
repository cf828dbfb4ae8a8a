;; W28: a component that imports a log of somebody else's.
;; Must: be refused before it is compiled, with the import named.

(component
  (import "acme:provider/log@0.1.0" (instance))
)
