"""Real studies of tiny runs: the same seed makes the same trials, however often the study is stopped."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import torch
from optuna.trial import TrialState
from tests.support.studies import base_profile, plan_of, tried

from aurl.errors import AurlError, DamagedError, LockedError, UsageError
from aurl.profile import load_profile, read_resolved
from aurl.progress import Interrupts
from aurl.storage import lock
from aurl.training.log import read_metrics
from aurl.tuning.jobs import JOB_MODULE, job_environment
from aurl.tuning.ledger import Ledger
from aurl.tuning.plan import Plan
from aurl.tuning.trial import Outcome
from aurl.tuning.tune import begin, go_on
from aurl.tuning.work import settle

ROOT = Path(__file__).parents[2]


def study(folder, dataset, *, base=None, trials=4, search=None, report=None, interrupts=None, jobs=1, **options):
    begin(folder, plan_of(dataset, search, **options), base or base_profile())
    extra = {} if report is None else {"report": report}
    return go_on(folder, trials=trials, threads=1, device="cpu", jobs=jobs, interrupts=interrupts, **extra)


@pytest.fixture(scope="module")
def whole(dataset, tmp_path_factory):
    """A study of five random trials that nobody disturbed."""
    folder = tmp_path_factory.mktemp("studies") / "whole"
    return study(folder, dataset, trials=5)


def validations(trial, name="valid/nats_per_note"):
    return [record[name] for record in read_metrics(trial.run / "metrics.jsonl") if name in record]


def test_trials_are_runs_like_any_other(whole, dataset):
    assert (whole.reason, whole.signal, len(whole.trials)) == ("trials", 0, 5)
    for trial in whole.trials:
        assert trial.run == whole.folder / "trials" / f"{trial.number:04d}"
        assert json.loads((trial.run / "run.json").read_text())["status"] == "finished"
        profile = read_resolved(trial.run / "profile.toml")
        assert profile.training.lr == trial.values["training.lr"]
        assert profile.training.max_steps == 6
        logged = validations(trial)
        assert len(logged) == 3
        assert trial.value == min(logged)
    best = min(whole.trials, key=lambda trial: trial.value)
    assert whole.best == best.number
    kept = json.loads((whole.folder / "results.json").read_text())
    assert [row["value"] for row in kept["trials"]] == [trial.value for trial in whole.trials]
    assert kept["best"] == best.number


def test_the_same_seed_makes_the_same_trials(whole, dataset, tmp_path):
    assert tried(study(tmp_path / "again", dataset, trials=5)) == tried(whole)
    other = study(tmp_path / "other", dataset, trials=1, seed=1)
    assert other.trials[0].values != whole.trials[0].values


def test_in_sittings_it_makes_the_trials_that_it_would_have_made(whole, dataset, tmp_path):
    """Ended after two trials, then in the middle of the third, then gone on with."""
    folder = tmp_path / "parts"
    assert len(study(folder, dataset, trials=2).trials) == 2
    interrupts = Interrupts()

    def report(progress):
        if progress.done == 3:
            interrupts.stop = signal.SIGTERM

    part = go_on(folder, trials=5, threads=1, device="cpu", interrupts=interrupts, report=report)
    assert (part.reason, part.signal) == ("signal", signal.SIGTERM)
    assert [trial.state for trial in part.trials] == ["complete", "complete", "begun"]
    assert tried(study(folder, dataset, trials=5)) == tried(whole)
    steps = [record["step"] for record in read_metrics(folder / "trials" / "0002" / "metrics.jsonl") if "lr" in record]
    assert steps == [1, 2, 3, 4, 5, 6]


def test_what_is_over_is_not_done_again(whole, dataset):
    before = {path: path.stat().st_mtime_ns for path in whole.folder.glob("trials/*/metrics.jsonl")}
    again = go_on(whole.folder, trials=5, threads=1, device="cpu")
    assert tried(again) == tried(whole)
    assert {path: path.stat().st_mtime_ns for path in whole.folder.glob("trials/*/metrics.jsonl")} == before


def test_best_values_are_a_profile(whole):
    text = whole.best_profile.read_text()
    assert "whole" in text
    best = whole.trials[whole.best]
    assert load_profile([str(whole.best_profile)]).training.lr == best.values["training.lr"]


def test_best_profile_extends_what_the_study_was_begun_with(dataset, tmp_path):
    own = tmp_path / "own.toml"
    own.write_text('extends = "tiny"\n[training]\noptimizer = { kind = "muon", momentum = 0.7 }\n')
    overrides = ("training.precision=fp32", "data.seq_len=48", "training.schedule.kind=constant")
    base = load_profile([str(own)], overrides, flags={"training.max_steps": 2})
    search = {"training.optimizer.kind": "muon|adamw", "model.n_layers": "1:2"}
    options = {"profiles": [str(own)], "overrides": list(overrides), "method": "grid"}
    found = study(tmp_path / "s", dataset, base=base, search=search, trials=None, **options)
    assert len(found.trials) == 4
    trained = read_resolved(found.trials[found.best].run / "profile.toml")
    again = load_profile([str(found.best_profile)], flags={"training.max_steps": 2})
    different = [key for key, value in again.values().items() if trained.values()[key] != value]
    assert [key for key in different if not key.startswith(("prepare.", "tokens."))] == []


def test_grid_is_gone_through_once(dataset, tmp_path):
    search = {"training.lr": "log:1e-3:1e-2:2", "model.n_layers": "1:2"}
    found = study(tmp_path / "s", dataset, search=search, method="grid", trials=None)
    assert len({tuple(trial.values.items()) for trial in found.trials}) == 4
    assert {trial.state for trial in found.trials} == {"complete"}
    assert len(study(tmp_path / "s", dataset, search=search, method="grid", trials=9).trials) == 4


def test_bad_trials_are_ended_early_and_say_so(dataset, tmp_path):
    base, search = base_profile(max_steps=8), {"training.lr": "log:1e-5:1e-1"}
    found = study(tmp_path / "s", dataset, base=base, trials=7, pruner="median", search=search)
    states = [trial.state for trial in found.trials]
    assert states[:4] == ["complete"] * 4
    assert "pruned" in states
    pruned = next(trial for trial in found.trials if trial.state == "pruned")
    assert 0 < pruned.step < 8
    facts = json.loads((pruned.run / "run.json").read_text())
    assert (facts["status"], facts["reason"]) == ("finished", "pruned")
    assert found.best != pruned.number


def test_another_number_of_which_more_is_better(dataset, tmp_path):
    options = {"method": "tpe", "pruner": "hyperband", "metric": "train/nats_per_token", "direction": "maximize"}
    found = study(tmp_path / "s", dataset, trials=3, **options)
    complete = [trial for trial in found.trials if trial.state == "complete"]
    assert found.best == max(complete, key=lambda trial: trial.value).number
    assert found.trials[0].value == max(validations(found.trials[0], "train/nats_per_token"))


def test_a_trial_that_fails_is_not_the_end(dataset, tmp_path):
    """A width of 20 cannot be shared by 4 heads."""
    search = {"model.d_model": "16|20", "model.n_heads": "2|4"}
    found = study(tmp_path / "s", dataset, search=search, method="grid", trials=None)
    failed = [trial for trial in found.trials if trial.state == "failed"]
    assert [trial.values for trial in failed] == [{"model.d_model": 20, "model.n_heads": 4}]
    assert "even number" in failed[0].reason
    assert failed[0].value is None
    assert [trial.state for trial in found.trials].count("complete") == 3


@pytest.mark.slow
def test_a_trial_that_diverges_is_a_failed_one(dataset, tmp_path):
    found = study(tmp_path / "s", dataset, search={"training.lr": "1e-3|1e38"}, method="grid", trials=None)
    assert [trial.state for trial in found.trials] == ["complete", "failed"]
    assert "diverged" in found.trials[1].reason
    assert found.best == 0


def test_where_all_trials_fail_it_ends(dataset, tmp_path):
    """Headers of this data set are longer than such windows."""
    with pytest.raises(AurlError, match=r"all of the first 5 trials failed.*a header of"):
        study(tmp_path / "s", dataset, search={"data.seq_len": "2|3", "model.dropout": "0:0.5"}, trials=9)


def test_minutes_end_a_sitting(dataset, tmp_path):
    begin(tmp_path / "s", plan_of(dataset), base_profile(max_steps=None))
    part = go_on(tmp_path / "s", trials=3, max_minutes=0.02, threads=1, device="cpu")
    assert (part.reason, part.signal) == ("max_minutes", 0)
    assert part.trials[-1].state == "begun"


def test_unknown_number(dataset, tmp_path):
    with pytest.raises(UsageError, match="valid/happiness") as caught:
        study(tmp_path / "s", dataset, metric="valid/happiness")
    assert "valid/nats_per_note" in caught.value.hint


def test_another_study_of_this_name_is_refused(whole, dataset):
    for changed, said in (({"seed": 3}, "seed"), ({"search": {"model.dropout": "0:0.3"}}, "search")):
        with pytest.raises(UsageError, match=f"another {said}"):
            begin(whole.folder, plan_of(dataset, **changed), base_profile())
    with pytest.raises(UsageError, match=r"another training\.max_steps"):
        begin(whole.folder, plan_of(dataset), base_profile(max_steps=7))


def test_two_at_once_are_refused(whole):
    with lock(whole.folder / ".lock"), pytest.raises(LockedError):
        go_on(whole.folder, trials=6)


def test_hyperband_wants_to_know_how_long_trials_are(dataset, tmp_path):
    with pytest.raises(UsageError, match="Hyperband"):
        begin(tmp_path / "s", plan_of(dataset, pruner="hyperband"), base_profile(max_steps=None))


def test_files_that_are_no_study(tmp_path):
    for content in ([], {"schema_version": 7}, {"schema_version": 1}):
        (tmp_path / "study.json").write_text(json.dumps(content))
        with pytest.raises(DamagedError):
            Plan.read(tmp_path)


def test_a_run_that_a_dying_process_still_holds_is_waited_for(dataset, tmp_path):
    folder = tmp_path / "s"
    study(folder, dataset, trials=1)
    journal = (folder / "journal.log").read_text().splitlines(keepends=True)
    (folder / "journal.log").write_text("".join(journal[:-1]))  # it was killed before it could tell

    def hold():
        with lock(folder / "trials" / "0000" / ".lock"):
            held.set()
            time.sleep(0.3)

    held = threading.Event()
    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    assert [trial.state for trial in study(folder, dataset, trials=1).trials] == ["complete"]
    holder.join()


def test_half_a_line_of_the_journal_is_cut_off(dataset, tmp_path):
    study(tmp_path / "s", dataset, trials=1)
    with (tmp_path / "s" / "journal.log").open("a") as file:
        file.write('{"op_code": 4, "worker')
    assert len(study(tmp_path / "s", dataset, trials=2).trials) == 2


SCRIPT = """
import sys
from pathlib import Path
from aurl.tuning.tune import begin, go_on
from tests.support.studies import base_profile, plan_of
if __name__ == "__main__":
    folder, dataset, trials, jobs = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    begin(folder, plan_of(dataset), base_profile())
    go_on(folder, trials=trials, jobs=jobs, threads=1, device="cpu")
