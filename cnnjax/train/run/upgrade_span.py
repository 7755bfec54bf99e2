"""Which steps of a run can be taken again and compared with its records."""

from collections.abc import Mapping, Sequence

from cnnjax.errors import ConfigError


def find_span(
    saved: Sequence[int],
    losses: Mapping[int, float],
    steps: int | None,
    from_step: int | None,
) -> tuple[int, int]:
    """The step to start after, and the last step to take.

    Args:
        saved: steps of the checkpoints, in order.
        losses: by their steps.
        steps: how many are wanted, if that is given.
        from_step: where to start, if that is given.

    Raises:
        ConfigError: no such steps, or nothing to compare them with.
    """
    start = from_step
    if start is None:
        start = saved[-2] if len(saved) > 1 else 0
    if start not in (0, *saved):
        places = ", ".join(map(str, saved))
        raise ConfigError(
            f"--from-step is {start}, expected 0 or the step of a checkpoint: {places}"
        )
    if steps is not None and steps < 1:
        raise ConfigError(f"--steps is {steps}, expected 1 or more")
    later = sorted({n for n in (*saved, *losses) if n > start})
    if not later:
        raise ConfigError(
            f"the run recorded nothing after step {start}; give an earlier --from-step"
        )
    if steps is None:
        return start, min((n for n in saved if n > start), default=later[-1])
    end = start + steps
    if end > later[-1]:
        raise ConfigError(
            f"--steps is {steps}, expected at most {later[-1] - start}: the run"
            f" recorded steps up to {later[-1]}, and the replay starts after step"
            f" {start}"
        )
    if end < later[0]:
        raise ConfigError(
            f"--steps is {steps}, expected at least {later[0] - start}: after step"
            f" {start}, the run recorded step {later[0]} first"
        )
    return start, end
