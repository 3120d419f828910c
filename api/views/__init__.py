"""The views and routes of the API, one module per subject."""
