;; W28: a component that imports a bare function.
;; Must: be refused before it is compiled, with the import named.

(component
  (import "read-secret" (func (param "name" string) (result string)))
)
