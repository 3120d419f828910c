"""What a person asks a list for, read from the address."""
