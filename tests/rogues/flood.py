"""Writes as fast as it can.

flood.py lines MEGABYTES    in lines of 200 bytes
flood.py line MEGABYTES     one line
"""

import sys

kind, megabytes = sys.argv[1], int(sys.argv[2])
out = sys.stdout.buffer
block = (b"x" * 199 + b"\n") * 5000 if kind == "lines" else b"x" * 1_000_000
for _ in range(megabytes):
    out.write(block)
out.write(b"\n" if kind == "line" else b"")
out.flush()
