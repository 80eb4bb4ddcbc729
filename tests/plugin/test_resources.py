"""A long run takes no more memory and no more descriptors than a short one."""

import sys
from collections import defaultdict

import pytest

from tests.plugin.tiny import MANIFEST, network

VARIANTS = 300


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_and_descriptors_do_not_grow_with_the_variants(gate, tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("RESOURCES", str(tmp_path / "resources"))
    manifest = MANIFEST.partition("[variants.float32]")[0]
    for i in range(VARIANTS):
        manifest += f'[variants.v{i}]\nfile = "v{i}.tflite"\nrecipe = "float32"\n'
    folder = tiny(manifest)
    for i in range(VARIANTS):
        (folder / f"v{i}.tflite").write_bytes(network())
    run = gate(
        "-p", "tests.plugin.watch_resources", "-k", "repeated or batches or recipe or finite",
        timeout=900,
    )  # fmt: skip
    assert run.status == 0, run.text[-3000:]
    seen = defaultdict(list)
    for line in (tmp_path / "resources").read_text().splitlines():
        process, descriptors, resident = map(int, line.split())
        seen[process].append((descriptors, resident))
    assert len(seen) == 2  # pytest's own process, and the one that the tests ran in
    for entries in seen.values():
        assert len(entries) >= 3 * VARIANTS
        early, late = entries[VARIANTS : 2 * VARIANTS], entries[-VARIANTS:]
        assert max(d for d, _ in late) <= max(d for d, _ in early)
        # Reports of tests are kept to the end: 15 to 30 kB for each. A file that stayed open would cost a hundred.
        grown = (max(r for _, r in late) - max(r for _, r in early)) / (len(entries) - 2 * VARIANTS)
        assert grown < 50, f"{grown:.1f} kB for each test"
