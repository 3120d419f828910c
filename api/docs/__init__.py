"""The documentation of the API: OpenAPI, the guide, the pages of problems."""
