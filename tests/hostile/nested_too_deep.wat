;; W05: components within components.
;; Must: be refused: four levels are the limit.

(component (component (component (component (component)))))
