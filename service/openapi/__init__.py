"""What OpenAPI says of each route. The routes read and write bytes themselves, for speed, so their
documents are written by hand; a test holds them against what the service really answers."""
