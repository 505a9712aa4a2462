"""The real ACP agents: where they are, and all that they get to know of this machine.

Both think with the stub of `model.py`, have a home of their own, and reach for nothing else.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import groups

from madrox_nb.harness.acp import Acp
from madrox_nb.harness.acp_lines import KNOWN

NODE = groups.CLIS / ".bin" / "node"
GEMINI = groups.CLIS / "@google" / "gemini-cli" / "bundle" / "gemini.js"
OPENCODE = groups.CLIS / "opencode-linux-x64-baseline" / "bin" / "opencode"


@dataclass(frozen=True)
class Program:
    """One real agent."""

    name: str
    command: tuple[str, ...]
    env: Callable[[Path, str], dict[str, str]]
    """(its home, the address of the model) → all of its environment."""
    model: str
    """The model that it uses when none is named."""
    prefix: str
    """How it calls our tools."""
    shell: str
    """How it calls its shell."""
    write: str
    """How it calls its tool that writes a file, and the parameter that names the file."""
    path: str
    settings: str
    """Where in its workspace it looks for settings of the project's."""

    @property
    def harness(self) -> type[Acp]:
        return Acp.of(KNOWN[self.name])

    def tool(self, name: str, /, **arguments: object) -> str:
        """A prompt that has it call one of our tools."""
        return call(f"{self.prefix}{name}", **arguments)

    def touch(self, name: str) -> str:
        """A prompt that has it run its shell."""
        return call(self.shell, command=f"touch {name}", description="touch it")

    def writes(self, path: Path) -> str:
        """A prompt that has it write a file."""
        return call(self.write, **{self.path: str(path), "content": "written"})


def call(tool: str, /, **arguments: object) -> str:
    return f"CALL {tool} {json.dumps(arguments)}"


def scrubbed(home: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "LANG": os.environ.get("LANG", "C.UTF-8"), "HOME": str(home)}


def opencode_env(home: Path, url: str) -> dict[str, str]:
    price = {"input": 1, "output": 2, "cache_read": 0.1}
    stub = {"name": "Stub", "tool_call": True, "cost": price, "limit": {"context": 200_000, "output": 8_000}}
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "Stub",
        "options": {"baseURL": f"{url}/v1", "apiKey": "dummy"},
        "models": {"stub-model": stub, "other-model": stub},
    }
    folder = home / ".config" / "opencode"
    (folder / "node_modules").mkdir(parents=True, exist_ok=True)
    has = {"packages": {"": {"dependencies": {"@opencode-ai/plugin": "*"}}}}
    (folder / "package-lock.json").write_text(json.dumps(has))  # else each start fetches it from the internet
    config = {
        "provider": {"stub": provider},
        "model": "stub/stub-model",
        "small_model": "stub/stub-model",
        "enabled_providers": ["stub"],
        "share": "disabled",
    }
    return {
        **scrubbed(home),
        "TMPDIR": str(home),  # each start unpacks a library there, and leaves it when it is killed
        "OPENCODE_CONFIG_CONTENT": json.dumps(config),
        "OPENCODE_DISABLE_MODELS_FETCH": "1",
        "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
        "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
    }


def gemini_env(home: Path, url: str) -> dict[str, str]:
    settings = {
        "security": {"auth": {"selectedType": "gemini-api-key"}},
        "model": {"name": "gemini-2.5-flash"},  # `auto` asks a model which model to use
        "telemetry": {"enabled": False},
        "privacy": {"usageStatisticsEnabled": False},
        "general": {"enableAutoUpdate": False, "enableAutoUpdateNotification": False},
    }
    folder = home / ".gemini"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "settings.json").write_text(json.dumps(settings))
    return {
        **scrubbed(home),
        "GEMINI_CLI_HOME": str(home),
        "GEMINI_API_KEY": "dummy",
        "GOOGLE_GEMINI_BASE_URL": url,
    }


PROGRAMS: Mapping[str, Program] = {
    "opencode": Program(
        name="opencode",
        command=(str(OPENCODE),),
        env=opencode_env,
        model="stub/stub-model",
        prefix="madrox_",
        shell="bash",
        write="write",
        path="filePath",
        settings="opencode.json",
    ),
    "gemini": Program(
        name="gemini",
        command=(str(NODE), str(GEMINI)),
        env=gemini_env,
        model="gemini-2.5-flash",
        prefix="mcp_madrox_",
        shell="run_shell_command",
        write="write_file",
        path="file_path",
        settings=".gemini/settings.json",
    ),
}


def program(name: str) -> Program:
    """The real agent of that name; skips the test when it is not there."""
    found = PROGRAMS[name]
    if not all(Path(part).exists() for part in found.command):
        groups.absent("real", f"the real {name}", "make clis")
    return found
