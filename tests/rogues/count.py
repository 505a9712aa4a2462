"""Writes numbered lines, so many in one go, and ends: count.py LINES SECONDS_BETWEEN [AT_ONCE]"""

import os
import sys
import time

lines, pause, at_once = int(sys.argv[1]), float(sys.argv[2]), int((*sys.argv, 1)[3])
for begin in range(0, lines, at_once):
    rest = b"".join(b"%d %s\n" % (n, b"x" * 200) for n in range(begin, begin + at_once))
    while rest:
        rest = rest[os.write(1, rest) :]
    time.sleep(pause)
