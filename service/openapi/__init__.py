"""OpenAPI documents of the routes. The routes read and write bytes themselves, for speed, so their documents
are written by hand; a test holds them against the answers of the running service."""
