"""Running the suites somewhere else: on a board over ssh, or in another Python on this machine.

`transport` opens a line to the place, `survey` and `guard` are sent along it and run there, `preflight` judges what the
survey found, `bundle` says which files the run needs, and `run` carries a run to its end through every trouble.
"""
