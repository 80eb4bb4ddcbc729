"""The command line: `liteproof --help`.

liteproof init flowers.h5 --data data.npz
liteproof inspect models/digits/best_int8.tflite
liteproof doctor pi
liteproof report reports/latest
liteproof repair old.h5 new.keras
liteproof recommend reports/latest --model digits --target pi
liteproof verify digits-int8.tflite --signoff statement.json
liteproof compare reports/latest --targets host pi
liteproof store prune --max-size 5GB --older-than 30d --dry-run
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from liteproof import __version__
from liteproof.advice.devices import DEVICES
from liteproof.errors import LiteproofError, UsageError

if TYPE_CHECKING:
    from liteproof.measure.diagnosis import Finding
    from liteproof.measure.subject import Subject

    _Commands = argparse._SubParsersAction["_Parser"]

ACCEPTED, MISSED, INTERRUPTED, OUR_FAULT, WRONG_REQUEST = 0, 1, 2, 3, 4


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except UsageError as error:
        print(f"liteproof: {error}", file=sys.stderr)
        return WRONG_REQUEST
    except LiteproofError as error:
        print(f"liteproof: {error}", file=sys.stderr)
        return MISSED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return ACCEPTED
    return status


class _Parser(argparse.ArgumentParser):
    """A parser that ends on wrong words as every wrong request ends here: 2, argparse's own, is an interruption's."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(WRONG_REQUEST, f"{self.prog}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="liteproof",
        description="Proves a TensorFlow Lite / LiteRT model before it ships. The suites run by pytest.",
    )
    parser.add_argument("--version", action="version", version=f"liteproof {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in (
        *(_add_init, _add_advise),
        *(_add_explain, _add_inspect, _add_repair, _add_doctor),
        *(_add_report, _add_compare, _add_recommend),
        *(_add_accept, _add_verify, _add_history, _add_store),
    ):
        add(commands)
    return parser


def _width(otherwise: int) -> int:
    """The terminal's columns; what is printed elsewhere may be `otherwise` wide."""
    return shutil.get_terminal_size((otherwise, 24)).columns


# -- init --------------------------------------------------------------------------------------------------------------


def _add_init(commands: _Commands) -> None:
    command = commands.add_parser("init", help="from a trained model and some samples to a folder that pytest judges")
    command.add_argument(
        "source", type=Path, metavar="SOURCE", help="a .keras, .h5, SavedModel folder or float .tflite"
    )
    command.add_argument("--data", type=Path, metavar="FILE", help="samples: .npz, .npy, .csv, or images by class")
    command.add_argument("--name", metavar="NAME", help="the model's name (default: the source's)")
    command.add_argument("--labels", type=Path, metavar="FILE", help="names of the classes, one a line")
    command.add_argument(
        "--seed", type=int, default=0, metavar="N", help="which samples are set aside for calibration (default: 0)"
    )
    command.add_argument("--trust", action="store_true", help="the source may run code of its own (Lambda layers)")
    command.add_argument("--force", action="store_true", help="replace files that are there")
    command.set_defaults(run=_init)


def _init(options: argparse.Namespace) -> int:
    from liteproof.init import model, repository

    root = Path()
    request = model.Request(
        source=options.source,
        data=options.data,
        name=options.name,
        labels=options.labels,
        seed=options.seed,
        force=options.force,
        trust=options.trust,
    )
    made = model.make(request, root)
    for name in made.written:
        print(f"written    {made.folder / name}")
    for name, became in repository.write(root, force=options.force):
        print(f"{became:<10} {name}")
    print("\n".join(["", *made.notes, "", "next:", *(f"  {line}" for line in repository.next_commands(root))]))
    return ACCEPTED


# -- advise ------------------------------------------------------------------------------------------------------------


def _add_advise(commands: _Commands) -> None:
    command = commands.add_parser("advise", help="what to convert for a device, whether at all, and what to budget")
    command.add_argument(
        "source", type=Path, metavar="SOURCE", help="a .keras, .h5, SavedModel folder or float .tflite"
    )
    command.add_argument("--device", required=True, choices=DEVICES, help="what it is for")
    command.add_argument("--ram", metavar="SIZE", help="its memory, such as 512MB")
    command.add_argument("--flash", metavar="SIZE", help="what the file may take there, such as 1MB")
    command.add_argument("--write", action="store_true", help="write models/NAME/model.toml as advised; needs --data")
    command.add_argument("--data", type=Path, metavar="FILE", help="samples for --write, as init takes them")
    command.add_argument("--name", metavar="NAME", help="the model's name for --write (default: the source's)")
    command.add_argument("--force", action="store_true", help="--write may replace files that are there")
    command.add_argument("--json", action="store_true", help="for programs")
    command.set_defaults(run=_advise)


