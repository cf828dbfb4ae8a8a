;; W05: a component of a later version of the interface.
;; Must: be refused, with what it exports named.

(component
  (component $empty)
  (instance $http (instantiate $empty))
  (export "kv:provider/http@0.2.0" (instance $http))
)
