"""Registry: bundles by digest, and for each fleet one sequence of records of what serves."""
