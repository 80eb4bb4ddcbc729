"""Tests of reading `.tflite` files, on files that `build` makes."""
