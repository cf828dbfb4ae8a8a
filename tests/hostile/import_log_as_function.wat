;; W28: a component whose import has the log's name and another shape.
;; Must: be refused: it does not fit what the host gives.

(component
  (import "kv:provider/log@0.1.0" (instance
    (export "read-secret" (func (param "name" string) (result string)))))
  (component $empty)
  (instance $http (instantiate $empty))
  (export "kv:provider/http@0.1.0" (instance $http))
)
