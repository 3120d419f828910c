"""What the overview says: ranges, charts and present figures, as values for its template."""
