"""liteproof proves a TensorFlow Lite / LiteRT model before it ships.

The package is a pytest plugin (`liteproof.plugin`), the engine below it, and a command line (`liteproof --help`).
Importing it costs nothing: no runtime, no TensorFlow.

    >>> import liteproof
    >>> liteproof.__version__.count(".")
    2
"""

__version__ = "0.1.0"
