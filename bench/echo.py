"""The smallest agent: line JSON in, line JSON out. Run with `python -S -E -I`.

`burst N SIZE` writes N lines of SIZE bytes; anything else comes back as it was.
"""

import os
import sys


def main() -> None:
    os.write(1, b'{"type":"ready"}\n')
    for line in sys.stdin.buffer:
        if line.startswith(b'{"type":"burst"'):
            burst(*(int(word) for word in line.decode().split('"')[7].split()))
        elif line.startswith(b'{"type":"die"'):
            os._exit(3)
        else:
            os.write(1, line)


def burst(count: int, size: int) -> None:
    body = b"x" * (size - 1) + b"\n"
    block = max(1, 65536 // size)
    for _ in range(count // block):
        sys.stdout.buffer.write(body * block)
    sys.stdout.buffer.write(body * (count % block) + b'{"type":"done"}\n')
    sys.stdout.buffer.flush()


main()
