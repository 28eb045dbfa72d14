"""Settings of the whole suite: deterministic draws, as many as the run is meant for."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

os.environ["CONVGRAD_TUNING"] = ""  # what this user has tuned is no part of the suite

settings.register_profile(
    "convgrad",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=int(os.environ.get("CONVGRAD_TEST_EXAMPLES", "100")),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("convgrad")