def _advise(options: argparse.Namespace) -> int:
    from liteproof.advice import advice, page
    from liteproof.advice.devices import parse_size
    from liteproof.convert.progress import progress
    from liteproof.report import terminal

    situation = advice.Situation(
        DEVICES[options.device],
        parse_size(options.ram, "--ram") if options.ram else None,
        parse_size(options.flash, "--flash") if options.flash else None,
    )
    with progress(sys.stderr) as listener:
        found = advice.advise(options.source, situation, listener=listener)
    if options.json:
        print(json.dumps(page.document(found), indent=1))
    else:
        width = _width(100)
        print(page.headline(found) + f"; for: {situation.device.title}\n")
        terminal.show_rows("", page.HEADINGS, page.rows(found), sys.stdout, width=width)
        print("\n".join(["", *page.lines(found, width)]))
    if options.write and found.convert:
        from liteproof.init import model

        request = model.Request(options.source, options.data, options.name, force=options.force)
        made = model.make(request, Path(), variants=page.variants(found), budgets=found.budgets)
        print("\n".join(["", *(f"written    {made.folder / name}" for name in made.written), *made.notes]))
    return ACCEPTED if found.convert else MISSED


# -- explain -----------------------------------------------------------------------------------------------------------


def _add_explain(commands: _Commands) -> None:
    command = commands.add_parser("explain", help="which layer spoils a variant, why, and what would help")
    command.add_argument("model", metavar="MODEL")
    command.add_argument("variant", metavar="VARIANT")
    command.add_argument(
        "--models",
        action="append",
        type=Path,
        metavar="DIR",
        help="a model's folder, or a folder of such (default: models/)",
    )
    command.add_argument(
        "--samples", type=int, default=32, metavar="N", help="evaluation samples to look at (default: 32)"
    )
    command.add_argument("--json", type=Path, metavar="FILE", help="write all layers for programs")
    command.set_defaults(run=_explain)


def _explain(options: argparse.Namespace) -> int:
    from liteproof.store import Store

    if options.samples < 1:
        raise UsageError(f"--samples={options.samples}", expected="at least 1")
    with Store.default().in_use():
        return _explained(options)


def _explained(options: argparse.Namespace) -> int:
    from liteproof.measure.end_faults import coarse_channels, suspect_ends
    from liteproof.report import explanation

    case = _prepared(options.models or [Path("models")], options.model, options.variant)
    if case.variant.key == case.model.float32_key:
        raise UsageError(
            f"{case.variant.name} is the float32 variant, which the others are compared with",
            expected="another variant of " + case.model.name,
        )
    refused = _refusal(case)
    found, samples = _diagnosed(case, options.samples, run=refused is None)
    for cause in () if refused else (*suspect_ends(case), *coarse_channels(case.ends)):
        print(f"before any layer: {cause}\n")
    title, width = f"{case.model.name} / {case.variant.name}", min(_width(80), 120)
    explanation.show(found, sys.stdout, title=title, samples=samples, width=width, color=sys.stdout.isatty())
    if options.json:
        names = {"model": case.model.name, "variant": case.variant.name, "runtime": " ".join(case.runtime)}
        _write_json(options.json, explanation.document(found, samples=samples, **names))
    if refused:
        raise refused
    return ACCEPTED


def _diagnosed(case: Subject, samples: int, *, run: bool) -> tuple[tuple[Finding, ...], int]:
    """Every layer with what it does wrong, and on how many samples; without running the file, what its tables tell."""
    from liteproof.measure.diagnosis import diagnose

    evaluation = case.evaluation.at(case.evaluation.evenly(samples))
    found = diagnose(
        case.same_weights.path,
        case.file.path,
        evaluation.x if run else None,
        case.variant.promise,
        fed_with=case.as_fed(evaluation).x if run else None,
        passed_over=case.folded_layers,
        runtime=case.runtime[0],
    )
    return found, len(evaluation)


def _write_json(path: Path, document: object) -> None:
    try:
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write: {error.strerror or error}", where=str(path)) from error


def _refusal(case: Subject) -> LiteproofError | None:
    """Why the built-in kernels do not take the file, tried in a process of its own; None if they do."""
    try:
        case.open("builtin")
    except LiteproofError as error:
        return error
    return None


