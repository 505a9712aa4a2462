"""A CLI that misbehaves. It speaks the rehearsal wire, badly.

How it starts is its argument: `mute` never becomes ready, `dies` ends at once, `garbled`
prints nonsense first, `refuses` says that it can't go on. What a prompt makes it do is
the prompt's first word.
"""

import json
import os
import subprocess
import sys


def say(kind: str, **fields: object) -> None:
    print(json.dumps({"type": kind, **fields}), flush=True)


def end(turn: str, text: str = "done", outcome: str = "ok") -> None:
    say("ended", turn=turn, outcome=outcome, text=text, error="" if outcome == "ok" else text)


def nonsense(turn: str) -> None:
    os.write(1, b"\xff\xfe not json \x00 at all\n" * 50)
    end(turn)


def long(turn: str) -> None:
    say("said", turn=turn, text="x" * 5_000_000)
    end(turn, "y" * 5_000_000)


def endless(turn: str) -> None:
    os.write(1, b"z" * 2**20 * 40 + b"\n")
    end(turn)


def dies(turn: str) -> None:
    say("delta", turn=turn, text="half an ans")
    print("out of cheese", file=sys.stderr, flush=True)
    os._exit(7)


def twice(turn: str) -> None:
    end(turn, "first")
    end(turn, "again")
    say("said", turn=turn, text="and another thing")


def halves(turn: str) -> None:
    whole = json.dumps({"type": "said", "turn": turn, "text": "äöü €"}, ensure_ascii=False).encode() + b"\n"
    for byte in whole:
        os.write(1, bytes([byte]))
    end(turn)


def secret(turn: str) -> None:
    value = os.environ["CANARY_API_KEY"]
    for piece in (value[:9], value[9:]):
        say("delta", turn=turn, text=piece)
    say("said", turn=turn, text=f"the key is {value}")
    end(turn, f"it was {value}")


def child(turn: str) -> None:
    sleeper = subprocess.Popen(["sleep", "600"], start_new_session=True)
    end(turn, str(sleeper.pid))


def asks(turn: str) -> None:
    os.write(1, b'{"type":"ask","request":"r1","tool":"Bash","input":{"command":"half \\ud83d"}}\n')
    sys.stdin.readline()  # the answer
    end(turn)


def many(turn: str) -> None:
    """Asks ten things at once, and the first of them twice in a row."""
    for request in (0, 10, *range(1, 10)):
        say("ask", request=f"r{request}", tool="Bash", input={"command": f"step {request % 10}"})
    heard = [json.loads(sys.stdin.readline()) for _ in range(11)]
    end(turn, " ".join(sorted(f"{m['request']}:{m['decision']}" for m in heard)))


def babbles(turn: str) -> None:
    """100 MB in well-formed pieces of an answer, and a tenth as much that is none."""
    piece = json.dumps({"type": "delta", "turn": turn, "text": "b" * 950}).encode() + b"\n"
    for _ in range(1000):
        os.write(1, piece * 100)
        os.write(1, b"chatter\n" * 1000)
    end(turn, "enough")


def newer(turn: str) -> None:
    """A later version: kinds and fields that nobody here has heard of."""
    say("thought", turn=turn, text="hm")
    say("said", turn=turn, text="new", mood="bright", parts=[{"kind": "text"}])
    say("quota", left=0.5, nested={"turn": "someone.else"})
    say("usage", turn=turn, input_tokens=7, output_tokens=3, carbon_grams=0.1)
    end(turn, "new")


def older(turn: str) -> None:
    """An earlier version: it tells of no pieces and of no usage."""
    end(turn, "old")


def deaf(turn: str) -> None:
    """Ignores interrupts, and everything else, for good."""
    while True:
        sys.stdin.readline()


def echo(turn: str) -> None:
    end(turn, "heard")


ACTS = {
    f.__name__: f
    for f in (
        *(nonsense, long, endless, dies, twice, halves, secret, child, asks, many),
        *(babbles, newer, older, deaf),
    )
}


def main(start: str) -> None:
    if start == "dies":
        sys.exit("no licence for this machine")
    if start == "garbled":
        print("Welcome to Rogue 2.0!", flush=True)
    for line in sys.stdin:
        message = json.loads(line)
        if message["type"] == "hello" and start != "mute":
            say("ready", session=message["session"], version="0")
        elif message["type"] == "prompt":
            words = message["text"].split()
            ACTS.get(words[0], echo)(message["turn"])


main(sys.argv[1] if len(sys.argv) > 1 else "")
