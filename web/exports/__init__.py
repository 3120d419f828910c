"""Downloads: workbooks and CSV, streamed."""
