"""A worker: cnnjax, with its own layers and hand-written gradients."""

from peers.protocol import serve


def make(task):
    """The network on cnnjax's layers."""
    import jax

    import cnnjax
    from cnnjax.models import make_model
    from cnnjax.native import library
    from cnnjax.ops import softmax_cross_entropy_with_integer_labels
    from cnnjax.ops.backend import current_backend
    from peers import jax_step

    versions = {
        "cnnjax": cnnjax.__version__,
        "jax": jax.__version__,
        "backend": current_backend(),
        "kernels": library.describe(),
    }
    loss = softmax_cross_entropy_with_integer_labels
    return jax_step.make(task, make_model, loss, versions)


if __name__ == "__main__":
    from cnnjax.process import keep_freed_memory

    keep_freed_memory()  # as the command line does
    serve(make)
