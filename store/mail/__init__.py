"""Mail: what there is to write about, and what is on its way."""
