"""Parameters: what a params file may say, and one clear line for everything else."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from ldr_utils.study.errors import InputError
from ldr_utils.study.params import (
    NOTEBOOKS,
    PER_RUN,
    Common,
    MgsmParams,
    StudyParams,
    TrainingParams,
    kept_params,
    load_params,
    machine_params,
    validate,
    write_yaml,
)

MODEL = "base_model: tests\n"  # any folder that exists


def write(tmp_path: Path, text: str = "", head: str = MODEL) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(head + text, encoding="utf-8")
    return path


def refusal(path: Path, overrides: list[str] | None = None) -> str:
    with pytest.raises(InputError) as caught:
        load_params(path, overrides)
    message = str(caught.value)
    assert "\n" not in message, message
    return message


def test_values_of_the_file_and_defaults(tmp_path: Path) -> None:
    params = load_params(write(tmp_path, "study: tiny\nlanguages: [en, ja]\nunseen: []\nbeta: 0.3\n"))
    assert (params.study, params.languages, params.unseen, params.beta) == ("tiny", ["en", "ja"], [], 0.3)
    assert params.dominant_pairs == "all"
    assert params.non_dominant == ["ja"]


def test_dominant_language_need_not_come_first(tmp_path: Path) -> None:
    params = load_params(write(tmp_path, "languages: [es, en, de]\nunseen: [sw]\ndominant: es\n"))
    assert params.non_dominant == ["en", "de"]
    assert params.all_languages == ["es", "en", "de", "sw"]


@pytest.mark.parametrize("text", ["5e-4", "5E-4", "0.5e-3", "5.0e-4", "+5e-4", "0.0005"])
def test_scientific_notation_is_a_number(tmp_path: Path, text: str) -> None:
    """YAML 1.1 reads 5e-4 as a string."""
    assert load_params(write(tmp_path, f"learning_rate: {text}\n")).learning_rate == 5e-4
    assert load_params(write(tmp_path), [f"learning_rate={text}"]).learning_rate == 5e-4


def test_overrides_win_and_are_read_as_yaml(tmp_path: Path) -> None:
    path = write(tmp_path, "seed: 1\n")
    params = load_params(path, ["seed=2", "languages=[en, de]", "gradient_checkpointing=true", "study=a-b"])
    assert (params.seed, params.languages, params.gradient_checkpointing) == (2, ["en", "de"], True)
    assert params.study == "a-b"
    assert load_params(path, ["seed=2", "seed=3"]).seed == 3


@pytest.mark.parametrize(
    ("text", "key", "hint"),
    [
        ("betta: 0.1\n", "betta", "unknown key"),
        ("seed: two\n", "seed", "'two'"),
        ("seed: -1\n", "seed", "-1"),
        ("seed: 1.5\n", "seed", "1.5"),
        ("seed: true\n", "seed", "True"),
        ("beta: 0\n", "beta", "greater than 0"),
        ("beta: .nan\n", "beta", "nan"),
        ("arithmetic_share: 1.5\n", "arithmetic_share", "1.5"),
        ("learning_rate: fast\n", "learning_rate", "'fast'"),
        ("dominant_pairs: some\n", "dominant_pairs", "'some'"),
        ("gradient_checkpointing: 1\n", "gradient_checkpointing", "1"),
        ("study: Has Spaces\n", "study", "'Has Spaces'"),
        ("languages: en\n", "languages", "'en'"),
        ("languages: [en, 5]\n", "languages.1", "5"),
        ("languages: [en, xx]\n", "languages", "'xx'"),
        ("unseen: [it, klingon]\n", "languages", "'klingon'"),
        ("languages: [es, de]\n", "dominant", "'en'"),
        ("dominant: ja\n", "dominant", "'ja'"),
        ("languages: [en]\n", "languages", "non-dominant"),
        ("languages: [en, de, de]\n", "languages", "twice"),
        ("unseen: [de]\n", "unseen", "twice"),
        ("arms: [sft]\n", "arms", "lidr"),
        ("arms: [lidr, lidr]\n", "arms", "twice"),
        ("arms: [lidr, dpo]\n", "arms", "'dpo' is not known; choose from lidr, sft, no_nll"),
        ("arms: [lidr, no_nll]\nalpha: 0.0\n", "arms", "no_nll is the same as lidr"),
        ("alpha: 0.0\n", "alpha", "the arm sft trains on the NLL term alone"),
        ("objective: nll\n", "arms", "sft is the same as lidr"),
        ("objective: nll\nalpha: 0.0\n", "alpha", "nll"),
        ("translator: ''\n", "translator", "at least 1"),
        ("t: 1\n", "t", "driver"),
        ("arm: sft\n", "arm", "driver"),
        ("run_dir: elsewhere\n", "run_dir", "driver"),
    ],
)
def test_refusal_names_file_key_and_fault(tmp_path: Path, text: str, key: str, hint: str) -> None:
    path = write(tmp_path, text)
    message = refusal(path)
    assert message.startswith(f"{path}: ")
    complaint = message.removeprefix(f"{path}: ")
    assert key in complaint.partition(": ")[0].split(", ")
    assert hint in complaint


def test_hub_name_is_not_looked_up(tmp_path: Path) -> None:
    path = write(tmp_path, head="base_model: meta-llama/Meta-Llama-3-8B-Instruct\n")
    assert load_params(path).base_model == "meta-llama/Meta-Llama-3-8B-Instruct"


def test_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "nowhere.yaml"
    assert refusal(path).startswith(f"{path}: no such file")


def test_folder_in_place_of_a_file(tmp_path: Path) -> None:
    assert refusal(tmp_path).startswith(f"{tmp_path}: ")


@pytest.mark.parametrize("text", ["- a\n- b\n", "just text\n", "", "42\n"])
def test_file_that_is_no_mapping(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, text, head="")
    assert refusal(path).startswith(f"{path}: must hold key: value lines")


@pytest.mark.parametrize("content", [b"languages: [en\nseed: 1\n", b"study: \xff\n", b"study: a: b\n"])
def test_file_that_is_no_yaml(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "study.yaml"
    path.write_bytes(content)
    assert refusal(path).startswith(f"{path}: not readable as YAML")


@pytest.mark.parametrize(
    ("override", "hint"),
    [
        ("seed", "key=value"),
        ("sead=1", "sead"),
        ("seed=x", "seed"),
        ("seed=", "seed"),
        ("t=1", "t: "),
        ("seed=[1", "seed"),
    ],
)
def test_bad_override_is_named(tmp_path: Path, override: str, hint: str) -> None:
    assert hint in refusal(write(tmp_path), [override])


def write_base(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "base.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_that_extends_another_says_only_what_differs(tmp_path: Path) -> None:
    write_base(tmp_path, "base_model: tests\nseed: 1\nbeta: 0.3\nlanguages: [en, ja]\nunseen: [sw]\n")
    for head in ("extends: base.yaml\nseed: 2\nunseen: []\n", "seed: 2\nunseen: []\nextends: ./base.yaml\n"):
        params = load_params(write(tmp_path, head=head), ["beta=0.5"])
        assert (params.base_model, params.seed, params.beta) == ("tests", 2, 0.5)
        assert (params.languages, params.unseen) == (["en", "ja"], [])


def test_a_file_is_found_from_the_folder_of_the_one_that_extends_it(tmp_path: Path) -> None:
    write_base(tmp_path, "seed: 5\n")
    (tmp_path / "mine").mkdir()
    assert load_params(write(tmp_path / "mine", "extends: ../base.yaml\n")).seed == 5


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("none.yaml", "none.yaml: no such file; choose one from params/"),
        ("", "is not the name of a file; write it like extends: llama3-8b.yaml"),
        ("''", "is not the name of a file"),
        ("5", "is not the name of a file"),
        ("[base.yaml]", "is not the name of a file"),
        (".", "cannot be read"),
        ('"a\\0b"', "not readable"),
        ("study.yaml", "itself extends a file; name one that does not"),
    ],
)
def test_extending_what_cannot_be_extended(tmp_path: Path, name: str, hint: str) -> None:
    path = write(tmp_path, f"extends: {name}\n")
    message = refusal(path)
    assert message.startswith(f"{path}: extends: ")
    assert hint in message


def test_extending_goes_one_level(tmp_path: Path) -> None:
    (tmp_path / "root.yaml").write_text("seed: 1\n")
    base = write_base(tmp_path, "extends: root.yaml\n")
    path = write(tmp_path, "extends: base.yaml\n")
    assert refusal(path) == f"{path}: extends: {base} itself extends a file; name one that does not"
    assert refusal(base, ["extends=x"]) == "--set extends=x: only a file can extend another; write it there"


@pytest.mark.parametrize(
    ("text", "hint"), [("seed: x\n", "seed: "), ("sede: 1\n", "sede: unknown"), ("t: 1\n", "t: is set")]
)
def test_a_fault_is_found_in_the_file_that_has_it(tmp_path: Path, text: str, hint: str) -> None:
    base = write_base(tmp_path, text)
    assert refusal(write(tmp_path, "extends: base.yaml\n")).startswith(f"{base}: {hint}")


def test_a_value_of_ones_own_is_ones_own_fault(tmp_path: Path) -> None:
    write_base(tmp_path, "seed: 1\n")
    path = write(tmp_path, "extends: base.yaml\nseed: x\n")
    assert refusal(path).startswith(f"{path}: seed: ")
    assert refusal(write(tmp_path, "extends: base.yaml\n"), ["seed=x"]).startswith("--set: seed: ")


@pytest.mark.parametrize(
    ("override", "complaint"),
    [("seed=11.0", "seed: input should"), ("languages=[en]", "languages: no non-"), ("t=1", "t: is set by the driver")],
)
def test_a_fault_of_an_override_is_not_the_files(tmp_path: Path, override: str, complaint: str) -> None:
    assert refusal(write(tmp_path, "seed: 1\nlanguages: [en, de]\nunseen: []\n"), [override]).startswith(
        f"--set: {complaint}"
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [("011", 11), ("+7", 7), ("0", 0), ("0009", 9)],
)
def test_whole_numbers_are_decimal(tmp_path: Path, text: str, value: int) -> None:
    """YAML 1.1 reads 011 as nine."""
    assert load_params(write(tmp_path, f"seed: {text}\n")).seed == value
    assert load_params(write(tmp_path), [f"seed={text}"]).seed == value


@pytest.mark.parametrize("text", ["1:30", "190:20:30", "0x10", "0o17", "0b11", "1_000", "1,000", "2026-11-25", "1e2"])
def test_what_only_other_notations_take_for_a_whole_number_is_refused(tmp_path: Path, text: str) -> None:
    assert "seed: " in refusal(write(tmp_path), [f"seed={text}"])
    assert "seed: " in refusal(write(tmp_path, f"seed: {text}\n"))


@pytest.mark.parametrize("text", ["yes", "on", "Yes", "NO", "y", "1", "'true'"])
def test_true_and_false_are_the_only_truths(tmp_path: Path, text: str) -> None:
    assert "gradient_checkpointing: " in refusal(write(tmp_path), [f"gradient_checkpointing={text}"])
    assert load_params(write(tmp_path), ["gradient_checkpointing=True"]).gradient_checkpointing is True


@pytest.mark.parametrize("text", [".5", "0.50", "+.5e0", "5e-1", "5.E-1"])
def test_numbers_with_a_point(tmp_path: Path, text: str) -> None:
    assert load_params(write(tmp_path), [f"alpha={text}"]).alpha == 0.5


@pytest.mark.parametrize("name", ["08", "1e3", "0x10", "null", "2026-11-25", "no", "1.5", "true"])
def test_a_text_that_looks_like_something_else_survives_being_written(tmp_path: Path, name: str) -> None:
    params = load_params(write(tmp_path, f'study: "{name}"\n'))
    path = tmp_path / "again.yaml"
    path.write_text(write_yaml(params.model_dump(exclude=PER_RUN)), encoding="utf-8")
    assert load_params(path) == params
    assert yaml.safe_load(path.read_text(encoding="utf-8"))["study"] == name, "as YAML 1.1, too"


def test_a_byte_order_mark_is_read_over_at_the_start_and_named_elsewhere(tmp_path: Path) -> None:
    assert load_params(write(tmp_path, head="\ufeff" + MODEL + "seed: 3\n")).seed == 3
    assert r"'\ufeffseed': has a character that cannot be seen" in refusal(write(tmp_path, "\ufeffseed: 3\n"))
    assert r"'se\u200bed': has a character" in refusal(write(tmp_path), ["se\u200bed=3"])


def test_a_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    text = "source: published\njudge: openai\njudge_model: m\ndata_dir: ~/x\nmt_bench_dir: ~/y\nbase_model: ~/z\n"
    params = load_params(write(tmp_path, text, head=""), ["translator=~/t"])
    found = (params.data_dir, params.mt_bench_dir, params.base_model, params.translator)
    assert found == tuple(str(tmp_path / name) for name in "xyzt")


def test_an_old_name_is_taken_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, "english_pairs: last\n")
    assert load_params(path).dominant_pairs == "last"
    assert capsys.readouterr().err == f"{path}: english_pairs is now called dominant_pairs; rename the key\n"
    assert load_params(path, ["dominant_pairs=all"]).dominant_pairs == "all"
    assert load_params(write(tmp_path), ["english_pairs=last"]).dominant_pairs == "last"
    assert "--set: english_pairs is now called dominant_pairs; rename the key\n" in capsys.readouterr().err


def test_a_parameter_under_both_its_names(tmp_path: Path) -> None:
    path = write(tmp_path, "english_pairs: last\ndominant_pairs: last\n")
    complaint = "english_pairs: is the old name of dominant_pairs, which is there too; remove english_pairs"
    assert refusal(path) == f"{path}: {complaint}"
    assert refusal(write(tmp_path), ["dominant_pairs=all", "english_pairs=all"]) == f"--set: {complaint}"


@pytest.mark.parametrize(
    ("notebook", "values", "complaint"),
    [
        ("05_qlora_dpo", {"arm": "sft", "objective": "nll", "alpha": 0.0}, "alpha: "),
        ("05_qlora_dpo", {"arm": "sft"}, "objective: the arm sft means 'nll'"),
        ("05_qlora_dpo", {"arm": "no_nll", "alpha": 1.0}, "alpha: the arm no_nll means 0.0"),
        ("05_qlora_dpo", {"arm": "dpo"}, "arm: 'dpo' is not known"),
        ("04_pairs", {"arm": "no_equal_pairs"}, "equal_pairs: the arm no_equal_pairs means 'drop'"),
        ("04_pairs", {"arm": "sft"}, "arm: sft is trained on M0's pairs of lidr"),
    ],
)
def test_notebook_run_by_hand_cannot_mix_arms(notebook: str, values: dict[str, object], complaint: str) -> None:
    with pytest.raises(InputError) as caught:
        validate(NOTEBOOKS[notebook], values, "here")
    assert str(caught.value).startswith(f"here: {complaint}")


@pytest.mark.parametrize("name", [name for name in NOTEBOOKS if name != "00_base_model"])
def test_notebook_takes_its_own_parameters_and_accepts_them(tmp_path: Path, name: str) -> None:
    study = load_params(write(tmp_path, "seed: 7\n"))
    subset = study.for_notebook(name)
    fields = set(NOTEBOOKS[name].model_fields)
    assert subset.keys() == fields - {"t", "arm", "run_dir", "runs"}
    assert validate(NOTEBOOKS[name], subset, name).model_dump(include=set(subset)) == subset
    assert subset["seed"] == 7


def test_notebook_is_not_told_what_it_does_not_use(tmp_path: Path) -> None:
    study = load_params(write(tmp_path))
    assert "learning_rate" in study.for_notebook("05_qlora_dpo")
    assert not {"learning_rate", "beta", "dominant_pairs"} & study.for_notebook("07_mgsm").keys()
    assert {*Common.model_fields, "dominant_pairs"} - {"run_dir"} <= study.for_notebook("04_pairs").keys()
    assert not {"base_model", "max_new_tokens", "beta"} & study.for_notebook("04_pairs").keys()


def test_validated_parameters_cannot_change() -> None:
    params = MgsmParams()
    with pytest.raises(ValidationError, match="frozen"):
        params.seed = 2


def test_every_key_of_a_study_belongs_to_a_notebook(tmp_path: Path) -> None:
    study = load_params(write(tmp_path))
    read = set().union(*(NOTEBOOKS[name].model_fields for name in NOTEBOOKS if name != "00_base_model"))
    assert set(study.model_dump()) == read


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_parameter_is_declared_with_one_short_line_of_help(name: str) -> None:
    for key, field in NOTEBOOKS[name].model_fields.items():
        assert field.description, key
        assert "\n" not in field.description, key
        assert len(field.description) <= 86, key  # what a line of params/micro.yaml has room for


def test_what_a_machine_decides() -> None:
    assert machine_params(MgsmParams) == {"run_dir"}
    assert machine_params(TrainingParams) == {"run_dir", "threads"}
    judging = {"judge_concurrency", "judge_key_env", "judge_price_in", "judge_price_out", "judge_budget"}
    assert machine_params(StudyParams) == {"run_dir", "runs", "mt_bench_dir", "threads", "gpu_memory", *judging}


def test_what_decides_that_a_models_work_is_kept() -> None:
    assert kept_params(MgsmParams) == {"seed", "t", "arm"}
    assert {"base_model", "learning_rate", "t", "arm", "max_new_tokens"} <= kept_params(StudyParams)
    assert not kept_params(StudyParams) & machine_params(StudyParams)
    judging = {name for name in StudyParams.model_fields if "judge" in name}
    sizes = {"languages", "unseen", "iterations", "arms", "round_trip_sample", "tax_problems", "benchmarks"}
    assert not kept_params(StudyParams) & {*judging, *sizes, "study", "dominant", "mt_bench_dir"}
