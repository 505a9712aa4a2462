"""`make demo`: a family of rehearsal agents, without a browser and without a key.

    python -m madrox_nb.demo

A lead spawns two children over MCP, asks them, and reads their answers; then the final
tree and the cost table are printed.
"""

from __future__ import annotations

import sys
import tempfile
from typing import TextIO

TASK = """\
Review the two halves of the report.
/spawn numbers data_analyst
/spawn words code_reviewer
/send numbers /usage 1200 80\\n/say the totals add up
/send words /usage 900 140\\n/say two paragraphs say the same thing
/usage 400 60"""


def main(out: TextIO = sys.stdout) -> None:
    """Run the demo in a directory of its own, which is removed afterwards."""
    from .notebook import Madrox

    def say(text: object) -> None:
        out.write(f"{text}\n\n")

    say("Rehearsal agents: real processes and real MCP calls, but no model is thinking.")
    with tempfile.TemporaryDirectory(prefix="madrox-demo-") as home, Madrox(home=home, port=0) as m:
        lead = m.spawn("lead", role="architect", harness="rehearsal")
        say(lead.send("What would you do first?"))
        say(f"lead is asked to let two children work:\n\n{TASK}")
        reply = lead.send(TASK)
        m.wait()
        say(f"lead answers ({reply.outcome}):\n\n{reply.text}")
        say(m.tree)
        say(m.costs().to_string())


if __name__ == "__main__":
    main()
