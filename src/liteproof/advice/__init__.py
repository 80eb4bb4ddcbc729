"""What to convert for a device, and what to budget, before anything is converted: `liteproof advise`.

`devices` and `operators` hold what is known of devices, `network` what the float32 `.tflite` of a source holds or will
hold, `estimates` what each recipe makes of it, `arena` the memory of its activations, `edge_tpu` runs that compiler,
`advice` draws the conclusion, `page` shows it.
"""
