"""Choice of the inference engine: what is certified, what is installed, what is fastest."""
