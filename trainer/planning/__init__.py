"""Plan of a training before anything is trained: start of stage B, recipes of both stages, and time."""
