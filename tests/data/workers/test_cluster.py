"""The engine on a real cluster: `dask.distributed.LocalCluster`, its workers processes as on other machines."""

import hashlib
import os
import signal
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dask
import psutil
import pytest
from distributed import Client, LocalCluster
from tests.support.datasets import contents, make_profile
from tests.support.midi_files import write_tunes
from tests.support.poison import Errand, die_outside_any_file, full_disk, suffer

from aurl.data.encode import Wanted, encode_shard
from aurl.data.plan import cut
from aurl.data.prepare import prepare, recipe_of
from aurl.data.shards import Shard
from aurl.data.workers import dask_cluster
from aurl.data.workers.cluster import WINDOW, ClusterEngine
from aurl.data.workers.engine import Engine, open_engine
from aurl.errors import AurlError, UsageError
from aurl.progress import Interrupts

PROFILE = make_profile()
PATIENCE_SECONDS = 30
LIMITS = {"timeout_seconds": 1, "memory_mb": 100}


def local_cluster(n_workers=2, **options):
    return LocalCluster(n_workers=n_workers, processes=True, threads_per_worker=1, dashboard_address=":0", **options)


@pytest.fixture(scope="module")
def cluster():
    with local_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def client(cluster):
    with Client(cluster.scheduler_address, set_as_default=False) as client:
        yield client


@pytest.fixture
def engine(cluster, tmp_path):
    with open_engine(jobs=1, folder=tmp_path, scheduler=cluster.scheduler_address, **LIMITS) as engine:
        yield engine


def errands(tmp_path, *tasks):
    return [Errand(f"errand{number}", kinds, str(tmp_path)) for number, kinds in enumerate(tasks)]


def outcomes(engine, tasks):
    results = dict(engine.run(tasks, suffer, Interrupts()))
    return [list(results[task].values()) for task in tasks]


def children(pid):
    """Our worker processes below a dask worker or nanny."""
    found = psutil.Process(pid).children(recursive=True)
    return [process for process in found if "aurl.data.workers.child" in process.cmdline()]


def wait_until(condition):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_all_tasks_are_done_once_and_the_scheduler_knows_of_few(engine, cluster, tmp_path):
    tasks = errands(tmp_path, *[("fine",) * 3] * 60)
    done, known = [], []
    for task, result in engine.run(tasks, suffer, Interrupts()):
        done.append(task)
        known.append(len(cluster.scheduler.tasks))
        assert result == dict.fromkeys(range(3), "done")
    assert sorted(done, key=tasks.index) == tasks
    assert 1 <= max(known) <= 3 * WINDOW * 2, "in flight, and results that the scheduler is about to forget"


def test_poison_costs_only_itself(engine, tmp_path):
    poisoned = ("fine", "crash", "quit", "fine", "hang", "hang in C", "bomb", "killed once", "fine")
    found = outcomes(engine, errands(tmp_path, poisoned, *[("fine", "fine")] * 10))
    assert found[0] == ["done", "crash", "crash", "done", "timeout", "timeout", "memory", "done", "done"]
    assert found[1:] == [["done", "done"]] * 10


def test_a_file_whose_worker_is_always_killed_is_given_up(engine, tmp_path):
    assert outcomes(engine, errands(tmp_path, ("fine", "killed", "fine"))) == [["done", "crash", "done"]]


def test_workers_that_die_outside_any_file_are_an_error(engine, tmp_path):
    with pytest.raises(AurlError, match="outside any file"):
        list(engine.run(errands(tmp_path, ("fine",)), die_outside_any_file, Interrupts()))


def test_errors_of_the_work_itself_are_raised_here(engine, tmp_path):
    with pytest.raises(OSError, match="No space left"):
        list(engine.run(errands(tmp_path, ("fine",)), full_disk, Interrupts()))


