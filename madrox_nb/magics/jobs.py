"""Several agents on one task: `coordinate`, `job`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from IPython.core.error import UsageError

from ..grammar import Argument
from .commands import AGENT, RAW, Command, Use, told


def _coordinate(call: Use) -> Any:
    if not call.text.strip():
        raise UsageError(
            "%madrox coordinate: say the task. In a line, it stands behind --: %madrox coordinate alice bob "
            "-- Name the module. In a cell: %%madrox coordinate alice bob, and the task below"
        )
    from ..in_person import A_DAY

    return told(
        call,
        "coordinate_instances",
        ours=_under_way,
        participant_ids=call.agents,
        task_description=call.text,
        coordination_type=call.way,
        coordinator_id=call.coordinator,
        wait_for_completion=not call.no_wait,
        max_wait=A_DAY,
    )


def _job(call: Use) -> Any:
    from ..in_person import A_DAY

    if call.stop:
        if call.job is None or call.run or call.wait:
            raise UsageError("%madrox job --stop needs the job's id, and nothing else")
        return told(call, "stop_job", job_id=call.job)
    return told(
        call,
        "get_job_status",
        ours=_under_way,
        job_id=call.job,
        wait_for_completion=call.wait,
        max_wait=A_DAY,
        run=call.run,
    )


def _under_way(data: Mapping[str, Any]) -> bool:
    """Nobody's report yet: of one job that runs, or of all, in a line each."""
    return data.get("status") == "running" or "jobs" in data


COMMANDS: Final = (
    Command(
        "coordinate",
        "let several agents work on one task, and wait for the report",
        _coordinate,
        Argument("agents", nargs="+", completes=AGENT, help="in this order"),
        Argument(
            "--way",
            choices=("sequential", "parallel", "consensus"),
            default="sequential",
            help="in a row, each with the last one's answer; side by side; by votes",
        ),
        Argument("--coordinator", completes=AGENT, help="who weighs the votes, or is left the report"),
        Argument("--no-wait", action="store_true", help="return at once; %%madrox job says how far it is"),
        RAW,
        says=True,
        several=True,
        example="%madrox coordinate alice bob carol --way consensus -- Which name is best?",
    ),
    Command(
        "job",
        "how far a job of several agents, or a team, is, or its report; without its id: all of them",
        _job,
        Argument("job", nargs="?", completes="job", help="such as lead.j1"),
        Argument("--wait", action="store_true", help="until it is over"),
        Argument("--stop", action="store_true", help="end what is under way; the agents stay"),
        Argument("--run", help="of an earlier kernel; without one this, else the newest that had it"),
        example="%madrox job you.j1 --wait",
    ),
)
