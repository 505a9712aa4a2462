"""What `ollama run MODEL` looks like from a terminal, by its documentation and its source.

It edits its line itself and paints what is typed, shows a hint in the empty line, asks for further
lines between `\"\"\"` with `... `, spins until the first word comes, and stops speaking at Ctrl-C.
"""

import os
import select
import sys
import time
import tty

HINT = "Send a message (/? for help)"


def say(text: str) -> None:
    os.write(1, text.encode())


def typed(prompt: str, hint: str) -> str:
    say(f"{prompt}\x1b[38;5;245m{hint}\x1b[{len(hint)}D\x1b[0m")
    got = b""
    while True:
        c = os.read(0, 1)
        if c in (b"\r", b"\n"):
            say("\r\n")
            return got.decode()
        if c in (b"\x04", b""):
            sys.exit(0)
        if c == b"\x03":
            say("\r\nUse Ctrl + d or /bye to exit.\r\n")
            got = b""
            say(prompt)
            continue
        say("\x1b[K" if not got else "")
        os.write(1, c)
        got += c


def prompt() -> str:
    text = typed(">>> ", HINT)
    if not text.startswith('"""'):
        return text
    text = text[3:]
    while not text.endswith('"""'):
        text += "\n" + typed("... ", 'Use """ to end multi-line input')
    return text[:-3]


def answer(text: str) -> None:
    for sign in "⠋⠙⠹⠸":
        say(f"\x1b[?25l{sign} \x1b[?25h")
        time.sleep(0.01)
        say("\x1b[?25l\x1b[2K\x1b[1G\x1b[?25h")
    slow = text.startswith("SLOW")
    words = ("word " * 1000 if slow else f"echo: {text}").split(" ")
    for word in words:
        say(word.replace("\n", "\r\n") + " ")
        if slow:
            time.sleep(0.01)
        if ready() and b"\x03" in os.read(0, 100):
            break
    say("\r\n\r\n")


def ready() -> bool:
    return bool(select.select([0], [], [], 0)[0])


def main() -> None:
    if sys.argv[1:2] != ["run"] or len(sys.argv) < 3:
        sys.exit("Error: requires at least 1 arg(s), only received 0")
    tty.setraw(0)
    while (text := prompt()) != "/bye":
        if text:
            answer(text)


main()
