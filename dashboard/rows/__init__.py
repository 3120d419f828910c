"""What lists and pages show of what is stored, as values."""
