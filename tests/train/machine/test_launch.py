"""Where a process stands among all: flags and variables that cannot be."""

import pytest

from cnnjax.errors import ConfigError
from cnnjax.train.machine.launch import Launch, find_launch

ALONE = Launch(num_processes=1, process_id=0)
VARIABLES = ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE")


@pytest.mark.parametrize("name", VARIABLES)
@pytest.mark.parametrize("text", ["", " ", "1", " 1 "])
def test_an_empty_variable_of_a_launcher_means_alone(name, text):
    assert find_launch(Launch(), {name: text}) == ALONE


@pytest.mark.parametrize("name", VARIABLES)
@pytest.mark.parametrize("text", ["abc", "-2", "0", "2.0", "1e1", "²", "9" * 5000])
def test_a_variable_that_is_no_number_is_named(name, text):
    with pytest.raises(ConfigError) as caught:
        find_launch(Launch(), {name: text})
    assert f"{name} is {text!r}, expected the number of processes" in str(caught.value)


@pytest.mark.parametrize("port", ["0", "65536", "9" * 5000])
def test_a_port_that_cannot_be_is_refused(port):
    with pytest.raises(ConfigError, match="--coordinator"):
        find_launch(Launch(f"localhost:{port}", 2, 0), {})
