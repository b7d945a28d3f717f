"""From answers to rows of results.csv: one module a task."""
