"""An agent with six descendants of the kinds that escape; it ignores the end of its input.

tree.py SECONDS     a child, a shell with a grandchild, a child in a session of its own,
                    a daemon, and a daemon with an empty environment
"""

import os
import signal
import subprocess
import sys

SECONDS = sys.argv[1]
SLEEP = "/bin/sleep"


def daemon(environ):
    """Fork twice and sleep; returns when that runs."""
    told, tell = os.pipe()  # closed by the exec
    child = os.fork()
    if child == 0:
        os.setsid()
        if os.fork() == 0:
            null = os.open(os.devnull, os.O_RDWR)
            for fd in range(3):
                os.dup2(null, fd)
            os.execve(SLEEP, [SLEEP, SECONDS], environ)
        os._exit(0)
    os.close(tell)
    os.waitpid(child, 0)
    os.read(told, 1)
    os.close(told)


subprocess.Popen([SLEEP, SECONDS])
shell = subprocess.Popen(["/bin/sh", "-c", f"sleep {SECONDS} & echo; wait"], stdout=subprocess.PIPE)
shell.stdout.readline()
subprocess.Popen([SLEEP, SECONDS], start_new_session=True)
daemon(os.environ)
daemon({})
os.write(1, b"ready\n")
while True:
    signal.pause()
