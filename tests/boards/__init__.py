"""Boards that the tests start themselves, on loopback only, with keys of their own, and faults to inject into them.

| module | what it has |
|---|---|
| `board` | `Board`: how a board is reached; what both kinds share |
| `sshd` | a second sshd on this machine: the everyday board, no root needed |
| `emulated_pi` | an aarch64 Linux under qemu: real Arm binaries, slow |
| `vcgencmd` | a stand-in for the firmware's tool on a Raspberry Pi |
| `disk` | a file system of one megabyte |
| `judge_there` | runs on a board: what becomes of each variant |
| `fixtures` | pytest fixtures of these |

A link that drops, delays or garbles is in `tests/targets/link.py`; `Board.behind` leads a client through it.
"""
