;; W05: the right interface without its functions.
;; Must: be refused: it is not of the type.

(component
  (component $empty)
  (instance $http (instantiate $empty))
  (export "kv:provider/http@0.1.0" (instance $http))
)