def test_stop_finishes_what_runs_and_begins_nothing(engine, tmp_path):
    interrupts, results = Interrupts(), []
    for _, result in engine.run(errands(tmp_path, *[("fine",)] * 50), suffer, interrupts):
        results.append(result)
        interrupts.stop = 2
    assert 1 <= len(results) <= 1 + WINDOW * 2
    assert all(result == {0: "done"} for result in results)


def test_stop_is_noticed_while_nothing_is_ready(engine, tmp_path):
    interrupts = Interrupts()
    threading.Timer(0.5, setattr, (interrupts, "stop", 15)).start()
    assert list(engine.run(errands(tmp_path, *[("hang",)] * 50), suffer, interrupts)) == []


def test_children_are_started_early_and_leave_with_the_engine(cluster, client, tmp_path):
    pids = client.run(os.getpid).values()
    with ClusterEngine(cluster.scheduler_address, folder=tmp_path, **LIMITS) as engine:
        engine.warm_up()
        assert [len(children(pid)) for pid in pids] == [1, 1]
        assert outcomes(engine, errands(tmp_path, *[("fine",)] * 5)) == [["done"]] * 5
    wait_until(lambda: not any(children(pid) for pid in pids))
    assert list(tmp_path.iterdir()) == [], "marks and token are gone"


def test_children_killed_while_idle_are_replaced(engine, client, tmp_path):
    pids = client.run(os.getpid).values()
    assert outcomes(engine, errands(tmp_path, *[("fine",)] * 4)) == [["done"]] * 4
    idle = [child for pid in pids for child in children(pid)]
    assert idle
    for child in idle:
        child.kill()
    wait_until(lambda: not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in idle))
    assert outcomes(engine, errands(tmp_path, *[("fine", "fine")] * 4)) == [["done", "done"]] * 4


def test_two_runs_at_a_time_do_not_mix(cluster, tmp_path):
    def do(number):
        kinds = ["fine", "fine", "fine"]
        kinds[number] = "crash"
        folder = tmp_path / str(number)
        folder.mkdir()
        with ClusterEngine(cluster.scheduler_address, folder=folder, **LIMITS) as engine:
            return outcomes(engine, errands(folder, *[tuple(kinds)] * 6))

    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(do, (0, 1))
    assert first == [["crash", "done", "done"]] * 6
    assert second == [["done", "crash", "done"]] * 6


def encoded(engine, folder, files):
    """Shards of the files, as the engine makes them."""
    (folder / "shards").mkdir(parents=True)
    tasks = cut(files, recipe_of(PROFILE), folder=folder, shard_tokens=1500)
    with engine:
        results = dict(engine.run(tasks, encode_shard, Interrupts()))
    assert results.keys() == set(tasks)
    return contents(folder)


def wanted(path):
    content = path.read_bytes()
    return Wanted(str(path), hashlib.sha256(content).hexdigest(), len(content))


def test_shards_with_a_file_that_hangs_are_those_of_the_local_engine(cluster, tmp_path):
    files = [wanted(path) for path in write_tunes(tmp_path, 12)]
    os.mkfifo(tmp_path / "pipe.mid")
    files.insert(5, Wanted(str(tmp_path / "pipe.mid"), "00" * 32, 100))
    here = encoded(Engine(jobs=1, folder=tmp_path, **LIMITS), tmp_path / "here", files)
    there = encoded(ClusterEngine(cluster.scheduler_address, folder=tmp_path, **LIMITS), tmp_path / "there", files)
    assert len(here) > 3
    assert here == there
    records = [record for path in (tmp_path / "there").rglob("*.safetensors") for record in Shard(path).records()]
    assert [record.reason for record in records if record.reason] == ["timeout"]


