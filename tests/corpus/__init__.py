"""Hostile `.tflite` files, each made here: what a gate must survive and must not take for the healthy file."""
