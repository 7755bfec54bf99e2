"""Compiled programs read from their text, and what they move."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

from cnnjax.plan.float32 import float32_copies
from cnnjax.plan.program import read_program
from cnnjax.plan.traffic import Collective, kernel_traffic, measure_traffic

TEXT = """\
HloModule jit_step, input_output_alias={ {0}: (0, {}, may-alias), {1}: (2, {}) }

%sum (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %add.0 = f32[] add(%a, %b)
}

%wide (p: bf16[2,3,700]) -> bf16[2,3,700] {
  %p = bf16[2,3,700]{2,1,0} parameter(0)
  %inside = f32[2,3,700]{2,1,0} convert(%p)
  ROOT %r = bf16[2,3,700]{2,1,0} convert(%inside)
}

%body (t: (f32[10], s32[])) -> (f32[10], s32[]) {
  %t = (f32[10]{0}, s32[]) parameter(0)
  %x = f32[10]{0} get-tuple-element(%t), index=0
  %double = f32[10]{0} add(%x, %x)
  %total = f32[10]{0} all-reduce(%double), replica_groups={{0,1}}, to_apply=%sum
  %i = s32[] get-tuple-element(%t), index=1
  ROOT %next = (f32[10]{0}, s32[]) tuple(%total, %i)
}

%condition (t: (f32[10], s32[])) -> pred[] {
  %t.1 = (f32[10]{0}, s32[]) parameter(0)
  ROOT %yes = pred[] constant(true)
}

ENTRY %main (x: bf16[2,3,700], y: f32[10]) -> (bf16[2,3,700], f32[4200]) {
  %x.1 = bf16[2,3,700]{2,1,0:T(8,128)(2,1)} parameter(0)
  %y.1 = f32[10]{0} parameter(1)
  %fused = bf16[2,3,700]{2,1,0:T(8,128)(2,1)} fusion(%x.1), kind=kLoop, calls=%wide
  %copy = f32[4200]{0:T(1024)} convert(%fused), metadata={op_name="a(b)"}
  %near = f32[4200]{0:T(1024)S(1)} negate(%copy)
  %zero = s32[] constant(0)
  %start = (f32[10]{0}, s32[]) tuple(%y.1, %zero)
  %loop = (f32[10]{0}, s32[]) while(%start), condition=%condition, body=%body, \
backend_config={"known_trip_count":{"n":"3"}}
  %ar = f32[8]{0} all-reduce-start(%y.1), to_apply=%sum
  %done = f32[8]{0} all-reduce-done(%ar)
  ROOT %out = (bf16[2,3,700]{2,1,0}, f32[4200]{0}) tuple(%fused, %copy)
}
"""


@pytest.fixture
def program():
    return read_program(TEXT)


def test_a_program_is_read(program):
    assert program.entry == "main"
    assert program.aliases == 2
    assert [*program.computations] == ["sum", "wide", "body", "condition", "main"]
    fused = program.computations["main"][2]
    assert (fused.operands, fused.called) == (("x.1",), ("wide",))
    assert fused.shapes[0].size == 2 * 3 * 700 * 2


def test_kernels_move_operands_and_results(program):
    found = {each.name: (times, size) for each, times, size in kernel_traffic(program)}
    assert found == {
        "fused": (1, 2 * 8400),
        "copy": (1, 8400 + 16800),
        "near": (1, 16800),  # its result stays on the chip
        "double": (3, 3 * 40),
        "total": (3, 2 * 40),
        "ar": (1, 40 + 32),
    }


def test_collectives_in_loops_count_each_time(program):
    memory = SimpleNamespace(temp_size_in_bytes=7)
    compiled = SimpleNamespace(memory_analysis=lambda: memory)
    found = measure_traffic(compiled, program)
    assert found.collectives == (Collective("all-reduce", 4, 3 * 40 + 32),)
    assert found.temporary_bytes == 7


GATHERED = """\
HloModule jit_step

ENTRY %main (x: f32[4], y: f32[6]) -> f32[8] {
  %x = f32[4]{0} parameter(0)
  %y = f32[6]{0} parameter(1)
  %one = (f32[4]{0}, f32[8]{0}) all-gather-start(%x), dimensions={0}
  %a = f32[8]{0} all-gather-done(%one)
  %two = ((f32[4]{0}, f32[6]{0}), (f32[8]{0}, f32[12]{0})) \
all-gather-start(%x, %y), dimensions={0}
  %b = (f32[8]{0}, f32[12]{0}) all-gather-done(%two)
  ROOT %out = f32[8]{0} get-tuple-element(%b), index=0
}
"""


def test_each_array_of_a_combined_gather_counts():
    memory = SimpleNamespace(temp_size_in_bytes=0)
    compiled = SimpleNamespace(memory_analysis=lambda: memory)
    found = measure_traffic(compiled, read_program(GATHERED))
    assert found.collectives == (Collective("all-gather", 2, 4 * (8 + 8 + 12)),)


SUMS = """\
HloModule jit_step

%both (p: bf16[2,3,700,4]) -> (f32[2,2100], f32[2,3,700,4]) {
  %p = bf16[2,3,700,4]{3,2,1,0} parameter(0)
  %wide = f32[2,3,700,4]{3,2,1,0} convert(%p)
  %sums = f32[2,2100]{1,0} reduce(%wide), dimensions={3}, to_apply=%sum
  ROOT %pair = (f32[2,2100]{1,0}, f32[2,3,700,4]{3,2,1,0}) tuple(%sums, %wide)
}

ENTRY %main (x: bf16[2,3,700,4]) -> (f32[2,2100], f32[2,3,700,4]) {
  %x = bf16[2,3,700,4]{3,2,1,0} parameter(0)
  ROOT %f = (f32[2,2100]{1,0}, f32[2,3,700,4]{3,2,1,0}) fusion(%x), calls=%both
}
"""


def test_sums_are_no_float32_copies():
    (copy,) = float32_copies(read_program(SUMS), {4200, 16800})
    assert copy.sizes == (2, 3, 700, 4)


def test_float32_copies_are_those_in_memory(program):
    (copy,) = float32_copies(program, {4200})
    assert (copy.sizes, copy.count, copy.bytes) == ((4200,), 1, 16800)
    assert copy.example.startswith("%copy = f32[4200]")
    assert float32_copies(program, {42}) == []
    # As large as an activation, but the gradient of a parameter.
    assert float32_copies(program, {4200}, [(1, 4200)]) == []


def test_a_program_of_this_machine_is_read():
    x = jax.ShapeDtypeStruct((300, 5), jnp.float32)
    compiled = jax.jit(jnp.negative).lower(x).compile()
    assert measure_traffic(compiled).bytes_moved == 2 * 300 * 5 * 4
