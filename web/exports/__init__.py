"""Downloads: workbooks and CSV files."""
