"""What a remote run costs over running pytest directly on the same board, and how much a second run sends.

    python -m benchmarks.remote_overhead                  # another Python of this machine as the target
    python -m benchmarks.remote_overhead --target=pi --targets=targets.toml --models=models [--turns=5]

Both sides run the same tests of the same files by the same interpreter, in turns: the controller's way (connect,
survey, lock, verify the bundle, run, stream, hang up), and the bare pytest that the guard starts, by itself over there.
The first run, which sends everything, is not counted. Times of inference are left out: they take as long as they are
told to.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

from liteproof.convert.conversion import prepare
from liteproof.manifest.resolve import load_plan
from liteproof.plan import Case, Target, encode
from liteproof.store import Store
from liteproof.targets import run
from liteproof.targets.bundle import make_bundle
from liteproof.targets.guard import base_folder

ROOT = Path(__file__).parents[1]
SUITES = ("accuracy", "agreement", "identity", "loads", "outputs", "size", "quantization_spec")


def tests_of(target: Target, models: list[Path], targets: Path) -> tuple[str, ...]:
    """Ids of the tests, as pytest collects them here."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "-q",
        f"--target={target.name}",
        f"--targets={targets}",
    ]
    command += [*(f"--models={folder}" for folder in models), *(f"acceptance/test_{suite}.py" for suite in SUITES)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return tuple(line for line in done.stdout.splitlines() if "::" in line)


def by_the_controller(job: run.Job) -> tuple[float, int]:
    """Seconds, and bytes that were sent."""
    told: list[run.Message] = []
    started = time.perf_counter()
    run.carry_out(job, told.append)
    seconds = time.perf_counter() - started
    assert not [m for m in told if isinstance(m, run.NotRun)], told[-2:]
    (finished,) = (m for m in told if isinstance(m, run.Finished))
    return seconds, finished.sent_bytes


def directly(job: run.Job, base: str, python: str) -> float:
    """Seconds of the same pytest, started there by hand; the order lies there already."""
    code = f"{base}/{job.bundle.code.removesuffix('.zip')}"
    words = [word.replace("{code}", code).replace("{run}", f"{base}/direct") for word in run.ARGUMENTS]
    pytest = shlex.join([python, *words, "--liteproof-channel=9"])
    script = (
        f"cd {base} && PYTHONPATH={code} PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 LITEPROOF_STORE={base}/store "
        f"TF_CPP_MIN_LOG_LEVEL=2 {pytest} 9>/dev/null >/dev/null 2>&1; echo $? $(($(date +%s%N)-S))"
    )
    timed = f"S=$(date +%s%N); {script}"  # by the board's own clock: the connection is the controller's cost
    done = subprocess.run(shell_on(job.target, timed), capture_output=True, text=True, check=True)
    status, nanoseconds = done.stdout.split()[-2:]
    assert status in ("0", "1"), f"pytest ended with status {status}"
    return int(nanoseconds) / 1e9


def shell_on(target: Target, script: str) -> list[str]:
    """A command that runs a script there."""
    client = shlex.split(os.environ.get("LITEPROOF_SSH", "ssh"))
    return [*client, target.ssh, script] if target.ssh else ["sh", "-c", script]


def base_there(target: Target) -> str:
    """The absolute path of our folder there."""
    if not target.ssh:
        return str(base_folder())
    script = shell_on(target, 'echo "${XDG_CACHE_HOME:-$HOME/.cache}/liteproof/board"')
    return subprocess.run(script, capture_output=True, text=True, check=True).stdout.split()[-1]


def leave_order(job: run.Job, base: str) -> None:
    """Put the order where the direct run looks for it."""
    order = json.dumps({"plan": json.loads(encode(job.bundle.plan)), "tests": list(job.tests)})
    packed = base64.b64encode(zlib.compress(order.encode())).decode()
    program = "import sys,zlib,base64; sys.stdout.buffer.write(zlib.decompress(base64.b64decode(sys.stdin.read())))"
    script = f"mkdir -p {base}/direct && python3 -c {shlex.quote(program)} > {base}/direct/order.json"
    subprocess.run(shell_on(job.target, script), input=packed, text=True, check=True)


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", help="default: this interpreter, as if it were another machine's")
    parser.add_argument("--targets", type=Path, default=ROOT / "targets.toml")
    parser.add_argument("--models", type=Path, action="append", help="default: models/digits-mobilenet")
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if not options.target:
            options.target, options.targets = "this-machine", Path(folder) / "targets.toml"
            os.environ["XDG_CACHE_HOME"] = folder  # where nothing of an earlier run lies
            options.targets.write_text(f'[this-machine]\npython = "{sys.executable}"\n')
        print(compare(options))


def compare(options: argparse.Namespace) -> str:
    """Both sides in turns, as a table in Markdown."""
    models = options.models or [ROOT / "models" / "digits-mobilenet"]
    store = Store.default()
    plan = load_plan(models, target_names=(options.target,), targets_file=options.targets, root=ROOT, store=store)
    cases: list[Case] = list(plan.cases())
    prepare(plan, store, cases)
    target = plan.targets[0]
    tests = tests_of(target, models, options.targets.absolute())
    job = run.Job(target, tests, make_bundle(plan, target, store, cases, [ROOT / "acceptance"]))
    base = base_there(target)
    first, sent_first = by_the_controller(job)
    leave_order(job, base)
    python = str(target.python or f"{base}/venv/bin/python")
    turns = [(by_the_controller(job), directly(job, base, python)) for _ in range(options.turns)]
    ours = statistics.median(seconds for (seconds, _), _ in turns)
    bare = statistics.median(seconds for _, seconds in turns)
    sent = max(sent for (_, sent), _ in turns)
    allowed = 1.05 * bare + 1
    rows = [
        f"| {len(tests)} tests on {target.name} | seconds | bytes sent |\n|---|---:|---:|",
        f"| first run, by the controller | {first:.2f} | {sent_first:,} |",
        f"| further runs, by the controller (median of {options.turns}) | {ours:.2f} | {sent:,} |",
        f"| pytest directly there (median of {options.turns}) | {bare:.2f} | |",
        f"| allowed: 5% and one second more | {allowed:.2f} | |",
        f"\noverhead {ours - bare:+.2f} s: {'within' if ours <= allowed else 'OVER'} the allowance",
    ]
    return "\n".join(rows)


if __name__ == "__main__":
    main()
