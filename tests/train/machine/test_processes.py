"""Where a process stands among all: from flags, from Slurm, from Open MPI."""

import pytest
from jax._src.clusters import OmpiCluster, SlurmCluster

from cnnjax.errors import ConfigError
from cnnjax.train.machine.launch import Launch, find_launch
from cnnjax.train.machine.processes import join

NOTHING = Launch()
ALONE = Launch(num_processes=1, process_id=0)

# What the second task of `srun -n2` within a batch job has in Slurm 22.05, but with two
# nodes instead of one.
SLURM_TASK = {
    "SLURM_JOB_ID": "4711",
    "SLURM_JOB_NODELIST": "node[07-08]",
    "SLURM_JOB_NUM_NODES": "2",
    "SLURM_GTIDS": "1",
    "SLURM_LOCALID": "0",
    "SLURM_NNODES": "2",
    "SLURM_NODEID": "1",
    "SLURM_NPROCS": "2",
    "SLURM_NTASKS": "2",
    "SLURM_PROCID": "1",
    "SLURM_STEPID": "0",
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_LAUNCHER_PORT": "39127",
    "SLURM_STEP_NODELIST": "node[07-08]",
    "SLURM_STEP_NUM_NODES": "2",
    "SLURM_STEP_NUM_TASKS": "2",
    "SLURM_STEP_TASKS_PER_NODE": "1(x2)",
    "SLURM_TASKS_PER_NODE": "1(x2)",
}
# The shell that `salloc -n4` opens, and the batch script itself: no task of a step.
SALLOC_SHELL = {
    "SLURM_JOB_ID": "5",
    "SLURM_NPROCS": "4",
    "SLURM_NTASKS": "4",
    "SLURM_TASKS_PER_NODE": "4",
}
BATCH_SCRIPT = SALLOC_SHELL | {
    "SLURM_GTIDS": "0",
    "SLURM_LOCALID": "0",
    "SLURM_PROCID": "0",
}
SINGLE_TASK = BATCH_SCRIPT | {
    "SLURM_NPROCS": "1",
    "SLURM_NTASKS": "1",
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NODELIST": "node07",
    "SLURM_STEP_NUM_NODES": "1",
    "SLURM_STEP_NUM_TASKS": "1",
}
# What a process of `mpirun -n 2` has, in Open MPI 4.1.
OMPI_RANK = {
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
    "OMPI_COMM_WORLD_NODE_RANK": "1",
    "OMPI_COMM_WORLD_RANK": "1",
    "OMPI_COMM_WORLD_SIZE": "2",
    "OMPI_MCA_orte_hnp_uri": "549453824.0;tcp://192.0.2.2:49293;tcp6://[fd00::2]:49763",
}


@pytest.fixture
def environment(monkeypatch):
    """Puts variables where JAX looks for them, and no others of a launcher."""

    def put(variables):
        for name in {**SLURM_TASK, **OMPI_RANK, "JAX_COORDINATOR_PORT": ""}:
            monkeypatch.delenv(name, raising=False)
        for name, text in variables.items():
            monkeypatch.setenv(name, text)

    return put


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        ({}, ALONE),
        (SLURM_TASK, Launch(launcher="slurm")),
        (OMPI_RANK, Launch(launcher="ompi")),
        (SINGLE_TASK, ALONE),
        (SALLOC_SHELL, ALONE),
        (BATCH_SCRIPT, ALONE),
        (OMPI_RANK | {"OMPI_COMM_WORLD_SIZE": "1"}, ALONE),
        (SALLOC_SHELL | OMPI_RANK, Launch(launcher="ompi")),
    ],
    ids=[
        "nothing",
        "a task of two",
        "a rank of two",
        "a single task",
        "the shell of salloc",
        "the batch script",
        "a single rank",
        "mpirun within salloc",
    ],
)
def test_the_launcher_says_it(variables, place):
    assert find_launch(NOTHING, variables) == place


def test_the_launcher_is_looked_up_in_the_environment(environment):
    environment(SLURM_TASK)
    assert find_launch(NOTHING) == Launch(launcher="slurm")


@pytest.mark.parametrize("variables", [SLURM_TASK, OMPI_RANK])
def test_flags_win(variables):
    flags = Launch("login1:4711", 3, 2)
    assert find_launch(flags, variables) == flags


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (Launch("localhost:1"), "go together"),
        (Launch(num_processes=2), "go together"),
        (Launch(process_id=0), "go together"),
        (Launch("localhost:1", 2), "got localhost:1, 2 and None"),
        (Launch(None, 2, 0), "got None, 2 and 0"),
        (Launch("localhost:1", 2, 2), "is 2 of --num_processes=2, expected 0 to 1"),
        (Launch("localhost:1", 2, -1), "is -1 of --num_processes=2"),
        (Launch("localhost:1", 0, 0), "--num_processes"),
        (Launch("localhost", 2, 0), "'localhost', expected host:port"),
        (Launch("localhost:", 2, 0), "expected host:port"),
        (Launch(":4711", 2, 0), "expected host:port"),
        (Launch("localhost:port", 2, 0), "expected host:port"),
        (Launch("", 2, 0), "expected host:port"),
    ],
    ids=str,
)
@pytest.mark.parametrize("variables", [{}, SLURM_TASK], ids=["", "under Slurm"])
def test_flags_that_cannot_be_are_refused(flags, message, variables):
    with pytest.raises(ConfigError) as caught:
        find_launch(flags, variables)
    assert message in str(caught.value)


def test_alone_nobody_is_looked_for():
    join(ALONE)


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("node[07-08]", "node07"),
        ("node07", "node07"),
        ("node07,node09", "node07"),
        ("node[07,09-12],gpu1", "node07"),
    ],
)
def test_jax_reads_the_same_from_slurm(environment, nodes, first):
    environment(SLURM_TASK | {"SLURM_STEP_NODELIST": nodes})
    assert SlurmCluster.is_env_present()
    assert SlurmCluster.name == find_launch(NOTHING).launcher
    assert SlurmCluster.get_process_count() == 2
    assert SlurmCluster.get_process_id() == 1
    address = SlurmCluster.get_coordinator_address(None, None)
    assert address == f"{first}:{65536 - 4096 + 4711 % 4096}"


@pytest.mark.parametrize("variables", [SALLOC_SHELL, BATCH_SCRIPT])
def test_jax_sees_no_step_where_there_is_none(environment, variables):
    environment(variables)
    assert not SlurmCluster.is_env_present()


def test_jax_reads_the_same_from_open_mpi(environment):
    environment(OMPI_RANK)
    assert OmpiCluster.is_env_present()
    assert OmpiCluster.name == find_launch(NOTHING).launcher
    assert OmpiCluster.get_process_count() == 2
    assert OmpiCluster.get_process_id() == 1
    host, _, port = OmpiCluster.get_coordinator_address(None, None).rpartition(":")
    assert host == "192.0.2.2"
    assert 65536 - 4096 <= int(port) < 65536
