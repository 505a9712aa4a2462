"""The configuration that scripts written for the existing Madrox make, in the words of our settings.

    config = OrchestratorConfig(server_port=8001, max_concurrent_instances=10, log_level="INFO")
    manager = InstanceManager(config)

What is not given is what our settings say (environment, `madrox.toml`, defaults). A field
that means nothing here is taken with a warning that says why; one whose absence would be
missed is refused.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from .errors import BadInput

MEANS: Final[Mapping[str, str]] = {
    "server_host": "host",
    "server_port": "port",
    "max_concurrent_instances": "max_instances",
    "max_tokens_per_instance": "max_tokens",
    "max_total_cost": "max_usd",
    "instance_timeout_minutes": "agent_minutes",
    "workspace_base_dir": "workspace_dir",
    "log_dir": "log_dir",
    "log_level": "log_level",
}
"""Their field → our setting."""

VARIABLES: Final[Mapping[str, str]] = {
    "anthropic_api_key": "ANTHROPIC_API_KEY",
    "default_model": "MADROX_MODEL_CLAUDE",
}
"""Their field → what agents find in their environment."""

IDLE: Final[Mapping[str, str]] = {
    "enable_metrics": "every figure is in the ledger anyway: manager.madrox.costs(), turns(), audit()",
    "metrics_port": "there is no metrics server: manager.madrox.costs() and turns() are the figures",
    "artifacts_dir": "files stay in each agent's workspace, below workspace_base_dir",
    "preserve_artifacts": "a workspace is never deleted when its agent ends",
}
"""Fields without a meaning here, and what there is instead."""


@dataclass(frozen=True, kw_only=True)
class OrchestratorConfig:
    """The seed's fields, then those of the existing system; each may be left out.

    The key goes to the agents' environment and nowhere else: not to a file, and wherever
    it turns up in the ledger or in a cell, it is shown as `{secret:ANTHROPIC_API_KEY}`.
    """

    server_host: str | None = None
    server_port: int | None = None
    anthropic_api_key: str | None = field(default=None, repr=False)
    max_concurrent_instances: int | None = None
    max_tokens_per_instance: int | None = None
    """Of each agent; 0: no limit."""
    max_total_cost: float | None = None
    """US dollars, of all agents together; 0: no limit."""
    instance_timeout_minutes: float | None = None
    workspace_base_dir: str | Path | None = None
    log_dir: str | Path | None = None
    log_level: str | None = None
    enable_isolation: bool = True
    """Always so: each agent has a directory of its own."""
    default_model: str | None = None
    """Of Claude Code; other CLIs have models of their own (`[harness.NAME] model`)."""
    database_url: str | None = None
    enable_metrics: bool | None = None
    metrics_port: int | None = None
    artifacts_dir: str | Path | None = None
    preserve_artifacts: bool | None = None

    def __post_init__(self) -> None:
        """Raises `BadInput` for what can't be had, and warns of what means nothing."""
        if not self.enable_isolation:
            raise BadInput(
                "enable_isolation=False: agents never share a directory by a setting. To let one work in a "
                "place of yours, give it: spawn_instance(…, workspace_dir=…)"
            )
        if self.database_url:
            raise BadInput(
                "database_url: there is no database. All that happens is in the ledger, a file of JSON "
                "lines below log_dir; manager.madrox.audit() reads it as a DataFrame"
            )
        for name, instead in IDLE.items():
            if getattr(self, name) is not None:
                warnings.warn(f"{name} means nothing here: {instead}", stacklevel=3)

    def settings(self) -> dict[str, Any]:
        """What was given, as `Madrox` takes it."""
        return {ours: given for name, ours in MEANS.items() if (given := getattr(self, name)) is not None}

    def environ(self) -> dict[str, str]:
        """What agents get in their environment."""
        return {ours: given for name, ours in VARIABLES.items() if (given := getattr(self, name))}


assert {*MEANS, *VARIABLES, *IDLE, "enable_isolation", "database_url"} == {
    each.name for each in fields(OrchestratorConfig)
}  # each field has a meaning, or says that it has none