def _prepared(models: Sequence[Path], model: str, variant: str) -> Subject:
    """One case on this machine, its files made if the store lacks them."""
    from liteproof.convert.conversion import prepare
    from liteproof.convert.progress import progress
    from liteproof.manifest.resolve import load_plan
    from liteproof.measure.subject import Bench
    from liteproof.store import Store

    store = Store.default()
    plan = load_plan(models, model_names=(model,), variant_names=(variant,), root=Path.cwd(), store=store)
    (case,) = plan.cases()
    with progress(sys.stderr) as listener:
        prepare(plan, store, [case], progress=listener)
    return Bench(store).subject(case)


# -- inspect -----------------------------------------------------------------------------------------------------------


def _add_inspect(commands: _Commands) -> None:
    command = commands.add_parser("inspect", help="what a .tflite file holds: tensors, operators, quantization, bytes")
    command.add_argument("file", type=Path)
    command.add_argument("--json", action="store_true", help="for programs")
    command.set_defaults(run=_inspect)


def _inspect(options: argparse.Namespace) -> int:
    from liteproof.tflite.facts import facts
    from liteproof.tflite.inspection import inspect_json, inspect_text
    from liteproof.tflite.reader import read_model

    model = read_model(options.file)
    found = facts(model)
    print(json.dumps(inspect_json(model, found), indent=1) if options.json else inspect_text(model, found))
    return ACCEPTED


# -- repair ------------------------------------------------------------------------------------------------------------


def _add_repair(commands: _Commands) -> None:
    command = commands.add_parser(
        "repair",
        help="write an old Keras file in the current format, with the same weights and outputs that were compared",
        description="Reads a .h5 or .keras of Keras 2 or Keras 3 and writes it as a .keras of the Keras 3 that is "
        "installed. Both answer on the same seeded inputs: where weights or outputs differ, nothing is written.",
    )
    command.add_argument("source", type=Path, metavar="SOURCE", help="a .h5 or a .keras")
    command.add_argument("out", type=Path, metavar="OUT", help="a .keras that is not there yet")
    command.add_argument("--trust", action="store_true", help="let the file run code of its own (Lambda layers)")
    command.add_argument(
        "--custom-objects",
        metavar="PACKAGE.MODULE:NAME",
        help="a function in this folder that returns custom layers and functions by name",
    )
    command.set_defaults(run=_repair)


def _repair(options: argparse.Namespace) -> int:
    from liteproof.convert.repair import Permission, repair
    from liteproof.manifest.schema import CALLABLE

    name = options.custom_objects
    if name and not re.fullmatch(CALLABLE, name):
        raise UsageError(f"--custom-objects={name}", expected="package.module:name", where="liteproof repair")
    permission = Permission(options.trust, name, str(Path.cwd()))
    done = repair(options.source, options.out, permission, lambda line: print(line, file=sys.stderr, flush=True))
    print(
        f"{options.out}: written by Keras {done.writes} (before: {done.wrote or 'unknown'})\n"
        f"  weights: {done.arrays} arrays, {done.parameters:,} values, equal to the bit\n"
        f"  outputs: largest difference {done.difference:.3g} on {done.samples} seeded inputs "
        f"(outputs reach {done.largest:.3g})"
    )
    return ACCEPTED


# -- doctor ------------------------------------------------------------------------------------------------------------


def _add_doctor(commands: _Commands) -> None:
    command = commands.add_parser("doctor", help="whether a target can judge, and what its machine is like")
    command.add_argument("target", metavar="TARGET", help="its name in targets.toml")
    command.add_argument("--install", action="store_true", help="make a virtual environment of its own on the board")
    command.add_argument(
        "--targets", type=Path, default=Path("targets.toml"), metavar="FILE", help="default: targets.toml here"
    )
    command.set_defaults(run=_doctor)


def _doctor(options: argparse.Namespace) -> int:
    from liteproof.manifest.place import Place
    from liteproof.manifest.targets import read_targets, select_targets
    from liteproof.targets import doctor

    targets = read_targets(options.targets)
    (target,) = select_targets(targets, [options.target], Place.of(options.targets))
    if not target.remote:
        target = replace(target, python=sys.executable)
    if options.install:
        doctor.install(target, lambda text: print(text, flush=True))
        target = replace(target, python=None)
    examination = doctor.examine(target)
    print(examination.text)
    return ACCEPTED if examination.ready else MISSED


# -- report ------------------------------------------------------------------------------------------------------------


def _add_report(commands: _Commands) -> None:
    command = commands.add_parser("report", help="make the reports of a run again, from its results.json")
    command.add_argument("folder", type=Path, metavar="RUN", help="a run's folder, such as reports/latest")
    command.add_argument("--out", type=Path, help="write them here (default: the run's own folder)")
    command.set_defaults(run=_report)


