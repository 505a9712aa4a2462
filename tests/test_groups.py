"""How the suite is divided among its workers."""

from __future__ import annotations

import pytest


@pytest.mark.xdist_group("together")
def test_a_group_of_tests_goes_to_one_worker(request: pytest.FixtureRequest) -> None:
    """Where it does not, each worker starts anew what a group shares, and nothing fails."""
    divided_in_groups = request.config.getoption("loadgroup", default=False)

    assert divided_in_groups == request.node.nodeid.endswith("@together")
