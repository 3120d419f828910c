"""What needs a person: failures by callback and kind, and the acknowledgements of people."""
