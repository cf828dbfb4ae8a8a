;; W05: a component that exports nothing.
;; Must: be refused, with what is missing named.

(component)
