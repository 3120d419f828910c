"""The documents of the API: OpenAPI, the guide, the problem pages."""
