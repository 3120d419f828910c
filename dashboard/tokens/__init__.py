"""What the pages of tokens decide without a request: days and moments, forms and fields. Pure."""
