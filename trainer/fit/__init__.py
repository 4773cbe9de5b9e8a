"""Training loop of one stage: batches, loss, optimiser, schedule, checkpoints."""
