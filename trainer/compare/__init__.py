"""`demur compare`: full fine-tuning, LoRA and DoRA on the same splits and seeds."""
