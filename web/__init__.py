"""What every HTTP face of Ringback shares: the client's address, rate limits, models of requests,
exports. Has no routes.
"""