def test_a_lost_worker_costs_nothing(tmp_path):
    """One of two dask workers is killed while it works, and the data set is that of local workers."""
    write_tunes(tmp_path / "midi", 90)
    prepare([tmp_path / "midi"], PROFILE, tmp_path / "here", jobs=1)
    killed, finished = [], {}

    def shards():
        return {path.name: path.stat().st_ino for path in (tmp_path / "there" / "shards").glob("[!.]*")}

    def kill(progress):
        if progress.task == "prepare" and progress.done >= 30 and not killed:
            os.kill(pids[0], signal.SIGKILL)
            killed.append(pids[0])
            finished.update(shards())

    with local_cluster() as cluster, Client(cluster.scheduler_address, set_as_default=False) as client:
        pids = sorted(client.run(os.getpid).values())
        there = {"scheduler": cluster.scheduler_address, "report": kill}
        prepare([tmp_path / "midi"], PROFILE, tmp_path / "there", **there)
        assert killed
        wait_until(lambda: len(client.nthreads()) == 2)
        assert set(client.run(os.getpid).values()) & set(pids) == {pids[1]}
    assert contents(tmp_path / "here") == contents(tmp_path / "there")
    again = dict(finished.items() - shards().items())
    assert len(again) <= WINDOW, "only what the worker had finished and not yet told"
    assert len(finished) > WINDOW < len(shards()) - len(finished)


@pytest.mark.slow
def test_a_task_that_loses_every_machine_is_given_up_at_its_file(tmp_path):
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}), local_cluster() as cluster:
        with ClusterEngine(cluster.scheduler_address, folder=tmp_path, **LIMITS) as engine:
            tasks = errands(tmp_path, ("fine", "host killed once", "fine"))
            assert outcomes(engine, tasks) == [["done", "done", "done"]]
            tasks = errands(tmp_path, ("fine", "host killed", "fine"))
            assert outcomes(engine, tasks) == [["done", "crash", "done"]]
            pids = [worker.process.pid for worker in cluster.workers.values()]
        wait_until(lambda: not any(children(pid) for pid in pids))


