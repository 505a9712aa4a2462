"""What the OpenAPI document promises, held against the server by schemathesis."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from web import PERSONS, site

from madrox_nb.calls import TOOLS
from madrox_nb.portal import Portal
from madrox_nb.rest import ENDPOINTS
from madrox_nb.rest.openapi import document
from madrox_nb.tools import waiting

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("openapi")]

EXAMPLES = 20
"""Requests of each operation."""
PATHS = [
    each.path
    for each in ENDPOINTS
    if each.path != "/events"  # that one never ends
    and (not each.tool or each.tool in TOOLS)
]


@pytest.fixture(scope="module")
def base_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server on a loop of its own, with some agents behind it, that waits for nothing for long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(waiting, "LONGEST_WAIT", 0.05)
        portal = Portal()
        opened = site(tmp_path_factory.mktemp("openapi"), max_instances=4)
        on = portal.call(opened.__aenter__)
        portal.call(on.execute, "spawn_instance", name="lead")
        portal.call(on.execute, "spawn_instance", name="kid", parent_instance_id="lead")
        yield on.server.url.removesuffix("/mcp")
        portal.call(opened.__aexit__, None, None, None)
        portal.stop()


@pytest.mark.parametrize("path", PATHS)
def test_requests_of_all_kinds_are_answered_as_the_document_says(path: str, base_url: str) -> None:
    import schemathesis
    from schemathesis.specs.openapi import checks

    schema = schemathesis.openapi.from_dict(document(ENDPOINTS))
    [operation] = [found for found in map(_ok, schema.get_all_operations()) if found.path == path]

    @seed(20261125)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
    )
    @given(operation.as_strategy())
    def each(case: Any) -> None:
        answer = case.call(base_url=base_url, headers={"Authorization": f"Bearer {PERSONS}"}, timeout=60)

        assert 500 != answer.status_code, "others above 500 tell of what is not ours to mend"
        case.validate_response(
            answer,
            checks=[
                checks.status_code_conformance,
                checks.content_type_conformance,
                checks.response_schema_conformance,
            ],
        )

    each()


def _ok(result: Any) -> Any:
    return result.ok()


def test_the_server_is_well_after_all_that(base_url: str) -> None:
    import httpx2

    async def asked() -> int:
        async with httpx2.AsyncClient() as http:
            return (await http.get(f"{base_url}/health")).status_code

    assert 200 == asyncio.run(asked())
