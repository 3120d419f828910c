"""The way of a message: taken in, claimed, matched, dispatched, settled."""
