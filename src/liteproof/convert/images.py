"""Images decoded by Pillow, resized and given the colours that a model was trained on.

    >>> read_image(Path("cat.png"), (96, 96), color="rgb", resize=True).shape    # doctest: +SKIP
    (96, 96, 3)

Values stay 0 to 255, uint8; a manifest's scale and offset come afterwards, in the one place where all samples are
scaled.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from liteproof.errors import UsageError
from liteproof.manifest.place import clean, shown

# What is decoded, by Pillow's names. Others of its readers start programs (EPS) or fetch files.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_MODES = {"rgb": "RGB", "bgr": "RGB", "grayscale": "L"}
# Of 16 bits or in float: Pillow would cut their values off at 255.
_DEEP = ("I", "F")


def read_image(
    path: Path, size: tuple[int, int], *, color: str = "rgb", resize: bool = False, interpolation: str = "bilinear"
) -> npt.NDArray[np.uint8]:
    """An image as an array of shape (height, width, channels), uint8.

    Orientation tags of cameras are not followed, as Keras and OpenCV's plain decoders do not.

    Args:
        path: The file.
        size: Height and width.
        color: "rgb", "bgr" (OpenCV's order) or "grayscale" (one channel, by ITU-R 601-2 luma).
        resize: Whether to resize it to the size; else it must have it.
        interpolation: "nearest", "box", "bilinear", "bicubic" or "lanczos": Pillow's, which smooths when it shrinks.

    Raises:
        UsageError: if it cannot be decoded, is of more than 8 bits a channel, or has another size.
    """
    image = _decoded(path)
    if image.mode.startswith(_DEEP):
        raise _wrong(path, f"the image is of mode {image.mode}, with more than 8 bits a channel", "8 bits a channel")
    if (image.height, image.width) != size and not resize:
        raise _wrong(
            path,
            f"the image is {image.height} pixels high and {image.width} wide",
            f"{size[0]} high and {size[1]} wide, as the model takes it",
            f"add resize = [{size[0]}, {size[1]}] to [data], if training resized them, too",
        )
    image = image.convert(_MODES[color])
    if (image.height, image.width) != size:
        image = image.resize((size[1], size[0]), _filter(interpolation))
    values: npt.NDArray[np.uint8] = np.asarray(image, np.uint8)
    if color == "grayscale":
        return values[..., None]
    return values[..., ::-1] if color == "bgr" else values


def _decoded(path: Path) -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise UsageError(
            "Pillow is not installed, which decodes images", next="pip install 'liteproof[images]'"
        ) from error
    try:
        with Image.open(path, formats=FORMATS) as image:
            if Image.MAX_IMAGE_PIXELS is not None and image.width * image.height > Image.MAX_IMAGE_PIXELS:
                raise Image.DecompressionBombError(f"{image.height} × {image.width} pixels")
            image.load()
            return image.copy()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _wrong(
            path, f"the image is too large to decode: {clean(_reason(error))}", "an image of usual size"
        ) from error
    except Exception as error:  # a decoder raises what its format's parts raise
        raise _wrong(path, f"the image cannot be decoded: {clean(_reason(error))}", "a whole image") from error


def _reason(error: BaseException) -> str:
    # Pillow names the file in some of its messages, whole.
    text = str(error).partition(" '/")[0]
    return text or type(error).__name__


def _filter(interpolation: str) -> Any:
    from PIL import Image

    return Image.Resampling[interpolation.upper()]


def _wrong(path: Path, found: str, expected: str, next: str = "") -> UsageError:  # noqa: A002
    return UsageError(found, expected=expected, where=shown(path), next=next or "mend the file, or remove it")
