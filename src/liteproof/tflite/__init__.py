"""Reading `.tflite` files without a runtime: the flatbuffer, its facts, and quantization arithmetic.

    >>> from liteproof.tflite.reader import read_model
    >>> from liteproof.tflite.facts import facts
    >>> facts(read_model(Path("model.tflite"))).quantization          # doctest: +SKIP
    'full_integer'

`reader` turns a file into frozen records; `arithmetic` converts between codes and real values; `facts` says what a
file is; `inspection` prints it.
"""
