"""What every HTTP interface of Ringback shares: the server, client addresses, rate limits, models of
requests, exports. Has no routes.
"""
