"""What this repository adds to liteproof: the root folder on the import path, so that manifests can name `fixtures`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
