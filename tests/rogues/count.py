"""Writes numbered lines, and ends: count.py LINES SECONDS_BETWEEN"""

import os
import sys
import time

lines, pause = int(sys.argv[1]), float(sys.argv[2])
for n in range(lines):
    rest = b"%d %s\n" % (n, b"x" * 200)
    while rest:
        rest = rest[os.write(1, rest) :]
    time.sleep(pause)
