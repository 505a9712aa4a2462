"""Waits for the end of its input, says so, and sleeps."""

import os
import sys
import time

sys.stdin.read()
os.write(1, b"ready\n")
time.sleep(600)
