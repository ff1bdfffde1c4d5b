"""Settings of the whole test suite."""

import os

from hypothesis import settings

# No deadline: machines are shared, and a slow example is no wrong one. The CI run draws the same
# examples each time, so that it fails only for a reason that the change brought.
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")
