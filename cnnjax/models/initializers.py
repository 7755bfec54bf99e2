"""Weight initializers by the names that configs use."""

from flax.linen import initializers
from jax.nn.initializers import Initializer

from cnnjax.errors import unknown_name

INITIALIZERS = {
    "glorot_normal": initializers.glorot_normal(),
    "glorot_uniform": initializers.glorot_uniform(),
    "he_normal": initializers.he_normal(),
    "he_uniform": initializers.he_uniform(),
    "lecun_normal": initializers.lecun_normal(),
    "lecun_uniform": initializers.lecun_uniform(),
    "orthogonal": initializers.orthogonal(),
    "truncated_normal": initializers.truncated_normal(0.02),
    "zeros": initializers.zeros_init(),
}


def make_initializer(name: str) -> Initializer:
    """The initializer called ``name``.

    Raises:
        ValueError: an unknown name.
    """
    if name not in INITIALIZERS:
        raise unknown_name("kernel_init", name, INITIALIZERS)
    return INITIALIZERS[name]
