"""A worker that converts nothing: it answers each task as `behaviour.json` in the root folder says.

Behaviours, by the task's name: "die:SIGSEGV", "exit:3", "fail:reason", "usage:found", "sleep", "warn:line".
Each task is written down in `log.txt`.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

DONE = {"make": "made", "export": "exported", "train": "trained", "convert": "converted", "reference": "reference"}


def main(folder, root):
    for line in sys.stdin:
        task = json.loads(line)
        with (root / "log.txt").open("a") as log:
            log.write(f"{task['name']}\n")
        sys.stdout.write(json.dumps(answer(task, folder, root)) + "\n")
        sys.stdout.flush()


def answer(task, folder, root):
    behaviour = json.loads((root / "behaviour.json").read_text()).get(task["name"], "")
    what, _, text = behaviour.partition(":")
    if what == "die":
        sys.stderr.write("some noise\nfoo.cc:3: F converter.cc:12] Check failed: 1 == 2\n")
        sys.stderr.flush()
        os.kill(os.getpid(), signal.Signals[text])
    if what == "exit":
        os._exit(int(text))
    if what == "fail":
        return {"kind": "failed", "reason": text}
    if what == "usage":
        return {"kind": "usage", "error": [text, "", "", "next step"]}
    if what == "sleep":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        (root / "pids.txt").write_text(f"{os.getpid()} {child.pid}")
        time.sleep(600)
    if what == "warn":
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    for key in needed(task):
        assert (folder / key).exists(), key
    if what == "slowly":
        for done in (1, 2):
            sys.stdout.write(json.dumps({"kind": "at", "name": task["name"], "done": done, "total": 2}) + "\n")
    if task["toolchain"] == "litert":
        assert (folder / task["model"]["float32_key"]).exists()
    if task["training"] and task["kind"] == "convert":
        assert (folder / task["training"]["key"]).exists()
    (folder / task["key"]).write_bytes(b"TFL3 " + task["name"].encode())
    return {"kind": DONE[task["kind"]], "seconds": 0.5, "meta": {"toolchain": "fake 1.0"}}


def needed(task):
    """Keys of the arrays that a task is fed."""
    sets = {"reference": ["evaluation"], "convert": ["calibration"] if task["recipe"] == "int8" else []}
    for name in sets.get(task["kind"], []):
        samples = task["model"][name]
        if samples and samples["making"]:
            yield hashlib.sha256(
                json.dumps(
                    {"artefact": "samples", "sha256": samples["sha256"]}, sort_keys=True, separators=(",", ":")
                ).encode()
            ).hexdigest()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
