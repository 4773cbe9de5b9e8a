"""From scores to certificates: the gate, the planned path, the proof, the ledger."""
