"""Settings, and where each came from: arguments, then environment, then files, then defaults.

Files, the nearer first: `madrox.toml` in the working directory, then `config.toml` in
the user's configuration directory. The environment names are those of the seed where
it has one.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import platformdirs

from .errors import BadInput, nearest
from .harness import Tables
from .keeping import seconds_of


def _setting(default: Any, env: str, doc: str) -> Any:
    metadata = {"env": env, "doc": doc}
    return (
        field(default_factory=dict, metadata=metadata)
        if default == {}
        else field(default=default, metadata=metadata)
    )


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What can be set. Paths are absolute once loaded."""

    home: Path = _setting(Path(".madrox"), "MADROX_HOME", "where everything is kept")
    host: str = _setting("127.0.0.1", "ORCHESTRATOR_HOST", "address of the MCP server")
    port: int = _setting(8001, "ORCHESTRATOR_PORT", "its port; 0 or a taken one: the next free")
    hosts: tuple[str, ...] = _setting(
        (), "ORCHESTRATOR_HOSTS", "names under which others reach the server, beside its address"
    )
    tls_cert: Path | None = _setting(
        None, "ORCHESTRATOR_TLS_CERT", "PEM file of its certificate: it speaks TLS there"
    )
    tls_key: Path | None = _setting(
        None, "ORCHESTRATOR_TLS_KEY", "PEM file of the key (default: in tls_cert)"
    )
    insecure: str = _setting(
        "no", "ORCHESTRATOR_INSECURE", "yes: beyond loopback without TLS, where others can read the tokens"
    )
    max_instances: int = _setting(10, "MAX_INSTANCES", "agents alive at once")
    max_depth: int = _setting(0, "MADROX_MAX_DEPTH", "levels of agents in the tree; 0: no limit")
    max_children: int = _setting(0, "MADROX_MAX_CHILDREN", "living children of one agent; 0: no limit")
    max_usd: float = _setting(0.0, "MAX_TOTAL_COST", "US dollars for the whole run; 0: no limit")
    max_tokens: int = _setting(
        0,
        "MAX_TOKENS_PER_INSTANCE",
        "tokens of an agent and all below it, if nothing else is said; 0: no limit",
    )
    agent_minutes: float = _setting(
        0.0, "INSTANCE_TIMEOUT_MINUTES", "minutes after which an agent is stopped softly; 0: never"
    )
    workspace_dir: Path | None = _setting(None, "WORKSPACE_DIR", "agents' directories (default: home/work)")
    log_dir: Path | None = _setting(None, "LOG_DIR", "ledgers and wires (default: home)")
    log_level: str = _setting("INFO", "LOG_LEVEL", "of madrox.log: DEBUG INFO WARNING ERROR")
    harnesses: tuple[str, ...] = _setting(
        ("claude", "codex"), "MADROX_HARNESSES", "order of choice when none is named"
    )
    permissions: str = _setting(
        "auto", "MADROX_PERMISSIONS", "what agents may do unasked: deny, ask, edits; auto: ask, else deny"
    )
    attended: str = _setting(
        "auto",
        "MADROX_ATTENDED",
        "whether somebody is there to answer: yes, no; auto: who can type into a cell",
    )
    policy: Mapping[str, str] = _setting({}, "", "answers to agents' requests: 'Bash(git *)' = 'allow'")
    approval_timeout: float = _setting(
        3600.0, "MADROX_APPROVAL_TIMEOUT", "seconds a request waits for an answer"
    )
    idle_timeout: float = _setting(
        3600.0, "MADROX_IDLE_TIMEOUT", "seconds after which an idle agent is suspended; 0: never"
    )
    start_timeout: float = _setting(60.0, "MADROX_START_TIMEOUT", "seconds a CLI may take to become ready")
    stop_grace: float = _setting(2.0, "MADROX_STOP_GRACE", "seconds a CLI may take to end by itself")
    interrupt_timeout: float = _setting(10.0, "MADROX_INTERRUPT_TIMEOUT", "seconds to confirm an interrupt")
    on_kernel_death: str = _setting(
        "kill",
        "MADROX_ON_KERNEL_DEATH",
        "kill, or keep:<seconds> for another kernel to go on with the agents",
    )
    summaries: str = _setting(
        "",
        "MADROX_SUMMARIES",
        "who writes summaries of agents: a harness, or harness:model; empty: nobody, the ledger tells",
    )
    retention_days: int = _setting(30, "MADROX_RETENTION_DAYS", "days that ledgers are kept")
    tables: Tables = field(default_factory=dict)
    """`[harness.NAME]`, `[acp.NAME]`, `[terminal.NAME]`: section → name → keys."""

    @property
    def work(self) -> Path:
        return self.workspace_dir or self.home / "work"

    @property
    def logs(self) -> Path:
        return self.log_dir or self.home


