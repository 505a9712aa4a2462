"""What travels when a topic changes: the smallest message that makes the old data the new.

    set    field → its new value
    add    field → what was added to its text
    lists  field → {u: changed objects, gone: keys, order: all keys}, order only when it changed
    key    field → the key of its objects, for each field in `lists`

`topics.ts` does the same backwards. Objects that are the same object as before are not
looked into, so a part that keeps what it made pays for what changed only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]


def difference(
    before: Mapping[str, Any], after: Mapping[str, Any], keyed: Mapping[str, str]
) -> dict[str, Any]:
    """What makes `before` into `after`; empty when they are equal. Both have the same fields."""
    told: dict[str, dict[str, Any]] = {}
    for field, new in after.items():
        old = before.get(field)
        if old is new or old == new:
            continue
        if field in keyed:
            told.setdefault("lists", {})[field] = _of_list(old or (), new, keyed[field])
            told.setdefault("key", {})[field] = keyed[field]
        elif isinstance(old, str) and isinstance(new, str) and old and new.startswith(old):
            told.setdefault("add", {})[field] = new[len(old) :]
        else:
            told.setdefault("set", {})[field] = new
    return told


def _of_list(before: Sequence[Row], after: Sequence[Row], key: str) -> dict[str, Any]:
    old = {row[key]: row for row in before}
    changed = [row for row in after if (known := old.get(row[key])) is not row and known != row]
    order = [row[key] for row in after]
    if order == list(old):
        return {"u": changed}
    return {"u": changed, "gone": sorted(old.keys() - set(order)), "order": order}
