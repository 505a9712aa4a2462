"""The program behind the rehearsal harness. Standard library only, quick to start.

It runs by its path, in a Python that never imports madrox_nb:
`__main__` reads and writes the wire, `turn` works on a prompt, `directives` does what it
says, `client` calls MCP tools. The wire is described in `madrox_nb/harness/rehearsal.py`.
"""

VERSION = "1"
"""Of the program, told in `ready`."""