SETTINGS = {f.name: f for f in fields(Settings) if f.metadata}
PATHS = ("home", "workspace_dir", "log_dir", "tls_cert", "tls_key")
SECTIONS = ("harness", "acp", "terminal")
CHOICES = {
    "log_level": ("DEBUG", "INFO", "WARNING", "ERROR"),
    "permissions": ("auto", "ask", "edits", "deny"),
    "attended": ("auto", "yes", "no"),
    "insecure": ("yes", "no"),
}
"""Settings that are one of a few words."""


@dataclass(frozen=True)
class Config:
    """The settings in force, with the source of each value."""

    settings: Settings
    sources: Mapping[str, str]

    def rows(self) -> list[dict[str, str]]:
        """One row a setting: name, value, source, environment variable, meaning."""
        return [
            {
                "setting": name,
                "value": shown(getattr(self.settings, name)),
                "source": self.sources[name],
                "environment": f.metadata["env"],
                "meaning": f.metadata["doc"],
            }
            for name, f in SETTINGS.items()
        ]


def load(
    arguments: Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    files: tuple[Path, ...] | None = None,
) -> Config:
    """Read the settings. Raises `BadInput` naming the setting, its source and the value."""
    environ = os.environ if environ is None else environ
    cwd = Path.cwd() if cwd is None else cwd
    given = {k: v for k, v in (arguments or {}).items() if v is not None}
    for name in given:
        check_known(name, "an argument")
    layers: list[tuple[str, Mapping[str, Any]]] = [("argument", given), *_environment(environ)]
    read = {path: _file(path) for path in (config_files(cwd) if files is None else files)}
    layers += [(str(path), plain) for path, (plain, _) in read.items()]
    values: dict[str, Any] = {}
    sources = dict.fromkeys(SETTINGS, "default")
    for source, layer in reversed(layers):
        for name, raw in layer.items():
            values[name], sources[name] = parsed(name, raw, source), source
    for name in PATHS:
        if (path := values.get(name, SETTINGS[name].default)) is not None:
            values[name] = (cwd / path).resolve()
    tables: dict[str, dict[str, Mapping[str, Any]]] = {}
    for _, found in reversed(read.values()):
        for section, named in found.items():
            tables.setdefault(section, {}).update(named)
    return Config(Settings(**values, tables=tables), sources)


def config_files(cwd: Path) -> tuple[Path, ...]:
    """Where settings are looked for, the nearest first."""
    return cwd / "madrox.toml", user_dir() / "config.toml"


def user_dir() -> Path:
    """The user's own configuration directory."""
    return platformdirs.user_config_path("madrox_nb")


def _environment(environ: Mapping[str, str]) -> list[tuple[str, Mapping[str, Any]]]:
    named = {name: f.metadata["env"] for name, f in SETTINGS.items() if f.metadata["env"]}
    return [(env, {name: environ[env]}) for name, env in named.items() if environ.get(env)]


def _file(path: Path) -> tuple[Mapping[str, Any], Tables]:
    """(settings, tables) of one file."""
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}, {}
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise BadInput(f"cannot read the settings in {path}: {exc}") from exc
    tables = {name: found.pop(name) for name in SECTIONS if name in found}
    for section, named in tables.items():
        for name, keys in named.items() if isinstance(named, dict) else [("", None)]:
            if not isinstance(keys, dict):
                raise BadInput(
                    f"{path}: [{section}] holds tables by name, such as [{section}.{name or 'mine'}]"
                )
    for name in found:
        check_known(name, str(path))
    return found, tables


