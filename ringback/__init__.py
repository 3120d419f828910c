"""The wiring: settings, parts by URL scheme, processes, metrics, logs, command line."""

__version__ = "0.1.0"
