"""From a trained source to what the store holds: float32 and variants as `.tflite`, and the source's own predictions.

    >>> from liteproof.convert.conversion import missing, prepare
    >>> prepare(plan, store)                                        # doctest: +SKIP
    >>> missing(plan, store)                                        # doctest: +SKIP
    ()

`conversion` runs in the caller's process and imports nothing heavy. TensorFlow and LiteRT Quantizer live in worker
processes (`worker`), which take one task after the other (`tasks`) and answer each with one event.
"""
