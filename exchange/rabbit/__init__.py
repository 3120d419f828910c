"""The pipe through RabbitMQ."""
