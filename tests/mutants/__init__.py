"""The proof that the suites see what they should: defective files made from healthy ones, and what became of them.

Each *kind* of defect is a function that spoils a healthy conversion or the way it was made: one edit of the
flatbuffer (`parameters`, `weights`, `graphs`), another recipe, source or calibration set (`conversions`), and the same
for files that were trained further (`trained`) or are of mixed precision (`mixed`). A *mutant* is
one kind made from one example model. The real suites judge all mutants beside all healthy variants (`detection`), a
plain script with top-1 agreement judges the same files (`plain_script`), and `table` writes what came out:
docs/detection.md.

    python -m tests.mutants.table        # makes and judges everything, some minutes, and writes the page
"""
