;; W05: the manifest sits in a nested module, where one reader finds it and another does not.
;; Must: be refused.

(component
  (core module (@custom "kv:manifest" "{}"))
)
