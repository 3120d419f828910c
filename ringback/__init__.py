"""The wiring: settings, parts by URL scheme, processes, metrics, logs, command line."""
