"""The wiring: settings, parts by URL scheme, processes, observability, command line."""

__version__ = "0.1.0"
