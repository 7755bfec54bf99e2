"""scripts/check_accelerator, on the CPU: its parts, failures, and no accelerator."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "check_accelerator"


def run(out, *words):
    return subprocess.run(
        [sys.executable, SCRIPT, f"--out={out}", *words],
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )


def test_a_machine_without_accelerator_is_told_what_to_install(tmp_path):
    done = run(tmp_path)
    assert done.returncode == 1
    assert 'pip install "jax[cuda12]"' in done.stderr
    assert not (tmp_path / "accelerator.json").exists()


def test_a_failure_does_not_end_the_others_and_old_results_go(tmp_path):
    (tmp_path / "operations.json").write_text('{"rows": [1]}')
    done = run(tmp_path, "--platform=cpu", "--quick", "--minutes=0.01")
    assert done.returncode == 1
    report = json.loads((tmp_path / "accelerator.json").read_text())
    assert [part["result"] for part in report["parts"]] == [
        "failed: no time was left; give more --minutes"
    ] * 5
    assert report["operations"] == report["steps"] == []
    assert "| exact resume | failed: no time" in done.stdout


@pytest.mark.slow
def test_all_parts_on_a_cpu(tmp_path):
    done = run(tmp_path, "--platform=cpu", "--quick", "--minutes=20")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "accelerator.json").read_text())
    assert len(report["parts"]) == 5
    assert {part["result"] for part in report["parts"]} == {"ok"}
    assert report["operations"][0]["auto_ms"] > 0
    assert report["steps"][0]["network"] == "cnn"
    assert min(report["steps"][0]["flax"], report["steps"][0]["cnnjax"]) > 0
    text = (tmp_path / "accelerator.md").read_text()
    assert text in done.stdout
    assert "| step of | Flax, ms | cnnjax, ms | ratio |" in text
