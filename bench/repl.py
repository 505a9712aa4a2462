"""A program at a terminal for the measurements: says each line back after its prompt."""

import os


def main() -> None:
    rest = b""
    while True:
        os.write(1, b"> ")
        while b"\n" not in rest:
            data = os.read(0, 65536)
            if not data or data == b"\x04":
                return
            rest += data
        line, _, rest = rest.partition(b"\n")
        word, _, count = line.partition(b" ")
        if word == b"flood":
            piece = (b"y" * 99 + b"\n") * 100
            for _ in range(int(count) * 100):
                os.write(1, piece)
        elif word == b"lines":
            piece = (b"x" * 49 + b"\n") * 80
            for _ in range(int(count) // 80):
                os.write(1, piece)
        else:
            os.write(1, line + b"\n")


main()
