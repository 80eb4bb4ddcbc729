raise ImportError(
    "tests/boards/sshd.py was overwritten by mistake at 21:30 by whoever writes src/liteproof/targets (they had been told "
    "to make a sshd.py here, and did not look first; sorry). The original, 8899 bytes, was not committed and could not be "
    "restored: please write it again. The overwriting version lives on as tests/targets/loopback.py."
)
