"""Fleet: what the services that follow one registry report to each other through the store, and a wake-up."""
