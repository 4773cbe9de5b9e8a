"""From scores to certificates: gate, planned path, certification and ledger."""
