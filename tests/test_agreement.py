"""Agreement of two judges against scikit-learn's kappa and by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score

from ldr_utils.scores.agreement import agreement_table, both_judged, cohen_kappa, result_rows
from ldr_utils.study.errors import InputError
from ldr_utils.study.params import AlpacaParams, StudyParams, validate


def verdicts(preference: list[float], lang: str = "en", status: str = "ok") -> pd.DataFrame:
    ids = [str(k) for k in range(len(preference))]
    return pd.DataFrame({"id": ids, "lang": lang, "preference": preference, "status": status})


def random_sides(seed: int, n: int = 200) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    first = rng.choice([0.0, 0.5, 1.0], size=n)
    return first, np.where(rng.random(n) < 0.6, first, rng.choice([0.0, 0.5, 1.0], size=n))


@pytest.mark.parametrize("seed", range(5))
def test_kappa_equals_that_of_scikit_learn(seed: int) -> None:
    first, second = random_sides(seed)
    both = both_judged(verdicts(first.tolist()), verdicts(second.tolist()))
    labels = [(2 * side).astype(int) for side in (first, second)]
    expected = cohen_kappa_score(*labels)
    table = agreement_table(both, ["en"])
    assert table.loc["en", "judge_kappa"] == pytest.approx(expected, abs=1e-12)
    assert table.loc["en", "judge_agreement"] == pytest.approx((first == second).mean())
    assert table.loc["en", "cases"] == 200


def test_kappa_by_hand() -> None:
    """The 2 x 2 example of Cohen: 20 + 15 of 50 agree, chance gives one half."""
    counts = np.array([[[20.0, 5.0], [10.0, 15.0]], [[9.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    found = cohen_kappa(counts)
    assert found[0] == pytest.approx((0.7 - 0.5) / 0.5)
    assert np.isnan(found[1:]).all()


def test_cases_without_a_verdict_of_both_are_left_out() -> None:
    first, second = verdicts([1.0, 1.0, 0.0]), verdicts([1.0, 0.0, 0.0])
    second.loc[1, "status"] = "refused"
    both = both_judged(first, second)
    assert list(both["id"]) == ["0", "2"]
    assert list(both["judge_agreement"]) == [1.0, 1.0]


def test_rows_have_bounds_around_every_value() -> None:
    first, second = random_sides(1)
    sides = [pd.concat([verdicts(side.tolist(), lang) for lang in ("en", "es")]) for side in (first, second)]
    params = AlpacaParams(languages=["en", "es"], unseen=[], t=1)
    found = pd.DataFrame(result_rows(both_judged(*sides), params))
    assert set(found["metric"]) == {"judge_agreement", "judge_kappa"}
    assert set(found["model"]) == {"M1"}
    kappa = found[found["metric"] == "judge_kappa"].set_index(["lang", "split"])
    assert set(kappa.index) == {("en", "train"), ("es", "train"), ("avg", "train"), ("avg", "all")}
    assert (kappa["low"] < kappa["value"]).all()
    assert (kappa["value"] < kappa["high"]).all()
    assert kappa.loc[("avg", "all"), "value"] == pytest.approx(kappa.loc[("en", "train"), "value"])
    width = (kappa["high"] - kappa["low"]).to_numpy()
    np.testing.assert_allclose(
        width, width[0], rtol=1e-9
    )  # both languages hold the same problems with the same verdicts
    np.testing.assert_allclose(width[0], 2 * 1.96 * kappa_error(first, second), rtol=0.15)


def kappa_error(first: np.ndarray, second: np.ndarray) -> float:
    """Jackknife standard error, which shares no code with the bootstrap."""
    n = len(first)
    kept = [np.delete(np.arange(n), k) for k in range(n)]
    draws = np.array(
        [cohen_kappa_score((2 * first[rows]).astype(int), (2 * second[rows]).astype(int)) for rows in kept]
    )
    return float(np.sqrt((n - 1) / n * ((draws - draws.mean()) ** 2).sum()))


def test_judges_without_a_case_in_common_have_no_rows() -> None:
    assert result_rows(both_judged(verdicts([1.0]), verdicts([1.0], status="refused")), AlpacaParams()) == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"second_judge": "local"}, "second_judge_model: the local judge needs one"),
        ({"second_judge": "rubric"}, "second_judge: is the first judge again"),
        (
            {"judge": "local", "judge_model": "m", "second_judge": "local", "second_judge_model": "m"},
            "second_judge: is the first judge again",
        ),
        (
            {"source": "published", "judge": "local", "judge_model": "m", "second_judge": "rubric"},
            "the rubric knows the micro world only",
        ),
    ],
)
def test_a_second_judge_that_cannot_be_is_refused(values: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        validate(StudyParams, values, "params")


def test_the_second_judge_takes_the_place_of_the_first() -> None:
    params = AlpacaParams(second_judge="local", second_judge_model="m").of_second_judge()
    assert (params.judge, params.judge_model) == ("local", "m")