def _report(options: argparse.Namespace) -> int:
    from liteproof.report.results import read
    from liteproof.report.writer import left_out, render

    results = read(options.folder)
    folder = options.out or (options.folder if options.folder.is_dir() else options.folder.parent)
    for path in render(results, folder):
        print(path)
    if note := left_out():
        print(note, file=sys.stderr)
    return ACCEPTED


# -- compare -----------------------------------------------------------------------------------------------------------


def _add_compare(commands: _Commands) -> None:
    command = commands.add_parser("compare", help="what changed between two runs, or between two targets of one run")
    command.add_argument("before", type=Path, metavar="RUN_A", help="a run's folder or its results.json")
    command.add_argument("after", type=Path, metavar="RUN_B", nargs="?", help="another run's")
    command.add_argument("--targets", nargs=2, metavar=("A", "B"), help="compare these two targets of RUN_A instead")
    command.add_argument("--markdown", action="store_true", help="for a comment or a page")
    command.set_defaults(run=_compare)


def _compare(options: argparse.Namespace) -> int:
    from liteproof.report import comparison, markdown, terminal
    from liteproof.report.results import read

    if (options.after is None) == (options.targets is None):
        raise UsageError("what to compare is unclear", expected="RUN_A RUN_B, or RUN_A --targets A B", where="compare")
    first = read(options.before)
    if options.targets:
        compared = comparison.between_targets(first, *options.targets)
    else:
        compared = comparison.between_runs(first, read(options.after))
    if options.markdown:
        print(markdown.comparison_document(compared), end="")
    else:
        terminal.show_comparison(compared, sys.stdout, width=_width(120), color=sys.stdout.isatty())
    return ACCEPTED


# -- recommend ---------------------------------------------------------------------------------------------------------


def _add_recommend(commands: _Commands) -> None:
    command = commands.add_parser("recommend", help="print the path of the variant to ship")
    command.add_argument("folder", type=Path, metavar="RUN", help="a run's folder, such as reports/latest")
    command.add_argument("--model", metavar="NAME", help="of this model (default: the only one)")
    command.add_argument("--target", metavar="NAME", help="to this target (default: the only one)")
    command.add_argument("--why", action="store_true", help="the reason instead of the path")
    command.set_defaults(run=_recommend)


def _recommend(options: argparse.Namespace) -> int:
    from liteproof.report import recommendation
    from liteproof.report.results import read
    from liteproof.store import Store

    results = read(options.folder)
    folder = options.folder if options.folder.is_dir() else options.folder.parent
    chosen = recommendation.choose(results, options.model, options.target)
    path = recommendation.file_of(results, folder, chosen, Store.default())
    print(chosen.line if options.why else path)
    return ACCEPTED


# -- accept ------------------------------------------------------------------------------------------------------------


def _add_accept(commands: _Commands) -> None:
    command = commands.add_parser("accept", help="take a run's values as the accepted baseline of its models")
    command.add_argument("folder", type=Path, metavar="RUN", help="a run's folder, such as reports/latest")
    command.add_argument("--model", action="append", metavar="NAME", help="of this model only (repeatable)")
    command.add_argument("--root", type=Path, default=Path(), help="the root folder of the run (default: this folder)")
    command.set_defaults(run=_accept)


def _accept(options: argparse.Namespace) -> int:
    from liteproof.accepted import FILE, write
    from liteproof.report.acceptance import baselines
    from liteproof.report.results import read
    from liteproof.store import Store

    results = read(options.folder)
    found = baselines(results)
    for name in options.model or found:
        if name not in found:
            raise UsageError(
                f"no variant of {name!r} was accepted in this run",
                expected=f"one of {', '.join(found) or 'none'}",
                where=str(options.folder),
            )
        folder = (options.root / results.models[name]["manifest"]["file"]).parent
        if not (folder / "model.toml").is_file():
            raise UsageError(
                f"the manifest of {name} is not there",
                expected="the folder that the run judged",
                where=str(folder / "model.toml"),
                next="liteproof accept --root=FOLDER RUN",
            )
        write(folder, found[name])
        origin = f"{folder.resolve() / FILE}, of run {results.run.id}"
        Store.default().pin(f"{results.run.id}-{name}", found[name].digests.values(), origin)
        print(f"{folder / FILE}: {', '.join(found[name].variants)}")
    return ACCEPTED if found else MISSED


# -- verify ------------------------------------------------------------------------------------------------------------


def _add_verify(commands: _Commands) -> None:
    command = commands.add_parser("verify", help="was this very file accepted by a sign-off, where and under what?")
    command.add_argument("file", type=Path, metavar="FILE", help="a .tflite")
    command.add_argument(
        "--signoff", type=Path, required=True, metavar="STATEMENT", help="the statement.json of a release folder"
    )
    command.set_defaults(run=_verify)