def check_known(name: str, where: str) -> None:
    """Raises `BadInput` with the nearest setting."""
    if name in SECTIONS:
        raise BadInput(f"{where}: {name!r} is a table, write [{name}.NAME] into madrox.toml")
    if name not in SETTINGS:
        raise BadInput(
            f"{where} names no setting: {name!r}.{nearest(name, (*SETTINGS, *SECTIONS))} "
            f"Known: {', '.join((*SETTINGS, *SECTIONS))}"
        )


def parsed(name: str, raw: Any, source: str) -> Any:
    """What `raw` means for that setting. Raises `BadInput` naming it, `source` and the value."""
    default = SETTINGS[name].default
    try:
        value = _converted(name, default, raw)
    except (TypeError, ValueError, RuntimeError) as exc:  # RuntimeError: ~nobody has no home
        raise BadInput(f"{name} = {raw!r} (from {source}): {exc}") from exc
    return value


def _converted(name: str, default: Any, raw: Any) -> Any:
    if name in PATHS:
        return Path(_said(raw)).expanduser()
    if name == "host":
        return "127.0.0.1" if raw == "localhost" else _said(raw)
    if name == "log_level":
        return _one_of(str(raw).upper(), CHOICES[name])
    if name == "on_kernel_death":
        seconds_of(_said(raw))
        return raw
    if name == "permissions":
        if raw == "all":
            raise ValueError("that is given to one agent, by name: spawn it with permissions='all'")
        return _one_of(str(raw), CHOICES[name])
    if name in ("attended", "insecure"):
        return _one_of({True: "yes", False: "no"}.get(raw, str(raw)), CHOICES[name])
    if name == "policy":
        return _policy(raw)
    if name == "summaries":
        return _writer(raw)
    if isinstance(default, tuple):
        return tuple(raw.replace(",", " ").split()) if isinstance(raw, str) else tuple(map(_said, raw))
    return _number(type(default), raw)


def _number(kind: type[int] | type[float], raw: Any) -> float:
    what = "not a whole number" if kind is int else "not a number"
    if isinstance(raw, bool) or (kind is int and isinstance(raw, float)):
        raise ValueError(what)
    try:
        number = kind(raw)
    except ValueError:
        raise ValueError(what) from None
    if not number >= 0:  # NaN isn't either
        raise ValueError("must not be negative")
    return number


def _policy(raw: Any) -> dict[str, str]:
    """Rules in their order; the first that fits counts."""
    if not isinstance(raw, Mapping):
        raise TypeError("not a table of rules such as {'Bash(git *)': 'allow', '*': 'deny'}")
    for rule, answer in raw.items():
        if answer not in ("allow", "deny", "ask"):
            raise ValueError(f"{rule!r} is answered {answer!r}, which is none of allow, deny, ask")
    return {str(rule): answer for rule, answer in raw.items()}


def _writer(raw: Any) -> str:
    """`harness` or `harness:model`; empty for nobody."""
    if raw == "":
        return ""
    harness, colon, model = _said(raw).partition(":")
    if not harness.strip() or (colon and not model.strip()):
        raise ValueError("neither a harness nor harness:model, such as claude:haiku")
    return f"{harness.strip()}{colon}{model.strip()}"


def _said(raw: Any) -> str:
    """A path or a word; an empty path would mean the working directory itself."""
    if not isinstance(raw, str | Path):
        raise TypeError("not a text")
    if not str(raw).strip():
        raise ValueError("empty")
    return str(raw)


def _one_of(value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ValueError(f"not one of {', '.join(allowed)}")
    return value


def shown(value: Any) -> str:
    """A value as a person reads it."""
    if isinstance(value, tuple):
        return ", ".join(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{rule} = {answer}" for rule, answer in value.items())
    return "" if value is None else str(value)
