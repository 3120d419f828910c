"""The HTTP API: the Flask application under /v1, its documentation, health and metrics. Publishes
events; never calls a webhook.
"""