"""


def start(folder, dataset, trials, jobs):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SCRIPT, str(folder), str(dataset), str(trials), str(jobs)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def trained_steps(folder):
    return sum(len(path.read_text().splitlines()) for path in folder.glob("trials/*/metrics.jsonl"))


@pytest.mark.slow
@pytest.mark.parametrize(("jobs", "moments"), [(1, (2, 9)), (2, (5,))])
def test_killed_at_any_moment_it_goes_on(whole, dataset, tmp_path, jobs, moments):
    """The trials are those of the study that was not killed: what was trained is not trained again."""
    folder = tmp_path / "killed"
    for wanted in moments:
        with start(folder, dataset, 5, jobs) as process:
            while trained_steps(folder) < wanted and process.poll() is None:
                time.sleep(0.01)
            process.kill()
    result = go_on(folder, trials=5, jobs=jobs, threads=1, device="cpu")
    assert tried(result) == tried(whole)


@pytest.mark.slow
def test_two_jobs_make_the_trials_of_one(whole, dataset, tmp_path):
    """Random values are those of the trial's number, whoever draws them; none is done twice, none is left out."""
    reported = []
    result = study(tmp_path / "two", dataset, trials=5, jobs=2, report=reported.append)
    assert tried(result) == tried(whole)
    assert {progress.task for progress in reported} == {"tune"}
    processes = {json.loads((trial.run / "run.json").read_text())["process"] for trial in result.trials}
    assert processes == {None}


