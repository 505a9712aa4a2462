"""Says each line back, until its input ends. `exit N` ends it with code N."""

import os
import sys

os.write(1, b"ready\n")
for line in iter(sys.stdin.buffer.readline, b""):
    if line.startswith(b"exit "):
        sys.exit(int(line[5:]))
    os.write(1, line)
