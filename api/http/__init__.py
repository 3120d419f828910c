"""Between HTTP and the views: bodies, authentication, responses, logging of requests."""