def test_what_a_process_that_was_slow_to_end_has_written_down_stands(dataset, tmp_path):
    """Two processes may come to the end of a trial, where the study was killed and gone on with at once."""
    folder = tmp_path / "study"
    begin(folder, plan_of(dataset), base_profile())
    slow, new = (Ledger.open(folder, *Plan.read(folder)) for _ in range(2))
    number = slow.ask(1).number
    settle(slow, slow.again(number), Outcome("complete", 3.0))
    settle(new, new.again(number), Outcome("failed", reason="the second to say so"))
    (trial,) = new.trials()
    assert (trial.state, trial.value, trial.user_attrs) == (TrialState.COMPLETE, 3.0, {})


def test_a_process_that_is_slow_to_end_begins_no_trial_that_nobody_goes_on_with(dataset, tmp_path):
    folder = tmp_path / "study"
    begin(folder, plan_of(dataset), base_profile())
    slow, new = (Ledger.open(folder, *Plan.read(folder)) for _ in range(2))
    other = Ledger.open(folder, *Plan.read(folder), sitting=new.sitting)
    assert slow.take_over() == []
    number = slow.ask(9).number
    assert new.take_over() == [number]
    assert slow.ask(9) is None
    assert [new.ask(9).number, other.ask(9).number] == [number + 1, number + 2]


