"""`ringback serve --demo`: suppliers, traffic and receivers that are made up, in every state."""
