"""A program that paints its screen, like the agents' own: a transcript, a box, a footer.

The first word of what is sent says what it does; anything else is said back after a moment
of work. `freezes` shows neither work nor prompt for good; `ponders` works for a second without
moving; `late` looks ready for a while before it works, and `mute` does nothing else; `swallows`
takes the text up only when Enter is pressed again; `deaf` never does; `dies` in the middle of its
work; `shows` paints what its words are the escapes of.
"""

import os
import re
import select
import sys
import time

said: list[str] = []
REPORTS = re.compile(r"\x1b\[(?:\?6c|\d+;\d+R)")
"""What our terminal says of itself when it is asked. It is no key, and whoever painted it would ask again."""


def paint(box: str, footer: str, work: str = "") -> None:
    lines = [*said, *([work] if work else []), "-" * 40, "| " + box.replace("\x1b", "^["), "-" * 40, footer]
    os.write(1, ("\x1b[?25l\x1b[2J\x1b[H" + "\r\n".join(lines)).encode())


def keys(read: bytes) -> str:
    return REPORTS.sub("", read.decode())


def works(seconds: float) -> bool:
    """False: Escape was pressed."""
    for step in range(int(seconds * 20)):
        paint("", "working - esc to stop", f"* thinking {step}")
        if select.select([0], [], [], 0)[0] and "\x1b" in keys(os.read(0, 100)):
            return False
        time.sleep(0.05)
    return True


def take(text: str) -> None:
    said.append(f"you: {text}")
    word, _, rest = text.partition(" ")
    if word == "shows":
        said[-1:] = ["you: shows", rest.encode().decode("unicode_escape")]
    if word == "freezes":
        works(0.3)
        os.write(1, b"\x1b[2J\x1b[HSegmentation fault")
        time.sleep(600)
    if word == "works" and not works(float(rest)):
        said.append("= stopped")
        return
    if word in ("late", "mute"):
        paint("", "? for help")
        time.sleep(0.7)
    if word == "mute":
        return
    works(0.3)
    if word == "ponders":
        paint("", "working - esc to stop")
        time.sleep(1.0)
    if word == "dies":
        os._exit(9)
    if word == "footer":
        paint("", "a new version is there! restart")
        time.sleep(0.5)
    said.extend(f"= {text} {number}" for number in range(int(rest) if word == "lines" else 1))


def main() -> None:
    box, swallowed = "", False
    paint(box, "? for help")
    while read := os.read(0, 1000):
        typed = keys(read)
        for c in typed:
            if c != "\r":
                box += c
            elif box.startswith("deaf") or (box.startswith("swallows") and not swallowed):
                swallowed = True
            elif box:
                text, box = box, ""
                take(text)
        if typed:
            paint(box, "? for help")


if sys.stdin.isatty():
    import tty

    tty.setraw(0)
    main()