def is_job(process: psutil.Process) -> bool:
    try:
        return JOB_MODULE in process.cmdline()
    except psutil.Error:  # it has ended
        return False


@pytest.mark.slow
def test_a_job_that_dies_is_told_of_and_its_trial_goes_on(whole, dataset, tmp_path):
    folder, killed = tmp_path / "s", []

    def report(progress):
        if trained_steps(folder) and not killed:
            killed.append(next(filter(is_job, psutil.Process().children())))
            killed[0].kill()

    with pytest.raises(AurlError, match=r"job \d was killed by signal 9"):
        study(folder, dataset, trials=5, jobs=2, report=report)
    assert tried(go_on(folder, trials=5, threads=1, device="cpu")) == tried(whole)


def test_jobs_share_out_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [job_environment(number, 3)["CUDA_VISIBLE_DEVICES"] for number in range(3)] == ["0", "1", "0"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    assert [job_environment(number, 3)["CUDA_VISIBLE_DEVICES"] for number in range(3)] == ["5", "7", "5"]
    assert job_environment(0, 3)["OMP_NUM_THREADS"] == "3"


@pytest.mark.slow
def test_jobs_stop_when_asked_and_their_faults_are_told(dataset, tmp_path):
    interrupts = Interrupts()

    def report(progress):
        if trained_steps(tmp_path / "two"):
            interrupts.stop = signal.SIGINT

    base = base_profile(max_steps=2000, eval_every=1000, checkpoint_every=1000)
    part = study(tmp_path / "two", dataset, base=base, trials=4, jobs=2, interrupts=interrupts, report=report)
    assert (part.reason, part.signal) == ("signal", signal.SIGINT)
    assert {trial.state for trial in part.trials} == {"begun"}
    with pytest.raises(AurlError, match="valid/happiness") as caught:
        study(tmp_path / "faulty", dataset, trials=4, jobs=2, metric="valid/happiness")
    assert caught.value.exit_code == UsageError.exit_code
