"""What every HTTP interface of Ringback shares: client addresses, rate limits, models of requests,
exports. Has no routes.
"""