def test_no_scheduler_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(dask_cluster, "CONNECT_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(AurlError, match=f"no dask scheduler answers at tcp://127.0.0.1:{port}$") as raised:
        ClusterEngine(f"tcp://127.0.0.1:{port}", folder=tmp_path, **LIMITS)
    assert "dask worker" in raised.value.hint


@pytest.mark.parametrize("address", ["http//nonsense", "nonsense://127.0.0.1:8786", "tcp://a:b:3", "host:8786", ""])
def test_an_address_that_is_none_is_a_usage_error(tmp_path, address):
    with pytest.raises(UsageError, match="is no address"):
        ClusterEngine(address, folder=tmp_path, **LIMITS)


@pytest.mark.parametrize(("file", "message"), [(None, "no certificates for tls"), ("missing.pem", "cannot be read")])
def test_missing_certificates_are_a_usage_error(tmp_path, file, message):
    settings = {f"distributed.comm.tls.{name}": file for name in ("ca-file", "client.cert", "client.key")}
    with dask.config.set(settings), pytest.raises(UsageError, match=message) as raised:
        ClusterEngine("tls://127.0.0.1:8786", folder=tmp_path, **LIMITS)
    assert "ca-file" in raised.value.hint


def test_dask_that_is_not_installed_is_a_usage_error(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError) as raised:
        ClusterEngine("tcp://127.0.0.1:8786", folder=tmp_path, **LIMITS)
    assert "aurl[dask]" in raised.value.hint


def test_a_cluster_without_workers_is_said(tmp_path):
    with local_cluster(0) as cluster:
        engine = ClusterEngine(cluster.scheduler_address, folder=tmp_path, patience_seconds=0.3, **LIMITS)
        with pytest.raises(AurlError, match="no worker has joined") as raised, engine:
            pass
    assert raised.value.hint == f"start one: dask worker {cluster.scheduler_address}"


def test_other_versions_on_a_worker_are_said(cluster, client, tmp_path):
    def set_version(version):
        import aurl

        aurl.__version__, was = version, aurl.__version__
        return was

    one = list(client.scheduler_info()["workers"])[:1]
    (version,) = client.run(set_version, "0.0.0", workers=one).values()
    try:
        with (
            pytest.raises(AurlError, match=f"has aurl 0.0.0, where {version} is needed") as raised,
            ClusterEngine(cluster.scheduler_address, folder=tmp_path, **LIMITS),
        ):
            pass
    finally:
        client.run(set_version, version, workers=one)
    assert "install the same versions" in raised.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_worker_without_aurl_is_said(cluster, client, tmp_path):
    def hide():
        import sys

        sys.modules["aurl.data.workers.node"] = None

    def show():
        import sys

        del sys.modules["aurl.data.workers.node"]

    client.run(hide)
    try:
        with (
            pytest.raises(AurlError, match="cannot import aurl"),
            ClusterEngine(cluster.scheduler_address, folder=tmp_path, **LIMITS),
        ):
            pass
    finally:
        client.run(show)


def test_a_worker_that_does_not_see_the_folder_is_said(cluster, client, tmp_path, monkeypatch):
    """A relative path is one that means something else on a worker."""
    monkeypatch.chdir(tmp_path)
    folder = Path("shards")
    folder.mkdir()
    with (
        pytest.raises(AurlError, match="does not see shards: No such file"),
        ClusterEngine(cluster.scheduler_address, folder=folder, **LIMITS),
    ):
        pass


@pytest.mark.slow
def test_a_worker_that_joins_later_is_looked_at_too(tmp_path):
    with (
        local_cluster(1) as cluster,
        Client(cluster.scheduler_address, set_as_default=False) as client,
        ClusterEngine(cluster.scheduler_address, folder=tmp_path, **LIMITS) as engine,
    ):
        next(tmp_path.glob(".*.tmp")).write_text("not what was written")
        assert outcomes(engine, errands(tmp_path, ("fine",))) == [["done"]]
        client.restart()
        with pytest.raises(AurlError, match="does not see"):
            outcomes(engine, errands(tmp_path, ("fine",)))


def test_a_scheduler_that_is_lost_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(dask_cluster, "CONNECT_SECONDS", 1)
    with (
        LocalCluster(1, processes=False, threads_per_worker=2, dashboard_address=":0", protocol="tcp://") as cluster,
        ClusterEngine(cluster.scheduler_address, folder=tmp_path, **LIMITS) as engine,
    ):
        results = engine.run(errands(tmp_path, *[("fine",)] * 20), suffer, Interrupts())
        next(results)
        cluster.close()
        with pytest.raises(AurlError, match="lost the dask scheduler") as raised:
            list(results)
    assert "goes on" in raised.value.hint


@pytest.mark.slow
def test_a_cluster_that_loses_its_last_worker_is_waited_for_and_then_given_up(tmp_path):
    interrupts = Interrupts()
    with (
        local_cluster(1) as cluster,
        ClusterEngine(cluster.scheduler_address, folder=tmp_path, patience_seconds=1, **LIMITS) as engine,
    ):
        results = engine.run(errands(tmp_path, *[("fine",)] * 20), suffer, interrupts)
        next(results)
        cluster.scale(0)
        wait_until(lambda: not cluster.workers)
        with pytest.raises(AurlError, match="no worker has joined"):
            list(results)
        interrupts.stop = 2
        assert list(engine.run(errands(tmp_path, ("fine",)), suffer, interrupts)) == []


@pytest.mark.slow
def test_stop_does_not_wait_for_workers_that_are_gone(tmp_path):
    interrupts = Interrupts()
    with (
        local_cluster(1) as cluster,
        ClusterEngine(cluster.scheduler_address, folder=tmp_path, **LIMITS) as engine,
    ):
        results = engine.run(errands(tmp_path, *[("fine",)] * 20), suffer, interrupts)
        next(results)
        cluster.scale(0)
        wait_until(lambda: not cluster.workers)
        interrupts.stop = 2
        assert len(list(results)) <= WINDOW
