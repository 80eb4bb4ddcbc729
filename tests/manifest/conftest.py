"""A repository with one model in it, and what comes of loading it."""

import pytest

from liteproof.errors import UsageError
from liteproof.manifest import load_plan
from liteproof.store import Store
from tests.manifest.build import ModelFolder


class Repository:
    def __init__(self, root):
        self.root = root
        self.models = root / "models"
        self.store = Store(root / "store")
        self.model = ModelFolder(self.models / "digits")

    def load(self, **options):
        return load_plan([self.models], **{"root": self.root, "store": self.store, **options})

    def variant(self, name, **options):
        return next(variant for variant in self.load(**options).models[0].variants if variant.name == name)

    def limits(self, name, target="host"):
        return self.variant(name, target_names=[target]).budgets[target]

    def refused(self, **options):
        """The message that loading ends with."""
        with pytest.raises(UsageError) as caught:
            self.load(**options)
        return str(caught.value)


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path)


@pytest.fixture
def model(repository):
    return repository.model
