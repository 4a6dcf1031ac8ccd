"""Intervals of paired comparisons by scipy and statsmodels: python make_paired_intervals.py

Writes Tests/Fixtures/expected/paired-intervals.json. torch is not needed; statsmodels is (requirements-intervals.txt).

- "shares": right and wrong answers of two ways on the same questions. Newcombe's square-and-add interval (1998, method 10) from statsmodels'
  Wilson intervals. No Python package has the paired method, so this one is checked three ways first: against the interval that the tests of R's
  contingencytables (Fagerland, Lydersen and Laake, Statistical Analysis of Contingency Tables, 2017) expect; against statsmodels' interval for
  independent samples where the correlation is 0; and by its coverage in draws from known probabilities.
- "differences": scipy's paired t-test.
- "ratios": the ratio estimator by numpy, and by statsmodels' weighted least squares where every residual weighs 1 (its HC1 errors are the formula).
"""

import json
import math
import pathlib

import numpy
import scipy.stats
import statsmodels.api
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

OUTPUT = pathlib.Path(__file__).resolve().parents[2] / "Tests" / "Fixtures" / "expected" / "paired-intervals.json"

# (both, only the first, only the second, neither): interval as printed
PUBLISHED = [((59, 6, 16, 80), (-0.1186, -0.0046))]


def newcombe(both, first, second, neither):
    n = both + first + second + neither
    p1, p2 = (both + first) / n, (both + second) / n
    l1, u1 = proportion_confint(both + first, n, method="wilson")
    l2, u2 = proportion_confint(both + second, n, method="wilson")
    margins = (both + first) * (second + neither) * (both + second) * (first + neither)
    phi = 0.0
    if margins:
        product = both * neither - first * second
        if product > 0:
            product = max(product - n / 2, 0)
        phi = product / math.sqrt(margins)
    low = math.sqrt(max(0, (p1 - l1) ** 2 - 2 * phi * (p1 - l1) * (u2 - p2) + (u2 - p2) ** 2))
    high = math.sqrt(max(0, (p2 - l2) ** 2 - 2 * phi * (p2 - l2) * (u1 - p1) + (u1 - p1) ** 2))
    return max(-1.0, p1 - p2 - low), min(1.0, p1 - p2 + high)


def check(random):
    for table, printed in PUBLISHED:
        assert all(abs(a - b) < 5.1e-5 for a, b in zip(newcombe(*table), printed)), (table, newcombe(*table))
    for table in [(9, 3, 6, 2), (6, 14, 9, 21), (0, 5, 0, 20)]:
        both, first, second, neither = table
        n = sum(table)
        assert both * neither == first * second or 0 < both * neither - first * second <= n / 2
        independent = confint_proportions_2indep(both + first, n, both + second, n, method="newcomb", compare="diff")
        assert numpy.allclose(newcombe(*table), independent, atol=1e-12), (table, newcombe(*table), independent)
    for p in [(0.85, 0.05, 0.08, 0.02), (0.5, 0.02, 0.1, 0.38), (0.9, 0.01, 0.01, 0.08)]:
        for n in (40, 240):
            draws = random.multinomial(n, p, size=4000)
            covered = sum(low <= p[1] - p[2] <= high for low, high in (newcombe(*map(int, draw)) for draw in draws))
            assert covered / len(draws) > 0.93, (p, n, covered / len(draws))
            print(p, n, "covered", covered / len(draws))


def main():
    random = numpy.random.default_rng(5)
    check(random)
    tables = [table for table, _ in PUBLISHED]
    tables += [(0, 0, 0, 1), (1, 0, 0, 0), (0, 1, 0, 0), (40, 0, 0, 0), (0, 0, 0, 40), (38, 0, 1, 1), (0, 0, 10, 0), (5, 5, 0, 0), (1, 1, 7, 12)]
    tables += [tuple(int(x) for x in random.multinomial(int(random.integers(2, 500)), random.dirichlet([4, 0.5, 0.7, 1]))) for _ in range(40)]
    shares = [{"table": list(table), "interval": list(newcombe(*table))} for table in tables]

    differences = []
    for n in (2, 3, 12, 40):
        a, b = random.integers(1, 30, n), random.integers(1, 30, n)
        interval = scipy.stats.ttest_rel(a, b).confidence_interval()
        differences.append({"this": a.tolist(), "full": b.tolist(), "interval": [interval.low, interval.high]})

    ratios = []
    for n in (2, 5, 30, 31, 200):
        x = random.gamma(4, 0.1, n)
        y = x * random.normal(0.8, 0.1, n)
        ratio = y.sum() / x.sum()
        error = math.sqrt(n / (n - 1) * ((y - ratio * x) ** 2).sum()) / x.sum()
        # Weights 1 / x make weighted least squares the ratio estimator; HC1 is n / (n - 1) times the sandwich.
        fit = statsmodels.api.WLS(y, x, weights=1 / x).fit(cov_type="HC1")
        assert numpy.allclose([fit.params[0], fit.bse[0]], [ratio, error], rtol=1e-10)
        reach = scipy.stats.t.ppf(0.975, n - 1) * error
        ratios.append({"y": y.tolist(), "x": x.tolist(), "ratio": ratio, "interval": [ratio - reach, ratio + reach]})

    text = json.dumps({"shares": shares, "differences": differences, "ratios": ratios})
    OUTPUT.write_text(text.replace('{"table"', '\n{"table"').replace('{"this"', '\n{"this"').replace('{"y"', '\n{"y"') + "\n")


if __name__ == "__main__":
    main()
