"""Self-supervised training of a backbone on images alone: from random weights, or by ExPLoRA."""
