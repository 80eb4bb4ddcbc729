"""One cold start in this very process: import, load, allocate, first inference; then more of them, watching memory.

    python -P -m liteproof.measure.cold_process model.tflite ai_edge_litert 1 0.25 '' input0.npy
    {"start": 81.02, "import_s": 0.113, "load_s": 0.001, "allocate_s": 0.0004, "first_s": 0.0002, …}

It imports numpy and the runtime and nothing else before it has measured, so that what it takes is what the smallest
program around the model would take. `liteproof.measure.cold_start` starts it, and reads its one line.
"""

import sys
import time

# Memory is read after each block of inferences: a model at rest gains none from one block to the next.
BLOCKS = 10
MOST_PER_BLOCK = 200


def main(path: str, runtime: str, threads: str, seconds: str, delegate: str, *inputs: str) -> None:
    """Print what a cold start took, as one line of JSON (times in seconds, memory in bytes).

    Args:
        path: The `.tflite`.
        runtime: "ai_edge_litert", "tflite_runtime" or "tensorflow".
        threads: Threads for one inference.
        seconds: About how long to go on after the first inference.
        delegate: Empty, or a delegate library and its options as JSON: {"library": …, "options": {…}}.
        *inputs: A `.npy` for each input, in the order of the graph: what it holds for one sample.
    """
    started, times = time.monotonic(), [time.perf_counter()]
    library, read = imported(runtime)
    times.append(time.perf_counter())
    bare = peak_memory()
    delegates = [loaded(delegate, library)] if delegate else None
    interpreter = library.Interpreter(model_path=path, num_threads=int(threads), experimental_delegates=delegates)
    times.append(time.perf_counter())
    arrays = [read(name, allow_pickle=False) for name in inputs]
    fed = list(zip(interpreter.get_input_details(), arrays, strict=True))
    resize(interpreter, fed)
    times.append(time.perf_counter())
    interpreter.allocate_tensors()
    times.append(time.perf_counter())
    answer(interpreter, fed)
    times.append(time.perf_counter())
    per_block, memory, processor = repeat(interpreter.invoke, float(seconds))
    tell(
        times,
        start=started,
        bare_bytes=bare,
        peak_bytes=peak_memory(),
        inferences_per_block=per_block,
        memory_bytes=memory,
        cpu_s=processor,
    )


def imported(runtime: str):  # type: ignore[no-untyped-def]
    """The runtime, and numpy's reader of arrays."""
    import importlib

    from numpy import load

    if runtime == "tensorflow":
        return importlib.import_module(runtime).lite, load
    return importlib.import_module(f"{runtime}.interpreter"), load


def resize(interpreter, fed) -> None:  # type: ignore[no-untyped-def]
    """Give inputs of a free size that of their arrays."""
    for detail, array in fed:
        if tuple(detail["shape"]) != array.shape:
            interpreter.resize_tensor_input(detail["index"], array.shape)


def answer(interpreter, fed) -> None:  # type: ignore[no-untyped-def]
    """One inference, fed and read."""
    for detail, array in fed:
        interpreter.set_tensor(detail["index"], array)
    interpreter.invoke()
    for detail in interpreter.get_output_details():
        interpreter.get_tensor(detail["index"])


def tell(times: "list[float]", **more: object) -> None:
    """Write what each phase took, and the rest."""
    import itertools
    import json

    names = ("import_s", "load_s", "read_s", "allocate_s", "first_s")
    phases = [after - before for before, after in itertools.pairwise(times)]
    sys.stdout.write(json.dumps({**dict(zip(names, phases, strict=True)), **more}) + "\n")


def loaded(delegate: str, library):  # type: ignore[no-untyped-def]
    """A delegate of the runtime's own making."""
    import json

    wanted = json.loads(delegate)
    load = library.experimental.load_delegate if hasattr(library, "experimental") else library.load_delegate
    return load(wanted["library"], wanted["options"])


def repeat(invoke, seconds: float) -> "tuple[int, list[int], float]":  # type: ignore[no-untyped-def]
    """Further inferences, in blocks.

    Returns:
        Inferences in a block; memory before the first block and after each; processor seconds of one inference, of all
        threads, those that wait for the next one in a busy loop included.
    """
    before = time.perf_counter()
    invoke()
    each = max(time.perf_counter() - before, 1e-9)
    per_block = max(1, min(MOST_PER_BLOCK, int(seconds / BLOCKS / each)))
    memory = [0] * (BLOCKS + 1)
    memory[0] = resident_memory()
    used = 0.0
    for block in range(BLOCKS):
        start = time.process_time()
        for _ in range(per_block):
            invoke()
        used += time.process_time() - start
        memory[block + 1] = resident_memory()
    return per_block, memory, used / (BLOCKS * per_block)


def peak_memory() -> int:
    """The most memory that this process has had resident, in bytes.

    From VmHWM, which starts afresh with the program. `getrusage` does not: on Linux a process starts with the peak of
    the one that started it, so it serves only where there is no /proc.
    """
    try:
        with open("/proc/self/status") as lines:  # noqa: PTH123 - pathlib would be one more import to pay for
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def resident_memory() -> int:
    """Memory of this process's own that is resident, in bytes.

    Without pages of files, which come and go with the system's cache. `smaps_rollup` counts pages one by one; the
    figures in `status` are up to some hundred kB behind (proc(5)).
    """
    try:
        with open("/proc/self/smaps_rollup") as lines:  # noqa: PTH123
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Anonymous:"))
    except (OSError, StopIteration):
        return peak_memory()


if __name__ == "__main__":
    main(*sys.argv[1:])
