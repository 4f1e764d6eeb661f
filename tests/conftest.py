"""What all tests share."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# Machines under load are slow now and then: what a test finds must not depend on that.
settings.register_profile("memcrdt", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("memcrdt")
