"""What happened, put into words and lines for people: states, attempts, payloads, commands. Pure."""
