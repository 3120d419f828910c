"""The HTTP server of every process that listens, on its event loop."""
