"""The pipe between the API and the dispatchers: one port, a RabbitMQ adapter and an outbox adapter.
"""
