"""Train convolutional networks in JAX/Flax with every gradient written by hand.

Importing this module loads nothing heavy; import the part that you need:
``cnnjax.ops``, ``cnnjax.layers``, ``cnnjax.models``, ``cnnjax.train``.
"""

__version__ = "0.1.0"
