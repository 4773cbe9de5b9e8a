"""Plans: the order in which thresholds are tested, from labels of the selection split alone."""
