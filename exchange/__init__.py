"""The pipe between the API and the dispatchers: one port, an adapter for RabbitMQ and one for the
outbox.
"""
