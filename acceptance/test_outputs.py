"""The variant answers with numbers that can be used, and with the same ones every time and by every path.

docs/suites/outputs.md says where each rule comes from and what to do when it fails.
"""

import pytest

from liteproof.checks import worst_of
from liteproof.measure import agreement, decisions, outputs
from liteproof.measure.subject import Subject
from liteproof.plugin.fixtures import Check


@pytest.mark.measures("nonfinite_outputs")
def test_outputs_are_finite(case: Subject, check: Check) -> None:
    """No NaN and no infinity where the source has none."""
    check(worst_of({o.name: agreement.nonfinite_outputs(o.reference, o.values) for o in case.every_output}))


@pytest.mark.measures("frozen_outputs")
def test_outputs_follow_the_inputs(case: Subject, check: Check) -> None:
    """No output value stays put where the source's moves from sample to sample."""
    check(worst_of({o.name: outputs.frozen_outputs(o.reference, o.values) for o in case.every_output}))


@pytest.mark.measures("lost_classes")
def test_every_class_is_reached(case: Subject, check: Check) -> None:
    """Every class that the source decides for, the variant decides for too."""
    check(outputs.lost_classes(case.reference, case.outputs, case.threshold, case.model.labels))


@pytest.mark.measures("invalid_probabilities")
def test_probabilities_are_probabilities(case: Subject, check: Check) -> None:
    """Values within [0, 1] that sum to one, where the source's do."""
    if decisions.are_probabilities(case.reference).all():
        check(outputs.invalid_probabilities(case.outputs, case.output_codes))


@pytest.mark.measures("output_saturation")
def test_outputs_fit_their_range(case: Subject, check: Check) -> None:
    """Few outputs are pinned to an end of their range where the source's are elsewhere."""
    coded = {o.name: (o.reference, o.values, o.codes) for o in case.every_output if o.codes is not None}
    if coded:
        check(worst_of({name: outputs.output_saturation(*output) for name, output in coded.items()}))


@pytest.mark.measures("rerun_mismatch")
def test_answers_are_repeated(case: Subject, check: Check) -> None:
    """The same samples give the same answers again, whatever came before them."""
    check(worst_of({name: outputs.rerun_mismatch(*answers) for name, answers in case.rerun().items()}))


@pytest.mark.measures("batch_mismatch")
def test_batches_change_nothing(case: Subject, check: Check) -> None:
    """A sample gives the same answer alone and among others."""
    check(worst_of({name: outputs.batch_mismatch(*answers) for name, answers in case.in_batches().items()}))


@pytest.mark.measures("kernel_path_flips")
def test_kernels_agree(case: Subject, check: Check) -> None:
    """The path that ships (XNNPACK) and the runtime's built-in kernels decide alike where the source is sure."""
    check(outputs.kernel_path_flips(*case.by_kernels, case.threshold, case.output_codes))


@pytest.mark.measures("kernel_path_lsb")
def test_kernels_differ_by_steps(case: Subject, check: Check) -> None:
    """By how many steps of the output the two paths differ."""
    if case.output_codes is not None:
        _, shipped, builtin = case.by_kernels
        check(outputs.kernel_path_lsb(shipped, builtin, case.output_codes))
