"""The HTTP API: the Flask application under /v1, its documentation, health and metrics. It
publishes events and never calls a webhook.
"""
