"""A trained model as one file for other programs, verified to give the same outputs.

``exporters.py`` has the formats, and ``graph.py`` the steps that they share: build,
verify, keep. Start there.
"""

from cnnjax.inference.export.exported_model import ExportedModel, open_exported
from cnnjax.inference.export.exporters import EXPORTERS, export_run
from cnnjax.inference.export.quantized_proof import Quantization

__all__ = [
    "EXPORTERS",
    "ExportedModel",
    "Quantization",
    "export_run",
    "open_exported",
]
