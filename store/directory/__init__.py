"""The directory: all tokens in memory, kept up to date with the database."""
