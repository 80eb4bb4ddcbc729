"""Intervals against published tables, an independent implementation (scipy) and the coverage that they claim."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from liteproof.statistics import (
    bootstrap,
    mcnemar_exact,
    mean_interval,
    median_ratio,
    paired_drop,
    paired_drop_upper,
    paired_samples_to_settle,
    percentile,
    percentile_bounds,
    percentile_samples_to_settle,
    percentile_upper,
    rounds_needed,
    samples_to_settle,
    spread,
    wilson,
    wilson_lower,
    wilson_samples_to_settle,
    wilson_upper,
)

counts = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
pairs = st.integers(1, 300).flatmap(
    lambda n: st.integers(0, n).flatmap(lambda b: st.tuples(st.just(b), st.integers(0, n - b), st.just(n)))
)


class TestWilson:
    # Newcombe 1998, Stat. Med. 17:857, table I, method 3.
    @pytest.mark.parametrize(
        ("successes", "n", "low", "high"),
        [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
    )
    def test_published(self, successes: int, n: int, low: float, high: float) -> None:
        assert wilson(successes, n) == pytest.approx((low, high), abs=5e-5)

    @pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
    @pytest.mark.parametrize(("successes", "n"), [(0, 1), (1, 1), (593, 597), (50, 100), (3, 2000), (100, 100)])
    def test_scipy(self, successes: int, n: int, confidence: float) -> None:
        def scipys(alternative: str) -> tuple[float, float]:
            test = stats.binomtest(successes, n, alternative=alternative)
            return tuple(test.proportion_ci(confidence, method="wilson"))

        assert wilson(successes, n, confidence) == pytest.approx(scipys("two-sided"), abs=1e-12)
        assert wilson_lower(successes, n, confidence) == pytest.approx(scipys("greater")[0], abs=1e-12)
        assert wilson_upper(successes, n, confidence) == pytest.approx(scipys("less")[1], abs=1e-12)

    @given(counts)
    def test_order(self, count: tuple[int, int]) -> None:
        (low, high), rate = wilson(*count), count[0] / count[1]
        assert 0 <= low <= wilson_lower(*count) <= rate <= wilson_upper(*count) <= high <= 1

    @pytest.mark.parametrize("n", [100, 200, 597, 1000])
    def test_coverage_averaged_over_all_rates(self, n: int) -> None:
        rates = (np.arange(1000) + 0.5) / 1000
        assert 0.94 <= covered_rates(wilson, n, rates).mean() <= 0.965
        assert 0.94 <= covered_rates(lambda x, n: (wilson_lower(x, n), 1.0), n, rates).mean() <= 0.965
        assert 0.94 <= covered_rates(lambda x, n: (0.0, wilson_upper(x, n)), n, rates).mean() <= 0.965

    @pytest.mark.parametrize("n", [100, 200, 597, 1000])
    def test_coverage_of_the_lower_bound_where_agreement_lies(self, n: int) -> None:
        near_one = 0.9 + 0.1 * (np.arange(500) + 0.5) / 500
        assert covered_rates(lambda x, n: (wilson_lower(x, n), 1.0), n, near_one).mean() >= 0.95
        # Coverage has its troughs just below each value that the bound can take.
        bounds = np.array([wilson_lower(x, n) for x in range(n + 1)])
        troughs = stats.binom.cdf(np.arange(n + 1) - 1, n, bounds)[bounds >= 0.5]
        assert troughs.min() >= 0.93

    # `whole` samples at a time, so that the successes are a whole number at this rate.
    @pytest.mark.parametrize(
        ("rate", "whole", "limit", "direction"),
        [
            (0.97, 100, 0.95, "at_least"),
            (0.98, 50, 0.95, "at_least"),
            (1.0, 1, 0.99, "at_least"),
            (0.0, 1, 0.01, "at_most"),
            (0.02, 50, 0.05, "at_most"),
        ],
    )
    def test_samples_to_settle_is_where_the_bound_reaches_the_limit(self, rate, whole, limit, direction) -> None:
        def settled(n: int) -> bool:
            successes = round(rate * n)
            return (
                wilson_lower(successes, n) >= limit if direction == "at_least" else wilson_upper(successes, n) <= limit
            )

        enough = math.ceil(wilson_samples_to_settle(rate, limit, direction) / whole) * whole
        assert settled(enough)
        assert not settled(enough - whole)

    @pytest.mark.parametrize(
        ("rate", "limit", "direction", "expected"),
        [
            (0.95, 0.95, "at_least", None),
            (0.90, 0.95, "at_least", None),
            (0.06, 0.05, "at_most", None),
            (1.0, 1.0, "at_least", None),
            (0.5, 0.0, "at_least", 1),
            (0.5, 1.0, "at_most", 1),
        ],
    )
    def test_samples_to_settle_at_the_edges(self, rate, limit, direction, expected) -> None:
        assert wilson_samples_to_settle(rate, limit, direction) == expected

    @pytest.mark.parametrize("arguments", [(1, 0), (-1, 5), (6, 5), (1, 5, 0.5), (1, 5, 1.0), (1, 5, 95)])
    def test_refused(self, arguments: tuple[float, ...]) -> None:
        with pytest.raises(ValueError, match=r"not a rate|confidence"):
            wilson(*arguments)


class TestPairedDrop:
    # Fagerland, Lydersen & Laake 2014, Stat. Med. 33:2850 (Bentur 2009, Cavo 2012), Tango's score interval.
    @pytest.mark.parametrize(("b", "c", "n", "low", "high"), [(1, 7, 21, -0.517, -0.026), (6, 16, 161, -0.124, -0.005)])
    def test_published(self, b: int, c: int, n: int, low: float, high: float) -> None:
        assert paired_drop(b, c, n) == pytest.approx((low, high), abs=5e-4)

    def test_tango_1998_section_6_1(self) -> None:
        assert paired_drop_upper(1, 0, 44) == pytest.approx(0.096, abs=5e-4)

    def test_r_propcis(self) -> None:
        # scoreci.mp(25, 28, 618, 0.90) of R's PropCIs, which takes (c, b, n).
        assert paired_drop(28, 25, 618, 0.90) == pytest.approx((-0.0148, 0.0247), abs=5e-5)

    @pytest.mark.parametrize(("b", "c", "n"), [(12, 2, 50), (5, 1, 597), (3, 9, 100)])
    def test_ends_are_where_a_numerically_maximised_likelihood_puts_them(self, b: int, c: int, n: int) -> None:
        z = stats.norm.ppf(0.975)
        for end, sign in zip(paired_drop(b, c, n), (1, -1), strict=True):
            # The other cell under the drop `end`, by a numerical search instead of Tango's root.
            only_variant = optimize.minimize_scalar(
                lambda q, d=end: -(b * math.log(q + d) + c * math.log(q) + (n - b - c) * math.log(1 - 2 * q - d)),
                bounds=(max(0.0, -end) + 1e-12, (1 - end) / 2 - 1e-12),
                method="bounded",
                options={"xatol": 1e-13},
            ).x
            deviation = math.sqrt(n * (2 * only_variant + end - end * end))
            assert (b - c - n * end) / deviation == pytest.approx(sign * z, rel=1e-4)

    def test_no_difference_anywhere(self) -> None:
        z2 = stats.norm.ppf(0.95) ** 2
        assert paired_drop_upper(0, 0, 597) == pytest.approx(z2 / (597 + z2))

    @given(pairs)
    def test_order_and_symmetry(self, table: tuple[int, int, int]) -> None:
        b, c, n = table
        low, high = paired_drop(b, c, n)
        assert -1 <= low <= (b - c) / n <= paired_drop_upper(b, c, n) <= high <= 1
        assert paired_drop(c, b, n) == (-high, -low)

    @given(pairs)
    def test_zero_is_outside_exactly_where_mcnemars_score_test_rejects(self, table: tuple[int, int, int]) -> None:
        b, c, n = table
        low, high = paired_drop(b, c, n)
        score = (b - c) / math.sqrt(b + c) if b + c else 0.0
        if abs(abs(score) - stats.norm.ppf(0.975)) > 1e-6:
            assert (low > 0 or high < 0) == (abs(score) > stats.norm.ppf(0.975))

    @pytest.mark.parametrize("n", [200, 597, 1000])
    def test_coverage_averaged_over_realistic_drops(self, n: int) -> None:
        """2 to 30% of samples differ, and the variant loses anything from none to all of them."""
        generator = np.random.default_rng(n)
        differing = generator.uniform(0.02, 0.3, 200)
        drop = differing * generator.uniform(0, 1, 200)
        chances = np.stack([(differing + drop) / 2, (differing - drop) / 2, 1 - differing], axis=-1)
        tables = generator.multinomial(n, chances[:, None, :].repeat(30, axis=1))
        interval, upper = lru_cache(None)(paired_drop), lru_cache(None)(paired_drop_upper)
        two_sided = one_sided = 0
        for true, rows in zip(drop, tables[..., :2].tolist(), strict=True):
            for b, c in rows:
                low, high = interval(b, c, n)
                two_sided += low <= true <= high
                one_sided += true <= upper(b, c, n)
        assert 0.94 <= two_sided / (200 * 30) <= 0.965
        assert 0.94 <= one_sided / (200 * 30) <= 0.965

    @pytest.mark.parametrize(("b", "c", "n", "limit"), [(6, 2, 597, 0.01), (0, 0, 100, 0.01), (5, 6, 200, 0.001)])
    def test_samples_to_settle_is_where_the_bound_reaches_the_limit(self, b, c, n, limit) -> None:
        needed = paired_samples_to_settle(b, c, n, limit)
        assert paired_drop_upper(b, c, n) > limit
        factor = math.ceil(needed / n)
        assert paired_drop_upper(b * factor, c * factor, n * factor) <= limit
        assert paired_drop_upper(b * (factor - 1), c * (factor - 1), n * (factor - 1)) > limit

    def test_samples_to_settle_at_the_edges(self) -> None:
        assert paired_samples_to_settle(6, 0, 600, limit=0.01) is None
        assert paired_samples_to_settle(9, 0, 600, limit=0.01) is None
        assert paired_samples_to_settle(9, 0, 600, limit=1.0) == 1

    @pytest.mark.parametrize("table", [(1, 1, 0), (-1, 0, 5), (3, 3, 5)])
    def test_refused(self, table: tuple[int, int, int]) -> None:
        for function in (paired_drop, paired_drop_upper):
            with pytest.raises(ValueError, match="paired table"):
                function(*table)


class TestMcNemar:
    # Fagerland, Lydersen & Laake 2013, BMC Med. Res. Methodol. 13:91; Johnson & Johnson 1972 (tonsillectomy: 15, 7).
    @pytest.mark.parametrize(("b", "c", "p"), [(1, 7, 0.0703), (6, 16, 0.0525), (15, 7, 0.1338)])
    def test_published(self, b: int, c: int, p: float) -> None:
        assert mcnemar_exact(b, c) == pytest.approx(p, abs=5e-5)

    @pytest.mark.parametrize(("b", "c"), [(0, 0), (5, 5), (0, 1), (3, 30), (400, 600), (1, 900)])
    def test_scipy(self, b: int, c: int) -> None:
        expected = stats.binomtest(b, b + c).pvalue if b + c else 1.0
        assert mcnemar_exact(b, c) == pytest.approx(expected, rel=1e-9)

    def test_refused(self) -> None:
        with pytest.raises(ValueError, match="negative"):
            mcnemar_exact(-1, 2)


class TestPercentile:
    def test_is_numpys_and_the_median(self) -> None:
        times = np.random.default_rng(0).lognormal(size=101)
        assert percentile(times, 0.95) == np.percentile(times, 95)
        assert percentile(times[:100], 0.5) == np.median(times[:100])

    # Smallest n for the largest, second largest, … value to bound the quantile at 95%: CMH-17-1G (Guenther 1969),
    # B-basis (0.90) and A-basis (0.99); Somerville 1958 (0.95).
    @pytest.mark.parametrize(
        ("q", "smallest"),
        [
            (0.90, [29, 46, 61, 76, 89]),
            (0.95, [59, 93, 124, 153, 181]),
            (0.99, [299, 473, 628, 773, 913]),
        ],
    )
    def test_published_ranks_of_upper_bounds(self, q: float, smallest: list[int]) -> None:
        for from_top, n in enumerate(smallest):
            assert percentile_upper(range(1, n + 1), q) == n - from_top
            assert percentile_upper(range(1, n), q) == (n - from_top if from_top else None)

    # Ranks of the 95% interval of a median: Campbell & Gardner 1988, BMJ 296:1454, table.
    @pytest.mark.parametrize(
        ("n", "ranks"), [(6, (1, 6)), (10, (2, 9)), (20, (6, 15)), (30, (10, 21)), (50, (18, 33)), (100, (40, 61))]
    )
    def test_published_ranks_of_the_median(self, n: int, ranks: tuple[int, int]) -> None:
        assert percentile_bounds(range(1, n + 1), 0.5) == ranks

    @pytest.mark.parametrize("q", [0.5, 0.9, 0.95, 0.99])
    @pytest.mark.parametrize("n", [72, 100, 597])
    def test_scipy(self, n: int, q: float) -> None:
        times = np.random.default_rng(n).lognormal(size=n)
        low, high = stats.quantile_test(times, p=q).confidence_interval(0.95)
        assert percentile_bounds(times, q) == (low, None if math.isnan(high) else high)
        high = stats.quantile_test(times, p=q, alternative="less").confidence_interval(0.95).high
        assert percentile_upper(times, q) == (None if math.isnan(high) else high)

    @pytest.mark.parametrize("q", [0.5, 0.95, 0.99])
    def test_coverage_is_at_least_what_is_claimed_and_no_rank_could_be_spared(self, q: float) -> None:
        for n in range(rounds_needed(q), 700, 7):
            rank = int(percentile_upper(range(1, n + 1), q))
            assert stats.binom.cdf(rank - 1, n, q) >= 0.95 > stats.binom.cdf(rank - 2, n, q)
            low, high = percentile_bounds(range(1, n + 1), q)
            within = stats.binom.cdf(high - 1 if high else n, n, q) - stats.binom.cdf(low - 1 if low else -1, n, q)
            assert within >= 0.95

    @pytest.mark.parametrize("digits", [9, 1])
    def test_coverage_simulated_with_outliers_and_with_ties(self, digits: int) -> None:
        """One round in fifty is ten times slower; with one digit most times are equal to others."""
        generator, rounds = np.random.default_rng(digits), 4000

        def times(shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
            slow = np.where(generator.random(shape) < 0.02, 10.0, 1.0)
            return np.round(generator.lognormal(0.0, 0.2, shape) * slow, digits)

        true = np.quantile(times((2_000_000,)), 0.95)
        sample = times((rounds, 100))
        one_sided = np.mean([percentile_upper(row, 0.95) >= true for row in sample])
        two_sided = np.mean([low <= true <= high for low, high in (percentile_bounds(row, 0.95) for row in sample)])
        noise = 3 * math.sqrt(0.95 * 0.05 / rounds)
        assert one_sided >= 0.95 - noise
        assert two_sided >= 0.95 - noise

    @pytest.mark.parametrize(
        ("q", "confidence", "n"),
        [(0.95, 0.95, 59), (0.99, 0.95, 299), (0.9, 0.95, 29), (0.95, 0.99, 90), (0.5, 0.95, 5)],
    )
    def test_rounds_needed(self, q: float, confidence: float, n: int) -> None:
        assert rounds_needed(q, confidence) == n
        assert percentile_upper(range(n), q, confidence) == n - 1
        assert percentile_upper(range(n - 1), q, confidence) is None

    @given(st.lists(st.floats(0.01, 1e3), min_size=59, max_size=100), st.sampled_from([0.5, 0.9, 0.95]))
    def test_order(self, times: list[float], q: float) -> None:
        low, high = percentile_bounds(times, q)
        value = percentile(times, q)
        assert low <= value * (1 + 1e-12)
        assert percentile_upper(times, q) >= value * (1 - 1e-12)
        assert high is None or high >= percentile_upper(times, q)

    def test_samples_to_settle(self) -> None:
        times = np.concatenate([np.full(98, 10.0), [20.0, 30.0]])
        assert percentile(times, 0.95) <= 15 < percentile_upper(times, 0.95)
        needed = percentile_samples_to_settle(times, 0.95, limit=15)
        # By the exact bound, on as many repetitions as that takes.
        enough = next(k for k in range(1, 20) if percentile_upper(np.tile(times, k), 0.95) <= 15)
        assert (enough - 1) * 100 <= needed <= (enough + 1) * 100
        assert percentile_samples_to_settle(times, 0.99, limit=15) is None
        assert percentile_samples_to_settle(times[:10], 0.99, limit=15) == 299

    @pytest.mark.parametrize(
        ("values", "q"), [([], 0.5), ([math.nan], 0.5), ([[1.0]], 0.5), ([1.0], 95), ([1.0], 0.0), ([1.0], 1.0)]
    )
    def test_refused(self, values: list[float], q: float) -> None:
        for function in (percentile, percentile_bounds, percentile_upper):
            with pytest.raises(ValueError, match=r"values|fraction"):
                function(values, q)


class TestBootstrap:
    def test_scipy_percentile(self) -> None:
        times = np.random.default_rng(3).lognormal(size=80)
        ours = bootstrap(lambda x: np.mean(x, axis=-1), times, resamples=9999)
        theirs = stats.bootstrap(
            (times,), np.mean, n_resamples=9999, method="percentile", rng=np.random.default_rng(4)
        ).confidence_interval
        assert ours.value == np.mean(times)
        assert ours.interval == pytest.approx(tuple(theirs), abs=0.05 * (theirs.high - theirs.low))

    def test_scipy_paired_ratio_of_medians(self) -> None:
        generator = np.random.default_rng(5)
        disturbance = generator.lognormal(0.0, 0.3, 100)
        a, b = 2.0 * disturbance, disturbance * generator.lognormal(0.0, 0.02, 100)
        ours = median_ratio(a, b, resamples=9999)
        theirs = stats.bootstrap(
            (a, b),
            lambda x, y, axis: np.median(x, axis=axis) / np.median(y, axis=axis),
            paired=True,
            n_resamples=9999,
            method="percentile",
            rng=np.random.default_rng(6),
        ).confidence_interval
        assert ours.value == np.median(a) / np.median(b)
        assert ours.interval == pytest.approx(tuple(theirs), abs=0.1 * (theirs.high - theirs.low))

    def test_a_shared_disturbance_cancels(self) -> None:
        disturbance = np.random.default_rng(7).lognormal(0.0, 0.5, 100)
        ratio = median_ratio(2.0 * disturbance, disturbance)
        assert ratio.interval == pytest.approx((2.0, 2.0))
        unpaired = median_ratio(2.0 * disturbance, disturbance[::-1])
        assert unpaired.interval[1] - unpaired.interval[0] > 0.3

    def test_blocks_do_not_change_the_distribution(self) -> None:
        """60,000 values are resampled in blocks of 16 rows; the interval is still the normal one."""
        values = np.random.default_rng(8).normal(size=60_000)
        low, high = bootstrap(lambda x: np.mean(x, axis=-1), values, resamples=199).interval
        assert high - low == pytest.approx(2 * 1.96 / math.sqrt(60_000), rel=0.2)

    @pytest.mark.parametrize("function", [mean_interval, lambda x, **more: median_ratio(x, np.roll(x, 1), **more)])
    def test_order_and_seed(self, function: Callable[..., object]) -> None:
        values = np.random.default_rng(9).lognormal(size=60)
        estimate = function(values, seed=1)
        assert estimate.interval[0] <= estimate.lower <= estimate.value <= estimate.upper <= estimate.interval[1]
        assert function(values, seed=1) == estimate
        assert function(values, seed=2) != estimate
        # A one-sided bound at 95% is an end of the two-sided interval at 90%.
        assert function(values, confidence=0.9, seed=1).interval == (estimate.lower, estimate.upper)

    def test_mean_scipy_t_where_nothing_is_skewed(self) -> None:
        values = np.random.default_rng(10).normal(5.0, 1.0, 400)
        interval = mean_interval(values, resamples=9999).interval
        theirs = stats.ttest_1samp(values, 0).confidence_interval(0.95)
        assert interval == pytest.approx(tuple(theirs), abs=0.05 * (theirs.high - theirs.low))

    def test_mean_of_equal_values(self) -> None:
        estimate = mean_interval([0.1] * 30)
        assert estimate.value == pytest.approx(0.1)
        assert estimate.interval == (estimate.value, estimate.value)

    def test_mean_with_one_value_that_differs_has_no_upper_bound(self) -> None:
        estimate = mean_interval([0.0] * 29 + [1.0])
        assert estimate.upper == math.inf
        assert math.isfinite(estimate.lower)

    @pytest.mark.slow
    def test_coverage_of_means(self) -> None:
        """Skewed errors at n = 200, where the percentile method would lose the upper bound to 92%."""
        generator, runs = np.random.default_rng(11), 1000
        true = 1.0
        estimates = [mean_interval(generator.exponential(true, 200), resamples=999, seed=i) for i in range(runs)]
        assert 0.93 <= np.mean([e.interval[0] <= true <= e.interval[1] for e in estimates]) <= 0.97
        assert 0.93 <= np.mean([true <= e.upper for e in estimates]) <= 0.97
        assert 0.93 <= np.mean([e.lower <= true for e in estimates]) <= 0.97

    @pytest.mark.slow
    @pytest.mark.parametrize("n", [2001, 10_000])
    def test_coverage_of_the_means_of_groups(self, n: int) -> None:
        """Of many values groups are resampled; skewed ones, as drifts are."""
        generator, runs, true = np.random.default_rng(13), 600, math.exp(0.5)
        estimates = [mean_interval(generator.lognormal(0.0, 1.0, n), resamples=399, seed=i) for i in range(runs)]
        noise = 3 * math.sqrt(0.95 * 0.05 / runs)
        for covered in (
            [e.upper >= true for e in estimates],
            [e.interval[0] <= true <= e.interval[1] for e in estimates],
        ):
            assert abs(np.mean(covered) - 0.95) < noise + 0.01

    def test_groups_are_as_wide_as_the_values_themselves(self) -> None:
        values = np.random.default_rng(5).exponential(1.0, 2001)
        singly, grouped = mean_interval(values[:2000]), mean_interval(values)
        assert grouped.value == pytest.approx(values.mean())
        assert grouped.upper - grouped.value == pytest.approx(singly.upper - singly.value, rel=0.15)

    @pytest.mark.slow
    def test_coverage_of_ratios(self) -> None:
        """Never less than claimed; a median jumps from one value to the next, which makes its bootstrap wide."""
        generator, runs = np.random.default_rng(12), 1000
        estimates = []
        for i in range(runs):
            shared = generator.lognormal(0.0, 0.1, 100)
            a, b = (median * shared * generator.lognormal(0.0, 0.1, 100) for median in (3.0, 2.0))
            estimates.append(median_ratio(a, b, resamples=399, seed=i))
        noise = 3 * math.sqrt(0.95 * 0.05 / runs)
        assert np.mean([e.interval[0] <= 1.5 <= e.interval[1] for e in estimates]) >= 0.95 - noise
        assert np.mean([e.lower <= 1.5 for e in estimates]) >= 0.95 - noise
        assert np.mean([e.upper >= 1.5 for e in estimates]) >= 0.95 - noise

    def test_refused(self) -> None:
        with pytest.raises(ValueError, match="one length"):
            median_ratio([1.0, 2.0], [1.0])
        with pytest.raises(ValueError, match="positive"):
            median_ratio([1.0, 2.0], [1.0, 0.0])
        with pytest.raises(ValueError, match="resamples"):
            mean_interval([1.0, 2.0, 3.0], resamples=10)
        with pytest.raises(ValueError, match="two values"):
            mean_interval([1.0])
        with pytest.raises(ValueError, match="confidence"):
            mean_interval([1.0, 2.0], confidence=95)


class TestSamplesToSettle:
    def test_agrees_with_the_central_limit_theorem(self) -> None:
        n, deviation, limit = 100, 1.0, 0.1
        bound = stats.norm.ppf(0.95) * deviation / math.sqrt(n)
        needed = samples_to_settle(n, value=0.0, bound=bound, limit=limit)
        assert stats.norm.ppf(0.95) * deviation / math.sqrt(needed) <= limit
        assert stats.norm.ppf(0.95) * deviation / math.sqrt(needed - 1) > limit

    @pytest.mark.parametrize(("bound", "limit"), [(1.2, 1.0), (1.2, 0.9), (math.inf, 1.1), (1.0, 1.1)])
    def test_never(self, bound: float, limit: float) -> None:
        assert samples_to_settle(100, value=1.0, bound=bound, limit=limit) is None

    def test_from_below(self) -> None:
        assert samples_to_settle(100, value=1.0, bound=0.8, limit=0.9) == 400


class TestSpread:
    def test_steady(self) -> None:
        steady = spread([2.0] * 10)
        assert (steady.deviation_over_mean, steady.halves_ratio, steady.extremes_ratio) == (0.0, 1.0, 1.0)

    def test_each_number_sees_its_own_trouble(self) -> None:
        rising = spread(np.linspace(1.0, 2.0, 100))
        assert rising.halves_ratio == pytest.approx(1.75 / 1.25, rel=0.02)
        outlier = spread([1.0] * 99 + [10.0])
        assert outlier.halves_ratio == 1.0
        assert outlier.extremes_ratio == 10.0
        assert outlier.deviation_over_mean == pytest.approx(stats.variation([1.0] * 99 + [10.0], ddof=1))

    @pytest.mark.parametrize("values", [[1.0], [1.0, 0.0], [1.0, math.inf], []])
    def test_refused(self, values: list[float]) -> None:
        with pytest.raises(ValueError, match=r"values"):
            spread(values)


def covered_rates(
    interval: Callable[[int, int], tuple[float, float]], n: int, rates: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The exact chance, for each true rate, that the interval of a sample of n holds it: shape (len(rates),)."""
    ends = np.array([interval(x, n) for x in range(n + 1)])
    holds = (ends[:, 0] <= rates[:, None]) & (rates[:, None] <= ends[:, 1])
    return (stats.binom.pmf(np.arange(n + 1), n, rates[:, None]) * holds).sum(axis=1)
