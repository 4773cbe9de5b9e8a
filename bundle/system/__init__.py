"""The machine a bundle runs on: processor features, memory, calls in a process of their own."""
