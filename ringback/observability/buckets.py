"""The upper bounds of the histograms' buckets, in seconds.

More buckets: finer quantiles, and more series per label. Called by
`ringback.observability.metrics`.
"""

ATTEMPT_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60)
"""Up to what `RINGBACK_TIMEOUT` is likely to be."""

FIRST_ATTEMPT_DELAY_S = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1, 2.5, 5, 10, 30, 60, 120, 300),
)
"""Up to a backlog of minutes."""

END_TO_END_S = (
    *(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30, 300),
    *(1800, 7200, 18_000, 43_200, 86_400, 172_800, 345_600),
)
"""Up to the whole retry schedule."""

REQUEST_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Up to what a client of the API waits for."""
