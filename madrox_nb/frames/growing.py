"""Rows that only ever grow, and frames of them that cost the same however many there are.

Numbers lie in arrays with room for more: a frame is a slice of a frame over all that room,
which copy-on-write keeps apart from whatever is done to the slice. With pyarrow, texts are
chunks that are never changed; without it they lie in such arrays too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    import pyarrow as pa

Numbers = np.ndarray[Any, np.dtype[np.int64]]
Microseconds = Numbers
"""Times, since 1970, UTC."""
Texts: TypeAlias = "Sequence[str | None] | pa.ChunkedArray[Any]"

HAS_ARROW: Final = find_spec("pyarrow") is not None
COPY_ON_WRITE: Final = int(pd.__version__.partition(".")[0]) >= 3
_LEAST_ROOM: Final = 1024
_LONG_CHUNK: Final = 1 << 16


@dataclass(frozen=True)
class Rows:
    """Some rows, by column."""

    seq: Numbers
    ts: Microseconds
    texts: Mapping[str, Texts]


class Growing:
    """All rows so far: `seq` is the index, `ts` a time, the rest texts."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.count = 0
        self._names = tuple(texts)
        self._seq, self._ts = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        self._texts = {name: np.zeros(0, dtype=object) for name in self._names if not HAS_ARROW}
        self._chunks: dict[str, list[Any]] = {name: [] for name in self._names}
        self._make_room(_LEAST_ROOM)

    def extend(self, rows: Rows) -> None:
        """Add rows at the end."""
        count = self.count + len(rows.seq)
        if count > len(self._seq):
            self._make_room(2 * count)
        new = slice(self.count, count)
        self._seq[new], self._ts[new] = rows.seq, rows.ts
        for name, texts in rows.texts.items():
            if HAS_ARROW:
                _add_chunk(self._chunks[name], texts)
            else:
                self._texts[name][new] = [pd.NA if text is None else text for text in texts]
        self.count = count

    def frame(self) -> pd.DataFrame:
        """All rows. What is done to it changes nothing here, nor in another frame."""
        frame = self._room.iloc[: self.count]
        if not COPY_ON_WRITE:  # then times do not share memory either
            frame = frame.copy()
            frame["ts"] = pd.DatetimeIndex(self._ts[: self.count].view("M8[us]"), tz="UTC")
        if HAS_ARROW:
            for name in self._names:
                frame[name] = _arrow_texts(self._chunks[name])
        return frame

    def _make_room(self, size: int) -> None:
        """Move to larger arrays. Frames that were handed out keep the old ones."""
        self._seq = _moved(self._seq, np.zeros(size, dtype=np.int64))
        seq = pd.arrays.IntegerArray(self._seq, np.zeros(size, dtype=bool))
        times = pd.DatetimeIndex(np.zeros(size, dtype="M8[us]"), tz="UTC")
        self._ts = _moved(self._ts, times.asi8)  # which is the memory of `times`
        self._texts = {
            name: _moved(old, np.full(size, pd.NA, dtype=object)) for name, old in self._texts.items()
        }
        texts = {name: pd.arrays.StringArray(texts) for name, texts in self._texts.items()}
        self._room = pd.DataFrame({"ts": pd.Series(times, copy=False), **texts}, copy=False)
        self._room.index = pd.Index(seq, name="seq", copy=False)


def _moved(old: Any, new: Any) -> Any:
    """`new`, which begins with all that is in `old`."""
    new[: len(old)] = old
    return new


def _add_chunk(chunks: list[Any], texts: Texts) -> None:
    """Add texts; short chunks grow together, so that there are never many and no long one is copied."""
    import pyarrow as pa

    kind = pa.large_string()
    new = texts if isinstance(texts, pa.ChunkedArray) else pa.chunked_array([pa.array(texts, kind)], kind)
    for chunk in new.chunks:
        chunks.append(chunk)
        while len(chunks) > 1 and len(chunks[-2]) < min(_LONG_CHUNK, 2 * len(chunks[-1])):
            chunks[-2:] = [pa.concat_arrays(chunks[-2:])]


def _arrow_texts(chunks: list[Any]) -> pd.api.extensions.ExtensionArray:
    import pyarrow as pa

    return pd.arrays.ArrowStringArray(pa.chunked_array(chunks, pa.large_string()))
