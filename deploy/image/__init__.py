"""The container images: scripts that lock, download and build, and the list of what an image holds."""
