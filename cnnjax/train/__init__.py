"""Training runs: state, step, loop, evaluation and checkpoints.

The package is callable: ``cnnjax.train(config, ...)`` trains a network.
"""

import sys
from types import ModuleType
from typing import Any


class _CallableModule(ModuleType):
    """A package and a function of the same name.

    Importing ``cnnjax.train.run``, for example, binds ``cnnjax.train`` to this package,
    where users expect the function.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Trains a network; see ``cnnjax.api.train`` for the arguments."""
        from cnnjax.api import train

        return train(*args, **kwargs)


sys.modules[__name__].__class__ = _CallableModule
