"""A program at a terminal, and how such programs misbehave. Its prompt is `> `.

The first argument says how it starts: `asks` wants a yes first, `mute` shows no prompt, `shell`
becomes a shell at once. Afterwards the first word of each line says what it does; any other
line is said back.
"""

import os
import signal
import sys
import termios
import time
import tty


def say(text: str) -> None:
    os.write(1, text.encode())


def read(n: int = 1) -> bytes:
    return os.read(0, n)


def line() -> str:
    got = bytearray()
    while not got.endswith(b"\n"):
        piece = read()
        if not piece or piece == b"\x04":
            sys.exit(0)
        got += piece
    return got[:-1].decode()


def shell(_: str) -> None:
    """Leave a shell where the program was."""
    os.environ["PS1"] = "ann@host:~$ "
    os.execvp("bash", ["bash", "--norc", "--noprofile", "--noediting", "-i"])


def dies(_: str) -> None:
    say("half an ans")
    os._exit(7)


def dies_at_prompt(_: str) -> None:
    say("an answer\n> ")
    os._exit(0)


def deaf(_: str) -> None:
    """Ignore Ctrl-C, for good."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    say("deaf\n")
    time.sleep(600)


def hard_of_hearing(_: str) -> None:
    """Lose the first Ctrl-C, as a shell does that is about to start a command."""
    lost = signal.signal(signal.SIGINT, lambda *_: signal.signal(signal.SIGINT, lost))
    works("")


def works(_: str) -> None:
    say("working\n")
    try:
        time.sleep(600)
    except KeyboardInterrupt:
        say("stopped\n")


def babbles(rest: str) -> None:
    """Say much, with what looks like prompts in it, each at the end of a write."""
    for number in range(int(rest)):
        say(f"{number}\n> ")
        say("quoted " + "x" * 100 + "\n")


def halves(_: str) -> None:
    for byte in "äöü € ☃ \x1b[1;31mrot\x1b[0m\n".encode():
        os.write(1, bytes([byte]))


def floods(rest: str) -> None:
    piece = b"y" * 99 + b"\n"
    for _ in range(int(rest) * 1_000_000 // len(piece)):
        os.write(1, piece)


def asks(_: str) -> None:
    say("Overwrite it? [y/N] ")
    say(f"you said {read().decode()}\n")


def begs(_: str) -> None:
    while True:
        say("Overwrite it? [y/N] ")
        read()


def where(_: str) -> None:
    """Ask the terminal, as programs do that paint."""
    say("\x1b[6n")
    got = b""
    while not got.endswith(b"R"):
        got += read()
    say(f"{got!r} {os.get_terminal_size()}\n")


def spins(_: str) -> None:
    for sign in "⠋⠙⠹":
        say(f"{sign} thinking\x1b[2K\x1b[1G")
    say("\x1b[32mdone\x1b[0m\r\n")


def counts(rest: str) -> None:
    say(f"{len(rest)}\n")


def reads(rest: str) -> None:
    """Read that many bytes of the next line, slowly, and leave a shell to whoever types the others."""
    say("reading\n> ")
    for _ in range(int(rest)):
        read()
    shell("")


def cooked(_: str) -> None:
    """Set the terminal as it was made for people: with lines, and a limit to them."""
    modes = termios.tcgetattr(0)
    modes[tty.LFLAG] |= termios.ICANON
    termios.tcsetattr(0, termios.TCSANOW, modes)
    say("cooked\n")


ACTS = {
    f.__name__: f
    for f in (
        shell, dies, dies_at_prompt, deaf, hard_of_hearing, works, babbles, halves, floods, asks, begs, where,
        spins, counts, reads, cooked,
    )
}  # fmt: skip


def main(start: str) -> None:
    if start == "shell":
        shell("")
    if start == "mute":
        say("Welcome. Nothing else.\n")
        time.sleep(600)
    if start == "asks":
        say("Do you agree? (yes/no) ")
        say(f"so {line()}\n")
    while True:
        try:
            say("> ")
            said = line()
            word, _, rest = said.partition(" ")
            ACTS[word](rest) if word in ACTS else say(f"heard {said}\n")
        except KeyboardInterrupt:
            say("^C\n")


main(sys.argv[1] if len(sys.argv) > 1 else "")
