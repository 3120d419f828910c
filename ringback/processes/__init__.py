"""The three processes: `serve` is everything in one, `api` and `dispatch` its two halves."""
