"""Samples of what waits, as rows. Called by `consumers.maintenance.figure_sampler`."""

import msgspec

from schemas.figures import Gauges
from schemas.times import UnixMs
from store.engine import bulk
from store.engine.database import Connection
from store.tables import figure_gauges


def add_sample(connection: Connection, minute_at: UnixMs, sample: Gauges) -> None:
    """Add the sample of a minute, unless there is one."""
    row = {"minute_at": minute_at, **msgspec.structs.asdict(sample)}
    bulk.insert(connection, figure_gauges, [row])
