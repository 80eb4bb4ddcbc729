"""From a trained model and some samples to a folder that `pytest` judges: `liteproof init`.

`samples` reads the data and parts it, `task` tells what the outputs mean, `model` writes the model's folder,
`repository` what a repository needs around it.
"""