def _verify(options: argparse.Namespace) -> int:
    from liteproof.report.verification import accepted_by

    print(accepted_by(options.file, options.signoff))
    return ACCEPTED


# -- history -----------------------------------------------------------------------------------------------------------


def _add_history(commands: _Commands) -> None:
    command = commands.add_parser("history", help="how a model's metrics moved over its sign-offs")
    command.add_argument("model", metavar="MODEL")
    command.add_argument(
        "--under",
        type=Path,
        default=Path("reports"),
        metavar="DIR",
        help="where sign-offs are kept (default: reports/)",
    )
    command.add_argument("--metric", action="append", metavar="NAME", help="this metric only (repeatable)")
    command.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw them too")
    command.set_defaults(run=_history)


def _history(options: argparse.Namespace) -> int:
    from liteproof.report import history, terminal
    from liteproof.store import write_atomically

    kept = history.sign_offs(options.under, options.model)
    if not kept:
        raise UsageError(
            f"no sign-off of {options.model!r} is kept there",
            expected="runs with --signoff that were granted, or their release folders",
            where=str(options.under),
            next=f"liteproof history {options.model} --under DIR",
        )
    wanted = options.metric or []
    found = [one for one in history.series(kept, options.model) if not wanted or one.metric in wanted]
    listed = [one for one in found if wanted or one.moved]
    days = f"{kept[0].run.started[:10]} to {kept[-1].run.started[:10]}"
    title = f"{options.model}: {len(kept)} sign-off{'s' * (len(kept) > 1)}, {days}"
    rows = list(history.rows(listed))
    terminal.show_rows(title, history.HEADINGS, rows, sys.stdout, width=_width(120), whole=history.NAMES)
    if still := len(found) - len(listed):
        print(f"unchanged from the first one on: {still} more; --metric NAME shows them")
    if options.plot and found:
        write_atomically(options.plot, history.plot(found, options.model))
        print(options.plot)
    return ACCEPTED


# -- store -------------------------------------------------------------------------------------------------------------


def _add_store(commands: _Commands) -> None:
    command = commands.add_parser("store", help="what the store holds, by model and kind; with prune, make it smaller")
    command.set_defaults(run=_store)
    store_commands = command.add_subparsers(metavar="prune")
    prune = store_commands.add_parser(
        "prune", help="remove what was not used for longest; never what a sign-off or an accepted baseline names"
    )
    prune.add_argument("--max-size", metavar="SIZE", help="such as 5GB (default: $LITEPROOF_STORE_LIMIT, else 10GB)")
    prune.add_argument("--older-than", metavar="TIME", help="what was not used for so long goes, such as 30d or 12h")
    prune.add_argument("--dry-run", action="store_true", help="only say what would go")
    prune.set_defaults(run=_prune)


def _store(_: argparse.Namespace) -> int:
    from liteproof.report.store_table import HEADINGS, rows
    from liteproof.report.terminal import show_rows
    from liteproof.report.wording import size
    from liteproof.store import Store
    from liteproof.store_pruning import holdings, limit_of

    store = Store.default()
    held = holdings(store)
    total = sum(content.bytes for content in held)
    title = f"{store.root}: {size(total)} of {size(limit_of())}"
    show_rows(title, HEADINGS, list(rows(held)), sys.stdout, width=_width(80))
    return ACCEPTED


def _prune(options: argparse.Namespace) -> int:
    from liteproof.report.wording import size
    from liteproof.store import Store
    from liteproof.store_pruning import bytes_of, limit_of, prune, seconds_of

    unused = seconds_of(options.older_than, "--older-than") if options.older_than else None
    most = bytes_of(options.max_size, "--max-size") if options.max_size else limit_of()
    store = Store.default()
    with contextlib.ExitStack() as stack:
        if not stack.enter_context(store.alone(wait=False)):
            print("waiting for a run that has the store in use (Ctrl-C ends this)", file=sys.stderr, flush=True)
            stack.enter_context(store.alone())
        done = prune(store, most_bytes=most, unused_s=unused, dry_run=options.dry_run)
    for content in done.removed:
        print(f"{size(content.bytes):>8}  {content.kind}{content.model and f' of {content.model}'}")
    for path in done.abandoned:
        print(f"left behind by a killed writer: {path.name}")
    verb = "would be removed" if options.dry_run else "removed"
    print(
        f"{len(done.removed)} contents {verb}, {size(done.freed_bytes)}; {size(done.left_bytes)} left in {store.root}"
    )
    return ACCEPTED


if __name__ == "__main__":
    sys.exit(main())
