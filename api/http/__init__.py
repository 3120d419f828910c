"""Between HTTP and the views: bodies, authentication, responses, the log of requests."""
