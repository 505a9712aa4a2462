"""Markdown files that begin with YAML between two `---` lines: roles and teams. Pure."""

from __future__ import annotations

from typing import Any

from .errors import BadInput


def front_matter(where: object, text: str) -> tuple[dict[str, Any], str]:
    """(keys, body). Without such a beginning there are no keys, and all is body.

    Raises `BadInput`, which names `where`, when the beginning is no YAML.
    """
    if not text.startswith("---\n"):
        return {}, text
    import yaml  # 15 ms: not for those who only load the package

    head, found, body = text[4:].partition("\n---")
    try:
        keys = yaml.safe_load(head)
    except yaml.YAMLError as exc:
        raise BadInput(f"the front matter of {where} is no YAML: {exc}") from exc
    return (keys, body) if found and isinstance(keys, dict) else ({}, text)
